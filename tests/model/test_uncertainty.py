"""What a model says of its own errors: closed forms, a sampled ensemble, rotations, files."""

import pytest
import torch

from densnet import units
from densnet.model.compiled import arithmetic, traced
from densnet.model.predictor import CheckpointError, load
from densnet.model.uncertainty import Calibration, UncertaintyMissing, inverse_root, root_variance, slopes
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.symmetry import random_rotation
from densnet.training.uncertainty import assess
from tests.model.random_model import ETHANOL, random_predictor, scattered

WATER = [8, 1, 1]


def waters(count, seed, spread=0.08):
    """Distorted waters."""
    generator = torch.Generator().manual_seed(seed)
    rest = torch.tensor([[0.0, 0.0, 0.1], [0.0, 1.45, -0.98], [0.0, -1.45, -0.98]], dtype=torch.float64)
    return [Molecules.single(WATER, rest + spread * torch.randn(3, 3, dtype=torch.float64, generator=generator)) for _ in range(count)]


def labelled(predictor, molecules, seed=3):
    """What the predictor says, with errors that grow with nothing: normal noise."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for molecule in molecules:
        said = predictor(molecule)
        noise = [0.01 * torch.randn(x.shape, dtype=torch.float64, generator=generator) for x in (said.energy, said.forces, said.dipole)]
        found.append(Properties(molecule, *(x + n for x, n in zip((said.energy, said.forces, said.dipole), noise))))
    return found


@pytest.fixture(scope="module")
def model():
    predictor = random_predictor(("H", "O"), basis="small", cutoff=5.0)
    predictor.uncertainty = assess(predictor, waters(60, 1), labelled(predictor, waters(30, 2)))
    return predictor.requires_grad_(False)


def test_variance_of_a_linear_model_is_the_closed_form():
    """Least squares of y = X w with noise s: the variance of x . w over data sets is s^2 x (X^T X)^-1 x."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(40, 5, dtype=torch.float64, generator=generator)
    truth, noise = torch.randn(5, dtype=torch.float64, generator=generator), 0.3
    targets = inputs @ truth[:, None] + noise * torch.randn(40, 20000, dtype=torch.float64, generator=generator)
    fitted = torch.linalg.lstsq(inputs, targets).solution
    new = torch.randn(3, 5, dtype=torch.float64, generator=generator)
    expected = root_variance(new, inverse_root(inputs.T @ inputs / noise**2))
    assert torch.allclose((new @ fitted).std(1), expected, rtol=0.02)


def test_a_sampled_ensemble_of_last_weights_has_these_deviations(model):
    """Energies and forces, by the ordinary backward pass, of members w + W z: their spread is the root of the variance."""
    molecule = waters(1, 5, spread=0.3)[0]
    rigidity, network = model.uncertainty, model.energy_network
    analytic_energy = root_variance(model.features(molecule).energy, rigidity.energy)
    analytic_forces = root_variance(slopes(lambda moved: model.features(moved).energy, molecule), rigidity.energy, vectors=True)
    generator = torch.Generator().manual_seed(1)
    kept = [last.weight.clone() for last in network.last]
    energies, forces = [], []
    for _ in range(150):
        change = rigidity.energy @ torch.randn(len(rigidity.energy), dtype=torch.float64, generator=generator)
        with torch.no_grad():
            for last, weight, part in zip(network.last, kept, change.split(network.settings.channels)):
                last.weight.copy_(weight + part)
        said = model(molecule)
        energies.append(said.energy.detach())
        forces.append(said.forces)
    with torch.no_grad():
        for last, weight in zip(network.last, kept):
            last.weight.copy_(weight)
    assert torch.allclose(torch.stack(energies).std(0), analytic_energy, rtol=0.2)
    spread = torch.stack(forces).var(0).mean(1).sqrt()
    assert torch.allclose(spread, analytic_forces, rtol=0.2)


