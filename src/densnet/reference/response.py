"""The response of a closed shell to a static field, coupled-perturbed Kohn-Sham: first-order orbitals and the polarizability.

    (e_a - e_i) U_ai + <a| v1[U] |i> = -<a| r |i>,    psi1_i = sum_a U_ai psi_a,    alpha = -4 sum_i <psi_i| r |psi1_i>

v1 is the Coulomb, exchange-correlation and exact-exchange potential of rho1 = 4 sum_i psi_i psi1_i; r couples an electron to a field of one
atomic unit along x, y, z (J. Gerratt, I. M. Mills, J. Chem. Phys. 49, 1719 (1968)). The virtual orbitals come from the Fock matrix of the
occupied ones. The three directions are solved for in one space, which makes alpha symmetric to rounding at every step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from densnet.errors import DensnetError
from densnet.reference.becke import Grid
from densnet.reference.coulomb import Coulomb
from densnet.reference.exact_exchange import ExactExchange
from densnet.reference.exchange import ExchangeCorrelation
from densnet.reference.kernel import Kernel

GRID = (25, 194)
"""Radial and angular points of the grid for the kernel; alpha changes by less than 5e-5 of its mean by it."""

TOLERANCE = 1e-4
"""Residual relative to the perturbation, in the metric of the orbital energies; the error of alpha is its square."""

MOST = 30
"""Applications of the response matrix to three directions."""


class ResponseNotConverged(DensnetError):
    """The coupled-perturbed equations were not solved; the message says how far they came."""


@dataclass(frozen=True)
class Response:
    """``first_order`` orbitals [3, AO, n], ``polarizability`` [3, 3] in bohr^3, and how many ``applications`` it took."""

    first_order: np.ndarray
    polarizability: np.ndarray
    applications: int


def respond(
    occupied: np.ndarray, fock: np.ndarray, functional: str, coulomb: Coulomb, exchange: ExactExchange, memory_mb: float
) -> Response:
    """Of doubly ``occupied`` orbitals [AO, n], converged for ``functional``, and their ``fock`` matrix. Raises `ResponseNotConverged`."""
    mol, hybrid = coulomb.centres.molecule, bool(exchange.parts)
    overlap, dipole = mol.intor("int1e_ovlp"), mol.intor("int1e_r")
    occupied = _orthonormal(occupied, overlap)
    levels, turn, virtual_levels, virtual = _canonical(fock, overlap, occupied)
    canonical = occupied @ turn
    kernel = Kernel(ExchangeCorrelation(mol, Grid.around(mol, *GRID), functional, memory_mb), canonical)

    def screened(first_order: np.ndarray) -> np.ndarray:
        """v1 psi_i [k, AO, n]."""
        changes = 2 * first_order @ canonical.T
        found = coulomb.potentials(changes + changes.transpose(0, 2, 1))[1] @ canonical + kernel(first_order)
        return found + exchange.response(canonical, first_order) if hybrid else found

    gaps = virtual_levels[:, None] - levels
    field = -(virtual.T @ dipole @ canonical)
    amplitudes, applications = solve(lambda u: gaps * u + virtual.T @ screened(virtual @ u), field, gaps)
    first_order = virtual @ amplitudes @ turn.T
    return Response(first_order, -4 * np.einsum("xmn,mi,yni->xy", dipole, occupied, first_order, optimize=True), applications)


def _orthonormal(orbitals: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """The nearest orthonormal ones (Loewdin): those of a file are rounded."""
    values, vectors = np.linalg.eigh(orbitals.T @ overlap @ orbitals)
    return orbitals @ (vectors / np.sqrt(values)) @ vectors.T


def _canonical(fock: np.ndarray, overlap: np.ndarray, occupied: np.ndarray) -> tuple[np.ndarray, ...]:
    """Energies of the ``occupied`` orbitals and the rotation [n, n] that makes them canonical; energies and virtual orbitals [AO, v].

    The two spaces are kept apart, so that what is left of the orbital gradient does not mix them.
    """
    count = occupied.shape[1]
    values, vectors = np.linalg.eigh(overlap)
    root = (vectors * np.sqrt(values)) @ vectors.T
    whole = np.linalg.qr(root @ occupied, mode="complete")[0]
    others = scipy.linalg.solve(root, whole[:, count:], assume_a="pos")
    levels, turn = np.linalg.eigh(occupied.T @ fock @ occupied)
    virtual_levels, virtual = np.linalg.eigh(others.T @ fock @ others)
    return levels, turn, virtual_levels, others @ virtual


def solve(
    matrix: Callable[[np.ndarray], np.ndarray], right: np.ndarray, diagonal: np.ndarray, tolerance: float = TOLERANCE, most: int = MOST
) -> tuple[np.ndarray, int]:
    """x [k, ...] with matrix(x) = ``right`` [k, ...], ``matrix`` symmetric, positive, near to ``diagonal`` [...]; and the applications.

    Galerkin's condition in the space of all directions met so far: block conjugate gradients that remember every step.
    """
    scale = np.sqrt(diagonal).ravel()
    goal = right.reshape(len(right), -1) / scale
    basis, image, fresh = np.zeros((0, len(scale))), np.zeros((0, len(scale))), goal
    for applications in range(1, most + 1):
        fresh = fresh - (fresh @ basis.T) @ basis
        fresh = np.linalg.qr((fresh - (fresh @ basis.T) @ basis).T)[0].T
        basis = np.vstack([basis, fresh])
        image = np.vstack([image, matrix((fresh / scale).reshape(-1, *diagonal.shape)).reshape(len(fresh), -1) / scale])
        small = basis @ image.T
        weights = np.linalg.solve((small + small.T) / 2, basis @ goal.T).T
        fresh = goal - weights @ image
        if (np.linalg.norm(fresh, axis=1) < tolerance * np.linalg.norm(goal, axis=1)).all():
            return (weights @ basis / scale).reshape(right.shape), applications
    worst = (np.linalg.norm(fresh, axis=1) / np.linalg.norm(goal, axis=1)).max()
    raise ResponseNotConverged(
        f"the response to a field did not converge to {tolerance:g} in {most} steps (residual {worst:.1e}); the gap between occupied and "
        "virtual orbitals may be too small here: look at the geometry, or leave this frame without a response."
    )
