import numpy as np
import pytest
import torch
from pyscf import dft, gto

from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density, MixedDensities, coulomb_error, overlap_error
from densnet.density.promolecule import shipped
from densnet.molecules import Molecules

WATER = torch.tensor([[0.1, 0.0, 0.2], [0.0, 1.4, -0.9], [0.2, -1.5, -0.8]], dtype=torch.float64)


@pytest.fixture
def basis():
    return DensityBasis.built_in("small", ["H", "O"])


def random_density(molecules, basis, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    coefficients = torch.randn(len(molecules.numbers), basis.width, dtype=torch.float64, generator=generator)
    return Density.of(molecules, basis, (0.1 * coefficients * basis.mask(molecules.numbers)).to(dtype))


@pytest.fixture
def pair(basis):
    """Water and, in the same batch, hydrogen."""
    hydrogen = torch.tensor([[3.0, 0.0, 0.0], [3.5, 1.3, 0.2]], dtype=torch.float64)
    molecules = Molecules.concatenate([Molecules.single([8, 1, 1], WATER), Molecules.single([1, 1], hydrogen)])
    return random_density(molecules, basis, 0)


def neutral(density):
    """The same density, its oxygen charged so that each molecule is neutral."""
    excess = density.electrons()
    first = torch.tensor([0, 3])
    unit = gaussians.charges(density.basis, density.exponents)[first, 4]
    coefficients = density.coefficients.clone()
    coefficients[first, 4] -= excess / unit
    return Density.of(density.molecules, density.basis, coefficients)


def quadrature(molecule):
    mol = gto.M(atom=list(zip(molecule.numbers.tolist(), molecule.positions.tolist())), unit="Bohr", basis="sto-3g", verbose=0)
    grids = dft.gen_grid.Grids(mol)
    grids.atom_grid = (90, 434)
    grids.build()
    return torch.as_tensor(grids.coords), torch.as_tensor(grids.weights)


def test_moments_are_those_of_the_values(pair):
    pair = neutral(pair)
    assert pair.electrons().abs().max() < 1e-12
    for density in pair.split():
        points, weights = quadrature(density.molecules)
        charge = -weights * density.values(points)
        torch.testing.assert_close(density.dipole()[0], charge @ points, rtol=0, atol=1e-5)
        masses = density.molecules.masses
        arm = points - (masses[:, None] * density.molecules.positions).sum(0) / masses.sum()
        second = torch.einsum("p,pi,pj->ij", charge, arm, arm)
        traceless = 0.5 * (3 * second - second.trace() * torch.eye(3))
        torch.testing.assert_close(density.quadrupole()[0], traceless, rtol=0, atol=1e-4)


def test_dipole_of_a_neutral_molecule_ignores_the_origin(pair):
    pair = neutral(pair)
    moved = Density.of(pair.molecules.at(pair.molecules.positions + 10.0), pair.basis, pair.coefficients)
    torch.testing.assert_close(moved.dipole(), pair.dipole(), rtol=0, atol=1e-11)
    torch.testing.assert_close(moved.quadrupole(), pair.quadrupole(), rtol=0, atol=1e-10)


def test_far_field_is_that_of_the_multipoles(pair):
    pair = neutral(pair)
    direction = torch.tensor([0.36, -0.48, 0.8], dtype=torch.float64)
    water = pair.split()[0]
    masses = water.molecules.masses
    centre = (masses[:, None] * WATER).sum(0) / masses.sum()
    r = 150.0
    expected = direction @ water.dipole()[0] / r**2 + direction @ water.quadrupole()[0] @ direction / r**3
    potential = water.potential((centre + r * direction)[None])[0]
    assert abs(potential - expected) < 3e-3 * abs(expected)


def test_potential_obeys_poisson(pair):
    step = 1e-3
    point = torch.tensor([0.7, 0.4, 0.3], dtype=torch.float64)
    points = torch.cat([point[None], point + step * torch.eye(3), point - step * torch.eye(3)])
    water = pair.split()[0]
    potential = water.potential(points)
    laplacian = (potential[1:].sum() - 6 * potential[0]) / step**2
    assert abs(laplacian / (4 * np.pi * water.total(point[None])[0]) - 1) < 1e-4


def test_total_is_promolecule_and_correction(pair):
    points = torch.randn(2, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(pair.total(points), pair.values(points) + shipped().values(pair.molecules, points))
    owner = torch.arange(2).repeat_interleave(9)
    torch.testing.assert_close(pair.total(points.flatten(0, 1), owner), pair.total(points).flatten(), rtol=1e-12, atol=1e-13)


def test_batch_equals_single(pair):
    for k, single in enumerate(pair.split()):
        torch.testing.assert_close(single.dipole()[0], pair.dipole()[k])
        torch.testing.assert_close(single.quadrupole()[0], pair.quadrupole()[k])
        points = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
        torch.testing.assert_close(single.potential(points), pair.potential(points, torch.full((4,), k)))


def test_errors_are_norms_of_the_difference(pair, basis):
    other = random_density(pair.molecules, basis, 5)
    for error, matrix in ((coulomb_error, gaussians.coulomb_matrix), (overlap_error, gaussians.overlap_matrix)):
        for k, (a, b) in enumerate(zip(pair.split(), other.split())):
            metric = matrix(basis, a.molecules.positions, a.exponents)
            difference = (a - b).coefficients.flatten()
            torch.testing.assert_close(error(pair, other)[k], difference @ metric @ difference)
        assert error(pair, pair).abs().max() == 0
    water, image = pair.split()[0], other.split()[0]
    points, weights = quadrature(water.molecules)
    squared = (weights * (water.values(points) - image.values(points)) ** 2).sum()
    torch.testing.assert_close(overlap_error(water, image)[0], squared, rtol=1e-4, atol=0)


def test_errors_between_different_exponents(pair):
    slightly = Density(pair.molecules, pair.basis, pair.coefficients, pair.exponents * (1 + 1e-3))
    wider = DensityBasis.of("wider", {"H": [(0, 0.3)], "O": [(0, 0.2), (1, 0.5)]})
    stranger = random_density(pair.molecules, wider, 6)
    points, weights = quadrature(pair.split()[0].molecules)
    for other in (slightly, stranger):
        water, image = pair.split()[0], other.split()[0]
        squared = (weights * (water.values(points) - image.values(points)) ** 2).sum()
        torch.testing.assert_close(overlap_error(pair, other)[0], squared, rtol=1e-4, atol=1e-9)
        assert (coulomb_error(pair, other) > 0).all()
        torch.testing.assert_close(coulomb_error(pair, other), coulomb_error(other, pair))


def test_sums_and_differences(pair, basis):
    other = random_density(pair.molecules, basis, 7)
    torch.testing.assert_close((pair - other + other).coefficients, pair.coefficients)
    large = DensityBasis.built_in("default", ["H", "O"])
    with pytest.raises(MixedDensities, match="'small'.*'default'"):
        pair - random_density(pair.molecules, large, 7)
    with pytest.raises(MixedDensities, match="different molecules"):
        pair + random_density(pair.molecules.at(pair.molecules.positions + 0.1), basis, 7)
    with pytest.raises(MixedDensities, match="different exponents"):
        pair - Density(pair.molecules, basis, pair.coefficients, 1.1 * pair.exponents)


def test_single_precision(pair):
    single = pair.to(dtype=torch.float32)
    assert single.dipole().dtype == torch.float32
    torch.testing.assert_close(single.dipole().double(), pair.dipole(), rtol=1e-4, atol=1e-4)
    points = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(2))
    assert single.total(points).dtype == torch.float32
    torch.testing.assert_close(single.total(points).double(), pair.total(points.double()), rtol=1e-3, atol=1e-4)


def test_everything_follows_coefficients_exponents_and_positions(pair):
    molecules = pair.molecules
    points = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mask = pair.basis.mask(molecules.numbers)

    def observables(scale, widths, positions):
        density = Density(molecules.at(positions), pair.basis, pair.coefficients * scale[:, None] * mask, pair.exponents * widths[:, None])
        return density.dipole(), density.quadrupole(), density.total(points), density.potential(points)

    ones = torch.ones(5, dtype=torch.float64)
    inputs = [ones.clone().requires_grad_(), ones.clone().requires_grad_(), molecules.positions.clone().requires_grad_()]
    assert torch.autograd.gradcheck(observables, inputs, fast_mode=True)
