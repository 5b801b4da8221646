"""Dynamics on one GPU: time of a step against the number of replicas, kernel by kernel and as a recorded graph; training of energies.

    python benchmarks/gpu.py [--seconds 3] [--block 0] [--out runs/gpu]
    python benchmarks/gpu.py --device cpu --seconds 0.5       # the same with few replicas, to see whether it works

A step is a force call and the integrator (constant energy, float32 networks) as `densnet simulate` does it, always from the same state;
ethanol by the shipped model, resorcinol by untrained weights of the same sizes. Wall time of blocks of steps, the GPU at rest before and
after each, median of ten blocks (CPU: CPU time). Memory of the GPU: largest allocated, graph included. Training: the package's own loop as
in training_speed.py, energy and forces on a frozen density. A few minutes; writes OUT.json.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from dataclasses import asdict, dataclass
from statistics import median

import torch
from chains import known, untrained
from experiment import Table, machine, machine_line, markdown_row, parser, record, write
from torch import Generator
from training_speed import START, Job
from training_speed import measure as measure_training

from densnet import units
from densnet.model.graphed import Graphed
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.simulation.initial import deal, maxwell_boltzmann
from densnet.simulation.integrators import State, Step, init, velocity_verlet
from densnet.simulation.run import SimulateSettings
from densnet.workflow import timing
from densnet.workflow.forces import force_function
from densnet.workflow.process import keep_memory

REPLICAS = {
    "cuda": {"ethanol": (1, 8, 64, 512, 4096, 16384), "resorcinol": (1, 512)},
    "cpu": {"ethanol": (1, 8), "resorcinol": (1,)},
}
WARM_UP, BLOCKS = 10, 10


@dataclass(frozen=True)
class Figures:
    """What is measured of a step of all replicas together; ``block`` replicas at once, memory in MB (None on the CPU)."""

    molecule: str
    replicas: int
    block: int
    graph: bool
    ms: float
    replica_steps_per_s: float
    memory: float | None


def model_of(molecule: str, device: str) -> Predictor:
    """The shipped model, or untrained weights of the sizes of that for ethanol."""
    return load("ethanol", device) if molecule == "ethanol" else untrained(known(molecule), "ethanol").to(device)


def prepared(predictor: Predictor, start: Molecules, settings: SimulateSettings) -> tuple[Step, State]:
    """A step of dynamics at constant energy, and where it starts: 300 K."""
    forces = force_function(predictor, start, settings, print)
    replicas = deal(start, settings.replicas).to(settings.place)
    generator = Generator(settings.place).manual_seed(settings.seed)
    state = init(forces, replicas, maxwell_boltzmann(replicas, settings.temperature * units.KELVIN, generator))
    return velocity_verlet(forces, state.masses, settings.timestep), state


def seconds_a_step(step: Step, state: State, clock: timing.Clock, steps: int) -> float:
    """Mean of so many steps in a row."""
    begun = clock()
    for _ in range(steps):
        step(state)
    return (clock() - begun) / steps


def measure(molecule: str, replicas: int, chosen: argparse.Namespace, *, graph: bool) -> Figures:
    """One row of the table; the blocks of steps take ``chosen.seconds`` together."""
    on_gpu = chosen.device == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    settings = SimulateSettings(replicas=replicas, device=chosen.device, threads=1, compile=graph, block=chosen.block)
    start = known(molecule)
    step, state = prepared(model_of(molecule, chosen.device), start, settings)
    clock = timing.clock(1, chosen.device)
    seconds_a_step(step, state, clock, WARM_UP)
    steps = max(1, round(chosen.seconds / BLOCKS / seconds_a_step(step, state, clock, WARM_UP)))
    each = median(seconds_a_step(step, state, clock, steps) for _ in range(BLOCKS))
    memory = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None
    block = settings.block_size(len(start.numbers))
    return Figures(molecule, replicas, block, graph, 1000 * each, replicas / each, memory)


def graph_error(molecule: str) -> float:
    """Largest difference between forces of the graph and of the model it was recorded of, hartree / bohr."""
    predictor, start = model_of(molecule, "cuda"), known(molecule).to("cuda")
    return float((Graphed(predictor, start)(start).forces - predictor(start).forces).abs().max())


def table(found: list[Figures]) -> Table:
    """A row a case."""
    head = ["molecule", "replicas", "at once", "", "ms a step", "replica steps a second", "memory, MB"]
    rows = [[f.molecule, f.replicas, f.block, "graph" if f.graph else "eager", f.ms, f.replica_steps_per_s, f.memory] for f in found]
    return Table(head, rows)


def main() -> None:
    """Measure, print, write; training last, so that a failure there loses nothing."""
    options = parser(__doc__, "runs/gpu")
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options.add_argument("--seconds", type=float, default=3.0, help="of measuring for each row")
    options.add_argument("--block", type=int, default=0, help="replicas computed at once, at most; 0: as `simulate` chooses")
    options.add_argument("--frames", type=int, default=64, help="of the training")
    chosen = options.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    place = SimulateSettings(device=chosen.device).place
    print(f"{timing.hardware(place.type)}; {machine_line()}, CUDA {torch.version.cuda}", flush=True)
    ways = (False, True) if chosen.device == "cuda" else (False,)
    cases = [(molecule, n, graph) for molecule, counts in REPLICAS[chosen.device].items() for n in counts for graph in ways]
    rows = []
    for molecule, n, graph in cases:
        rows.append(measure(molecule, n, chosen, graph=graph))
        print(markdown_row(table(rows[-1:]).rows[0]), flush=True)
    print(f"\n{table(rows).markdown()}", flush=True)
    found = {"device": timing.hardware(place.type), **machine(), "cuda": torch.version.cuda, "steps": [asdict(row) for row in rows]}
    if chosen.device == "cuda":
        found["graph_error"] = {molecule: graph_error(molecule) for molecule in REPLICAS["cuda"]}
        print(f"\nlargest difference of a force, graph - eager, hartree/bohr: {found['graph_error']}", flush=True)
    path = chosen.out.with_suffix(".json")
    write(path, found)
    found["training"] = []
    for phase, recorded in ((phase, way) for phase in ("points", "energy") for way in ways):
        job = Job(phase, recorded, "ethanol", START, chosen.frames, 60, chosen.out / "examples", chosen.device)
        speed = measure_training(job)
        way = "graph" if recorded else "eager"
        print(f"training, {phase}, {way}: {speed.frames_per_s:.0f} frames a second, {speed.batch} a step", flush=True)
        found["training"].append({"phase": phase, "graph": recorded, **asdict(speed)})
        write(path, found)
    if chosen.record:
        rates = [[one["phase"], "graph" if one["graph"] else "eager", one["frames_per_s"]] for one in found["training"]]
        record("gpu", {"steps": table(rows), "training": Table(["phase", "", "frames/s"], rates)}, vars(chosen) | {"gpu": found["device"]})


if __name__ == "__main__":
    main()
