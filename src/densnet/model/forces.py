"""From a differentiable energy to forces: a model, a model in a field, a restraint, several models together."""

from __future__ import annotations

from typing import Protocol

import torch

from densnet.molecules import Molecules, Neighbours
from densnet.properties import Properties


class EnergyFunction(Protocol):
    """Anything with an energy that is differentiable in the positions; `densnet.model.predictor.Predictor` is one."""

    def without_forces(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        """At least the energy, differentiable in ``molecules.positions``; ``neighbours`` in place of its own, if the caller knows them."""
        ...

    def neighbours_of(self, molecules: Molecules) -> Neighbours:
        """The atoms that each atom sees."""
        ...

    def fingerprint(self) -> str:
        """Changes with everything but the molecules that the numbers depend on."""
        ...


def with_forces(
    energy: EnergyFunction, molecules: Molecules, neighbours: Neighbours | None = None, *, create_graph: bool = False
) -> Properties:
    """What ``energy`` says and F = -dE/dR; with ``create_graph`` differentiable in its weights, otherwise detached."""
    with torch.enable_grad():
        molecules = molecules.at(molecules.positions.detach().requires_grad_())
        found = energy.without_forces(molecules, neighbours).require("energy")
        (slope,) = torch.autograd.grad(found.energy.sum(), molecules.positions, create_graph=create_graph)
    found = found.replace(forces=-slope)
    if create_graph:
        return found
    tensors = {name: t.detach() for name, t in found.tensors().items()}
    return found.with_tensors(molecules.at(molecules.positions.detach()), tensors)


class Frozen:
    """An energy function as a force function: what it says and F = -dE/dR, detached."""

    def __init__(self, energy: EnergyFunction):
        self.energy = energy

    def __call__(self, molecules: Molecules) -> Properties:
        return with_forces(self.energy, molecules)
