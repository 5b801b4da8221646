"""The promolecule: superposed free atoms, the zeroth density, tabulated and never learned.

Each atom is a sum of s-Gaussians, sum_i q_i (a_i / pi)^(3/2) exp(-a_i r^2), with sum_i q_i = Z: the spherical, spin-free, fractionally
occupied PBE atom in aug-cc-pVDZ within 9e-4 electrons (L1). Neutral spheres: no charge, dipole or quadrupole with their nuclei.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from importlib import resources

import torch
from torch import Tensor

from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.molecules import SYMBOLS, Molecules


@dataclass(frozen=True)
class Promolecule:
    """A table of spherical atoms: ``basis`` holds their s-Gaussians, ``contents`` the electrons in each, in the order of the slots."""

    basis: DensityBasis
    contents: tuple[tuple[float, ...], ...]

    def as_gaussians(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Exponents and coefficients of normalised s-Gaussians, each [atoms, slots] float64 (padded: 1 and 0), for atomic ``numbers``.

        Together with `basis` they are an ordinary expansion, which `gaussians` can integrate with any other. Raises `BasisError`.
        """
        exponents = self.basis.exponents(numbers)
        elements = torch.tensor(self.basis.elements, device=numbers.device)
        coefficients = self._coefficients.to(numbers.device)[torch.searchsorted(elements, numbers.contiguous())]
        return exponents, coefficients

    def electrons(self, molecules: Molecules) -> Tensor:
        """[molecules] float64: the sum of the atomic numbers, exactly."""
        return molecules.total(molecules.numbers.double())

    def values(self, molecules: Molecules, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        """Electron density (electrons / bohr^3) at points, given as in `Density.values`; at least zero."""
        return gaussians.at_points(partial(gaussians.values, *self._cast(molecules, points)), molecules, points, point_owner)

    def potential(self, molecules: Molecules, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        """Electrostatic potential of the electrons alone (hartree / e, negative) at points, given as in `Density.values`."""
        return -gaussians.at_points(partial(gaussians.potentials, *self._cast(molecules, points)), molecules, points, point_owner)

    def _cast(self, molecules: Molecules, like: Tensor) -> tuple[DensityBasis, Tensor, Tensor]:
        basis = self.basis.restrict(molecules.numbers.unique().tolist())  # fewer slots where no heavy atom is about
        exponents, coefficients = self.as_gaussians(molecules.numbers)
        slots = len(basis.slots)
        return basis, coefficients[:, :slots].to(like.dtype), exponents[:, :slots].to(like.dtype)

    @cached_property
    def _coefficients(self) -> Tensor:
        """[elements, slots] float64."""
        table = torch.zeros(len(self.basis.elements), self.basis.width, dtype=torch.float64)
        for row, content in zip(table, self.contents):
            row[: len(content)] = torch.tensor(content, dtype=torch.float64)
        exponents = self.basis.exponents(torch.tensor(self.basis.elements))
        return table / gaussians.charges(self.basis, exponents)


@lru_cache
def shipped() -> Promolecule:
    """The table of the package, H to Cl, made by `densnet.reference.atoms`."""
    atoms = json.loads(resources.files("densnet").joinpath("data", "promolecule.json").read_text())["atoms"]
    basis = DensityBasis.of("promolecule", {symbol: [(0, a) for a in row["exponents"]] for symbol, row in atoms.items()})
    steepest_first = []
    for number in basis.elements:
        row = atoms[SYMBOLS[number]]
        steepest_first.append(tuple(q for _, q in sorted(zip(row["exponents"], row["electrons"]), reverse=True)))
        if not math.isclose(sum(steepest_first[-1]), number, abs_tol=1e-9):
            total = sum(steepest_first[-1])
            raise ValueError(f"promolecule table: {SYMBOLS[number]} holds {total} electrons instead of {number}; file damaged?")
    return Promolecule(basis, tuple(steepest_first))
