"""Errors against the number of training frames: python benchmarks/learning_curve.py [--frames 50 100 200 500 938] [--device cuda]

Ethanol; both networks learn from so many frames (smaller sets are parts of larger ones) by as many steps, at the sizes of the shipped
model, validated on other trajectories and judged on frames held out at 300 and 500 K. `density`: the energy network reads the predicted
density, as in `densnet train`; `without`: each element's mean coefficients everywhere, that is, geometry alone (energy_inputs.py). A
training that was interrupted goes on, one that is done is not repeated (OUT/N/result.json).
"""

from __future__ import annotations

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
from ablations import SEED, picked
from energy_inputs import constant
from experiment import ETHANOL_500K, Table, conclude, frames, machine_line, once, parser, spread, training_options

from densnet.dataset.dataset import Dataset
from densnet.model.predictor import Predictor, load
from densnet.settings import parse
from densnet.training import fit, objective
from densnet.training.examples import Example
from densnet.training.settings import TrainSettings
from densnet.training.stages import energy_stage
from densnet.workflow.fitting import FITTED, untrained
from densnet.workflow.preparation import prepare
from densnet.workflow.splits import held_out

POINTS, VALIDATION = 4000, 60
TESTS = ("heldout_300K", "heldout_500K")
READS = {"density": None, "without": constant}


def judged(predictor: Predictor, tests: dict[str, list]) -> dict:
    """Errors on each set; the density on twenty frames that are spread over it. They keep their orbitals, which is what it is held to."""
    return {name: objective.evaluate(predictor, spread(part, 20), density_frames=20).summary() for name, part in tests.items()}


def with_density(parts: list[list[Example]], settings: TrainSettings, folder: Path) -> Predictor:
    """Network 1 trained, network 2 as `densnet train` does it."""
    model = load("ethanol")
    predictor = untrained(parts[0], model.settings, model.basis, SEED)
    return fit.train(predictor, *parts, settings, folder)


def without_density(trained: Predictor, parts: list[list[Example]], settings: TrainSettings, folder: Path) -> Predictor:
    """Network 2 anew, reading the same everywhere."""
    folder.mkdir(exist_ok=True)
    fresh = untrained(parts[0], trained.settings, trained.basis, SEED)
    fresh.density_network.load_state_dict(trained.density_network.state_dict())
    fresh = fresh.to(settings.device).train().requires_grad_(True)
    stage = energy_stage(fresh, *parts, settings, read=constant)
    fit.optimise(stage, settings.energy, settings, folder, lambda now: None)
    return fresh


def errors_without(predictor: Predictor, parts: list[list[Example]], tests: dict[str, list[Example]], settings: TrainSettings) -> dict:
    """Energies and forces of a network that is given the mean coefficients."""
    found = {name: energy_stage(predictor, parts[0][:1], examples, settings, read=constant).validate() for name, examples in tests.items()}
    return {name: {k: v for k, v in errors.items() if k != "score"} for name, errors in found.items()}


def result(count: int, chosen: argparse.Namespace) -> dict:
    """Of one size of the training set."""
    folder = chosen.out / str(count)
    folder.mkdir(parents=True, exist_ok=True)
    model = load("ethanol")
    phase = {"batch": 16, "average": 0.995, "validate_every": 500}
    phases = {
        "density": {"steps": 0},
        "points": {**phase, "steps": chosen.points_steps, "learning_rate": 3e-3},
        "energy": {**phase, "steps": chosen.energy_steps, "learning_rate": 2e-3},
    }
    former = model.provenance["training"]
    settings = parse(TrainSettings, {**former, **phases, "device": chosen.device, "threads": chosen.threads}, "training of the model")
    known = held_out(frames(*ETHANOL_500K), settings.validation_fraction, SEED)
    sets = [picked(known[0], count), picked(known[1], VALIDATION)]
    labels = {name: frames(f"ethanol/{name}") for name in TESTS}

    def examples(some: Dataset, fits: int = 0) -> list[Example]:
        return prepare(some, model.basis, chosen.examples, points=POINTS, processes=chosen.workers, fits=fits)

    parts = [examples(sets[0], min(FITTED, count)), examples(sets[1])]
    tests = {name: examples(some) for name, some in labels.items()}
    began = time.monotonic()
    predictor = with_density(parts, settings, folder)
    seconds = time.monotonic() - began
    other = without_density(predictor, parts, settings, folder / "without")
    found = {"without": errors_without(other, parts, tests, settings), "seconds": round(seconds)}
    whole = deepcopy(predictor).to("cpu").requires_grad_(False)
    found["density"] = judged(whole, {name: [label.properties for label in some] for name, some in labels.items()})
    return found


def table(results: dict[int, dict]) -> Table:
    """A row a size."""
    columns = [(test, read, key) for test in TESTS for read in READS for key in ("force_mae_meV_per_A", "energy_mae_meV")]
    names = {"force_mae_meV_per_A": "forces, meV/A", "energy_mae_meV": "energy, meV"}
    head = ["frames", *(f"{test}, {read}: {names[key]}" for test, read, key in columns), "density 500 K, %", "dipole 500 K, mD"]
    rows = []
    for count, row in results.items():
        hot = row["density"]["heldout_500K"]
        cells = [row[read][test][key] for test, read, key in columns]
        rows.append([count, *cells, hot["density_error_percent"], 1000 * hot["dipole_mae_D"]])
    return Table(head, rows)


def main() -> None:
    """Train, judge, print."""
    options = parser(__doc__, "runs/learning_curve")
    training_options(options, "runs/ethanol-examples")
    options.add_argument("--frames", nargs="*", type=int, default=[50, 100, 200, 500, 938])
    options.add_argument("--points-steps", type=int, default=2000)
    options.add_argument("--energy-steps", type=int, default=3000)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(f"{machine_line()}, {chosen.device}", flush=True)
    results = {}
    for count in chosen.frames:
        results[count] = once(chosen.out / str(count) / "result.json", partial(result, count, chosen))
        print(count, json.dumps(results[count]), flush=True)
    conclude(chosen, "learning_curve", {"frames": table(results)})


if __name__ == "__main__":
    main()
