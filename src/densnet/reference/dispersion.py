"""London dispersion: D4 of E. Caldeweyher et al., J. Chem. Phys. 150, 154122 (2019), with three-body terms, by the library `dftd4`.

It depends on the geometry alone, so that labels made without it can be given it afterwards.
"""

from __future__ import annotations

import torch

from densnet.molecules import Molecules
from densnet.properties import Properties


def d4(molecule: Molecules, functional: str) -> Properties:
    """Energy (hartree) and forces (hartree/bohr) of a single ``molecule`` with the damping that was fitted for ``functional``."""
    from dftd4.interface import DampingParam, DispersionModel

    model = DispersionModel(molecule.numbers.numpy(), molecule.positions.double().numpy(), charge=float(molecule.net_charge))
    found = model.get_dispersion(DampingParam(method=functional.lower()), grad=True)
    energy, forces = torch.tensor([float(found["energy"])], dtype=torch.float64), torch.from_numpy(-found["gradient"])
    return Properties(molecule, energy=energy, forces=forces)


def has_parameters(functional: str) -> bool:
    """Whether D4 was fitted for ``functional``."""
    from dftd4.interface import DampingParam

    try:
        DampingParam(method=functional.lower())
    except RuntimeError:
        return False
    return True
