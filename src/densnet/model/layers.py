"""Equivariant building blocks shared by both networks.

Features are ``[components, atoms, channels]`` with components = (l, m) packed, so that a tensor product is one matrix product with a
constant table and the mixing of channels one batched product. Few large operations do all the work.
Only true tensors appear (paths with l1 + l2 + l3 even), hence inversion symmetry holds by construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from densnet import symmetry
from densnet.model.geometry import Geometry


def leading(features: Tensor, count: int) -> Tensor:
    """The first ``count`` components."""
    return features if len(features) == count else features[:count]


def scalars(features: Tensor) -> Tensor:
    """[atoms, channels] of [components, atoms, channels]: l = 0."""
    return features.squeeze(0) if len(features) == 1 else features[0]


SILU_SCALE = 1.6768
"""Keeps unit variance."""


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), scaled to keep unit variance."""
    return SILU_SCALE * torch.nn.functional.silu(x)


class Mix(nn.Module):
    """Channel mixing per l: ``[components, atoms, channels] -> [components, atoms, channels']``; components of one l share a weight."""

    def __init__(self, l_max: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(l_max + 1, inputs, outputs) / math.sqrt(inputs))
        self.register_buffer("degree", torch.tensor(symmetry.degrees(l_max)), persistent=False)

    def forward(self, x: Tensor, geometry: Geometry) -> Tensor:
        return torch.bmm(x, geometry.constant(self, "weight", lambda: self.weight.index_select(0, self.degree)))


class Rows:
    """Where rows of products belong: ``component`` (l, m) and ``path`` of each; rows of one path are mixed alike."""

    def __init__(self, component: list[int], path: list[int]):
        self.component, self.path = component, path
        self.degree = [math.isqrt(c) for c in component]
        self.paths = max(path) + 1

    @classmethod
    def of_features(cls, l_max: int) -> Rows:
        """The rows of packed features: one path for each l."""
        return cls(list(range(symmetry.components(l_max))), list(symmetry.degrees(l_max)))

    def __add__(self, other: Rows) -> Rows:
        return Rows(self.component + other.component, self.path + [self.paths + p for p in other.path])


class MixPaths(nn.Module):
    """Channel mixing with one weight for each path, summed over paths: ``[rows, atoms, channels] -> [components, atoms, channels']``."""

    def __init__(self, rows: Rows, inputs: int, outputs: int):
        super().__init__()
        self.shape = (inputs, outputs)
        degree = dict(zip(rows.path, rows.degree))
        counts = [list(degree.values()).count(l) for l in range(max(rows.degree) + 1)]
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(n * inputs, outputs) / math.sqrt(n * inputs)) for n in counts)
        place = {path: number for number, path in enumerate(sorted(degree, key=lambda path: degree[path]))}
        self.register_buffer("path", torch.tensor([place[path] for path in rows.path]), persistent=False)
        placed = torch.nn.functional.one_hot(torch.tensor(rows.component)).T
        self.register_buffer("placed", placed.float().contiguous(), persistent=False)

    def forward(self, rows: Tensor, geometry: Geometry) -> Tensor:
        mixed = torch.bmm(rows, geometry.constant(self, "weight", self._weight_of_rows))
        return (self.placed @ mixed.flatten(1)).unflatten(1, mixed.shape[1:])

    def _weight_of_rows(self) -> Tensor:
        return torch.cat(list(self.weights)).unflatten(0, (-1, self.shape[0])).index_select(0, self.path)


