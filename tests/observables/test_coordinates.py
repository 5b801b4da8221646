"""Modes in words, on water and ethanol; torsions tell rotamers apart."""

import json
from importlib.resources import files

import pytest
import torch

from densnet import units
from densnet.molecules import Molecules
from densnet.observables import vibrations
from densnet.observables.conformers import Ensemble
from densnet.observables.coordinates import coordinates, describe, elevation, nearest_conformer, shares, torsion, torsion_signature

FOLDER = files("densnet") / "data" / "molecules"


def ensemble(name: str) -> Ensemble:
    return Ensemble.from_dict(json.loads((FOLDER / f"{name}.json").read_text()))


@pytest.fixture(scope="module")
def ethanol() -> Ensemble:
    return ensemble("ethanol")


def test_water_in_words():
    (water,) = ensemble("water").conformers
    assert describe(water.modes) == ["HOH bend", "O-H symmetric stretch", "O-H antisymmetric stretch"]


def test_ethanol_in_words(ethanol):
    texts = describe(ethanol.conformers[0].modes)
    assert texts[-1] == "O-H stretch"
    assert texts[-2].startswith("CH3 antisymmetric stretch") and sum("H2 " in t or "H3 " in t for t in texts if "stretch" in t) >= 5
    assert texts[0].startswith("CH3 torsion") and texts[1].startswith("OH torsion") and texts[2].startswith("CCO bend")
    for name in ("C-O stretch", "COH bend", "CH2 twist", "CH2 scissor", "CH3 symmetric deformation"):
        assert any(text.startswith(name) for text in texts), name


def test_natural_coordinates_are_complete_and_invariant(ethanol):
    for conformer in ethanol.conformers:
        found = coordinates(conformer.molecule)
        slopes = torch.stack([c.slopes for c in found])
        assert len(found) == 21 and torch.linalg.matrix_rank(slopes.flatten(1)) == 21
        assert slopes.sum(1).abs().max() < 1e-10  # translation changes none
        turns = torch.linalg.cross(torch.eye(3, dtype=torch.float64)[:, None], conformer.molecule.positions[None])
        assert torch.einsum("kai,nai->kn", slopes, turns).abs().max() < 1e-9  # nor does rotation
        for parts in shares(conformer.modes):
            assert sum(parts.values()) == pytest.approx(1)


ON_A_LINE = {
    "carbon dioxide": ("OCO", [[0, 0, -1.16], [0, 0, 0], [0, 0, 1.16]]),
    "acetylene": ("HCCH", [[0, 0, -1.66], [0, 0, -0.6], [0, 0, 0.6], [0, 0, 1.66]]),
    "hydrogen cyanide, bent a little": ("HCN", [[0.02, 0, -1.06], [0, 0, 0], [0, 0, 1.15]]),
    "acetonitrile": (
        "CHHHCN",
        [[0, 0, 0], [1.02, 0, -0.37], [-0.51, 0.883, -0.37], [-0.51, -0.883, -0.37], [0, 0, 1.46], [0, 0, 2.62]],
    ),
    "ammonia, planar": ("NHHH", [[0, 0, 0], [1.0, 0, 0], [-0.5, 0.866, 0], [-0.5, -0.866, 0]]),
}


@pytest.mark.parametrize("name", ON_A_LINE)
def test_straight_chains_have_bends_in_two_directions_and_no_torsion_about_them(name):
    """The coordinates span all motions, none with a slope out of all proportion, and modes have words for what moves."""
    symbols, positions = ON_A_LINE[name]
    numbers = [{"H": 1, "C": 6, "N": 7, "O": 8}[symbol] for symbol in symbols]
    molecule = Molecules.single(numbers, torch.tensor(positions, dtype=torch.float64) * units.ANGSTROM)
    slopes = torch.stack([c.slopes.flatten() for c in coordinates(molecule)])
    motions = len(vibrations.modes(molecule, torch.eye(3 * len(numbers)).double()).eigenvalues)
    assert slopes.isfinite().all() and slopes.abs().max() < 5
    assert torch.linalg.matrix_rank(slopes, rtol=1e-3) in (motions, motions + 1)  # a line bent a little turns about itself
    modes = vibrations.modes(molecule, torch.eye(3 * len(numbers)).double())
    assert all("nan" not in text and text for text in describe(modes))


def test_planar_molecules_bend_out_of_plane():
    formaldehyde = Molecules.single([6, 8, 1, 1], [[0.0, 0, 0], [0, 0, 2.28], [0, 1.78, -1.1], [0, -1.78, -1.1]])
    names = [c.name for c in coordinates(formaldehyde)]
    assert sorted(names) == [
        "C-O stretch", "CH2 antisymmetric stretch", "CH2 in-plane bend", "CH2 out-of-plane bend", "CH2 symmetric stretch", "HCH bend",
    ]  # fmt: skip
    slopes = torch.stack([c.slopes.flatten() for c in coordinates(formaldehyde)])
    assert torch.linalg.matrix_rank(slopes) == 6


def test_dihedral_and_elevation():
    x = torch.tensor([[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0.5, 3**0.5 / 2, 1]], dtype=torch.float64)
    assert float(torsion(0, 1, 2, 3)(x)) == pytest.approx(torch.pi / 3)
    y = torch.tensor([[0.0, 0, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    assert float(elevation(0, 1, 2, 3)(y)) == pytest.approx(torch.pi / 2)


def test_torsions_tell_rotamers_apart_but_not_mirror_images(ethanol):
    trans, gauche = (c.molecule for c in ethanol.conformers)
    mirrored = gauche.positions * torch.tensor([1.0, 1.0, -1.0])
    hydrogens = torch.nonzero(gauche.numbers == 1)[:3, 0]  # of CH3
    rolled = mirrored.clone()
    rolled[hydrogens] = mirrored[hydrogens.roll(1)]
    known = torch.stack([trans.positions, gauche.positions])
    batch = torch.stack([gauche.positions, mirrored, rolled, trans.positions])[:, None].repeat(1, 2, 1, 1)
    assert nearest_conformer(trans, known, batch)[:, 1].tolist() == [1, 1, 1, 0]
    torch.testing.assert_close(torsion_signature(trans, rolled), torsion_signature(trans, gauche.positions))
    assert nearest_conformer(trans, torch.stack([gauche.positions, mirrored]), batch) is None
