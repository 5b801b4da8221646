"""The share of exact exchange in a hybrid functional, fitted in an auxiliary basis: energy, potential and nuclear gradient by PySCF.

    E_K = -1/4 Tr D K,    K = c K[1/r] + (a - c) K[erf(omega r)/r]

with the share c at short and a at long range; c = a for a global hybrid.
"""

from __future__ import annotations

import numpy as np
from pyscf import dft, gto, lib, scf

from densnet.reference.densitymatrix import DensityMatrix


class ExactExchange:
    """That of ``functional``, in the auxiliary basis of PySCF's name ``auxiliary``; a functional without any costs nothing."""

    def __init__(self, molecule: gto.Mole, auxiliary: str, functional: str):
        self.molecule = molecule
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
        """dE_K/dR [atoms, 3] at a fixed density matrix."""
        gradient = np.zeros((self.molecule.natm, 3))
        theirs = self.field.nuc_grad_method()
        of_atom = self.molecule.aoslice_by_atom()[:, 2:]
        for share, omega in self.parts:
            slopes = theirs.get_k(self.molecule, density.matrix, omega=omega)
            rows = np.einsum("xmn,mn->xm", slopes, density.matrix)
            own = np.array([rows[:, a:b].sum(1) for a, b in of_atom])
            gradient -= share / 2 * (2 * own + slopes.aux.sum((0, 1)))
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
