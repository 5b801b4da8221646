"""Examples: labelled frames with all that the losses need, prepared once before training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from densnet.dataset.points import Points
from densnet.density.basis import DensityBasis
from densnet.density.gaussians import coulomb_matrix
from densnet.model.density_network import DensityOutput
from densnet.molecules import Molecules
from densnet.properties import Properties


@dataclass(frozen=True)
class Example:
    """One labelled molecule.

    properties   energy, forces, dipole and fitted density of a single molecule
    metric       [functions, functions] float32, Coulomb metric between its functions, padding removed
    points       sampled points with the exact correction rho - rho_SAD
    """

    properties: Properties
    metric: Tensor
    points: Points


@dataclass(frozen=True)
class Batch:
    """Several examples side by side; `points` stacked, [molecules, points, ...]."""

    properties: Properties
    metrics: tuple[Tensor, ...]
    points: Points

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(
            self.properties.to(device),
            tuple(m.to(device) for m in self.metrics),
            Points(*(t.to(device) for t in (self.points.positions, self.points.weights, self.points.correction))),
        )


def coulomb_metric(molecule: Molecules, basis: DensityBasis) -> Tensor:
    """[functions, functions] float32: (g | g') of one molecule at the reference exponents, padding removed."""
    keep = basis.mask(molecule.numbers).flatten()
    matrix = coulomb_matrix(basis, molecule.positions.double(), basis.exponents(molecule.numbers))
    return matrix[keep][:, keep].float()


def collate(examples: list[Example], points: int | None = None, seed: int = 0) -> Batch:
    """One batch of the ``examples``; with ``points`` only so many points of each, a sub-sample drawn with ``seed``."""
    generator = torch.Generator().manual_seed(seed)
    sets = [e.points if points is None else e.points.subset(points, generator) for e in examples]
    stacked = Points(*(torch.stack([getattr(p, name) for p in sets]) for name in ("positions", "weights", "correction")))
    return Batch(Properties.concatenate([e.properties for e in examples]), tuple(e.metric for e in examples), stacked)


@dataclass(frozen=True)
class FrozenDensity:
    """What network 1, no longer trained, says of one example, and how that changes with the atoms.

    output     coefficients [atoms, width] and widths [atoms, slots]
    jacobian   [3 atoms, atoms x (width + slots)]: d(coefficients, widths) / d(positions)
    """

    output: DensityOutput
    jacobian: Tensor
