import math

import mpmath
import numpy as np
import pytest
import torch
from pyscf import gto

from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.molecules import SYMBOLS, Molecules
from densnet.symmetry import random_rotation, rotation_matrix

NUMBERS = torch.tensor([6, 8, 1, 1])


@pytest.fixture
def basis():
    """Every l from 0 to 5, steep and diffuse, different on each element."""
    return DensityBasis.of(
        "mixed",
        {
            "C": [(0, 900.0), (0, 2.0), (0, 0.1), (1, 1.3), (1, 0.2), (2, 0.8), (3, 0.9), (4, 0.5), (5, 1.1)],
            "O": [(0, 30.0), (0, 0.15), (1, 2.3), (2, 3.0), (2, 0.3), (3, 1.5), (4, 1.6), (5, 0.4)],
            "H": [(0, 5.0), (0, 0.2), (1, 0.7), (2, 1.0), (3, 0.6)],
        },
    )


@pytest.fixture
def positions():
    generator = torch.Generator().manual_seed(1)
    positions = 1.5 * torch.randn(4, 3, dtype=torch.float64, generator=generator)
    positions[3] = positions[0] + torch.tensor([0.0, 0.0, 1e-4])
    return positions


@pytest.fixture
def exponents(basis):
    """Changed atom by atom, as a flexible basis does."""
    generator = torch.Generator().manual_seed(2)
    reference = basis.exponents(NUMBERS)
    return reference * torch.exp(0.3 * torch.randn(reference.shape, dtype=torch.float64, generator=generator))


@pytest.fixture
def coefficients(basis):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(4, basis.width, dtype=torch.float64, generator=generator) * basis.mask(NUMBERS)


def as_pyscf(basis, positions, exponents):
    """The same functions in PySCF, and where it keeps each of ours (its p functions run x, y, z)."""
    shells, atoms = {}, []
    for i, mask in enumerate(basis.slot_mask(NUMBERS)):
        label = f"{SYMBOLS[NUMBERS[i]]}{i}"
        shells[label] = [[l, [float(exponents[i, s]), 1.0]] for s, (l, _) in enumerate(basis.slots) if mask[s]]
        atoms.append((label, positions[i].tolist()))
    mol = gto.M(atom=atoms, basis=shells, unit="Bohr", spin=None, verbose=0)
    order = []
    for shell, start in zip(range(mol.nbas), mol.ao_loc.tolist()):
        l = mol.bas_angular(shell)
        order += [start + m for m in ((1, 2, 0) if l == 1 else range(2 * l + 1))]
    return mol, np.array(order)


def assert_close(ours, theirs, tolerance=1e-10):
    assert np.abs(np.asarray(ours) - theirs).max() < tolerance * np.abs(theirs).max()


def test_boys_function_against_arbitrary_precision():
    x = torch.cat([torch.zeros(1), torch.logspace(-12, 5, 120), torch.linspace(0.1, 50, 120)]).double()
    for n in (0, 1, 5, 10, 13):
        exact = [float(mpmath.hyp1f1(n + 0.5, n + 1.5, -mpmath.mpf(v)) / (2 * n + 1)) for v in x.tolist()]
        assert np.abs(gaussians.boys(n, x).numpy() / np.array(exact) - 1).max() < 1e-13


