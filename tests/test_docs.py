"""Documentation that holds: the Python of docs/python.md runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A working folder with what the examples read; what they write stays in it."""
    for name in ("examples", "labels"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_page_runs(repository, capsys):
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    assert "km/mol" in capsys.readouterr().out
    assert {path.name for path in (repository / "runs" / "python").iterdir()} >= {"correction.cube", "harmonic.csv", "dynamics", "local"}
    stiff, free = (names["normal_modes"](f, names["relax"](f, names["minimum"])) for f in (names["restrained"], names["model"]))
    assert stiff.frequencies.sum() > free.frequencies.sum() + 10


def test_every_page_is_in_the_navigation_of_the_site():
    named = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1], re.M)
    assert sorted(named) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
