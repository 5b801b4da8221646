"""Slopes along the atoms: of the forces (Hessian) and of the dipole, by central differences or by autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from densnet.molecules import MoleculeError, Molecules

if TYPE_CHECKING:
    from densnet.properties import Properties

ForceFunction = Callable[[Molecules], "Properties"]
"""Energies, forces and, if known, dipoles of a batch of molecules."""


@dataclass(frozen=True)
class Slopes:
    """First derivatives along the atoms of one molecule.

    hessian  [3 atoms, 3 atoms]  hartree / bohr^2, as differenced (not symmetrised); d(-force_j) / dx_i
    dipole   [atoms, 3, 3]       e; d mu_b / d R_Aa at [A, a, b]; None where the function gives no dipole
    """

    hessian: Tensor
    dipole: Tensor | None


def slopes(force_function: ForceFunction, molecule: Molecules, step: float = 0.01, chunk: int = 64) -> Slopes:
    """Central differences ``(f(x + h) - f(x - h)) / 2h`` of forces and dipole in 6 ``atoms`` displacements.

    ``step`` h in bohr; ``chunk`` displaced copies go through the force function at a time.
    """
    size = molecule.positions.numel()
    moves = step * torch.eye(size, dtype=torch.float64, device=molecule.positions.device).reshape(size, -1, 3)
    forces, dipoles = along(force_function, molecule, moves, chunk)
    return Slopes(-forces / step, None if dipoles is None else (dipoles / step).reshape(-1, 3, 3))


def dipole_derivatives(force_function: ForceFunction, molecule: Molecules, step: float = 0.01, chunk: int = 64) -> Tensor:
    """``d mu_b / d R_Aa`` [atoms, 3 (a), 3 (b)] in e, by central differences with ``step`` in bohr."""
    found = slopes(force_function, molecule, step, chunk).dipole
    if found is None:
        raise MoleculeError("this force function gives no dipole, so there are no dipole derivatives; use one that does.")
    return found


def dipole_derivatives_autograd(force_function: ForceFunction, molecule: Molecules) -> Tensor:
    """As `dipole_derivatives`, for a function whose dipole is differentiable in the positions: three backward passes.

    Raises `MoleculeError` when the dipole carries no graph.
    """
    _check_single(molecule)
    positions = molecule.positions.detach().clone().requires_grad_()
    dipole = force_function(molecule.at(positions)).dipole
    if dipole is None or not dipole.requires_grad:
        raise MoleculeError("the dipole of this function is not differentiable in the positions; use `dipole_derivatives`.")
    rows = [torch.autograd.grad(dipole[0, b], positions, retain_graph=b < 2)[0] for b in range(3)]
    return torch.stack(rows, dim=-1)


def along(force_function: ForceFunction, molecule: Molecules, moves: Tensor, chunk: int = 64) -> tuple[Tensor, Tensor | None]:
    """``(f(x + m) - f(x - m)) / 2`` for each of ``moves`` [moves, atoms, 3] (bohr) of one molecule: central differences not yet divided.

    Forces [moves, 3 atoms] in hartree/bohr and dipoles [moves, 3] in e bohr, these None where the function tells none. The geometries are
    asked for in pairs, the two of a move one after the other, ``chunk`` at a time.
    """
    answers, size = [force_function(moved) for moved in _moved(molecule, moves, chunk)], molecule.positions.numel()
    forces = torch.cat([a.forces.detach().double() for a in answers]).reshape(-1, 2, size)
    dipoles = None
    if all(a.dipole is not None for a in answers):
        dipoles = torch.cat([a.dipole.detach().double() for a in answers]).reshape(-1, 2, 3)
    return _half_difference(forces), None if dipoles is None else _half_difference(dipoles)


def _half_difference(pairs: Tensor) -> Tensor:
    return (pairs[:, 0] - pairs[:, 1]) / 2


def polarizability_derivatives(function: ForceFunction, molecule: Molecules, step: float = 0.01, chunk: int = 64) -> Tensor:
    """``d alpha_ij / d R_Aa`` [atoms, 3 (a), 3, 3] in bohr^2, by central differences with ``step`` in bohr; ``function`` tells alpha.

    Raises `MoleculeError` when it does not.
    """
    size = molecule.positions.numel()
    moves = step * torch.eye(size, dtype=torch.float64, device=molecule.positions.device).reshape(size, -1, 3)
    answers = [function(moved).polarizability for moved in _moved(molecule, moves, chunk)]
    if any(alpha is None for alpha in answers):
        raise MoleculeError("this function gives no polarizability; use `Predictor.respond` of a model that has learned it.")
    up, down = torch.cat([alpha.detach().double() for alpha in answers]).unflatten(0, (-1, 2)).unbind(1)
    return ((up - down) / (2.0 * step)).unflatten(0, (-1, 3))


def _moved(molecule: Molecules, moves: Tensor, chunk: int) -> list[Molecules]:
    """Copies displaced by each of ``moves`` [moves, atoms, 3] and by its opposite, one after the other, ``chunk`` at a time."""
    _check_single(molecule)
    positions = molecule.positions.detach().double()
    geometries = torch.stack([positions + moves, positions - moves], dim=1).flatten(0, 1)
    return [molecule.copies(part) for part in geometries.split(chunk)]


def _check_single(molecule: Molecules) -> None:
    if molecule.count != 1:
        raise MoleculeError(f"derivatives are for one molecule, but the batch contains {molecule.count}; split it first.")
