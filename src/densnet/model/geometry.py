"""What both networks see of a batch of molecules: directions and distances of neighbours, and constants that depend on elements alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from densnet import symmetry
from densnet.molecules import Neighbours


@dataclass(frozen=True)
class Geometry:
    """What the layers see of a batch of molecules; computed once, shared by both networks.

    element    [atoms]                         index into the model's element list
    sender     [atoms * neighbours]            the neighbours of each atom in turn
    harmonics  [atoms, neighbours, components] sqrt(4 pi) S_lm of the direction atom -> neighbour
    radial     [atoms * neighbours, functions] Bessel functions times the cut-off
    envelope   [atoms, neighbours]             cut-off function, 1 at r = 0, C2 zero at r = cut-off
    constants                                  what was made of frozen weights for these elements before; None: weights may change
    fixed                                      whether ``sender`` is always the same for these elements
    surplus    [atoms]                         electrons of each beyond a neutral atom, see `Molecules.surplus`; None: no charges
    """

    element: Tensor
    sender: Tensor
    harmonics: Tensor
    radial: Tensor
    envelope: Tensor
    constants: dict[tuple[int, str], Tensor] | None = None
    fixed: bool = False
    surplus: Tensor | None = None
    _directions: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False, repr=False)

    def repeated(self, times: int) -> Geometry:
        """That of so many copies of the batch, one after the other; for layers that see no other geometry but this."""
        atoms = len(self.element)
        shift = torch.arange(times, device=self.sender.device).repeat_interleave(len(self.sender)) * atoms
        surplus = None if self.surplus is None else self.surplus.repeat(times)
        return Geometry(
            self.element.repeat(times), self.sender.repeat(times) + shift, self.harmonics.repeat(times, 1, 1),
            self.radial.repeat(times, 1), self.envelope.repeat(times, 1), self.constants, self.fixed, surplus,
        )  # fmt: skip

    def towards(self, l_max: int) -> Tensor:
        """[atoms * neighbours, l_max + 1, components] harmonics up to ``l_max``, those of each l in a row of their own, zero elsewhere."""
        return self._directions_up_to(l_max)[0]

    def from_neighbours(self, l_max: int) -> Tensor:
        """[atoms, components, neighbours * (l_max + 1)] the same, to be summed over neighbours."""
        return self._directions_up_to(l_max)[1]

    def _directions_up_to(self, l_max: int) -> tuple[Tensor, Tensor]:
        if l_max not in self._directions:
            own = _of_degree(l_max, self.harmonics.dtype, self.harmonics.device)
            known = self.harmonics if own.shape[1] == self.harmonics.shape[2] else self.harmonics[..., : own.shape[1]]
            directions = known.unsqueeze(2) * own
            self._directions[l_max] = directions.flatten(0, 1), directions.flatten(1, 2).transpose(1, 2)
        return self._directions[l_max]

    def constant(self, owner: nn.Module, name: str, make: Callable[[], Tensor], *, of_pairs: bool = False) -> Tensor:
        """``make()``, which depends on weights of ``owner`` and on elements (``of_pairs``: those of neighbours too) only.

        Made once as long as they stay as they are.
        """
        if self.constants is None or (of_pairs and not self.fixed):
            return make()
        key = (id(owner), name)
        if key not in self.constants:
            self.constants[key] = make()
        return self.constants[key]

    def of_senders(self, values: Tensor) -> Tensor:
        """What each neighbour has: [atoms, ...] -> [atoms, neighbours, ...]."""
        return values.index_select(0, self.sender).unflatten(0, self.envelope.shape)


@lru_cache
def _of_degree(l_max: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[l_max + 1, components] one where a component has that l."""
    return torch.as_tensor(np.equal.outer(np.arange(l_max + 1), symmetry.degrees(l_max)), dtype=dtype, device=device)


MANY_PAIRS = 300
"""From so many pairs on arithmetic costs more than operations."""


def envelope(x: Tensor) -> Tensor:
    """1 - 28 x^6 + 48 x^7 - 21 x^8 for x < 1, else 0 (Gasteiger et al. 2020, p = 6): value and two derivatives vanish at x = 1."""
    inside = torch.clamp(x, max=1.0)
    return 1 + inside**6 * (-28 + inside * (48 - 21 * inside))


def geometry(element: Tensor, vectors: Tensor, neighbours: Neighbours, *, cutoff: float, radial: int, l_max: int) -> Geometry:
    """`Geometry` from ``vectors`` [atoms, neighbours, 3] in bohr; ``radial`` Bessel functions sqrt(2 / rc) sin(n pi r / rc) / r, n = 1.."""
    distance = vectors.square().sum(-1, keepdim=True).sqrt()
    damping = envelope(distance / cutoff)
    order = torch.arange(1, radial + 1, dtype=vectors.dtype, device=vectors.device) * (math.pi / cutoff)
    waves = math.sqrt(2 / cutoff) * torch.sin(order * distance) * (damping / distance)
    harmonics = math.sqrt(4 * math.pi) * symmetry.solid_harmonics(vectors / distance, l_max, at_once=distance.numel() < MANY_PAIRS)
    return Geometry(element, neighbours.sender.flatten(), harmonics, waves.flatten(0, 1), damping.squeeze(-1))
