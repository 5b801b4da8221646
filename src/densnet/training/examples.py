"""Examples: labelled frames with all that the losses need, prepared once before training; the heavy part is read when a batch needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from densnet.dataset.points import Points
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.gaussians import coulomb_matrix
from densnet.model.density_network import DensityOutput
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.training.shelf import Row, joined


@dataclass(frozen=True, eq=False)
class Example:
    """One labelled molecule.

    properties   energy, forces, dipole of a single molecule: all that is always in memory
    basis        of its fitted density
    prepared     the rest, on a `Shelf`: read at every use

    "places", "weights", "correction"   of `points`
    "coefficients"                      of `density`; only where the frame was fitted
    "metric"                            only where a phase learns in it
    "response"                          of the points, only where the label knows how its density answers a field
    """

    properties: Properties
    basis: DensityBasis
    prepared: Row

    @property
    def molecule(self) -> Molecules:
        """The single molecule."""
        return self.properties.molecules

    @property
    def density(self) -> Density | None:
        """The fitted one; None where there is no fit."""
        if "coefficients" not in self.prepared:
            return None
        return Density.of(self.molecule, self.basis, self.prepared["coefficients"])

    @property
    def metric(self) -> Tensor | None:
        """[functions, functions] float32, Coulomb metric between its functions, padding removed; None if no phase learns in it."""
        return self.prepared.get("metric")

    @property
    def points(self) -> Points:
        """Sampled points with the exact correction rho - rho_SAD and, if it is known, the response to a field."""
        return Points(*(self.prepared.get(name) for name in ("places", "weights", "correction", "response")))


class Share(NamedTuple):
    """What part of the molecules and of the atoms of a step a batch is: the rest is the share of other processes."""

    molecules: float = 1.0
    atoms: float = 1.0


@dataclass(frozen=True)
class Batch:
    """Several molecules and what a loss compares them with: tensors by name, their first axes along the molecules or along their atoms."""

    molecules: Molecules
    tensors: dict[str, Tensor]
    share: Share = Share()

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        tensors = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return replace(self, molecules=self.molecules.to(device), tensors=tensors)


def compositions(examples: Sequence[Example]) -> tuple[tuple[int, ...], ...]:
    """The composition of each: the atomic numbers of its atoms in their order."""
    return tuple(tuple(e.molecule.numbers.tolist()) for e in examples)


def coulomb_metric(molecule: Molecules, basis: DensityBasis) -> Tensor:
    """[functions, functions] float32: (g | g') of one molecule at the reference exponents, padding removed."""
    keep = basis.mask(molecule.numbers).flatten()
    matrix = coulomb_matrix(basis, molecule.positions.double(), basis.exponents(molecule.numbers))
    return matrix[keep][:, keep].float()


def collate(examples: list[Example], *names: str) -> Batch:
    """The molecules of ``examples`` with those properties (energy, forces, dipole) that are named."""
    tensors = {name: torch.cat([getattr(e.properties, name) for e in examples]) for name in names}
    return Batch(Molecules.concatenate([e.molecule for e in examples]), tensors)


def with_fits(batch: Batch, examples: list[Example]) -> Batch:
    """The batch with the fitted ``coefficients`` [atoms, width] of its ``examples`` and their ``metrics``, one after the other, flat."""
    rows = [e.prepared for e in examples]
    coefficients = joined(rows, "coefficients").view(len(batch.molecules.numbers), -1)
    return Batch(batch.molecules, batch.tensors | {"coefficients": coefficients, "metrics": joined(rows, "metric")})


def with_points(batch: Batch, examples: list[Example], count: int | None = None, seeds: Sequence[int] = ()) -> Batch:
    """The batch with the points of its ``examples``: ``places``, ``weights``, ``correction``, maybe ``response`` as `Points`, stacked.

    With ``count`` only so many points of each, a sub-sample drawn with its own of the ``seeds``.
    """
    if count is None:
        sets = [e.points for e in examples]
    else:
        sets = [e.points.subset(count, torch.Generator().manual_seed(seed)) for e, seed in zip(examples, seeds, strict=True)]
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

    def tensors(self) -> dict[str, Tensor]:
        """By name, as they go on a `Shelf`."""
        return {"coefficients": self.output.coefficients, "widths": self.output.widths, "jacobian": self.jacobian}


def with_frozen(batch: Batch, frozen: Sequence[Row]) -> Batch:
    """The batch with the ``frozen`` densities of its molecules (`FrozenDensity.tensors`), the Jacobians flat, one after the other."""
    tensors = {name: joined(frozen, name).view(len(batch.molecules.numbers), -1) for name in ("coefficients", "widths")}
    return Batch(batch.molecules, batch.tensors | tensors | {"jacobian": joined(frozen, "jacobian")})
