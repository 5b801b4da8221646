"""Replicas in blocks, side by side on several threads: small enough for the cache of a core, and every core at work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from densnet.density.expansion import Density
from densnet.molecules import Molecules
from densnet.properties import Properties, Uncertainty

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
        self.shape = Molecules.replicas(replicas.numbers[: self.atoms], replicas.positions.new_zeros(block, self.atoms, 3))
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) if min(threads, self.count) > 1 else None

    def __call__(self, molecules: Molecules) -> Properties:
        positions = molecules.positions if self.source is None else molecules.positions.index_select(0, self.source)
        blocks = [self.shape.at(x) for x in positions.split(self.block * self.atoms)]
        parts = list((self.pool.map if self.pool else map)(self.force_function, blocks))

        def joined(tensors: list[Tensor], count: int) -> Tensor:
            return torch.cat(tensors)[:count] if len(tensors) > 1 else tensors[0][:count]

        density = None
        if parts[0].density is not None:
            coefficients, exponents = zip(*((p.density.coefficients, p.density.exponents) for p in parts))
            atoms = len(molecules.numbers)
            density = Density(molecules, parts[0].density.basis, joined(coefficients, atoms), joined(exponents, atoms))
        uncertainty = None
        if all(p.uncertainty is not None for p in parts):
            columns = zip(*((u.energy, u.dipole, u.novelty) for u in (p.uncertainty for p in parts)))
            uncertainty = Uncertainty(*(joined(column, molecules.count) for column in columns))
        return Properties(
            molecules,
            energy=joined([p.energy for p in parts], molecules.count),
            forces=joined([p.forces for p in parts], len(molecules.numbers)),
            dipole=joined([p.dipole for p in parts], molecules.count),
            density=density,
            uncertainty=uncertainty,
        )
