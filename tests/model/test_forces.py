"""Forces from any differentiable energy: a field, a restraint, several models; as they are, traced for the compiler, or recorded."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from densnet.model import compiled
from densnet.model.forces import EnergyFunction, Frozen
from densnet.molecules import Molecules, Neighbours
from densnet.properties import MissingProperty, Properties
from tests.model.random_model import random_predictor, scattered

WATER = [8, 1, 1]


@dataclass(frozen=True)
class InField:
    """A model in a homogeneous electric field: E - mu . field."""

    model: EnergyFunction
    field: Tensor

    def without_forces(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        found = self.model.without_forces(molecules, neighbours)
        return found.replace(energy=found.energy - (found.dipole.double() @ self.field))

    def neighbours_of(self, molecules: Molecules) -> Neighbours:
        return self.model.neighbours_of(molecules)

    def fingerprint(self) -> str:
        return f"{self.model.fingerprint()} in a field of {self.field.tolist()}"


@dataclass(frozen=True)
class Mean:
    """Several models together."""

    models: tuple[EnergyFunction, ...]

    def without_forces(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        found = [model.without_forces(molecules, neighbours) for model in self.models]
        return Properties(molecules, energy=sum(p.energy for p in found) / len(found), dipole=sum(p.dipole for p in found) / len(found))

    def neighbours_of(self, molecules: Molecules) -> Neighbours:
        return self.models[0].neighbours_of(molecules)

    def fingerprint(self) -> str:
        return " ".join(model.fingerprint() for model in self.models)


class Restraint:
    """A spring between the first two atoms of each molecule of three, and nothing else."""

    def without_forces(self, molecules: Molecules, neighbours: Neighbours | None = None) -> Properties:
        x = molecules.positions.view(molecules.count, 3, 3)
        return Properties(molecules, energy=0.5 * ((x[:, 0] - x[:, 1]).norm(dim=1) - 2.0).square())

    def neighbours_of(self, molecules: Molecules) -> Neighbours:
        return Neighbours(torch.zeros(len(molecules.numbers), 1, dtype=torch.int64), None)

    def fingerprint(self) -> str:
        return "restraint"


def functions() -> dict[str, EnergyFunction]:
    model = random_predictor(("H", "O"), basis="small").requires_grad_(False)
    other = random_predictor(("H", "O"), basis="small").requires_grad_(False)
    other.energy_network.set_statistics((-2.0, -16.0), 0.3)
    field = torch.tensor([0.01, -0.02, 0.03], dtype=torch.float64)
    return {"model": model, "field": InField(model, field), "mean": Mean((model, other)), "restraint": Restraint()}


@pytest.mark.parametrize("name", ["model", "field", "mean", "restraint"])
def test_forces_are_the_slope_of_the_energy(name):
    energy, molecule = functions()[name], scattered(WATER)
    found = Frozen(energy)(molecule)
    assert not any(t.requires_grad for t in found.tensors().values()) and found.forces.shape == (3, 3)
    step, numerical = 1e-4, torch.zeros(3, 3, dtype=torch.float64)
    for k in range(9):
        moved = torch.zeros(9, dtype=torch.float64).index_fill(0, torch.tensor(k), step).view(3, 3)
        plus, minus = (float(Frozen(energy)(molecule.at(molecule.positions + s * moved)).energy) for s in (1, -1))
        numerical.view(-1)[k] = (minus - plus) / (2 * step)
    assert torch.allclose(found.forces, numerical, atol=1e-6 * float(numerical.abs().max()) + 1e-8)


@pytest.mark.parametrize("name", ["field", "restraint"])
def test_what_would_be_compiled_says_the_same(name):
    energy, molecule = functions()[name], scattered(WATER)
    table = compiled._widened(energy.neighbours_of(molecule), energy.neighbours_of(molecule).sender.shape[1])
    graph = compiled.traced(compiled.arithmetic(energy, molecule), (molecule.positions, *table))
    elsewhere = scattered(WATER, seed=4)
    said, expected = graph(elsewhere.positions, *table), Frozen(energy)(elsewhere).tensors()
    assert all(torch.allclose(a, b, rtol=1e-10, atol=1e-12) for a, b in zip(said, expected.values(), strict=True))


def test_a_field_pulls_on_the_dipole():
    """d mu / dR . field is what it adds to the forces; with no field it adds nothing."""
    found = functions()
    molecule, model = scattered(WATER), found["model"]
    none = InField(model, torch.zeros(3, dtype=torch.float64))
    assert torch.equal(Frozen(none)(molecule).forces, model(molecule).forces)
    pulled = Frozen(found["field"])(molecule).forces - model(molecule).forces

    def along(positions: Tensor) -> Tensor:
        return (model.without_forces(molecule.at(positions)).dipole @ found["field"].field).sum()

    assert torch.allclose(pulled, torch.autograd.functional.jacobian(along, molecule.positions), atol=1e-12)


def test_names_of_libraries_tell_functions_apart():
    found, molecule = functions(), scattered(WATER)
    assert len({compiled._identity(energy, molecule, 2) for energy in found.values()}) == len(found)


def test_an_energy_is_needed():
    class Nothing(Restraint):
        def without_forces(self, molecules, neighbours=None):
            return Properties(molecules)

    with pytest.raises(MissingProperty, match="energy"):
        Frozen(Nothing())(scattered(WATER))
