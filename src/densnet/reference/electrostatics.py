"""What the exact density of a label does to its surroundings: quadrupole and potential, by PySCF's integrals over orbitals."""

from __future__ import annotations

import torch
from torch import Tensor

from densnet.density.orbitals import Orbitals
from densnet.reference.fitting import orbital_functions

_BLOCK_BYTES = 1 << 26
"""Integrals held at a time."""


def quadrupole(orbitals: Orbitals) -> Tensor:
    """[1, 3, 3] traceless quadrupole of nuclei and electrons, e bohr^2, about the centre of mass; convention as `Density.quadrupole`."""
    molecule, coefficients = orbitals.molecule, orbitals.coefficients.double()
    positions, masses = molecule.positions.double(), molecule.masses
    centre = (masses @ positions) / masses.sum()
    with (mol := orbital_functions(orbitals)).with_common_orig(centre.numpy()):
        products = torch.from_numpy(mol.intor("int1e_rr")).unflatten(0, (3, 3))
    electrons = 2 * torch.einsum("xymn,mi,ni->xy", products, coefficients, coefficients)
    arm = positions - centre
    second = torch.einsum("a,ax,ay->xy", molecule.numbers.double(), arm, arm) - electrons
    return (1.5 * second - 0.5 * second.trace() * torch.eye(3, dtype=second.dtype))[None]


def potential(orbitals: Orbitals, points: Tensor) -> Tensor:
    """V(r) = sum_A Z_A / |r - R_A| - integral rho(r') / |r - r'| dr' [points], hartree / e, at ``points`` [points, 3], bohr."""
    mol, coefficients, points = orbital_functions(orbitals), orbitals.coefficients.double(), points.double()
    density_matrix = (2 * coefficients @ coefficients.T).flatten()
    blocks = points.split(max(_BLOCK_BYTES // (8 * len(density_matrix)), 1))
    electrons = [torch.from_numpy(mol.intor("int1e_grids", grids=block.numpy())).flatten(1) @ density_matrix for block in blocks]
    distance = (points[:, None] - orbitals.molecule.positions.double()).norm(dim=-1)
    return (orbitals.molecule.numbers / distance).sum(1) - torch.cat(electrons)
