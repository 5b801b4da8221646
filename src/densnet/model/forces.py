"""From a differentiable energy to forces: a model, a model in a field, a restraint, several models together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from densnet.molecules import Molecules, Neighbours
from densnet.properties import Properties


class MolecularFunction(Protocol):
    """Anything that says something of molecules by looking at neighbours, and always the same."""

    def neighbours_of(self, molecules: Molecules) -> Neighbours:
        """The atoms that each atom sees."""
        ...

    def fingerprint(self) -> str:
        """Changes with everything but the molecules that the numbers depend on."""
        ...


class EnergyFunction(MolecularFunction, Protocol):
    """Anything with an energy that is differentiable in the positions; `densnet.model.predictor.Predictor` is one."""

    def without_forces(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        """At least the energy, differentiable in ``molecules.positions``; ``neighbours`` in place of its own, if the caller knows them."""
        ...


Ask = Callable[[Any, Molecules, Neighbours | None], Properties]
"""How a `MolecularFunction` is asked for what it says, detached: `with_forces` of an `EnergyFunction`."""


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
    """An energy function as a force function: what it says and F = -dE/dR, detached; or another function, and how it is asked."""

    def __init__(self, function: MolecularFunction, ask: Ask = with_forces):
        self.function, self.ask = function, ask

    def __call__(self, molecules: Molecules) -> Properties:
        return self.ask(self.function, molecules, None)
