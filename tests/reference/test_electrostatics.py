"""Quadrupole and potential of a label's orbitals: against PySCF called plainly, a closed form, and a density fitted to them."""

import numpy as np
import pytest
import torch
from pyscf import dft, gto

from densnet import units
from densnet.density.basis import DensityBasis
from densnet.density.grids import molecular_grid, shell
from densnet.density.orbitals import Orbitals
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.reference.electrostatics import potential, quadrupole
from densnet.reference.fitting import fit
from densnet.training.objective import Exact, evaluate

pytestmark = pytest.mark.usefixtures("double_precision")
WATER = Molecules.single([8, 1, 1], [[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]])
EXACT = Exact(quadrupole, potential)


@pytest.fixture(scope="module")
def field():
    atoms = [("OHH"[k], x) for k, x in enumerate(WATER.positions.tolist())]
    return dft.RKS(gto.M(atom=atoms, unit="Bohr", basis="aug-cc-pvdz", verbose=0), xc="pbe").density_fit().run()


@pytest.fixture(scope="module")
def orbitals(field) -> Orbitals:
    return Orbitals(WATER, torch.as_tensor(field.mo_coeff[:, field.mo_occ > 0]))


def test_quadrupole_against_pyscf_and_a_grid(field, orbitals):
    centre = (WATER.masses @ WATER.positions) / WATER.masses.sum()
    theirs = field.quad_moment(unit="AU", origin=centre.numpy(), verbose=0)  # traceless, 1/2 sum q (3 r r - r^2)
    np.testing.assert_allclose(quadrupole(orbitals)[0].numpy(), theirs, atol=1e-9)
    grid = molecular_grid(WATER)
    arm, density = grid.points - centre, orbitals.values(grid.points)
    nuclei = WATER.positions - centre
    second = torch.einsum("a,ax,ay->xy", WATER.numbers.double(), nuclei, nuclei)
    second -= grid.integral(density[:, None, None] * arm[:, :, None] * arm[:, None, :])
    traceless = 1.5 * second - 0.5 * second.trace() * torch.eye(3)
    np.testing.assert_allclose(quadrupole(orbitals)[0].numpy(), traceless.numpy(), atol=1e-3)


def test_potential_against_pyscf_one_point_at_a_time(field, orbitals):
    points = shell(WATER, 2.0, 9.0, 12)
    for point, value in zip(points, potential(orbitals, points)):
        with field.mol.with_rinv_origin(point.numpy()):
            electrons = np.einsum("ij,ij", field.mol.intor("int1e_rinv"), field.make_rdm1())
        nuclei = float((WATER.numbers / (point - WATER.positions).norm(dim=1)).sum())
        assert float(value) == pytest.approx(nuclei - electrons, abs=1e-10)


def test_far_away_the_potential_is_that_of_dipole_and_quadrupole(field, orbitals):
    centre = (WATER.masses @ WATER.positions) / WATER.masses.sum()
    direction = torch.tensor([0.48, 0.6, 0.64])
    dipole = torch.as_tensor(field.dip_moment(unit="AU", verbose=0))
    r = 200.0
    expected = dipole @ direction / r**2 + direction @ quadrupole(orbitals)[0] @ direction / r**3
    assert float(potential(orbitals, (centre + r * direction)[None])[0]) == pytest.approx(float(expected), abs=2e-8)


def test_shell_lies_where_it_should_and_is_evenly_filled():
    atom = Molecules.single([2], [[1.0, 2.0, 3.0]])
    points = shell(atom, 3.0, 6.0, 2000)
    radius = (points - atom.positions).norm(dim=1)
    assert len(points) == 2000 and radius.min() >= 3.0 and radius.max() <= 6.0
    assert float((radius**3 < (3.0**3 + 6.0**3) / 2).double().mean()) == pytest.approx(0.5, abs=0.01)
    assert float((points - atom.positions).mean(0).abs().max()) < 0.1
    assert torch.equal(points, shell(atom, 3.0, 6.0, 2000))


def test_evaluation_of_a_fit(orbitals):
    """A fit in the Coulomb metric is closest in the potential; a dipole too large by d is an error of d cos / r^2."""
    density = fit(orbitals, DensityBasis.built_in("default", ["H", "O"]))
    label = Properties(WATER, orbitals=(orbitals,))
    good = evaluate(lambda molecules: Properties(WATER, density=density), [label], exact=EXACT).summary()
    assert good["potential_rmse_mV"] < 5 and good["potential_rmse_percent"] < 1 and good["potential_mae_mV"] < good["potential_rmse_mV"]
    assert good["quadrupole_mae_D_A"] < 0.02
    free = evaluate(lambda molecules: Properties(WATER, density=_none(density)), [label], exact=EXACT)
    assert free.summary()["potential_rmse_percent"] == pytest.approx(100, abs=2)
    own = quadrupole(orbitals)[0].abs().mean() / (units.DEBYE * units.ANGSTROM)
    assert free.summary()["quadrupole_mae_D_A"] == pytest.approx(float(own))


def test_without_exact_integrals_it_says_nothing_of_them(orbitals):
    density = fit(orbitals, DensityBasis.built_in("small", ["H", "O"]))
    found = evaluate(lambda molecules: Properties(WATER, density=density), [Properties(WATER, orbitals=(orbitals,))]).summary()
    assert found["density_error_percent"] > 0
    assert found["quadrupole_mae_D_A"] is found["potential_mae_mV"] is found["potential_rmse_mV"] is found["potential_rmse_percent"] is None


def _none(density):
    return type(density)(density.molecules, density.basis, torch.zeros_like(density.coefficients), density.exponents)
