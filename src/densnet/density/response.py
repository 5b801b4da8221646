"""How a density answers a static field: d rho / d E_x, y, z in the functions of a `Density`, and the polarizability that follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.molecules import Molecules


@dataclass(frozen=True)
class DensityResponse:
    """The response of a batch of molecules to a field in x, y, z, per atomic unit of field.

    coefficients  [atoms, 3, width]   one row of a `Density` for each direction; each holds no electrons in all
    exponents     [atoms, slots]      those of the density, 1 / bohr^2
    """

    molecules: Molecules
    basis: DensityBasis
    coefficients: Tensor
    exponents: Tensor

    def along(self, direction: Tensor) -> Density:
        """d rho / d E along ``direction`` [3], as a density of no electrons beside that of the promolecule."""
        coefficients = torch.einsum("akw,k->aw", self.coefficients, direction.to(self.coefficients))
        return Density(self.molecules, self.basis, coefficients, self.exponents)

    def charges(self) -> Tensor:
        """[atoms, 3] electrons that flow to the functions of each atom, per atomic unit of field in x, y, z."""
        return self._moments()[0]

    def polarizability(self) -> Tensor:
        """[molecules, 3, 3] alpha_ij = -integral r_i (d rho / d E_j) dr, bohr^3, symmetric as far as the response is exact.

        Places are counted from the middle of each molecule, so that no distance of it from the origin costs digits.
        """
        charge, first = self._moments()
        molecules = self.molecules
        middle = molecules.total(molecules.positions) / molecules.sizes.to(molecules.positions)[:, None]
        arms = (molecules.positions - middle[molecules.owner]).to(charge.dtype)
        return -molecules.total(first.mT + arms[:, :, None] * charge[:, None, :])

    def values(self, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        """d rho / d E_x, y, z (electrons / bohr^3 per atomic unit) at points given as in `Density.values`: [..., points, 3]."""
        function = partial(gaussians.several_values, self.basis, self.coefficients, self.exponents)
        return gaussians.at_points(function, self.molecules, points, point_owner)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Electrons [atoms, 3] and first moments [atoms, 3 of the field, 3] about each atom."""
        return gaussians.charge_and_dipole(self.basis, self.coefficients, self.exponents[:, None])
