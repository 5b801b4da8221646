"""How fast a training learns by one process with two threads, and by two processes with one thread each, on the same two cores.

    python benchmarks/training_ranks.py [--model ethanol] [--labels labels/ethanol/start_500K.h5] [--frames 64] [--steps 40] [--repeats 3]

Phases, sizes and loop as in training_speed.py, under `torchrun`, wall time. Both ways in turn, `--repeats` times, the fastest of each:
other work on the machine only makes them slower.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from experiment import Table, conclude, machine, machine_line, parser, write
from measuring import apart
from training_speed import START, Job, measure, prepared

from densnet.training import ranks

WAYS = {"1 process, 2 threads": (1, 2), "2 processes, 1 thread": (2, 1)}
PHASES = {"density": False, "points": False, "energy": False, "energy, compiled": True}
"""Which are compiled."""


def prepare(model: str, labels: Path, frames: int, folder: Path) -> None:
    """Fits and points of the frames, which all processes then find in ``folder``."""
    prepared(model, labels, frames, folder)


def part(job: dict, out: Path) -> None:
    """What one of the processes does; the first writes how many frames a second all together have learned from."""
    job = Job(**{**job, "labels": Path(job["labels"]), "examples": Path(job["examples"])})
    with ranks.joined("cpu"):
        speed = measure(job)
        if ranks.first():
            write(out, asdict(speed))


def frames_per_second(job: Job, processes: int, out: Path) -> float:
    """Under `torchrun`."""
    given = json.dumps(asdict(job), default=str)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, __file__, "--part", given]
    subprocess.run([*map(str, command), "--out", str(out)], check=True)
    return json.loads(out.read_text())["frames_per_s"]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, "runs/training_ranks")
    options.add_argument("--model", default="ethanol", help="model file or shipped name whose sizes and settings are used")
    options.add_argument("--labels", type=Path, default=START)
    options.add_argument("--frames", type=int, default=64)
    options.add_argument("--steps", type=int, default=40)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    options.add_argument("--part", help="what one process does; given by this script itself")
    chosen = options.parse_args()
    if chosen.part:
        part(json.loads(chosen.part), chosen.out)
        return
    print(f"like `{chosen.model}`, {chosen.frames} frames of {chosen.labels.name}, {chosen.steps} steps; {machine_line()}", flush=True)
    list(apart(prepare, [(chosen.model, chosen.labels, chosen.frames, chosen.out / "examples")]))
    found: dict[str, dict[str, float]] = {}
    for phase in chosen.phases:
        best = dict.fromkeys(WAYS, 0.0)
        for _ in range(chosen.repeats):
            for way, (processes, threads) in WAYS.items():
                job = Job(
                    phase.split(",")[0], PHASES[phase], chosen.model, chosen.labels, chosen.frames, chosen.steps, chosen.out / "examples",
                    threads=threads, wall=True,
                )  # fmt: skip
                best[way] = max(best[way], frames_per_second(job, processes, chosen.out / "part.json"))
        found[phase] = best
        print(phase, best, flush=True)
    write(chosen.out.with_suffix(".json"), {"model": chosen.model, **machine(), "frames": chosen.frames, "phases": found})
    rows = [[phase, *best.values(), best["2 processes, 1 thread"] / best["1 process, 2 threads"]] for phase, best in found.items()]
    conclude(chosen, "training_ranks", {"phases": Table(["phase", *(f"{way}, frames/s" for way in WAYS), "ratio"], rows)})


if __name__ == "__main__":
    main()
