"""Polarizabilities of labels against finite fields of PySCF, and what they cost: python benchmarks/finite_fields.py [--xc PBE] [--record]

For each molecule of examples/geometries: a label and its response (`densnet.reference.scf`), and the slope of PySCF's own dipole along one
direction of the field by central differences, on the grid of the labels. One core, CPU time.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import time

import numpy as np
import torch
from chains import known
from experiment import Table, conclude, machine_line, markdown_row, parser
from pyscf import dft, gto
from pyscf import scf as theirs

from densnet import units
from densnet.molecules import SYMBOLS, Molecules
from densnet.reference import scf
from densnet.reference.scf import ScfSettings

DIRECTION = np.array([0.5, -0.7, 0.51])


def dipole_slope(molecule: Molecules, settings: ScfSettings, step: float = 5e-4) -> np.ndarray:
    """alpha `DIRECTION` [3], bohr^3, by PySCF; Coulomb and exact exchange are fitted each in its own basis, as ours are."""
    atoms = [(SYMBOLS[z], x) for z, x in zip(molecule.numbers.tolist(), molecule.positions.tolist())]
    mol = gto.M(atom=atoms, unit="Bohr", basis=settings.basis, verbose=0)
    place, dipoles, start = mol.intor("int1e_r"), [], None
    coulomb = theirs.RHF(mol).density_fit(auxbasis=settings.coulomb_basis)
    for sign in (1, -1):
        field = dft.RKS(mol, xc=settings.xc).density_fit(auxbasis=settings.exchange_basis)
        field.grids.atom_grid, field.grids.prune = (settings.radial_points, settings.angular_points), dft.gen_grid.nwchem_prune
        field.conv_tol, field.conv_tol_grad = 1e-12, 1e-7
        core, both = field.get_hcore(), field.get_jk
        field.get_hcore = lambda *_, core=core, sign=sign: core + sign * step * np.einsum("x,xmn->mn", DIRECTION, place)
        field.get_jk = lambda mol=None, dm=None, hermi=1, with_j=True, with_k=True, omega=None, both=both: (
            coulomb.get_jk(mol, dm, hermi, with_k=False)[0] if with_j else None,
            both(mol, dm, hermi, False, True, omega)[1] if with_k else None,
        )
        start = (field.run() if start is None else field.run(dm0=start)).make_rdm1()
        dipoles.append(-np.einsum("xmn,mn->x", place, start))
    return (dipoles[0] - dipoles[1]) / (2 * step)


def compared(name: str, settings: ScfSettings) -> list:
    """A row of the table."""
    molecule, began = known(name), time.process_time()
    label = scf.calculate(molecule, settings)
    labelled = time.process_time()
    alpha = scf.respond(label, settings).polarizability[0].numpy()
    done = time.process_time()
    slope = dipole_slope(molecule, settings)
    difference = abs(alpha @ DIRECTION - slope).max()
    mean = float(np.trace(alpha)) / 3
    volume = mean / units.ANGSTROM**3
    return [name, labelled - began, done - labelled, mean, volume, difference, 100 * difference / float(np.linalg.norm(slope))]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--xc", default="PBE")
    options.add_argument("--molecules", nargs="+", default=["water", "methanol", "methanethiol", "ethanol", "ethanethiol"])
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    columns = ["molecule", "SCF and forces, s", "response, s", "mean alpha, bohr^3", "A^3", "largest difference, bohr^3", "%"]
    table = Table(columns, [])
    for name in chosen.molecules:
        table.rows.append(compared(name, ScfSettings(xc=chosen.xc)))
        print(markdown_row(table.rows[-1]), flush=True)
    conclude(chosen, "finite_fields", {chosen.xc: table})


if __name__ == "__main__":
    main()
