"""PySCF: an SCF that starts from a predicted density, by one Fock build.

    F = T + V_nuclei + J[rho] + V_xc[rho],    F C = S C e,    D = 2 C_occ C_occ^T

J and V_xc (PBE) are those of the density itself, promolecule and correction, never of a density matrix: J by three-centre integrals with
the functions of the density as the auxiliary ones, V_xc on a grid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from pyscf import dft, gto, lib
from torch import Tensor

from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.promolecule import shipped
from densnet.molecules import SYMBOLS, MoleculeError, Molecules, check_geometry
from densnet.properties import Properties

FUNCTIONAL = "PBE"
"""Exchange and correlation of the Fock matrix; a good start for other functionals, too."""

GRID_LEVEL = 1
"""PySCF's name of the grid for V_xc: a starting point needs no finer one."""

_INTEGRALS_AT_ONCE = 1 << 23
"""Three-centre integrals held at a time, 64 MB."""

_POINTS_AT_ONCE = 2048
"""Grid points in one block."""


def initial_guess(mol: gto.Mole, predictor: Callable[[Molecules], Properties]) -> NDArray:
    """Density matrix [AO, AO] with which an SCF of ``mol`` may start: ``mf.kernel(dm0=initial_guess(mf.mol, load("water")))``.

    ``predictor`` gives at least the density. Raises `MoleculeError` for what a model cannot treat.
    """
    return from_density(mol, predictor(molecule_of(mol)).require("density").density)


def molecule_of(mol: gto.Mole) -> Molecules:
    """The molecule of ``mol``, float64. Raises `MoleculeError` unless it is a neutral closed shell of real atoms, no electron replaced."""
    if mol.charge or mol.spin:
        raise MoleculeError(
            f"charge {mol.charge} and spin {mol.spin} are not supported; densnet treats neutral closed-shell molecules only."
        )
    numbers = torch.as_tensor(mol.atom_charges(), dtype=torch.int64)
    if mol.has_ecp() or (numbers == 0).any():
        raise MoleculeError("effective core potentials and ghost atoms are not supported; densnet's density has all the electrons.")
    molecule = Molecules.single(numbers, torch.as_tensor(mol.atom_coords(), dtype=torch.float64))
    check_geometry(molecule.numbers, molecule.positions, "this molecule")
    return molecule


def from_density(mol: gto.Mole, density: Density) -> NDArray:
    """As `initial_guess`, from a ``density`` at the positions of ``mol``."""
    functions, contents = _functions(density)
    fock = mol.intor("int1e_kin") + mol.intor("int1e_nuc") + _coulomb(mol, functions, contents) + _exchange(mol, functions, contents)
    _, orbitals = scipy.linalg.eigh(fock, mol.intor("int1e_ovlp"))
    occupied = orbitals[:, : mol.nelectron // 2]
    return 2 * occupied @ occupied.T


def _functions(density: Density) -> tuple[gto.Mole, NDArray]:
    """Promolecule and correction as functions of PySCF, the exponents of each atom its own, and their coefficients."""
    molecule, atoms = density.molecules, shipped()
    free, density = atoms.as_gaussians(molecule.numbers), density.to("cpu", torch.float64)
    names = [f"{SYMBOLS[z]}{k}" for k, z in enumerate(molecule.numbers.tolist())]
    shells, contents = {}, []
    for k, name in enumerate(names):
        own = _shells(atoms.basis, free[0][k], free[1][k]) + _shells(density.basis, density.exponents[k], density.coefficients[k])
        shells[name] = [[l, [exponent, 1.0]] for l, exponent, _ in own]
        contents += [coefficients for _, _, coefficients in own]
    functions = gto.Mole()
    places = list(zip(names, molecule.positions.tolist()))
    functions._atm, functions._bas, functions._env = gto.make_env(places, shells, np.zeros(gto.PTR_ENV_START))
    functions._built = True
    return functions, torch.cat(contents).numpy()


def _shells(basis: DensityBasis, exponents: Tensor, coefficients: Tensor) -> list[tuple[int, float, Tensor]]:
    """(l, exponent, coefficients in PySCF's order) of the slots of one atom; padding and other zeros are left out."""
    rows = coefficients.detach().split([2 * l + 1 for l, _ in basis.slots])
    slots = zip(basis.slots, exponents.tolist(), rows)
    return [(l, exponent, row[[2, 0, 1]] if l == 1 else row) for (l, _), exponent, row in slots if row.any()]


def _coulomb(mol: gto.Mole, functions: gto.Mole, contents: NDArray) -> NDArray:
    """J_mn = sum_k (m n | k) d_k [AO, AO], in blocks of shells k."""
    both = gto.conc_env(mol._atm, mol._bas, mol._env, functions._atm, functions._bas, functions._env)
    starts, pairs = functions.ao_loc, mol.nao * (mol.nao + 1) // 2
    width = max(_INTEGRALS_AT_ONCE // pairs, 1)
    packed, first = np.zeros(pairs), 0
    while first < functions.nbas:
        last = max(int(np.searchsorted(starts, starts[first] + width, side="right")) - 1, first + 1)
        shells = (0, mol.nbas, 0, mol.nbas, mol.nbas + first, mol.nbas + last)
        packed += gto.moleintor.getints("int3c2e_sph", *both, shls_slice=shells, aosym="s2ij") @ contents[starts[first] : starts[last]]
        first = last
    return lib.unpack_tril(packed)


def _exchange(mol: gto.Mole, functions: gto.Mole, contents: NDArray) -> NDArray:
    """V_xc [AO, AO] of the density and its gradient on the grid."""
    grid = dft.Grids(mol)
    grid.level, grid.verbose = GRID_LEVEL, 0
    grid.build()
    libxc, matrix = dft.numint.NumInt(), np.zeros((mol.nao, mol.nao))
    for start in range(0, len(grid.weights), _POINTS_AT_ONCE):
        points, weights = (a[start : start + _POINTS_AT_ONCE] for a in (grid.coords, grid.weights))
        rho = functions.eval_gto("GTOval_sph_deriv1", points) @ contents
        rho[:, rho[0] < 0] = 0  # in the tails, where an expansion may be slightly negative
        potential = weights * libxc.eval_xc_eff(FUNCTIONAL, rho, deriv=1, xctype="GGA")[1]
        potential[0] /= 2
        orbitals = mol.eval_gto("GTOval_sph_deriv1", points)
        matrix += orbitals[0].T @ np.einsum("cpm,cp->pm", orbitals, potential)
    return matrix + matrix.T
