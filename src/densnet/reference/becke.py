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

NEAR = 10
"""Atoms next to some points that decide which cells reach there; of twice as many atoms every cell is taken."""

NEGLIGIBLE = 1e-13
"""A cell P_i takes no part where its share stays below."""


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

    def neighbourhoods(self, most: int, part: np.ndarray | None = None) -> list[np.ndarray]:
        """Indices of points that are close to each other, ``most`` at a time, by halving; of those in ``part``, or all with a weight."""
        waiting, found = [np.flatnonzero(abs(self.weights) > 1e-14) if part is None else part], []
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
        """dE/dR [atoms, 3] of E = sum_r w(r) e(r) through the weights alone, from the energies w e of the points ``part``."""
        of_point = np.zeros(len(self.weights))
        of_point[part] = energies
        few = self.neighbourhoods(POINTS, part)
        return sum(self._weight_gradient(self.points[own], self.parents[own], of_point[own]) for own in few)

    def _weight_gradient(self, points: np.ndarray, parents: np.ndarray, energies: np.ndarray) -> np.ndarray:
        arms = points - self.atoms[:, None]
        distances = np.linalg.norm(arms, axis=2)
        everyone, near = np.arange(len(self.atoms)), np.argsort(distances.mean(axis=1))[:NEAR]
        cells = everyone
        if len(self.atoms) > 2 * NEAR:
            most = self._steps(everyone, near, distances)[1].prod(axis=1)
            cells = np.flatnonzero((most > NEGLIGIBLE * most.max(axis=0)).any(axis=1) | np.isin(everyone, parents))
        mu, step, slope = self._steps(cells, everyone, distances)
        volume = step.prod(axis=1)
        shares = (parents == cells[:, None]) - volume / volume.sum(axis=0)
        pull = (energies * shares)[:, None] * slope / np.maximum(step, 1e-150)
        lengths, bonds = self._lengths(cells, everyone), self.atoms[cells][:, None] - self.atoms
        stretch = np.einsum("ijr,ijr->ij", pull, mu) / lengths**2
        pull /= lengths[:, :, None]
        net = -pull.sum(axis=0)
        net[cells] += pull.sum(axis=1)
        moved = net[:, :, None] * arms / np.maximum(distances, 1e-150)[:, :, None]
        gradient = np.einsum("jix,ji->ix", bonds, stretch) - moved.sum(axis=1)
        np.subtract.at(gradient, cells, np.einsum("ijx,ij->ix", bonds, stretch))
        np.add.at(gradient, parents, moved.sum(axis=0))
        return gradient

    def _lengths(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Distances between atoms; 1 of an atom to itself."""
        return np.linalg.norm(self.atoms[some][:, None] - self.atoms[others], axis=2) + (some[:, None] == others)

    def _steps(self, some: np.ndarray, others: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mu_ij, s(nu_ij) and its slope along mu, [some, others, points]; 0, 1 and 0 of an atom with itself."""
        ratio = self.sizes[others] / self.sizes[some][:, None]
        shift = np.clip((ratio - 1 / ratio) / 4, -0.5, 0.5)[:, :, None]
        mu = (distances[some][:, None] - distances[others]) / self._lengths(some, others)[:, :, None]
        step, slope = _step(mu + shift * (1 - mu * mu))
        slope *= 1 - 2 * shift * mu
        itself = some[:, None] == others
        step[itself], slope[itself] = 1.0, 0.0
        return mu, step, slope


def _step(nu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """s(nu) = (1 - f(f(f(nu)))) / 2 with f(x) = (3 x - x^3) / 2, and its slope."""
    slope = -27.0 / 16.0
    for _ in range(3):
        square = nu * nu
        slope = slope * (1 - square)
        nu = nu * (3 - square) / 2
    return (1 - nu) / 2, slope
