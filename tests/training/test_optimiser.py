"""The optimiser: blind to the choice of axes, quick where the loss is ill-conditioned, silent where there is no gradient."""

import pytest
import torch

from densnet.training.optimiser import Soap


def descend(optimiser, weight, loss, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss(weight)
        value.backward()
        optimiser.step()
    return float(loss(weight).detach())


@pytest.fixture
def valley():
    """A least-squares loss over matrices whose curvature spans eight orders of magnitude along directions that are no axes."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=generator)).Q for _ in range(2))
    target = torch.randn(6, 6, dtype=torch.float64, generator=generator)
    scale = torch.logspace(0, -2, 6, dtype=torch.float64)
    return lambda weight: (scale[:, None] * (left @ (weight - target) @ right) * scale).square().sum()


def test_follows_a_valley_that_is_along_no_axis(valley):
    ours, theirs = (torch.zeros(6, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    found = descend(Soap([ours], lr=0.02), ours, valley, 300)
    adam = descend(torch.optim.Adam([theirs], lr=0.02), theirs, valley, 300)
    assert found < 0.05 * adam


def test_a_batch_of_matrices_is_treated_matrix_by_matrix():
    generator = torch.Generator().manual_seed(1)
    gradients = torch.randn(12, 3, 5, 4, generator=generator, dtype=torch.float64)
    batch = torch.zeros(3, 5, 4, dtype=torch.float64, requires_grad=True)
    single = torch.zeros(5, 4, dtype=torch.float64, requires_grad=True)
    together, alone = Soap([batch], lr=0.1), Soap([single], lr=0.1)
    for gradient in gradients:
        batch.grad, single.grad = gradient.clone(), gradient[1].clone()
        together.step()
        alone.step()
    assert torch.allclose(batch[1], single, atol=1e-8)


def test_directions_without_gradient_stay(valley):
    weight = torch.zeros(4, 4, requires_grad=True)
    optimiser = Soap([weight], lr=0.1)
    for _ in range(5):
        weight.grad = torch.zeros(4, 4)
        weight.grad[0, 0] = 1.0
        optimiser.step()
    assert weight[0, 0] < -0.3
    assert weight.flatten()[1:].abs().max() < 1e-3


def test_vectors_take_adam_steps():
    weight, other = (torch.zeros(5, requires_grad=True) for _ in range(2))
    ours, adam = Soap([weight], lr=0.1, betas=(0.9, 0.99)), torch.optim.Adam([other], lr=0.1, betas=(0.9, 0.99))
    for step in range(6):
        weight.grad = other.grad = torch.linspace(-1, 2, 5) + step
        ours.step()
        adam.step()
    assert torch.allclose(weight, other, atol=1e-5)
