"""GFN2-xTB as a force function: C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019), by tblite."""

from __future__ import annotations

import torch

from densnet.errors import DensnetError
from densnet.molecules import Molecules
from densnet.properties import Properties

ACCURACY = 0.01
"""Of the SCF, relative to that of tblite, so that second derivatives by finite differences are smooth."""


class SemiempiricalError(DensnetError):
    """A geometry for which GFN2-xTB does not converge."""


def gfn2_xtb(molecules: Molecules) -> Properties:
    """Energies (hartree), forces (hartree/bohr) and dipoles (e bohr) of neutral closed-shell molecules, one after the other."""
    from tblite.interface import Calculator

    rows = []
    for molecule in molecules.split():
        calculator = Calculator("GFN2-xTB", molecule.numbers.numpy(), molecule.positions.detach().double().numpy())
        calculator.set("verbosity", 0)
        calculator.set("accuracy", ACCURACY)
        try:
            found = calculator.singlepoint()
        except RuntimeError as error:
            raise SemiempiricalError(f"GFN2-xTB does not converge ({error}); start from another geometry.") from None
        rows.append((found.get("energy"), -found.get("gradient"), found.get("dipole")))
    energy, forces, dipole = (
        torch.as_tensor(values, dtype=torch.float64)
        for values in ([float(e) for e, _, _ in rows], [f for _, one, _ in rows for f in one.tolist()], [d.tolist() for _, _, d in rows])
    )
    return Properties(molecules, energy=energy, forces=forces, dipole=dipole)
