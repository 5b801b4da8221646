"""The errors of one molecule against the number of its labels, from a general model or from nothing: the fine-tuning curve.

    python benchmarks/fine_tuning.py [MODEL] [--molecules ethanol ethanol-pbe0 ...] [--labels 10 20 50 100 200] [--ways ...]

MODEL (organic by default) has seen none of the molecules. Frames are the first ones of a training list, whose order is random; a tenth
validates. Ways, all with the sizes of MODEL and the same number of steps:

    all weights    MODEL learns on, with the reference energies moved to the new labels (as `densnet run --start` does)
    replay         the same, beside as many frames of MODEL's own training (labels/organic) as there are new ones; only where those are of
                   the same level of theory
    last layer     only the last, linear map of the energy, by least squares, near what it was; the density stays
    from scratch   new weights

Judged on held-out trajectories at 300 K (ethanol-pbe0: beads of quantum nuclei, as those it is trained on). A training that was
interrupted goes on, one that is done is not repeated.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
from functools import partial

import torch
from experiment import Table, conclude, frames, machine_line, markdown_row, once, parser, shards, spread, training_options
from torch import Tensor

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.model import shipped
from densnet.model.predictor import Predictor, load
from densnet.model.uncertainty import slopes
from densnet.properties import Properties
from densnet.settings import parse
from densnet.training import fit, objective
from densnet.training.settings import TrainSettings
from densnet.training.statistics import move_references
from densnet.workflow.fitting import FITTED, untrained
from densnet.workflow.preparation import prepare
from densnet.workflow.refinement import FineTuning
from densnet.workflow.splits import held_out

LISTS = {
    "ethanol": ("training_500K", "heldout_300K"),
    "ethanol-pbe0": ("training_beads", "heldout_beads_300K"),
    "ethanethiol": ("training_300-500K", "heldout_300K"),
    "resorcinol": ("training_300-500K", "heldout_300K"),
}
"""What is trained on and what judges, in each folder of labels."""
WAYS = ("all weights", "replay", "last layer", "from scratch")
POINTS, DENSITY_FRAMES, FRACTION = 4000, 8, 0.1
COLUMNS = {
    "force_mae_meV_per_A": "forces, meV/A", "energy_mae_meV": "energy, meV", "dipole_mae_D": "dipole, D",
    "density_error_percent": "density, %",
}  # fmt: skip


def labels_of(molecule: str) -> Dataset:
    """To train on."""
    return frames(f"{molecule}/{LISTS[molecule][0]}")


def held_out_of(molecule: str) -> Dataset:
    """Those that judge."""
    return frames(f"{molecule}/{LISTS[molecule][1]}")


def start_of(chosen: argparse.Namespace, labels: Dataset) -> Predictor:
    """The general model with its reference energies moved to these ``labels``."""
    model = load(chosen.model)
    model.response_network = None
    move_references(model, (label.properties for label in labels))
    return model


def errors(predictor: Predictor, molecule: str) -> dict[str, float | None]:
    """On the frames held out."""
    part = spread((label.properties for label in held_out_of(molecule)), DENSITY_FRAMES)
    return objective.evaluate(predictor, part, density_frames=DENSITY_FRAMES).summary()


def as_it_is(molecule: str, chosen: argparse.Namespace) -> dict:
    """Without a label, except that the energies' mean error is taken off."""
    return errors(start_of(chosen, held_out_of(molecule)), molecule)


def tuned(molecule: str, count: int, way: str, chosen: argparse.Namespace) -> dict:
    """Errors after ``count`` labels."""
    labels = labels_of(molecule).select(range(count))
    parts = held_out(labels, FRACTION, seed=1)
    if way == "last layer":
        return errors(refitted(start_of(chosen, labels), *parts), molecule)
    fits = (min(FITTED, count) if way == "from scratch" else 0, 0)
    former = load(chosen.model)
    examples = partial(prepare, basis=former.basis, folder=chosen.examples, points=POINTS, processes=chosen.workers)
    known, watched = (examples(part, fits=n) for part, n in zip(parts, fits))
    if way == "replay":
        known = known + examples(old_frames(len(known)), fits=0)
    rate = {"learning_rate": 3e-3} if way == "from scratch" else {}
    steps = {"points": chosen.points_steps, "energy": chosen.energy_steps}
    about = FineTuning().model_dump() | {"device": chosen.device, "threads": chosen.threads}
    about |= {phase: {**about[phase], "steps": number, "batch": 16, "patience": 0, **rate} for phase, number in steps.items()}
    settings = parse(TrainSettings, about, "fine-tuning")
    predictor = untrained(known, former.settings, former.basis, settings.seed) if way == "from scratch" else start_of(chosen, labels)
    predictor = fit.train(predictor, known, watched, settings, chosen.out / f"{molecule}-{count}-{way.replace(' ', '-')}")
    return errors(predictor.requires_grad_(False), molecule)


