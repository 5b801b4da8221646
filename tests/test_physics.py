"""Laws that every predictor must obey, checked on random weights in float64."""

import pytest
import torch

from densnet import symmetry, units
from densnet.molecules import Molecules
from tests.model.random_model import ETHANOL, random_predictor, scattered


@pytest.fixture(scope="module")
def predictor():
    return random_predictor()


@pytest.fixture(scope="module")
def molecule():
    return scattered(ETHANOL)


@pytest.fixture(scope="module")
def properties(predictor, molecule):
    return predictor(molecule)


def close(a, b, tolerance=1e-10):
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("proper", [True, False])
def test_rotations_and_inversion(predictor, molecule, properties, proper):
    rotation = symmetry.random_rotation(torch.Generator().manual_seed(1)) * (1 if proper else -1)
    turned = predictor(molecule.at(molecule.positions @ rotation.T))
    assert close(turned.energy, properties.energy)
    assert close(turned.forces, properties.forces @ rotation.T)
    assert close(turned.dipole, properties.dipole @ rotation.T)
    points = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 3
    assert close(turned.density.values(points @ rotation.T), properties.density.values(points))
    assert close(turned.density.exponents, properties.density.exponents)


def test_translation_and_permutation(predictor, molecule, properties):
    moved = predictor(molecule.at(molecule.positions + torch.tensor([11.0, -3.0, 5.0])))
    assert (
        close(moved.energy, properties.energy) and close(moved.forces, properties.forces) and close(moved.dipole, properties.dipole, 1e-9)
    )
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    shuffled = predictor(Molecules.single(molecule.numbers[order], molecule.positions[order]))
    assert close(shuffled.energy, properties.energy) and close(shuffled.forces, properties.forces[order])


def test_forces_are_the_slope_of_the_energy(predictor, molecule, properties):
    step, numeric = 1e-4, torch.zeros(9, 3, dtype=torch.float64)
    for atom in range(9):
        for axis in range(3):
            shift = torch.zeros(9, 3, dtype=torch.float64)
            shift[atom, axis] = step
            up, down = (predictor.without_forces(molecule.at(molecule.positions + s * shift)).energy for s in (1, -1))
            numeric[atom, axis] = -(up - down).item() / (2 * step)
    assert torch.allclose(numeric, properties.forces, atol=1e-8, rtol=1e-6)
    assert properties.forces.abs().max() > 1e-4


def test_a_molecule_does_not_feel_its_batch(predictor, molecule, properties):
    others = [scattered([8, 1, 1], seed=4), scattered([6, 8], seed=5)]
    batch = predictor(Molecules.concatenate([others[0], molecule, others[1]]))
    assert close(batch.energy[1:2], properties.energy, 1e-12)
    assert close(batch.forces[3:12], properties.forces, 1e-12)
    assert close(batch.dipole[1:2], properties.dipole, 1e-12)


def test_far_fragments_add_and_keep_their_electrons(predictor):
    water, methanal = scattered([8, 1, 1], seed=4), scattered([6, 8, 1, 1], seed=6)
    alone = [predictor(water), predictor(methanal)]
    shift = torch.tensor([30.0 * units.ANGSTROM, 0.0, 0.0], dtype=torch.float64)
    positions = torch.cat([water.positions, methanal.positions + shift])
    both = predictor(Molecules.single(torch.cat([water.numbers, methanal.numbers]), positions))
    assert close(both.energy, alone[0].energy + alone[1].energy, 1e-12)
    assert close(both.forces, torch.cat([alone[0].forces, alone[1].forces]), 1e-12)
    assert close(both.dipole, alone[0].dipole + alone[1].dipole, 1e-10)
    charges = both.density.charges()
    assert abs(charges[:3].sum()) < 1e-12 and abs(charges[3:].sum()) < 1e-12
    assert charges.abs().max() > 1e-4


def test_an_isolated_atom_is_its_promolecule(predictor):
    atom = predictor(Molecules.single([8], torch.zeros(1, 3, dtype=torch.float64)))
    assert not atom.density.coefficients.any() and not atom.dipole.any()


def test_smooth_at_the_cutoff(predictor):
    """Second derivative of the energy along a bond is continuous where the pair enters the cut-off."""
    cutoff = predictor.settings.density.cutoff * units.ANGSTROM

    def second(distance):
        r = torch.tensor(distance, dtype=torch.float64, requires_grad=True)
        positions = torch.stack([torch.zeros(3, dtype=torch.float64), torch.stack([r, 0 * r, 0 * r])])
        energy = predictor.without_forces(Molecules.single([6, 8], positions)).energy.sum()
        (first,) = torch.autograd.grad(energy, r, create_graph=True)
        return torch.autograd.grad(first, r)[0].item()

    assert second(cutoff + 1e-6) == 0.0
    near, nearer = abs(second(cutoff - 1e-2)), abs(second(cutoff - 1e-3))
    assert nearer < 0.2 * near < 1e-3
    assert abs(second(0.5 * cutoff)) > 1e-5


def test_energy_reads_coefficients_of_every_l_and_the_widths(predictor, molecule):
    with torch.no_grad():
        geometry = predictor.geometry(molecule)
        output = predictor.density_network(geometry)
        energy = predictor.energy_network(output, geometry).sum()
        for l in range(predictor.basis.l_max + 1):
            changed = output.coefficients.clone()
            changed[:, predictor.basis.block(l)] *= 1.1
            assert abs(predictor.energy_network(output._replace(coefficients=changed), geometry).sum() - energy) > 1e-9
        assert abs(predictor.energy_network(output._replace(widths=output.widths * 1.1), geometry).sum() - energy) > 1e-9
