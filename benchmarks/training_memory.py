"""How much memory a training needs, and how it grows with the number of frames.

    python benchmarks/training_memory.py [--labels labels/resorcinol/*.h5] [--frames 100 400] [--steps 5] [--density]

The whole of `densnet train` at the sizes and settings of the model `--model`, each number of frames in a process of its own on one thread:
labels read, examples prepared, scales, some steps of each phase by autograd, uncertainty. After each the memory that is the process's own
(anonymous pages: what the system keeps of files it gives back by itself) at that moment, and the largest resident so far. With `--density`
the phase that learns in the Coulomb metric, too. The examples are prepared before, in OUT/examples, unless they are there.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
from pathlib import Path

import numpy as np
import torch
from experiment import LABELS, Table, conclude, machine, machine_line, parser, write
from measuring import apart, resident

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.density.basis import DensityBasis
from densnet.model.predictor import load
from densnet.settings import parse
from densnet.training.settings import TrainSettings
from densnet.workflow.fitting import examples_of, train_on, untrained
from densnet.workflow.process import keep_memory
from densnet.workflow.splits import elements_of

POINTS = 4000
VALIDATION = 0.06
"""Share of the frames."""


def parts(labels: list[Path], frames: int) -> tuple[Dataset, Dataset]:
    """So many frames, evenly over all, to train on and to validate."""
    every = store.read(*labels)
    some = every.select(np.linspace(0, len(every) - 1, frames).round().astype(int))
    count = max(1, round(VALIDATION * frames))
    return some.select(range(count, frames)), some.select(range(count))


def plan_of(model: str, steps: int, *, density: bool) -> TrainSettings:
    """The settings of the model, with few steps of each phase."""
    former = load(model).provenance["training"]
    own = {phase: {**former[phase], "steps": steps, "validate_every": steps} for phase in ("density", "points", "energy")}
    own["density"]["steps"] = steps if density else 0
    return parse(TrainSettings, former | own | {"compile": False, "threads": 1}, "training of the model")


def prepare(labels: list[Path], frames: int, model: str, plan: TrainSettings, out: Path) -> int:
    """The examples as files; how many there are."""
    some = parts(labels, frames)
    basis = DensityBasis.built_in(load(model).basis.name, elements_of(some[0]))
    return sum(map(len, examples_of(some, basis, out, POINTS, plan, lambda *now: None)))


def measure(labels: list[Path], frames: int, model: str, plan: TrainSettings, out: Path) -> dict[str, tuple[float, float]]:
    """MB after each step of the way: the process's own now, and the largest resident so far."""
    keep_memory()
    torch.set_num_threads(1)
    like, found = load(model), {}

    def note(name: str) -> None:
        found[name] = resident("RssAnon"), resident("VmHWM")

    note("start")
    some = parts(labels, frames)
    note("labels")
    basis = DensityBasis.built_in(like.basis.name, elements_of(some[0]))
    examples = examples_of(some, basis, out, POINTS, plan, lambda *now: None)
    note("examples")
    predictor = untrained(examples[0], like.settings, basis, plan.seed)
    note("scales")

    def progress(step: int, steps: int, what: str) -> None:
        note(what.split(" (")[0])

    with tempfile.TemporaryDirectory(dir=out) as folder:
        train_on(predictor, examples, plan, Path(folder), progress)
    return found


def table(found: dict[int, dict[str, tuple[float, float]]]) -> Table:
    """A row a step of the way: the process's own memory and the largest resident for each number of frames, and the growth a frame."""
    few, many = min(found), max(found)
    head = ["after", *(f"{n} frames, own MB" for n in found), *(f"{n} frames, largest MB" for n in found), "kB a frame"]
    rows = []
    for name in found[few]:
        own, most = ([found[n][name][k] for n in found] for k in (0, 1))
        rows.append([name, *own, *most, 1024 * (found[many][name][1] - found[few][name][1]) / (many - few)])
    return Table(head, rows)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, "runs/training_memory")
    options.add_argument("--model", default="resorcinol", help="model file or shipped name whose sizes and settings are used")
    options.add_argument("--labels", type=Path, nargs="+", default=sorted((LABELS / "resorcinol").glob("[tmd]*.h5")))
    options.add_argument("--frames", type=int, nargs=2, default=[100, 400])
    options.add_argument("--steps", type=int, default=5)
    options.add_argument("--density", action="store_true")
    chosen = options.parse_args()
    print(f"like `{chosen.model}`, {chosen.steps} steps a phase; {machine_line()}", flush=True)
    plan, examples = plan_of(chosen.model, chosen.steps, density=chosen.density), chosen.out / "examples"
    jobs = [(chosen.labels, frames, chosen.model, plan, examples) for frames in sorted(chosen.frames)]
    for job in jobs:
        prepare(*job)
    found = dict(zip(sorted(chosen.frames), apart(measure, jobs)))
    write(chosen.out / "results.json", {**machine(), "model": chosen.model, "steps": chosen.steps, "found": found})
    conclude(chosen, "training_memory", {"density" if chosen.density else "points": table(found)})


if __name__ == "__main__":
    main()
