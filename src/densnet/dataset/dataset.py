"""Dataset: labelled frames, each with its trajectory and where it is from; in memory is all but orbitals that are in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from densnet.errors import DensnetError
from densnet.molecules import SYMBOLS
from densnet.properties import MissingProperty, Properties

LABELLED = {name: quantity for name, quantity in Properties.table().items() if "." not in name}
"""What a label may hold besides its orbitals."""


class DatasetError(DensnetError):
    """Data that cannot be read or used; the message names the file, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Label:
    """One labelled frame.

    properties   of a single molecule
    trajectory   number of the trajectory it is of, within its molecule; splits go by it
    temperature  K, NaN if unknown
    identity     hash of geometry and level, "" if unknown
    source       the file it was read from
    level        level of theory and settings, empty if unknown
    unread       what else the file says of the frame, by its names there
    """

    properties: Properties
    trajectory: int
    temperature: float
    identity: str
    source: str
    level: dict
    unread: tuple[str, ...] = ()

    @property
    def holds(self) -> tuple[str, ...]:
        """Which properties are labelled."""
        return tuple(name for name in (*LABELLED, "orbitals") if getattr(self.properties, name) is not None)


class Dataset(Sequence[Label]):
    """A sequence of labels; of different molecules if need be, of one level of theory."""

    def __init__(self, labels: Iterable[Label]):
        self.labels = tuple(labels)
        self.level = _common_level(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Label:
        return self.labels[index]

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __add__(self, other: Dataset) -> Dataset:
        return Dataset(self.labels + other.labels)

    def select(self, indices: Iterable[int]) -> Dataset:
        """The labels at ``indices``, in that order."""
        return Dataset(self.labels[int(i)] for i in indices)

    @cached_property
    def trajectories(self) -> list[tuple[str, int]]:
        """(formula, trajectory number) of each label: what belongs together when the data are split."""
        return [(formula(label.properties.molecules.numbers), label.trajectory) for label in self.labels]

    def properties(self, indices: Iterable[int] | None = None, require: Sequence[str] = ()) -> Properties:
        """The labels at ``indices`` (all by default) as one batch; a property that some of them lack is None.

        Raises `MissingProperty` if that is one of ``require`` ("energy", "forces", "dipole", "orbitals").
        """
        chosen = self.labels if indices is None else [self.labels[int(i)] for i in indices]
        for name in require:
            if lacking := [label for label in chosen if getattr(label.properties, name) is None]:
                where = f"{len(lacking)} of {len(chosen)} frames hold no {name}, the first in {lacking[0].source}"
                raise MissingProperty(f"{where}; this step needs it: add it there, or leave these frames out.")
        return Properties.concatenate([label.properties for label in chosen])


def formula(numbers: Tensor) -> str:
    """Hill-like formula with the elements by atomic number, such as "H6C2O"."""
    counts = torch.bincount(numbers)
    return "".join(f"{SYMBOLS[z]}{n if n > 1 else ''}" for z, n in enumerate(counts.tolist()) if n)


OPTIONAL = {"conv_tol_grad"}
"""Thresholds that older labels do not state: with and without, they are of one level, which then does not state it either."""


def _common_level(labels: Sequence[Label]) -> dict:
    """The level of theory of all labels that state one; two different ones are an error."""
    known = [label for label in labels if label.level]
    if not known:
        return {}
    stated = set.intersection(*(set(label.level) for label in known))
    common = {key: value for key, value in known[0].level.items() if key in stated or key not in OPTIONAL}
    for label in known[1:]:
        for key in sorted((label.level.keys() | common.keys()) - (OPTIONAL - stated)):
            if label.level.get(key) != common.get(key):
                raise DatasetError(
                    f"{known[0].source} has {key} = {common.get(key)!r} and {label.source} has {label.level.get(key)!r}; "
                    "labels of different levels of theory are not mixed."
                )
    return common
