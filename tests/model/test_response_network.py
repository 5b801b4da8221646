"""Network 3 obeys what every response to a field obeys, whatever its weights, and travels with the model's file."""

import pytest
import torch
from ase import Atoms

from densnet.density.grids import molecular_grid
from densnet.interfaces.ase import DensnetCalculator
from densnet.model.predictor import ResponseMissing, load
from densnet.molecules import Molecules
from densnet.symmetry import random_rotation
from densnet.units import ANGSTROM
from tests.model.random_model import ETHANOL, answering, random_predictor, scattered


def responsive(layers: int = 1):
    """A small model with a network 3 that has no zero weight."""
    return answering(random_predictor(basis="small"), layers)


@pytest.fixture(scope="module")
def model():
    return responsive()


MOLECULE = scattered(ETHANOL)


@pytest.mark.parametrize("layers", [0, 1])
def test_alpha_turns_with_the_molecule_mirrored_or_not(layers):
    model = responsive(layers)
    rotation = random_rotation(torch.Generator().manual_seed(1))
    alpha = model.respond(MOLECULE).polarizability[0]
    for turn in (rotation, -rotation):
        moved = MOLECULE.at(MOLECULE.positions @ turn.T + 50.0)
        assert torch.allclose(model.respond(moved).polarizability[0], turn @ alpha @ turn.T, atol=1e-11)


def test_the_induced_density_turns_with_molecule_and_field(model):
    turn, field = random_rotation(torch.Generator().manual_seed(2)), torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    points = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
    found = model.respond(MOLECULE).response.along(field).values(points)
    turned = model.respond(MOLECULE.at(MOLECULE.positions @ turn.T)).response.along(turn @ field).values(points @ turn.T)
    assert torch.allclose(found, turned, atol=1e-12) and found.abs().max() > 1e-3
    assert torch.allclose(model.respond(MOLECULE).response.values(points) @ field, found, atol=1e-12)


def test_two_molecules_far_apart_add(model):
    turn = random_rotation(torch.Generator().manual_seed(3))
    other = MOLECULE.at(MOLECULE.positions @ turn.T)
    apart = Molecules.single(ETHANOL * 2, torch.cat([MOLECULE.positions, other.positions + 30 * ANGSTROM]))
    parts = [model.respond(m).polarizability for m in (MOLECULE, other)]
    assert torch.allclose(model.respond(apart).polarizability, sum(parts), atol=1e-10)
    batch = model.respond(Molecules.concatenate([MOLECULE, scattered([8, 1, 1])])).polarizability
    assert torch.allclose(batch[:1], parts[0], atol=1e-12)


def test_no_electron_is_made_and_none_crosses_the_gap(model):
    apart = Molecules.single(ETHANOL * 2, torch.cat([MOLECULE.positions, MOLECULE.positions + 30 * ANGSTROM]))
    charges = model.respond(apart).response.charges()
    assert charges.abs().max() > 1e-2
    assert torch.allclose(charges.unflatten(0, (2, -1)).sum(1), torch.zeros(2, 3, dtype=torch.float64), atol=1e-12)


def test_alpha_is_the_integral_of_the_induced_density(model):
    found = model.respond(MOLECULE)
    grid = molecular_grid(MOLECULE)
    values = found.response.values(grid.points)
    alpha = -torch.stack([grid.integral(grid.points[:, i, None] * values) for i in range(3)])
    assert torch.allclose(alpha, found.response.polarizability()[0], atol=2e-3 * float(alpha.abs().max()))
    assert grid.integral(values).abs().max() < 1e-3
    assert torch.equal(found.polarizability, found.polarizability.mT)


def test_an_atom_alone_is_polarizable_and_round(model):
    alpha = model.respond(Molecules.single([8], torch.zeros(1, 3, dtype=torch.float64))).polarizability[0]
    assert torch.allclose(alpha, alpha[0, 0] * torch.eye(3, dtype=torch.float64), atol=1e-12) and alpha[0, 0].abs() > 1e-4


def test_single_precision_far_from_the_origin(model):
    single = responsive().float()
    near = single.respond(MOLECULE).polarizability
    far = single.respond(MOLECULE.at(MOLECULE.positions + 3000.0)).polarizability
    assert torch.allclose(near, far, atol=1e-5 * float(near.abs().max()))


def test_slopes_of_alpha_along_the_atoms(model):
    step = torch.randn(MOLECULE.positions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    moved = MOLECULE.at(MOLECULE.positions.clone().requires_grad_())
    model.respond(moved).polarizability[0, 0, 1].backward()
    up, down = (model.respond(MOLECULE.at(MOLECULE.positions + sign * 1e-4 * step)).polarizability[0, 0, 1] for sign in (1, -1))
    assert float((moved.positions.grad * step).sum()) == pytest.approx(float(up - down) / 2e-4, rel=1e-5)


def test_a_file_with_it_and_one_without(model, tmp_path):
    model.save(tmp_path / "with.safetensors")
    again = load(tmp_path / "with.safetensors")
    assert torch.equal(again.respond(MOLECULE).polarizability, model.respond(MOLECULE).polarizability)
    assert again.fingerprint() == model.fingerprint()
    found = again.with_response(MOLECULE)
    assert found.response is not None and torch.equal(found.energy, again(MOLECULE).energy) and not found.polarizability.requires_grad
    assert again(MOLECULE).polarizability is None, "a plain call costs what it did"
    bare = random_predictor(basis="small")
    bare.save(tmp_path / "without.safetensors")
    with pytest.raises(ResponseMissing, match="densnet train --response"):
        load(tmp_path / "without.safetensors").respond(MOLECULE)


def test_ase_gets_the_polarizability_in_e_angstrom2_per_volt(model):
    atoms = Atoms(numbers=ETHANOL, positions=MOLECULE.positions.numpy() / ANGSTROM, calculator=DensnetCalculator(model.with_response))
    atoms.get_potential_energy()
    expected = model.respond(MOLECULE).polarizability[0] * 0.529177210903**2 / 27.211386245988
    assert atoms.calc.results["polarizability"] == pytest.approx(expected.numpy(), rel=1e-6)