class Product(nn.Module):
    """Channel-wise tensor product of two features of one atom, ``a`` and ``b`` [components, atoms, channels] -> [rows, atoms, channels].

    One row for each component of each coupling l1 x l2 -> l3, see ``rows``. Scaled by constants (`calibrate`) to a typical size of 1/2.
    """

    typical = 0.5

    def __init__(self, l1_max: int, l2_max: int, l3_max: int, *, symmetric: bool = False):
        super().__init__()
        orders = range(l1_max + 1), range(l2_max + 1)
        self.couplings = [
            (a, b, c)
            for c in range(l3_max + 1) for a in orders[0] for b in orders[1] if symmetry.couples(a, b, c) and not (symmetric and a > b)
        ]  # fmt: skip
        self.rows = Rows(
            [l3 * l3 + m for _, _, l3 in self.couplings for m in range(2 * l3 + 1)],
            [path for path, (_, _, l3) in enumerate(self.couplings) for _ in range(2 * l3 + 1)],
        )
        self._shape = (symmetry.components(l1_max), symmetry.components(l2_max))
        self._tables: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        self.degrees = self.rows.degree
        self.scalar = not any(self.degrees)  # scalar products alone need no off-diagonal element
        self.register_buffer("scale", torch.ones(len(self.degrees), 1))

    def forward(self, a: Tensor, b: Tensor, geometry: Geometry) -> Tensor:
        outer = a * b if self.scalar else a.unsqueeze(1) * b
        table = geometry.constant(self, "table", lambda: self._table(a) * self.scale)
        return (table @ outer.reshape(table.shape[1], -1)).view(-1, *a.shape[1:])

    def rescale(self, factors: Tensor) -> None:
        """Multiply the constants by one factor for each l."""
        self.scale.mul_(factors[torch.tensor(self.degrees)].unsqueeze(1))

    def _table(self, like: Tensor) -> Tensor:
        """Coefficients [rows, components 1 x components 2], in the precision and on the device of ``like``."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            parts = []
            for l1, l2, l3 in self.couplings:
                part = np.zeros((2 * l3 + 1, *self._shape))
                part[:, symmetry.block(l1), symmetry.block(l2)] = symmetry.coupling(l1, l2, l3).transpose(2, 0, 1)
                parts.append(part.diagonal(axis1=1, axis2=2) if self.scalar else part.reshape(len(part), -1))
            self._tables[key] = torch.as_tensor(np.concatenate(parts), dtype=like.dtype, device=like.device)
        return self._tables[key]


@dataclass(frozen=True)
class Sizes:
    """Sizes common to the layers of one network: ``neighbours`` is the mean number of neighbours in training, a constant scale."""

    channels: int
    functions: int
    elements: int
    neighbours: float


class Radial(nn.Module):
    """Weights of the messages, [atoms * neighbours, outputs]: one hidden layer on the Bessel functions, modulated by both elements.

    No biases: the weights inherit the C2 zero of the radial functions at the cut-off.
    """

    def __init__(self, sizes: Sizes, outputs: int, hidden: int = 32):
        super().__init__()
        self.first = nn.Parameter(torch.randn(sizes.functions, hidden) * 2.0)
        self.receiver = nn.Parameter(torch.randn(sizes.elements, hidden) * 0.5)
        self.sender = nn.Parameter(torch.randn(sizes.elements, hidden) * 0.5)
        self.last = nn.Parameter(torch.randn(hidden, outputs) / math.sqrt(hidden))

    def forward(self, geometry: Geometry, arranged: Callable[[Tensor], Tensor] = lambda last: last) -> Tensor:
        """``arranged``: what is done to the columns of the last weights."""
        modulation = geometry.constant(self, "modulation", lambda: self._modulation(geometry), of_pairs=True)
        last = geometry.constant(self, "last", lambda: SILU_SCALE * arranged(self.last))
        return torch.nn.functional.silu((geometry.radial @ self.first) * modulation) @ last

    def _modulation(self, geometry: Geometry) -> Tensor:
        own = 1 + self.receiver.index_select(0, geometry.element)
        theirs = self.sender.index_select(0, geometry.element)
        return (own.unsqueeze(1) + geometry.of_senders(theirs)).flatten(0, 1)


class Messages(nn.Module):
    """Sum over neighbours of what their features say along the bond, [components, atoms, channels].

    m_i,l = 1/sqrt(n) sum_j Y_l(r_ij) R_ll'(r_ij) (Y_l'(r_ij) . h_j,l'), side by side for each l', and 1/sqrt(n) sum_j S_l(r_ij) h_j,l: the
    part of a feature that is symmetric about the bond couples to every order, the whole of it keeps its own. Pairs times (l, m) times
    paths are never formed. Scaled by constants (`calibrate`) to a typical size of 1.
    """

    typical = 1.0

    def __init__(self, l_in: int, l_out: int, channels: int, sizes: Sizes):
        super().__init__()
        self.l_in, self.l_out, self.channels = l_in, l_out, channels
        self.degrees = symmetry.degrees(l_out)
        self.kept = min(l_in, l_out)
        self.outputs = (l_in + 1 + bool(self.kept)) * channels
        self.radial = Radial(sizes, ((l_out + 1) * (l_in + 1) + self.kept) * channels)
        size = [(2 * l + 1) ** -0.5 for l in range(l_in + 1)] * (l_out + 1) + [1.0] * self.kept
        with torch.no_grad():
            self.radial.last.mul_(torch.tensor(size).repeat_interleave(channels))
        self.register_buffer("scale", torch.full((len(self.degrees), 1, 1), sizes.neighbours**-0.5))
        arriving = [l * l for l in range(l_out + 1) for _ in range(l_in + 1)] + [l * l for l in range(1, self.kept + 1)]
        self.register_buffer("arriving", torch.tensor(arriving).repeat_interleave(channels), persistent=False)
        self.register_buffer("degree", torch.tensor(symmetry.degrees(self.kept)), persistent=False)

    def forward(self, h: Tensor, geometry: Geometry) -> Tensor:
        atoms, neighbours = geometry.envelope.shape
        paths, channels = self.l_in + 1, self.channels
        theirs = h.index_select(1, geometry.sender)
        along = theirs.view(-1, 1, 1, channels)
        if self.l_in:
            along = torch.bmm(geometry.towards(self.l_in), theirs.transpose(0, 1)).unsqueeze(1)
        count = (self.l_out + 1) * paths * channels
        coupling, keeping = self.radial(geometry, self._arranged).split([count, (self.kept + 1) * channels], dim=1)
        strength = coupling.view(-1, self.l_out + 1, paths, channels) * along
        m = torch.bmm(geometry.from_neighbours(self.l_out), strength.view(atoms, -1, paths * channels)).transpose(0, 1)
        if not self.kept:
            return m
        of_l = keeping.view(-1, self.kept + 1, channels).transpose(0, 1).index_select(0, self.degree)
        whole = (of_l * leading(theirs, len(self.degree))).view(-1, atoms, neighbours, channels).sum(2)
        if len(whole) < len(m):
            whole = torch.nn.functional.pad(whole, (0, 0, 0, 0, 0, len(m) - len(whole)))
        return torch.cat([m, whole], dim=2)

    def columns_up_to(self, l_out: int) -> Tensor:
        """The last radial weights of messages that reach ``l_out`` and are otherwise these: [hidden, columns]."""
        coupling, keeping = self.radial.last.split([(self.l_out + 1) * (self.l_in + 1) * self.channels, self.kept * self.channels], dim=1)
        kept = min(self.l_in, l_out)
        return torch.cat([coupling[:, : (l_out + 1) * (self.l_in + 1) * self.channels], keeping[:, : kept * self.channels]], dim=1)

    def _arranged(self, last: Tensor) -> Tensor:
        """Columns times the scale of the l that they lead to; no whole is kept of l = 0, which couples to itself already."""
        count = (self.l_out + 1) * (self.l_in + 1) * self.channels
        coupling, keeping = (last * self.scale.flatten().index_select(0, self.arriving)).split([count, last.shape[1] - count], dim=1)
        return torch.cat([coupling, torch.nn.functional.pad(keeping, (self.channels, 0))], dim=1)

    def rescale(self, factors: Tensor) -> None:
        """Multiply the constants by one factor for each l."""
        self.scale.mul_(factors[torch.tensor(self.degrees)][:, None, None])


class Interaction(nn.Module):
    """One layer: messages A, their products A x A and (A x A) x A (body orders 3 and 4), a skip connection and gated non-linearities.

    Orders: features come in up to ``l_in``, messages reach ``l_mid``, features go out up to ``l_out`` <= ``l_mid``. Messages and products
    have ``inner`` channels.
    """

    def __init__(self, l_in: int, l_mid: int, l_out: int, inner: int, sizes: Sizes):
        super().__init__()
        channels, self.kept = sizes.channels, symmetry.components(min(l_in, l_out))
        self.up = Mix(l_in, channels, inner)
        self.messages = Messages(l_in, l_mid, inner, sizes)
        self.mix_messages = Mix(l_mid, self.messages.outputs, inner)
        self.pair = Product(l_mid, l_mid, l_mid, symmetric=True)
        self.mix_pair = MixPaths(self.pair.rows, inner, inner)
        self.triple = Product(l_mid, l_mid, l_out)
        self.out = MixPaths(Rows.of_features(l_out) + Rows.of_features(l_out) + self.triple.rows, inner, channels)
        self.skip = Mix(min(l_in, l_out), channels, channels)
        self.element = nn.Parameter(torch.randn(sizes.elements, channels) * 0.3)
        self.hidden = nn.Linear(channels, channels)
        self.last = nn.Linear(channels, (l_out + 1) * channels)
        self.components = symmetry.components(l_out)
        self.register_buffer("degree", torch.tensor(symmetry.degrees(l_out)[1:], dtype=torch.int64) - 1, persistent=False)

    def forward(self, h: Tensor, geometry: Geometry) -> Tensor:
        a = self.mix_messages(self.messages(self.up(h, geometry), geometry), geometry)
        aa = self.mix_pair(self.pair(a, a, geometry), geometry)
        rows = [leading(a, self.components), leading(aa, self.components), self.triple(aa, a, geometry)]
        kept = self.skip(leading(h, self.kept), geometry)
        if self.kept < self.components:
            kept = torch.nn.functional.pad(kept, (0, 0, 0, 0, 0, self.components - self.kept))
        x = self.out(torch.cat(rows), geometry) + kept
        first, rest = x.split([1, self.components - 1])
        known = first.squeeze(0) + geometry.constant(self, "element", lambda: self.element.index_select(0, geometry.element))
        gates = self.last(silu(self.hidden(known))).view(len(known), -1, x.shape[2]).transpose(0, 1)
        if self.components == 1:
            return first + gates
        own, others = gates.split([1, len(gates) - 1])
        return torch.cat([first + own, rest * torch.sigmoid(others).index_select(0, self.degree)])


class Level(nn.Module):
    """A constant factor for each l, set by `calibrate`, that brings features [2l + 1, atoms, channels] to a typical size of 1."""

    typical = 1.0

    def __init__(self, l_max: int):
        super().__init__()
        self.degrees = symmetry.degrees(l_max)
        self.register_buffer("scale", torch.ones(l_max + 1))
        self.register_buffer("degree", torch.tensor(self.degrees), persistent=False)

    def forward(self, x: Tensor, geometry: Geometry) -> Tensor:
        return x * geometry.constant(self, "scale", lambda: self.scale.index_select(0, self.degree)[:, None, None])

    def rescale(self, factors: Tensor) -> None:
        """Multiply the constants by one factor for each l."""
        self.scale.mul_(factors)


def calibrate(network: nn.Module, run: Callable[[], object]) -> None:
    """Set the constant scales of a network so that the features of each l have their typical size in ``run``, a pass over training frames.

    Layer-sequential unit variance (Mishkin, Matas 2016): without it, products of products grow or vanish with the density of neighbours.
    """

    def rescale(module: Messages | Product | Level, inputs: tuple, output: Tensor) -> Tensor:
        degree = torch.tensor(module.degrees, device=output.device)
        squares = output.square().mean((1, 2))
        means = torch.stack([squares[degree == l].mean() for l in range(max(module.degrees) + 1)])
        factors = module.typical / means.sqrt().clamp(min=1e-6)
        module.rescale(factors)
        return output * factors[degree][:, None, None]

    hooks = [m.register_forward_hook(rescale) for m in network.modules() if isinstance(m, Messages | Product | Level)]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()


class ElementLinear(nn.Module):
    """Linear maps with one weight per element: ``[atoms, inputs] -> [atoms, outputs]``."""

    def __init__(self, elements: int, inputs: int, outputs: int, *, zero: bool = False):
        super().__init__()
        start = torch.zeros if zero else torch.randn
        self.weight = nn.Parameter(start(elements, inputs, outputs) / math.sqrt(max(inputs, 1)))

    def forward(self, x: Tensor, geometry: Geometry) -> Tensor:
        weight = geometry.constant(self, "weight", lambda: self.weight.index_select(0, geometry.element))
        return torch.bmm(x.unsqueeze(1), weight).squeeze(1)
