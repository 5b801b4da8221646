"""Analytic force functions for the tests: molecules made of springs, whose every average is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from densnet import units
from densnet.molecules import Molecules
from densnet.properties import Properties

WATER = Molecules.single([8, 1, 1], torch.tensor([[0.0, 0.0, 0.22], [0.0, 1.43, -0.88], [0.0, -1.43, -0.88]], dtype=torch.float64))
CARBON_DIOXIDE = Molecules.single([6, 8, 8], torch.tensor([[0.0, 0, 0], [2.2, 0, 0], [-2.2, 0, 0]], dtype=torch.float64))


@dataclass
class Springs:
    """E = sum over pairs of k (r - r0)^2 / 2, r0 from ``rest``; point charges make the dipole. Counts its calls.

    ``stiffness`` k of all pairs, or [pairs] in the order 0-1, 0-2, ... 1-2, ...
    """

    rest: Molecules
    stiffness: float | Tensor = 0.4
    calls: int = 0
    response_network: ClassVar[None] = None

    def __call__(self, molecules: Molecules) -> Properties:
        self.calls += 1
        atoms = len(self.rest.numbers)
        x = molecules.positions.view(molecules.count, atoms, 3)
        i, j = torch.triu_indices(atoms, atoms, 1)
        length = (self.rest.positions[i] - self.rest.positions[j]).norm(dim=-1)
        arm = x[:, i] - x[:, j]
        distance = arm.norm(dim=-1)
        stretch = distance - length
        pull = -(self.stiffness * stretch / distance)[..., None] * arm
        forces = torch.zeros_like(x).index_add(1, i, pull).index_add(1, j, -pull)
        charge = torch.linspace(-0.5, 0.5, atoms, dtype=x.dtype)
        dipole = (charge[:, None] * x).sum(1)
        return Properties(molecules, (self.stiffness * stretch.square()).sum(1) / 2, forces.reshape(-1, 3), dipole)


def trap(rest: Molecules, stiffness: float = 0.05):
    """Every atom held at its place in ``rest`` by a spring: 3N independent harmonic degrees of freedom; no dipole."""

    def force(molecules: Molecules) -> Properties:
        moved = molecules.positions - rest.positions.repeat(molecules.count, 1)
        return Properties(molecules, stiffness * molecules.total(moved.square().sum(1)) / 2, -stiffness * moved)

    return force


def straight(molecules):
    """Carbon dioxide that is linear at its minimum: bonds, and a bend along the square of how far carbon is from between the oxygens."""
    x = molecules.positions.view(-1, 3, 3)
    arms = x[:, :1] - x[:, 1:]
    length = arms.norm(dim=-1, keepdim=True)
    pull = -(length - 2.2) / length * arms
    off = x[:, 0] - (x[:, 1] + x[:, 2]) / 2
    back = torch.stack([-off, off / 2, off / 2], 1) * 0.1
    forces = torch.cat([pull.sum(1, keepdim=True), -pull], 1) + back
    energy = ((length[..., 0] - 2.2) ** 2).sum(1) / 2 + 0.05 * off.square().sum(1)
    return Properties(molecules, energy, forces.reshape(-1, 3), x[:, 0])


def replicas(molecule: Molecules, count: int) -> Molecules:
    return Molecules.replicas(molecule.numbers, molecule.positions.repeat(count, 1, 1))


def kelvin(temperature: float) -> float:
    return temperature * units.KELVIN
