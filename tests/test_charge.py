"""Charge is a property of molecules: carried along, counted in electrons, and the dipole of an ion is about its centre of mass."""

from dataclasses import replace

import pytest
import torch
from pyscf import dft, gto

from densnet.dataset import store
from densnet.dataset.dataset import Dataset, Label
from densnet.density.basis import DensityBasis
from densnet.model.predictor import ModelError, Predictor
from densnet.molecules import SYMBOLS, MoleculeError, Molecules
from densnet.properties import Properties
from densnet.reference import campaign, scf
from densnet.reference.fitting import FitError, fit
from tests.model.random_model import random_predictor, scattered

HYDROXIDE = Molecules.single([8, 1], [[0.3, -0.2, 0.1], [0.3, 0.5, 1.8]], charge=-1)
WATER = Molecules.single([8, 1, 1], [[0.0, 0.0, 0.22], [0.0, 1.43, -0.88], [0.0, -1.43, -0.88]])
SETTINGS = scf.ScfSettings(radial_points=30, angular_points=194)


def test_a_charge_goes_along():
    batch = Molecules.concatenate([WATER, HYDROXIDE, WATER])
    assert batch.net_charge.tolist() == [0, -1, 0] and WATER.charge is None
    assert torch.allclose(batch.total(batch.surplus), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    alone = batch.split()
    assert [m.charge for m in (alone[0], alone[2])] == [None, None] and alone[1].net_charge.tolist() == [-1]
    assert batch.at(batch.positions + 1).charge is batch.charge and batch.to("cpu", torch.float32).net_charge.tolist() == [0, -1, 0]
    three = HYDROXIDE.copies(HYDROXIDE.positions.expand(3, -1, -1))
    assert three.net_charge.tolist() == [-1, -1, -1] and [m.net_charge.tolist() for m in three.cut(3)] == [[-1]] * 3


def test_the_identity_of_a_label_counts_the_charge_and_is_what_it_was_without():
    neutral = Molecules.single(HYDROXIDE.numbers, HYDROXIDE.positions)
    level = {"xc": "PBE"}
    assert campaign.identity(neutral, level) != campaign.identity(HYDROXIDE, level)
    assert campaign.identity(WATER, level) == "77dd5e14c8ce2809"


@pytest.fixture(scope="module")
def label() -> Properties:
    return scf.calculate(HYDROXIDE, SETTINGS)


def test_an_ion_is_labelled_as_pyscf_does(label):
    atoms = [(SYMBOLS[z], x) for z, x in zip(HYDROXIDE.numbers.tolist(), HYDROXIDE.positions.tolist())]
    ion = gto.M(atom=atoms, unit="Bohr", basis=SETTINGS.basis, charge=-1, verbose=0)
    field = dft.RKS(ion, xc="PBE").density_fit(auxbasis=SETTINGS.coulomb_basis)
    field.chkfile = None
    field.kernel()
    assert label.orbitals[0].electrons == 10 and float(label.energy) == pytest.approx(field.e_tot, abs=2e-4)
    centre = (HYDROXIDE.masses @ HYDROXIDE.positions) / HYDROXIDE.masses.sum()
    about_the_origin = torch.from_numpy(field.dip_moment(unit="AU", verbose=0))
    assert torch.allclose(label.dipole[0], about_the_origin + centre, atol=2e-3)  # minus charge times centre


def test_the_dipole_of_an_ion_does_not_depend_on_where_it_is(label):
    density = fit(label.orbitals[0], DensityBasis.built_in("small", ["H", "O"]))
    away = HYDROXIDE.at(HYDROXIDE.positions + torch.tensor([5.0, -7.0, 3.0]))
    moved = type(density)(away, density.basis, density.coefficients, density.exponents)
    assert torch.allclose(moved.dipole(), density.dipole(), atol=1e-10)
    assert torch.allclose(density.dipole(), label.dipole, atol=1e-6) and float(density.electrons()) == pytest.approx(1.0, abs=1e-9)


def test_a_label_of_another_charge_is_not_fitted(label):
    neutral = Molecules.single(HYDROXIDE.numbers, HYDROXIDE.positions)
    orbitals = replace(label.orbitals[0], molecule=neutral)
    with pytest.raises(FitError, match="not a molecule of charge 0"):
        fit(orbitals, DensityBasis.built_in("small", ["H", "O"]))
    with pytest.raises(MoleculeError, match="9 electrons, an odd number"):
        scf.calculate(neutral, SETTINGS)


def test_labels_of_ions_are_stored(label, tmp_path):
    about = {"index": 0, "identity": "0" * 16, "trajectory": 0, "temperature": 300.0, "level": {"basis": SETTINGS.basis}}
    store.save_label(tmp_path / "a.npz", label, about)
    one = store.read(tmp_path)[0]
    same_atoms = Label(Properties(Molecules.single([8, 1], HYDROXIDE.positions)), 0, 300.0, "", "here", about["level"])
    assert one.properties.molecules.net_charge.tolist() == [-1] and torch.equal(one.properties.dipole, label.dipole)
    bare = Label(one.properties.replace(energy=None, forces=None, dipole=None, orbitals=None), 0, 300.0, "", "here", about["level"])
    store.seal(Dataset([bare, same_atoms]), tmp_path / "two.h5")
    assert [label.properties.molecules.net_charge.tolist() for label in store.read(tmp_path / "two.h5")] == [[-1], [0]]


def test_a_model_of_ions_holds_their_electrons_and_others_refuse_them():
    """The correction integrates to minus the charge for every molecule of a batch, whatever the weights."""
    model = random_predictor(("H", "O"), basis="small")
    with pytest.raises(ModelError, match=r"charge -1; it was trained on neutral ones"):
        model(HYDROXIDE)
    ions = Predictor(model.density_network, model.energy_network, None, {"charges": [-1, 0]})
    batch = Molecules.concatenate([HYDROXIDE, scattered([8, 1, 1])])
    found = ions(batch)
    assert torch.allclose(found.density.electrons(), torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-10)
    shifted = ions(batch.at(batch.positions + torch.tensor([4.0, 5.0, -6.0])))
    assert torch.allclose(shifted.dipole, found.dipole, atol=1e-9) and torch.allclose(shifted.forces, found.forces, atol=1e-9)
    alone = model(scattered([8, 1, 1]))
    assert torch.allclose(found.energy[1], alone.energy[0], rtol=1e-12)
