"""Exchange and correlation on an atom-centred grid: energy, potential and nuclear gradient of a semilocal functional.

Same integrals as PySCF's `numint` and `grad.rks`, arranged for one core: points lie in boxes, each block of them knows the few AOs that
reach it, AO values are kept over the SCF cycles if the memory allows, and densities come from the occupied orbitals alone. The cost grows
linearly with the molecule.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pyscf import dft, gto
from pyscf.grad.rks import grids_response_cc

POINTS = 1024
"""Grid points at a time, at most."""

NEGLIGIBLE = 1e-8
"""An AO takes no part in a block where |phi| sqrt(w) stays below; energies change by less than 1e-8 hartree."""

_SECOND = ((4, 5, 6), (5, 7, 8), (6, 8, 9))
"""Where PySCF's table of AO derivatives keeps d2/dx_a dx_b."""


@dataclass(frozen=True)
class Block:
    """AOs ``number`` and their derivatives ``ao`` [components, AO, points] at points of ``weights``."""

    number: np.ndarray
    ao: np.ndarray
    weights: np.ndarray


class ExchangeCorrelation:
    """E_xc = sum_r w(r) rho(r) eps(rho, |grad rho|, tau) for a closed shell.

    ``molecule`` and ``grid`` are PySCF's; ``functional`` a GGA or meta-GGA by its PySCF name, of which the semilocal part counts;
    AO values are kept if they fit in ``memory_mb``; ``negligible`` as `NEGLIGIBLE`, 0 for every AO at every point.
    """

    def __init__(self, molecule: gto.Mole, grid: dft.Grids, functional: str, memory_mb: float, negligible: float = NEGLIGIBLE):
        self.molecule, self.grid, self.functional, self.negligible = molecule, grid, functional, negligible
        self.libxc = dft.numint.NumInt()
        self.kind = self.libxc._xc_type(functional)
        self.reach = Reach(molecule)
        self._kept: list[Block] | None = None
        kept, megabytes = [], 0.0
        for block in self._blocks():
            megabytes += block.ao.nbytes / 1e6
            if megabytes > memory_mb:
                return
            kept.append(block)
        self._kept = kept

    def _blocks(self) -> Iterator[Block]:
        for part in neighbourhoods(self.grid.coords, self.grid.weights):
            yield self._block(self.grid.coords[part], self.grid.weights[part], 1)

    def _block(self, points: np.ndarray, weights: np.ndarray, derivatives: int) -> Block:
        shells = self.reach.shells(points, weights) > self.negligible
        few = copy.copy(self.molecule)
        few._bas = self.molecule._bas[shells]
        values = self.libxc.eval_ao(few, points, deriv=derivatives).transpose(0, 2, 1)
        return Block(np.flatnonzero(np.repeat(shells, self.reach.functions)), values, weights)

    def _local(self, psi: np.ndarray, occupations: np.ndarray, weights: np.ndarray):
        """From orbitals ``psi`` [4, occupied, points] (value and gradient): rho, eps, w d(rho eps)/d(rho, grad rho[, tau]) [4 or 5, points]."""
        rho = 2 * np.einsum("ir,cir->cr", occupations[:, None] * psi[0], psi)
        rho[0] /= 2
        if self.kind == "MGGA":
            tau = sum(np.einsum("i,ir,ir->r", occupations, p, p) for p in psi[1:]) / 2
            rho = np.vstack([rho, tau])
        energy, potential = self.libxc.eval_xc_eff(self.functional, rho, deriv=1, xctype=self.kind)[:2]
        return rho[0], energy, weights * potential

    def potential(self, density_matrix: np.ndarray) -> tuple[float, np.ndarray]:
        """E_xc in hartree and its derivative [AO, AO] by the (symmetric) ``density_matrix``."""
        occupations, vectors = np.linalg.eigh(density_matrix)
        occupied = abs(occupations) > 1e-13
        occupations, orbitals = occupations[occupied], np.ascontiguousarray(vectors[:, occupied])
        total, matrix = 0.0, np.zeros_like(density_matrix, dtype=float)
        for block in self._kept or self._blocks():
            psi = orbitals[block.number].T @ block.ao
            rho, energy, potential = self._local(psi, occupations, block.weights)
            total += (block.weights * rho) @ energy
            potential[0] /= 2
            part = block.ao[0] @ np.einsum("cir,cr->ir", block.ao, potential[:4]).T
            for along, v in zip(block.ao[1:], [potential[4] / 4] * 3 if self.kind == "MGGA" else []):
                part += along @ (along * v).T
            matrix[np.ix_(block.number, block.number)] += part
        return total, matrix + matrix.T

    def gradient(self, orbitals: np.ndarray) -> np.ndarray:
        """dE_xc/dR [atoms, 3] at fixed doubly occupied ``orbitals`` [AO, occupied]; grid points and weights move with their atoms."""
        gradient = np.zeros((self.molecule.natm, 3))
        of_atom = self.molecule.aoslice_by_atom()[:, 2:]
        occupations = np.full(orbitals.shape[1], 2.0)
        for parent, (points, weights, weight_slopes) in enumerate(grids_response_cc(self.grid)):
            moved = np.zeros((3, len(orbitals)))
            for part in neighbourhoods(points, weights):
                block = self._block(points[part], weights[part], 2)
                own = orbitals[block.number]
                psi = own.T @ block.ao[:4]
                rho, energy, potential = self._local(psi, occupations, block.weights)
                gradient += weight_slopes[:, :, part] @ (rho * energy)
                moved[:, block.number] += 4 * np.einsum("mi,xmi->xm", own, _slopes(block.ao, psi, potential))
            gradient[parent] += moved.sum(1)
            gradient -= np.array([moved[:, start:stop].sum(1) for start, stop in of_atom])
        return gradient


