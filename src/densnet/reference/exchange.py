"""Exchange and correlation on the atom-centred grid: energy, potential and nuclear gradient of a generalised-gradient functional.

Same integrals as PySCF's `numint` and `grad.rks`, arranged for one core and small molecules: AO values are kept over the SCF cycles
(if the memory allows), and densities come from the occupied orbitals alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pyscf import dft, gto
from pyscf.grad.rks import grids_response_cc

POINTS = 2048
"""Grid points at a time."""

_SECOND = ((4, 5, 6), (5, 7, 8), (6, 8, 9))
"""Where PySCF's table of AO derivatives keeps d2/dx_a dx_b."""


class ExchangeCorrelation:
    """E_xc = sum_r w(r) rho(r) eps(rho, |grad rho|) for a closed shell.

    ``molecule`` and ``grid`` are PySCF's; ``functional`` a GGA by its PySCF name; AO values are kept if they fit in ``memory_mb``.
    """

    def __init__(self, molecule: gto.Mole, grid: dft.Grids, functional: str, memory_mb: float):
        self.molecule, self.grid, self.functional = molecule, grid, functional
        self.libxc = dft.numint.NumInt()
        needed = 4 * 8 * molecule.nao * len(grid.weights) / 1e6
        self._kept = list(self._blocks()) if needed < memory_mb else None

    def _orbital_values(self, points: np.ndarray, derivatives: int) -> np.ndarray:
        """[components, AO, points] AOs and their derivatives."""
        return self.libxc.eval_ao(self.molecule, points, deriv=derivatives).transpose(0, 2, 1)

    def _blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self.grid.weights), POINTS):
            part = slice(start, start + POINTS)
            yield self._orbital_values(self.grid.coords[part], 1), self.grid.weights[part]

    def _local(self, orbitals: np.ndarray, occupations: np.ndarray, weights: np.ndarray):
        """From ``orbitals`` [4, occupied, points] (value and gradient): rho, eps and w d(rho eps)/d(rho, grad rho) [4, points]."""
        rho = 2 * np.einsum("ir,cir->cr", occupations[:, None] * orbitals[0], orbitals)
        rho[0] /= 2
        energy, potential = self.libxc.eval_xc_eff(self.functional, rho, deriv=1, xctype="GGA")[:2]
        return rho[0], energy, weights * potential

    def potential(self, density_matrix: np.ndarray) -> tuple[float, np.ndarray]:
        """E_xc in hartree and its derivative [AO, AO] by the (symmetric) ``density_matrix``."""
        occupations, vectors = np.linalg.eigh(density_matrix)
        occupied = abs(occupations) > 1e-13
        occupations, vectors = occupations[occupied], np.ascontiguousarray(vectors[:, occupied].T)
        total, matrix = 0.0, np.zeros_like(density_matrix, dtype=float)
        for ao, weights in self._kept or self._blocks():
            rho, energy, potential = self._local(vectors @ ao, occupations, weights)
            total += (weights * rho) @ energy
            potential[0] /= 2
            matrix += ao[0] @ sum(a * v for a, v in zip(ao, potential)).T
        return total, matrix + matrix.T

    def gradient(self, orbitals: np.ndarray) -> np.ndarray:
        """dE_xc/dR [atoms, 3] at fixed doubly occupied ``orbitals`` [AO, occupied]; grid points and weights move with their atoms."""
        gradient = np.zeros((self.molecule.natm, 3))
        of_atom = self.molecule.aoslice_by_atom()[:, 2:]
        occupations = np.full(orbitals.shape[1], 2.0)
        for parent, (points, weights, weight_slopes) in enumerate(grids_response_cc(self.grid)):
            for start in range(0, len(weights), POINTS):
                part = slice(start, start + POINTS)
                ao = self._orbital_values(points[part], 2)
                psi = orbitals.T @ ao[:4]
                rho, energy, potential = self._local(psi, occupations, weights[part])
                gradient += weight_slopes[:, :, part] @ (rho * energy)
                moved = 4 * orbitals * _slopes(ao, psi, potential)
                gradient[parent] += moved.sum((1, 2))
                gradient -= np.array([moved[:, start:stop].sum((1, 2)) for start, stop in of_atom])
        return gradient


def _slopes(ao: np.ndarray, psi: np.ndarray, potential: np.ndarray) -> np.ndarray:
    """[3, AO, occupied] integrals of d(phi psi v)/dx, the derivative acting on the AO phi only."""
    first = potential[0] * psi[0] + np.einsum("kr,kir->ir", potential[1:], psi[1:])
    second = potential[1:, None] * psi[0]
    return np.array([ao[1 + x] @ first.T + sum(ao[_SECOND[x][k]] @ second[k].T for k in range(3)) for x in range(3)])
