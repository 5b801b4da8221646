"""Our contracted Gaussians against PySCF's, and the orbitals built on them."""

import numpy as np
import pytest
import torch
from pyscf import gto

from densnet.density.orbitals import OrbitalError, Orbitals, orbital_basis, shipped_orbital_bases
from densnet.molecules import SUPPORTED, SYMBOLS, Molecules
from densnet.reference.orbital_bases import export
from densnet.symmetry import random_rotation

pytestmark = pytest.mark.usefixtures("double_precision")
NUMBERS = [8, 17, 1, 16, 6, 9, 7]
POSITIONS = 2.5 * np.random.default_rng(3).normal(size=(len(NUMBERS), 3))
POINTS = 3.0 * np.random.default_rng(4).normal(size=(500, 3))


def oracle(basis: str) -> np.ndarray:
    atoms = [(SYMBOLS[z], x) for z, x in zip(NUMBERS, POSITIONS)]
    return gto.M(atom=atoms, unit="Bohr", basis=basis, verbose=0).eval_gto("GTOval_sph", POINTS)


def orbitals(basis: str = "aug-cc-pvdz", occupied: int = 5) -> Orbitals:
    width = oracle(basis).shape[1]
    return Orbitals(Molecules.single(NUMBERS, POSITIONS), torch.as_tensor(np.random.default_rng(5).normal(size=(width, occupied))), basis)


@pytest.mark.parametrize("basis", shipped_orbital_bases())
def test_every_function_equals_pyscf(basis):
    width = oracle(basis).shape[1]
    unit = Orbitals(Molecules.single(NUMBERS, POSITIONS), torch.eye(width), basis)
    np.testing.assert_allclose(unit.amplitudes(torch.as_tensor(POINTS)).numpy(), oracle(basis), atol=1e-10, rtol=0)


def test_density_is_twice_the_sum_of_squares_whatever_the_chunk(monkeypatch):
    orbs = orbitals()
    expected = 2 * ((oracle("aug-cc-pvdz") @ orbs.coefficients.numpy()) ** 2).sum(1)
    monkeypatch.setattr("densnet.density.orbitals._CHUNK", 77)
    np.testing.assert_allclose(orbs.values(torch.as_tensor(POINTS)).numpy(), expected, rtol=1e-11)
    assert orbs.electrons == 10
    assert orbs.values(torch.zeros(0, 3)).shape == (0,)


def test_any_pyscf_basis_can_be_exported_f_functions_and_general_contractions_included(tmp_path):
    path = tmp_path / "cc-pvtz.json"
    export("cc-pvtz", path, tuple(SYMBOLS[z] for z in sorted(set(NUMBERS))))
    width = oracle("cc-pvtz").shape[1]
    unit = Orbitals(Molecules.single(NUMBERS, POSITIONS), torch.eye(width), str(path))
    np.testing.assert_allclose(unit.amplitudes(torch.as_tensor(POINTS)).numpy(), oracle("cc-pvtz"), atol=1e-10, rtol=0)


@pytest.mark.parametrize("basis", shipped_orbital_bases())
def test_the_shipped_file_is_what_pyscf_gives_today(tmp_path, basis):
    export(basis, tmp_path / "again.json")
    again, shipped = orbital_basis(str(tmp_path / "again.json")), orbital_basis(basis.upper())
    assert set(shipped) == SUPPORTED
    for number in SUPPORTED:
        assert shipped[number].angular == again[number].angular
        torch.testing.assert_close(shipped[number].contraction, again[number].contraction, rtol=1e-12, atol=1e-14)


def test_density_turns_with_the_s_functions_and_moves_with_the_molecule():
    orbs = orbitals()
    spherical = torch.cat([torch.tensor([l == 0 for l in orbital_basis(orbs.basis)[z].angular for _ in range(2 * l + 1)]) for z in NUMBERS])
    turn, shift = random_rotation(torch.Generator().manual_seed(1)), torch.tensor([1.0, -2.0, 0.5])
    fixed = Orbitals(orbs.molecule, orbs.coefficients * spherical[:, None])
    turned = Orbitals(orbs.molecule.at(orbs.molecule.positions @ turn.T + shift), fixed.coefficients)
    points = torch.as_tensor(POINTS)
    torch.testing.assert_close(turned.values(points @ turn.T + shift), fixed.values(points), rtol=1e-11, atol=1e-13)


def test_gradient_in_the_points_against_finite_differences():
    points = torch.as_tensor(POINTS[:6]).requires_grad_()
    assert torch.autograd.gradcheck(orbitals().values, points)


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(OrbitalError, match=f"`sto-1g` is not known; densnet ships {shipped_orbital_bases()[0]}"):
        Orbitals(Molecules.single([1], [[0.0, 0, 0]]), torch.zeros(9, 1), "sto-1g")
    with pytest.raises(OrbitalError, match="no functions for Ar"):
        Orbitals(Molecules.single([18], [[0.0, 0, 0]]), torch.zeros(9, 1))
    with pytest.raises(OrbitalError, match=r"\(8, 1\), but aug-cc-pvdz has 9 functions"):
        Orbitals(Molecules.single([1], [[0.0, 0, 0]]), torch.zeros(8, 1))
    with pytest.raises(OrbitalError, match="batch of 2"):
        Orbitals(Molecules.replicas([1], np.zeros((2, 1, 3))), torch.zeros(9, 1))
