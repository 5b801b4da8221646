"""Mode tracking: what a reference says along some normal modes of another surface, for two of its gradients a mode.

Along a mass-weighted unit vector v, with gradients at +-h v, in mass-weighted coordinates,

    H v = [g(x + h v) - g(x - h v)] / 2h,    lambda = v H v,    residual = |H v - lambda v|,    dmu/dQ = [mu(x + h v) - mu(x - h v)] / 2h.

lambda is the Rayleigh quotient of the reference's Hessian, which has an eigenvalue within one residual of it (Krylov and Weinstein). After
M. Reiher and J. Neugebauer, J. Chem. Phys. 118, 1634 (2003); no vector is improved here, since the question is how right these are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from densnet import units
from densnet.molecules import MoleculeError
from densnet.observables.response import ForceFunction, along
from densnet.observables.vibrations import Modes

STILL = 1e-3
"""bohr that the atom which moves furthest is displaced by where a step is to change nothing; for smooth surfaces without noise."""


@dataclass(frozen=True)
class Tracked:
    """What a reference says along ``chosen`` modes of a model, at its own minimum.

    modes          all modes of the model, carried to the reference's minimum; their eigenvalues and dipole slopes are the model's
    chosen         [tracked] which of them were tracked
    steps          [tracked] Q in bohr sqrt(m_e): displacement to both sides
    products       [tracked, modes] hartree / (bohr^2 m_e): ``v_k H v_i`` of the reference with every mode k of the model
    dipole_slopes  [tracked, 3] dmu/dQ of the reference, e / sqrt(m_e)
    finite         [tracked] what the finite step adds to the eigenvalue on the model's surface; it is taken off already
    """

    modes: Modes
    chosen: Tensor
    steps: Tensor
    products: Tensor
    dipole_slopes: Tensor
    finite: Tensor

    @property
    def eigenvalues(self) -> Tensor:
        """[tracked] Rayleigh quotients."""
        return self.products.gather(1, self.chosen[:, None])[:, 0]

    @property
    def frequencies(self) -> Tensor:
        """[tracked] cm^-1."""
        return wavenumbers(self.eigenvalues)

    @property
    def intensities(self) -> Tensor:
        """[tracked] km/mol, of the reference along the mode of the model."""
        return (self.dipole_slopes**2).sum(1) / units.KM_PER_MOL

    @property
    def residuals(self) -> Tensor:
        """[tracked] ``|H v - lambda v|``, hartree / (bohr^2 m_e)."""
        return (self.products**2).sum(1).sub(self.eigenvalues**2).clamp(min=0).sqrt()

    @property
    def bounds(self) -> Tensor:
        """[tracked] cm^-1: within so much of `frequencies` the reference has a mode. A strict bound, linear in the residual; modes that mix
        a little are far nearer, see `corrected`."""
        centre = self.frequencies
        upper, lower = wavenumbers(self.eigenvalues + self.residuals), wavenumbers(self.eigenvalues - self.residuals)
        return torch.maximum(upper - centre, centre - lower)

    @property
    def noise(self) -> float:
        """cm^-1: error of a wavenumber that the reference's noise makes, from the asymmetry of its Hessian among the tracked modes."""
        block = self.products[:, self.chosen]
        rows, columns = torch.triu_indices(len(block), len(block), offset=1)
        if not len(rows):
            return 0.0
        roots = self.eigenvalues.abs().sqrt()
        errors = (block[rows, columns] - block[columns, rows]) / 2**0.5 / (roots[rows] + roots[columns]) / units.INVERSE_CM
        return float(errors.square().mean().sqrt())

    def corrected(self) -> tuple[Modes, Tensor, Tensor]:
        """The reference's modes as far as this tells: those of the model's diagonal Hessian with the rows and columns that are now known.

        Right to second order in what couples a tracked mode to others; of modes that were not tracked, wavenumbers are the model's. Also
        [tracked] which of the modes is which tracked one, and their squared overlaps.
        """
        matrix = torch.diag(self.modes.eigenvalues.double())
        matrix[self.chosen] = self.products
        matrix[:, self.chosen] = self.products.T
        block = self.products[:, self.chosen]
        matrix[self.chosen[:, None], self.chosen] = (block + block.T) / 2
        slopes = self.modes.dipole_slopes.double().clone()
        slopes[self.chosen] = self.dipole_slopes
        eigenvalues, vectors = torch.linalg.eigh(matrix)
        shapes = torch.einsum("ki,kab->iab", vectors, self.modes.vectors.double())
        overlaps = vectors[self.chosen] ** 2
        places = torch.as_tensor(linear_sum_assignment(-overlaps.numpy())[1])
        found = Modes(self.modes.molecule, eigenvalues, shapes, vectors.T @ slopes)
        return found, places, overlaps.gather(1, places[:, None])[:, 0]


