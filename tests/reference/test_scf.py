"""A label is what PySCF says, its forces are the slope of its energy, and its orbitals are its density."""

import pytest
import torch
from pyscf import dft, gto

from densnet.density.orbitals import orbital_basis
from densnet.molecules import MoleculeError, Molecules
from densnet.reference import scf
from densnet.reference.scf import NotConverged, ScfSettings, calculate
from densnet.settings import SettingsError, parse
from densnet.units import MEV_PER_ANGSTROM

WATER = Molecules.single([8, 1, 1], torch.tensor([[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]], dtype=torch.float64))
COARSE = ScfSettings(radial_points=30, angular_points=110, conv_tol=1e-11, conv_tol_grad=1e-7)


@pytest.fixture(scope="module")
def label():
    return calculate(WATER, COARSE)


def pyscf(xc, auxiliary="def2-universal-jfit"):
    """The same calculation by PySCF's own SCF and integration of exchange and correlation."""
    mol = gto.M(atom=[(s, x) for s, x in zip("OHH", WATER.positions.tolist())], unit="Bohr", basis="aug-cc-pvdz", verbose=0)
    field = dft.RKS(mol, xc=xc).density_fit(auxbasis=auxiliary)
    field.grids.atom_grid = {"O": (30, 110), "H": (30, 110)}
    field.grids.prune = dft.gen_grid.nwchem_prune
    field.conv_tol, field.conv_tol_grad = 1e-11, 1e-7
    return field.run()


@pytest.fixture(scope="module")
def pyscf_field():
    return pyscf("PBE")


def assert_equal(label, field):
    gradient = field.nuc_grad_method()
    gradient.grid_response = True
    assert label.energy.item() == pytest.approx(field.e_tot, abs=1e-10)
    assert torch.allclose(label.forces, torch.from_numpy(-gradient.kernel()), rtol=0, atol=1e-7)
    assert torch.allclose(label.dipole[0], torch.from_numpy(field.dip_moment(unit="AU", verbose=0)), rtol=0, atol=1e-6)


def test_energy_forces_and_dipole_are_those_of_pyscf(label, pyscf_field):
    assert_equal(label, pyscf_field)


@pytest.mark.parametrize("xc", ["PBE0", "r2SCAN", "wB97X"])
def test_hybrids_and_meta_ggas_too(xc):
    """PySCF fits Coulomb and exact exchange in one basis, so ours are given the same one."""
    settings = COARSE.model_copy(update={"xc": xc, "coulomb_basis": "def2-universal-jkfit", "exchange_basis": "def2-universal-jkfit"})
    assert_equal(calculate(WATER, settings), pyscf(xc, "def2-universal-jkfit"))


def test_forces_are_the_slope_of_the_energy_and_sum_to_zero(label):
    step, direction = 4e-4, torch.tensor([[0.3, -0.5, 0.2], [0.1, 0.8, -0.4], [-0.6, 0.2, 0.5]], dtype=torch.float64)
    up, down = (calculate(WATER.at(WATER.positions + sign * step * direction), COARSE).energy for sign in (1, -1))
    assert float((label.forces * direction).sum()) == pytest.approx(float(down - up) / (2 * step), abs=0.05 * MEV_PER_ANGSTROM)
    assert label.forces.sum(0).abs().max() < 1e-10


def test_orbitals_give_the_electrons_and_the_dipole(label, pyscf_field):
    (orbitals,) = label.orbitals
    assert orbitals.electrons == 10 and orbitals.basis == "aug-cc-pvdz"
    c = orbitals.coefficients
    overlap, position = (torch.from_numpy(pyscf_field.mol.intor(name)) for name in ("int1e_ovlp", "int1e_r"))
    assert torch.allclose(c.T @ overlap @ c, torch.eye(5, dtype=c.dtype), atol=1e-10)
    electronic = -2 * torch.einsum("mi,xmn,ni->x", c, position, c)
    nuclear = WATER.numbers.double() @ WATER.positions
    assert torch.allclose(electronic + nuclear, label.dipole[0], atol=1e-10)
    assert set(WATER.numbers.tolist()) <= set(orbital_basis(orbitals.basis))


def test_an_scf_that_does_not_converge_says_so():
    with pytest.raises(NotConverged, match="did not converge to 1e-09 hartree and an orbital gradient of 1.0e-05 in 2 cycles"):
        calculate(WATER, ScfSettings(radial_points=20, angular_points=110, max_cycle=2))


def test_what_is_not_a_neutral_closed_shell_is_refused():
    with pytest.raises(MoleculeError, match="odd number"):
        calculate(Molecules.single([8, 1], WATER.positions[:2]), COARSE)


@pytest.mark.parametrize("name", ["LDA", "HF", "wB97X-V", "nonsense"])
def test_other_functionals_are_refused(name):
    with pytest.raises(SettingsError, match="must be a GGA, a meta-GGA or a hybrid"):
        parse(ScfSettings, {"xc": name}, "label.scf")


def test_the_level_names_what_decides_a_label_and_nothing_else():
    level = ScfSettings().level()
    assert (level["xc"], level["basis"], level["radial_points"], level["angular_points"]) == ("PBE", "aug-cc-pvdz", 40, 434)
    assert level == ScfSettings(max_cycle=7, memory_mb=900).level() != ScfSettings(conv_tol=1e-8).level()
    assert level == ScfSettings(exchange_basis="aug-cc-pvdz-jkfit").level(), "no exact exchange, no basis for it"
    assert ScfSettings(xc="B3LYP").level()["exchange_basis"] == "def2-universal-jkfit"
    assert "dispersion" not in level and ScfSettings(dispersion="d4").level() == {**level, "dispersion": "d4"}
    assert scf.ScfSettings.model_config["frozen"]


def test_without_a_gradient_threshold_the_level_is_that_of_older_labels():
    older = ScfSettings(conv_tol_grad=0)
    assert older.level() == {key: value for key, value in ScfSettings().level().items() if key != "conv_tol_grad"}
    assert older.gradient_threshold == pytest.approx(3.2e-5, rel=0.02)


def test_dispersion_is_added_and_kept_apart(label):
    both = calculate(WATER, COARSE.model_copy(update={"dispersion": "d4"}))
    assert both.dispersion_energy.item() == pytest.approx(-2.6e-4, abs=1e-4)
    alone = both.with_dispersion(None)
    assert alone.dispersion_energy is None and alone.energy.item() == pytest.approx(label.energy.item(), abs=1e-12)
    assert torch.allclose(alone.forces, label.forces, atol=1e-10)
    assert not torch.allclose(both.forces, label.forces, atol=1e-7)


def test_dispersion_without_parameters_is_refused():
    with pytest.raises(SettingsError, match="no parameters for `xc` = 'PKZB'"):
        parse(ScfSettings, {"xc": "PKZB", "dispersion": "d4"}, "label.scf")
