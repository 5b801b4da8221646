"""A label is what PySCF says, its forces are the slope of its energy, and its orbitals are its density."""

import pytest
import torch
from pyscf import dft, gto

from densnet.density.orbitals import orbital_basis
from densnet.molecules import MoleculeError, Molecules
from densnet.reference import exchange, scf
from densnet.reference.scf import NotConverged, ScfSettings, calculate
from densnet.settings import SettingsError, parse
from densnet.units import MEV_PER_ANGSTROM

WATER = Molecules.single([8, 1, 1], torch.tensor([[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]], dtype=torch.float64))
COARSE = ScfSettings(radial_points=30, angular_points=110, conv_tol=1e-11)


@pytest.fixture(scope="module")
def label():
    return calculate(WATER, COARSE)


@pytest.fixture(scope="module")
def pyscf_field():
    """The same calculation by PySCF's own integration of exchange and correlation."""
    mol = gto.M(atom=[(s, x) for s, x in zip("OHH", WATER.positions.tolist())], unit="Bohr", basis="aug-cc-pvdz", verbose=0)
    field = dft.RKS(mol, xc="PBE").density_fit(auxbasis="def2-universal-jfit")
    field.grids.atom_grid = {"O": (30, 110), "H": (30, 110)}
    field.grids.prune = dft.gen_grid.nwchem_prune
    field.conv_tol = 1e-11
    return field.run()


def test_energy_forces_and_dipole_are_those_of_pyscf(label, pyscf_field):
    gradient = pyscf_field.nuc_grad_method()
    gradient.grid_response = True
    assert label.energy.item() == pytest.approx(pyscf_field.e_tot, abs=1e-10)
    assert torch.allclose(label.forces, torch.from_numpy(-gradient.kernel()), rtol=0, atol=1e-7)
    assert torch.allclose(label.dipole[0], torch.from_numpy(pyscf_field.dip_moment(unit="AU", verbose=0)), rtol=0, atol=1e-6)


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


def test_a_small_memory_changes_nothing_but_the_speed(pyscf_field):
    matrix = pyscf_field.make_rdm1()
    energies, potentials = zip(
        *(exchange.ExchangeCorrelation(pyscf_field.mol, pyscf_field.grids, "PBE", mb).potential(matrix) for mb in (0, 1000))
    )
    assert energies[0] == energies[1] and (potentials[0] == potentials[1]).all()


def test_an_scf_that_does_not_converge_says_so():
    with pytest.raises(NotConverged, match="did not converge to 1e-09 hartree in 1 cycles"):
        calculate(WATER, ScfSettings(radial_points=20, angular_points=110, max_cycle=1))


def test_what_is_not_a_neutral_closed_shell_is_refused():
    with pytest.raises(MoleculeError, match="odd number"):
        calculate(Molecules.single([8, 1], WATER.positions[:2]), COARSE)


@pytest.mark.parametrize("name", ["B3LYP", "SCAN", "nonsense"])
def test_other_functionals_are_refused(name):
    with pytest.raises(SettingsError, match="pure GGA"):
        parse(ScfSettings, {"xc": name}, "label.scf")


def test_the_level_names_what_decides_a_label_and_nothing_else():
    level = ScfSettings().level()
    assert (level["xc"], level["basis"], level["radial_points"], level["angular_points"]) == ("PBE", "aug-cc-pvdz", 40, 434)
    assert level == ScfSettings(max_cycle=7, memory_mb=900).level() != ScfSettings(conv_tol=1e-8).level()
    assert scf.ScfSettings.model_config["frozen"]
