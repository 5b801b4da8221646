"""A molecule by its SMILES: which it is, what is refused, geometries that are the same every time."""

import sys

import pytest
import torch

from densnet import units
from densnet.frames.smiles import SmilesError, embedded, is_smiles, named
from densnet.molecules import MoleculeError, bonding, hill, isotopologue

pytest.importorskip("rdkit")


@pytest.mark.parametrize("text", ["O", "CC(C)=O", "C1CCOC1", "c1ccsc1", "C/C=C/C", "C[C@H](N)C(=O)O", "[2H]OC", "C%10CCOC%10"])
def test_what_is_spelt_as_a_smiles(text):
    assert is_smiles(text)


@pytest.mark.parametrize("text", ["acetone", "ethanol", "etanol", "runs/water", "water.xyz", "", "1", "C C", "C6H12"])
def test_what_is_not(text):
    assert not is_smiles(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("C(", "is not valid: RDKit cannot read it"),
        ("C(C)(C)(C)(C)C", "is not valid"),
        ("CC[O-]", "has charge -1; densnet supports neutral closed-shell molecules only"),
        ("C[NH3+]", "has charge +1"),
        ("[CH3]", "has 1 unpaired electrons"),
        ("[Na+].[Cl-]", "has 2 separate parts; densnet treats one molecule"),
        ("CBr", "element Br is not supported; densnet supports H, C, N, O, F, S and Cl."),
        ("CC=CC", "does not say whether a double bond is cis or trans"),
        ("CC(O)C(O)C", "leaves 2 stereocentres open"),
        ("[11CH4]", "names the isotope 11C"),
    ],
)
def test_what_is_refused(text, told, capfd):
    with pytest.raises(MoleculeError, match="SMILES") as raised:
        named(text)
    assert told in str(raised.value)
    assert capfd.readouterr().err == ""  # RDKit's own log says nothing


def test_one_molecule_has_one_name_whichever_way_it_is_written():
    assert named("OCC") == named("C(C)O") == named("[CH3][CH2][OH]")
    assert named("CCO").name == "C2H6O-LFQSCWFLJHTTHZ"  # as in the InChIKey of ethanol, PubChem CID 702
    isomers = ["CC(C)=O", "CCC=O", "C/C=C/O", "C/C=C\\O", "[2H]C(C)=O"]
    assert len({named(text).name for text in isomers}) == len(isomers)
    assert named("CC(C)=O").rotors == 0 and named("CCO").rotors == 1 and named("CCCN").rotors == 2


def test_geometries_are_the_same_every_time_and_of_the_molecule():
    first, again = embedded("C(C)O", 4), embedded("CCO", 4)
    assert all(torch.equal(a.positions, b.positions) for a, b in zip(first, again)) and len(first) == 4
    assert {hill(m.numbers.tolist()) for m in first} == {"C2H6O"} and len({bonding(m) for m in first}) == 1
    carbons = first[0].positions[first[0].numbers == 6]
    assert 1.45 < float((carbons[0] - carbons[1]).norm()) / units.ANGSTROM < 1.60


def test_isotopes_and_charged_atoms_of_neutral_molecules_are_kept():
    assert isotopologue(embedded("[2H]O[2H]", 1)[0]) == "D2O"
    assert hill(embedded("C[N+](=O)[O-]", 1)[0].numbers.tolist()) == "CH3NO2"


def test_without_rdkit_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(SmilesError, match=r"needs RDKit: pip install 'densnet\[smiles\]'"):
        named("CCO")
