"""Properties: what is known of a batch of molecules; one type for labels and for predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from densnet.density.expansion import Density
from densnet.density.orbitals import Orbitals
from densnet.errors import DensnetError
from densnet.molecules import Molecules


class MissingProperty(DensnetError):
    """Something asks for a property that these data do not hold."""


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviations that a model expects of its own errors.

    energy    [molecules] float64  hartree, of the total energy
    dipole    [molecules]          e bohr, of each component
    novelty   [molecules]          the larger of the two in units of what 1 % of the model's validation frames exceed
    forces    [atoms]              hartree / bohr, of each component of an atom's force; None unless asked for, because it costs
    """

    energy: Tensor
    dipole: Tensor
    novelty: Tensor
    forces: Tensor | None = None

    def to(self, device=None) -> Uncertainty:
        """The same on another device."""
        forces = None if self.forces is None else self.forces.to(device)
        return Uncertainty(self.energy.to(device), self.dipole.to(device), self.novelty.to(device), forces)

    @classmethod
    def concatenate(cls, parts: list[Uncertainty]) -> Uncertainty:
        """One batch out of several."""
        forces = None if any(p.forces is None for p in parts) else torch.cat([p.forces for p in parts])
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in ("energy", "dipole", "novelty")), forces)


@dataclass(frozen=True)
class Dispersion:
    """The part of energy and forces that is London dispersion: ``energy`` [molecules] float64 hartree, ``forces`` [atoms, 3] hartree/bohr."""

    energy: Tensor
    forces: Tensor


@dataclass(frozen=True)
class Properties:
    """What a calculation or a model says of `molecules`; None where it says nothing.

    energy    [molecules] float64  hartree, total energy
    forces    [atoms, 3]           hartree / bohr
    dipole    [molecules, 3]       e bohr, from - to +, about the origin (molecules are neutral)
    density                        the correction to the promolecule, in a `DensityBasis`
    orbitals                       one `Orbitals` a molecule: the exact density of a label
    uncertainty                    what a model expects of its own errors
    dispersion                     of a label: the part of its energy and forces that can be told apart
    """

    molecules: Molecules
    energy: Tensor | None = None
    forces: Tensor | None = None
    dipole: Tensor | None = None
    density: Density | None = None
    orbitals: tuple[Orbitals, ...] | None = None
    uncertainty: Uncertainty | None = None
    dispersion: Dispersion | None = None

    def require(self, *names: str) -> Properties:
        """Itself, if every one of ``names`` is known; `MissingProperty` otherwise."""
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise MissingProperty(f"these data hold no {' and no '.join(missing)}, which this step needs; label them first.")
        return self

    def to(self, device=None, dtype=None) -> Properties:
        """The same properties on another device; ``dtype`` does not concern energies, which stay float64. Orbitals stay where they are."""

        def moved(value: Tensor | Density | None) -> Tensor | Density | None:
            return None if value is None else value.to(device, dtype)

        energy = None if self.energy is None else self.energy.to(device)
        uncertainty = None if self.uncertainty is None else self.uncertainty.to(device)
        molecules = self.molecules.to(device, dtype)
        return Properties(molecules, energy, moved(self.forces), moved(self.dipole), moved(self.density), self.orbitals, uncertainty)

    def replace(self, **changes) -> Properties:
        """A copy with some properties changed."""
        return replace(self, **changes)

    @classmethod
    def concatenate(cls, batch: list[Properties]) -> Properties:
        """One batch out of several, in the order given; a property stays known only if every one of them knows it."""

        def joined(name: str) -> Tensor | None:
            parts = [getattr(p, name) for p in batch]
            return None if any(part is None for part in parts) else torch.cat(parts)

        molecules = Molecules.concatenate([p.molecules for p in batch])
        density = None
        if all(p.density is not None for p in batch):
            parts = [p.density for p in batch]
            density = Density(
                molecules, parts[0].basis, torch.cat([d.coefficients for d in parts]), torch.cat([d.exponents for d in parts])
            )
        orbitals = None
        if all(p.orbitals is not None for p in batch):
            orbitals = tuple(o for p in batch for o in p.orbitals)
        known = [p.uncertainty for p in batch if p.uncertainty is not None]
        uncertainty = Uncertainty.concatenate(known) if len(known) == len(batch) else None
        return cls(molecules, joined("energy"), joined("forces"), joined("dipole"), density, orbitals, uncertainty)

    def with_dispersion(self, dispersion: Dispersion | None) -> Properties:
        """Energy and forces with this part in place of the one they had; None for without any. Energy and forces must be known."""
        energy, forces = self.energy, self.forces
        for part, sign in ((self.dispersion, -1), (dispersion, 1)):
            if part is not None:
                energy, forces = energy + sign * part.energy, forces + sign * part.forces
        return replace(self, energy=energy, forces=forces, dispersion=dispersion)

    def detach(self) -> Properties:
        """A copy cut off from the graph of derivatives (energies, forces, dipoles)."""
        cut = {n: v.detach() for n in ("energy", "forces", "dipole") if isinstance(v := getattr(self, n), torch.Tensor)}
        return replace(self, **cut)
