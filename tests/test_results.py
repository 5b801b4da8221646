"""The tables of the documentation are those of benchmarks/results, and how a benchmark keeps and gives what it has measured."""

import json
import re
import sys
from pathlib import Path

import experiment
import pytest
import tables
import torch
from experiment import Table

from densnet.molecules import Molecules
from densnet.properties import Properties

SHOWN = [
    (page.stem, name, table) for page in tables.pages() for _, name, table, _, _ in tables.PLACE.findall(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.stem)
def test_a_page_shows_what_was_recorded(page):
    text = page.read_text(encoding="utf-8")
    assert tables.renewed(text) == text, "run python benchmarks/tables.py"
    assert text.count("<!-- table ") == text.count("<!-- end of table -->") == len(tables.PLACE.findall(text))


def test_every_recorded_table_is_shown_once():
    assert len(SHOWN) > 30 and not tables.unused()
    assert len({shown[1:] for shown in SHOWN}) == len(SHOWN)


@pytest.mark.parametrize(("page", "name", "table"), SHOWN, ids=lambda part: part)
def test_a_recorded_table_says_how_it_was_made(page, name, table):
    found = experiment.read(name)[table]
    assert re.fullmatch(r"[0-9a-f]{12}(\+changes)?", found["commit"]) and re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert found["hardware"] and found["command"]
    assert found["rows"] and all(len(row) == len(found["columns"]) for row in found["rows"])


def test_a_number_that_was_changed_by_hand_is_noticed():
    page, name, table = SHOWN[0]
    text = (experiment.ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    found = experiment.read(name)[table]
    found["rows"][0][-1] = 123456
    assert tables.renewed(text, lambda *place: Table(found["columns"], found["rows"]).markdown()) != text


def test_what_is_recorded_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(
        sys, "argv", [str(experiment.ROOT / "benchmarks" / "torsions.py"), "--record", "--out", "/else/where", "--model", "my model"]
    )
    first, second = Table(["a", "b"], [[1, 2.5], ["x", None]]), Table(["c"], [[0.12345], [1234.5], [""]])
    settings = {
        "steps": 3,
        "labels": experiment.LABELS / "water",
        "model": Path("/else/where/a.safetensors"),
        "out": Path("/else"),
        "seeds": [1, 2],
    }
    experiment.record("some", {"first": first}, settings)
    experiment.record("some", {"second": second})
    found = experiment.read("some")
    assert set(found) == {"first", "second"}
    assert found["first"]["settings"] == {"steps": "3", "labels": "labels/water", "model": "a.safetensors", "seeds": "1 2"}
    assert found["first"]["command"] == "python benchmarks/torsions.py --model 'my model'"
    assert found["first"]["torch"] == torch.__version__ and found["first"]["commit"] == experiment.commit()
    assert Table(found["second"]["columns"], found["second"]["rows"]) == second
    assert first.markdown().splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2.5 |", "| x | - |"]
    assert second.markdown().splitlines()[2:] == ["| 0.123 |", "| 1234 |", "| |"]


def test_work_is_done_once(tmp_path):
    calls = []
    work = lambda: calls.append(1) or {"value": len(calls)}  # noqa: E731
    path = tmp_path / "deep" / "result.json"
    assert experiment.once(path, work) == experiment.once(path, work) == json.loads(path.read_text()) == {"value": 1}


def test_first_frames_are_spread_over_all():
    frames = [Properties(Molecules.single([2], [[0.0, 0.0, float(k)]])) for k in range(10)]
    order = [float(frame.molecules.positions[0, 2]) for frame in experiment.spread(frames, 3)]
    assert order[:3] == [0, 3, 6] and sorted(order) == list(range(10))
    assert len(experiment.spread(frames[:2], 20)) == 2


def test_frames_of_a_list_are_those_of_its_shards():
    assert [path.name for path in experiment.shards("ethanol/start_500K", "water/own_300K")] == ["start_500K.h5", "own_300K.001.h5"]
    assert len(experiment.frames("water/own_300K", "water/heldout_300K")) == 100
