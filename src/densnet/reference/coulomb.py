"""The Coulomb energy of a density fitted in an auxiliary basis: energy, potential and nuclear gradient.

    E_J = 1/2 g V^-1 g,    g_P = sum_mn D_mn (mn|P),    V_PQ = (P|Q)

Three-centre integrals are held for the pairs of shells that overlap, if the memory allows, and computed anew for every use otherwise.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from pyscf import gto

from densnet.reference.densitymatrix import DensityMatrix
from densnet.reference.threecentre import ThreeCentre


class Coulomb:
    """J of ``molecule`` with the auxiliary basis of PySCF's name ``auxiliary``; integrals are held if they fit in ``memory_mb``."""

    def __init__(self, molecule: gto.Mole, auxiliary: str, memory_mb: float):
        self.centres = ThreeCentre(molecule, auxiliary)
        self.metric = scipy.linalg.cho_factor(self.centres.metric)
        self._kept: list | None = None
        kept, megabytes = [], 0.0
        for part in self.centres.integrals():
            megabytes += part[2].nbytes / 1e6
            if megabytes > memory_mb:
                return
            kept.append(part)
        self._kept = kept

    def _fitted(self, densities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """E_J [k] and the coefficients V^-1 g [P, k] of the ``densities`` [k, AO, AO], symmetric matrices."""
        projected = np.zeros((self.centres.size, len(densities)))
        for m, n, values in self._kept or self.centres.integrals():
            pairs = densities[:, n[:, None], m] * np.where(n >= m[0], 1.0, 2.0)[:, None]
            projected += values.reshape(len(projected), -1) @ pairs.reshape(len(pairs), -1).T
        fitted = scipy.linalg.cho_solve(self.metric, projected)
        return 0.5 * (projected * fitted).sum(0), fitted

    def potentials(self, densities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """E_J [k] in hartree and J [k, AO, AO] of k ``densities`` [k, AO, AO], symmetric matrices."""
        energies, fitted = self._fitted(densities)
        matrices = np.zeros_like(densities)
        for m, n, values in self._kept or self.centres.integrals():
            matrices[:, n[:, None], m] = (fitted.T @ values.reshape(len(fitted), -1)).reshape(-1, len(n), len(m))
        lower = np.tril(matrices.transpose(0, 2, 1))
        return energies, lower + np.tril(lower, -1).transpose(0, 2, 1)

    def potential(self, density: DensityMatrix) -> tuple[float, np.ndarray]:
        """E_J in hartree and J [AO, AO] of the ``density`` matrix."""
        energies, matrices = self.potentials(density.matrix[None])
        return float(energies[0]), matrices[0]

    def gradient(self, density: DensityMatrix) -> np.ndarray:
        """dE_J/dR [atoms, 3] at a fixed ``density`` matrix."""
        matrix = density.matrix
        fitted = self._fitted(matrix[None])[1]

        def weights(m: np.ndarray, n: np.ndarray) -> np.ndarray:
            return fitted[:, :, None] * matrix[np.ix_(n, m)]

        return self.centres.slopes(weights, abs(matrix) * abs(fitted).max(), fitted)
