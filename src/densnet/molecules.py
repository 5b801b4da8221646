"""Molecules: a batch of geometries, the first noun of every stage."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from densnet import isotopes, units
from densnet.errors import DensnetError
from densnet.files import sha256

SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag "
    "Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U "
    "Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
).split()
"""Chemical symbols by atomic number; promolecule tables are shipped for H-Cl."""

_ATOMIC_MASSES = [
    0.0, 1.00782503, 4.00260325, 7.0160034, 9.012183, 11.009305, 12.0, 14.0030740, 15.9949146, 18.9984032, 19.9924402,
    22.989769, 23.985042, 26.981538, 27.976927, 30.973762, 31.972071, 34.968853, 39.962383,
]  # fmt: skip
"""Masses of the most abundant isotopes in u (AME2020)."""


COVALENT_RADII = [
    0.0, 0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58,
    1.66, 1.41, 1.21, 1.11, 1.07, 1.05, 1.02, 1.06,
]  # fmt: skip
"""In Angstrom by atomic number (Cordero et al., Dalton Trans. 2008, 2832)."""

BOND = 1.25
"""Two atoms closer than this times the sum of their covalent radii are bonded."""


CLOSEST = 0.4 * units.ANGSTROM
"""No two atoms of a molecule are nearer to each other."""

LINEAR = 1e-4
"""A molecule is linear if at its minimum its smallest moment of inertia is below this fraction of the largest."""


class MoleculeError(DensnetError):
    """A geometry that cannot be used; the message names the value and the remedy."""


@dataclass(frozen=True)
class Molecules:
    """A batch of closed-shell molecules, flattened over atoms.

    numbers    [atoms] int64       atomic numbers
    positions  [atoms, 3]          bohr
    owner      [atoms] int64       index of the molecule an atom belongs to, ascending
    count                          number of molecules
    isotopes   [atoms] float64     electron masses, or None: the most abundant isotope of each element
    charge     [molecules] int64   e, or None: all are neutral; see `net_charge`
    """

    numbers: Tensor
    positions: Tensor
    owner: Tensor
    count: int
    isotopes: Tensor | None = None
    charge: Tensor | None = None

    @classmethod
    def single(
        cls, numbers: ArrayLike | Tensor, positions: ArrayLike | Tensor, isotopes: Tensor | None = None, charge: int = 0
    ) -> Molecules:
        """One molecule: ``numbers`` [atoms], ``positions`` [atoms, 3] in bohr (float64 unless a tensor is given), ``charge`` in e."""
        numbers = torch.as_tensor(numbers, dtype=torch.int64)
        if not torch.is_tensor(positions):
            positions = torch.as_tensor(positions, dtype=torch.float64)
        return cls(numbers, positions, torch.zeros_like(numbers), 1, isotopes, _charges(charge, 1, numbers.device))

    @classmethod
    def replicas(
        cls, numbers: ArrayLike | Tensor, positions: ArrayLike | Tensor, isotopes: Tensor | None = None, charge: int = 0
    ) -> Molecules:
        """Several geometries of one molecule: ``numbers``, ``isotopes`` [atoms], ``positions`` [molecules, atoms, 3] in bohr."""
        positions = torch.as_tensor(positions)
        count, atoms = positions.shape[:2]
        numbers = torch.as_tensor(numbers, dtype=torch.int64, device=positions.device)
        owner = torch.arange(count, device=positions.device).repeat_interleave(atoms)
        masses = None if isotopes is None else isotopes.to(positions.device).repeat(count)
        return cls(numbers.repeat(count), positions.reshape(-1, 3), owner, count, masses, _charges(charge, count, positions.device))

    def copies(self, positions: Tensor) -> Molecules:
        """A single molecule at other ``positions`` [copies, atoms, 3], bohr, with its isotopes and its charge."""
        return Molecules.replicas(self.numbers, positions, self.isotopes, 0 if self.charge is None else int(self.charge))

    @classmethod
    def concatenate(cls, batch: list[Molecules]) -> Molecules:
        """One batch out of several, in the order given."""
        offsets = torch.tensor([0, *(m.count for m in batch)]).cumsum(0)
        return cls(
            torch.cat([m.numbers for m in batch]),
            torch.cat([m.positions for m in batch]),
            torch.cat([m.owner + int(o) for m, o in zip(batch, offsets)]),
            int(offsets[-1]),
            torch.cat([m.masses for m in batch]) if any(m.isotopes is not None for m in batch) else None,
            torch.cat([m.net_charge for m in batch]) if any(m.charge is not None for m in batch) else None,
        )

    def at(self, positions: Tensor) -> Molecules:
        """The same molecules at other ``positions`` [atoms, 3], bohr."""
        moved = replace(self, positions=positions)
        moved.__dict__.update({name: self.__dict__[name] for name in ("sizes", "masses") if name in self.__dict__})  # known already
        return moved

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Molecules:
        """The same molecules on another device; ``dtype`` concerns the positions only."""
        isotopes, charge = (None if extra is None else extra.to(device) for extra in (self.isotopes, self.charge))
        return Molecules(self.numbers.to(device), self.positions.to(device, dtype), self.owner.to(device), self.count, isotopes, charge)

    @cached_property
    def sizes(self) -> Tensor:
        """[molecules] number of atoms of each."""
        return torch.bincount(self.owner, minlength=self.count)

    @property
    def net_charge(self) -> Tensor:
        """[molecules] int64, e: ``charge``, or zeros."""
        return torch.zeros(self.count, dtype=torch.int64, device=self.numbers.device) if self.charge is None else self.charge

    @property
    def surplus(self) -> Tensor | None:
        """[atoms] float64, electrons that each has beyond a neutral atom if the charge is shared out evenly; None if all are neutral."""
        return None if self.charge is None else (-self.charge / self.sizes.double())[self.owner]

    def about_the_centre_of_mass(self, dipole: Tensor) -> Tensor:
        """[molecules, 3] a ``dipole`` (e bohr) about the origin, moved to the centre of mass; the same where there is no charge."""
        if self.charge is None:
            return dipole
        masses = self.masses[:, None]
        centre = self.total(masses * self.positions.to(masses.dtype)) / self.total(masses)
        return dipole - (self.charge[:, None] * centre).to(dipole.dtype)

    @cached_property
    def masses(self) -> Tensor:
        """[atoms] float64, electron masses: ``isotopes``, or the most abundant one of each element."""
        if self.isotopes is not None:
            return self.isotopes
        table = torch.tensor(_ATOMIC_MASSES, dtype=torch.float64, device=self.numbers.device) * units.AMU
        return table[self.numbers]

    def split(self) -> list[Molecules]:
        """The single molecules of the batch."""
        sizes = self.sizes.tolist()
        masses = [None] * self.count if self.isotopes is None else self.isotopes.split(sizes)
        charges = [None] * self.count if self.charge is None else [q if int(q) else None for q in self.charge.split(1)]
        parts = zip(self.numbers.split(sizes), self.positions.split(sizes), masses, charges, strict=True)
        return [Molecules(z, x, torch.zeros_like(z), 1, m, q) for z, x, m, q in parts]

    def cut(self, parts: int) -> list[Molecules]:
        """A batch of one composition in ``parts`` of equal numbers of molecules."""
        size = self.count // parts
        owner = self.owner[: len(self.owner) // parts]
        masses = [None] * parts if self.isotopes is None else self.isotopes.chunk(parts)
        charges = [None] * parts if self.charge is None else self.charge.chunk(parts)
        columns = zip(self.numbers.chunk(parts), self.positions.chunk(parts), masses, charges, strict=True)
        return [Molecules(z, x, owner, size, m, q) for z, x, m, q in columns]

    def total(self, values: Tensor) -> Tensor:
        """Sum over the atoms of each molecule: [atoms, ...] -> [molecules, ...]."""
        out = torch.zeros(self.count, *values.shape[1:], dtype=values.dtype, device=values.device)
        return out.index_add(0, self.owner, values)


def _charges(charge: int, count: int, device: torch.device) -> Tensor | None:
    return torch.full((count,), charge, dtype=torch.int64, device=device) if charge else None


def hill(numbers: Iterable[int]) -> str:
    """The formula of atomic ``numbers`` in Hill's order, such as "C2H6O": carbon, hydrogen, then the alphabet; else the alphabet alone."""
    symbols = [SYMBOLS[number] for number in numbers]
    first = ["C", "H"] if "C" in symbols else []
    counts = [(symbol, symbols.count(symbol)) for symbol in (*first, *sorted(set(symbols) - set(first)))]
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts if count)


