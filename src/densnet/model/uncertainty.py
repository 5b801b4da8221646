"""What a model knows of its own errors: prediction rigidity of its last, linear maps, calibrated on frames that were not trained on.

An energy is linear in the last weights w of network 2, E = F . w + ..., and so are the forces, -dF/dR . w. Training frames determine w up
to the covariance C^-1 with

    C = sum F F^T / s_E^2 + sum (dF/dR)(dF/dR)^T / s_F^2 + 1e-9 (largest eigenvalue of C)

over frames and coordinates (s: errors on validation frames), so that a prediction has the variance v = f^T C^-1 f, with f = F for an energy
and -dF/dR for a force component (Bigi, Chong, Ceriotti, Grasselli, Mach. Learn.: Sci. Technol. 5, 045018, 2024). The dipole has a C of its
own, from the features that network 1 makes charges and atomic dipoles of. The standard deviation given is s = s_0 (sqrt(v) / r_0)^p, with
r_0, s_0 and p from validation frames: errors grow faster than the linear model says, because the features are learned too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.autograd.forward_ad as forward
from torch import Tensor, nn

from densnet.errors import DensnetError
from densnet.molecules import Molecules
from densnet.properties import Uncertainty

KINDS = ("energy", "forces", "dipole")
"""What has an uncertainty."""


class UncertaintyMissing(DensnetError):
    """A model that knows nothing of its errors is asked for them."""


class Calibration(NamedTuple):
    """From the rigidity's root variance r to a standard deviation: ``deviation`` (r / ``typical``)^``power``, atomic units."""

    typical: float
    deviation: float
    power: float

    def __call__(self, root_variance: Tensor) -> Tensor:
        """Standard deviations in the shape of ``root_variance``."""
        return self.deviation * (root_variance / self.typical) ** self.power


class Features(NamedTuple):
    """What the last maps read: ``energy`` [molecules, K] hartree, invariant; ``dipole`` [molecules, 3, D], a vector each."""

    energy: Tensor
    dipole: Tensor


class Rigidity(nn.Module):
    """`Features` -> `Uncertainty` of energies and dipoles; slopes of the features along the atoms -> that of forces.

    ``energy`` [K, K] and ``dipole`` [D, D] are roots of C^-1: v = |f W|^2. ``limits``: what one validation frame in a hundred exceeds,
    energy (hartree) and dipole (e bohr).
    """

    def __init__(self, energy: Tensor, dipole: Tensor, calibration: dict[str, Calibration], limits: tuple[float, float]):
        super().__init__()
        self.register_buffer("energy", energy)
        self.register_buffer("dipole", dipole)
        self.calibration, self.limits = calibration, limits

    def forward(self, features: Features) -> Uncertainty:
        energy = self.calibration["energy"](root_variance(features.energy, self.energy)).double()
        dipole = self.calibration["dipole"](root_variance(features.dipole, self.dipole, vectors=True)).double()
        return Uncertainty(energy, dipole, torch.maximum(energy / self.limits[0], dipole / self.limits[1]))

    def of_forces(self, slopes: Tensor) -> Tensor:
        """[atoms] standard deviation of each force component, hartree/bohr, from dF/dR [atoms, 3, K]."""
        return self.calibration["forces"](root_variance(slopes, self.energy, vectors=True)).double()

    def header(self) -> dict:
        """The plain numbers, for a file."""
        return {"calibration": {name: list(values) for name, values in self.calibration.items()}, "limits": list(self.limits)}

    @classmethod
    def from_header(cls, header: dict, tensors: dict[str, Tensor]) -> Rigidity:
        """From `header` and a model's tensors, of which ``uncertainty.energy`` and ``uncertainty.dipole`` are used."""
        calibration = {name: Calibration(*values) for name, values in header["calibration"].items()}
        return cls(tensors["uncertainty.energy"], tensors["uncertainty.dipole"], calibration, tuple(header["limits"]))


def root_variance(features: Tensor, root: Tensor, *, vectors: bool = False) -> Tensor:
    """sqrt(f^T C^-1 f) of ``features`` [..., K] with the ``root`` [K, K] of C^-1; of ``vectors`` [..., 3, K] the rms over components."""
    squares = (features @ root).square()
    return (squares.sum((-2, -1)) / 3 if vectors else squares.sum(-1)).sqrt()


def inverse_root(precision: Tensor, regulariser: float = 1e-9) -> Tensor:
    """W = W^T with W W = (C + regulariser x largest eigenvalue)^-1 for a positive semidefinite C [K, K]."""
    values, vectors = torch.linalg.eigh(precision)
    largest = values[-1].clamp(min=torch.finfo(values.dtype).tiny)
    return (vectors * (values.clamp(min=0) + regulariser * largest).rsqrt()) @ vectors.T


COPIES = 32
"""Copies of a molecule, each with a direction of its own, that are differentiated at once."""


def slopes(features: Callable[[Molecules], Tensor], molecules: Molecules) -> Tensor:
    """[atoms, 3, K] d(features of the molecule) / d(position of the atom); ``features`` gives [molecules, K].

    By forward-mode differentiation: each molecule takes 3 x atoms evaluations.
    """
    return torch.cat([_slopes_of_one(features, molecule) for molecule in molecules.split()])


def _slopes_of_one(features: Callable[[Molecules], Tensor], molecule: Molecules) -> Tensor:
    atoms, positions = len(molecule.numbers), molecule.positions.detach()
    directions = torch.eye(3 * atoms, dtype=positions.dtype, device=positions.device).view(-1, atoms, 3)
    found = []
    with torch.no_grad():
        for some in directions.split(COPIES):
            copies = molecule.copies(positions.repeat(len(some), 1, 1))
            with forward.dual_level():
                moved = copies.at(forward.make_dual(copies.positions, some.flatten(0, 1)))
                found.append(forward.unpack_dual(features(moved)).tangent)
    return torch.cat(found).unflatten(0, (atoms, 3))
