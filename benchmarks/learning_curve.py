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
from pathlib import Path

import torch
from ablations import SEED, picked
from energy_inputs import constant
from measuring import machine_line, markdown

from densnet.dataset import store
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

LABELS = Path(__file__).resolve().parent.parent / "labels" / "ethanol"
POINTS, VALIDATION = 4000, 60
TESTS = ("heldout_300K", "heldout_500K")
READS = {"density": None, "without": constant}


def judged(predictor: Predictor, frames: dict[str, list]) -> dict:
    """Errors on each set; the density on twenty frames that are spread over it. They keep their orbitals, which is what it is held to."""
    third = {name: part[::3] + part[1::3] + part[2::3] for name, part in frames.items()}
    return {name: objective.evaluate(predictor, part, density_frames=20).summary() for name, part in third.items()}


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
    stage = energy_stage(fresh, *parts, settings, constant)
    fit.optimise(stage, settings.energy, settings, folder, lambda now: None)
    return fresh


def errors_without(predictor: Predictor, parts: list[list[Example]], tests: dict[str, list[Example]], settings: TrainSettings) -> dict:
    """Energies and forces of a network that is given the mean coefficients."""
    found = {name: energy_stage(predictor, parts[0][:1], examples, settings, constant).validate() for name, examples in tests.items()}
    return {name: {k: v for k, v in errors.items() if k != "score"} for name, errors in found.items()}


def result(frames: int, chosen: argparse.Namespace) -> dict:
    """Of one size of the training set."""
    folder = chosen.out / str(frames)
    done = folder / "result.json"
    if done.exists():
        return json.loads(done.read_text())
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
    known = held_out(store.read(LABELS / "start_500K.h5", *sorted(LABELS.glob("training_500K.*.h5"))), settings.validation_fraction, SEED)
    sets = [picked(known[0], frames), picked(known[1], VALIDATION)]
    labels = {name: store.read(*sorted(LABELS.glob(f"{name}.*.h5"))) for name in TESTS}

    def examples(some: Dataset, fits: int = 0) -> list[Example]:
        return prepare(some, model.basis, chosen.examples, points=POINTS, processes=chosen.workers, fits=fits)

    parts = [examples(sets[0], min(FITTED, frames)), examples(sets[1])]
    tests = {name: examples(some) for name, some in labels.items()}
    began = time.monotonic()
    predictor = with_density(parts, settings, folder)
    seconds = time.monotonic() - began
    other = without_density(predictor, parts, settings, folder / "without")
    found = {"without": errors_without(other, parts, tests, settings), "seconds": round(seconds)}
    whole = deepcopy(predictor).to("cpu").requires_grad_(False)
    found["density"] = judged(whole, {name: [label.properties for label in some] for name, some in labels.items()})
    done.write_text(json.dumps(found, indent=1))
    return found


def table(results: dict[int, dict]) -> str:
    """As Markdown, a row a size."""
    columns = [(test, read, key) for test in TESTS for read in READS for key in ("force_mae_meV_per_A", "energy_mae_meV")]
    names = {"force_mae_meV_per_A": "forces, meV/A", "energy_mae_meV": "energy, meV"}
    head = ["frames", *(f"{test}, {read}: {names[key]}" for test, read, key in columns), "density 500 K, %", "dipole 500 K, mD"]
    rows = []
    for frames, row in results.items():
        hot = row["density"]["heldout_500K"]
        cells = [row[read][test][key] for test, read, key in columns]
        rows.append([frames, *cells, hot["density_error_percent"], 1000 * hot["dipole_mae_D"]])
    return markdown(head, rows)


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", nargs="*", type=int, default=[50, 100, 200, 500, 938])
    parser.add_argument("--points-steps", type=int, default=2000)
    parser.add_argument("--energy-steps", type=int, default=3000)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="cores at work; 0 = all")
    parser.add_argument("--workers", type=int, default=0, help="processes that fit densities; 0 = all cores")
    parser.add_argument("--out", type=Path, default=Path("runs/learning_curve"))
    parser.add_argument("--examples", type=Path, default=Path("runs/ethanol-examples"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine_line()}, {chosen.device}", flush=True)
    results = {}
    for frames in chosen.frames:
        results[frames] = result(frames, chosen)
        print(frames, json.dumps(results[frames]), flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
