"""Harmonic Raman lines from the slopes of the polarizability along the normal modes.

With alpha' = d alpha / dQ of a mode, a' = trace(alpha') / 3 and the anisotropy g'^2 = (3 sum_ij alpha'_ij^2 - trace(alpha')^2) / 2:
activity 45 a'^2 + 7 g'^2, and depolarisation 3 g'^2 / (45 a'^2 + 4 g'^2) for polarised light at right angles (D. A. Long, The Raman Effect,
2002). Both are those of a freely turning molecule and do not depend on its orientation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from densnet import units
from densnet.observables.vibrations import Modes


@dataclass(frozen=True)
class Lines:
    """One line a mode: ``frequencies`` cm^-1, ``activities`` A^4/amu, ``depolarisation`` ratios 0 to 3/4 (NaN: silent), [modes]."""

    frequencies: Tensor
    activities: Tensor
    depolarisation: Tensor


def from_modes(modes: Modes, polarizability_derivatives: Tensor) -> Lines:
    """From d alpha / d R [atoms, 3, 3, 3], bohr^2; see `densnet.observables.response.polarizability_derivatives`."""
    slopes = torch.einsum("kax,axij->kij", modes.displacements, polarizability_derivatives)
    mean, anisotropy = invariants(slopes)
    activities = (45 * mean + 7 * anisotropy) / units.RAMAN_ACTIVITY
    return Lines(modes.frequencies, activities, 3 * anisotropy / (45 * mean + 4 * anisotropy))


def invariants(slopes: Tensor) -> tuple[Tensor, Tensor]:
    """a'^2 and g'^2 of symmetric ``slopes`` [..., 3, 3], in their unit squared."""
    trace = slopes.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (trace / 3) ** 2, (3 * slopes.square().sum((-2, -1)) - trace**2) / 2
