"""Geometries from SMILES: the molecule that they name, near a minimum, and one sentence for everything else."""

import pytest
import torch

from densnet.interfaces import smiles
from densnet.model.predictor import load
from densnet.molecules import MoleculeError, bonding, formula_of
from densnet.observables.vibrations import relax
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.units import ANGSTROM


@pytest.mark.parametrize(("text", "name"), [("CCO", "ethanol"), ("CCS", "ethanethiol"), ("Oc1cccc(O)c1", "resorcinol"), ("O", "water")])
def test_the_molecule_that_they_name(text, name):
    found = smiles.molecule(text)
    assert bonding(found) == bonding(read(shipped.geometries(name))[0].molecule)


def test_it_relaxes_to_a_minimum_that_is_known():
    model, found = load("water").double(), smiles.molecule("O", seed=3)
    relaxed = relax(model, found)
    assert formula_of(found) == "H2O" and 0 < float(model(found).energy - model(relaxed).energy) < 0.01
    bonds = torch.pdist(relaxed.positions) / ANGSTROM
    assert bonds[:2].tolist() == pytest.approx([0.969, 0.969], abs=0.005)


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("C(", smiles.SmilesError, "is not valid SMILES"),
        ("", smiles.SmilesError, "is not valid SMILES"),
        ("[OH-]", MoleculeError, "charge is -1"),
        ("[CH3]", MoleculeError, "multiplicity is 2"),
        ("[O][O]", MoleculeError, "multiplicity is 3"),
        ("CBr", MoleculeError, "element Br is not supported"),
    ],
)
def test_what_is_no_molecule_for_densnet(text, error, told):
    with pytest.raises(error, match=told):
        smiles.molecule(text)


def test_without_rdkit(monkeypatch):
    monkeypatch.setattr(smiles, "find_spec", lambda name: None)
    with pytest.raises(smiles.SmilesError, match=r"pip install 'densnet\[smiles\]'"):
        smiles.molecule("CCO")
