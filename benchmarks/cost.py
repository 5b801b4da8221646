"""What a density costs: python benchmarks/cost.py [--calls 60] [--like ethanol]

Free atoms, density (coefficients and exponents of every atom) and dipole of a frame, without energy and forces, on one thread. Untrained
weights, settings of the model `--like`; medians of CPU time, largest resident memory above that before the first call. Every molecule in a
process of its own.
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from dataclasses import dataclass

import numpy as np
import torch
from chains import alkane, copies, known, untrained
from measuring import WARM_UP, apart, peak_above_now

from densnet.dataset.dataset import formula
from densnet.density.promolecule import shipped
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.reference.oligomers import thiophenes
from densnet.workflow.process import keep_memory
from densnet.workflow.timing import processor

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--like", default="ethanol")
    chosen = parser.parse_args()
    jobs = {
        "ethanol": known("ethanol"),
        "ethanol, batch of 64": copies(known("ethanol"), 64),
        "resorcinol": known("resorcinol"),
        "thiophene 12-mer": thiophenes(12),
    }
    settings = load(chosen.like).settings.density
    print(f"{processor()}, one thread, torch {torch.__version__}; settings of `{chosen.like}`, {settings}; medians of {chosen.calls} calls")
    print(f"| molecule | atoms | functions | neighbours | ms a call | ms a frame | {' | '.join(f'{p}, %' for p in PARTS)} | memory, MB |")
    print(f"|{'---|' * (7 + len(PARTS))}")
    costs = apart(measure, [(molecules, chosen.like, chosen.calls) for molecules in jobs.values()])
    for (name, molecules), cost in zip(jobs.items(), costs):
        shares = " | ".join(f"{100 * p / sum(cost.parts):.0f}" for p in cost.parts)
        print(f"| {name} | {len(molecules.numbers) // molecules.count} | {cost.functions} | {cost.neighbours:.1f} | {cost.total:.2f} | "
              f"{cost.total / molecules.count:.2f} | {shares} | {cost.memory:.0f} |", flush=True)  # fmt: skip
    chains = [alkane(n) for n in (1, 2, 4, 8, 16, 32, 64, 100, 200, 400)]
    costs = list(apart(measure, [(m, chosen.like, chosen.calls) for m in chains]))
    print("\n| alkane | atoms | neighbours | ms | ms an atom |\n|---|---|---|---|---|")
    for molecule, cost in zip(chains, costs):
        atoms = len(molecule.numbers)
        print(f"| {formula(molecule.numbers)} | {atoms} | {cost.neighbours:.1f} | {cost.total:.2f} | {cost.total / atoms:.3f} |")
    large = [(len(m.numbers), c.total) for m, c in zip(chains, costs) if len(m.numbers) >= LINEAR_FROM]
    exponent = np.polyfit(*np.log(np.array(large)).T, 1)[0]
    print(f"from {large[0][0]} to {large[-1][0]} atoms: time ~ atoms^{exponent:.2f}")


if __name__ == "__main__":
    main()