def in_hills_order(formula: str) -> str:
    """A composition as model files name it, such as "H6C2O", as it is printed: "C2H6O"."""
    counts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    return hill(SYMBOLS.index(symbol) for symbol, count in counts for _ in range(int(count or 1)))


def isotopologue(molecule: Molecules) -> str:
    """The formula of a single molecule with its isotopes named, such as "D2O" or "[13C]H4"; "" where all are the most abundant ones."""
    masses = (molecule.masses / units.AMU).tolist()
    atoms = [(SYMBOLS[z], isotopes.name(z, SYMBOLS[z], m)) for z, m in zip(molecule.numbers.tolist(), masses)]
    if all(symbol == name for symbol, name in atoms):
        return ""
    carbon = any(symbol == "C" for symbol, _ in atoms)
    order = sorted(set(atoms), key=lambda a: (carbon and {"C": -2, "H": -1}.get(a[0], 0), a[0], len(a[1]), a[1] != a[0], a[1]))
    return "".join(f"{name}{count if count > 1 else ''}" for name, count in ((a[1], atoms.count(a)) for a in order))


def formula_of(molecule: Molecules) -> str:
    """The formula of a single molecule, with its isotopes where they are not the most abundant ones."""
    return isotopologue(molecule) or hill(molecule.numbers.tolist())


