"""`densnet train --response`: a shipped model learns how its density answers a field, and stays what it was in everything else."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent)]

from command import densnet  # noqa: E402

from densnet.dataset import store  # noqa: E402
from densnet.model.predictor import load  # noqa: E402

WATER = Path(__file__).parents[2] / "labels" / "water"
SETTINGS = """
[density]
points = 400
[model.response]
channels = 8
head_channels = 4
[train]
points_per_frame = 100
[train.response]
steps = 12
batch = 4
warmup = 2
validate_every = 6
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("response")
    labels = store.read(WATER / "heldout_300K.001.h5", WATER / "heldout_300K.response.001.h5")
    store.seal(labels.select(range(0, 50, 3)), folder / "labels.h5")
    (folder / "settings.toml").write_text(SETTINGS)
    outcome = densnet("train", "labels.h5", "--start", "water", "--response", "--settings", "settings.toml", "-o", "out", cwd=folder)
    assert outcome.code == 0, outcome.err
    assert "network 3 of water is of another size" in outcome.err
    return folder


def test_it_learns_and_changes_nothing_else(place):
    molecule = store.read(place / "labels.h5")[0].properties.molecules
    before, after = load("water"), load(place / "out" / "model.safetensors")
    one, other = before(molecule), after(molecule)
    assert torch.equal(one.energy, other.energy) and torch.equal(one.forces, other.forces) and torch.equal(one.dipole, other.dipole)
    assert torch.equal(one.uncertainty.energy, other.uncertainty.energy)
    assert after.provenance["training"] == before.provenance["training"] and after.provenance["response"]["training_frames"] > 5
    log = [json.loads(line)["metrics"] for line in (place / "out" / "training.jsonl").read_text().splitlines()]
    assert log[-1]["score"] < log[0]["score"]


def test_it_is_judged(place):
    outcome = densnet("evaluate", "out/model.safetensors", "labels.h5", "--density-frames", 2, "--json", "errors.json", cwd=place)
    assert outcome.code == 0, outcome.err
    found = json.loads((place / "errors.json").read_text())
    assert 0 < found["polarizability_mae_au"] < 10 and 0 < found["response_error_percent"] < 150
    assert found["frames_with"]["polarizability"] == 17 and found["frames_with"]["response"] == 2


def test_what_is_missing_is_named(place):
    refused = densnet("train", "labels.h5", "--response", "-o", "other", cwd=place)
    assert refused.code == 1 and "`--start`" in refused.err
    bare = densnet("train", WATER / "own_300K.001.h5", "--start", "water", "--response", "-o", "other", cwd=place)
    assert bare.code == 1 and "densnet label --add-response" in bare.err