def test_boys_function_differentiates_any_number_of_times():
    x = torch.tensor([0.0, 0.2, 0.5, 3.0, 40.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: gaussians.boys(2, v + 1e-3), x)
    assert torch.autograd.gradgradcheck(lambda v: gaussians.boys(2, v + 1e-3), x)


@pytest.mark.parametrize(("ours", "theirs"), [(gaussians.overlap_matrix, "int1e_ovlp"), (gaussians.coulomb_matrix, "int2c2e")])
def test_two_centre_integrals_against_pyscf(basis, positions, exponents, ours, theirs):
    mol, order = as_pyscf(basis, positions, exponents)
    mask = basis.mask(NUMBERS).flatten()
    matrix = ours(basis, positions, exponents)
    torch.testing.assert_close(matrix, matrix.T, rtol=1e-13, atol=1e-13)
    assert_close(matrix[mask][:, mask], mol.intor(theirs)[np.ix_(order, order)])


def test_the_default_basis_against_pyscf(positions):
    basis = DensityBasis.built_in("default", ["H", "C", "O"])
    mol, order = as_pyscf(basis, positions, basis.exponents(NUMBERS))
    mask = basis.mask(NUMBERS).flatten()
    ours = gaussians.coulomb_matrix(basis, positions, basis.exponents(NUMBERS))[mask][:, mask]
    assert_close(ours, mol.intor("int2c2e")[np.ix_(order, order)])


def test_a_batch_of_molecules_and_two_bases(basis, positions, exponents):
    both = gaussians.coulomb_matrix(basis, torch.stack([positions, 1.1 * positions]), torch.stack([exponents, exponents]))
    torch.testing.assert_close(both[1], gaussians.coulomb_matrix(basis, 1.1 * positions, exponents), rtol=1e-13, atol=1e-13)
    round_basis = DensityBasis.of("round", {symbol: [(0, 0.7), (0, 0.3)] for symbol in "HCO"})
    width, other, vectors = basis.width, round_basis.exponents(NUMBERS), positions[:1] - positions[1:2]
    block = gaussians.pair_blocks(gaussians.overlap_radial, (basis, round_basis), (exponents[:1], other[1:2]), vectors)
    joined = torch.cat([exponents[:1, : basis.counts[0]], other[1:2]], dim=1)
    s_only = DensityBasis.of("s", {"C": [(0, 1.0 + i) for i in range(joined.shape[1])]})
    whole = gaussians.overlap_matrix(s_only, positions[:2], joined.expand(2, -1))
    expected = whole[: basis.counts[0], s_only.width + basis.counts[0] :]
    assert block.shape == (1, width, 2)
    torch.testing.assert_close(block[0, : basis.counts[0]], expected, rtol=1e-13, atol=1e-13)


def test_values_and_potentials_against_pyscf(basis, positions, exponents, coefficients):
    mol, order = as_pyscf(basis, positions, exponents)
    mask = basis.mask(NUMBERS)
    points = 2.0 * torch.randn(300, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    points[0] = positions[0]
    vectors = points[None] - positions[:, None]
    ours = gaussians.values(basis, coefficients, exponents, vectors).sum(0)
    assert_close(ours, mol.eval_gto("GTOval_sph", points.numpy())[:, order] @ coefficients[mask].numpy())
    ours = gaussians.potentials(basis, coefficients, exponents, vectors).sum(0)
    charges = gto.fakemol_for_charges(points.numpy())
    theirs = gto.mole.intor_cross("int2c2e", mol, charges)[order]
    assert_close(ours, coefficients[mask].numpy() @ theirs, 1e-9)  # PySCF's point charges are Gaussians of exponent 1e16


def test_moments_against_pyscf(basis, positions, exponents, coefficients):
    mol, order = as_pyscf(basis, positions, exponents)
    mask = basis.mask(NUMBERS)
    flat = gto.M(atom=[("H", (0, 0, 0))], basis={"H": [[0, [1e-14, 1.0]]]}, unit="Bohr", spin=1, verbose=0)
    height = flat.eval_gto("GTOval_sph", np.zeros((1, 3)))[0, 0]
    charges = gto.mole.intor_cross("int1e_ovlp", mol, flat)[order, 0] / height
    firsts = gto.mole.intor_cross("int1e_r", mol, flat)[:, order, 0].T / height
    assert_close(gaussians.charge_vector(basis, exponents)[mask], charges)
    assert_close(gaussians.dipole_vector(basis, exponents, positions)[mask], firsts)
    c = coefficients[mask].numpy()
    seconds = np.einsum("w,xyw->xy", c, gto.mole.intor_cross("int1e_rr", mol, flat)[:, order, 0].reshape(3, 3, -1)) / height
    charge, first, traceless = gaussians.multipoles(basis, coefficients, exponents)
    moved = 3 * (first[:, :, None] * positions[:, None] + positions[:, :, None] * first[:, None])
    moved = moved + 3 * charge[:, None, None] * positions[:, :, None] * positions[:, None]
    trace = moved.diagonal(dim1=1, dim2=2).sum(-1)[:, None, None] * torch.eye(3) / 3
    ours = (traceless + 0.5 * (moved - trace)).sum(0)
    assert_close(ours, 0.5 * (3 * seconds - np.trace(seconds) * np.eye(3)))


def test_moments_agree_with_closed_forms():
    exponents = torch.tensor([[0.3, 2.0, 0.7]], dtype=torch.float64)
    basis = DensityBasis.of("sp", {"H": [(0, 2.0), (0, 0.3), (1, 0.7)]})
    n0 = gaussians.norms(0, exponents[:, :2])
    n1 = gaussians.norms(1, exponents[:, 2:])
    torch.testing.assert_close(gaussians.charges(basis, exponents), (math.pi / exponents[:, :2]) ** 1.5 * n0 / math.sqrt(4 * math.pi))
    p = 0.5 * math.pi**1.5 * exponents[:, 2:] ** -2.5 * n1 * math.sqrt(3 / (4 * math.pi))
    torch.testing.assert_close(gaussians.dipoles(basis, exponents), p)


@pytest.mark.parametrize("matrix", [gaussians.overlap_matrix, gaussians.coulomb_matrix])
def test_integrals_differentiate_twice(matrix):
    basis = DensityBasis.of("tiny", {"H": [(0, 0.6), (1, 0.5)], "O": [(0, 2.0), (2, 0.9)]})
    exponents = basis.exponents(torch.tensor([8, 1])).requires_grad_()
    positions = torch.tensor([[0.1, 0.2, -0.3], [0.9, -0.4, 1.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2 * basis.width, 2 * basis.width, dtype=torch.float64, generator=torch.Generator().manual_seed(5))

    def energy(x, a):
        return (matrix(basis, x, a) * weights).sum()

    assert torch.autograd.gradcheck(energy, (positions, exponents))
    assert torch.autograd.gradgradcheck(energy, (positions, exponents), fast_mode=True)


@pytest.mark.parametrize("function", [gaussians.values, gaussians.potentials])
def test_values_differentiate_twice(function):
    basis = DensityBasis.of("tiny", {"H": [(0, 0.6), (1, 0.5), (3, 0.4)]})
    exponents = basis.exponents(torch.tensor([1])).requires_grad_()
    coefficients = torch.randn(1, basis.width, dtype=torch.float64, generator=torch.Generator().manual_seed(6)).requires_grad_()
    vectors = torch.randn(1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(7)).requires_grad_()
    assert torch.autograd.gradcheck(lambda c, a, v: function(basis, c, a, v), (coefficients, exponents, vectors))
    assert torch.autograd.gradgradcheck(lambda c, a, v: function(basis, c, a, v), (coefficients, exponents, vectors))


def test_everything_turns_with_the_molecule(basis, positions, exponents, coefficients):
    rotation = -random_rotation(torch.Generator().manual_seed(8))
    rows = [
        torch.einsum("ij,anj->ani", rotation_matrix(l, rotation), coefficients[:, basis.block(l)].unflatten(1, (n, -1))).flatten(1)
        for l, n in enumerate(basis.counts)
    ]
    turned = torch.cat(rows, dim=1)
    for matrix in (gaussians.overlap_matrix, gaussians.coulomb_matrix):
        before = coefficients.flatten() @ matrix(basis, positions, exponents) @ coefficients.flatten()
        after = turned.flatten() @ matrix(basis, positions @ rotation.T, exponents) @ turned.flatten()
        torch.testing.assert_close(after, before, rtol=1e-11, atol=0)
    vectors = torch.randn(4, 20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    for function in (gaussians.values, gaussians.potentials):
        before, after = function(basis, coefficients, exponents, vectors), function(basis, turned, exponents, vectors @ rotation.T)
        torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10)
    charge, first, second = gaussians.multipoles(basis, coefficients, exponents)
    charge_after, first_after, second_after = gaussians.multipoles(basis, turned, exponents)
    torch.testing.assert_close(charge_after, charge)
    torch.testing.assert_close(first_after, first @ rotation.T)
    torch.testing.assert_close(second_after, rotation @ second @ rotation.T)


def test_single_precision_follows_double(basis, positions, exponents, coefficients):
    single = [t.float() for t in (positions, exponents, coefficients)]
    for matrix in (gaussians.overlap_matrix, gaussians.coulomb_matrix):
        ours = matrix(basis, single[0], single[1])
        assert ours.dtype == torch.float32
        assert_close(ours, matrix(basis, positions, exponents).numpy(), 1e-5)
    vectors = torch.randn(4, 50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(10))
    for function in (gaussians.values, gaussians.potentials):
        ours = function(basis, single[2], single[1], vectors.float())
        assert ours.dtype == torch.float32
        assert_close(ours, function(basis, coefficients, exponents, vectors).numpy(), 1e-5)


def test_points_find_their_molecule(basis, positions, exponents, coefficients):
    molecules = Molecules.concatenate([Molecules.single(NUMBERS[:3], positions[:3]), Molecules.single(NUMBERS[3:], positions[3:] + 2.0)])
    owner = torch.tensor([1, 0, 0, 1, 0])
    points = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(11))
    ours = gaussians.at_points(lambda v: gaussians.values(basis, coefficients, exponents, v), molecules, points, owner)
    for value, point, molecule in zip(ours, points, owner):
        own = molecules.owner == molecule
        vectors = point - molecules.positions[own][:, None]
        torch.testing.assert_close(value, gaussians.values(basis, coefficients[own], exponents[own], vectors).sum())
    with pytest.raises(ValueError, match="point_owner"):
        gaussians.at_points(lambda v: v.sum(-1), molecules, points)
