"""Occupied orbitals -> coefficients of the correction to the promolecule, by a fit in the Coulomb metric.

Minimise (d | d) + ridge c.c over c, where d = rho - rho_SAD - sum_k c_k g_k and ( | ) is the Coulomb interaction, under four conditions:
the correction holds as many electrons as minus the charge of the molecule, and its first moment is that of rho - rho_SAD. With the metric
M = (g | g) and the moments G of the functions,

    (M + ridge) c = (g | rho - rho_SAD) + G mu,    G^T c = t,    mu from the second equation.

The integrals are PySCF's: in its libcint they cost a tenth of our own.
"""

from __future__ import annotations

import numpy as np
import torch
from pyscf import gto
from torch import Tensor

from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.orbitals import Orbitals, Shells, orbital_basis, radial_norm
from densnet.density.promolecule import shipped
from densnet.errors import DensnetError
from densnet.molecules import SYMBOLS, Molecules

RIDGE = 1e-5
"""Weight of the squared coefficients (of functions of unit self-overlap), hartree: damps what the density hardly feels."""

_BLOCK_BYTES = 1 << 26
"""Three-centre integrals held at a time."""


class FitError(DensnetError):
    """A fit that cannot be done."""


def fit(orbitals: Orbitals, basis: DensityBasis, *, ridge: float = RIDGE) -> Density:
    """The correction to the promolecule that is nearest to the exact density in the Coulomb metric; electrons and dipole exact, float64."""
    molecule = orbitals.molecule.to(dtype=torch.float64)
    nuclear, charge = int(molecule.numbers.sum()), int(molecule.net_charge)
    if orbitals.electrons != nuclear - charge:
        raise FitError(f"{orbitals.electrons} electrons on nuclei of charge {nuclear}: not a molecule of charge {charge}, as it should be.")
    mask = basis.mask(molecule.numbers)
    functions = density_functions(molecule, basis)
    target = _attraction_to_orbitals(orbitals, functions) - _attraction_to_promolecule(molecule, functions)
    conditions, moments = _conditions(orbitals, molecule, basis)
    coefficients = _constrained(metric(molecule, basis), target[_harmonic_order(functions)], conditions[mask], moments, ridge)
    return Density.of(molecule, basis, torch.zeros(mask.shape, dtype=torch.float64).masked_scatter(mask, coefficients))


def metric(molecule: Molecules, basis: DensityBasis) -> Tensor:
    """Coulomb interaction (g | g') of one molecule's functions, padding left out: [functions, functions] float64, hartree."""
    functions = density_functions(molecule, basis)
    order = _harmonic_order(functions)
    return torch.from_numpy(functions.intor("int2c2e"))[order][:, order]


def density_functions(molecule: Molecules, basis: DensityBasis) -> gto.Mole:
    """The density basis of one molecule as PySCF sees it; its p functions run x, y, z."""
    basis.mask(molecule.numbers)
    shells = {z: [[l, [a, 1.0]] for l, alphas in enumerate(table) for a in alphas] for z, table in zip(basis.elements, basis.shells)}
    return _mole(molecule, shells)


def orbital_functions(orbitals: Orbitals) -> gto.Mole:
    """The orbital basis of one molecule as PySCF sees it."""
    table = orbital_basis(orbitals.basis)
    return _mole(orbitals.molecule, {z: _contractions(table[z]) for z in orbitals.molecule.numbers.unique().tolist()})


def _mole(molecule: Molecules, shells: dict[int, list]) -> gto.Mole:
    numbers, positions = molecule.numbers.tolist(), molecule.positions.tolist()
    basis = {SYMBOLS[z]: shells[z] for z in set(numbers)}
    return gto.M(atom=[(SYMBOLS[z], x) for z, x in zip(numbers, positions)], unit="Bohr", basis=basis, spin=None, verbose=0)


def _contractions(shells: Shells) -> list:
    rows = []
    for l, row in zip(shells.angular, shells.contraction):
        coefficients = row / radial_norm(l, shells.exponents)
        rows.append([l, *([a, c] for a, c in zip(shells.exponents.tolist(), coefficients.tolist()) if c)])
    return rows


