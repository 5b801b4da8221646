"""Which frames a step of training learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class Batches:
    """Batches of up to ``size`` frames; ``kinds`` numbers the composition of each frame.

    Every batch holds of each composition its share, at least one frame, in the same order: all batches are `alike`, and made of ``parts``
    equal parts. Only with more compositions than places are batches drawn from all frames alike. An epoch of a composition is a fresh
    permutation of its frames that depends on ``seed`` and the epoch only.
    """

    kinds: tuple[int, ...]
    size: int
    seed: int

    @cached_property
    def members(self) -> list[list[int]]:
        """Frames of each composition."""
        found: dict[int, list[int]] = {}
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

    @property
    def alike(self) -> bool:
        """Whether every batch has the same atoms in the same order."""
        return len(self.members) == len(set(self.kinds))

    @property
    def parts(self) -> int:
        """Into how many parts of the same composition a batch can be cut."""
        return math.gcd(*self.shares)

    def at(self, step: int) -> list[int]:
        """Indices of the frames of a step, part after part."""
        chosen = [self._of_kind(kind, step) for kind in range(len(self.members))]
        return [index for part in range(self.parts) for own in chosen for index in _part(own, part, self.parts)]

    def _of_kind(self, kind: int, step: int) -> list[int]:
        members, share = self.members[kind], self.shares[kind]
        per_epoch = len(members) // share
        generator = torch.Generator().manual_seed((self.seed + 7919 * kind) * 1_000_003 + step // per_epoch)
        start = step % per_epoch * share
        return [members[i] for i in torch.randperm(len(members), generator=generator)[start : start + share].tolist()]


def _part(frames: list[int], part: int, parts: int) -> list[int]:
    length = len(frames) // parts
    return frames[part * length : (part + 1) * length]
