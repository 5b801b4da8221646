"""The exact density on points: sampled ones for a training loss, a grid's for the density error.

The sampled points follow a mixture q of one cloud around each atom, q_A(r) = exp(-r / s) / (4 pi s^2 r) (a gamma law of shape 2 along the
radius): dense where a fit errs, integrable at the nuclei, with tails longer than those of a density, so that no weight explodes. With
weights 1 / (count q) any integral over space is estimated without bias, sum_i w_i f(r_i), whatever the cores and tails of f.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from scipy.special import gammaincinv
from torch import Tensor

from densnet.density.expansion import Density
from densnet.density.grids import Grid, molecular_grid
from densnet.density.orbitals import Orbitals
from densnet.density.promolecule import shipped
from densnet.density.response import DensityResponse
from densnet.molecules import Molecules

_SCALE = 1.2
"""s in bohr, and the share of a heavy atom against a hydrogen: least variance of the integral of |fit error| for ethanol."""
_HEAVY_SHARE = 3.0

_GOLDEN = 1.2207440846057596
"""Root of x^4 = x + 1: multiples of its inverse powers fill the unit cube evenly (M. Roberts, R3 sequence)."""


@dataclass(frozen=True)
class Points:
    """Points of one molecule and the exact correction to its promolecule there.

    positions   [points, 3]  bohr
    weights     [points]     bohr^3; sum_i w_i f(r_i) estimates the integral of f over space
    correction  [points]     rho - rho_SAD, electrons / bohr^3
    response    [points, 3]  d rho / d E_x, y, z, atomic units; None where the label does not know it
    """

    positions: Tensor
    weights: Tensor
    correction: Tensor
    response: Tensor | None = None

    def subset(self, count: int, generator: torch.Generator) -> Points:
        """``count`` of the points drawn at random, their weights raised so that integrals are still estimated without bias."""
        total = len(self.weights)
        chosen = torch.randperm(total, generator=generator)[:count]
        weights, response = self.weights[chosen] * (total / len(chosen)), self.response
        return Points(self.positions[chosen], weights, self.correction[chosen], None if response is None else response[chosen])


@dataclass(frozen=True)
class DensityError:
    """integral |rho_model - rho| of one molecule in percent: of its electrons, and of the promolecule's own error."""

    percent: float
    percent_of_promolecule: float


def correction(orbitals: Orbitals, points: Tensor) -> Tensor:
    """rho - rho_SAD [points], electrons / bohr^3, exact for the label, at ``points`` [points, 3], bohr."""
    return orbitals.values(points) - shipped().values(orbitals.molecule, points)


def sample(orbitals: Orbitals, count: int, generator: torch.Generator) -> Points:
    """``count`` points with unbiased weights and the exact correction, float64; new ones at every call, reproducible by ``generator``."""
    positions, weights = scatter(orbitals.molecule, count, generator)
    known = orbitals.first_order is not None
    return Points(positions, weights, correction(orbitals, positions), orbitals.response(positions) if known else None)


def scatter(molecule: Molecules, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions [count, 3] and weights [count] of points around one ``molecule``, see `sample`.

    Each atom's points are an evenly filled cube, shifted at random and mapped to radius and direction: any one point has exactly the law
    of its cloud, and together they scatter less than independent ones.
    """
    nuclei = molecule.positions.double()
    share = torch.where(molecule.numbers > 1, _HEAVY_SHARE, 1.0).double()
    counts = _apportion(share, count)
    offsets = [_cloud(n, generator) for n in counts.tolist()]
    positions = torch.cat([centre + offset for centre, offset in zip(nuclei, offsets)])
    distance = torch.cdist(positions, nuclei, compute_mode="donot_use_mm_for_euclid_dist")
    density = torch.exp(-distance / _SCALE) / (4 * math.pi * _SCALE**2 * distance)
    return positions, 1 / (density @ counts.double())


def _apportion(share: Tensor, count: int) -> Tensor:
    """Whole numbers [atoms] that add up to ``count``, nearest to the proportions of ``share``."""
    ends = (share.cumsum(0) / share.sum() * count).round().long()
    return torch.diff(ends, prepend=ends.new_zeros(1))


def _cloud(count: int, generator: torch.Generator) -> Tensor:
    """[count, 3] offsets from an atom, bohr."""
    steps = _GOLDEN ** -torch.arange(1, 4, dtype=torch.float64)
    cube = torch.arange(1, count + 1)[:, None] * steps + torch.rand(3, dtype=torch.float64, generator=generator)
    u, v, w = (cube % 1).T
    radius = _SCALE * torch.from_numpy(gammaincinv(2.0, u.numpy()))
    height, angle = 2 * v - 1, 2 * math.pi * w
    ring = (1 - height**2).sqrt()
    return radius[:, None] * torch.stack([ring * torch.cos(angle), ring * torch.sin(angle), height], dim=1)


def response_error(response: DensityResponse, orbitals: Orbitals, grid: Grid | None = None) -> float:
    """sum_x integral |d rho_model / d E_x - d rho / d E_x| of one molecule, in percent of sum_x integral |d rho / d E_x|."""
    grid = molecular_grid(orbitals.molecule) if grid is None else grid
    exact, dtype = orbitals.response(grid.points), response.coefficients.dtype
    coefficients, exponents = response.coefficients.detach(), response.exponents.detach()
    values = replace(response, coefficients=coefficients, exponents=exponents).values(grid.points.to(dtype))
    return 100 * float(grid.integral((values.double() - exact).abs()).sum() / grid.integral(exact.abs()).sum())


def density_error(density: Density, orbitals: Orbitals, grid: Grid | None = None) -> DensityError:
    """How far a predicted or fitted ``density`` of one molecule is from its label's exact one, on a ``grid`` (`molecular_grid` if None).

    The density is evaluated in its own precision (single costs 1e-4 of the error and saves two thirds of the time), the label in double.
    """
    grid = molecular_grid(orbitals.molecule) if grid is None else grid
    exact = correction(orbitals, grid.points)
    dtype = density.coefficients.dtype
    values = density.to(dtype=dtype).values(grid.points.to(dtype))
    error = float(grid.integral((values.detach().double() - exact).abs()))
    return DensityError(100 * error / orbitals.electrons, 100 * error / float(grid.integral(exact.abs())))
