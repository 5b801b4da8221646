"""Sections of settings: which of them decide a result."""

from pathlib import Path
from typing import get_args

from densnet.model.predictor import ModelSettings
from densnet.settings import Incidental, Section, deciding, plain
from densnet.training.settings import TrainSettings


class Inner(Section):
    basis: str = "small"
    memory_mb: Incidental[int] = 2000


class Outer(Section):
    inner: Inner = Inner()
    threads: Incidental[int] = 0
    path: Path = Path("here")


def test_settings_say_themselves_whether_they_decide_the_result():
    assert Outer.incidental() == {"threads"} and Inner.incidental() == {"memory_mb"}
    assert Outer(threads=3).deciding() == {"inner": {"basis": "small"}, "path": "here"}
    sections = {"outer": Outer(), "held_out": 0.1}
    assert deciding(sections) == {"outer": {"inner": {"basis": "small"}, "path": "here"}, "held_out": 0.1}
    assert plain(sections)["outer"] == {"inner": {"basis": "small", "memory_mb": 2000}, "threads": 0, "path": "here"}


def test_every_setting_of_speed_is_marked():
    """Names that mean speed wherever they stand: one that is not marked would make a run begin anew."""
    from densnet.workflow.settings import RunFile

    speed = {"workers", "memory_mb", "device", "threads", "block", "compile", "checkpoint_every"}

    def sections(kind: type[Section]):
        yield kind
        for about in kind.model_fields.values():
            for choice in (*get_args(about.annotation), about.annotation):
                if isinstance(choice, type) and issubclass(choice, Section):
                    yield from sections(choice)

    kinds = set(sections(RunFile))
    assert len(kinds) > 12
    for kind in kinds:
        assert speed & kind.model_fields.keys() <= kind.incidental(), kind


def test_a_setting_that_came_later_changes_no_older_key():
    for older, newer in ((TrainSettings(), TrainSettings(response={"steps": 5})), (ModelSettings(), ModelSettings(response={"layers": 2}))):
        assert "response" not in older.deciding() and "response" in newer.deciding()


def test_what_a_file_leaves_out_of_a_phase_is_as_that_phase_is_by_default():
    from densnet.workflow.refinement import RefineSettings

    changed = RefineSettings.model_validate({"semiempirical": {"steps": 5}, "train": {"points": {"batch": 4}}})
    assert changed.semiempirical == RefineSettings().semiempirical.model_copy(update={"steps": 5})
    assert changed.train == RefineSettings().train.model_copy(update={"points": changed.train.points})
    assert changed.train.points == RefineSettings().train.points.model_copy(update={"batch": 4})
    assert TrainSettings.model_validate({"joint": {"steps": 10}}).joint.learning_rate == TrainSettings().joint.learning_rate
