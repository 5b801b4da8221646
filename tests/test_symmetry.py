"""One order, one sign, one norm: harmonics against e3nn, PySCF-like closed forms, rotations and Gaunt sums."""

import math

import numpy as np
import pytest
import torch

from densnet import symmetry


def test_low_orders_have_their_closed_forms():
    r = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, y, z = r.T
    s = symmetry.solid_harmonics(r, 2)
    p, d = math.sqrt(3 / (4 * math.pi)), math.sqrt(15 / (4 * math.pi))
    expected = [
        p * y,
        p * z,
        p * x,
        d * x * y,
        d * y * z,
        d / math.sqrt(12) * (2 * z * z - x * x - y * y),
        d * x * z,
        d / 2 * (x * x - y * y),
    ]
    assert torch.allclose(s[:, 1:], torch.stack(expected, 1), atol=1e-13)


@pytest.mark.parametrize("at_once", [False, True])
def test_agrees_with_e3nn_up_to_order_six(at_once):
    o3 = pytest.importorskip("e3nn.o3")
    r = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    theirs = o3.spherical_harmonics(list(range(7)), r[:, [1, 2, 0]], normalize=False, normalization="integral")
    assert torch.allclose(symmetry.solid_harmonics(r, 6, at_once=at_once), theirs, atol=1e-11, rtol=1e-11)
    assert torch.allclose(symmetry.solid_harmonics(r, 0, at_once=at_once), theirs[:, :1])


@pytest.mark.parametrize("l", range(11))
def test_orthonormal_and_rotates(l):
    points, weights = (torch.as_tensor(a) for a in symmetry._sphere_quadrature(2 * l))
    s = symmetry.solid_harmonics(points, l)[:, symmetry.block(l)]
    assert torch.allclose((s * weights[:, None]).T @ s, torch.eye(2 * l + 1, dtype=torch.float64), atol=1e-11)
    g = torch.Generator().manual_seed(l)
    rotation = symmetry.random_rotation(g)
    r = torch.randn(7, 3, dtype=torch.float64, generator=g)
    rotated = symmetry.solid_harmonics(r @ rotation.T, l)[:, symmetry.block(l)]
    matrix = symmetry.rotation_matrix(l, rotation)
    assert torch.allclose(rotated, symmetry.solid_harmonics(r, l)[:, symmetry.block(l)] @ matrix.T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("l1,l2", [(1, 1), (1, 2), (2, 2), (3, 2), (5, 5)])
def test_gaunt_expands_a_product_of_harmonics(l1, l2):
    r = torch.nn.functional.normalize(torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)), dim=1)
    s = symmetry.solid_harmonics(r, l1 + l2).numpy()
    product = s[:, symmetry.block(l1), None] * s[:, None, symmetry.block(l2)]
    expansion = sum(np.einsum("abc,pc->pab", symmetry.gaunt(l1, l2, l), s[:, symmetry.block(l)]) for l in range(l1 + l2 + 1))
    assert np.allclose(product, expansion, atol=1e-12)


def test_gaunt_vanishes_outside_the_triangle_and_for_odd_sums():
    assert not symmetry.gaunt(1, 1, 1).any() and not symmetry.gaunt(1, 1, 3).any()
    assert not symmetry.couples(1, 1, 1) and not symmetry.couples(1, 1, 3) and symmetry.couples(2, 2, 4)


@pytest.mark.parametrize("at_once", [False, True])
def test_derivatives_are_exact(at_once):
    r = torch.randn(4, 3, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(3))
    assert torch.autograd.gradcheck(lambda x: symmetry.solid_harmonics(x, 4, at_once=at_once), r)
    assert torch.autograd.gradgradcheck(lambda x: symmetry.solid_harmonics(x, 3, at_once=at_once), r)
