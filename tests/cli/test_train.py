"""`densnet train`: a folder belongs to one training; with `--start`, frames that the model knows stay on the side that they were on."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from densnet import units
from densnet.cli.main import build
from densnet.dataset import store
from densnet.dataset.dataset import Dataset, Label
from densnet.model.predictor import load
from densnet.molecules import SYMBOLS, Molecules
from densnet.properties import MissingProperty, Properties
from densnet.training.checkpoint import TrainingError
from densnet.training.coverage import names
from densnet.training.settings import TrainSettings
from densnet.workflow.splits import held_out, parted
from densnet.workflow.verification import level_of
from tests.model.random_model import random_predictor
from tests.model.test_uncertainty import labelled, waters

PLAN = TrainSettings(validation_fraction=0.25)


@pytest.fixture(scope="module")
def former():
    return random_predictor(("H", "O"), basis="small", cutoff=5.0).requires_grad_(False)


@pytest.fixture(scope="module")
def labels(former):
    """36 frames of 12 trajectories."""
    return Dataset(
        Label(p, number // 3, 300.0, f"{number:016x}", "made up", {}) for number, p in enumerate(labelled(former, waters(36, 1)))
    )


def keys(labels):
    return set(names(label.properties.molecules for label in labels))


def test_known_frames_stay_on_their_side(former, labels):
    old = labels.select(range(18))
    parts = held_out(old, PLAN.validation_fraction, PLAN.seed)
    former.provenance = {"frames": {"training": sorted(keys(parts[0])), "validation": sorted(keys(parts[1]))}}
    said = []
    known, watched = parted(labels, PLAN, former, said.append)
    assert not said and len(known) + len(watched) == len(labels)
    assert keys(parts[0]) <= keys(known) and keys(parts[1]) <= keys(watched)
    assert not set(known.trajectories) & set(watched.trajectories)
    assert len(watched) > len(parts[1])  # of the new trajectories, too


def test_new_frames_of_a_known_trajectory_follow_it(former, labels):
    former.provenance = {"frames": {"training": sorted(keys(labels.select([0, 3, 6]))), "validation": sorted(keys(labels.select([9])))}}
    known, watched = parted(labels.select(range(12)), PLAN, former, print)
    assert [label.trajectory for label in watched] == [3, 3, 3] and len(known) == 9


def test_a_known_molecule_stays_whole_on_its_side(former, labels):
    peroxide = Properties(Molecules.single([8, 8, 1, 1], torch.eye(4, 3)))
    both = labels + Dataset(Label(peroxide, number, 300.0, "", "made up", {}) for number in range(4))
    former.provenance = {"frames": {"training": sorted(keys(labels.select([3]))), "validation": sorted(keys(both.select([len(both) - 1])))}}
    known, watched = parted(both, PLAN.model_copy(update={"validation_by": "molecule"}), former, print)
    assert {name for name, _ in known.trajectories} == {"H2O"} and len(known) == len(labels)
    assert {name for name, _ in watched.trajectories} == {"H2O2"} and len(watched) == 4


def test_a_model_without_record_is_told_of(former, labels):
    former.provenance = {}
    said = []
    known, watched = parted(labels, PLAN, former, said.append)
    assert "no record" in said[0] and keys(watched) == keys(held_out(labels, PLAN.validation_fraction, PLAN.seed)[1])
    assert parted(labels, PLAN, None, said.append)[1].trajectories == watched.trajectories and len(said) == 1


SETTINGS = """
[density]
basis = "small"
points = 200
[model.density]
channels = 8
[model.energy]
channels = 8
[train]
compile = false
validation_fraction = 0.25
density = {steps = 4, batch = 4}
points = {steps = 4, batch = 4}
energy = {steps = 4, batch = 4}
"""


def test_train_keeps_a_record_refuses_another_training_and_goes_on(tmp_path):
    some = store.read(Path(__file__).resolve().parents[2] / "labels" / "water" / "heldout_300K.001.h5")
    store.seal(some.select(range(0, 50, 5)), tmp_path / "old.h5")
    store.seal(some.select(range(2, 50, 5)), tmp_path / "new.h5")
    (tmp_path / "settings.toml").write_text(SETTINGS)
    (tmp_path / "other.toml").write_text(SETTINGS.replace("steps = 4", "steps = 5"))

    def train(*arguments):
        return CliRunner().invoke(build(), ["train", *map(str, arguments)])

    first = ("--out", tmp_path / "first", "--settings")
    assert train(tmp_path / "old.h5", *first, tmp_path / "settings.toml").exit_code == 0
    refused = train(tmp_path / "old.h5", *first, tmp_path / "other.toml").exception
    assert isinstance(refused, TrainingError) and "train.density.steps was 4, is now 5" in str(refused)
    again = train(tmp_path / "old.h5", *first, tmp_path / "settings.toml")
    assert again.exit_code == 0, again.output

    start = ("--start", tmp_path / "first" / "model.safetensors", "--settings", tmp_path / "settings.toml")
    then = train(tmp_path / "old.h5", tmp_path / "new.h5", *start, "--out", tmp_path / "second")
    assert then.exit_code == 0 and "has learned exponents" in then.output, then.output
    told = [load(tmp_path / name / "model.safetensors").provenance for name in ("first", "second")]
    assert all(one["level"] == some.level and level_of(load("water"), "water").level() == one["level"] for one in told)
    old, new = (one["frames"] for one in told)
    assert set(old["training"]) <= set(new["training"]) and set(old["validation"]) <= set(new["validation"])
    assert len(new["training"]) + len(new["validation"]) == 20


def test_energies_and_forces_alone_train_the_energy_on_the_density_of_another_model(tmp_path):
    """As they come from any other program, in extended xyz: the density network stays as it is, and so does what labels need orbitals."""
    some = store.read(Path(__file__).resolve().parents[2] / "labels" / "water" / "heldout_300K.001.h5").select(range(0, 40, 4))
    with open(tmp_path / "foreign.extxyz", "w", encoding="utf-8") as file:
        for label in some:
            molecule, forces = label.properties.molecules, label.properties.forces / units.EV * units.ANGSTROM
            file.write(f"3\nProperties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy={float(label.properties.energy) / units.EV!r}")
            file.write(f" trajectory={label.trajectory}\n")
            for number, place, force in zip(molecule.numbers, molecule.positions / units.ANGSTROM, forces):
                file.write(" ".join([SYMBOLS[number], *(f"{x:.10f}" for x in (*place.tolist(), *force.tolist()))]) + "\n")
    (tmp_path / "energies.toml").write_text(
        "[train]\ncompile = false\nvalidation_fraction = 0.25\npoints = {steps = 0}\nenergy = {steps = 3, batch = 4}\n"
    )

    def train(*arguments):
        return CliRunner().invoke(build(), ["train", *map(str, (tmp_path / "foreign.extxyz", *arguments))])

    outcome = train("--start", "water", "--settings", tmp_path / "energies.toml", "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    old, new = load("water"), load(tmp_path / "out" / "model.safetensors")
    density, energy = (
        any(not torch.equal(a, b) for a, b in zip(getattr(old, name).parameters(), getattr(new, name).parameters()))
        for name in ("density_network", "energy_network")
    )
    assert energy and not density and new.uncertainty is None and "level" not in new.provenance

    refused = train("--settings", tmp_path / "energies.toml", "--out", tmp_path / "never").exception
    assert isinstance(refused, TrainingError) and "`--start`" in str(refused)
    needed = train("--start", "water", "--out", tmp_path / "never").exception
    assert isinstance(needed, MissingProperty) and "`train.points.steps = 0`" in str(needed)