def _harmonic_order(functions: gto.Mole) -> Tensor:
    """[functions]: where PySCF keeps each of our functions (its p: x, y, z; ours: y, z, x)."""
    order = []
    for shell, start in zip(range(functions.nbas), functions.ao_loc.tolist()):
        l = functions.bas_angular(shell)
        order += [start + m for m in ((1, 2, 0) if l == 1 else range(2 * l + 1))]
    return torch.tensor(order)


def _attraction_to_orbitals(orbitals: Orbitals, functions: gto.Mole) -> Tensor:
    """(g | rho) [functions], PySCF's order: three-centre integrals in blocks, contracted with the density matrix at once."""
    mol = orbital_functions(orbitals)
    coefficients = orbitals.coefficients.double()
    density_matrix = 2 * coefficients @ coefficients.T
    i, j = torch.tril_indices(*density_matrix.shape)
    packed = density_matrix[i, j] * torch.where(i == j, 1.0, 2.0)
    both = gto.mole.conc_env(mol._atm, mol._bas, mol._env, functions._atm, functions._bas, functions._env)
    starts = functions.ao_loc
    width = max(int(_BLOCK_BYTES / 8 / len(packed)), 1)
    parts, first = [], 0
    while first < functions.nbas:
        last = max(int(np.searchsorted(starts, starts[first] + width, side="right")) - 1, first + 1)
        shells = (0, mol.nbas, 0, mol.nbas, mol.nbas + first, mol.nbas + last)
        integrals = gto.moleintor.getints("int3c2e_sph", *both, shls_slice=shells, aosym="s2ij")
        parts.append(packed @ torch.from_numpy(integrals))
        first = last
    return torch.cat(parts)


def _attraction_to_promolecule(molecule: Molecules, functions: gto.Mole) -> Tensor:
    """(g | rho_SAD) [functions], PySCF's order."""
    atoms = shipped()
    _, contents = atoms.as_gaussians(molecule.numbers)
    integrals = gto.intor_cross("int2c2e", functions, density_functions(molecule, atoms.basis))
    return torch.from_numpy(integrals) @ contents[atoms.basis.mask(molecule.numbers)]


def _conditions(orbitals: Orbitals, molecule: Molecules, basis: DensityBasis) -> tuple[Tensor, Tensor]:
    """Charge and first moment of every function, [atoms, width, 4], and what the correction must have, [4].

    About the centre of the nuclear charge, where the promolecule has no first moment and the last digit of the orbitals' norm no weight.
    """
    numbers, positions = molecule.numbers, molecule.positions
    centre = (numbers[:, None] * positions).sum(0) / numbers.sum()
    exponents = basis.exponents(numbers)
    charges = gaussians.charge_vector(basis, exponents)
    dipoles = gaussians.dipole_vector(basis, exponents, positions - centre)
    with (mol := orbital_functions(orbitals)).with_common_orig(centre.numpy()):
        position = torch.from_numpy(mol.intor("int1e_r"))
    coefficients = orbitals.coefficients.double()
    first = 2 * torch.einsum("xmn,mi,ni->x", position, coefficients, coefficients)
    surplus = -molecule.net_charge.to(first.dtype)
    return torch.cat([charges[..., None], dipoles], dim=-1), torch.cat([surplus, first])


def _constrained(metric: Tensor, target: Tensor, conditions: Tensor, moments: Tensor, ridge: float) -> Tensor:
    """c [functions] of the module's equations; ``conditions`` G [functions, 4], ``moments`` t [4]."""
    factor, failed = torch.linalg.cholesky_ex(metric + ridge * torch.eye(len(metric), dtype=metric.dtype))
    if failed:
        raise FitError(f"the functions are linearly dependent at a ridge of {ridge:g}; raise `ridge` ({RIDGE:g} is usual).")
    solution = torch.cholesky_solve(torch.cat([target[:, None], conditions], dim=1), factor)
    free, response = solution[:, 0], solution[:, 1:]
    return free + response @ torch.linalg.solve(conditions.T @ response, moments - conditions.T @ free)
