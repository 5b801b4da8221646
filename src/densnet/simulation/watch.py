"""Watches a simulation: stops it when a molecule breaks, fragments part, or an energy runs away."""

from __future__ import annotations

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from densnet import units
from densnet.errors import DensnetError
from densnet.molecules import BOND, COVALENT_RADII, SYMBOLS, Molecules, all_pairs
from densnet.simulation.integrators import State

CRUSHED = 0.4  # of the start length of a bond
CLASH = 0.6  # of the sum of covalent radii, for atoms that are not bonded
APART = 6.0 * units.ANGSTROM  # closest contact of a fragment with the others


class SimulationStopped(DensnetError):
    """A simulation that must not go on; the message names the replica, the time, the value and a remedy."""


class Watch:
    """What a sound trajectory of ``start`` looks like; calling it with a `State` raises `SimulationStopped` if it is not.

    A bond of the start geometry stays between 0.4 and ``stretch`` times its start length, other atoms stay further apart than 0.6 times
    the sum of their covalent radii, no fragment of a cluster goes further than 6 Angstrom from all others, and the conserved energy, zero
    at step 0, stays within ``energy_tolerance`` (hartree per atom; None: not watched). Not-a-number fails every one of these.
    """

    def __init__(self, start: Molecules, timestep: float, stretch: float, energy_tolerance: float | None):
        pairs = all_pairs(start)
        once = pairs.receiver < pairs.sender
        self.start, self.timestep, self.tolerance = start, timestep, energy_tolerance
        self.first, self.second = pairs.receiver[once], pairs.sender[once]
        self.lengths = self._squared(start).sqrt()
        radii = torch.tensor(COVALENT_RADII, dtype=torch.float64, device=start.numbers.device)[start.numbers] * units.ANGSTROM
        sums = radii[self.first] + radii[self.second]
        self.bonded = self.lengths < BOND * sums
        self.nearest = torch.where(self.bonded, CRUSHED * self.lengths, CLASH * sums).square()
        self.furthest = torch.where(self.bonded, stretch * self.lengths, torch.inf).square()
        self.fragment = self._fragments()
        self.fragments = int(self.fragment.max()) + 1
        self.foreign = (self.fragment[self.first] != self.fragment[self.second]).nonzero()[:, 0]

    def __call__(self, state: State) -> None:
        """Raises `SimulationStopped` if ``state`` is not sound; one transfer from the device when it is."""
        squared = self._squared(state.molecules)
        sound = ((squared > self.nearest) & (squared < self.furthest)).all() & state.energy.isfinite().all()
        if len(self.foreign):
            sound = sound & (self._contacts(squared) < APART**2).all()
        if self.tolerance is not None and state.step > 0:
            strayed = state.conserved.abs() / self.start.sizes
            sound = sound & (strayed < self.tolerance).all()
        if not sound:
            raise SimulationStopped(self._explain(state, squared))

    def _squared(self, molecules: Molecules) -> Tensor:
        apart = molecules.positions.index_select(0, self.first) - molecules.positions.index_select(0, self.second)
        return apart.square() @ apart.new_ones(3)

    def _fragments(self) -> Tensor:
        """[atoms] the fragment of each, numbered through the batch: atoms joined by bonds of the start geometry."""
        atoms = len(self.start.numbers)
        i, j = self.first[self.bonded].cpu().numpy(), self.second[self.bonded].cpu().numpy()
        _, labels = connected_components(coo_array((self.bonded[self.bonded].cpu().numpy(), (i, j)), shape=(atoms, atoms)), directed=False)
        return torch.as_tensor(labels, dtype=torch.int64, device=self.start.numbers.device)

    def _contacts(self, squared: Tensor) -> Tensor:
        """[fragments] smallest squared distance to another fragment; 0 for a fragment that is alone in its molecule."""
        ends = torch.cat([self.fragment[self.first[self.foreign]], self.fragment[self.second[self.foreign]]])
        contacts = torch.zeros(self.fragments, dtype=squared.dtype, device=squared.device)
        return contacts.scatter_reduce(0, ends, squared[self.foreign].repeat(2), "amin", include_self=False)

    def _explain(self, state: State, squared: Tensor) -> str:
        moment = f"at step {state.step} ({state.step * self.timestep / units.FEMTOSECOND:.1f} fs)"
        remedy = "Try a smaller `timestep_fs` or a lower `temperature`, or train the model on more geometries like this one."
        finite = self.start.total((~state.molecules.positions.isfinite()).sum(1)) == 0
        finite = finite & state.energy.isfinite()
        if not finite.all():
            return f"replica {_first(~finite)} has an energy or a position that is not a number {moment}. {remedy}"
        wrong = ~((squared > self.nearest) & (squared < self.furthest))
        if wrong.any():
            return f"{self._pair(_first(wrong), squared)} {moment}. {remedy}"
        if len(self.foreign) and (gap := self._contacts(squared)).max() >= APART**2:
            atom = _first(self.fragment == gap.argmax())
            return (
                f"replica {int(self.start.owner[atom])} fell apart {moment}: the fragment of atom {self._name(atom)} is "
                f"{float(gap.max().sqrt()) / units.ANGSTROM:.2f} Angstrom away from all others. Try a lower `temperature`."
            )
        strayed = state.conserved.abs() / self.start.sizes
        return (
            f"replica {int(strayed.argmax())} gained or lost {float(strayed.max()) / units.MEV:.1f} meV per atom {moment}, more than "
            f"`energy_tolerance` ({self.tolerance / units.MEV:g} meV per atom). {remedy}"
        )

    def _pair(self, pair: int, squared: Tensor) -> str:
        i, j, length = int(self.first[pair]), int(self.second[pair]), float(squared[pair].sqrt())
        what = f"bond {self._name(i)}-{self._name(j)}" if self.bonded[pair] else f"distance {self._name(i)}...{self._name(j)}"
        return (
            f"replica {int(self.start.owner[i])} broke: its {what} is {length / units.ANGSTROM:.2f} Angstrom, "
            f"{length / float(self.lengths[pair]):.2f} times that of the start geometry,"
        )

    def _name(self, atom: int) -> str:
        """Element and number of an atom within its molecule, counted from 1."""
        owner = int(self.start.owner[atom])
        return f"{SYMBOLS[int(self.start.numbers[atom])]}{atom - int(self.start.sizes[:owner].sum()) + 1}"


def _first(mask: Tensor) -> int:
    return int(mask.nonzero()[0, 0])
