"""Network 2: electron density -> total energy.

It reads the coefficients of every l and the widths of the density around each atom, lets neighbours exchange what they read, and sums
atomic energies on top of reference energies per element (float64).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from densnet import symmetry
from densnet.density.basis import DensityBasis
from densnet.model.density_network import DensityOutput, NaturalFunctions, slots_present
from densnet.model.geometry import Geometry
from densnet.model.layers import ElementLinear, Interaction, Level, Mix, Sizes, leading, scalars, silu
from densnet.settings import Section

GAINS = (0.1, 0.02)
"""How loud the density is, at first, beside the element: its coefficients, their power spectrum."""


class EnergyNetworkSettings(Section):
    """Size of network 2; it shares cut-off and radial functions with network 1."""

    channels: int = Field(64, gt=0, le=512, description="channels of the hidden features")
    inner_channels: int = Field(32, gt=0, le=512, description="channels of messages and of their products")
    layers: int = Field(2, ge=1, le=4, description="message-passing layers")
    l_max: int = Field(2, ge=0, le=3, description="angular order inside a layer")
    l_hidden: int = Field(2, ge=0, le=3, description="angular order of the features passed between layers")
    density_channels: int = Field(16, gt=0, le=256, description="channels into which the density coefficients of each l are mapped")


class EnergyNetwork(nn.Module):
    """Atomic energies from a `DensityOutput` and a `Geometry`; every constant it needs is a buffer."""

    kind = "equivariant message passing"

    def __init__(self, settings: EnergyNetworkSettings, basis: DensityBasis, functions: int, neighbours: float):
        super().__init__()
        self.settings = settings
        sizes = Sizes(settings.channels, functions, len(basis.elements), neighbours)
        self.read = ReadDensity(settings, basis, sizes)
        orders = [self.read.l_out] * settings.layers + [0]
        self.layers = nn.ModuleList(Interaction(a, settings.l_max, b, settings.inner_channels, sizes) for a, b in zip(orders, orders[1:]))
        self.first = nn.ModuleList(nn.Linear(sizes.channels, sizes.channels) for _ in self.layers)
        self.last = nn.ModuleList(nn.Linear(sizes.channels, 1, bias=False) for _ in self.layers)
        self.reference = (0.0,) * len(basis.elements)
        self.scale = 1.0

    def set_statistics(self, reference: tuple[float, ...], scale: float) -> None:
        """Constants of the training set: ``reference`` energy of each element and ``scale`` of atomic energies, hartree.

        Plain numbers, so that no change of the network's precision can touch them.
        """
        self.reference, self.scale = tuple(map(float, reference)), float(scale)

    @property
    def trained(self) -> bool:
        """False as long as it says no more than the reference energies."""
        return any(bool(last.weight.any()) for last in self.last)

    def forward(self, density: DensityOutput, geometry: Geometry) -> Tensor:
        """Atomic energies [atoms] float64, hartree."""
        return self.energies(self.features(density, geometry), geometry)

    def features(self, density: DensityOutput, geometry: Geometry) -> Tensor:
        """[atoms, layers x channels] what the last, linear maps read: all that an atomic energy is linear in."""
        h = self.read(density, geometry)
        found = []
        for layer, first in zip(self.layers, self.first):
            h = layer(h, geometry)
            found.append(silu(first(scalars(h))))
        return torch.cat(found, dim=1)

    def energies(self, features: Tensor, geometry: Geometry) -> Tensor:
        """Atomic energies [atoms] float64, hartree, from `features`."""
        last = geometry.constant(self, "last", lambda: torch.cat([last.weight for last in self.last], dim=1).squeeze(0))
        reference = geometry.constant(self, "reference", lambda: self._references(features.device)[geometry.element])
        return reference + self.scale * (features @ last).double()

    def _references(self, device: torch.device) -> Tensor:
        return torch.tensor(self.reference, dtype=torch.float64, device=device)


class Analysis(nn.Module):
    """Coefficients of one l -> natural components -> channels, one map per element: ``[atoms, rows, n_l] -> [atoms, rows, outputs]``.

    Components that hardly vary in the Coulomb metric come in as small as they are: directions that no fit determines stay silent.
    """

    def __init__(self, present: Tensor, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(*present.shape, outputs))
        self.register_buffer("analysis", torch.diag_embed(present.float()))

    def forward(self, x: Tensor, geometry: Geometry) -> Tensor:
        return torch.bmm(x, geometry.constant(self, "whole", lambda: self._whole().index_select(0, geometry.element)))

    def _whole(self) -> Tensor:
        return torch.bmm(self.analysis, self.weight)


class ReadDensity(nn.Module):
    """Features of an atom from the density around it: a linear map per element and l, and the power spectrum sum_m d_lmk d_lmk'.

    Both are faint beside the element, and so is what a step of training changes of them: a loud density makes the network fit its training
    frames by what does not carry over to others (docs/models.md).
    """

    def __init__(self, settings: EnergyNetworkSettings, basis: DensityBasis, sizes: Sizes):
        super().__init__()
        width, l_max = settings.density_channels, basis.l_max
        self.basis, self.l_out = basis, min(settings.l_hidden, settings.l_max, l_max)
        self.embedding = nn.Parameter(torch.randn(sizes.elements, sizes.channels))
        self.linear = nn.ModuleList(Analysis(present, width) for present in slots_present(basis))
        self.level = Level(l_max)
        self.left, self.right = Mix(l_max, width, width), Mix(l_max, width, width)
        self.invariants = nn.Linear((l_max + 1) * width, sizes.channels)
        self.widths = ElementLinear(sizes.elements, len(basis.slots), sizes.channels, zero=True)
        self.up = Mix(self.l_out, width, sizes.channels)
        self.register_buffer("gains", torch.tensor(GAINS))
        self.register_buffer("mean", torch.zeros(sizes.elements, basis.counts[0]))
        degree = torch.tensor(symmetry.degrees(l_max))
        same = (degree[None, :] == torch.arange(l_max + 1)[:, None]).float()
        self.register_buffer("sum_m", same / (2 * torch.arange(l_max + 1)[:, None] + 1), persistent=False)

    def set_statistics(self, natural: NaturalFunctions) -> None:
        """Constants of the training set, see `NaturalFunctions`."""
        self.mean.copy_(natural.mean)
        for linear, analysis in zip(self.linear, natural.analysis):
            linear.analysis.copy_(analysis)

    def forward(self, density: DensityOutput, geometry: Geometry) -> Tensor:
        mean = geometry.constant(self, "mean", lambda: self._whole_mean().index_select(0, geometry.element))
        embedding = geometry.constant(self, "embedding", lambda: self.embedding.index_select(0, geometry.element))
        parts = (density.coefficients - mean).split([(2 * l + 1) * count for l, count in enumerate(self.basis.counts)], dim=1)
        blocks = [x.view(len(x), -1, 2 * l + 1).transpose(1, 2) for l, x in enumerate(parts)]
        d = torch.cat([linear(x, geometry) for linear, x in zip(self.linear, blocks)], dim=1).transpose(0, 1)
        d = self.level(d, geometry)
        power = (self.sum_m @ (self.left(d, geometry) * self.right(d, geometry)).flatten(1)).unflatten(1, (-1, d.shape[2]))
        linear = self.gains[0] * self.up(leading(d, symmetry.components(self.l_out)), geometry)
        first, rest = linear.split([1, len(linear) - 1])
        widths = self.widths(density.widths, geometry)
        invariants = self.gains[1] * self.invariants(power.transpose(0, 1).flatten(1))
        return torch.cat([first + (embedding + invariants + widths), rest])

    def _whole_mean(self) -> Tensor:
        return torch.nn.functional.pad(self.mean, (0, self.basis.width - self.basis.counts[0]))
