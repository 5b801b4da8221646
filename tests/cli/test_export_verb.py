"""`densnet export` at the command line."""

import shutil
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest
import torch
from springs import WATER, Springs
from typer.testing import CliRunner

from densnet import units
from densnet.artefacts import using
from densnet.artefacts.content import Analysis
from densnet.cli.main import build
from densnet.model.predictor import load
from densnet.model.shipped import find
from densnet.molecules import Molecules
from densnet.observables.conformers import Ensemble, characterise
from densnet.reference import shipped
from densnet.simulation.run import SimulateSettings, simulate
from densnet.spectra import raman
from tests.interfaces.test_molden import strictly
from tests.model.random_model import answering

WATER_XYZ = shipped.geometries("water")


def export(*arguments: object):
    return CliRunner().invoke(build(), ["export", *map(str, arguments)])


def test_the_verb_says_what_it_wrote(tmp_path):
    settings = SimulateSettings(replicas=3, thermalise_ps=0.02, duration_ps=0.06, sample_every=4, seed=3, temperature=200)
    simulate(Springs(WATER), WATER, settings, tmp_path / "run")
    out = tmp_path / "one.xyz"
    done = export(tmp_path / "run", "-o", out, "--replica", "1", "--every", "10")
    assert done.exit_code == 0 and f"4 samples of replica 1: {out}" in done.output
    assert len(ase.io.read(out, ":")) == 4 and np.isfinite(ase.io.read(out).get_potential_energy())


def test_modes_of_a_shipped_model_and_of_its_reference(tmp_path):
    out = tmp_path / "deep" / "water.molden"
    done = export("water", "-o", out)
    assert done.exit_code == 0 and f"3 normal modes of H2O C2v (water, harmonic), with Raman activities: {out}" in done.output
    model = strictly(out.read_text())
    assert model[0] == ["O", "H", "H"] and model[3].shape == (3, 2)
    assert export("water", "-o", out, "--reference").exit_code == 0
    conformer = Analysis.read(shipped.harmonic(minimum().molecule)).ensemble.conformers[0]
    known, found = conformer.modes, strictly(out.read_text())
    assert found[3][:, 1] == pytest.approx(raman.from_modes(known, conformer.polarizability_slopes).activities.numpy(), abs=1e-4)
    assert found[2] == pytest.approx(known.frequencies.numpy(), abs=1e-3) and found[2] == pytest.approx(model[2], abs=8)
    assert "PBE/aug-cc-pVDZ" in out.read_text().splitlines()[2]


def minimum():
    return characterise(load("water").double(), water(), "C2v")


def water() -> Molecules:
    atoms = ase.io.read(WATER_XYZ)
    return Molecules.single(atoms.numbers, torch.as_tensor(atoms.positions) * units.ANGSTROM)


def test_raman_activities_of_a_model_with_a_polarizability(tmp_path):
    """Against the two invariants of the polarizability displaced along each vibration that the file holds."""
    model = answering(load("water").double())
    model.save(tmp_path / "own.safetensors")
    done = export(tmp_path / "own.safetensors", "-o", tmp_path / "own.molden", "--geometry", WATER_XYZ)
    assert done.exit_code == 0 and "with Raman activities" in done.output
    _, places, _, intensities, patterns = strictly((tmp_path / "own.molden").read_text())
    molecule = Molecules.single([8, 1, 1], torch.from_numpy(places))
    for (_, activity), pattern in zip(intensities, torch.from_numpy(patterns)):
        reduced = float((molecule.masses[:, None] * pattern**2).sum())  # m_e; dQ = sqrt(reduced) times the length along the pattern
        up, down = (model.respond(molecule.at(molecule.positions + sign * 0.005 * pattern)).polarizability[0] for sign in (1, -1))
        slope = (up - down) / 0.01 / reduced**0.5 / units.ANGSTROM**2 * units.AMU**0.5
        mean, traceless = slope.trace() / 3, slope - slope.trace() / 3 * torch.eye(3)
        assert activity == pytest.approx(float(45 * mean**2 + 7 * 1.5 * traceless.square().sum()), rel=5e-3) and activity > 1e-4


def test_modes_of_a_run(tmp_path):
    """The lowest of its conformers, unless another is named; activities by the model of its settings."""
    lowest = minimum()
    higher = characterise(load("water").double(), water(), "higher")
    object.__setattr__(higher, "energy", lowest.energy + 1e-3)
    (tmp_path / "run" / "conformers").mkdir(parents=True)
    using.CONFORMERS.save(tmp_path / "run", Analysis(Ensemble((higher, lowest), (0, 1))))
    out = tmp_path / "run.molden"
    done = export(tmp_path / "run", "-o", out)
    assert done.exit_code == 0 and "H2O C2v (model of" in done.output and "other conformers: higher" in done.output
    assert strictly(out.read_text())[3].shape == (3, 1)
    answering(load("water")).save(tmp_path / "own.safetensors")
    (tmp_path / "run" / "settings.toml").write_text(f"[run]\nmodel = '{tmp_path / 'own.safetensors'}'\n")
    assert "with Raman activities" in export(tmp_path / "run", "-o", out, "--conformer", "higher").output
    assert strictly(out.read_text())[3].shape == (3, 2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["water", "-o", "water.molden", "--conformer", "cis"], "has no conformer 'cis'; it has C2v"),
        (["wasser", "-o", "water.molden"], "model wasser is neither a file nor the name of a shipped model"),
        ([".", "-o", "water.molden"], "has no normal modes of the model (conformers/conformers.json)"),
        (["own.safetensors", "-o", "water.molden"], "name an xyz file by --geometry"),
        (["own.safetensors", "-o", "water.molden", "--reference", "--geometry", "methane.xyz"], "leave out --reference"),
    ],
)
def test_modes_that_are_not_there(tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    shutil.copy(find("water"), "own.safetensors")
    ase.io.write("methane.xyz", ase.build.molecule("CH4"))
    done = export(*arguments)
    assert done.exit_code and told in str(done.exception) and not Path("water.molden").exists()


@pytest.mark.parametrize("arguments", [["a.molden", "--replica", "1"], ["a.xyz", "--conformer", "C2v"], ["a.h5", "--reference"]])
def test_options_that_do_not_fit_are_wrong_usage(tmp_path, arguments):
    done = export(tmp_path, "-o", *arguments)
    assert done.exit_code == 2 and "for" in done.output
