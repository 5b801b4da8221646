"""A small untrained predictor with no zero weight, as a guinea pig for the laws of physics."""

import torch

from densnet.density.basis import DensityBasis
from densnet.model.density_network import DensityNetworkSettings
from densnet.model.energy_network import EnergyNetworkSettings
from densnet.model.predictor import ModelSettings, Predictor
from densnet.model.response_network import ResponseNetworkSettings
from densnet.molecules import Molecules

ETHANOL = [6, 6, 8, 1, 1, 1, 1, 1, 1]


def random_predictor(elements=("H", "C", "O"), cutoff=4.0, basis="default") -> Predictor:
    """Weights drawn at random, also those that start at zero; small outputs."""
    torch.manual_seed(7)
    settings = ModelSettings(
        density=DensityNetworkSettings(channels=8, head_channels=4, cutoff=cutoff),
        energy=EnergyNetworkSettings(channels=8, density_channels=4),
    )
    predictor = Predictor.of(settings, DensityBasis.built_in(basis, elements), neighbours=8.0, provenance={"data": "none"})
    with torch.no_grad():
        for parameter in predictor.parameters():
            if (parameter == 0).all():
                parameter.normal_(0.0, 0.1)
        for out in predictor.density_network.head.out:
            out.synthesis.mul_(0.05)
        predictor.density_network.mean.normal_(0.0, 0.01).mul_(predictor.density_network.slot_mask[:, : predictor.basis.counts[0]])
    for linear in predictor.energy_network.read.linear:
        linear.analysis.mul_(20.0)
    predictor.energy_network.read.gains.fill_(1.0)
    predictor.energy_network.set_statistics(tuple(-float(n) for n in predictor.basis.elements), 0.1)
    return predictor.double().eval()


def answering(predictor: Predictor, layers: int = 1) -> Predictor:
    """It with a small network 3 that has no zero weight."""
    torch.manual_seed(3)
    predictor.add_response_network(ResponseNetworkSettings(channels=8, head_channels=4, layers=layers))
    with torch.no_grad():
        for weight in predictor.response_network.parameters():
            if (weight == 0).all():
                weight.normal_(0.0, 0.1)
    return predictor.requires_grad_(False)


def scattered(numbers, seed=0, spread=2.4) -> Molecules:
    """Atoms at random places at least 1.4 bohr apart."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        positions = spread * torch.randn(len(numbers), 3, dtype=torch.float64, generator=generator)
        if len(numbers) == 1 or torch.pdist(positions).min() > 1.4:
            return Molecules.single(numbers, positions)
