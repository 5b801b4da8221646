"""Between labels and a trained model, for the verb and for a run: fitted examples, one bar for all phases of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from densnet.dataset.dataset import Dataset
from densnet.density.basis import DensityBasis
from densnet.model.predictor import ModelSettings, Predictor
from densnet.molecules import Molecules
from densnet.progress import Progress
from densnet.properties import Properties
from densnet.threads import one_thread
from densnet.training import fit, ranks
from densnet.training.checkpoint import PHASES, TrainingError
from densnet.training.coverage import coverage, names
from densnet.training.examples import Example
from densnet.training.settings import TrainSettings
from densnet.training.statistics import initialise
from densnet.training.uncertainty import assess
from densnet.workflow.preparation import of_energies, prepare

SIDES = ("training", "validation")

FITTED, FITTED_IN_ALL = 64, 512
"""Frames of each composition, and about how many in all, whose fitted densities set the scales of a network that learns the density in
space only; of every composition at least one."""


def examples_of(
    parts: tuple[Dataset, Dataset], basis: DensityBasis, folder: Path, points: int, plan: TrainSettings, progress: Progress
) -> list[list[Example]]:
    """`prepare` with all cores for frames to train on and to validate, with fits as far as the phases of ``plan`` need them.

    If none of them learns the density, `of_energies`.
    """
    if not plan.learns_density:
        return [of_energies(part, basis) for part in parts]
    several = max(1, min(FITTED, FITTED_IN_ALL // len({tuple(label.properties.molecules.numbers.tolist()) for label in parts[0]})))
    fits = (None, None) if plan.density.steps else (several, 0)
    return [prepare(part, basis, folder, points=points, progress=progress, fits=count) for part, count in zip(parts, fits)]


def untrained(examples: list[Example], model: ModelSettings, basis: DensityBasis, seed: int) -> Predictor:
    """A new model with the constants of these ``examples`` and weights drawn by ``seed``.

    Raises `TrainingError` if none of them is fitted: energies alone are learned on the density of another model.
    """
    if all(example.density is None for example in examples):
        raise TrainingError("no phase learns the density, which energies are learned from: name a model that knows one by `--start`.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return initialise(examples, model, basis)


@one_thread()  # each operation: molecules are small
def train_on(
    predictor: Predictor,
    parts: list[list[Example]],
    plan: TrainSettings,
    folder: Path,
    progress: Progress,
    level: Mapping | None = None,
) -> Predictor:
    """``predictor`` trained on the first of ``parts``, validated on the second; ``progress`` is told (step, steps, what is going on).

    ``level`` of theory of the labels, which the model then states. It knows its errors afterwards if the labels know dipoles. Of several
    processes the first gives the model that is to be kept.
    """
    steps = [getattr(plan, phase).steps for phase in PHASES]
    before = {phase: sum(steps[:k]) for k, phase in enumerate(PHASES)}
    metrics: dict[str, float] = {}

    def report(now: fit.Moment) -> None:
        metrics.update(now.metrics)
        progress(before[now.phase] + now.step, sum(steps), f"training, {now.phase}{_short(metrics)}{now.note and f': {now.note}'}")

    charges, former = predictor.provenance.get("charges"), predictor.provenance.get("frames", {})
    predictor = fit.train(predictor, parts[0], parts[1], plan, folder, report)
    if not ranks.first():
        return predictor.requires_grad_(False)
    if plan.response.steps:
        predictor.provenance = predictor.provenance | {"response": _response_provenance(parts, plan)}
    if not plan.changes_energies:
        return predictor.requires_grad_(False)
    now = {side: names(example.molecule for example in part) for side, part in zip(SIDES, parts)}
    predictor.provenance = {
        **{key: value for key, value in predictor.provenance.items() if key == "response"},
        "training_frames": len(parts[0]),
        "validation_frames": len(parts[1]),
        "training": plan.model_dump(mode="json"),
        "coverage": coverage(example.molecule for example in parts[0]),
        "frames": {side: sorted({*former.get(side, ()), *now[side]}) for side in SIDES},
        **({} if charges is None else {"charges": charges}),
        **({"level": dict(level)} if level else {}),
    }
    predictor.requires_grad_(False)
    known, watched = ([example.properties for example in part] for part in parts)
    if any(frame.dipole is None for frame in watched):
        return predictor
    return with_uncertainty(predictor, [p.molecules for p in known], watched, progress)


def _response_provenance(parts: list[list[Example]], plan: TrainSettings) -> dict:
    """What network 3 was trained on, and how."""
    frames = {f"{side}_frames": sum("response" in e.prepared for e in part) for side, part in zip(SIDES, parts)}
    chosen = {name: value for name, value in plan.model_dump(mode="json").items() if name in ("response", "polarizability_weight", "seed")}
    return {**frames, "training": chosen}


def with_uncertainty(predictor: Predictor, training: list[Molecules], validation: list[Properties], progress: Progress) -> Predictor:
    """``predictor`` with what it knows of its own errors, from the frames that it was trained on and others.

    They are taken by size, since a batch costs its largest molecule.
    """
    known, watched = sorted(training, key=lambda m: len(m.numbers)), sorted(validation, key=lambda p: len(p.molecules.numbers))
    predictor.uncertainty = assess(predictor, known, watched, lambda done, total: progress(done, total, "uncertainty"))
    return predictor


def _short(metrics: dict[str, float]) -> str:
    known = {"density_error_percent": "density {:.2f} %", "dipole_mae_D": "dipole {:.4f} D", "force_mae_meV_per_A": "forces {:.1f} meV/A"}
    known |= {"response_error_percent": "response {:.2f} %", "polarizability_mae_au": "polarizability {:.3f} au"}
    told = [text.format(metrics[key]) for key, text in known.items() if key in metrics]
    return f" ({', '.join(told)})" if told else ""
