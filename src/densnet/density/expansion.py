"""Density: coefficients that know their basis, their exponents and their molecules.

rho(r) = rho_promolecule(r) + sum_A sum_nlm c_Anlm g_nl(r - R_A). A `Density` holds the second term, the correction; the first follows from
the molecules. Nuclei and promolecule together are neutral spheres, so every multipole of the molecule is minus that of the correction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import torch
from torch import Tensor

from densnet import units
from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.density.promolecule import shipped
from densnet.errors import DensnetError
from densnet.markup import facts, shown, table
from densnet.molecules import SYMBOLS, Molecules, formula_of


class MixedDensities(DensnetError):
    """Two densities that must not be mixed."""


@dataclass(frozen=True)
class Density:
    """The correction to the promolecule of a batch of molecules.

    coefficients  [atoms, width]   zero where padded, in the row layout of ``basis``
    exponents     [atoms, slots]   the current ones, 1 / bohr^2; ``basis.exponents(numbers)`` unless a model changed them
    """

    molecules: Molecules
    basis: DensityBasis
    coefficients: Tensor
    exponents: Tensor

    @classmethod
    def of(cls, molecules: Molecules, basis: DensityBasis, coefficients: Tensor) -> Density:
        """A density with the reference exponents of ``basis``, in the precision of ``coefficients``."""
        return cls(molecules, basis, coefficients, basis.exponents(molecules.numbers).to(coefficients.dtype))

    def electrons(self) -> Tensor:
        """[molecules] electrons in the correction: minus the charge of the molecule."""
        return self.molecules.total(self.charges())

    def charges(self) -> Tensor:
        """[atoms] electrons that the functions of each atom add to it."""
        return gaussians.charge_and_dipole(self.basis, self.coefficients, self.exponents)[0]

    def dipole(self) -> Tensor:
        """[molecules, 3] dipole of the molecule, e bohr, from - to +, about its centre of mass, which matters only if it has a charge."""
        charge, first = gaussians.charge_and_dipole(self.basis, self.coefficients, self.exponents)
        found = -self.molecules.total(first + charge[:, None] * self.molecules.positions.to(charge.dtype))
        return self.molecules.about_the_centre_of_mass(found)

    def quadrupole(self) -> Tensor:
        """[molecules, 3, 3] traceless quadrupole of the molecule about its centre of mass, e bohr^2.

        Buckingham's convention: Theta_ij = 1/2 integral (3 r_i r_j - r^2 delta_ij) (charge density) dr.
        """
        charge, first, second = gaussians.multipoles(self.basis, self.coefficients, self.exponents)
        molecules = self.molecules
        masses = molecules.masses[:, None]
        centre = molecules.total(masses * molecules.positions.to(masses.dtype)) / molecules.total(masses)
        arm = (molecules.positions - centre[molecules.owner]).to(charge.dtype)
        moved = arm[:, :, None] * (2 * first + charge[:, None] * arm)[:, None, :]
        moved = 0.5 * (moved + moved.mT)
        trace = moved.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
        return -molecules.total(second + 1.5 * moved - 0.5 * trace * torch.eye(3, dtype=charge.dtype, device=charge.device))

    def values(self, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        """The correction (electrons / bohr^3) at ``points`` (bohr).

        Either ``points`` [points, 3] with ``point_owner`` [points], the molecule that each belongs to (None: the only one) -> [points]; or
        the same number for each molecule, ``points`` [molecules, points, 3] -> [molecules, points].
        """
        function = partial(gaussians.values, self.basis, self.coefficients, self.exponents)
        return gaussians.at_points(function, self.molecules, points, point_owner)

    def total(self, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        """The electron density, promolecule and correction (electrons / bohr^3), at points given as in `values`."""
        return self.values(points, point_owner) + shipped().values(self.molecules, points, point_owner)

    def potential(self, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        """Electrostatic potential of nuclei and electrons (hartree / e) at points given as in `values`; infinite at a nucleus."""
        correction = partial(gaussians.potentials, self.basis, self.coefficients, self.exponents)
        nuclei = partial(_bare_potentials, self.molecules.numbers)
        ours = [gaussians.at_points(part, self.molecules, points, point_owner) for part in (nuclei, correction)]
        return ours[0] + shipped().potential(self.molecules, points, point_owner) - ours[1]

    def _repr_html_(self) -> str:
        """In a notebook: dipole and charges, of the first ten molecules."""
        parts, debye = self.split()[:10], (self.dipole().detach().double() / units.DEBYE)
        rows = []
        for single, vector in zip(parts, debye):
            symbols, charges = [SYMBOLS[n] for n in single.molecules.numbers.tolist()], (-single.charges().detach()).tolist()
            words = ", ".join(f"{symbol} {charge:+z.2f}" for symbol, charge in zip(symbols, charges))
            rows.append([formula_of(single.molecules), f"{float(vector.norm()):.4f}", *(f"{x:z.4f}" for x in vector.tolist()), words])
        titles = ["molecule", "dipole, D", "x", "y", "z", "charges of the correction, e"]
        more = None if len(parts) == self.molecules.count else f"{self.molecules.count - len(parts)} more molecules"
        basis = f"{self.basis.name}, {self.coefficients.shape[1]} coefficients an atom at most"
        return shown("Density: correction to the promolecule", table(titles, rows), facts([("basis", basis), ("and", more)]))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Density:
        """The same density elsewhere or in another precision."""
        return Density(
            self.molecules.to(device, dtype), self.basis, self.coefficients.to(device, dtype), self.exponents.to(device, dtype)
        )

    def split(self) -> list[Density]:
        """The densities of the single molecules."""
        sizes = self.molecules.sizes.tolist()
        parts = zip(self.molecules.split(), self.coefficients.split(sizes), self.exponents.split(sizes))
        return [Density(molecule, self.basis, c, a) for molecule, c, a in parts]

    def __sub__(self, other: Density) -> Density:
        """The difference, same basis, molecules and exponents required; see `coulomb_error` where exponents differ."""
        self._refuse_mixing(other)
        return replace(self, coefficients=self.coefficients - other.coefficients)

    def __add__(self, other: Density) -> Density:
        """The sum of two corrections; same basis, molecules and exponents required."""
        self._refuse_mixing(other)
        return replace(self, coefficients=self.coefficients + other.coefficients)

    def _refuse_mixing(self, other: Density) -> None:
        if self.basis != other.basis:
            names = [f"{d.basis.name!r} ({d.basis.fingerprint})" for d in (self, other)]
            raise MixedDensities(f"densities in different bases, {names[0]} and {names[1]}, do not combine; fit again in one basis.")
        _same_molecules(self, other)
        if not torch.equal(self.exponents, other.exponents):
            raise MixedDensities("two densities with different exponents have no common coefficients; compare them with `coulomb_error`.")


def coulomb_error(one: Density, other: Density) -> Tensor:
    """(d | d) = integral d(r) d(r') / |r - r'| dr dr' of the difference d of two densities of the same molecules: [molecules], hartree.

    Bases and exponents may differ. Differentiable in everything.
    """
    return _squared_norm(gaussians.coulomb_radial, one, other)


def overlap_error(one: Density, other: Density) -> Tensor:
    """integral d(r)^2 dr of the difference d of two densities: [molecules], electrons^2 / bohr^3; otherwise as `coulomb_error`."""
    return _squared_norm(gaussians.overlap_radial, one, other)


def _squared_norm(radial: gaussians.Radial, one: Density, other: Density) -> Tensor:
    """Contracted pair by pair of atoms, so that no full matrix is held; one and other are stacked if they do not share their functions."""
    _same_molecules(one, other)
    if one.basis == other.basis and torch.equal(one.exponents, other.exponents):
        terms = [(one, one.coefficients - other.coefficients)]
    else:
        terms = [(one, one.coefficients), (other, -other.coefficients)]
    return cast(Tensor, sum(_interaction(radial, left, right) for left in terms for right in terms))


def _interaction(radial: gaussians.Radial, left: tuple[Density, Tensor], right: tuple[Density, Tensor]) -> Tensor:
    energies = []
    for (first, c), (second, d) in zip(_by_molecule(*left), _by_molecule(*right)):
        size = first.molecules.numbers.shape[0]
        i, j = torch.cartesian_prod(torch.arange(size), torch.arange(size)).to(c.device).T
        vectors = (first.molecules.positions[i] - second.molecules.positions[j]).to(c.dtype)
        blocks = gaussians.pair_blocks(radial, (first.basis, second.basis), (first.exponents[i], second.exponents[j]), vectors)
        energies.append(torch.einsum("pi,pij,pj->", c[i], blocks, d[j]))
    return torch.stack(energies)


def _by_molecule(density: Density, coefficients: Tensor) -> list[tuple[Density, Tensor]]:
    return list(zip(density.split(), coefficients.split(density.molecules.sizes.tolist())))


def _same_molecules(one: Density, other: Density) -> None:
    a, b = one.molecules, other.molecules
    if not (torch.equal(a.owner, b.owner) and torch.equal(a.numbers, b.numbers) and torch.equal(a.positions, b.positions)):
        raise MixedDensities("two densities of different molecules (elements, positions or order) do not combine; compare frame by frame.")


def _bare_potentials(charges: Tensor, vectors: Tensor) -> Tensor:
    """charge / r of each atom [atoms] at its own points: [atoms, points]."""
    return charges[:, None] / vectors.square().sum(-1).sqrt()
