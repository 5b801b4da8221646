"""Which geometries are one conformer, how often each counts, and what is kept of them."""

from dataclasses import replace
from math import exp
from pathlib import Path

import pytest
import torch

from densnet import units
from densnet.molecules import Molecules, bonding
from densnet.observables import conformers
from densnet.observables.conformers import Conformer, Ensemble, characterise, counterpart, gather, matched, superpositions
from densnet.observables.vibrations import VibrationError
from densnet.properties import Properties
from densnet.reference import geometries, shipped
from densnet.reference.scf import ScfSettings

ROOT = Path(__file__).parents[2]
TRANS, GAUCHE, MIRRORED = (frame.molecule for frame in geometries.read(ROOT / "examples" / "geometries" / "ethanol.xyz"))
IN_IN, IN_OUT, OUT_IN, OUT_OUT = (frame.molecule for frame in geometries.read(ROOT / "examples" / "geometries" / "resorcinol.xyz"))


def turned(molecule: Molecules, seed: int = 1) -> Molecules:
    """Rotated, moved, like atoms exchanged."""
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))[0]
    order = torch.arange(len(molecule.numbers))
    for number in molecule.numbers.unique():
        like = torch.nonzero(molecule.numbers == number)[:, 0]
        order[like] = like[torch.randperm(len(like), generator=generator)]
    return Molecules.single(molecule.numbers[order], molecule.positions[order] @ (turn * torch.linalg.det(turn)) + 1.7)


@pytest.mark.parametrize(("molecule", "group"), [(TRANS, 2), (GAUCHE, 1), (IN_IN, 4), (IN_OUT, 2), (OUT_OUT, 4)])
def test_order_of_the_point_group(molecule, group):
    assert len(superpositions(molecule, molecule)) == len(superpositions(turned(molecule), molecule)) == group


def test_point_groups_of_small_molecules():
    carbon_dioxide = Molecules.single([8, 6, 8], [[0.0, 0.0, -2.2], [0.0, 0.0, 0.0], [0.0, 0.0, 2.2]])
    hydrogen_fluoride = Molecules.single([1, 9], [[0.0, 0.0, 0.0], [0.0, 0.0, 1.7]])
    tetrahedron = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    methane = Molecules.single([6, 1, 1, 1, 1], torch.cat([torch.zeros(1, 3, dtype=torch.float64), 1.2 * tetrahedron]))
    orders = [len(superpositions(m, turned(m))) for m in (carbon_dioxide, hydrogen_fluoride, methane)]
    assert orders == [4, 2, 24]


def test_mirror_images_are_one_conformer_and_rotamers_are_not():
    assert superpositions(GAUCHE, turned(MIRRORED)) == [-1]
    assert superpositions(GAUCHE, turned(GAUCHE)) == [1]
    assert superpositions(TRANS, GAUCHE) == superpositions(IN_IN, OUT_OUT) == superpositions(IN_IN, IN_OUT) == []
    assert len(superpositions(IN_OUT, OUT_IN)) == 2
    assert superpositions(TRANS, IN_IN) == []


def found(name: str, molecule: Molecules, energy: float = 0.0) -> Conformer:
    size = 3 * len(molecule.numbers)
    zero = torch.zeros(size, size, dtype=torch.float64)
    return Conformer(name, molecule, energy, torch.zeros(3), zero, torch.zeros(size // 3, 3, 3))


def test_weights_count_mirror_images_and_symmetry(monkeypatch):
    monkeypatch.setattr(conformers, "free_energy", lambda modes, energy, temperature: energy)
    above = 0.5 * 300 * units.KELVIN
    ethanol = Ensemble((found("trans", TRANS), found("gauche", GAUCHE, above)), (0, 1, 1))
    trans, gauche = ethanol.weights(300.0).tolist()
    assert gauche / trans == pytest.approx(2 * exp(-0.5)) and trans + gauche == pytest.approx(1)
    resorcinol = Ensemble((found("in", IN_IN), found("mixed", IN_OUT), found("out", OUT_OUT)), (0, 1, 1, 2))
    assert resorcinol.weights(300.0).tolist() == pytest.approx([0.25, 0.5, 0.25])


def test_gather_asks_once_for_mirror_images():
    asked = []

    def describe(name, start):
        asked.append(name)
        return found(name, start)

    starts = [("trans", TRANS), ("gauche", GAUCHE), ("gauche", MIRRORED), ("again", turned(TRANS))]
    ensemble = gather(starts, describe)
    assert asked == ["trans", "gauche"] and ensemble.members == (0, 1, 1, 0)
    assert [c.chiral for c in ensemble.conformers] == [False, True]
    merged = gather(starts, lambda name, start: found(name, TRANS))
    assert merged.members == (0, 0, 0, 0)
    assert counterpart(found("", turned(MIRRORED)), ensemble.conformers) is ensemble.conformers[1]


def springs(molecules: Molecules) -> Properties:
    """Water of three springs and three charges."""
    i, j = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    stiffness, rest = torch.tensor([0.4, 0.4, 0.12]), torch.tensor([1.803, 1.803, 2.86])
    x = molecules.positions.reshape(molecules.count, 3, 3)
    arms = x[:, i] - x[:, j]
    length = arms.norm(dim=-1)
    pull = -(stiffness * (length - rest) / length)[..., None] * arms
    forces = torch.zeros_like(x).index_add(1, i, pull).index_add(1, j, -pull)
    energy = 0.5 * (stiffness * (length - rest) ** 2).sum(1)
    return Properties(molecules, energy, forces.reshape(-1, 3), (torch.tensor([-0.6, 0.3, 0.3])[:, None] * x).sum(1))


@pytest.fixture(scope="module")
def water():
    start = Molecules.single([8, 1, 1], torch.tensor([[0.0, 0.0, 0.22], [0.0, 1.43, -0.88], [0.0, -1.43, -0.88]], dtype=torch.float64))
    return characterise(springs, start, "water", tolerance=1e-9)


def test_a_straight_start_ends_at_the_bent_minimum(water):
    """Springs on a line pull along it only: a stationary point, which is left along its softest mode."""
    line = Molecules.single([8, 1, 1], torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.8], [0.0, 0.0, -1.8]], dtype=torch.float64))
    found = characterise(springs, line, "straight", tolerance=1e-9)
    assert found.energy == pytest.approx(water.energy, abs=1e-12) and (found.modes.eigenvalues > 0).all()
    assert counterpart(found, (water,)) is water


