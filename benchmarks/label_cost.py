"""What labels of other functionals cost, and how the terms of a label grow with a chain.

    python benchmarks/label_cost.py functionals [--molecules ethanol resorcinol "2 thiophenes"] [--xc PBE B3LYP PBE0 ...] [--record]
    python benchmarks/label_cost.py growth [--rings 1 2 3 4 6 8 12] [--basis def2-svp] [--record]

functionals: one label each with the defaults of `label.scf`, energy, forces and dipole. growth: each term once, for oligothiophenes at
random torsions and superposed atoms; exchange and correlation on the grid of the labels. One core, CPU time.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from chains import known
from experiment import Table, machine_line, markdown_row, parser, record
from pyscf import gto, scf

from densnet.molecules import SYMBOLS, Molecules
from densnet.reference.becke import Grid
from densnet.reference.coulomb import Coulomb
from densnet.reference.densitymatrix import DensityMatrix
from densnet.reference.exchange import ExchangeCorrelation
from densnet.reference.oligomers import random_thiophenes
from densnet.reference.scf import ScfSettings, calculate


def molecule(name: str) -> Molecules:
    """`N thiophenes`, or one of examples/geometries."""
    rings = name.removesuffix(" thiophenes")
    return random_thiophenes(int(rings), np.random.default_rng(int(rings))) if rings != name else known(name)


def seconds(work: Callable[[], object]) -> float:
    """CPU time of ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def functionals(names: list[str], chosen: list[str]) -> Table:
    """Seconds a label: a row for each functional."""
    table = Table(["functional", *(f"{name}, s" for name in names)], [])
    for xc in chosen:
        settings = ScfSettings(xc=xc, memory_mb=6000)
        table.rows.append([xc, *(seconds(partial(calculate, molecule(name), settings)) for name in names)])
        print(markdown_row(table.rows[-1]), flush=True)
    return table


def growth(rings: list[int], basis: str) -> Table:
    """Seconds of each term, and the share of AOs that a block of points sees."""
    times = ["potential of XC, s", "gradient of XC, s", "J, s", "gradient of J, s"]
    table, settings = Table(["rings", "atoms", "AOs", "grid points", "AOs at a point, %", *times], []), ScfSettings()
    for n in rings:
        chain = random_thiophenes(n, np.random.default_rng(n))
        atoms = [(SYMBOLS[z], x) for z, x in zip(chain.numbers.tolist(), chain.positions.tolist())]
        mol = gto.M(atom=atoms, unit="Bohr", basis=basis, verbose=0)
        density = DensityMatrix.of_matrix(scf.hf.init_guess_by_minao(mol))
        grid = Grid.around(mol, settings.radial_points, settings.angular_points)
        semilocal = ExchangeCorrelation(mol, grid, settings.xc, 0)
        coulomb = Coulomb(mol, settings.coulomb_basis, 3000)
        shares = [len(block.number) * len(block.points) for block in semilocal._blocks(1)]
        share = 100 * sum(shares) / (mol.nao * len(grid.weights))
        times = [seconds(partial(work, density)) for term in (semilocal, coulomb) for work in (term.potential, term.gradient)]
        table.rows.append([n, mol.natm, mol.nao, len(grid.weights), share, *times])
        print(markdown_row(table.rows[-1]), flush=True)
    return table


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("what", choices=("functionals", "growth"))
    options.add_argument("--molecules", nargs="+", default=["ethanol", "resorcinol", "2 thiophenes"])
    options.add_argument("--xc", nargs="+", default=["PBE", "B3LYP", "PBE0", "r2SCAN", "wB97X"])
    options.add_argument("--rings", nargs="+", type=int, default=[1, 2, 3, 4, 6, 8, 12])
    options.add_argument("--basis", default="def2-svp", help="of `growth`")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    table = functionals(chosen.molecules, chosen.xc) if chosen.what == "functionals" else growth(chosen.rings, chosen.basis)
    print(f"\n{table.markdown()}")
    if chosen.record:
        record("label_cost", {chosen.what: table}, vars(chosen))


if __name__ == "__main__":
    main()
