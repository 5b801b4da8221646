"""Files of the first formats load for ever, and say what they said then."""

import json
import shutil
from pathlib import Path

import ase.io
import MDAnalysis
import pytest
import torch

from densnet import units
from densnet.dataset import store
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.reference import campaign, geometries
from densnet.simulation.export import export
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import TrajectoryError, read_trajectory
from densnet.spectra.spectrum import SpectrumError
from densnet.spectra.timeseries import Sampling
from densnet.workflow import Plan

FIRST = Path(__file__).parent / "fixtures" / "first"
SAME = 8  # samples before the first rescaling after the interruption
WATER = Molecules.single([8, 1, 1], [[0.0, 0.0, 0.1], [0.0, 1.45, -0.98], [0.0, -1.45, -0.98]])
SETTINGS = SimulateSettings(
    replicas=2, thermalise_ps=0.005, duration_ps=0.02, checkpoint_every=20, ensemble="svr", temperature=100.0, stretch_limit=5.0,
    energy_tolerance=1e6, threads=1,
)  # fmt: skip


def test_a_model_of_format_2_says_what_it_said():
    known = json.loads((FIRST / "model.json").read_text())
    two = Molecules.replicas([8, 1, 1], torch.tensor(known["positions_bohr"], dtype=torch.float64).view(2, 3, 3))
    predictor = load(FIRST / "model.safetensors")
    said = predictor.with_force_uncertainty(two)
    for name in ("energy", "forces", "dipole"):
        assert torch.allclose(getattr(said, name).double(), torch.tensor(known[name]).double(), rtol=1e-6, atol=1e-6), name
    for name, values in known["uncertainty"].items():
        assert torch.allclose(getattr(said.uncertainty, name), torch.tensor(values).double(), rtol=1e-4), name
    assert predictor.provenance == {"training_frames": 3, "note": "weights drawn at random"}


def test_a_model_of_format_2_is_saved_in_the_newest(tmp_path):
    predictor = load(FIRST / "model.safetensors")
    predictor.save(tmp_path / "new.safetensors")
    again = load(tmp_path / "new.safetensors")
    one, other = predictor(WATER), again(WATER)
    assert torch.equal(one.energy, other.energy) and torch.equal(one.forces, other.forces)
    assert torch.equal(one.uncertainty.dipole, other.uncertainty.dipole) and again.provenance == predictor.provenance


def test_frames_campaign_and_dataset_of_format_1():
    frames = geometries.read(FIRST / "frames.xyz")
    sealed, loose = store.read(FIRST / "dataset.h5"), store.read(FIRST / "campaign")
    assert [label.identity for label in sealed] == [label.identity for label in loose] == ["943a31d93226e657", "a10b43478f18630c"]
    for frame, label in zip(frames, sealed):
        assert campaign.identity(frame.molecule, label.level) == label.identity  # what was labelled is not labelled again
        assert torch.equal(frame.molecule.positions, label.properties.molecules.positions)
        assert float(label.properties.energy) == -76.0 + float(frame.molecule.positions[0, 2])
    one, other = sealed.properties(), loose.properties()
    assert torch.equal(one.forces, other.forces) and torch.equal(one.dipole, other.dipole) and len(one.orbitals) == 2


def test_a_campaign_of_format_1_goes_on(tmp_path):
    shutil.copytree(FIRST / "campaign", tmp_path / "labels")
    level = {"basis": "aug-cc-pvdz", "xc": "PBE"}
    tally = campaign.run(geometries.read(FIRST / "frames.xyz"), None, store.save_label, tmp_path / "labels", level=level)
    assert tally == campaign.Tally(labelled=2, new=0, aside=1)


def test_a_finished_trajectory_of_format_1_is_read_and_not_made_again(tmp_path):
    shutil.copytree(FIRST / "finished", tmp_path / "run")
    found = read_trajectory(tmp_path / "run")
    assert found.positions.shape == found.velocities.shape == (2, 11, 3, 3) and found.dipole.shape == (2, 11, 3)
    assert found.settings["temperature"] == 100.0 and found.header["complete"] and found.novelty.shape == (2, 11)
    assert simulate(None, WATER, SETTINGS, tmp_path / "run") == tmp_path / "run" / "trajectory.h5"
    with pytest.raises(TrajectoryError, match="`seed` was 0, is now 1"):
        simulate(None, WATER, SETTINGS.model_copy(update={"seed": 1}), tmp_path / "run")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_trajectory_of_format_1_keeps_its_number_and_is_exported(tmp_path):
    """Its number is in frame lists and labels that were made from it; its settings are read in the layout of today."""
    found = read_trajectory(FIRST / "finished")
    assert found.number(1) == 4284301158645761 and found.settings["ensemble"] == {"kind": "svr", "time_constant_fs": 200.0}
    assert export(FIRST / "finished", tmp_path / "one.xyz", 1) == export(FIRST / "finished", tmp_path / "all.h5md") == 11
    frames = ase.io.read(tmp_path / "one.xyz", ":")
    assert [atoms.get_potential_energy() for atoms in frames] == pytest.approx((found.potential[1] / units.EV).tolist(), rel=1e-9)
    universe = MDAnalysis.Universe(str(tmp_path / "all.h5md"))
    assert universe.atoms.positions == pytest.approx(found.positions[:, 0].reshape(-1, 3).numpy() / units.ANGSTROM, abs=1e-5)


def test_an_interrupted_simulation_of_format_1_goes_on(tmp_path):
    """Its thermostat rescales half a step earlier now, so that it goes on in the same way only until then."""
    shutil.copytree(FIRST / "interrupted", tmp_path / "run")
    simulate(load(FIRST / "model.safetensors"), WATER, SETTINGS, tmp_path / "run")
    found, whole = read_trajectory(tmp_path / "run"), read_trajectory(FIRST / "finished")
    assert found.header["complete"] and found.positions.shape == whole.positions.shape and found.positions.isfinite().all()
    assert torch.allclose(found.positions[:, :SAME], whole.positions[:, :SAME], rtol=0, atol=1e-4)
    assert torch.allclose(found.novelty[:, :SAME], whole.novelty[:, :SAME], rtol=1e-2)


def test_temperatures_of_format_1_are_not_used(tmp_path):
    """They are those of velocities on the step; what was recorded before an interruption and after it must not be mixed."""
    for kind in ("finished", "interrupted"):
        shutil.copytree(FIRST / kind, tmp_path / kind)
        simulate(load(FIRST / "model.safetensors"), WATER, SETTINGS, tmp_path / kind)
        found = read_trajectory(tmp_path / kind)
        assert found.temperature.isnan().all() and "not known (set: 100 K)" in str(found.realised)
        with pytest.raises(SpectrumError, match="simulate again"):
            Sampling(found.sample_step, found.time_step, found.temperature.mean(1).numpy())


def test_a_run_folder_of_format_1_is_known(tmp_path, monkeypatch):
    """A stage is done, or what has changed since is said in a sentence."""
    shutil.copytree(FIRST / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    told = dict(Plan.of("mine.toml").pending())
    assert told.keys() == {"conformers", "simulate", "spectrum"} and told["spectrum"] == "to be done"
    assert told["conformers"] == "to be done again: its input has changed"  # more ships of water, and is copied into the folder
    assert told["simulate"] == "to be done again: its input has changed"  # the shipped model states the level of its labels since
