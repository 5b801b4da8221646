"""How fast and in how much memory each phase of a training learns.

    python benchmarks/training_speed.py [--model ethanol] [--labels labels/ethanol/start_500K.h5] [--frames 64] [--steps 60]

Sizes, basis, batch and weights of the losses as the model `--model` was trained with; untrained weights, so that nothing depends on how
it turned out. Each phase in a process of its own on one thread, by autograd and compiled: the package's own loop (losses, backward,
optimiser, average), CPU time, median of blocks of ten steps; compiling, once for a kind of molecule, is not counted. Start: what a phase
does with each frame before its first step (energy: density and its Jacobian). Memory: largest resident, and what is held for each frame
(with a share of what does not grow). The fits of the densities, done once per data set, are kept in OUT/examples and not counted.
"""

from __future__ import annotations

import contextlib
import os

os.environ["OMP_NUM_THREADS"] = "1"

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from experiment import LABELS, Table, conclude, machine, machine_line, parser, write
from measuring import apart, resident

from densnet.dataset import store
from densnet.model.predictor import load
from densnet.settings import parse
from densnet.training import fit
from densnet.training.examples import Example
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.stages import density_stage, energy_stage, points_stage
from densnet.workflow.fitting import untrained
from densnet.workflow.preparation import prepare
from densnet.workflow.process import keep_memory

START = LABELS / "ethanol" / "start_500K.h5"
STAGES = {"density": density_stage, "points": points_stage, "energy": energy_stage}
POINTS = 4000
"""Points kept of each frame; a step uses `points_per_frame` of them."""


@dataclass(frozen=True)
class Job:
    """What is measured: a phase, compiled or not, the model it is like, the labels, how many frames and steps, the folder of the fits.

    On a GPU (``device`` cuda) or with ``wall`` wall time is measured in place of CPU time; every report of the loop waits for
    a GPU.
    """

    stage: str
    compiled: bool
    model: str
    labels: Path
    frames: int
    steps: int
    examples: Path
    device: str = "cpu"
    threads: int = 1
    wall: bool = False


class Enough(Exception):
    """So many steps are measured."""


@dataclass(frozen=True)
class Speed:
    """Frames per step and second, CPU ms of the start per frame, MB at most, MB a frame, parameters that learn."""

    batch: int
    frames_per_s: float
    start_ms: float
    peak_mb: float
    frame_mb: float
    parameters: int


def measure(job: Job) -> Speed:
    """One phase."""
    keep_memory()
    torch.set_num_threads(1)
    model = load(job.model)
    own = {"compile": job.compiled, "threads": job.threads, "device": job.device}
    clock = time.perf_counter if job.device == "cuda" or job.wall else time.process_time
    settings = parse(TrainSettings, model.provenance["training"] | own, "training of the model")
    before = resident()
    examples = prepared(job.model, job.labels, job.frames, job.examples)
    predictor = untrained(examples, model.settings, model.basis, settings.seed).to(job.device).train().requires_grad_(True)
    began = clock()
    stage = STAGES[job.stage](predictor, examples, examples[:1], settings)
    start = 1000 * (clock() - began) / job.frames
    held = (resident() - before) / job.frames
    plan: StageSettings = getattr(settings, job.stage)
    steps = max(job.steps, fit.COMPILED_FROM)
    plan = plan.model_copy(update={"steps": steps + 1, "validate_every": steps + 2})
    moments = []

    def report(now: fit.Moment) -> None:
        if not now.note:
            moments.append(clock())
        if now.step > job.steps:
            raise Enough

    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Enough):
        fit.optimise(stage, plan, settings, Path(folder), report)
    seconds = [after - former for former, after in zip(moments[1:], moments[2:])]  # not the first ten
    batch, parameters = min(plan.batch, job.frames), sum(p.numel() for p in stage.network.parameters() if p.requires_grad)
    return Speed(batch, 10 * batch / median(seconds), start, resident("VmHWM"), held, parameters)


def prepared(model: str, labels: Path, frames: int, folder: Path) -> list[Example]:
    """So many ``frames`` of ``labels``, spread over them, for a model of the basis of ``model``."""
    found = store.read(labels)
    found = found.select(np.linspace(0, len(found) - 1, frames).round().astype(int))
    return prepare(found, load(model).basis, folder, points=POINTS, processes=1)


def measured(model: str, labels: Path, frames: int, steps: int, examples: Path) -> dict[str, Speed]:
    """All phases, one after another."""
    kinds = [("density", False), *((stage, compiled) for stage in ("points", "energy") for compiled in (False, True))]
    jobs = [Job(stage, compiled, model, labels, frames, steps, examples) for stage, compiled in kinds]
    names = [f"{job.stage}{', compiled' if job.compiled else ''}" for job in jobs]
    return dict(zip(names, apart(measure, [(job,) for job in jobs])))


def table(found: dict[str, Speed]) -> Table:
    """A row a phase."""
    head = ["phase", "parameters", "frames a step", "frames/s", "ms a frame", "start, ms a frame", "memory, MB", "MB a frame"]
    rows = [
        [name, s.parameters, s.batch, s.frames_per_s, 1000 / s.frames_per_s, s.start_ms, s.peak_mb, s.frame_mb] for name, s in found.items()
    ]
    return Table(head, rows)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, "runs/training_speed")
    options.add_argument("--model", default="ethanol", help="model file or shipped name whose sizes and settings are used")
    options.add_argument("--labels", type=Path, default=START)
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--steps", type=int, default=60)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(f"like `{chosen.model}`, {chosen.frames} frames of {chosen.labels.name}, {chosen.steps} steps; {machine_line()}", flush=True)
    found = measured(chosen.model, chosen.labels, chosen.frames, chosen.steps, chosen.out / "examples")
    about = {"model": chosen.model, **machine(), "labels": chosen.labels.name, "frames": chosen.frames, "steps": chosen.steps}
    write(chosen.out.with_suffix(".json"), about | {"phases": {name: asdict(speed) for name, speed in found.items()}})
    conclude(chosen, "training_speed", {"phases": table(found)})


if __name__ == "__main__":
    main()
