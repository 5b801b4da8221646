"""What is made of frozen weights once per batch must follow every change of the weights."""

import torch

from tests.model.random_model import ETHANOL, random_predictor, scattered


def test_frozen_and_learning_weights_give_the_same_numbers():
    molecule = scattered(ETHANOL)
    learning, frozen = random_predictor().requires_grad_(True), random_predictor().requires_grad_(False)
    expected = learning(molecule)
    for _ in range(2):
        found = frozen(molecule)
        assert torch.equal(found.energy, expected.energy) and torch.allclose(found.forces, expected.forces, rtol=1e-12, atol=1e-14)


def test_a_changed_weight_is_noticed():
    molecule, predictor = scattered(ETHANOL), random_predictor().requires_grad_(False)
    before = predictor(molecule).energy
    for parameter in (predictor.energy_network.last[0].weight, predictor.density_network.layers[0].out.weights[0]):
        parameter.mul_(1.5)
        after = predictor(molecule).energy
        assert not torch.equal(after, before)
        assert torch.equal(after, predictor.requires_grad_(True)(molecule).energy.detach())
        predictor.requires_grad_(False)
        before = after


def test_another_precision_and_other_references_are_noticed():
    molecule, predictor = scattered(ETHANOL), random_predictor().requires_grad_(False)
    double = predictor(molecule).energy
    single = predictor.float()(molecule).energy
    assert not torch.equal(double, single) and torch.allclose(double, single, rtol=1e-6)
    network = predictor.energy_network
    network.set_statistics(tuple(x + 1.0 for x in network.reference), network.scale)
    assert torch.allclose(predictor(molecule).energy, single + len(ETHANOL), rtol=1e-12)


def test_each_batch_has_its_own():
    one, other = scattered(ETHANOL), scattered(ETHANOL[::-1], seed=1)
    predictor = random_predictor().requires_grad_(False)
    first, second = predictor(one).energy, predictor(other).energy
    assert torch.equal(predictor(one).energy, first) and torch.equal(predictor(other).energy, second)
    assert torch.equal(random_predictor().requires_grad_(False)(other).energy, second)
