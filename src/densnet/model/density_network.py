"""Network 1: geometry -> electron density, as a correction to the promolecule in flexible atom-centred Gaussians.

rho(r) = rho_SAD(r) + sum_A sum_nlm c_Anlm g_nl(r - R_A; alpha_An),   alpha_An = alpha0_n exp(w_An).
The correction is local, vanishes for an isolated neutral atom, and integrates to minus the charge Q of its molecule: atom A of N holds
sum_B t_AB - Q / N electrons, with t_AB = -t_BA.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from densnet.density.basis import DensityBasis
from densnet.density.gaussians import charges
from densnet.model.geometry import Geometry
from densnet.model.layers import ElementLinear, Interaction, Mix, MixPaths, Product, Radial, Rows, Sizes, leading, scalars
from densnet.settings import Section


class DensityNetworkSettings(Section):
    """Size of network 1."""

    channels: int = Field(32, gt=0, le=512, description="channels of the hidden features")
    inner_channels: int = Field(32, gt=0, le=512, description="channels of messages and of their products")
    layers: int = Field(2, ge=1, le=4, description="message-passing layers")
    l_max: int = Field(2, ge=0, le=3, description="angular order inside a layer and of the final features")
    l_hidden: int = Field(1, ge=0, le=3, description="angular order of the features passed between layers")
    head_channels: int = Field(16, gt=0, le=256, description="channels of the output head, which extends to the largest l of the basis")
    radial_functions: int = Field(8, gt=1, le=32, description="number of Bessel functions of the distance")
    cutoff: float = Field(5.0, gt=1.0, le=15.0, description="cut-off: distance up to which atoms exchange messages, Angstrom")
    flexible: bool = Field(True, description="predict a correction to every exponent, alpha = alpha0 exp(w)")
    exponent_range: float = Field(0.5, gt=0.0, le=1.0, description="largest |w|")


class NaturalFunctions(NamedTuple):
    """Natural density functions of a training set: per element and l, principal components of the coefficients in the Coulomb metric.

    With M the Coulomb matrix of an atom's own radial functions and M^(1/2) (c - mean) = sum_k u_k s_k y_k, the y_k have unit variance.

    mean       [elements, s slots]            mean s coefficients; higher l have none by symmetry
    synthesis  per l [elements, n_l, n_l]     rows s_k u_k M^(-1/2): from y to coefficients
    analysis   per l [elements, n_l, n_l]     M^(1/2) u_k / s_1: from coefficients to s_k y_k in units of the largest
    """

    mean: Tensor
    synthesis: tuple[Tensor, ...]
    analysis: tuple[Tensor, ...]


def slots_present(basis: DensityBasis) -> list[Tensor]:
    """Per l [elements, n_l] bool: False where a slot is padding."""
    mask = basis.slot_mask(torch.tensor(basis.elements))
    return [mask[:, basis.slot_block(l)] for l in range(basis.l_max + 1)]


class DensityOutput(NamedTuple):
    """``coefficients`` [atoms, width] and ``widths`` w [atoms, slots] of a prediction; both zero where padded."""

    coefficients: Tensor
    widths: Tensor


class DensityNetwork(nn.Module):
    """Predicts `DensityOutput` from a `Geometry`; every constant it needs is a buffer and travels with the checkpoint."""

    kind = "equivariant message passing"

    def __init__(self, settings: DensityNetworkSettings, basis: DensityBasis, neighbours: float):
        super().__init__()
        self.settings, self.basis, self.neighbours = settings, basis, neighbours
        sizes = Sizes(settings.channels, settings.radial_functions, len(basis.elements), neighbours)
        orders = [0] + [min(settings.l_hidden, settings.l_max)] * (settings.layers - 1) + [settings.l_max]
        self.embedding = nn.Parameter(torch.randn(sizes.elements, sizes.channels))
        self.layers = nn.ModuleList(Interaction(a, settings.l_max, b, settings.inner_channels, sizes) for a, b in zip(orders, orders[1:]))
        self.head = Head(settings, basis, sizes)
        self.transfer = Transfer(sizes)
        self.widths = ElementLinear(sizes.elements, sizes.channels, len(basis.slots), zero=True)
        numbers = torch.tensor(basis.elements)
        self.register_buffer("exponents", basis.exponents(numbers).float())
        self.register_buffer("slot_mask", basis.slot_mask(numbers).float(), persistent=False)
        self.register_buffer("mean", torch.zeros(len(numbers), basis.counts[0]))

    def set_statistics(self, natural: NaturalFunctions) -> None:
        """Constants of the training set, see `NaturalFunctions`."""
        self.mean.copy_(natural.mean)
        for l, out in enumerate(self.head.out):
            out.synthesis.copy_(natural.synthesis[l])

    def forward(self, geometry: Geometry) -> DensityOutput:
        return self.output(self.hidden(geometry), geometry)

    def hidden(self, geometry: Geometry) -> Tensor:
        """[components, atoms, channels] the last features, up to l_max."""
        h = self._of_atoms("embedding", geometry).unsqueeze(0)
        for layer in self.layers:
            h = layer(h, geometry)
        return h

    def output(self, h: Tensor, geometry: Geometry) -> DensityOutput:
        """Coefficients and widths from the last features."""
        bonded = 1 - torch.exp(-5 * geometry.envelope.sum(1, keepdim=True))
        widths = self.widths_of(h, geometry)
        rows = self.head(h, geometry)
        s_count = self.basis.counts[0]
        s, rest = rows.split([s_count, rows.shape[1] - s_count], dim=1)
        s = (s + self._of_atoms("mean", geometry)) * bonded
        moved = self.transfer(scalars(h), geometry)
        s = self._holding(s, widths[:, :s_count], moved if geometry.surplus is None else moved + geometry.surplus, geometry)
        return DensityOutput(torch.cat([s, rest * bonded], dim=1), widths)

    def widths_of(self, h: Tensor, geometry: Geometry) -> Tensor:
        """[atoms, slots] ln of what the last features do to the exponents."""
        if not self.settings.flexible:
            return torch.zeros(len(geometry.element), len(self.basis.slots), dtype=h.dtype, device=h.device)
        limit = self.settings.exponent_range
        raw = self.widths(scalars(h), geometry)
        return limit * torch.tanh(raw / limit) * self._of_atoms("slot_mask", geometry)

    def dipole_features(self, h: Tensor, geometry: Geometry, vectors: Tensor) -> Tensor:
        """[atoms, 3, elements x channels + rank]: the vectors that an atom's dipole is made of, those of its element, and what each channel
        of charge transfer adds to the dipole, 1/2 sum_B t_AB (R_A - R_B). ``vectors`` [atoms, neighbours, 3] lead to the neighbours, bohr.
        """
        own = h.new_zeros(len(geometry.element), 3, 0)
        if len(h) > 1:
            kind = torch.eye(len(self.exponents), dtype=h.dtype, device=h.device).index_select(0, geometry.element)
            directed = torch.cat([h[3:4], h[1:3]]).transpose(0, 1)  # harmonics are in the order y, z, x
            own = (kind[:, None, :, None] * directed[:, :, None, :]).flatten(2)
        moved = -0.5 * vectors.mT @ self.transfer.parts(scalars(h), geometry)
        return torch.cat([own, moved], dim=2)

    @property
    def flexed(self) -> bool:
        """Whether any exponent may have left its reference."""
        return bool(self.widths.weight.any())

    def exponents_at(self, geometry: Geometry, widths: Tensor) -> Tensor:
        """[atoms, slots] current exponents alpha0 exp(w), 1 / bohr^2."""
        return self._of_atoms("exponents", geometry) * torch.exp(widths)

    def _of_atoms(self, table: str, geometry: Geometry) -> Tensor:
        """The rows of one of the tables per element that belong to the atoms."""
        return geometry.constant(self, table, lambda: getattr(self, table).index_select(0, geometry.element))

    def _holding(self, s: Tensor, widths: Tensor, electrons: Tensor, geometry: Geometry) -> Tensor:
        """s coefficients changed least (measured by their covariance C) so that each atom's correction holds so many ``electrons`` [atoms].

        With I the integrals of the s functions: c + C I (q - c I) / (I C I).
        """
        exponents, mask = (self._of_atoms(table, geometry)[:, : self.basis.counts[0]] for table in ("exponents", "slot_mask"))
        integrals = charges(self.basis, exponents * torch.exp(widths)) * mask
        covariance = geometry.constant(self, "covariance", lambda: self._covariance().index_select(0, geometry.element))
        direction = torch.bmm(covariance, integrals.unsqueeze(2)).squeeze(2)
        excess = (s * integrals).sum(-1) - electrons
        return s - direction * (excess / (direction * integrals).sum(-1)).unsqueeze(-1)

    def _covariance(self) -> Tensor:
        synthesis = self.head.out[0].synthesis
        return synthesis.transpose(1, 2) @ synthesis


class Transfer(nn.Module):
    """Charge that flows between neighbours: q_i = sum_j sum_k R_k(r_ij) (a_ik b_jk - a_jk b_ik), so that the sum over atoms is zero."""

    def __init__(self, sizes: Sizes, rank: int = 16):
        super().__init__()
        self.donor = nn.Linear(sizes.channels, rank)
        self.acceptor = nn.Linear(sizes.channels, rank)
        self.radial = nn.Parameter(torch.randn(sizes.functions, rank) * 0.02)

    def forward(self, scalars: Tensor, geometry: Geometry) -> Tensor:
        """``scalars`` [atoms, channels] -> [atoms] electrons gained."""
        return self.parts(scalars, geometry).sum((1, 2))

    def parts(self, scalars: Tensor, geometry: Geometry) -> Tensor:
        """[atoms, neighbours, rank] electrons that each channel k moves from each neighbour."""
        a, b = self.donor(scalars), self.acceptor(scalars)
        flow = a.unsqueeze(1) * geometry.of_senders(b) - geometry.of_senders(a) * b.unsqueeze(1)
        return flow * (geometry.radial @ self.radial).view(flow.shape)


class Synthesis(nn.Module):
    """Features -> natural components -> coefficients of one l, one map per element: ``[atoms, rows, inputs] -> [atoms, rows, n_l]``."""

    def __init__(self, inputs: int, present: Tensor):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(present), inputs, present.shape[1]))
        self.scale = inputs**-0.5
        self.register_buffer("synthesis", torch.diag_embed(present.float()))

    def forward(self, x: Tensor, geometry: Geometry) -> Tensor:
        return torch.bmm(x, geometry.constant(self, "whole", lambda: self._whole().index_select(0, geometry.element)))

    def _whole(self) -> Tensor:
        return torch.bmm(self.weight, self.synthesis * self.scale)


class Head(nn.Module):
    """From hidden features of low l to coefficients of every l of the basis, [atoms, width], by way of natural functions; zero at start.

    High l comes from scalars of both atoms times harmonics of their direction, and from one product of those with the hidden features.
    """

    def __init__(self, settings: DensityNetworkSettings, basis: DensityBasis, sizes: Sizes):
        super().__init__()
        width, mixed = settings.head_channels, 2 * settings.head_channels
        self.l_max, self.shape = basis.l_max, (basis.l_max + 1, width)
        self.scale = sizes.neighbours**-0.5
        self.receiver = nn.Linear(sizes.channels, width)
        self.sender = nn.Linear(sizes.channels, width)
        self.radial = Radial(sizes, (self.l_max + 1) * width)
        l_hidden = min(settings.l_max, basis.l_max)
        self.low = Mix(min(1, l_hidden), sizes.channels, width)
        self.product = Product(min(1, l_hidden), self.l_max, self.l_max)
        self.mix = MixPaths(Rows.of_features(self.l_max) + self.product.rows, width, mixed)
        self.hidden = Mix(l_hidden, sizes.channels, mixed)
        self.out = nn.ModuleList(Synthesis(mixed, present) for present in slots_present(basis))

    def forward(self, h: Tensor, geometry: Geometry) -> Tensor:
        known, (atoms, neighbours) = scalars(h), geometry.envelope.shape
        strength = self.receiver(known).unsqueeze(1) * geometry.of_senders(self.sender(known))
        weights = self.radial(geometry, lambda last: last * self.scale).view(atoms, neighbours, *self.shape) * strength.unsqueeze(2)
        a = torch.bmm(geometry.from_neighbours(self.l_max), weights.flatten(1, 2)).transpose(0, 1).contiguous()
        products = self.product(self.low(leading(h, len(self.low.degree)), geometry), a, geometry)
        hidden = self.hidden(leading(h, len(self.hidden.degree)), geometry)
        x = self.mix(torch.cat([a, products]), geometry) + torch.nn.functional.pad(hidden, (0, 0, 0, 0, 0, len(a) - len(hidden)))
        blocks = x.transpose(0, 1).split([2 * l + 1 for l in range(self.l_max + 1)], dim=1)
        rows = [out(block, geometry).transpose(1, 2).flatten(1) for out, block in zip(self.out, blocks)]
        return torch.cat(rows, dim=1)
