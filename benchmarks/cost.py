"""What a density costs: python benchmarks/cost.py [--calls 60] [--like ethanol]

Free atoms, density (coefficients and exponents of every atom) and dipole of a frame, without energy and forces, on one thread. Untrained
weights, settings of the model `--like`; medians of CPU time, largest resident memory above that before the first call. Every molecule in a
process of its own.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from dataclasses import dataclass

import numpy as np
import torch
from chains import alkane, copies, known, untrained
from experiment import Table, conclude, machine_line, parser
from measuring import WARM_UP, apart, peak_above_now

from densnet.dataset.dataset import formula
from densnet.density.promolecule import shipped
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.reference.oligomers import thiophenes
from densnet.workflow.process import keep_memory

PARTS = ("free atoms", "geometry", "layers", "head", "charges", "dipole")
LINEAR_FROM = 98
"""Atoms from which on the growth is fitted: below, the overhead of operators rules."""


@dataclass(frozen=True)
class Cost:
    """Median ms of each of `PARTS` and of all, MB, functions, neighbours within the cut-off on average."""

    parts: tuple[float, ...]
    total: float
    memory: float
    functions: int
    neighbours: float


def measure(molecules: Molecules, like: str, calls: int) -> Cost:
    """The cost of one call for all ``molecules``."""
    keep_memory()
    torch.set_num_threads(1)
    predictor, moments = untrained(molecules, like), []
    network = predictor.density_network
    for module in (network.layers[-1], network.head):
        module.register_forward_hook(lambda *_: moments.append(time.process_time()))

    def call() -> list[float]:
        moments[:] = [time.process_time()]
        shipped().as_gaussians(molecules.numbers)
        moments.append(time.process_time())
        geometry = predictor.geometry(molecules)
        moments.append(time.process_time())
        output = network(geometry)
        moments.append(time.process_time())
        predictor.density(molecules, output, geometry).dipole()
        moments.append(time.process_time())
        return [1000 * (after - before) for before, after in zip(moments, moments[1:])]

    with torch.no_grad():
        memory = peak_above_now(call)
        rows = np.array([call() for _ in range(WARM_UP + calls)][WARM_UP:])
        present = predictor.geometry(molecules).envelope > 0
    found = np.median(rows, axis=0), float(np.median(rows.sum(1)))
    functions = predictor.basis.functions(molecules.numbers) // molecules.count
    return Cost(tuple(found[0].tolist()), found[1], memory, functions, float(present.sum(1).double().mean()))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--calls", type=int, default=60)
    options.add_argument("--like", default="ethanol")
    chosen = options.parse_args()
    jobs = {
        "ethanol": known("ethanol"),
        "ethanol, batch of 64": copies(known("ethanol"), 64),
        "resorcinol": known("resorcinol"),
        "thiophene 12-mer": thiophenes(12),
    }
    settings = load(chosen.like).settings.density
    torch.set_num_threads(1)
    print(f"{machine_line()}; settings of `{chosen.like}`, {settings}; medians of {chosen.calls} calls")
    head = ["molecule", "atoms", "functions", "neighbours", "ms a call", "ms a frame", *(f"{p}, %" for p in PARTS), "memory, MB"]
    rows, costs = [], apart(measure, [(molecules, chosen.like, chosen.calls) for molecules in jobs.values()])
    for (name, molecules), cost in zip(jobs.items(), costs):
        shares = [round(100 * part / sum(cost.parts)) for part in cost.parts]
        size = [len(molecules.numbers) // molecules.count, cost.functions, cost.neighbours]
        rows.append([name, *size, cost.total, cost.total / molecules.count, *shares, round(cost.memory)])
    tables = {"molecules": Table(head, rows)}
    chains = [alkane(n) for n in (1, 2, 4, 8, 16, 32, 64, 100, 200, 400)]
    costs = list(apart(measure, [(m, chosen.like, chosen.calls) for m in chains]))
    sizes = [len(chain.numbers) for chain in chains]
    columns = {
        "atoms": sizes, "neighbours": [cost.neighbours for cost in costs], "ms": [cost.total for cost in costs],
        "ms an atom": [cost.total / atoms for cost, atoms in zip(costs, sizes)],
    }  # fmt: skip
    tables["alkanes"] = Table(["", *(formula(chain.numbers) for chain in chains)], [[name, *values] for name, values in columns.items()])
    large = [(len(m.numbers), c.total) for m, c in zip(chains, costs) if len(m.numbers) >= LINEAR_FROM]
    exponent = np.polyfit(*np.log(np.array(large)).T, 1)[0]
    conclude(chosen, "cost", tables)
    print(f"from {large[0][0]} to {large[-1][0]} atoms: time ~ atoms^{exponent:.2f}")


if __name__ == "__main__":
    main()
