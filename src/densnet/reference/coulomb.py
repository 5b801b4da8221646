"""The Coulomb energy of a density fitted in an auxiliary basis: energy, potential and nuclear gradient.

    E_J = 1/2 g V^-1 g,    g_P = sum_mn D_mn (mn|P),    V_PQ = (P|Q)

Three-centre integrals are held for the pairs of shells that overlap, if the memory allows, and computed anew for every use otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
from pyscf import df, gto
from pyscf.scf import _vhf

from densnet.reference.densitymatrix import DensityMatrix

NEGLIGIBLE = 1e-11
"""hartree; integrals of a pair of shells mn take no part where sqrt((mn|mn)) max_P sqrt((P|P)) stays below."""

NEGLIGIBLE_SLOPE = 1e-8
"""hartree / bohr; the same with the density matrix and the fitted coefficients, for the gradient."""


class Coulomb:
    """J of ``molecule`` with the auxiliary basis of PySCF's name ``auxiliary``; integrals are held if they fit in ``memory_mb``."""

    def __init__(self, molecule: gto.Mole, auxiliary: str, memory_mb: float):
        self.molecule, self.auxiliary = molecule, df.addons.make_auxmol(molecule, auxiliary)
        metric = self.auxiliary.intor("int2c2e")
        self.metric, self.largest = scipy.linalg.cho_factor(metric), np.sqrt(metric.diagonal().max())
        self.bounds = _vhf._VHFOpt(molecule, "int2e", qcondname="CVHFnr_int2e_q_cond").q_cond
        self._starts = molecule.ao_loc_nr()
        self._kept: list | None = None
        kept, megabytes = [], 0.0
        for part in self._integrals():
            megabytes += part[2].nbytes / 1e6
            if megabytes > memory_mb:
                return
            kept.append(part)
        self._kept = kept

    def _shell_by_shell(self, integral: str, partners: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """AOs m of each shell, AOs n of its ``partners`` (table of shells), and ``integral`` of m, n and all P, as libcint orders it."""
        m, a = self.molecule, self.auxiliary
        atm, bas, env = gto.conc_env(m._atm, m._bas, m._env, a._atm, a._bas, a._env)
        functions = np.diff(self._starts)
        for shell, theirs in enumerate(partners):
            chosen = np.flatnonzero(theirs)
            few = np.vstack([bas[shell], bas[chosen], bas[m.nbas :]])
            last = 1 + len(chosen)
            values = gto.moleintor.getints(integral, atm, few, env, shls_slice=(0, 1, 1, last, last, len(few)))
            yield np.arange(*self._starts[shell : shell + 2]), np.flatnonzero(np.repeat(theirs, functions)), values

    def _integrals(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(mn|P) [P, n, m], every pair of shells once."""
        partners = np.tril(self.bounds * self.largest > NEGLIGIBLE)
        return ((m, n, values.transpose(2, 1, 0)) for m, n, values in self._shell_by_shell("int3c2e_sph", partners))

    def _fitted(self, densities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """E_J [k] and the coefficients V^-1 g [P, k] of the ``densities`` [k, AO, AO], symmetric matrices."""
        projected = np.zeros((self.auxiliary.nao, len(densities)))
        for m, n, values in self._kept or self._integrals():
            pairs = densities[:, n[:, None], m] * np.where(n >= m[0], 1.0, 2.0)[:, None]
            projected += values.reshape(len(projected), -1) @ pairs.reshape(len(pairs), -1).T
        fitted = scipy.linalg.cho_solve(self.metric, projected)
        return 0.5 * (projected * fitted).sum(0), fitted

    def potentials(self, densities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """E_J [k] in hartree and J [k, AO, AO] of k ``densities`` [k, AO, AO], symmetric matrices."""
        energies, fitted = self._fitted(densities)
        matrices = np.zeros_like(densities)
        for m, n, values in self._kept or self._integrals():
            matrices[:, n[:, None], m] = (fitted.T @ values.reshape(len(fitted), -1)).reshape(-1, len(n), len(m))
        lower = np.tril(matrices.transpose(0, 2, 1))
        return energies, lower + np.tril(lower, -1).transpose(0, 2, 1)

    def potential(self, density: DensityMatrix) -> tuple[float, np.ndarray]:
        """E_J in hartree and J [AO, AO] of the ``density`` matrix."""
        energies, matrices = self.potentials(density.matrix[None])
        return float(energies[0]), matrices[0]

    def gradient(self, density: DensityMatrix) -> np.ndarray:
        """dE_J/dR [atoms, 3] at a fixed ``density`` matrix.

        What the P contribute follows from that of the m: when all three centres of an integral move, it stays.
        """
        matrix = density.matrix
        fitted = self._fitted(matrix[None])[1][:, 0]
        starts = self._starts[:-1]
        largest = np.maximum.reduceat(np.maximum.reduceat(abs(matrix), starts, axis=0), starts, axis=1)
        partners = self.bounds * largest * self.largest * abs(fitted).max() > NEGLIGIBLE_SLOPE
        moved, aux_moved = np.zeros((3, len(matrix))), np.zeros((3, len(fitted)))
        for m, n, values in self._shell_by_shell("int3c2e_ip1_sph", partners):
            slopes = np.einsum("xpnm,nm->xpm", values.transpose(0, 3, 2, 1), matrix[np.ix_(n, m)])
            moved[:, m] = fitted @ slopes
            aux_moved += slopes.sum(2) * fitted
        metric = (self.auxiliary.intor("int2c2e_ip1") @ fitted) * fitted
        ours, theirs = self.molecule.aoslice_by_atom()[:, 2:], self.auxiliary.aoslice_by_atom()[:, 2:]
        return np.array([
            -2 * moved[:, a:b].sum(1) + 2 * aux_moved[:, c:d].sum(1) + metric[:, c:d].sum(1) for (a, b), (c, d) in zip(ours, theirs)
        ])  # fmt: skip
