"""Sampled points estimate integrals without bias, in cores and in tails; the density error is what a grid says it is."""

import math

import pytest
import torch
from pyscf import dft, gto

from densnet.dataset.points import correction, density_error, sample, scatter
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.grids import molecular_grid
from densnet.density.orbitals import Orbitals
from densnet.density.promolecule import shipped
from densnet.molecules import Molecules

pytestmark = pytest.mark.usefixtures("double_precision")
WATER = Molecules.single([8, 1, 1], [[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]])


@pytest.fixture(scope="module")
def orbitals() -> Orbitals:
    symbols = {8: "O", 1: "H"}
    atoms = [(symbols[z], x) for z, x in zip(WATER.numbers.tolist(), WATER.positions.tolist())]
    field = dft.RKS(gto.M(atom=atoms, unit="Bohr", basis="aug-cc-pvdz", verbose=0), xc="pbe").density_fit().run()
    return Orbitals(WATER, torch.as_tensor(field.mo_coeff[:, field.mo_occ > 0]))


def estimates(count: int, repeats: int, function) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    values = []
    for _ in range(repeats):
        positions, weights = scatter(WATER, count, generator)
        values.append((weights * function(positions)).sum())
    return torch.stack(values)


OXYGEN, HYDROGEN, BETWEEN = WATER.positions[0], WATER.positions[1], torch.tensor([0.5, 0.5, 0.0])
STEEP_AT_NUCLEI = [(alpha, centre) for alpha in (0.1, 1.0, 50.0, 2000.0) for centre in (OXYGEN, HYDROGEN)]


@pytest.mark.parametrize("alpha, centre", [*STEEP_AT_NUCLEI, (0.1, BETWEEN), (5.0, BETWEEN)])
@pytest.mark.parametrize("count", [37, 250])
def test_a_gaussian_is_counted_without_bias(alpha, centre, count):
    """Steep at a nucleus, diffuse, between the atoms: the mean of many estimates is 1 within three standard errors."""

    def gaussian(points):
        return (alpha / math.pi) ** 1.5 * torch.exp(-alpha * (points - centre).square().sum(-1))

    values = estimates(count, 100, gaussian)
    assert abs(float(values.mean()) - 1) < 3 * float(values.std()) / 10


def test_promolecule_error_agrees_with_the_grid_and_scatters_little(orbitals):
    grid = molecular_grid(WATER)
    exact = float(grid.integral(correction(orbitals, grid.points).abs()))
    values = estimates(2000, 60, lambda points: correction(orbitals, points).abs())
    assert abs(float(values.mean()) - exact) < 3 * float(values.std()) / math.sqrt(60) + 1e-3 * exact
    assert float(values.std()) < 0.015 * exact


def test_samples_carry_the_exact_correction_and_follow_the_generator(orbitals):
    points = sample(orbitals, 101, torch.Generator().manual_seed(1))
    again = sample(orbitals, 101, torch.Generator().manual_seed(1))
    other = sample(orbitals, 101, torch.Generator().manual_seed(2))
    assert points.positions.shape == (101, 3) and points.weights.shape == points.correction.shape == (101,)
    torch.testing.assert_close(points.positions, again.positions, atol=0, rtol=0)
    assert not torch.allclose(points.positions, other.positions)
    torch.testing.assert_close(points.correction, orbitals.values(points.positions) - shipped().values(WATER, points.positions))
    assert torch.isfinite(points.weights).all() and (points.weights > 0).all()


def test_sampling_moves_and_permutes_with_the_molecule():
    """The weight is a property of space around the atoms: the same point has the same weight however the atoms are listed."""
    positions, weights = scatter(WATER, 60, torch.Generator().manual_seed(0))
    moved, same = scatter(WATER.at(WATER.positions + 3), 60, torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved, positions + 3)
    torch.testing.assert_close(same, weights)


def test_density_error_of_nothing_is_the_promolecules_own(orbitals):
    basis = DensityBasis.built_in("small", ["H", "O"])
    nothing = Density.of(WATER, basis, torch.zeros(3, basis.width))
    error = density_error(nothing, orbitals)
    assert error.percent_of_promolecule == pytest.approx(100, rel=1e-12)
    assert 9 < error.percent < 15


def test_density_error_is_the_integral_of_the_absolute_difference(orbitals):
    basis = DensityBasis.of("one", {"H": [(0, 40.0)], "O": [(0, 2.0)]})
    coefficients = torch.zeros(3, basis.width)
    grid = molecular_grid(WATER)
    exact = correction(orbitals, grid.points)
    coefficients[0, 0] = 0.3
    wrong = Density.of(WATER, basis, coefficients)
    expected = float((grid.weights * (wrong.values(grid.points) - exact).abs()).sum())
    error = density_error(wrong, orbitals, grid)
    assert error.percent == pytest.approx(10 * expected, rel=1e-12)
    assert error.percent / error.percent_of_promolecule == pytest.approx(float((grid.weights * exact.abs()).sum()) / 10, rel=1e-12)
    assert density_error(wrong.to(dtype=torch.float32), orbitals, grid).percent == pytest.approx(error.percent, rel=1e-4)


def test_a_subset_estimates_the_same_integral(orbitals):
    points = sample(orbitals, 400, torch.Generator().manual_seed(3))
    whole = float((points.weights * points.correction.abs()).sum())
    generator = torch.Generator().manual_seed(4)
    parts = [points.subset(100, generator) for _ in range(400)]
    values = torch.stack([(part.weights * part.correction.abs()).sum() for part in parts])
    assert all(len(part.weights) == 100 for part in parts)
    assert abs(float(values.mean()) - whole) < 3 * float(values.std()) / 20
    torch.testing.assert_close(points.subset(1000, generator).weights.sum(), points.weights.sum())
