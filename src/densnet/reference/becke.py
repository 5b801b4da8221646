"""An atom-centred grid that knows which atom each point belongs to, and how its weights change when the atoms move.

    w(r) = v P_a / sum_i P_i,    P_i = prod_j s(nu_ij),    nu = mu + a_ij (1 - mu^2),    mu_ij = (|r - R_i| - |r - R_j|) / R_ij

for a point of atom a with the volume v: A. D. Becke, J. Chem. Phys. 88, 2547 (1988), sizes of atoms as in Treutler and Ahlrichs, ibid. 102,
346 (1995). Points and weights are PySCF's, pruned as in NWChem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyscf import dft, gto

POINTS = 128
"""Points at a time for the slopes of the weights, a table of pairs of atoms each."""


@dataclass(frozen=True)
class Grid:
    """``points`` [n, 3] (bohr), ``weights`` [n] and ``parents`` [n] (the atom a point moves with); positions and sizes of the atoms."""

    points: np.ndarray
    weights: np.ndarray
    parents: np.ndarray
    atoms: np.ndarray
    sizes: np.ndarray

    @classmethod
    def around(cls, molecule: gto.Mole, radial: int, angular: int) -> Grid:
        """With so many radial points and at most so many angular ones for every element."""
        grid = dft.Grids(molecule)
        grid.atom_grid, grid.prune = dict.fromkeys(set(molecule.elements), (radial, angular)), dft.gen_grid.nwchem_prune
        table = grid.gen_atomic_grids(molecule, grid.atom_grid, grid.radi_method, grid.level, grid.prune)
        points, weights = grid.get_partition(molecule, table, grid.radii_adjust, grid.atomic_radii, grid.becke_scheme, concat=False)
        parents = np.repeat(np.arange(molecule.natm), [len(w) for w in weights])
        sizes = np.sqrt(grid.atomic_radii[molecule.atom_charges()])
        return cls(np.vstack(points), np.hstack(weights), parents, molecule.atom_coords(), sizes)

    def neighbourhoods(self, most: int) -> list[np.ndarray]:
        """Indices of points that are close to each other, ``most`` at a time, by halving; points that weigh nothing are left out."""
        waiting, found = [np.flatnonzero(abs(self.weights) > 1e-14)], []
        while waiting:
            part = waiting.pop()
            if len(part) <= most:
                found.append(part)
                continue
            longest, middle = np.ptp(self.points[part], axis=0).argmax(), len(part) // 2
            halves = np.argpartition(self.points[part, longest], middle)
            waiting += [part[halves[:middle]], part[halves[middle:]]]
        return found

    def weight_gradient(self, part: np.ndarray, energies: np.ndarray) -> np.ndarray:
        """dE/dR [atoms, 3] of E = sum_r w(r) e(r) through the weights alone, from ``energies`` w e of the points ``part``."""
        gradient = np.zeros_like(self.atoms)
        for start in range(0, len(part), POINTS):
            few = slice(start, start + POINTS)
            gradient += self._weight_gradient(self.points[part[few]], self.parents[part[few]], energies[few])
        return gradient

    def _weight_gradient(self, points: np.ndarray, parents: np.ndarray, energies: np.ndarray) -> np.ndarray:
        arms = points - self.atoms[:, None]
        distances = np.linalg.norm(arms, axis=2)
        bonds = self.atoms[:, None] - self.atoms
        lengths = np.linalg.norm(bonds, axis=2) + np.eye(len(bonds))
        ratio = self.sizes / self.sizes[:, None]
        shift = np.clip((ratio - ratio.T) / 4, -0.5, 0.5)[:, :, None]
        mu = (distances[:, None] - distances) / lengths[:, :, None]
        step, slope = _step(mu + shift * (1 - mu * mu))
        slope *= 1 - 2 * shift * mu
        step[np.diag_indices(len(step))] = 1.0
        cells = step.prod(axis=1)
        shares = (parents == np.arange(len(cells))[:, None]) - cells / cells.sum(axis=0)
        pull = (energies * shares)[:, None] * slope / np.maximum(step, 1e-150)
        pull[np.diag_indices(len(pull))] = 0.0
        stretch = np.einsum("ijr,ijr->ij", pull, mu) / lengths**2
        pull /= lengths[:, :, None]
        moved = np.einsum("ir,irx->irx", pull.sum(axis=1) - pull.sum(axis=0), arms / np.maximum(distances, 1e-150)[:, :, None])
        gradient = np.einsum("jix,ji->ix", bonds, stretch) - np.einsum("ijx,ij->ix", bonds, stretch) - moved.sum(axis=1)
        np.add.at(gradient, parents, moved.sum(axis=0))
        return gradient


def _step(nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """s(nu) = (1 - f(f(f(nu)))) / 2 with f(x) = (3 x - x^3) / 2, and its slope."""
    slope = -27.0 / 16.0
    for _ in range(3):
        square = nu * nu
        slope = slope * (1 - square)
        nu = nu * (3 - square) / 2
    return (1 - nu) / 2, slope
