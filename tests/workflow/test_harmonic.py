"""The cold run gives the harmonic intensities, band by band, without any model."""

import json
from importlib.resources import files

import numpy as np
import pytest
import torch

from densnet import units
from densnet.molecules import SYMBOLS, Molecules, hill
from densnet.observables.conformers import Ensemble, superpositions
from densnet.properties import Properties
from densnet.spectra.infrared import from_modes
from densnet.spectra.sticks import band_rows, bands_around
from densnet.workflow.harmonic import (
    AnharmonicSettings,
    ColdSettings,
    HarmonicSettings,
    analyse,
    cold_run,
    fundamentals,
    named_geometries,
    write_geometries,
)

WATER = Molecules.single([8, 1, 1], torch.tensor([[0.0, 0.0, 0.22], [0.0, 1.43, -0.88], [0.0, -1.43, -0.88]], dtype=torch.float64))
REST = torch.tensor([1.803, 1.803, 2.86], dtype=torch.float64)
STIFFNESS = torch.tensor([0.4, 0.4, 0.12], dtype=torch.float64)
CHARGES = torch.tensor([-0.6, 0.3, 0.3], dtype=torch.float64)


def springs(molecules: Molecules) -> Properties:
    """Water of three springs and three charges."""
    i, j = torch.tensor([0, 0, 1]), torch.tensor([1, 2, 2])
    x = molecules.positions.reshape(molecules.count, 3, 3)
    arms = x[:, i] - x[:, j]
    length = arms.norm(dim=-1)
    pull = -(STIFFNESS * (length - REST) / length)[..., None] * arms
    forces = torch.zeros_like(x).index_add(1, i, pull).index_add(1, j, -pull)
    energy = 0.5 * (STIFFNESS * (length - REST) ** 2).sum(1)
    return Properties(molecules, energy, forces.reshape(-1, 3), (CHARGES[:, None] * x).sum(1))


@pytest.fixture(scope="module")
def modes():
    return analyse(springs, "water", WATER, HarmonicSettings(tolerance=1e-9, step=0.005)).modes


@pytest.mark.parametrize("timestep", [0.5, 1.0])
def test_cold_run_integrates_to_the_harmonic_intensities(modes, timestep):
    sticks = from_modes(modes)
    assert 1300 < sticks.frequencies[0] < 1500 and 3000 < sticks.frequencies[1] < 4000
    told = []
    settings = ColdSettings(temperature=1.0, timestep_fs=timestep, duration_ps=1.2, depth=800.0)
    spectrum = cold_run(springs, modes, settings, lambda *now: told.append(now))
    bands = bands_around(sticks)
    assert len(bands) == 3
    rows = band_rows(spectrum.bands(bands), sticks)
    np.testing.assert_allclose([r["integral"] for r in rows], [r["harmonic"] for r in rows], rtol=5e-3)
    assert told[-1] == (round(1200 / timestep),) * 2


def test_cold_run_knows_its_temperature(modes):
    spectrum = cold_run(springs, modes, ColdSettings(temperature=5.0, duration_ps=0.6, depth=500.0), lambda *_: None)
    assert spectrum.header["temperature_K"] == pytest.approx(5.0, rel=0.03)
    assert spectrum.header["replicas"] == 4


def test_geometries_of_a_chiral_conformer_come_with_the_mirror_image(tmp_path):
    path = files("densnet") / "data" / "molecules" / "ethanol.json"
    write_geometries(tmp_path / "ethanol.xyz", Ensemble.from_dict(json.loads(path.read_text())), "minimum")
    names, molecules = zip(*named_geometries(tmp_path / "ethanol.xyz"))
    assert names == ("trans", "gauche", "gauche")
    assert superpositions(molecules[1], molecules[2]) == [-1] and superpositions(molecules[0], molecules[1]) == []


def test_formula_is_hills():
    for symbols, formula in ((["O", "H", "H"], "H2O"), (["C", "C", "O", *"HHHHHH"], "C2H6O"), (["Cl", "H"], "ClH"), (["C", "O"], "CO")):
        assert hill(map(SYMBOLS.index, symbols)) == formula


def test_displacements_do_not_move_the_centre_of_mass(modes):
    momentum = (modes.displacements * modes.molecule.masses[None, :, None]).sum(1)
    assert momentum.abs().max() < 1e-10 * units.AMU


def test_fundamentals_are_told_or_why_not():
    found = Ensemble((analyse(springs, "water", WATER, HarmonicSettings(tolerance=1e-9, step=0.005)),), (0,))
    told = []
    [water] = fundamentals(springs, found, AnharmonicSettings(), lambda *step: told.append(step))["conformers"]
    assert water["harmonic_per_cm"] == pytest.approx(found.conformers[0].modes.frequencies.tolist(), abs=0.01)
    assert told[-1] == (28, 28, "anharmonic force constants of water")
    # springs are harmonic in distances, not in normal coordinates, yet far less anharmonic than bonds
    assert np.abs(np.subtract(water["fundamentals_per_cm"], water["harmonic_per_cm"])).max() < 100
    assert "3 atoms are more than `anharmonic.atoms`, now 2." in fundamentals(springs, found, AnharmonicSettings(atoms=2), print)["skipped"]
