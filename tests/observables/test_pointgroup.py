"""Point groups of molecules with known ones; how many modes of each species group theory gives; numbers after Herzberg."""

import json
from collections import Counter
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from ase.build import molecule as built

from densnet import units
from densnet.molecules import Molecules
from densnet.observables.conformers import Ensemble, symmetry_operations
from densnet.observables.pointgroup import characters, point_group, species, up_to_symmetry
from densnet.observables.response import polarizability_derivatives
from densnet.observables.vibrations import Modes, modes
from densnet.properties import Properties
from densnet.symmetry import random_rotation

GROUPS = {
    "H2O": "C2v", "NH3": "C3v", "CH4": "Td", "C6H6": "D6h", "C2H4": "D2h", "C2H6": "D3d", "C3H4_D2d": "D2d", "C3H6_D3h": "D3h",
    "H2O2": "C2", "CH3OH": "Cs", "C2H2": "D∞h", "HCN": "C∞v", "C4H4S": "C2v",
}  # fmt: skip
TURN = random_rotation(torch.Generator().manual_seed(3))


def geometry(name: str) -> Molecules:
    """Turned, so that no axis is x, y or z."""
    atoms = built(name)
    return Molecules.single(atoms.numbers, torch.tensor(atoms.positions) @ TURN * units.ANGSTROM)


def symmetric(molecule: Molecules) -> Modes:
    """Modes of a random Hessian that every operation of the group leaves as it is."""
    generator = torch.Generator().manual_seed(7)
    size = 3 * len(molecule.numbers)
    root = torch.randn(size, size, dtype=torch.float64, generator=generator)
    random = (root @ root.T / size).reshape(-1, 3, len(molecule.numbers), 3)
    total = torch.zeros_like(random)
    for turn, move in symmetry_operations(molecule):
        total[move[:, None], :, move] += torch.einsum("ij,ajbk,lk->abil", turn, random, turn)
    return modes(molecule, total.reshape(size, size))


@pytest.mark.parametrize(("name", "group"), GROUPS.items())
def test_groups(name, group):
    found = point_group(geometry(name))
    assert found.name == group
    assert found.axes.T @ found.axes == pytest.approx(torch.eye(3).double(), abs=1e-9)


@pytest.mark.parametrize("name", [name for name, group in GROUPS.items() if "∞" not in group])
def test_characters_are_orthonormal(name):
    molecule = geometry(name)
    table = characters(point_group(molecule), molecule)
    rows = torch.stack(list(table.values()))
    assert (rows @ rows.T / rows.shape[1]).numpy() == pytest.approx(np.eye(len(rows)), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("H2O", {"A1": 2, "B2": 1}),
        ("NH3", {"A1": 2, "E": 4}),
        ("CH4", {"A1": 1, "E": 2, "T2": 6}),
        ("C2H4", {"Ag": 3, "B3g": 2, "Au": 1, "B1u": 2, "B2u": 2, "B2g": 1, "B3u": 1}),
        ("C2H6", {"A1g": 3, "A1u": 1, "A2u": 2, "Eg": 6, "Eu": 6}),
        ("C3H4_D2d", {"A1": 3, "B1": 1, "B2": 3, "E": 8}),
        ("C3H6_D3h", {"A1'": 3, "A2'": 1, "E'": 8, "A1''": 1, "A2''": 2, "E''": 6}),
        ("C6H6", {"A1g": 2, "A2g": 1, "B2g": 2, "E1g": 2, "E2g": 8, "A2u": 1, "B1u": 2, "B2u": 2, "E1u": 6, "E2u": 4}),
        ("C4H4S", {"A1": 8, "A2": 3, "B1": 3, "B2": 7}),
        ("CH3OH", {"A'": 8, "A''": 4}),
    ],
)
def test_species_are_as_many_as_group_theory_says(name, counts):
    found = species(symmetric(geometry(name)))
    assert Counter(one.name for one in found) == counts
    numbers = {one.number for one in found}
    degenerate = {"E": 2, "T": 3}
    assert numbers == set(range(1, 1 + sum(n // degenerate.get(kind[0], 1) for kind, n in counts.items())))


def test_numbers_of_ethanol_and_water():
    ethanol, water = (
        Ensemble.from_dict(json.loads((files("densnet") / "data" / "molecules" / f"{name}.json").read_text())).conformers[0].modes
        for name in ("ethanol", "water")
    )
    known = dict(zip(((one.number, one.name) for one in species(ethanol)), ethanol.frequencies.tolist()))
    first, last = [known[n, "A'"] for n in range(1, 14)], [known[n, "A''"] for n in range(14, 22)]
    assert first == sorted(first, reverse=True) and last == sorted(last, reverse=True) and len(known) == 21
    assert [(one.number, one.name) for one in species(water)] == [(2, "A1"), (1, "A1"), (3, "B2")]


def test_a_linear_molecule_has_stretches_and_pairs_of_bends():
    carbon_dioxide = Molecules.single([8, 6, 8], torch.tensor([[0.0, 0, -2.2], [0, 0, 0], [0, 0, 2.2]]).double() @ TURN)
    axis = TURN[2]
    hessian = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    for i, j in ((0, 1), (1, 2)):
        pull = torch.outer(axis, axis)
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            hessian[a, :, b] += sign * pull
    bend = torch.tensor([1.0, -2.0, 1.0]).double()
    hessian += 0.05 * torch.einsum("a,b,ij->aibj", bend, bend, torch.eye(3).double() - torch.outer(axis, axis))
    found = species(modes(carbon_dioxide, hessian.reshape(9, 9)))
    assert [(one.number, one.name) for one in found] == [(3, "Πu"), (3, "Πu"), (1, "Σg+"), (2, "Σu+")]


def test_isotopes_are_told_apart():
    water = geometry("H2O")
    masses = water.masses.clone()
    masses[1] = 2.01410178 * units.AMU
    assert point_group(replace(water, isotopes=masses)).name == "Cs"


@pytest.mark.parametrize(("name", "calculated"), [("CH4", 3), ("H2O", 9), ("CH3OH", 26)])
def test_slopes_of_the_polarizability_need_no_geometry_that_symmetry_gives(name: str, calculated: int):
    """A sum over pairs of r r^T e^(-r). Where they are x, y and z or turn into each other: methanol has but a plane with four atoms."""
    still, asked = Molecules.single((atoms := built(name)).numbers, torch.tensor(atoms.positions) * units.ANGSTROM), []

    def alpha(molecule: Molecules) -> torch.Tensor:
        asked.append(molecule)
        apart = molecule.positions[:, None] - molecule.positions
        strength = torch.outer(molecule.numbers, molecule.numbers) * torch.exp(-apart.norm(dim=2))
        return torch.einsum("ab,abi,abj->ij", strength.double(), apart, apart)

    def all_of_them(molecules: Molecules) -> Properties:
        return Properties(molecules, polarizability=torch.stack([alpha(one) for one in molecules.split()]))

    plain = polarizability_derivatives(all_of_them, still)
    asked.clear()
    assert (polarizability_derivatives(up_to_symmetry(alpha, still), still) - plain).abs().max() < 1e-8 * plain.abs().max() + 1e-5
    assert len(asked) == calculated
