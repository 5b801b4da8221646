"""Replicas in blocks, side by side on several threads: small enough for the cache of a core, and every core at work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.threads import one_thread

ForceFunction = Callable[[Molecules], Properties]


class Blocks:
    """A force function for ``replicas`` (of one molecule) that passes them to another, ``block`` replicas at a time.

    Blocks are dealt to ``threads`` threads. The last block is filled up with copies of its last replica, so that all have the same size;
    which thread does a block does not touch its numbers.
    """

    def __init__(self, force_function: ForceFunction, replicas: Molecules, block: int, threads: int):
        self.force_function, self.atoms = force_function, len(replicas.numbers) // replicas.count
        self.count, self.block = -(-replicas.count // block), block
        size = block * self.atoms
        places = torch.arange(self.count * size, device=replicas.positions.device)
        last = len(replicas.numbers) - self.atoms
        filled = torch.where(places < len(replicas.numbers), places, last + places % self.atoms)
        self.source = filled if replicas.count % block else None
        self.shape = replicas.cut(replicas.count)[0].copies(replicas.positions.new_zeros(block, self.atoms, 3))
        self.pool = ThreadPoolExecutor(threads) if min(threads, self.count) > 1 else None

    def __call__(self, molecules: Molecules) -> Properties:
        positions = molecules.positions if self.source is None else molecules.positions.index_select(0, self.source)
        blocks = [self.shape.at(x) for x in positions.split(self.block * self.atoms)]
        with one_thread():
            parts = list((self.pool.map if self.pool else map)(self.force_function, blocks))
        return Properties.joined(parts, molecules)
