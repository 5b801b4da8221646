"""`densnet train --calibrate`: a model trained before learns how large its errors are; `densnet evaluate` shows it."""

import json

import pytest
from typer.testing import CliRunner

from densnet.cli.main import build
from densnet.dataset import store
from densnet.dataset.dataset import Dataset, Label
from densnet.model.predictor import load
from densnet.model.uncertainty import UncertaintyMissing
from densnet.training.uncertainty import CalibrationError
from tests.model.random_model import random_predictor
from tests.model.test_uncertainty import labelled, waters


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """``model.safetensors``, which says it was trained on 9 frames and validated on 3, and 12 labels of 12 trajectories."""
    place = tmp_path_factory.mktemp("calibrate")
    predictor = random_predictor(("H", "O"), basis="small", cutoff=5.0).requires_grad_(False)
    predictor.provenance = {"training": {"validation_fraction": 0.25, "seed": 1}, "training_frames": 9, "validation_frames": 3}
    predictor.save(place / "model.safetensors")
    labels = [Label(p, number, 300.0, f"{number:016x}", "made up", {}) for number, p in enumerate(labelled(predictor, waters(12, 1)))]
    store.seal(Dataset(labels), place / "all.h5")
    store.seal(Dataset(labels[:8]), place / "some.h5")
    return place


def call(*arguments):
    return CliRunner().invoke(build(), [str(argument) for argument in arguments])


def test_a_model_trained_before_learns_its_errors_and_evaluate_shows_them(folder):
    done = call("train", folder / "all.h5", "--start", folder / "model.safetensors", "--calibrate", "--out", folder / "new")
    assert done.exit_code == 0, done.output
    old, new = load(folder / "model.safetensors"), load(folder / "new" / "model.safetensors")
    molecule = waters(1, 5)[0]
    assert old(molecule).energy.equal(new(molecule).energy) and new(molecule).uncertainty is not None
    assert new.provenance == old.provenance
    shown = call(
        "evaluate", folder / "new" / "model.safetensors", folder / "some.h5", "--json", folder / "e.json", "--plot", folder / "e.png"
    )
    assert shown.exit_code == 0, shown.output
    assert "expected by the model" in shown.output and (folder / "e.png").stat().st_size > 5000
    rows = json.loads((folder / "e.json").read_text())["calibration"]
    assert set(rows) == {"energy", "forces", "dipole"} and rows["forces"]["rms_deviation"] > 0


@pytest.mark.parametrize(
    ("data", "start", "words"),
    [("some.h5", "model.safetensors", "trained on 9 frames and validated on 3"), ("all.h5", None, "needs `--start`")],
)
def test_what_does_not_fit_is_explained(folder, data, start, words):
    given = () if start is None else ("--start", folder / start)
    with pytest.raises(CalibrationError, match=words):
        raise call("train", folder / data, *given, "--calibrate", "--out", folder / "never").exception


def test_calibration_has_no_settings_of_its_own(folder):
    (folder / "settings.toml").write_text("[train]\nseed = 5\n")
    given = ("--start", folder / "model.safetensors", "--calibrate", "--settings", folder / "settings.toml")
    with pytest.raises(CalibrationError, match="omit `--settings`"):
        raise call("train", folder / "all.h5", *given, "--out", folder / "never").exception


def test_nothing_to_plot_is_explained(folder):
    with pytest.raises(UncertaintyMissing, match="nothing to plot"):
        raise call("evaluate", folder / "model.safetensors", folder / "some.h5", "--plot", folder / "never.png").exception
