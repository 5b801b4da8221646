"""Documentation that holds: the Python of docs/python.md and docs/ase.md runs as it stands."""

import ast
import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A working folder with what the examples read; what they write stays in it."""
    for name in ("examples", "labels"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def executed(page: str) -> dict:
    """The names that the Python blocks of a page leave, run one after the other."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    names: dict = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    return names


def test_python_page_runs(repository, capsys):
    names = executed("docs/python.md")
    assert "km/mol" in capsys.readouterr().out
    assert {path.name for path in (repository / "runs" / "python").iterdir()} >= {"correction.cube", "harmonic.csv", "dynamics", "local"}
    stiff, free = (names["normal_modes"](f, names["relax"](f, names["minimum"])) for f in (names["restrained"], names["model"]))
    assert stiff.frequencies.sum() > free.frequencies.sum() + 10


def test_ase_page_runs(repository, capsys):
    names = executed("docs/ase.md")
    assert "A^4/amu" in capsys.readouterr().out  # that of the infrared goes to the stdout of when ASE was imported
    assert names["infrared"].get_frequencies().real[6:] == pytest.approx([1584, 3685, 3797], abs=8)
    assert names["raman"].get_absolute_intensities()[6:].min() > 0


def test_notebook_runs_and_shows_its_results(repository):
    """As jupytext makes cells of it; a cell's last expression shows itself, and nothing is stored in the file."""
    book = jupytext.read(ROOT / "examples" / "spectrum.py")
    assert [cell["cell_type"] for cell in book.cells].count("markdown") > 5
    names: dict = {}
    shown = []
    for cell in book.cells:
        if cell["cell_type"] == "code":
            *work, last = ast.parse(cell["source"]).body
            if not isinstance(last, ast.Expr) or isinstance(last.value, ast.Call):
                work, last = [*work, last], None
            exec(compile(ast.Module(work, []), "examples/spectrum.py", "exec"), names)
            if last is not None:
                shown.append(eval(compile(ast.Expression(last.value), "examples/spectrum.py", "eval"), names)._repr_html_())
    titles = [re.search(r">([^<]+)</div>", text)[1] for text in shown]
    wanted = ["Density: correction to the promolecule", "Normal modes of C2H6O", "Spectrum", "Trajectory of C2H6O", "Spectrum"]
    assert titles == wanted and (repository / "runs" / "notebook" / "modes.molden").exists()


def test_every_page_is_in_the_navigation_of_the_site():
    named = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:")[1], re.M)
    assert sorted(named) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
