"""Raman activities and depolarisation ratios against those of another program: python benchmarks/raman_formula.py [--record]

Divinylbenzene, B3LYP/STO-3G (local correlation VWN5), at the geometry of an output of ORCA 6.0.1 (data/ORCA/basicORCA6.0/dvb_raman.out of
cclib: numerical frequencies, analytic polarizabilities): its strongest lines. Here: PySCF's analytic Hessian, slopes of the polarizability
of `densnet.reference.response` by central differences, `densnet.spectra.raman.from_modes`. Besides, methane at PBE/aug-cc-pVDZ, whose
breathing mode has depolarisation 0 by symmetry.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable

import numpy as np
import torch
from experiment import Table, conclude, machine_line, once, parser
from pyscf import dft, gto
from torch import Tensor

from densnet import units
from densnet.molecules import SYMBOLS, Molecules
from densnet.observables import vibrations
from densnet.observables.pointgroup import up_to_symmetry
from densnet.observables.response import polarizability_derivatives
from densnet.observables.vibrations import Modes, relax
from densnet.properties import Properties
from densnet.reference import response, scf
from densnet.reference.coulomb import Coulomb
from densnet.reference.exact_exchange import ExactExchange
from densnet.reference.scf import ScfSettings
from densnet.spectra import raman

HALF = [
    ("C", 1.4152533224, -0.2302217854),
    ("C", 0.4951331558, -1.3144608674),
    ("C", 0.8894090436, 1.0909493743),
    ("H", 0.8795511985, -2.3437343748),
    ("H", 1.5779041557, 1.9450061275),
    ("C", 2.8845844962, -0.5210893778),
    ("H", 3.1403356810, -1.5919605685),
    ("C", 3.8800428103, 0.3822535424),
    ("H", 3.6946765858, 1.4624389570),
    ("H", 4.9316453546, 0.0711049543),
]
"""Angstrom, z = 0; the other half is opposite."""

ORCA = [
    (1293.10, 147.237644, 0.326210),
    (1391.40, 18.895885, 0.535478),
    (1428.22, 60.605850, 0.322295),
    (1558.56, 353.440211, 0.337109),
    (1692.57, 44.957191, 0.411263),
    (1739.89, 1036.771663, 0.394501),
    (1813.14, 491.792508, 0.283470),
]
"""cm^-1, A^4/amu, depolarisation ratio: all of at least 10 A^4/amu between 1280 and 2000 cm^-1, apart from each other. Nearer ones, such as
the C-H stretches, are mixed otherwise by every small difference of two Hessians."""

RANGE = 1280, 2000
STRONG = 10

XC = "B3LYP5"


def divinylbenzene() -> Molecules:
    """At ORCA's geometry."""
    symbols = [symbol for symbol, _, _ in HALF] * 2
    half = np.array([[x, y, 0.0] for _, x, y in HALF])
    return Molecules.single([SYMBOLS.index(s) for s in symbols], torch.as_tensor(np.vstack([half, -half])) * units.ANGSTROM)


def calculated(molecule: Molecules) -> dft.rks.RKS:
    """Kohn-Sham by PySCF."""
    atoms = [(SYMBOLS[z], x) for z, x in zip(molecule.numbers.tolist(), molecule.positions.tolist())]
    field = dft.RKS(gto.M(atom=atoms, unit="Bohr", basis="sto-3g", verbose=0), xc=XC)
    field.grids.atom_grid, field.conv_tol, field.conv_tol_grad = (50, 302), 1e-11, 1e-6
    return field.run()


def alpha_of(molecule: Molecules) -> Tensor:
    """[3, 3] bohr^3 of divinylbenzene."""
    field = calculated(molecule)
    coulomb = Coulomb(field.mol, "def2-universal-jfit", 1000)
    exchange = ExactExchange(field.mol, "def2-universal-jkfit", XC)
    occupied = field.mo_coeff[:, field.mo_occ > 0]
    return torch.from_numpy(response.respond(occupied, field.get_fock(), XC, coulomb, exchange, 500).polarizability)


def lines(modes: Modes, alpha: Callable[[Molecules], Tensor]) -> raman.Lines:
    """Of a molecule with these modes."""
    return raman.from_modes(modes, polarizability_derivatives(up_to_symmetry(alpha, modes.molecule), modes.molecule))


def of_divinylbenzene() -> dict:
    """Wavenumber, activity and depolarisation ratio of each mode."""
    molecule = divinylbenzene()
    hessian = calculated(molecule).Hessian().kernel().transpose(0, 2, 1, 3).reshape(2 * 3 * len(HALF), -1)
    found = lines(vibrations.modes(molecule, torch.from_numpy(hessian)), alpha_of)
    return {"lines": [list(map(float, row)) for row in zip(found.frequencies, found.activities, found.depolarisation)]}


def main() -> None:
    """Measure and print."""
    chosen = parser(__doc__, "runs/raman_formula").parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    found = once(chosen.out / "divinylbenzene.json", of_divinylbenzene)["lines"]
    strong = [line for line in found if RANGE[0] < line[0] < RANGE[1] and line[1] >= STRONG]
    columns = ["ORCA 6.0.1, cm^-1", "here", "ORCA, A^4/amu", "here", "depolarisation, ORCA", "here"]
    table = Table(columns, [[x for pair in zip(theirs, ours) for x in pair] for theirs, ours in zip(ORCA, strong, strict=True)])
    settings = ScfSettings()
    side = 1.1 * units.ANGSTROM / 3**0.5
    corners = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    label = lambda m: Properties.concatenate([scf.calculate(one, settings) for one in m.split()])  # noqa: E731
    still = relax(label, Molecules.single([6, 1, 1, 1, 1], side * corners))
    breathing = corners / corners.norm()
    alpha = lambda m: scf.respond(scf.calculate(m, settings), settings).polarizability[0]  # noqa: E731
    slopes = polarizability_derivatives(up_to_symmetry(alpha, still), still)
    mean, anisotropy = raman.invariants(torch.einsum("ax,axij->ij", breathing, slopes) / units.AMU**0.5)
    activity = float(45 * mean + 7 * anisotropy) / units.RAMAN_ACTIVITY * units.AMU / float(still.masses[1])
    methane = Table(
        ["methane", "A^4/amu", "depolarisation"], [["breathing", activity, float(3 * anisotropy / (45 * mean + 4 * anisotropy))]]
    )
    conclude(chosen, "raman_formula", {"divinylbenzene": table, "methane": methane})


if __name__ == "__main__":
    main()
