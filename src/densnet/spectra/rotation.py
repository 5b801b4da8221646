"""What the rotation of a free molecule's dipole itself absorbs, classical nuclei."""

from __future__ import annotations

from torch import Tensor

from densnet import units
from densnet.molecules import Molecules
from densnet.observables.vibrations import principal_axes


def rotational_intensity(molecule: Molecules, dipole: Tensor) -> float:
    """``sum_a (mu^2 - mu_a^2) / I_a`` over the principal axes, km/mol, at any temperature: ``<|omega x mu|^2> / kT`` of a rigid rotor.

    In the unit in which a mode has ``|dmu/dQ|^2``, so that both are areas under one spectrum. ``dipole`` [3] in e bohr.
    """
    moments, axes = principal_axes(molecule)
    turning = moments > 1e-6 * moments.max()
    along = (dipole.double() @ axes).square()
    return float(((along.sum() - along) / moments)[turning].sum()) / units.KM_PER_MOL