def bonds(molecule: Molecules) -> Tensor:
    """[atoms, atoms] bool: which atoms of a single molecule are bonded to each other."""
    radii = torch.tensor(COVALENT_RADII, dtype=torch.float64)[molecule.numbers.cpu()] * units.ANGSTROM
    distances = torch.cdist(*(molecule.positions.detach().cpu().double(),) * 2)
    return (distances < BOND * (radii[:, None] + radii)).fill_diagonal_(False)


def neighbours(molecule: Molecules) -> list[list[int]]:
    """The bonded neighbours of each atom of a single molecule."""
    return [torch.nonzero(row)[:, 0].tolist() for row in bonds(molecule)]


def bonding(molecule: Molecules) -> str:
    """A hash of which elements are bonded to which (Weisfeiler and Leman): the same for conformers, another for isomers."""
    bonded = neighbours(molecule)
    kinds = [str(number) for number in molecule.numbers.tolist()]
    for _ in kinds:
        seen = [" ".join([kind, *sorted(kinds[b] for b in around)]) for kind, around in zip(kinds, bonded)]
        kinds = [sha256(text)[:16] for text in seen]
    return sha256(" ".join(sorted(kinds)))[:16]


@dataclass(frozen=True)
class Pairs:
    """Directed pairs of atoms of the same molecule, sorted by receiver: ``receiver``, ``sender`` [pairs] int64."""

    receiver: Tensor
    sender: Tensor

    def vectors(self, positions: Tensor) -> Tensor:
        """[pairs, 3] from receiver to sender, bohr."""
        return positions[self.sender] - positions[self.receiver]

    def by_receiver(self, atoms: int) -> Neighbours:
        """The same pairs as a table with one row for each of the ``atoms``."""
        counts = torch.bincount(self.receiver, minlength=atoms)
        place = torch.arange(len(self.receiver), device=counts.device) - (counts.cumsum(0) - counts)[self.receiver]
        width = max(1, int(counts.max()))
        sender = torch.arange(atoms, device=counts.device).unsqueeze(1).expand(atoms, width).clone()
        sender[self.receiver, place] = self.sender
        present = torch.arange(width, device=counts.device) < counts.unsqueeze(1)
        return Neighbours(sender, None if bool(present.all()) else ~present)