def wavenumbers(eigenvalues: Tensor) -> Tensor:
    """cm^-1 of squared angular frequencies; those of imaginary ones are negative."""
    return eigenvalues.sign() * eigenvalues.abs().sqrt() / units.INVERSE_CM


def strongest(modes: Modes, count: int) -> Tensor:
    """[count] the modes with the largest infrared intensities, the strongest first; all, where there are not so many."""
    return modes.intensities.argsort(descending=True, stable=True)[:count]


def steps(model: ForceFunction, modes: Modes, chosen: Tensor, limit: float, shortest: float, longest: float) -> Tensor:
    """[chosen] Q in bohr sqrt(m_e): the longest displacements whose anharmonicity changes a wavenumber by no more than ``limit`` (cm^-1).

    By the model, whose quotients at two steps give lambda(h) = lambda + a h^2; the atom that moves furthest goes between ``shortest`` and
    ``longest`` (bohr).
    """
    reach = modes.displacements[chosen].norm(dim=2).amax(1)
    ends = [length / reach for length in (shortest, longest)]
    curves = [_quotients(model, modes, chosen, end)[0].gather(1, chosen[:, None])[:, 0] for end in ends]
    bend = ((curves[1] - curves[0]) / (ends[1] ** 2 - ends[0] ** 2)).abs().clamp(min=1e-30)
    allowed = 2 * curves[0].abs().sqrt() * limit * units.INVERSE_CM
    return (allowed / bend).sqrt().clamp(min=ends[0], max=ends[1])


def track(model: ForceFunction, reference: ForceFunction, modes: Modes, chosen: Tensor, steps: Tensor) -> Tracked:
    """The reference along ``chosen`` of the model's ``modes``, which are at the reference's minimum, see `carried`.

    It is asked for all displaced geometries at once, those of a mode side by side, in the order of ``chosen``. What the finite ``steps`` do
    to the model is taken off what they do to the reference.
    """
    reach = modes.displacements[chosen].norm(dim=2).amax(1)
    products, slopes = _quotients(reference, modes, chosen, steps)
    far, near = (_quotients(model, modes, chosen, size) for size in (steps, STILL / reach))
    excess = [a - b for a, b in zip(far, near)]
    finite = excess[0].gather(1, chosen[:, None])[:, 0]
    return Tracked(modes, chosen, steps, products - excess[0], slopes - excess[1], finite)


def _quotients(force_function: ForceFunction, modes: Modes, chosen: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """``v_k H v_i`` [chosen, modes] and ``dmu/dQ_i`` [chosen, 3] by displacements of ``steps`` to both sides."""
    moves = modes.displacements[chosen].double() * steps[:, None, None]
    forces, dipoles = along(force_function, modes.molecule, moves, chunk=2 * len(moves))
    if dipoles is None:
        raise MoleculeError("this force function tells no dipole, so there are no infrared intensities; use one that does.")
    pulls = forces / steps[:, None]
    return -pulls @ modes.displacements.double().flatten(1).T, dipoles / steps[:, None]
