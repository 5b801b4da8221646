"""From one level of theory to another: errors against the number of labels of the new one, started from the old model or from nothing.

    python benchmarks/level_transfer.py [water] [--to pbe0] [--labels 25 50 100 200] [--points-steps 600] [--energy-steps 1500]

Both kinds of training have the sizes of the shipped model, the same frames (the first ones of labels/MOLECULE-LEVEL/training_beads, whose
order is random; a tenth of them validates) and the same number of steps. `fine-tuned` starts from the shipped weights and the reference
energies moved to the new level (`densnet train --start`), `from scratch` from random weights. Judged on held-out frames of the new level:
beads of quantum nuclei and classical dynamics, both at 300 K. `as it is`: the shipped model, energies compared after their mean
difference is taken off. A training that was interrupted goes on, one that is done is not repeated.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from functools import partial

import torch
from ablations import SEED
from experiment import Table, conclude, frames, machine_line, once, parser, spread, training_options

from densnet.dataset.dataset import Dataset
from densnet.model.predictor import Predictor, load
from densnet.settings import parse
from densnet.training import fit, objective
from densnet.training.settings import TrainSettings
from densnet.training.statistics import move_references
from densnet.workflow.fitting import FITTED, untrained
from densnet.workflow.preparation import prepare
from densnet.workflow.splits import held_out

POINTS, DENSITY_FRAMES = 3000, 10
STARTS = ("fine-tuned", "from scratch")
TESTS = {"heldout_beads_300K": "beads", "heldout_300K": "classical"}
COLUMNS = {
    "energy_mae_meV": "energy, meV", "force_mae_meV_per_A": "forces, meV/A",
    "dipole_mae_D": "dipole, D", "density_error_percent": "density, %",
}  # fmt: skip


def errors(predictor: Predictor, tests: dict[str, Dataset]) -> dict[str, dict]:
    """On each list of ``tests``; the density of ten frames spread over it."""
    found = {}
    for name, labels in tests.items():
        part = spread((label.properties for label in labels), DENSITY_FRAMES)
        found[name] = objective.evaluate(predictor, part, density_frames=DENSITY_FRAMES).summary()
    return found


def as_it_is(chosen, tests: dict[str, Dataset]) -> dict[str, dict]:
    """Of the shipped model with its reference energies moved by the mean of each test's own energies."""
    found = {}
    for name, labels in tests.items():
        predictor = load(chosen.molecule)
        move_references(predictor, (label.properties for label in labels))
        found |= errors(predictor, {name: labels})
    return found


def trained(start: str, count: int, chosen, tests: dict[str, Dataset]) -> dict[str, dict]:
    """Errors of a model of ``count`` labels."""
    phase = {"batch": 16, "average": 0.99, "validate_every": 250, "learning_rate": chosen.learning_rate}
    phases = {"density": {"steps": 0}, "points": {**phase, "steps": chosen.points_steps}, "energy": {**phase, "steps": chosen.energy_steps}}
    former = load(chosen.molecule)
    about = {**former.provenance["training"], **phases, "device": chosen.device, "threads": chosen.threads}
    settings = parse(TrainSettings, about, "training of the model")
    labels = frames(f"{chosen.molecule}-{chosen.to}/training_beads").select(range(count))
    fits = (0 if start == "fine-tuned" else min(FITTED, count), 0)
    prepared = partial(prepare, basis=former.basis, folder=chosen.examples, points=POINTS, processes=chosen.workers)
    parts = [prepared(part, fits=n) for part, n in zip(held_out(labels, 0.1, SEED), fits)]
    if start == "fine-tuned":
        predictor = former
        move_references(predictor, (label.properties for label in labels))
    else:
        predictor = untrained(parts[0], former.settings, former.basis, SEED)
    predictor = fit.train(predictor, *parts, settings, chosen.out / f"{chosen.molecule}-{chosen.to}-{count}-{start.replace(' ', '-')}")
    return errors(predictor.requires_grad_(False), tests)


def row(name: str, count: int, found: dict[str, dict]) -> list:
    """Of the table."""
    return [count, name, *(found[test][key] for test in TESTS for key in COLUMNS)]


def main() -> None:
    """Train, judge, print."""
    options = parser(__doc__, "runs/level_transfer")
    training_options(options, "runs/level_transfer/examples")
    options.add_argument("molecule", nargs="?", default="water", help="name of the shipped model that is started from")
    options.add_argument("--to", default="pbe0", help="level of the labels, as in the name of their folder")
    options.add_argument("--labels", type=int, nargs="+", default=[25, 50, 100, 200])
    options.add_argument("--points-steps", type=int, default=600)
    options.add_argument("--energy-steps", type=int, default=1500)
    options.add_argument("--learning-rate", type=float, default=1e-3)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    folder = f"{chosen.molecule}-{chosen.to}"
    tests = {name: frames(f"{folder}/{name}") for name in TESTS}
    kind = f"{chosen.points_steps}-{chosen.energy_steps}-{chosen.learning_rate:g}"
    rows = [row("as it is", 0, once(chosen.out / f"{folder}-0.json", partial(as_it_is, chosen, tests)))]
    for count in chosen.labels:
        for start in STARTS:
            found = once(chosen.out / f"{folder}-{count}-{start}-{kind}.json", partial(trained, start, count, chosen, tests))
            rows.append(row(start, count, found))
            print(rows[-1], flush=True)
    head = ["labels", "training", *(f"{words}: {name}" for words in TESTS.values() for name in COLUMNS.values())]
    conclude(chosen, "level_transfer", {folder: Table(head, rows)})


if __name__ == "__main__":
    main()
