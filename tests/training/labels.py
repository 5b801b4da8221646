"""Labels made up for tests of training: a smooth force field and a smooth density of water, so that no quantum chemistry is needed."""

import torch

from densnet.dataset.points import Points
from densnet.density.expansion import Density
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.training.examples import Example, coulomb_metric
from densnet.training.shelf import Shelf
from tests.model.random_model import random_predictor


def teacher():
    """A random predictor plays the reference method: everything it says is learnable and consistent."""
    predictor = random_predictor(("H", "O"), basis="small", cutoff=5.0)
    predictor.settings.density.__dict__["flexible"] = False
    return predictor


def examples(count: int, seed: int = 0, *, peroxide: bool = False) -> list[Example]:
    """Distorted waters (or hydrogen peroxides) labelled by the teacher: energy, forces, dipole, density and points."""
    generator = torch.Generator().manual_seed(seed)
    equilibrium = torch.tensor([[0.0, 0.0, 0.1], [0.0, 1.45, -0.98], [0.0, -1.45, -0.98]], dtype=torch.float64)
    if peroxide:
        rows = [[0.0, 1.37, 0.0], [0.0, -1.37, 0.0], [1.5, 1.7, 0.9], [-1.5, -1.7, 0.9]]
        equilibrium = torch.tensor(rows, dtype=torch.float64)
    reference, shelf, made = teacher(), Shelf(), []
    for _ in range(count):
        positions = equilibrium + 0.15 * torch.randn(equilibrium.shape, dtype=torch.float64, generator=generator)
        molecule = Molecules.single([8, 8, 1, 1] if peroxide else [8, 1, 1], positions)
        said = reference(molecule)
        density = Density.of(molecule, reference.basis, said.density.coefficients.float())
        places = 3 * torch.randn(300, 3, dtype=torch.float64, generator=generator)
        weights = torch.exp(places.square().sum(1) / 18) * (2 * torch.pi * 9) ** 1.5 / 300
        points = Points(places, weights, density.to(dtype=torch.float64).values(places))
        properties = Properties(molecule, said.energy, said.forces, density.dipole().double())
        prepared = {"coefficients": density.coefficients, "metric": coulomb_metric(molecule, reference.basis)}
        prepared |= {"places": points.positions, "weights": points.weights, "correction": points.correction}
        made.append(Example(properties, reference.basis, shelf.put(prepared)))
    return made
