"""The Coulomb fit of a label's density: exact moments, a stationary point of the right functional, covariance, and its floor."""

import numpy as np
import pytest
import torch
from pyscf import dft, gto
from pyscf.df import incore

from densnet.dataset.points import density_error
from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.density.orbitals import Orbitals, orbital_basis
from densnet.density.promolecule import shipped
from densnet.molecules import Molecules
from densnet.reference import fitting
from densnet.reference.fitting import FitError, fit, metric
from densnet.symmetry import random_rotation, rotation_matrix

pytestmark = pytest.mark.usefixtures("double_precision")
WATER = Molecules.single([8, 1, 1], [[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]])
BASIS = DensityBasis.built_in("default", ["H", "O"])
SMALL = DensityBasis.built_in("small", ["H", "O"])


def pyscf_water() -> gto.Mole:
    symbols = {8: "O", 1: "H"}
    atoms = [(symbols[z], x) for z, x in zip(WATER.numbers.tolist(), WATER.positions.tolist())]
    return gto.M(atom=atoms, unit="Bohr", basis="aug-cc-pvdz", verbose=0)


@pytest.fixture(scope="module")
def label() -> tuple[Orbitals, np.ndarray]:
    """Occupied orbitals and dipole of a distorted water molecule."""
    field = dft.RKS(pyscf_water(), xc="pbe").density_fit().run()
    orbitals = Orbitals(WATER, torch.as_tensor(field.mo_coeff[:, field.mo_occ > 0]))
    return orbitals, field.dip_moment(unit="AU", verbose=0)


def test_electrons_and_dipole_are_exact(label):
    orbitals, dipole = label
    density = fit(orbitals, BASIS)
    assert abs(float(density.electrons())) < 1e-10
    np.testing.assert_allclose(density.dipole()[0].numpy(), dipole, atol=1e-8)


def test_orbitals_in_single_precision_give_nearly_the_same(label):
    orbitals, dipole = label
    density = fit(Orbitals(WATER, orbitals.coefficients.float()), SMALL)
    assert abs(float(density.electrons())) < 1e-10
    np.testing.assert_allclose(density.dipole()[0].numpy(), dipole, atol=2e-6)


def test_floor_of_water(label):
    error = density_error(fit(label[0], BASIS), label[0])
    assert error.percent < 0.21
    assert error.percent_of_promolecule < 2.0


def test_integrals_against_pyscf_called_plainly(label, monkeypatch):
    orbitals, _ = label
    functions = fitting.density_functions(WATER, SMALL)
    density_matrix = 2 * (orbitals.coefficients @ orbitals.coefficients.T).numpy()
    plain = np.einsum("mnk,mn->k", incore.aux_e2(pyscf_water(), functions), density_matrix)
    monkeypatch.setattr(fitting, "_BLOCK_BYTES", 8 * 861 * 11)
    np.testing.assert_allclose(fitting._attraction_to_orbitals(orbitals, functions).numpy(), plain, rtol=1e-11, atol=1e-11)


def test_metric_and_attraction_to_free_atoms_against_our_own_integrals():
    mask, exponents = SMALL.mask(WATER.numbers), SMALL.exponents(WATER.numbers)
    own = gaussians.coulomb_matrix(SMALL, WATER.positions, exponents)[mask.flatten()][:, mask.flatten()]
    torch.testing.assert_close(metric(WATER, SMALL), own, atol=1e-10, rtol=0)
    atoms = shipped()
    alphas, contents = atoms.as_gaussians(WATER.numbers)
    i, j = torch.cartesian_prod(torch.arange(3), torch.arange(3)).T
    vectors = WATER.positions[i] - WATER.positions[j]
    blocks = gaussians.pair_blocks(gaussians.coulomb_radial, (SMALL, atoms.basis), (exponents[i], alphas[j]), vectors)
    expected = torch.einsum("pws,ps->pw", blocks, contents[j]).unflatten(0, (3, 3)).sum(1)[mask]
    functions = fitting.density_functions(WATER, SMALL)
    attraction = fitting._attraction_to_promolecule(WATER, functions)[fitting._harmonic_order(functions)]
    torch.testing.assert_close(attraction, expected, atol=1e-10, rtol=0)


def test_the_fit_is_the_minimum_within_its_conditions(label):
    """The gradient of (d | d) + ridge c.c is a combination of the four conditions, for any ridge."""
    orbitals, _ = label
    functions = fitting.density_functions(WATER, SMALL)
    order = fitting._harmonic_order(functions)
    target = (fitting._attraction_to_orbitals(orbitals, functions) - fitting._attraction_to_promolecule(WATER, functions))[order]
    mask = SMALL.mask(WATER.numbers)
    exponents = SMALL.exponents(WATER.numbers)
    charge, first = gaussians.charge_vector(SMALL, exponents), gaussians.dipole_vector(SMALL, exponents, WATER.positions)
    conditions = torch.cat([charge[..., None], first], dim=-1)[mask]
    for ridge in (1e-5, 1e-2):
        c = fit(orbitals, SMALL, ridge=ridge).coefficients[mask]
        gradient = metric(WATER, SMALL) @ c + ridge * c - target
        multipliers = torch.linalg.lstsq(conditions, gradient[:, None]).solution
        torch.testing.assert_close(conditions @ multipliers, gradient[:, None], atol=1e-9, rtol=0)


def test_covariance(label):
    """Turning molecule and orbitals turns the fitted coefficients; moving them changes nothing."""
    orbitals, _ = label
    turn, shift = random_rotation(torch.Generator().manual_seed(2)), torch.tensor([3.0, -1.0, 2.0])
    shells = orbital_basis(orbitals.basis)
    blocks = [turn if l == 1 else rotation_matrix(l, turn) for z in WATER.numbers.tolist() for l in shells[z].angular]
    moved = Orbitals(WATER.at(WATER.positions @ turn.T + shift), torch.block_diag(*blocks) @ orbitals.coefficients)
    before, after = fit(orbitals, SMALL), fit(moved, SMALL)
    rotation = torch.block_diag(*(rotation_matrix(l, turn) for l, _ in SMALL.slots))
    torch.testing.assert_close(after.coefficients, before.coefficients @ rotation.T, atol=1e-8, rtol=0)
    torch.testing.assert_close(after.dipole()[0], turn @ before.dipole()[0], atol=1e-9, rtol=0)


def test_errors(label):
    orbitals, _ = label
    with pytest.raises(FitError, match="8 electrons on nuclei of charge 10"):
        fit(Orbitals(WATER, orbitals.coefficients[:, :4]), SMALL)
    twin = DensityBasis.of("twins", {"H": [(0, 1.0)], "O": [(0, 1.0), (0, 1.0 + 1e-14)]})
    with pytest.raises(FitError, match="raise `ridge`"):
        fit(orbitals, twin, ridge=0.0)