@dataclass(frozen=True)
class Neighbours:
    """The senders of each receiver in a row, as many as the atom with the most has; sums over neighbours are then dense and fast.

    sender   [atoms, neighbours] int64  the atom itself where there is none
    absent   [atoms, neighbours] bool   where there is none; None if every row is full
    """

    sender: Tensor
    absent: Tensor | None

    def vectors(self, positions: Tensor, far: float) -> Tensor:
        """[atoms, neighbours, 3] from receiver to sender, bohr; an absent neighbour is ``far`` (bohr) away along x."""
        found = positions.index_select(0, self.sender.flatten()).unflatten(0, self.sender.shape) - positions.unsqueeze(1)
        if self.absent is None:
            return found
        return found + self.absent.unsqueeze(2) * found.new_tensor([far, 0.0, 0.0])


def all_pairs(molecules: Molecules) -> Pairs:
    """Every directed pair of different atoms within each molecule, whatever the distance (fixed along a trajectory)."""
    receivers, senders, start = [], [], 0
    for size in molecules.sizes.tolist():
        grid = torch.arange(size)
        i, j = torch.meshgrid(grid, grid, indexing="ij")
        off = i != j
        receivers.append(i[off] + start)
        senders.append(j[off] + start)
        start += size
    device = molecules.numbers.device
    return Pairs(torch.cat(receivers).to(device), torch.cat(senders).to(device))


def pairs_within(molecules: Molecules, cutoff: float) -> Pairs:
    """Directed pairs closer than ``cutoff`` (bohr), by vesin's cell list per molecule."""
    from vesin import NeighborList

    calculator = NeighborList(cutoff=cutoff, full_list=True)
    receivers, senders, start = [], [], 0
    for molecule in molecules.split():
        points = molecule.positions.detach().cpu().double().numpy()
        i, j = calculator.compute(points=points, box=torch.zeros(3, 3).double().numpy(), periodic=False, quantities="ij")
        order = torch.as_tensor(i.astype("int64")).argsort(stable=True)
        receivers.append(torch.as_tensor(i.astype("int64"))[order] + start)
        senders.append(torch.as_tensor(j.astype("int64"))[order] + start)
        start += len(points)
    device = molecules.numbers.device
    return Pairs(torch.cat(receivers).to(device), torch.cat(senders).to(device))


SUPPORTED = {1, 6, 7, 8, 9, 16, 17}
"""Elements that the package promises: H, C, N, O, F, S, Cl."""


def check_elements(numbers: Iterable[int], name: str) -> None:
    """Refuse atomic ``numbers`` that no stage can treat; ``name`` says in the message where they are from."""
    for number in sorted(set(numbers) - SUPPORTED):
        symbol = SYMBOLS[number] if 0 < number < len(SYMBOLS) else f"number {number}"
        raise MoleculeError(f"{name}: element {symbol} is not supported; densnet supports H, C, N, O, F, S and Cl.")


def check_geometry(numbers: Tensor, positions: Tensor, name: str, closest: float = CLOSEST, *, charge: int = 0) -> None:
    """Refuse what no stage can treat: unsupported elements, an odd number of electrons, overlapping atoms, NaN.

    ``name`` says in the message where the geometry is from; ``closest`` (bohr) is the smallest distance accepted; ``charge`` in e.
    """
    if not len(numbers):
        raise MoleculeError(f"{name}: there are no atoms; a molecule has at least one.")
    check_elements(numbers.tolist(), name)
    electrons = int(numbers.sum()) - charge
    if electrons % 2:
        raise MoleculeError(
            f"{name}: {electrons} electrons, an odd number; densnet treats neutral closed-shell molecules only. "
            "Check for a missing hydrogen; ions and radicals are not supported yet."
        )
    if not torch.isfinite(positions).all():
        raise MoleculeError(f"{name}: a coordinate is not a finite number; check the file.")
    if len(numbers) > 1:
        distance = torch.pdist(positions.detach().double())
        if distance.min() < closest:
            i, j = torch.triu_indices(len(numbers), len(numbers), 1)[:, int(distance.argmin())].tolist()
            raise MoleculeError(
                f"{name}: atoms {i + 1} ({SYMBOLS[numbers[i]]}) and {j + 1} ({SYMBOLS[numbers[j]]}) are only "
                f"{float(distance.min()) / units.ANGSTROM:.3f} Angstrom apart; check the geometry and its unit (Angstrom)."
            )
