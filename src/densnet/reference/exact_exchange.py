"""The share of exact exchange in a hybrid functional, fitted in an auxiliary basis: energy and potential by PySCF.

    E_K = -1/4 Tr D K,    K = c K[1/r] + (a - c) K[erf(omega r)/r]

with the share c at short and a at long range; c = a for a global hybrid.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from pyscf import dft, gto, lib, scf
from pyscf.df.incore import LINEAR_DEP_THR

from densnet.reference.densitymatrix import DensityMatrix
from densnet.reference.threecentre import ThreeCentre


class ExactExchange:
    """That of ``functional``, in the auxiliary basis of PySCF's name ``auxiliary``; a functional without any costs nothing."""

    def __init__(self, molecule: gto.Mole, auxiliary: str, functional: str):
        self.molecule, self.auxiliary = molecule, auxiliary
        omega, far, near = dft.numint.NumInt().rsh_and_hybrid_coeff(functional)
        parts = [(near, None), (far - near, omega)] if omega else [(near, None)]
        self.parts = [(share, kernel) for share, kernel in parts if share]
        """Share of exact exchange and omega (None: 1/r) of each kernel."""
        self.field = scf.RHF(molecule).density_fit(auxbasis=auxiliary)

    def potential(self, density: DensityMatrix) -> tuple[float, np.ndarray]:
        """E_K in hartree and its derivative [AO, AO]."""
        matrix = np.zeros_like(density.matrix)
        tagged = lib.tag_array(density.matrix, mo_coeff=density.orbitals, mo_occ=density.occupations)
        tagged = tagged if (density.occupations > 0).all() else density.matrix  # PySCF leaves out negative occupations
        for share, omega in self.parts:
            matrix -= share / 2 * self.field.get_jk(self.molecule, tagged, with_j=False, omega=omega)[1]
        return (matrix * density.matrix).sum() / 2, matrix

    def response(self, occupied: np.ndarray, first_order: np.ndarray) -> np.ndarray:
        """v1 psi_i [k, AO, n], projected on the AOs, of doubly ``occupied`` orbitals [AO, n] that change by ``first_order`` [k, AO, n].

        -c sum_Pj [(mu psi1_j|P)(P|psi_j psi_i) + (mu psi_j|P)(P|psi1_j psi_i)], the sum of both share of each kernel.
        """
        found = np.zeros_like(first_order)
        for share, omega in self.parts:
            with self.field.with_df.range_coulomb(omega) as fitted:
                for packed in fitted.loop(self._rows_at_once(occupied, len(first_order))):
                    found -= share * _exchanged(lib.unpack_tril(packed), occupied, first_order)
        return found

    def _rows_at_once(self, occupied: np.ndarray, directions: int, megabytes: float = 200.0) -> int:
        """Auxiliary functions in one piece of three-centre integrals."""
        return max(16, int(megabytes * 1e6 / (8 * len(occupied) * (len(occupied) + (directions + 1) * occupied.shape[1]))))

    def gradient(self, density: DensityMatrix) -> np.ndarray:
        """dE_K/dR [atoms, 3] at a fixed density matrix without negative occupations.

        With c_i of half its occupation, E_K = -sum_ij (ij|P) V^-1_PQ (Q|ij), the slope of which is that of -2 sum_mnP G_mnP (mn|P) +
        sum_ij f_ijP V_PQ f_ijQ at fixed f_ij = V^-1 (ij| and G_mnP = sum_ij c_mi c_nj f_ijP.
        """
        gradient = np.zeros((self.molecule.natm, 3))
        occupied = density.orbitals * np.sqrt(density.occupations / 2)
        functions, count = occupied.shape
        lengths = np.linalg.norm(occupied, axis=1)
        for share, omega in self.parts:
            centres = ThreeCentre(self.molecule, self.auxiliary, omega)
            fitted = _solved(centres.metric, _pairs(centres, occupied))
            by_first = fitted.reshape(-1, count, count).transpose(1, 2, 0).reshape(count, -1)

            def weights(m: np.ndarray, n: np.ndarray) -> np.ndarray:
                half = (occupied[m] @ by_first).reshape(len(m), count, -1).transpose(1, 2, 0)  # noqa: B023 (used at once)
                return (occupied[n] @ half.reshape(count, -1)).reshape(len(n), -1, len(m)).transpose(1, 0, 2)

            largest = np.outer(lengths, lengths) * np.linalg.norm(fitted, axis=1).max()
            gradient -= 2 * share * centres.slopes(weights, largest, fitted)
        return gradient

def _exchanged(integrals: np.ndarray, occupied: np.ndarray, first_order: np.ndarray) -> np.ndarray:
    """[k, AO, n] the sums over j and over those P whose ``integrals`` [P, AO, AO] these are."""
    directions, functions, count = first_order.shape
    half = integrals @ occupied
    pairs, crossed = occupied.T @ half, first_order.transpose(0, 2, 1)[:, None] @ half
    turned = half.transpose(1, 0, 2).reshape(functions, -1)
    moved = integrals @ first_order.transpose(1, 0, 2).reshape(functions, -1)
    moved = moved.reshape(-1, functions, directions, count).transpose(2, 1, 0, 3).reshape(directions, functions, -1)
    return moved @ pairs.reshape(-1, count) + turned @ crossed.reshape(directions, -1, count)


def _pairs(centres: ThreeCentre, occupied: np.ndarray) -> np.ndarray:
    """(P|ij) [P, i j] of ``occupied`` orbitals [AO, n]."""
    count = occupied.shape[1]
    half = np.zeros((len(occupied), centres.size * count))  # m, P i: the sum over n up to the shell of m
    for m, n, values in centres.integrals():
        once = occupied[n] * np.where(n < m[0], 1.0, 0.5)[:, None]
        half[m] = (values.transpose(2, 0, 1).reshape(-1, len(n)) @ once).reshape(len(m), -1)
    pairs = (occupied.T @ half).reshape(count, centres.size, count).transpose(1, 0, 2)
    return (pairs + pairs.transpose(0, 2, 1)).reshape(centres.size, -1)


def _solved(metric: np.ndarray, given: np.ndarray) -> np.ndarray:
    """V^-1 times what is ``given``; without the null space of a singular ``metric`` V (that of erf(omega r)/r), as in PySCF."""
    try:
        return scipy.linalg.cho_solve(scipy.linalg.cho_factor(metric), given)
    except np.linalg.LinAlgError:
        values, vectors = scipy.linalg.eigh(metric)
        kept = values > LINEAR_DEP_THR
        return (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ given)
