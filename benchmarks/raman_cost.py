"""What the polarizability adds to a step of dynamics: python benchmarks/raman_cost.py MODEL [--molecule water] [--compile] [--record]

CPU time of one thread for a block of replicas, as `densnet simulate` makes them: forces, and the polarizability that sampled steps add.
A row is added to those of before.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable
from statistics import median

import torch
from experiment import Table, conclude, machine_line, once, parser

from densnet.model.compiled import Compiled
from densnet.model.polarizability import Polarizability
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.simulation.initial import deal
from densnet.simulation.run import SimulateSettings


def milliseconds(function: Callable[[Molecules], object], replicas: Molecules, calls: int = 10, rounds: int = 9) -> float:
    """Of CPU for one call, the median of ``rounds`` of ``calls``."""
    for _ in range(calls):
        function(replicas)
    found = []
    for _ in range(rounds):
        begin = time.process_time()
        for _ in range(calls):
            function(replicas)
        found.append(1000 * (time.process_time() - begin) / calls)
    return median(found)


def measured(model: str, molecule: str, *, compiled: bool) -> dict:
    """Replicas in a block, and CPU milliseconds of forces and of the polarizability."""
    predictor = load(model)
    start = Molecules.concatenate([frame.molecule for frame in read(shipped.geometries(molecule))])
    replicas = deal(start, SimulateSettings(replicas=192, compile=compiled).block_size(int(start.sizes[0])))
    forces, alpha = predictor, Polarizability(predictor)
    if compiled:
        forces, alpha = Compiled(forces, replicas, announce=print), Compiled(alpha, replicas, announce=print, ask=Polarizability.__call__)
    shaken = replicas.at(replicas.positions + 0.02 * torch.randn(replicas.positions.shape, generator=torch.Generator().manual_seed(0)))
    return {"replicas": replicas.count, "forces": milliseconds(forces, shaken), "alpha": milliseconds(alpha, shaken)}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, out="runs/raman-cost")
    options.add_argument("model")
    options.add_argument("--molecule", default="water", choices=shipped.names())
    options.add_argument("--compile", action="store_true", help="also compiled (minutes, once)")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    for compiled in (False, True) if chosen.compile else (False,):
        path = chosen.out / f"{chosen.molecule}-{'compiled' if compiled else 'as it is'}.json"
        once(path, lambda compiled=compiled: measured(chosen.model, chosen.molecule, compiled=compiled))
    rows = []
    for path in sorted(chosen.out.glob("*.json")):
        molecule, _, kind = path.stem.partition("-")
        found = once(path, dict)
        share = found["alpha"] / found["forces"]
        rows.append([molecule, kind, found["replicas"], found["forces"], found["alpha"], 1 + share / 4, 1 + share / 2])
    titles = ["molecule", "model", "replicas", "forces, ms", "polarizability, ms", "cost, every 4 steps", "every 2 steps"]
    conclude(chosen, "raman_cost", {"steps": Table(titles, rows)})


if __name__ == "__main__":
    main()
