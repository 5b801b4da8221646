"""Which frames a step of training learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class Batches:
    """Batches of about ``size`` frames; ``kinds`` are the compositions of the frames, the atomic numbers in their order.

    Every batch holds of each composition its share, at least one frame, in the same order: all batches are `alike`, and made of ``parts``
    equal parts. An epoch of a composition is a fresh permutation of its frames that depends on ``seed`` and the epoch only.
    With more compositions than places, a batch holds molecules of nearly one size (a table of neighbours is as wide as the largest needs),
    and about as many atoms as ``size`` average frames: an epoch is a fresh permutation of all frames, sorted by size, cut at the same
    places, in random order.
    """

    kinds: tuple[tuple[int, ...], ...]
    size: int
    seed: int

    @cached_property
    def members(self) -> list[list[int]]:
        """Frames of each composition."""
        found: dict[tuple[int, ...], list[int]] = {}
        for index, kind in enumerate(self.kinds):
            found.setdefault(kind, []).append(index)
        return list(found.values()) if len(found) <= self.size else [list(range(len(self.kinds)))]

    @cached_property
    def shares(self) -> list[int]:
        """Places of each composition: one each, every further one where most frames are waiting for a place (D'Hondt's method)."""
        counts = [len(frames) for frames in self.members]
        shares = [1] * len(counts)
        for _ in range(min(self.size, len(self.kinds)) - len(counts)):
            shares[max(range(len(counts)), key=lambda k: counts[k] / (shares[k] + 1))] += 1
        return shares

    @cached_property
    def alike(self) -> bool:
        """Whether every batch has the same atoms in the same order."""
        return len(self.members) == len(set(self.kinds))

    @property
    def parts(self) -> int:
        """Into how many parts of the same composition a batch can be cut."""
        return math.gcd(*self.shares)

    @property
    def fewest(self) -> int:
        """Frames of the smallest batch."""
        return sum(self.shares) if self.alike else min(end - start for start, end in self.cuts)

    @cached_property
    def cuts(self) -> list[tuple[int, int]]:
        """First frame of each batch and that behind its last one, in an order by size."""
        sizes = torch.tensor([len(kind) for kind in self.kinds]).sort().values.double()
        wanted = max(1, len(sizes) // self.size)
        number = ((sizes.cumsum(0) - sizes / 2) * (wanted / sizes.sum())).long()
        starts = [0, *(1 + torch.nonzero(number.diff()).flatten()).tolist()]
        return list(zip(starts, [*starts[1:], len(sizes)]))

    def at(self, step: int) -> list[int]:
        """Indices of the frames of a step, part after part."""
        if not self.alike:
            return self._of_one_size(step)
        chosen = [self._of_kind(kind, step) for kind in range(len(self.members))]
        return [index for part in range(self.parts) for own in chosen for index in _part(own, part, self.parts)]

    def _of_one_size(self, step: int) -> list[int]:
        epoch, place = divmod(step, len(self.cuts))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = sorted(torch.randperm(len(self.kinds), generator=generator).tolist(), key=lambda index: len(self.kinds[index]))
        first, end = self.cuts[int(torch.randperm(len(self.cuts), generator=generator)[place])]
        return order[first:end]

    def _of_kind(self, kind: int, step: int) -> list[int]:
        members, share = self.members[kind], self.shares[kind]
        per_epoch = len(members) // share
        generator = torch.Generator().manual_seed((self.seed + 7919 * kind) * 1_000_003 + step // per_epoch)
        start = step % per_epoch * share
        return [members[i] for i in torch.randperm(len(members), generator=generator)[start : start + share].tolist()]


def _part(frames: list[int], part: int, parts: int) -> list[int]:
    length = len(frames) // parts
    return frames[part * length : (part + 1) * length]
