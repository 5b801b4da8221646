"""A density matrix that knows its orbitals: D = sum_i n_i c_i c_i^T."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class DensityMatrix:
    """``orbitals`` [AO, n] with ``occupations`` [n]; only those that are occupied."""

    orbitals: np.ndarray
    occupations: np.ndarray

    @classmethod
    def of_pairs(cls, orbitals: np.ndarray) -> DensityMatrix:
        """Of doubly occupied ``orbitals``."""
        return cls(orbitals, np.full(orbitals.shape[1], 2.0))

    @classmethod
    def of_matrix(cls, matrix: np.ndarray) -> DensityMatrix:
        """Of a symmetric ``matrix``, by its natural orbitals in the AO metric."""
        occupations, orbitals = np.linalg.eigh(matrix)
        kept = abs(occupations) > 1e-13
        return cls(np.ascontiguousarray(orbitals[:, kept]), occupations[kept])

    @cached_property
    def matrix(self) -> np.ndarray:
        """[AO, AO]"""
        return (self.orbitals * self.occupations) @ self.orbitals.T
