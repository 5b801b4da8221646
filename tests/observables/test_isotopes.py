"""Isotopologues: the same forces, other masses; everything that follows from the modes follows the masses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from densnet.model.predictor import load
from densnet.molecules import Molecules, isotopologue
from densnet.observables.anharmonic import vpt2
from densnet.observables.conformers import Conformer, Ensemble, correspondence, substituted, superpositions
from densnet.observables.coordinates import describe
from densnet.observables.vibrations import free_energy, modes, normal_modes, principal_axes, relax
from densnet.reference import geometries, shipped
from densnet.simulation.initial import StartError, deal, maxwell_boltzmann
from densnet.units import AMU, ANGSTROM

EXAMPLES = Path(__file__).parents[2] / "examples" / "geometries"
PROTIUM, DEUTERIUM, OXYGEN = 1.00782503 * AMU, 2.01410178 * AMU, 15.9949146 * AMU


def heavy(molecule: Molecules, *atoms: int) -> Molecules:
    """Deuterium in the place of ``atoms``."""
    masses = molecule.masses.clone()
    masses[list(atoms)] = DEUTERIUM
    return replace(molecule, isotopes=masses)


@pytest.fixture(scope="module")
def water() -> Molecules:
    return geometries.read(EXAMPLES / "water.xyz")[0].molecule


@pytest.fixture(scope="module")
def model():
    return load("water").double()


def test_a_spring_between_isotopes_has_the_frequency_of_its_reduced_mass():
    def lines(*masses):
        molecule = Molecules.single([1, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 1.4]], torch.tensor(masses, dtype=torch.float64))
        hessian = torch.zeros(6, 6, dtype=torch.float64)
        hessian[2, 2] = hessian[5, 5] = 0.37
        hessian[2, 5] = hessian[5, 2] = -0.37
        return float(modes(molecule, hessian).eigenvalues[-1])

    for a, b in ((PROTIUM, PROTIUM), (PROTIUM, DEUTERIUM), (DEUTERIUM, DEUTERIUM)):
        assert lines(a, b) == pytest.approx(0.37 * (1 / a + 1 / b), rel=1e-12)


def test_harmonic_lines_of_heavy_and_light_water(model, water):
    expected = {(): (1585, 3688, 3799), (1, 2): (1160, 2659, 2783)}
    for atoms, lines in expected.items():
        molecule = heavy(water, *atoms) if atoms else water
        found = normal_modes(model, relax(model, molecule))
        assert found.frequencies.tolist() == pytest.approx(lines, abs=1.0)


def test_modes_of_isotopologues_obey_the_rules_of_teller_and_redlich_and_of_sums(model, water):
    """Product rule (E. Teller, O. Redlich 1935) of each symmetry species, and additivity of sums of squares over H2O, HDO, D2O."""
    rest = relax(model, water)
    light, mixed, full = (normal_modes(model, m) for m in (rest, heavy(rest, 1), heavy(rest, 1, 2)))
    squares = [float(m.eigenvalues.sum()) for m in (light, mixed, full)]
    assert squares[1] == pytest.approx((squares[0] + squares[2]) / 2, rel=1e-4)

    def product(found, first):
        molecule = found.molecule
        moments = principal_axes(molecule)[0]
        inertia = (float(moments.prod()) / float(molecule.masses.sum()) ** -3) ** 0.5
        return float(found.frequencies.prod()) / (inertia / float(molecule.masses.prod()) ** 1.5)

    assert product(full, light) == pytest.approx(product(light, light), rel=1e-4)
    assert product(mixed, light) == pytest.approx(product(light, light), rel=1e-4)


def test_motions_are_named_after_the_isotope_that_moves(model, water):
    rest = relax(model, water)
    assert describe(normal_modes(model, heavy(rest, 1, 2))) == ["DOD bend", "O-D symmetric stretch", "O-D antisymmetric stretch"]
    assert describe(normal_modes(model, heavy(rest, 1)))[1:] == ["O-D stretch", "O-H stretch"]


def test_fundamentals_and_free_energies_follow_the_masses(model, water):
    rest = relax(model, water)
    found = {atoms: normal_modes(model, heavy(rest, *atoms)) for atoms in ((), (1, 2))}
    shifts = {atoms: float((vpt2(model, m).fundamentals - m.frequencies)[2]) for atoms, m in found.items()}
    assert shifts[(1, 2)] / shifts[()] == pytest.approx((1159.5 / 1584.5) ** 2, rel=0.1), "anharmonic shifts go with 1 / mass"
    zero_point = {atoms: free_energy(m, 0.0, 1.0) for atoms, m in found.items()}
    assert zero_point[(1, 2)] < zero_point[()]


def test_isotopes_tell_atoms_apart():
    ethanol = geometries.read(EXAMPLES / "ethanol.xyz")[0].molecule
    hydrogens = torch.nonzero(ethanol.numbers == 1)[:, 0].tolist()
    groups = [len(superpositions(m, m)) for m in (ethanol, *(heavy(ethanol, h) for h in hydrogens))]
    assert groups[0] == 2 and sorted(groups[1:]) == [1, 1, 1, 1, 2, 2], "only two hydrogens lie in the plane of the trans conformer"
    assert superpositions(ethanol, heavy(ethanol, hydrogens[0])) == []
    assert correspondence(ethanol, ethanol).tolist() == list(range(9))


def test_a_reference_takes_the_isotopes_of_a_molecule_in_another_order(water):
    known = Ensemble.from_dict(json.loads(shipped.harmonic(water).read_text())).conformers
    other = Molecules.single(water.numbers[[1, 0, 2]], water.positions[[1, 0, 2]] + 3.0)
    found = substituted(heavy(other, 2), known)
    assert isotopologue(found.molecule) == "HDO" and torch.equal(found.hessian, known[0].hessian)
    assert found.modes.frequencies.tolist() == pytest.approx([1389, 2720, 3748], abs=3)
    assert substituted(heavy(Molecules.single(water.numbers, water.positions * 1.3), 1), known) is None
    again = Conformer.from_dict(json.loads(json.dumps(found.to_dict())))
    assert torch.allclose(again.modes.frequencies, found.modes.frequencies, atol=1e-3)
    assert "masses_u" not in known[0].to_dict()


def test_replicas_are_of_one_isotopologue_and_as_warm_as_any(water):
    dealt = deal(heavy(water, 1, 2), 2000)
    assert torch.equal(dealt.masses[:3], heavy(water, 1, 2).masses) and dealt.split()[7].isotopes is not None
    speeds = maxwell_boltzmann(dealt, 0.001, torch.Generator().manual_seed(1)).square().view(2000, 3, 3).mean((0, 2))
    assert speeds.tolist() == pytest.approx([0.001 / m for m in (OXYGEN, DEUTERIUM, DEUTERIUM)], rel=0.06)
    with pytest.raises(StartError, match="isotopes of .*2.014"):
        deal(Molecules.concatenate([water, heavy(water, 1)]), 2)


def test_masses_go_with_molecules(water):
    both = Molecules.concatenate([water, heavy(water, 2)])
    assert [isotopologue(m) for m in both.split()] == ["", "HDO"]
    assert [isotopologue(m) for m in both.at(2 * both.positions).to("cpu").cut(2)] == ["", "HDO"]
    assert Molecules.concatenate([water, water]).isotopes is None
    assert isotopologue(Molecules.replicas(water.numbers, water.positions[None], heavy(water, 1).masses)) == "HDO"
    methane = Molecules.single([6, 1, 1, 1, 1], torch.zeros(5, 3) / ANGSTROM)
    carbon = replace(methane, isotopes=torch.tensor([13.00335484, *(5 * [1.00782503])][:5], dtype=torch.float64) * AMU)
    assert isotopologue(carbon) == "[13C]H4" and isotopologue(heavy(methane, 1, 2)) == "CH2D2"
