"""Exchange and correlation on an atom-centred grid: energy, potential and nuclear gradient of a semilocal functional.

Same integrals as PySCF's `numint` and `grad.rks`, arranged for one core: points lie in boxes, each block of them knows the few AOs that
reach it, AO values are kept over the SCF cycles if the memory allows, and densities come from the occupied orbitals alone. The cost grows
linearly with the molecule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from pyscf import dft, gto

from densnet.reference.becke import Grid
from densnet.reference.densitymatrix import DensityMatrix

POINTS = 1024
"""Grid points at a time, at most."""

NEGLIGIBLE = 1e-8
"""An AO takes no part in a block where |phi| sqrt(w) stays below; energies change by less than 1e-8 hartree."""

_SECOND = ((4, 5, 6), (5, 7, 8), (6, 8, 9))
"""Where PySCF's table of AO derivatives keeps d2/dx_a dx_b."""


@dataclass(frozen=True)
class Block:
    """Some ``points`` of the grid, the ``number`` of each AO that reaches them, and its derivatives ``ao`` [components, AO, points]."""

    points: np.ndarray
    number: np.ndarray
    ao: np.ndarray


class ExchangeCorrelation:
    """E_xc = sum_r w(r) rho(r) eps(rho, |grad rho|, tau) for a closed shell.

    ``molecule`` is PySCF's; ``functional`` a GGA or meta-GGA by its PySCF name, of which the semilocal part counts; AO values are kept
    if they fit in ``memory_mb``; ``negligible`` as `NEGLIGIBLE`, 0 for every AO at every point.
    """

    def __init__(self, molecule: gto.Mole, grid: Grid, functional: str, memory_mb: float, negligible: float = NEGLIGIBLE):
        self.molecule, self.grid, self.functional, self.negligible = molecule, grid, functional, negligible
        self.libxc = dft.numint.NumInt()
        self.kind = self.libxc._xc_type(functional)
        self.reach = Reach(molecule)
        self._kept: list[Block] | None = None
        kept, megabytes = [], 0.0
        for block in self._blocks(1):
            megabytes += block.ao.nbytes / 1e6
            if megabytes > memory_mb:
                return
            kept.append(block)
        self._kept = kept

    def _blocks(self, derivatives: int) -> Iterator[Block]:
        for part in self.grid.neighbourhoods(POINTS):
            points = self.grid.points[part]
            shells = self.reach.shells(points, self.grid.weights[part]) > self.negligible
            few = SimpleNamespace(_atm=self.molecule._atm, _bas=self.molecule._bas[shells], _env=self.molecule._env, cart=False)
            values = gto.eval_gto(few, f"GTOval_sph_deriv{derivatives}", points)
            yield Block(part, np.flatnonzero(np.repeat(shells, self.reach.functions)), values.transpose(0, 2, 1))

    def _density(self, psi: np.ndarray, occupations: np.ndarray) -> np.ndarray:
        """rho, grad rho[, tau] [4 or 5, points] from orbitals ``psi`` [4, occupied, points] (values, slopes)."""
        rho = 2 * np.einsum("ir,cir->cr", occupations[:, None] * psi[0], psi)
        rho[0] /= 2
        if self.kind == "MGGA":
            tau = sum(np.einsum("i,ir,ir->r", occupations, p, p) for p in psi[1:]) / 2
            rho = np.vstack([rho, tau])
        return rho

    def _local(self, psi: np.ndarray, occupations: np.ndarray, weights: np.ndarray):
        """From orbitals ``psi`` [4, occupied, points] (values, slopes): rho, eps, w d(rho eps)/d(rho, grad rho[, tau]) [4 or 5, points]."""
        rho = self._density(psi, occupations)
        energy, potential = self.libxc.eval_xc_eff(self.functional, rho, deriv=1, xctype=self.kind)[:2]
        return rho[0], energy, weights * potential

    @property
    def keeps(self) -> bool:
        """Whether AO values are kept."""
        return self._kept is not None

    def blocks(self) -> Iterable[Block]:
        """All points with the AOs there and their slopes, kept or computed anew."""
        return self._kept or self._blocks(1)

    def kernel(self, block: Block, psi: np.ndarray) -> np.ndarray:
        """w d^2(rho eps)/d(rho, grad rho[, tau])^2 [4 or 5, 4 or 5, points] of doubly occupied ``psi`` [4, occupied, points]."""
        rho = self._density(psi, np.full(psi.shape[1], 2.0))
        second = self.libxc.eval_xc_eff(self.functional, rho, deriv=2, xctype=self.kind)[2]
        return self.grid.weights[block.points] * second

    def potential(self, density: DensityMatrix) -> tuple[float, np.ndarray]:
        """E_xc in hartree and its derivative [AO, AO] by the ``density`` matrix."""
        total, matrix = 0.0, np.zeros_like(density.matrix)
        for block in self.blocks():
            weights = self.grid.weights[block.points]
            rho, energy, potential = self._local(density.orbitals[block.number].T @ block.ao, density.occupations, weights)
            total += (weights * rho) @ energy
            potential[0] /= 2
            part = block.ao[0] @ np.einsum("cir,cr->ir", block.ao, potential[:4]).T
            for along, v in zip(block.ao[1:], [potential[4] / 4] * 3 if self.kind == "MGGA" else []):
                part += along @ (along * v).T
            matrix[np.ix_(block.number, block.number)] += part
        return total, matrix + matrix.T

    def gradient(self, density: DensityMatrix) -> np.ndarray:
        """dE_xc/dR [atoms, 3] at a fixed ``density`` matrix; grid points and weights move with their atoms."""
        gradient = np.zeros((self.molecule.natm, 3))
        of_ao = np.repeat(self.reach.atom, self.reach.functions)
        for block in self._blocks(2):
            own = density.orbitals[block.number]
            psi = own.T @ block.ao[:4]
            rho, energy, potential = self._local(psi, density.occupations, self.grid.weights[block.points])
            moved = _slopes(block.ao, 2 * (own * density.occupations) @ psi, potential)
            gradient += self.grid.weight_gradient(block.points, self.grid.weights[block.points] * rho * energy)
            np.add.at(gradient, self.grid.parents[block.points], moved.sum(1).T)
            np.subtract.at(gradient, of_ao[block.number], moved.sum(2).T)
        return gradient