def _slopes(ao: np.ndarray, psi: np.ndarray, potential: np.ndarray) -> np.ndarray:
    """[3, AO, occupied] integrals of d(phi psi v)/dx, the derivative acting on the AO phi only."""
    first = potential[0] * psi[0] + np.einsum("kr,kir->ir", potential[1:4], psi[1:])
    second = potential[1:4, None] * psi[0]
    if len(potential) == 5:
        second += potential[4] / 2 * psi[1:]
    return np.array([ao[1 + x] @ first.T + sum(ao[_SECOND[x][k]] @ second[k].T for k in range(3)) for x in range(3)])


def neighbourhoods(points: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Indices of points that are close to each other, `POINTS` at most, by halving; points that weigh nothing are left out."""
    waiting, found = [np.flatnonzero(abs(weights) > 1e-14)], []
    while waiting:
        part = waiting.pop()
        if len(part) <= POINTS:
            found.append(part)
            continue
        longest = np.ptp(points[part], axis=0).argmax()
        halves = np.argpartition(points[part, longest], len(part) // 2)
        waiting += [part[halves[: len(part) // 2]], part[halves[len(part) // 2 :]]]
    return found


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
        return np.array([(bound[index[atom]] * np.sqrt(abs(weights))).max() for bound, atom in zip(self.bound, self.atom)])


def _envelope(molecule: gto.Mole, shell: int, r: np.ndarray) -> np.ndarray:
    """The largest |R(r')| of a contracted ``shell`` at any r' >= r, times a bound on the angular part."""
    l, exponents = molecule.bas_angular(shell), molecule.bas_exp(shell)
    primitives = r[:, None] ** l * np.exp(-exponents * r[:, None] ** 2)
    radial = abs(primitives @ molecule._libcint_ctr_coeff(shell)).max(1) * np.sqrt((2 * l + 1) / (4 * np.pi))
    return np.maximum.accumulate(radial[::-1])[::-1]
