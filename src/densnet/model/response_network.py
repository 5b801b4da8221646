"""Network 3: how the density answers a static field, on the features of network 1.

A field e along x, y or z enters as a vector, once and linearly, and is carried through products with the features of each atom and through
messages between atoms. Products of true tensors reach all that (coefficients of l) x (vector) hold, the pseudo-tensor L = l too, as
(e . a) b - (e . b) a. The response is local, changes sign with the field and holds no electrons: atom A gains sum_B t_AB, t_AB = -t_BA.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from densnet import symmetry
from densnet.density.basis import DensityBasis
from densnet.density.gaussians import charges, own_coulomb_matrix
from densnet.model.density_network import DensityNetworkSettings, Synthesis, slots_present
from densnet.model.geometry import Geometry
from densnet.model.layers import Messages, Mix, MixPaths, Product, Rows, Sizes, leading, scalars, silu
from densnet.settings import Section

AXES = (2, 0, 1)
"""Where x, y and z stand among the harmonics of l = 1."""

DIRECTIONS = len(AXES)


class ResponseNetworkSettings(Section):
    """Size of network 3; cut-off and radial functions are those of network 1."""

    channels: int = Field(32, gt=0, le=512, description="channels of the features that carry the field")
    head_channels: int = Field(16, gt=0, le=256, description="channels of the head, which reaches the l of the basis")
    layers: int = Field(1, ge=0, le=4, description="layers between the field and the head; 0: the head alone passes it on")


class ResponseNetwork(nn.Module):
    """Response coefficients [atoms, 3, width] from the last features of network 1; every constant it needs is a buffer."""

    kind = "a field through products and messages"

    def __init__(
        self,
        settings: ResponseNetworkSettings,
        density: DensityNetworkSettings,
        basis: DensityBasis,
        neighbours: float,
        reach: int | None = None,
    ):
        super().__init__()
        self.settings, self.density, self.basis, self.mean_neighbours = settings, density, basis, neighbours
        sizes = Sizes(settings.channels, density.radial_functions, len(basis.elements), neighbours)
        self.known = Mix(density.l_max, density.channels, sizes.channels)
        self.enter = Enter(density.l_max, sizes.channels)
        self.layers = nn.ModuleList(Carry(density.l_max, sizes) for _ in range(settings.layers))
        self.head = ResponseHead(settings, density.l_max, basis, sizes, basis.l_max if reach is None else reach)
        self.transfer = FieldTransfer(sizes)
        numbers = torch.tensor(basis.elements)
        self.register_buffer("exponents", basis.exponents(numbers).float(), persistent=False)
        self.register_buffer("slot_mask", basis.slot_mask(numbers).float(), persistent=False)
        self.register_buffer("softest", _least_change(basis), persistent=False)

    def up_to(self, l: int) -> ResponseNetwork:
        """The same network, but for the coefficients of more than that ``l``, which it does not work out."""
        reach = min(l + self.head.low, self.basis.l_max)
        found = ResponseNetwork(self.settings, self.density, self.basis.up_to(l), self.mean_neighbours, reach)
        found.to(next(self.parameters()).device, next(self.parameters()).dtype)
        known = self.state_dict()
        known["head.messages.radial.last"] = self.head.messages.columns_up_to(reach)
        own = {name: known[name][tuple(map(slice, t.shape))] for name, t in found.state_dict().items()}
        found.load_state_dict(own)
        return found.requires_grad_(False)

    @property
    def trained(self) -> bool:
        """False as long as no coefficient is asked for but those that keep the charge."""
        return any(bool(out.weight.any()) for out in self.head.out)

    def forward(self, hidden: Tensor, widths: Tensor, geometry: Geometry) -> Tensor:
        """From the last features of network 1 and the ``widths`` that it gives its functions."""
        h, tiled = self.known(hidden, geometry), geometry.repeated(DIRECTIONS)
        g = self.enter(h, tiled)
        known = h.repeat(1, DIRECTIONS, 1)
        for layer in self.layers:
            g = layer(g, known, tiled)
        rows = self.head(g, known, tiled)
        gained = self.transfer(scalars(h), scalars(g), geometry)
        return self._holding(rows.unflatten(0, (DIRECTIONS, -1)), gained, widths, geometry).transpose(0, 1)

    def _holding(self, rows: Tensor, gained: Tensor, widths: Tensor, geometry: Geometry) -> Tensor:
        """``rows`` [3, atoms, width] changed least so that each atom gains so many electrons, ``gained`` [3, atoms]."""
        count = self.basis.counts[0]
        exponents, mask, softest = (
            geometry.constant(self, name, lambda name=name: getattr(self, name).index_select(0, geometry.element)[:, :count])
            for name in ("exponents", "slot_mask", "softest")
        )
        integrals = charges(self.basis, exponents * torch.exp(widths[:, :count])) * mask
        s, rest = rows.split([count, rows.shape[2] - count], dim=2)
        excess = (s * integrals).sum(2) - gained
        return torch.cat([s - softest * (excess / (softest * integrals).sum(1)).unsqueeze(2), rest], dim=2)


class Enter(nn.Module):
    """The field times features, h x e: ``[components, atoms, channels] -> [components, 3 x atoms, channels]``, direction by direction."""

    def __init__(self, l_max: int, channels: int):
        super().__init__()
        couplings = [(a, c) for c in range(l_max + 1) for a in range(l_max + 1) if symmetry.couples(a, 1, c)]
        table = np.zeros((DIRECTIONS, sum(2 * c + 1 for _, c in couplings), symmetry.components(l_max)))
        start = 0
        for a, c in couplings:
            for k, axis in enumerate(AXES):
                table[k, start : start + 2 * c + 1, symmetry.block(a)] = symmetry.coupling(a, 1, c)[:, axis].T
            start += 2 * c + 1
        self.table = table * np.sqrt(3)
        rows = Rows(
            [c * c + m for _, c in couplings for m in range(2 * c + 1)],
            [path for path, (_, c) in enumerate(couplings) for _ in range(2 * c + 1)],
        )
        self.mix = MixPaths(rows, channels, channels)

    def forward(self, h: Tensor, geometry: Geometry) -> Tensor:
        """``geometry`` is that of the three copies."""
        table = geometry.constant(self, "table", lambda: torch.as_tensor(self.table, dtype=h.dtype, device=h.device))
        coupled = (table.flatten(0, 1) @ h.flatten(1)).view(DIRECTIONS, -1, *h.shape[1:]).transpose(0, 1)
        return self.mix(coupled.flatten(1, 2), geometry)


class Carry(nn.Module):
    """One layer, linear in what carries the field: messages, their products with the features of the atom, gates made of its scalars."""

    def __init__(self, l_max: int, sizes: Sizes):
        super().__init__()
        channels = sizes.channels
        self.up = Mix(l_max, channels, channels)
        self.messages = Messages(l_max, l_max, channels, sizes)
        self.arrive = Mix(l_max, self.messages.outputs, channels)
        self.product = Product(l_max, l_max, l_max)
        self.out = MixPaths(Rows.of_features(l_max) + self.product.rows, channels, channels)
        self.skip = Mix(l_max, channels, channels)
        self.hidden = nn.Linear(channels, channels)
        self.gates = nn.Linear(channels, (l_max + 1) * channels)
        self.register_buffer("degree", torch.tensor(symmetry.degrees(l_max)), persistent=False)

    def forward(self, g: Tensor, known: Tensor, geometry: Geometry) -> Tensor:
        """``g`` carries the field, ``known`` are the features, both [components, 3 x atoms, channels]."""
        moved = self.arrive(self.messages(self.up(g, geometry), geometry), geometry) + g
        x = self.out(torch.cat([moved, self.product(known, moved, geometry)]), geometry)
        gates = self.gates(silu(self.hidden(scalars(known)))).view(known.shape[1], -1, known.shape[2]).transpose(0, 1)
        return self.skip(g, geometry) + x * (2 * torch.sigmoid(gates)).index_select(0, self.degree)


class ResponseHead(nn.Module):
    """Coefficients of every l of the basis, [3 x atoms, width], from what carries the field, here and at the neighbours; zero at start.

    ``reach``: highest l of the messages from neighbours.
    """

    def __init__(self, settings: ResponseNetworkSettings, l_max: int, basis: DensityBasis, sizes: Sizes, reach: int):
        super().__init__()
        width, mixed, self.l_max = settings.head_channels, 2 * settings.head_channels, basis.l_max
        self.low, self.kept = min(1, l_max), symmetry.components(min(l_max, basis.l_max))
        self.components = symmetry.components(basis.l_max)
        self.up = Mix(l_max, sizes.channels, width)
        self.messages = Messages(l_max, reach, width, sizes)
        self.arrive = Mix(reach, self.messages.outputs, width)
        self.here = Mix(self.low, sizes.channels, width)
        self.product = Product(self.low, reach, basis.l_max)
        self.mix = MixPaths(Rows.of_features(basis.l_max) + self.product.rows, width, mixed)
        self.own = Mix(min(l_max, basis.l_max), sizes.channels, mixed)
        self.out = nn.ModuleList(Synthesis(mixed, present) for present in slots_present(basis))
        for l, out in enumerate(self.out):
            out.synthesis.copy_(_whitening(basis, l))

    def forward(self, g: Tensor, known: Tensor, geometry: Geometry) -> Tensor:
        a = self.arrive(self.messages(self.up(g, geometry), geometry), geometry)
        here = self.here(leading(known, symmetry.components(self.low)), geometry)
        x = self.mix(torch.cat([leading(a, self.components), self.product(here, a, geometry)]), geometry)
        x = x + torch.nn.functional.pad(self.own(leading(g, self.kept), geometry), (0, 0, 0, 0, 0, len(x) - self.kept))
        blocks = x.transpose(0, 1).split([2 * l + 1 for l in range(self.l_max + 1)], dim=1)
        return torch.cat([out(block, geometry).transpose(1, 2).flatten(1) for out, block in zip(self.out, blocks)], dim=1)


class FieldTransfer(nn.Module):
    """Electrons that flow between neighbours in a field: what drives them is its component along the bond, and what the atoms carry of it.

    t_ij = sum_k R_k(r_ij) s_ik s_jk (e . r_ij / r_ij) + R'_k(r_ij) (a_ik b_jk - a_jk b_ik), with a of an atom alone and b linear in e.
    """

    def __init__(self, sizes: Sizes, rank: int = 16):
        super().__init__()
        self.soft, self.donor = nn.Linear(sizes.channels, rank), nn.Linear(sizes.channels, rank)
        self.carried = nn.Linear(sizes.channels, rank, bias=False)
        self.along = nn.Parameter(torch.randn(sizes.functions, rank) * 0.02)
        self.across = nn.Parameter(torch.randn(sizes.functions, rank) * 0.02)

    def forward(self, known: Tensor, carried: Tensor, geometry: Geometry) -> Tensor:
        """``known`` [atoms, channels], ``carried`` [3 x atoms, channels] -> electrons gained [3, atoms]."""
        shape = *geometry.envelope.shape, -1
        soft, donor = self.soft(known), self.donor(known)
        driven = ((geometry.radial @ self.along).view(shape) * soft.unsqueeze(1) * geometry.of_senders(soft)).sum(2)
        direct = torch.einsum("an,anm->ma", driven, geometry.harmonics[..., 1:4])[list(AXES)]
        b, strength = self.carried(carried).unflatten(0, (DIRECTIONS, -1)), (geometry.radial @ self.across).view(shape)
        theirs = b.index_select(1, geometry.sender).unflatten(1, geometry.envelope.shape)
        flow = donor.unsqueeze(1) * theirs - geometry.of_senders(donor) * b.unsqueeze(2)
        return direct + (strength * flow).sum((2, 3))


def _whitening(basis: DensityBasis, l: int, floor: float = 1e-4) -> Tensor:
    """[elements, n_l, n_l] from components of unit size in the Coulomb metric to coefficients: M^(-1/2), least eigenvalues lifted."""
    found = torch.zeros(len(basis.elements), basis.counts[l], basis.counts[l])
    for row, number in enumerate(basis.elements):
        metric = own_coulomb_matrix(basis, number, l)
        if len(metric):
            values, vectors = torch.linalg.eigh(metric)
            found[row, : len(metric), : len(metric)] = (vectors / values.clamp(min=floor * float(values[-1])).sqrt()) @ vectors.T
    return found


def _least_change(basis: DensityBasis) -> Tensor:
    """[elements, s slots] M^-1 I: the way to change an atom's electrons that costs least in the Coulomb metric."""
    found = torch.zeros(len(basis.elements), basis.counts[0])
    for row, number in enumerate(basis.elements):
        metric = own_coulomb_matrix(basis, number, 0)
        integrals = charges(basis, basis.exponents(torch.tensor([number])))[0, : len(metric)]
        found[row, : len(metric)] = torch.linalg.solve(metric, integrals)
    return found
