"""Real-space integration grids: atom-centred, Becke's partition, Chebyshev points along the radius, Lebedev points on the sphere.

A. D. Becke, J. Chem. Phys. 88, 2547 (1988); O. Treutler, R. Ahlrichs, J. Chem. Phys. 102, 346 (1995), map M4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from scipy.integrate import lebedev_rule
from torch import Tensor

from densnet import units
from densnet.errors import DensnetError
from densnet.molecules import Molecules

_LEBEDEV = {
    6: 3, 14: 5, 26: 7, 38: 9, 50: 11, 74: 13, 86: 15, 110: 17, 146: 19, 170: 21, 194: 23, 230: 25, 266: 27, 302: 29,
    350: 31, 434: 35, 590: 41, 770: 47, 974: 53,
}  # fmt: skip
"""Degree of the Lebedev rule with a given number of points."""

_BRAGG_SLATER = [
    0.35, 0.35, 0.35, 1.45, 1.05, 0.85, 0.70, 0.65, 0.60, 0.50, 0.45,
    1.80, 1.50, 1.25, 1.10, 1.00, 1.00, 1.00, 0.95,
]  # fmt: skip
"""Atomic radii in Angstrom by atomic number, J. C. Slater, J. Chem. Phys. 41, 3199 (1964); hydrogen after Becke."""


class GridError(DensnetError):
    """A grid that does not exist."""


@dataclass(frozen=True)
class Grid:
    """Quadrature over space: integral f(r) dr = sum_i weights_i f(points_i); ``points`` [points, 3] bohr, ``weights`` [points] bohr^3."""

    points: Tensor
    weights: Tensor

    def integral(self, values: Tensor) -> Tensor:
        """sum_i weights_i values_i over the first axis of ``values`` [points, ...]."""
        return torch.tensordot(self.weights, values, dims=1)


def molecular_grid(molecule: Molecules, radial: int = 40, angular: int = 434) -> Grid:
    """A grid for one molecule, float64: ``radial`` shells of ``angular`` (a Lebedev number) points on each atom.

    The innermost shells, where a density is nearly round, take fewer points; negligible weights are dropped. With the default a density
    integrates to 1e-5 electrons and the absolute value of a density difference to 1e-3 of itself.
    """
    if molecule.count != 1:
        raise GridError(f"a grid belongs to one molecule, not to a batch of {molecule.count}; split the batch first.")
    positions = molecule.positions.detach().cpu().double()
    numbers = molecule.numbers.tolist()
    points, weights = [], []
    for centre, number in enumerate(numbers):
        offsets, volumes = _atomic_grid(number, radial, angular)
        share = becke_share(offsets + positions[centre], positions, molecule.numbers)[:, centre]
        points.append(offsets + positions[centre])
        weights.append(volumes * share)
    share = torch.cat(weights)
    kept = share.abs() > 1e-14
    return Grid(torch.cat(points)[kept], share[kept])


def shell(molecule: Molecules, inner: float, outer: float, count: int) -> Tensor:
    """Points [at most ``count``, 3] that evenly fill the space ``inner`` to ``outer`` (bohr) from the nearest nucleus of a molecule.

    The same for the same molecule: a Sobol sequence in a box around it, float64.
    """
    positions = molecule.positions.detach().cpu().double()
    low, high = positions.amin(0) - outer, positions.amax(0) + outer
    points = low + (high - low) * torch.quasirandom.SobolEngine(3).draw(8 * count, dtype=torch.float64)
    nearest = torch.cdist(points, positions).amin(1)
    return points[(nearest >= inner) & (nearest <= outer)][:count]


@lru_cache
def _atomic_grid(number: int, radial: int, angular: int) -> tuple[Tensor, Tensor]:
    """Offsets [points, 3] and volumes [points] of one atom alone."""
    radii, lengths = treutler_radii(radial)
    inner = 0.5 * _BRAGG_SLATER[number] * units.ANGSTROM
    offsets, volumes = [], []
    for radius, length in zip(radii.tolist(), lengths.tolist()):
        directions, solid_angles = sphere(angular if radius > inner else _coarser(angular))
        offsets.append(radius * directions)
        volumes.append(radius**2 * length * solid_angles)
    return torch.cat(offsets), torch.cat(volumes)


def _coarser(angular: int) -> int:
    """About a third of the points, enough next to a nucleus."""
    return max(n for n in _LEBEDEV if n <= max(angular // 3, 6))


def treutler_radii(count: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Radii and their weights [count]: integral f dr = sum w f(r), at Chebyshev points x mapped by

    r(x) = scale / ln 2 (1 + x)^0.6 ln(2 / (1 - x)), ``scale`` in bohr.
    """
    angle = torch.arange(1, count + 1, dtype=torch.float64) * math.pi / (count + 1)
    x, weight = torch.cos(angle), math.pi / (count + 1) * torch.sin(angle)
    stretch, log = scale / math.log(2) * (1 + x) ** 0.6, torch.log(2 / (1 - x))
    slope = stretch * (0.6 / (1 + x) * log + 1 / (1 - x))
    return stretch * log, weight * slope


@lru_cache
def sphere(count: int) -> tuple[Tensor, Tensor]:
    """Lebedev's ``count`` directions [count, 3] and solid angles [count], which add up to 4 pi."""
    if count not in _LEBEDEV:
        raise GridError(f"no Lebedev grid with {count} points is available; choose one of {', '.join(map(str, _LEBEDEV))}.")
    directions, weights = lebedev_rule(_LEBEDEV[count])
    return torch.as_tensor(directions.T.copy()), torch.as_tensor(weights)


def becke_share(points: Tensor, positions: Tensor, numbers: Tensor) -> Tensor:
    """Which part of space at ``points`` [points, 3] belongs to each atom: [points, atoms], rows add up to 1.

    Becke's cell functions, three times iterated, the walls shifted by the square roots of the atomic radii (Treutler and Ahlrichs).
    """
    atoms = len(positions)
    distance = torch.cdist(points, positions, compute_mode="donot_use_mm_for_euclid_dist").T.contiguous()
    radius = torch.tensor(_BRAGG_SLATER, dtype=points.dtype)[numbers].sqrt()
    cells = torch.ones_like(distance)
    for i in range(atoms):
        for j in range(i):
            chi = radius[i] / radius[j]
            u = (chi - 1) / (chi + 1)
            a = (u / (u * u - 1)).clamp(-0.5, 0.5)
            mu = (distance[i] - distance[j]) / (positions[i] - positions[j]).norm()
            mu = mu + a * (1 - mu * mu)
            for _ in range(3):
                mu = 1.5 * mu - 0.5 * mu**3
            cells[i] *= 0.5 * (1 - mu)
            cells[j] *= 0.5 * (1 + mu)
    return (cells / cells.sum(0)).T
