"""Properties: what is known of a batch of molecules; one type for labels and for predictions.

Its fields are a table: each says what it runs over, in which shape and unit. Moving, joining, splitting, files and compiled models follow
from that; a further property is one more line there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from densnet import units
from densnet.density.expansion import Density
from densnet.density.orbitals import Orbitals
from densnet.density.response import DensityResponse
from densnet.errors import DensnetError
from densnet.molecules import Molecules


class MissingProperty(DensnetError):
    """Something asks for a property that these data do not hold."""


@dataclass(frozen=True)
class Quantity:
    """A line of the table.

    per      what the first axis runs over
    shape    of the values of one molecule or atom
    unit     the atomic one, as it stands in files
    outside  unit in the files of others (extxyz, H5MD) and its size in atomic units
    double   whether values are float64 whatever the precision of the rest
    """

    per: Literal["molecule", "atom"]
    shape: tuple[int, ...] = ()
    unit: str = ""
    outside: tuple[str, float] = ("1", 1.0)
    double: bool = False


ENERGY = Quantity("molecule", (), "hartree", ("eV", units.EV), double=True)
FORCES = Quantity("atom", (3,), "hartree/bohr", ("eV/Angstrom", units.EV_PER_ANGSTROM))
DIPOLE = Quantity("molecule", (3,), "e bohr, about the centre of mass", ("e Angstrom", units.E_ANGSTROM))
POLARIZABILITY = Quantity("molecule", (3, 3), "bohr^3", ("Angstrom^3", units.ANGSTROM**3))


def _known(quantity: Quantity):
    return field(default=None, metadata={"table": {"": quantity}})


def _part(**quantities: Quantity):
    """A property made of several tensors."""
    return field(default=None, metadata={"table": {f".{name}": quantity for name, quantity in quantities.items()}})


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


@dataclass(frozen=True)
class Properties:
    """What a calculation or a model says of `molecules`; None where it says nothing.

    energy    [molecules] float64  hartree, total energy
    forces    [atoms, 3]           hartree / bohr
    dipole    [molecules, 3]       e bohr, from - to +, about the centre of mass
    density                        the correction to the promolecule, in a `DensityBasis`
    orbitals                       one `Orbitals` a molecule: the exact density of a label; of one from a file read when used
    uncertainty                    what a model expects of its own errors
    dispersion_energy              of a label: the part of its energy that is London dispersion and was added to the rest
    dispersion_forces              the same of its forces
    polarizability                 [molecules, 3, 3] bohr^3, d mu_i / d E_j of a static field, symmetric
    response                       of a model: how the density answers that field; of a label the `orbitals` know it
    """

    molecules: Molecules
    energy: Tensor | None = _known(ENERGY)
    forces: Tensor | None = _known(FORCES)
    dipole: Tensor | None = _known(DIPOLE)
    density: Density | None = _part(coefficients=Quantity("atom"), exponents=Quantity("atom"))
    orbitals: Sequence[Orbitals] | None = None
    uncertainty: Uncertainty | None = _part(
        energy=ENERGY,
        dipole=Quantity("molecule", (), "e bohr", ("e Angstrom", units.E_ANGSTROM), double=True),
        novelty=Quantity("molecule", (), "1", double=True),
        forces=Quantity("atom", (), "hartree/bohr", ("eV/Angstrom", units.EV_PER_ANGSTROM), double=True),
    )
    dispersion_energy: Tensor | None = _known(ENERGY)
    dispersion_forces: Tensor | None = _known(FORCES)
    polarizability: Tensor | None = _known(POLARIZABILITY)
    response: DensityResponse | None = _part(coefficients=Quantity("atom"), exponents=Quantity("atom"))

    @classmethod
    @cache
    def table(cls) -> dict[str, Quantity]:
        """Every quantity by name; those of a part as "density.coefficients"."""
        return {f"{f.name}{own}": quantity for f in fields(cls) for own, quantity in f.metadata.get("table", {}).items()}

    def require(self, *names: str) -> Properties:
        """Itself, if every one of ``names`` is known; `MissingProperty` otherwise."""
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            raise MissingProperty(f"these data hold no {' and no '.join(missing)}, which this step needs; label them first.")
        return self

    def tensors(self) -> dict[str, Tensor]:
        """What is known, by the names of the `table`."""
        found = {}
        for name in self.table():
            own, _, inner = name.partition(".")
            value = getattr(self, own)
            if value is not None and inner:
                value = getattr(value, inner)
            if value is not None:
                found[name] = value
        return found

    def with_tensors(self, molecules: Molecules, tensors: Mapping[str, Tensor]) -> Properties:
        """These ``tensors`` of these ``molecules`` in place of all that is known, in the same basis; orbitals are left out."""
        values: dict[str, object] = {}
        for f in fields(self):
            inner = [own.removeprefix(".") for own in f.metadata.get("table", {})]
            if inner == [""]:
                values[f.name] = tensors.get(f.name)
            elif inner and any(f"{f.name}.{name}" in tensors for name in inner):
                part = getattr(self, f.name)
                about = {"molecules": molecules} if any(own.name == "molecules" for own in fields(part)) else {}
                values[f.name] = replace(part, **about, **{name: tensors.get(f"{f.name}.{name}") for name in inner})
        return type(self)(molecules, **values)

    def map(self, change: Callable[[Tensor], Tensor]) -> Properties:
        """A copy with every tensor changed; orbitals stay, and so do the molecules."""
        return self.with_tensors(self.molecules, {name: change(t) for name, t in self.tensors().items()}).replace(orbitals=self.orbitals)

    def to(self, device=None, dtype=None) -> Properties:
        """The same properties on another device; ``dtype`` does not concern energies, which stay float64. Orbitals stay where they are."""
        table = self.table()
        moved = {name: t.to(device, None if table[name].double else dtype) for name, t in self.tensors().items()}
        return self.with_tensors(self.molecules.to(device, dtype), moved).replace(orbitals=self.orbitals)

    def replace(self, **changes) -> Properties:
        """A copy with some properties changed."""
        return replace(self, **changes)

    def with_dispersion(self, part: Properties | None) -> Properties:
        """Energy and forces with those of ``part`` in place of the dispersion they had; None for without any. All must be known."""
        energy, forces = self.energy, self.forces
        if self.dispersion_energy is not None:
            energy, forces = energy - self.dispersion_energy, forces - self.dispersion_forces
        if part is None:
            return replace(self, energy=energy, forces=forces, dispersion_energy=None, dispersion_forces=None)
        energy, forces = energy + part.energy, forces + part.forces
        return replace(self, energy=energy, forces=forces, dispersion_energy=part.energy, dispersion_forces=part.forces)

    def detach(self) -> Properties:
        """A copy cut off from the graph of derivatives."""
        return self.map(Tensor.detach)

    @classmethod
    def concatenate(cls, batch: Sequence[Properties]) -> Properties:
        """One batch out of several, in the order given; a property stays known only if every one of them knows it."""
        found = cls.joined(batch, Molecules.concatenate([p.molecules for p in batch]))
        if any(p.orbitals is None for p in batch):
            return found
        return found.replace(orbitals=tuple(o for p in batch for o in p.orbitals))

    @classmethod
    def joined(cls, batch: Sequence[Properties], molecules: Molecules) -> Properties:
        """What every one of ``batch`` knows, one after the other, as properties of ``molecules``: of as many as these are."""
        columns = [p.tensors() for p in batch]
        table, most = batch[0].table(), {"molecule": molecules.count, "atom": len(molecules.numbers)}

        def column(name: str) -> Tensor:
            parts = [own[name] for own in columns]
            return (torch.cat(parts) if len(parts) > 1 else parts[0])[: most[table[name].per]]

        known = [name for name in columns[0] if all(name in own for own in columns)]
        return batch[0].with_tensors(molecules, {name: column(name) for name in known})

    def split(self) -> list[Properties]:
        """The properties of each single molecule."""
        singles, sizes, table = self.molecules.split(), self.molecules.sizes.tolist(), self.table()
        parts = {name: t.split(1 if table[name].per == "molecule" else sizes) for name, t in self.tensors().items()}
        alone = [self.with_tensors(m, {name: part[k] for name, part in parts.items()}) for k, m in enumerate(singles)]
        return alone if self.orbitals is None else [p.replace(orbitals=(o,)) for p, o in zip(alone, self.orbitals, strict=True)]
