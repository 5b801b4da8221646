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

    properties   energy, forces, dipole of a single molecule, and its fitted density where one is needed
    metric       [functions, functions] float32, Coulomb metric between its functions, padding removed; None if no phase learns in it
    points       sampled points with the exact correction rho - rho_SAD
    """

    properties: Properties
    metric: Tensor | None
    points: Points


@dataclass(frozen=True)
class Batch:
    """Several molecules and what a loss compares them with: tensors by name, their first axes along the molecules or along their atoms."""

    molecules: Molecules
    tensors: dict[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        return Batch(self.molecules.to(device), {name: tensor.to(device) for name, tensor in self.tensors.items()})


def compositions(examples: list[Example]) -> tuple[int, ...]:
    """The composition of each (its atoms in their order), numbered by first appearance."""
    known: dict[tuple[int, ...], int] = {}
    return tuple(known.setdefault(tuple(e.properties.molecules.numbers.tolist()), len(known)) for e in examples)


def coulomb_metric(molecule: Molecules, basis: DensityBasis) -> Tensor:
    """[functions, functions] float32: (g | g') of one molecule at the reference exponents, padding removed."""
    keep = basis.mask(molecule.numbers).flatten()
    matrix = coulomb_matrix(basis, molecule.positions.double(), basis.exponents(molecule.numbers))
    return matrix[keep][:, keep].float()


def collate(examples: list[Example], *names: str) -> Batch:
    """The molecules of ``examples`` with those properties (energy, forces, dipole) that are named."""
    tensors = {name: torch.cat([getattr(e.properties, name) for e in examples]) for name in names}
    return Batch(Molecules.concatenate([e.properties.molecules for e in examples]), tensors)


def with_fits(batch: Batch, examples: list[Example]) -> Batch:
    """The batch with the fitted ``coefficients`` [atoms, width] of its ``examples`` and their ``metrics``, one after the other, flat."""
    coefficients = torch.cat([e.properties.density.coefficients for e in examples])
    metrics = torch.cat([e.metric.flatten() for e in examples])
    return Batch(batch.molecules, batch.tensors | {"coefficients": coefficients, "metrics": metrics})


def with_points(batch: Batch, examples: list[Example], count: int | None = None, seed: int = 0) -> Batch:
    """The batch with the points of its ``examples``: ``places``, ``weights``, ``correction``, maybe ``response`` as `Points`, stacked.

    With ``count`` only so many points of each, a sub-sample drawn with ``seed``.
    """
    generator = torch.Generator().manual_seed(seed)
    sets = [e.points if count is None else e.points.subset(count, generator) for e in examples]
    names = {"places": "positions", "weights": "weights", "correction": "correction"}
    if all(p.response is not None for p in sets):
        names["response"] = "response"
    stacked = {name: torch.stack([getattr(p, field) for p in sets]) for name, field in names.items()}
    return Batch(batch.molecules, batch.tensors | stacked)


@dataclass(frozen=True)
class FrozenDensity:
    """What network 1, no longer trained, says of one example, and how that changes with the atoms.

    output     coefficients [atoms, width] and widths [atoms, slots]
    jacobian   [3 atoms, atoms x (width + slots)]: d(coefficients, widths) / d(positions)
    """

    output: DensityOutput
    jacobian: Tensor


def with_frozen(batch: Batch, frozen: list[FrozenDensity]) -> Batch:
    """The batch with the ``frozen`` densities of its molecules: ``coefficients``, ``widths``, and ``jacobian``, each flat in its turn."""
    coefficients, widths = (torch.cat(parts) for parts in zip(*(f.output for f in frozen)))
    jacobian = torch.cat([f.jacobian.flatten() for f in frozen])
    return Batch(batch.molecules, batch.tensors | {"coefficients": coefficients, "widths": widths, "jacobian": jacobian})
