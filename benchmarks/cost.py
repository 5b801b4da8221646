"""What a density costs: python benchmarks/cost.py [--calls 60] [--like ethanol]

Free atoms, density (coefficients and exponents of every atom) and dipole of a frame, without energy and forces, on one thread. Untrained
weights, settings of the model `--like`; medians of CPU time, largest resident memory above that before the first call. Every molecule in a
process of its own.
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

import math
import multiprocessing
import re
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from densnet import units
from densnet.cli.main import keep_memory
from densnet.cli.timing import processor
from densnet.dataset.dataset import formula
from densnet.density.basis import DensityBasis
from densnet.density.promolecule import shipped
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.reference.geometries import read

GEOMETRIES = Path(__file__).parent.parent / "examples" / "geometries"
PARTS = ("free atoms", "geometry", "layers", "head", "charges", "dipole")
WARM_UP, LINEAR_FROM = 10, 98
"""Calls before the first that counts; atoms from which on the growth is fitted: below, the overhead of operators rules."""


@dataclass(frozen=True)
class Cost:
    """Median ms of each of `PARTS` and of all, MB, functions, neighbours within the cut-off on average."""

    parts: tuple[float, ...]
    total: float
    memory: float
    functions: int
    neighbours: float


def thiophenes(rings: int) -> Molecules:
    """A flat oligothiophene, every ring turned against the last: C-S 1.71, C-C 1.37 and 1.42, between rings 1.45 Angstrom."""
    bond, hydrogen = 1.45 * np.array([0.979, -0.2045]), 1.08 * np.array([0.979, -0.2045])
    outer, inner, tip = np.array([1.235, 1.189]), np.array([0.7115, 2.455]), np.array([1.3595, 3.319])
    mirror, atoms, origin = np.array([-1.0, 1.0]), [], np.zeros(2)
    for ring in range(rings):
        up = np.array([1.0, (-1.0) ** ring])
        own = [(16, np.zeros(2))] + [(z, x * side) for z, x in ((6, outer), (6, inner), (1, tip)) for side in (1, mirror)]
        own += [(1, (outer + hydrogen) * side) for side, end in ((mirror, 0), (1, rings - 1)) if ring == end]
        atoms += [(z, [*(origin + up * x), 0.0]) for z, x in own]
        origin = origin + up * (2 * outer + bond)
    return Molecules.single([z for z, _ in atoms], np.array([x for _, x in atoms]) * units.ANGSTROM)


def alkane(carbons: int) -> Molecules:
    """A straight chain: C-C 1.53, C-H 1.09 Angstrom, 112 and 109.5 degrees."""
    half = math.radians(112.0) / 2
    step, rise, spread, reach = 1.53 * math.sin(half), 1.53 * math.cos(half) / 2, 1.09 * math.sin(0.9555), 1.09 * math.cos(0.9555)
    atoms = []
    for k in range(carbons):
        x, side = k * step, (-1.0) ** k
        atoms += [(6, [x, side * rise, 0.0])] + [(1, [x, side * (rise + reach), z]) for z in (spread, -spread)]
    for k, away in ((0, -1.0), (carbons - 1, 1.0)):
        side = (-1.0) ** k
        atoms.append((1, [k * step + 1.09 * away * math.sin(half), side * (rise - 1.09 * math.cos(half)), 0.0]))
    return Molecules.single([z for z, _ in atoms], np.array([x for _, x in atoms]) * units.ANGSTROM)


def untrained(molecules: Molecules, like: str) -> Predictor:
    """A model of the sizes of ``like`` for these elements."""
    torch.manual_seed(1)
    model = load(like)
    basis = DensityBasis.built_in(model.basis.name, molecules.numbers.unique().tolist())
    return Predictor(model.settings, basis, model.neighbours).eval().requires_grad_(False)


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
        before = _resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        call()
        memory = (_resident("VmHWM") - before) / 1024
        rows = np.array([call() for _ in range(WARM_UP + calls)][WARM_UP:])
        present = predictor.geometry(molecules).envelope > 0
    found = np.median(rows, axis=0), float(np.median(rows.sum(1)))
    functions = predictor.basis.functions(molecules.numbers) // molecules.count
    return Cost(tuple(found[0].tolist()), found[1], memory, functions, float(present.sum(1).double().mean()))


def _resident(name: str) -> int:
    """KB."""
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def measured(jobs: dict[str, Molecules], like: str, calls: int) -> dict[str, Cost]:
    """`measure` of each in a fresh process, one after another."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {name: pool.apply(measure, (molecules, like, calls)) for name, molecules in jobs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=60)
    parser.add_argument("--like", default="ethanol")
    chosen = parser.parse_args()
    ethanol, resorcinol = (read(GEOMETRIES / f"{name}.xyz")[0].molecule for name in ("ethanol", "resorcinol"))
    jobs = {
        "ethanol": ethanol,
        "ethanol, batch of 64": Molecules.replicas(ethanol.numbers, ethanol.positions.repeat(64, 1, 1)),
        "resorcinol": resorcinol,
        "thiophene 12-mer": thiophenes(12),
    }
    settings = load(chosen.like).settings.density
    print(f"{processor()}, one thread, torch {torch.__version__}; settings of `{chosen.like}`, {settings}; medians of {chosen.calls} calls")
    print(f"| molecule | atoms | functions | neighbours | ms a call | ms a frame | {' | '.join(f'{p}, %' for p in PARTS)} | memory, MB |")
    print(f"|{'---|' * (7 + len(PARTS))}")
    for name, cost in measured(jobs, chosen.like, chosen.calls).items():
        molecules = jobs[name]
        shares = " | ".join(f"{100 * p / sum(cost.parts):.0f}" for p in cost.parts)
        print(f"| {name} | {len(molecules.numbers) // molecules.count} | {cost.functions} | {cost.neighbours:.1f} | {cost.total:.2f} | "
              f"{cost.total / molecules.count:.2f} | {shares} | {cost.memory:.0f} |", flush=True)  # fmt: skip
    chains = [alkane(n) for n in (1, 2, 4, 8, 16, 32, 64, 100, 200, 400)]
    costs = measured({formula(m.numbers): m for m in chains}, chosen.like, chosen.calls)
    print("\n| alkane | atoms | neighbours | ms | ms an atom |\n|---|---|---|---|---|")
    for molecule, (name, cost) in zip(chains, costs.items()):
        atoms = len(molecule.numbers)
        print(f"| {name} | {atoms} | {cost.neighbours:.1f} | {cost.total:.2f} | {cost.total / atoms:.3f} |")
    large = [(len(m.numbers), c.total) for m, c in zip(chains, costs.values()) if len(m.numbers) >= LINEAR_FROM]
    exponent = np.polyfit(*np.log(np.array(large)).T, 1)[0]
    print(f"from {large[0][0]} to {large[-1][0]} atoms: time ~ atoms^{exponent:.2f}")


if __name__ == "__main__":
    main()
