"""A run does what is missing, goes on where it was stopped, and never deletes a result."""

import json
import shutil

import pytest

from densnet.settings import Incidental, Section
from densnet.simulation.run import SimulateSettings
from densnet.workflow.folder import Mark, RunError, Stage, keys, only_one, pending, walk


class Sampling(Section):
    frames: int
    workers: Incidental[int]


class Workshop:
    """Two stages, the second of which needs the first; counts what was done and told."""

    def __init__(self, folder, frames=3, epochs=5, workers=1, fail=False):
        self.folder, self.done, self.events, self.fail = folder, [], [], fail
        self.stages = [
            Stage("sample", "geometries", {"sample": Sampling(frames=frames, workers=workers)}, self.work("sample")),
            Stage("train", "training", {"train": {"epochs": epochs}}, self.work("train"), needs=("sample",)),
        ]

    def work(self, name):
        def write(place):
            with open(place / "steps", "a") as steps:
                steps.write("x")
            if self.fail and name == "train":
                raise KeyboardInterrupt
            self.done.append(name)

        return write

    def walk(self):
        seconds = walk(self.folder, self.stages, lambda e: self.events.append((e.kind, e.stage.name, e.detail)))
        assert list(seconds) == ["sample", "train"]
        return self.done


def test_second_start_does_nothing(tmp_path):
    assert Workshop(tmp_path).walk() == ["sample", "train"]
    again = Workshop(tmp_path)
    assert again.walk() == []
    assert [kind for kind, _, _ in again.events] == ["skipped", "skipped"]


def test_an_interrupted_stage_goes_on_in_its_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Workshop(tmp_path, fail=True).walk()
    assert not Mark.read(tmp_path / "train").finished
    again = Workshop(tmp_path)
    assert again.walk() == ["train"]
    assert [kind for kind, _, _ in again.events] == ["skipped", "resumed", "finished"]
    assert (tmp_path / "train" / "steps").read_text() == "xx"


def test_a_changed_setting_redoes_what_depends_on_it_and_keeps_the_old(tmp_path):
    Workshop(tmp_path).walk()
    assert Workshop(tmp_path, epochs=6).walk() == ["train"]
    changed = Workshop(tmp_path, frames=4, epochs=6)
    assert changed.walk() == ["sample", "train"]
    told = {name: detail for kind, name, detail in changed.events if kind == "replaced"}
    assert "sample.frames: 3 -> 4" in told["sample"] and "input has changed" in told["train"]
    assert sorted(p.name for p in (tmp_path / "replaced").iterdir()) == ["sample-1", "train-1", "train-2"]
    assert (tmp_path / "replaced" / "train-1" / "steps").read_text() == "x"


def test_a_lost_result_is_made_again_with_all_that_came_from_it(tmp_path):
    Workshop(tmp_path).walk()
    shutil.rmtree(tmp_path / "sample")
    workshop = Workshop(tmp_path)
    told = ["to be done", "to be done again: its input has changed"]
    assert [state for _, state in pending(tmp_path, workshop.stages)] == told
    assert workshop.walk() == ["sample", "train"]
    assert [state for _, state in pending(tmp_path, workshop.stages)] == ["done", "done"]


def test_speed_settings_change_no_result(tmp_path):
    Workshop(tmp_path).walk()
    assert Workshop(tmp_path, workers=8).walk() == []


def test_content_of_input_files_counts(tmp_path):
    file = tmp_path / "water.xyz"
    stage = Stage("sample", "", {}, lambda place: None, files=(file,))
    file.write_text("1")
    first = keys([stage])
    file.write_text("2")
    assert keys([stage]) != first


@pytest.mark.parametrize("content", ["", "{", '{"format": 1}', "[]"])
def test_a_damaged_mark_is_named(tmp_path, content):
    (tmp_path / "mark.json").write_text(content)
    with pytest.raises(RunError, match="mark.json"):
        Mark.read(tmp_path)


def test_a_newer_mark_asks_for_an_upgrade(tmp_path):
    (tmp_path / "mark.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RunError, match="upgrade"):
        Mark.read(tmp_path)


def test_two_runs_do_not_share_a_folder(tmp_path):
    with only_one(tmp_path), pytest.raises(RunError, match="another"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_settings_of_a_simulation_that_may_change_when_it_goes_on_are_no_part_of_its_key():
    """Else `densnet run` would set aside what `densnet simulate` continues."""
    before = SimulateSettings()
    other = {"device": "cuda", "threads": 3, "block": 7, "compile": True, "when_novel": "stop", "novel_frames": 0, "novel_spacing_fs": 1.0}
    assert SimulateSettings.incidental() == {*other, "checkpoint_every"}

    def key(settings):
        return keys([Stage("simulate", "dynamics", {"simulate": settings}, print)])

    assert key(before) == key(before.model_copy(update=other)) != key(before.model_copy(update={"temperature": 1.0}))
