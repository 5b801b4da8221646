"""The SCF on two grids: the cheap one iterates, the difference of the two is held fixed and refreshed a few times.

    F(D) = h + J(D) + V_cheap(D) + [V_fine(D0) - V_cheap(D0)],    E likewise to first order in D - D0,

which at D = D0 is the fine grid's. One DIIS (Pulay) goes through all refreshes: the Fock matrices it remembers all get the new difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from densnet.reference.densitymatrix import DensityMatrix

REMEMBERED = 10
"""Fock matrices of the DIIS."""

FIRST_LOOK = 3e-2
"""Orbital gradient (hartree) at which the fine grid is looked at for the first time."""

CONTRACTION = 0.02
"""By how much the cheap cycles lower the orbital gradient between two looks at the fine grid."""

Functional = Callable[[DensityMatrix], tuple[float, np.ndarray]]
"""Energy and potential [AO, AO] of a density matrix."""


@dataclass(frozen=True)
class Field:
    """What is to be made self-consistent, for so many doubly occupied orbitals (``pairs``).

    ``core`` and ``overlap`` [AO, AO]; ``smooth`` (Coulomb, exact exchange) are evaluated once a cycle, and so is ``cheap``; ``fine``, which
    decides, from time to time.
    """

    core: np.ndarray
    overlap: np.ndarray
    pairs: int
    smooth: tuple[Functional, ...]
    cheap: Functional
    fine: Functional


@dataclass(frozen=True)
class State:
    """The ``density`` matrix of doubly occupied orbitals, the ``fock`` matrix and ``energy`` that it gives on the fine grid.

    The norm of its orbital ``gradient`` (2 F_vo, as PySCF counts it); in how many ``cycles``, and ``looks`` at the fine grid; whether it
    has ``converged``.
    """

    density: DensityMatrix
    fock: np.ndarray
    energy: float
    gradient: float
    cycles: int
    looks: int
    converged: bool


def converge(field: Field, density: DensityMatrix, tolerance: float, gradient_tolerance: float, cycles: int) -> State:
    """From a start ``density`` until energy (last change) and orbital gradient meet their tolerances, both on the fine grid."""
    to_orthogonal = _orthogonaliser(field.overlap)
    diis = _Diis(field.overlap, to_orthogonal)
    origin, last, threshold, looks = 0.0, np.inf, FIRST_LOOK, 0
    for cycle in range(1, cycles + 1):
        common, fock = (density.matrix * field.core).sum(), field.core
        for functional in field.smooth:
            part, potential = functional(density)
            common, fock = common + part, fock + potential
        cheap_energy, cheap = field.cheap(density)
        energy = common + cheap_energy + origin + (diis.held * density.matrix).sum()
        diis.take(fock + cheap, density.matrix)
        if diis.gradient < threshold and cycle > 1:
            looks += 1
            fine_energy, fine = field.fine(density)
            diis.hold(fine - cheap)
            origin, energy = fine_energy - cheap_energy - (diis.held * density.matrix).sum(), common + fine_energy
            threshold = max(CONTRACTION * diis.gradient, gradient_tolerance / 2)
            if diis.gradient < gradient_tolerance and abs(energy - last) < tolerance:
                return State(density, fock + fine, energy, diis.gradient, cycle, looks, True)
        last = energy
        lowest = scipy.linalg.eigh(to_orthogonal.T @ diis.extrapolated() @ to_orthogonal, subset_by_index=(0, field.pairs - 1))[1]
        density = DensityMatrix.of_pairs(to_orthogonal @ lowest)
    return State(density, diis.focks[-1] + diis.held, energy, diis.gradient, cycles, looks, False)


class _Diis:
    """Pulay's extrapolation: the combination of the Fock matrices, coefficients summing to one, with the least commutator [F, D]."""

    def __init__(self, overlap: np.ndarray, to_orthogonal: np.ndarray):
        self.to_orthogonal, self.back = to_orthogonal, overlap @ to_orthogonal
        self.held = np.zeros_like(overlap)
        self.focks: list[np.ndarray] = []
        self.densities: list[np.ndarray] = []
        self.errors: list[np.ndarray] = []

    def take(self, fock: np.ndarray, density: np.ndarray) -> None:
        """One more; ``fock`` without what is held."""
        self.focks, self.densities = [*self.focks, fock][-REMEMBERED:], [*self.densities, density][-REMEMBERED:]
        self.errors = [*self.errors, self._error(fock, density)][-REMEMBERED:]

    def hold(self, held: np.ndarray) -> None:
        """A matrix that is to be added to every Fock matrix, remembered or to come."""
        self.held = held
        self.errors = [self._error(fock, density) for fock, density in zip(self.focks, self.densities)]

    @property
    def gradient(self) -> float:
        """Norm of the orbital gradient of the last one."""
        return float(np.linalg.norm(self.errors[-1]) / np.sqrt(2))

    def _error(self, fock: np.ndarray, density: np.ndarray) -> np.ndarray:
        half = self.to_orthogonal.T @ (fock + self.held) @ density @ self.back
        return half - half.T

    def extrapolated(self) -> np.ndarray:
        """The combination, with what is held."""
        errors = np.array(self.errors).reshape(len(self.errors), -1)
        lengths = np.linalg.norm(errors, axis=1)
        directions = errors / lengths[:, None]
        weights = np.linalg.lstsq(directions @ directions.T, 1 / lengths, rcond=1e-12)[0] / lengths
        return sum(w * fock for w, fock in zip(weights / weights.sum(), self.focks)) + self.held


def _orthogonaliser(overlap: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(overlap)
    return vectors / np.sqrt(values)