def _slopes(ao: np.ndarray, density: np.ndarray, potential: np.ndarray) -> np.ndarray:
    """[3, AO, points] d(w rho eps)/dx, the derivative acting on each AO of the bra only.

    ``density`` [4, AO, points] is 2 D phi and its slopes.
    """
    first = np.einsum("cir,cr->ir", density, potential[:4])
    moved = ao[1:4] * first
    for x, row in enumerate(_SECOND):
        moved[x] += np.einsum("kir,kr->ir", ao[list(row)], potential[1:4]) * density[0]
        if len(potential) == 5:
            moved[x] += np.einsum("kir,kir,r->ir", ao[list(row)], density[1:], potential[4] / 2)
    return moved


class Reach:
    """How far from its atom a shell matters: a bound on |phi| against the distance, one table a shell."""

    STEP, FARTHEST = 0.05, 40.0

    def __init__(self, molecule: gto.Mole):
        self.centres, self.atom = molecule.atom_coords(), molecule._bas[:, gto.ATOM_OF]
        self.functions = np.diff(molecule.ao_loc_nr())
        r = np.arange(0.0, self.FARTHEST, self.STEP)
        self.bound = np.array([_envelope(molecule, shell, r) for shell in range(molecule.nbas)])

    def shells(self, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[shells] a bound on the largest |phi| sqrt(w) over the ``points``."""
        distances = np.linalg.norm(points - self.centres[:, None], axis=2)
        index = np.minimum(distances / self.STEP, self.bound.shape[1] - 1).astype(int)
        return (self.bound[np.arange(len(self.atom))[:, None], index[self.atom]] * np.sqrt(abs(weights))).max(axis=1)


def _envelope(molecule: gto.Mole, shell: int, r: np.ndarray) -> np.ndarray:
    """The largest |R(r')| of a contracted ``shell`` at any r' >= r, times a bound on the angular part."""
    l, exponents = molecule.bas_angular(shell), molecule.bas_exp(shell)
    primitives = r[:, None] ** l * np.exp(-exponents * r[:, None] ** 2)
    radial = abs(primitives @ molecule._libcint_ctr_coeff(shell)).max(1) * np.sqrt((2 * l + 1) / (4 * np.pi))
    return np.maximum.accumulate(radial[::-1])[::-1]