def test_where_there_is_no_minimum_it_is_said():
    def hill(molecules: Molecules) -> Properties:
        found = springs(molecules)
        return found.replace(energy=-found.energy, forces=-found.forces)

    top = Molecules.single([8, 1, 1], torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.803], [0.0, 0.0, -1.803]], dtype=torch.float64))
    with pytest.raises(VibrationError, match="no minimum|does not relax|did not"):
        characterise(hill, top, "top")


def test_a_single_conformer_weighs_one(water):
    assert Ensemble((water,), (0,)).weights(300.0).tolist() == [1.0]


def test_bonds_tell_isomers_apart_but_not_conformers():
    numbers, ether = [8, 6, 6, 1, 1, 1, 1, 1, 1], [
        [0, 0, 0.6], [1.17, 0, -0.19], [-1.17, 0, -0.19], [2.02, 0, 0.49], [-2.02, 0, 0.49], [1.23, 0.89, -0.83], [1.23, -0.89, -0.83],
        [-1.23, 0.89, -0.83], [-1.23, -0.89, -0.83],
    ]  # fmt: skip
    dimethyl = Molecules.single(numbers, torch.tensor(ether, dtype=torch.float64) * units.ANGSTROM)
    assert bonding(TRANS) == bonding(GAUCHE) == bonding(turned(MIRRORED)) != bonding(dimethyl)
    assert bonding(IN_IN) == bonding(OUT_OUT)
    assert shipped.harmonic(GAUCHE).name == "ethanol.json" and shipped.harmonic(dimethyl) is None


def test_a_molecule_has_a_reference_of_each_level_that_ships():
    (start,) = geometries.read(shipped.geometries("water"))
    found = {xc: shipped.harmonic(start.molecule, ScfSettings(xc=xc, conv_tol_grad=0).level()) for xc in ("PBE", "PBE0", "B3LYP")}
    assert {xc: path.name for xc, path in found.items()} == {"PBE": "water.json", "PBE0": "water-pbe0.json", "B3LYP": "water.json"}
    assert shipped.harmonic(start.molecule).name == "water.json"
    assert shipped.measured(found["PBE0"])["fundamentals"][0]["wavenumber"] == 3657


def test_a_conformer_survives_its_file(water):
    again = Ensemble.from_dict(Ensemble((water,), (0, 0)).to_dict())
    (copy,) = again.conformers
    assert again.members == (0, 0) and copy.name == "water" and copy.symmetry == 4 and copy.energy == water.energy
    torch.testing.assert_close(copy.modes.frequencies, water.modes.frequencies, atol=0.05, rtol=0)
    torch.testing.assert_close(copy.modes.intensities, water.modes.intensities, atol=1e-3, rtol=1e-3)


def test_modes_are_matched_by_motion(water):
    stiffer = replace(water, hessian=water.hessian * 1.1)
    assert matched(water.modes, stiffer.modes).tolist() == [0, 1, 2]
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))[0]
    big = torch.block_diag(turn, turn, turn)
    positions = water.molecule.positions @ turn
    rotated = replace(water, molecule=water.molecule.at(positions), hessian=big.T @ water.hessian @ big)
    order = torch.tensor([2, 0, 1])
    shuffled = replace(rotated.modes, eigenvalues=rotated.modes.eigenvalues[order], vectors=rotated.modes.vectors[order])
    assert order[matched(water.modes, shuffled)].tolist() == [0, 1, 2]