def test_slopes_agree_with_finite_differences_also_in_a_mixed_batch(model):
    both = Molecules.concatenate([waters(1, 8)[0], Molecules.single([1, 1], [[0.0, 0, 0], [0, 0.3, 1.4]])])

    def features(molecules):
        return model.features(molecules).energy

    found = slopes(features, both)
    for atom, axis, step in ((0, 1, 1e-4), (4, 2, 1e-4)):
        ahead, behind = (both.positions.clone() for _ in range(2))
        ahead[atom, axis] += step
        behind[atom, axis] -= step
        change = (features(both.at(ahead)) - features(both.at(behind)))[int(both.owner[atom])] / (2 * step)
        assert torch.allclose(found[atom, axis], change, rtol=1e-5, atol=1e-9)


def test_rotation_inversion_and_batches_change_nothing(model):
    molecule = waters(1, 9)[0]
    turned = molecule.at(-molecule.positions @ random_rotation(torch.Generator().manual_seed(4)).T + 3.0)
    one, other = (model.with_force_uncertainty(m).uncertainty for m in (molecule, turned))
    many = model.with_force_uncertainty(Molecules.concatenate([*waters(2, 10), molecule])).uncertainty
    for name in ("energy", "dipole", "novelty", "forces"):
        value = getattr(one, name)
        assert torch.allclose(value, getattr(other, name), rtol=1e-7), name
        assert torch.allclose(value, getattr(many, name)[-len(value) :], rtol=1e-7), name


def test_it_grows_along_a_stretched_bond(model):
    rest = waters(1, 11, spread=0.0)[0]
    along = (rest.positions[1] - rest.positions[0]) / (rest.positions[1] - rest.positions[0]).norm()
    said = []
    for stretch in (0.0, 0.4, 0.8):
        positions = rest.positions.clone()
        positions[1] += stretch * along
        said.append(model.with_force_uncertainty(rest.at(positions)).uncertainty)
    for values in ([float(u.energy) for u in said], [float(u.forces.max()) for u in said], [float(u.novelty) for u in said]):
        assert values == sorted(values) and values[-1] > 1.3 * values[0]


def test_energy_and_forces_do_not_change_by_it(model):
    bare = random_predictor(("H", "O"), basis="small", cutoff=5.0).requires_grad_(False)
    molecule = waters(1, 12)[0]
    one, other = model(molecule), bare(molecule)
    assert torch.equal(one.energy, other.energy) and torch.equal(one.forces, other.forces) and other.uncertainty is None
    assert one.uncertainty.forces is None


def test_a_file_carries_it(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    molecule = waters(1, 13)[0]
    here, there = (m.with_force_uncertainty(molecule).uncertainty for m in (model, load(tmp_path / "model.safetensors")))
    assert all(torch.equal(getattr(here, name), getattr(there, name)) for name in ("energy", "dipole", "novelty", "forces"))


def test_a_file_without_it_loads_and_says_what_to_do(tmp_path):
    random_predictor().save(tmp_path / "old.safetensors")
    old = load(tmp_path / "old.safetensors")
    assert old(scattered(ETHANOL)).uncertainty is None
    with pytest.raises(UncertaintyMissing, match="--calibrate"):
        old.with_force_uncertainty(scattered(ETHANOL))


def test_a_file_with_half_of_it_is_damaged(model, tmp_path):
    from tests.model.test_predictor import rewritten

    whole, half = tmp_path / "model.safetensors", tmp_path / "half.safetensors"
    model.save(whole)
    rewritten(whole, half, lambda header, tensors: tensors.pop("uncertainty.dipole"))
    with pytest.raises(CheckpointError, match="uncertainty"):
        load(half)


def test_what_is_compiled_says_the_same(model):
    batch = Molecules.concatenate(waters(3, 14))
    neighbours = model.neighbours_of(batch)
    absent = torch.zeros_like(neighbours.sender, dtype=torch.bool)
    arguments = (batch.positions, neighbours.sender, absent)
    *_, energy, dipole, novelty = traced(arithmetic(model, batch), arguments)(*arguments)
    direct = model(batch).uncertainty
    assert torch.allclose(energy, direct.energy) and torch.allclose(dipole, direct.dipole) and torch.allclose(novelty, direct.novelty)


def test_units_of_a_calibration():
    """At the typical root variance the deviation is the calibrated one; twice as far, 2^power of it."""
    calibration = Calibration(typical=0.5, deviation=units.MEV, power=2.0)
    assert calibration(torch.tensor([0.5, 1.0], dtype=torch.float64)).tolist() == pytest.approx([units.MEV, 4 * units.MEV])
