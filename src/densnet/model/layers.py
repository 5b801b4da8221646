"""Equivariant building blocks shared by both networks.

Features are ``[components, atoms, channels]`` with components = (l, m) packed: the components of one l are one contiguous block, so that a
tensor product is one matrix product with a constant table and channel mixing is one GEMM per l. Few large operations do all the work.
Only true tensors appear (paths with l1 + l2 + l3 even), hence inversion symmetry holds by construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
    radial     [atoms, neighbours, functions]  Bessel functions times the cut-off
    envelope   [atoms, neighbours]             cut-off function, 1 at r = 0, C2 zero at r = cut-off
    """

    element: Tensor
    sender: Tensor
    harmonics: Tensor
    radial: Tensor
    envelope: Tensor

    def of_senders(self, values: Tensor) -> Tensor:
        """What each neighbour has: [atoms, ...] -> [atoms, neighbours, ...]."""
        return values.index_select(0, self.sender).unflatten(0, self.envelope.shape)


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
    harmonics = math.sqrt(4 * math.pi) * symmetry.solid_harmonics(vectors / distance, l_max)
    return Geometry(element, neighbours.sender.flatten(), harmonics, waves, damping.squeeze(-1))


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x), scaled to keep unit variance."""
    return 1.6768 * torch.nn.functional.silu(x)


class Mix(nn.Module):
    """Channel mixing per l: ``[components, atoms, channels] -> [components, atoms, channels']``; components of one l share a weight."""

    def __init__(self, l_max: int, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(l_max + 1, inputs, outputs) / math.sqrt(inputs))
        self.register_buffer("degree", torch.tensor(symmetry.degrees(l_max)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(x, self.weight.index_select(0, self.degree))


class MixPaths(nn.Module):
    """Mixing of paths and channels per l: for each l ``[2l + 1, atoms, inputs_l]`` -> packed ``[components, atoms, channels']``."""

    def __init__(self, inputs: tuple[int, ...], outputs: int):
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(n, outputs) / math.sqrt(n)) for n in inputs)

    def forward(self, blocks: list[Tensor]) -> Tensor:
        return torch.cat([x @ weight for x, weight in zip(blocks, self.weights)])


class Paths:
    """All couplings l1 x l2 -> l3 of packed features, one table per l3 with rows ordered by (m3, path).

    The order makes the rows of one l3 viewable as [2 l3 + 1, paths x channels], ready for `Mix`.
    """

    def __init__(self, l1_max: int, l2_max: int, l3_max: int, *, symmetric: bool = False):
        self.per_order = [
            [(a, b) for a in range(l1_max + 1) for b in range(l2_max + 1) if symmetry.couples(a, b, c) and not (symmetric and a > b)]
            for c in range(l3_max + 1)
        ]
        self.counts = tuple(map(len, self.per_order))
        self._shape = (symmetry.components(l1_max), symmetry.components(l2_max))
        self._tables: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        self.sizes = [(2 * l + 1) * count for l, count in enumerate(self.counts)]

    def table(self, like: Tensor) -> Tensor:
        """Coefficients [rows, components 1, components 2] of all l3 in turn, in the precision and on the device of ``like``."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            self._tables[key] = torch.cat([self._table(l3) for l3 in range(len(self.counts))]).to(like)
        return self._tables[key]

    def _table(self, l3: int) -> Tensor:
        table = torch.zeros(2 * l3 + 1, self.counts[l3], *self._shape, dtype=torch.float64)
        for path, (l1, l2) in enumerate(self.per_order[l3]):
            table[:, path, symmetry.block(l1), symmetry.block(l2)] = torch.as_tensor(symmetry.coupling(l1, l2, l3)).permute(2, 0, 1)
        return table.flatten(0, 1)

    def per_row(self, per_order: Tensor) -> Tensor:
        """One number for each l3 -> one for each row."""
        return per_order.repeat_interleave(torch.tensor(self.sizes, device=per_order.device))

    def blocks(self, rows: Tensor) -> list[Tensor]:
        """Rows [rows, atoms, channels] -> per l3 [2 l3 + 1, atoms, paths x channels]."""
        parts = zip(rows.split(self.sizes), self.counts)
        return [x.unflatten(0, (2 * l + 1, count)).transpose(1, 2).flatten(2) for l, (x, count) in enumerate(parts)]


class Product(nn.Module):
    """Channel-wise tensor product of two features of one atom: ``a``, ``b`` [components, atoms, channels].

    Per l3 [2 l3 + 1, atoms, paths x channels], to be mixed by `MixPaths`. Scaled by constants (`calibrate`) to a typical size of 1/2.
    """

    typical = 0.5

    def __init__(self, l1_max: int, l2_max: int, l3_max: int, *, symmetric: bool = False):
        super().__init__()
        self.paths = Paths(l1_max, l2_max, l3_max, symmetric=symmetric)
        self.register_buffer("scale", torch.ones(sum(self.paths.sizes), 1))

    def forward(self, a: Tensor, b: Tensor) -> list[Tensor]:
        table = self.paths.table(a)
        if len(self.paths.counts) == 1:  # scalar products alone need no off-diagonal element
            table, outer = table.diagonal(dim1=1, dim2=2), a * b
        else:
            table, outer = table.flatten(1), (a.unsqueeze(1) * b.unsqueeze(0)).flatten(0, 1)
        rows = (table * self.scale) @ outer.flatten(1)
        return self.paths.blocks(rows.view(-1, *a.shape[1:]))

    def rescale(self, factors: Tensor) -> None:
        """Multiply the constants by one factor for each l."""
        self.scale.mul_(self.paths.per_row(factors).unsqueeze(1))


@dataclass(frozen=True)
class Sizes:
    """Sizes common to the layers of one network: ``neighbours`` is the mean number of neighbours in training, a constant scale."""

    channels: int
    functions: int
    elements: int
    neighbours: float


class Radial(nn.Module):
    """Weights of the messages, [atoms, neighbours, outputs]: one hidden layer on the Bessel functions, modulated by both elements.

    No biases: the weights inherit the C2 zero of the radial functions at the cut-off.
    """

    def __init__(self, sizes: Sizes, outputs: int, hidden: int = 32):
        super().__init__()
        self.first = nn.Parameter(torch.randn(sizes.functions, hidden) * 2.0)
        self.receiver = nn.Parameter(torch.randn(sizes.elements, hidden) * 0.5)
        self.sender = nn.Parameter(torch.randn(sizes.elements, hidden) * 0.5)
        self.last = nn.Parameter(torch.randn(hidden, outputs) / math.sqrt(hidden))

    def forward(self, geometry: Geometry) -> Tensor:
        return self.hidden(geometry) @ self.last

    def hidden(self, geometry: Geometry) -> Tensor:
        """[atoms, neighbours, hidden] what the outputs are linear in."""
        own = 1 + self.receiver.index_select(0, geometry.element)
        modulation = own.unsqueeze(1) + geometry.of_senders(self.sender.index_select(0, geometry.element))
        return silu((geometry.radial @ self.first) * modulation)


class Messages(nn.Module):
    """Sum over neighbours of (features of the neighbour) x (harmonics of the direction), weighted by learned radial functions.

    m_i = 1/sqrt(n) sum_j sum_paths R_path(r_ij) [Y(r_ij) x h_j]_path, for each l: [2l + 1, atoms, paths x channels]. Scaled by constants
    (`calibrate`) to a typical size of 1. All paths from one l of the neighbour are one batched matrix product over neighbours and m: what
    belongs to pairs times paths times channels is never formed.
    """

    typical = 1.0

    def __init__(self, l_in: int, l_out: int, sizes: Sizes):
        super().__init__()
        self.components = symmetry.components(l_out)
        self.paths = Paths(l_out, l_in, l_out)
        self.radial = Radial(sizes, sum(self.paths.counts) * sizes.channels)
        self.register_buffer("scale", torch.full((sum(self.paths.sizes), 1), 1 / math.sqrt(sizes.neighbours)))
        for l in range(l_in + 1):
            rows, columns = self._of_sender_order(l, sizes.channels)
            self.register_buffer(f"rows_{l}", rows, persistent=False)
            self.register_buffer(f"columns_{l}", columns, persistent=False)

    def _of_sender_order(self, l2: int, channels: int) -> tuple[Tensor, Tensor]:
        """Of the paths that read order ``l2`` of the neighbour, in turn: their rows in the table, their columns in the radial weights."""
        rows, columns, start, first = [], [], 0, 0
        for l3, orders in enumerate(self.paths.per_order):
            for path, (_, b) in enumerate(orders):
                if b == l2:
                    rows += [start + m * len(orders) + path for m in range(2 * l3 + 1)]
                    columns += range((first + path) * channels, (first + path + 1) * channels)
            start, first = start + (2 * l3 + 1) * len(orders), first + len(orders)
        return torch.tensor(rows), torch.tensor(columns)

    def forward(self, h: Tensor, geometry: Geometry) -> list[Tensor]:
        hidden, harmonics = self.radial.hidden(geometry), geometry.harmonics[..., : self.components]
        table = self.paths.table(h) * self.scale.unsqueeze(2)
        theirs = geometry.of_senders(h.transpose(0, 1).contiguous())
        found: dict[tuple[int, int, int], Tensor] = {}
        for l2 in range(math.isqrt(len(h))):
            rows, columns = getattr(self, f"rows_{l2}"), getattr(self, f"columns_{l2}")
            paths = [(l1, b, l3) for l3, orders in enumerate(self.paths.per_order) for l1, b in orders if b == l2]
            rotation = table.index_select(0, rows)[:, :, symmetry.block(l2)].transpose(0, 1)
            left = (harmonics @ rotation.flatten(1)).unflatten(2, rotation.shape[1:]).transpose(1, 2).flatten(2)
            weights = (hidden @ self.radial.last.index_select(1, columns)).unflatten(2, (1, len(paths), -1))
            right = (weights * theirs[:, :, symmetry.block(l2)].unsqueeze(3)).flatten(3).flatten(1, 2)
            sums = torch.bmm(left, right).unflatten(2, (len(paths), -1)).split([2 * l3 + 1 for _, _, l3 in paths], dim=1)
            found |= {path: part[:, :, number] for number, (path, part) in enumerate(zip(paths, sums))}
        return [
            torch.cat([found[l1, l2, l3] for l1, l2 in orders], dim=-1).transpose(0, 1) for l3, orders in enumerate(self.paths.per_order)
        ]

    def rescale(self, factors: Tensor) -> None:
        """Multiply the constants by one factor for each l."""
        self.scale.mul_(self.paths.per_row(factors).unsqueeze(1))


class Interaction(nn.Module):
    """One layer: messages A, their products A x A and (A x A) x A (body orders 3 and 4), a skip connection and gated non-linearities.

    Orders: features come in up to ``l_in``, messages reach ``l_mid``, features go out up to ``l_out`` <= ``l_mid``.
    """

    def __init__(self, l_in: int, l_mid: int, l_out: int, sizes: Sizes):
        super().__init__()
        channels, self.kept = sizes.channels, symmetry.components(min(l_in, l_out))
        self.up = Mix(l_in, channels, channels)
        self.messages = Messages(l_in, l_mid, sizes)
        self.mix_messages = MixPaths(tuple(n * channels for n in self.messages.paths.counts), channels)
        self.pair = Product(l_mid, l_mid, l_mid, symmetric=True)
        self.mix_pair = MixPaths(tuple(n * channels for n in self.pair.paths.counts), channels)
        self.triple = Product(l_mid, l_mid, l_out)
        self.out = MixPaths(tuple((2 + n) * channels for n in self.triple.paths.counts), channels)
        self.skip = Mix(min(l_in, l_out), channels, channels)
        self.element = nn.Parameter(torch.randn(sizes.elements, channels) * 0.3)
        self.hidden = nn.Linear(channels, channels)
        self.last = nn.Linear(channels, (l_out + 1) * channels)
        self.register_buffer("degree", torch.tensor(symmetry.degrees(l_out)[1:], dtype=torch.int64) - 1, persistent=False)

    def forward(self, h: Tensor, geometry: Geometry) -> Tensor:
        a = self.mix_messages(self.messages(self.up(h), geometry))
        aa = self.mix_pair(self.pair(a, a))
        triples = self.triple(aa, a)
        orders = [2 * l + 1 for l in range(len(triples))]
        x = self.out([torch.cat(parts, dim=-1) for parts in zip(symmetry.by_order(a, orders), symmetry.by_order(aa, orders), triples)])
        kept = self.skip(h if self.kept == len(h) else h[: self.kept])
        first, rest = x.split([1, len(x) - 1])
        first = first + kept[:1]
        scalars = first[0] + self.element.index_select(0, geometry.element)
        gates = self.last(silu(self.hidden(scalars))).view(len(scalars), -1, x.shape[2]).transpose(0, 1)
        if not len(rest):
            return first + gates
        own, others = gates.split([1, len(gates) - 1])
        if len(kept) > 1:
            rest = rest + torch.nn.functional.pad(kept[1:], (0, 0, 0, 0, 0, len(x) - len(kept)))
        return torch.cat([first + own, rest * torch.sigmoid(others).index_select(0, self.degree)])


class Level(nn.Module):
    """A constant factor for each l, set by `calibrate`, that brings features [2l + 1, atoms, channels] to a typical size of 1."""

    typical = 1.0

    def __init__(self, l_max: int):
        super().__init__()
        self.register_buffer("scale", torch.ones(l_max + 1))

    def forward(self, blocks: list[Tensor]) -> list[Tensor]:
        return [x * factor for x, factor in zip(blocks, self.scale)]

    def rescale(self, factors: Tensor) -> None:
        """Multiply the constants by one factor for each l."""
        self.scale.mul_(factors)


def calibrate(network: nn.Module, run: Callable[[], object]) -> None:
    """Set the constant scales of a network so that the features of each l have their typical size in ``run``, a pass over training frames.

    Layer-sequential unit variance (Mishkin, Matas 2016): without it, products of products grow or vanish with the density of neighbours.
    """

    def rescale(module: Messages | Product | Level, inputs: tuple, output: list[Tensor]) -> list[Tensor]:
        factors = [module.typical / x.square().mean().sqrt().clamp(min=1e-6) for x in output]
        module.rescale(torch.stack(factors))
        return [x * factor for x, factor in zip(output, factors)]

    hooks = [m.register_forward_hook(rescale) for m in network.modules() if isinstance(m, Messages | Product | Level)]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()


class ElementLinear(nn.Module):
    """Linear maps with one weight per element: ``[rows, atoms, inputs] -> [atoms, rows, outputs]``."""

    def __init__(self, elements: int, inputs: int, outputs: int, *, zero: bool = False):
        super().__init__()
        start = torch.zeros if zero else torch.randn
        self.weight = nn.Parameter(start(elements, inputs, outputs) / math.sqrt(max(inputs, 1)))

    def forward(self, x: Tensor, element: Tensor) -> Tensor:
        return torch.bmm(x.transpose(0, 1), self.weight.index_select(0, element))
