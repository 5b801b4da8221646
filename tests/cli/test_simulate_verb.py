"""`densnet simulate` at the command line, with springs in the place of a model."""

import os
import signal

import pytest
import torch
from springs import WATER, Springs
from typer.testing import CliRunner

from densnet import units
from densnet.cli.main import build
from densnet.errors import DensnetError
from densnet.model import predictor
from densnet.simulation.run import read_trajectory
from densnet.simulation.trajectory import TrajectoryError
from densnet.workflow.folder import RunError, only_one


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a geometry and a settings file, where `load` gives springs."""
    lines = [f"{symbol} {x:.6f} {y:.6f} {z:.6f}" for symbol, (x, y, z) in zip("OHH", (WATER.positions / units.ANGSTROM).tolist())]
    (tmp_path / "water.xyz").write_text("\n".join(["3", "water", *lines]) + "\n")
    (tmp_path / "run.toml").write_text("[simulate]\ntemperature = 100\nthermalise_ps = 0.01\nduration_ps = 0.02\nreplicas = 5\n")
    (tmp_path / "springs").write_text("they are known by the content of this file")
    monkeypatch.setattr(predictor, "load", lambda name, device: Springs(WATER))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(build(), ["simulate", "springs", "water.xyz", *arguments])


def test_settings_come_from_the_file_and_options_overrule_them(folder):
    done = call("--settings", "run.toml", "--replicas", "2", "--out", "here")
    assert done.exit_code == 0, done.output
    for words in ("2 replicas, temperature", "K (set: 100 K)", "meV/atom/ps", "written: here"):
        assert words in done.output
    found = read_trajectory(folder / "here")
    assert found.potential.shape == (2, 11)
    assert found.settings["temperature"] == 100 and len(found.header["provenance"]["model"]) == 64
    (folder / "springs").write_text("other springs")
    refused = call("--settings", "run.toml", "--replicas", "2", "--out", "here").exception
    assert isinstance(refused, TrajectoryError) and "provenance is another" in str(refused)


def test_the_cost_of_ring_polymers_is_told_before_and_their_temperatures_after(folder):
    with open(folder / "run.toml", "a") as file:
        file.write('ensemble = { kind = "trpmd", beads = 4 }\n')
    done = call("--settings", "run.toml", "--out", "here")
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    assert "20 geometries a step (5 replicas x 4), 1,200 in 60 steps" in text
    assert text.index("geometries a step") < text.index("temperature of the centroid") < text.index("temperature of internal modes")
    assert read_trajectory(folder / "here").dipole.shape == (5, 11, 3)


def test_runs_of_several_seeds_become_one_spectrum(folder):
    with open(folder / "run.toml", "a") as file:
        file.write("seed = 7\n")
    for name, options in (("first", ()), ("second", ("--seed", "8"))):
        assert call("--settings", "run.toml", *options, "--duration-ps", "0.2", "--out", name).exit_code == 0
    first, second = (read_trajectory(folder / name) for name in ("first", "second"))
    assert (first.settings["seed"], second.settings["seed"]) == (7, 8) and not torch.equal(first.dipole, second.dipole)
    done = CliRunner().invoke(build(), ["spectrum", "first", "second", "--depth", "100", "--out", "both"])
    assert done.exit_code == 0 and "10 replicas of 2 trajectories" in done.output, done.output
    again = call("--settings", "run.toml", "--seed", "9", "--duration-ps", "0.2", "--out", "first").exception
    assert isinstance(again, TrajectoryError) and "`seed` was 7, is now 9" in str(again)


def test_a_folder_at_work_is_not_shared(folder):
    with only_one(folder / "simulation", "densnet simulate"), pytest.raises(RunError, match="another `densnet simulate` is working"):
        raise call("--settings", "run.toml").exception


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--replicas", "0"], "`simulate.replicas` is 0"),
        (["--seed", "-1"], "`simulate.seed` is -1"),
        (["--settings", "none.toml"], "none.toml does not exist"),
        (["--settings", "empty.toml"], "no .simulate. section"),
        (["--settings", "number.toml"], "no .simulate. section"),
        (["--settings", "wrong.toml"], "did you mean `temperature`"),
        (["--settings", "gpu.toml"], "`device` is 'cuda' but torch sees no GPU here; set it to 'cpu'"),
    ],
)
def test_wrong_settings_are_explained(folder, monkeypatch, arguments, words):
    (folder / "empty.toml").write_text("")
    (folder / "number.toml").write_text("simulate = 3")
    (folder / "wrong.toml").write_text("[simulate]\ntemprature = 1\n")
    (folder / "gpu.toml").write_text('[simulate]\ndevice = "cuda"\n')
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DensnetError, match=words):
        raise call(*arguments).exception


def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(folder, monkeypatch):
    springs = Springs(WATER)

    def interrupting(molecules):
        if springs.calls == 40:
            os.kill(os.getpid(), signal.SIGINT)
        return springs(molecules)

    interrupting.response_network = None
    monkeypatch.setattr(predictor, "load", lambda name, device: interrupting)
    assert call("--settings", "run.toml").exit_code == 130
    assert not read_trajectory(folder / "simulation").header["complete"]
    assert call("--settings", "run.toml").exit_code == 0
    assert read_trajectory(folder / "simulation").header["complete"]
