"""The stages that make a model: from geometries through labels to both networks and their errors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from densnet.artefacts.content import Analysis
from densnet.artefacts.making import EVALUATION, EXAMPLES, FRAMES, LABELS, MODEL, PAIRS, REFERENCE, STARTS, TRAINING_LOG
from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.density.basis import DensityBasis
from densnet.errors import DensnetError
from densnet.observables.conformers import gather
from densnet.reference import campaign, geometries
from densnet.training.examples import Example
from densnet.workflow.desk import Desk, Recipe
from densnet.workflow.dispersion import with_dispersion
from densnet.workflow.evaluation import evaluate_on, overlap, pairs, summary
from densnet.workflow.fitting import examples_of, train_on, untrained
from densnet.workflow.harmonic import analyse, remembered
from densnet.workflow.search import search as find_conformers
from densnet.workflow.settings import RunFile
from densnet.workflow.splits import elements_of, held_out


class StageError(DensnetError):
    """A stage whose input does not suffice; the message says what to change."""


def search(desk: Desk) -> None:
    """Conformers of a molecule that is given as SMILES."""
    found = find_conformers(desk.settings.run.smiles, desk.settings.search, desk.progress)
    for name, _, share in found:
        desk.tell(f"{name}: {100 * share:.1f} % at {desk.settings.search.temperature:g} K (GFN2-xTB)")
    frames = [geometries.Frame(molecule, 0, float("nan"), name) for name, molecule, _ in found]
    geometries.write(desk.path(STARTS), frames, {"smiles": desk.settings.run.smiles, **desk.settings.search.deciding()})


def sample(desk: Desk) -> None:
    """Frames to be labelled."""
    settings = desk.settings.sample.model_copy(update={"geometries": desk.inputs.geometries})
    geometries.sample(settings, desk.path(FRAMES), root=Path(), progress=desk.progress)


def label(desk: Desk) -> None:
    """Labels one by one, then sealed."""
    frames, plan = desk.path(FRAMES), desk.settings.label
    tally = campaign.label(plan, frames, desk.place, store.save_label, store.load_label, progress=desk.progress)
    if tally.labelled == 0:
        raise StageError(f"none of the {tally.aside} frames converged; the reasons are in {desk.place / 'aside'}.")
    store.seal(store.read(desk.place), desk.path(LABELS), f"run {desk.settings.run.name}")


def hessian(desk: Desk) -> None:
    """Conformers and their normal modes at the reference level."""
    forces = remembered(desk.settings.label, desk.place, desk.progress)
    found = gather(desk.inputs.named, partial(analyse, forces, settings=desk.settings.harmonic))
    desk.give(REFERENCE, Analysis(found, desk.settings.label.scf.level()))


def fit(desk: Desk) -> None:
    """Labels that are not held out, on points and where need be as coefficients."""
    _examples(desk)


def train(desk: Desk) -> None:
    """Both networks, and the log of their training."""
    plan, (examples, basis, level) = desk.settings.train, _examples(desk)
    log, model = desk.path(TRAINING_LOG).parent, untrained(examples[0], desk.settings.model, basis, plan.seed)
    desk.give(MODEL, train_on(model, examples, plan, log, desk.progress, level))


def evaluate(desk: Desk) -> None:
    """Errors on held-out frames."""
    known, held = split(desk.take(LABELS), desk.settings)
    frames = [label.properties for label in held]
    found = evaluate_on(desk.take(MODEL), frames, desk.settings.evaluate.density_frames, desk.progress)
    desk.give(PAIRS, pairs(found))
    desk.give(EVALUATION, summary(found, overlap(held, known)))


def split(labels: Dataset, settings: RunFile) -> tuple[Dataset, Dataset]:
    """Labels to train on, labels held out."""
    run, seed = settings.run, settings.sample.seed
    labels = with_dispersion(labels, settings.train.dispersion)
    eligible = [run.held_out_temperature in (None, label.temperature) for label in labels]
    if not any(eligible):
        raise StageError(
            f"no frame has {run.held_out_temperature:g} K (`run.held_out_temperature`); available are {settings.sample.temperature}."
        )
    chosen = labels.select(np.flatnonzero(eligible))
    known, apart = held_out(chosen, min(0.5, run.held_out * len(labels) / len(chosen)), seed)
    return known + labels.select(np.flatnonzero(np.logical_not(eligible))), apart


def _examples(desk: Desk) -> tuple[list[list[Example]], DensityBasis, dict]:
    """Frames to train on and to validate, the basis of the density, and the level of the labels."""
    labels, _ = split(desk.take(LABELS), desk.settings)
    density, plan = desk.settings.density, desk.settings.train
    basis = DensityBasis.built_in(density.basis, elements_of(labels))
    parts = held_out(labels, plan.validation_fraction, plan.seed, plan.validation_by)
    return examples_of(parts, basis, desk.path(EXAMPLES), density.points, plan, desk.progress), basis, labels.level


SEARCH = (Recipe("search", "conformers", search, ("run.smiles", "search"), gives=(STARTS,)),)
"""Of a run that is given a molecule as SMILES."""

RECIPES = (
    Recipe("sample", "training geometries", sample, ("sample",), ("geometries",), takes=(STARTS,), gives=(FRAMES,)),
    Recipe("label", "reference calculations", label, ("label",), takes=(FRAMES,), gives=(LABELS,)),
    Recipe(
        "hessian", "harmonic analysis at the reference level", hessian, ("label.scf", "harmonic"), ("geometries",), takes=(STARTS,),
        gives=(REFERENCE,),
    ),
    Recipe(
        "fit", "fits and sampled densities of the labels", fit,
        ("run.held_out", "run.held_out_temperature", "density"), takes=(LABELS,), gives=(EXAMPLES,),
    ),
    Recipe("train", "density and energy networks", train, ("model", "train"), takes=(LABELS, EXAMPLES), gives=(MODEL, TRAINING_LOG)),
    Recipe("evaluate", "errors on held-out frames", evaluate, ("evaluate",), takes=(LABELS, MODEL), gives=(EVALUATION, PAIRS)),
)  # fmt: skip
"""In the order of the work."""