def old_frames(count: int) -> Dataset:
    """Labels that the general model was trained on: the first ``count``, of as many molecules."""
    return store.read(shards("organic/training_1")[0]).select(range(count))


def of_one_level(molecule: str) -> bool:
    """Whether the labels of a molecule are of the level of the general model's."""
    return held_out_of(molecule).level.get("xc") == old_frames(1).level.get("xc")


FIRMNESS = [10.0**power for power in range(-8, 1)]
"""How firmly the old weights are held: their squared distance counts so much of the largest eigenvalue."""


def refitted(predictor: Predictor, training: Dataset, validation: Dataset) -> Predictor:
    """With the last weights of the energy that fit forces and energies (by atom) best in the least squares near what they were.

    An energy is E = F . w + ..., a force -dF/dR . w, with the features F of `Predictor.features`. How near, the validation frames choose.
    """
    lasts = predictor.energy_network.last
    old = torch.cat([last.weight for last in lasts], dim=1).squeeze(0).double()
    (rows, gaps), (others, apart) = (equations(predictor, part, old) for part in (training, validation))
    normal, right = rows.T @ rows, rows.T @ gaps
    largest = torch.linalg.eigvalsh(normal)[-1]
    changes = [torch.linalg.solve(normal + firm * largest * torch.eye(len(old)), right) for firm in FIRMNESS]
    best = min(changes, key=lambda change: float((others @ change - apart).square().sum()))
    for last, weight in zip(lasts, (old + best).split([last.weight.shape[1] for last in lasts])):
        last.weight.copy_(weight.unsqueeze(0))
    return predictor


def equations(predictor: Predictor, labels: Dataset, old: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, gaps): what the change of the last weights is multiplied by, and what that should give, hartree/bohr and hartree an atom."""
    rows, gaps = [], []
    for label in labels:
        frame: Properties = label.properties
        size = len(frame.molecules.numbers)
        found = predictor.without_forces(frame.molecules)
        energy = predictor.features(frame.molecules).energy.double() / size
        forces = -slopes(lambda moved: predictor.features(moved).energy, frame.molecules).double().flatten(0, 1)
        rows += [energy, forces]
        gaps += [(frame.energy - found.energy) / size, frame.forces.double().flatten() - forces @ old]
    return torch.cat(rows), torch.cat(gaps)


def main() -> None:
    """Train, judge, print."""
    options = parser(__doc__, "runs/fine_tuning")
    training_options(options, "runs/fine_tuning/examples")
    options.add_argument("model", nargs="?", default=shipped.GENERAL, help="file, or name of a shipped model")
    options.add_argument("--molecules", nargs="+", default=list(LISTS), choices=LISTS)
    options.add_argument("--labels", type=int, nargs="+", default=[10, 20, 50, 100, 200])
    options.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    options.add_argument("--points-steps", type=int, default=400)
    options.add_argument("--energy-steps", type=int, default=800)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    tables, kind = {}, f"{chosen.points_steps}-{chosen.energy_steps}"
    for molecule in chosen.molecules:
        plans = [(0, "as it is", once(chosen.out / f"{molecule}-0.json", partial(as_it_is, molecule, chosen)))]
        there = len(labels_of(molecule))
        ways = [way for way in chosen.ways if way != "replay" or of_one_level(molecule)]
        for count, way in ((count, way) for count in chosen.labels if count <= there for way in ways):
            path = chosen.out / f"{molecule}-{count}-{way.replace(' ', '-')}-{kind}.json"
            plans.append((count, way, once(path, partial(tuned, molecule, count, way, chosen))))
            print(molecule, markdown_row([count, way, *(plans[-1][2][key] for key in COLUMNS)]), flush=True)
        rows = [[count, way, *(found[key] for key in COLUMNS)] for count, way, found in plans]
        tables[molecule] = Table(["labels", "way", *COLUMNS.values()], rows)
    conclude(chosen, "fine_tuning", tables)


if __name__ == "__main__":
    main()
