"""Properties: what is known of a batch of molecules; one type for labels and for predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from densnet.density.expansion import Density
from densnet.density.orbitals import Orbitals
from densnet.molecules import Molecules


class MissingProperty(ValueError):
    """Something asks for a property that these data do not hold."""


@dataclass(frozen=True)
class Properties:
    """What a calculation or a model says of `molecules`; None where it says nothing.

    energy    [molecules] float64  hartree, total energy
    forces    [atoms, 3]           hartree / bohr
    dipole    [molecules, 3]       e bohr, from - to +, about the origin (molecules are neutral)
    density                        the correction to the promolecule, in a `DensityBasis`
    orbitals                       one `Orbitals` a molecule: the exact density of a label
    """

    molecules: Molecules
    energy: Tensor | None = None
    forces: Tensor | None = None
    dipole: Tensor | None = None
    density: Density | None = None
    orbitals: tuple[Orbitals, ...] | None = None

    def require(self, *names: str) -> Properties:
        """Itself, if every one of ``names`` is known; `MissingProperty` otherwise."""
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise MissingProperty(f"these data hold no {' and no '.join(missing)}, which this step needs; label them first.")
        return self

    def replace(self, **changes) -> Properties:
        """A copy with some properties changed."""
        return replace(self, **changes)

    def detach(self) -> Properties:
        """A copy cut off from the graph of derivatives (energies, forces, dipoles)."""
        cut = {n: v.detach() for n in ("energy", "forces", "dipole") if isinstance(v := getattr(self, n), torch.Tensor)}
        return replace(self, **cut)
