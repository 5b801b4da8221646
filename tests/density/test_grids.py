"""The integration grid: exact rules, closed-form integrals, and electrons of real densities."""

import math

import numpy as np
import pytest
import torch
from pyscf import dft, gto

from densnet.density.grids import GridError, becke_share, molecular_grid, sphere, treutler_radii
from densnet.density.orbitals import Orbitals
from densnet.molecules import Molecules
from densnet.symmetry import solid_harmonics

pytestmark = pytest.mark.usefixtures("double_precision")
WATER = Molecules.single([8, 1, 1], [[0.0, 0.0, 0.22], [0.1, 1.52, -0.88], [0.0, -1.43, -0.88]])


@pytest.fixture(scope="module")
def orbitals() -> Orbitals:
    atoms = list(zip(WATER.numbers.tolist(), WATER.positions.tolist()))
    calculation = dft.RKS(gto.M(atom=atoms, unit="Bohr", basis="aug-cc-pvdz", verbose=0), xc="pbe").density_fit().run()
    return Orbitals(WATER, torch.as_tensor(calculation.mo_coeff[:, calculation.mo_occ > 0]))


def test_sphere_integrates_products_of_harmonics_exactly():
    directions, solid_angles = sphere(302)
    harmonics = solid_harmonics(directions, 14)
    torch.testing.assert_close((harmonics * solid_angles[:, None]).T @ harmonics, torch.eye(225), atol=1e-12, rtol=0)


def test_radii_integrate_gaussians_of_all_widths():
    radii, lengths = treutler_radii(40)
    for alpha in (0.1, 1.0, 30.0, 1000.0):
        value = float((lengths * radii**2 * torch.exp(-alpha * radii**2)).sum()) * 4 * math.pi
        assert value == pytest.approx((math.pi / alpha) ** 1.5, rel=1e-5)


def test_shares_add_up_to_one_and_belong_to_the_near_atom():
    points = 3 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    share = becke_share(points, WATER.positions, WATER.numbers)
    torch.testing.assert_close(share.sum(1), torch.ones(200))
    assert (share >= 0).all()
    torch.testing.assert_close(becke_share(WATER.positions, WATER.positions, WATER.numbers), torch.eye(3), atol=1e-12, rtol=0)


def test_electrons_and_dipole_of_a_dft_density(orbitals):
    grid = molecular_grid(WATER)
    density = orbitals.values(grid.points)
    assert float(grid.integral(density)) == pytest.approx(10, abs=1e-5)
    atoms = list(zip(WATER.numbers.tolist(), WATER.positions.tolist()))
    mol = gto.M(atom=atoms, unit="Bohr", basis="aug-cc-pvdz", verbose=0)
    first = 2 * np.einsum("xmn,mi,ni->x", mol.intor("int1e_r"), orbitals.coefficients, orbitals.coefficients)
    np.testing.assert_allclose(grid.integral(density[:, None] * grid.points).numpy(), first, atol=1e-5)


def test_integral_of_an_absolute_difference_is_converged(orbitals):
    """A kinked integrand, worse than a density error (nodal planes through the nuclei): the default grid against one six times as large."""
    shift = torch.tensor([[0.004, -0.003, 0.002], [0.0, 0.006, 0.0], [0.003, 0.0, -0.005]])
    moved = Orbitals(WATER.at(WATER.positions + shift), orbitals.coefficients)
    values = []
    for grid in (molecular_grid(WATER), molecular_grid(WATER, radial=110, angular=974)):
        values.append(float(grid.integral((moved.values(grid.points) - orbitals.values(grid.points)).abs())))
    assert values[0] == pytest.approx(values[1], rel=2e-3)


def test_errors():
    with pytest.raises(GridError, match="no Lebedev grid with 300 points is available; choose one of 6, 14"):
        molecular_grid(WATER, angular=300)
    with pytest.raises(GridError, match="batch of 2"):
        molecular_grid(Molecules.concatenate([WATER, WATER]))
