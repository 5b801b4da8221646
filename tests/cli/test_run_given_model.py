"""`densnet run` with a model: by the name of a molecule, or by a settings file; errors, resuming, the report."""

import json
import os
import signal
import sys
import time
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from densnet.cli.main import build
from densnet.model import compiled
from densnet.workflow.choice import Choice, settings_text
from densnet.workflow.desk import Desk, Inputs
from densnet.workflow.settings import RunFile
from densnet.workflow.using import RECIPES, _measured

sys.path.insert(0, str(Path(__file__).parent))

from command import densnet, started  # noqa: E402

WATER = "3\nconformer=bent\nO 0 0 -0.0637\nH 0 0.7722 0.5053\nH 0 -0.7722 0.5053\n"
CURVE = "wavenumber,absorbance\n" + "".join(f"{x},{1 if 1500 < x < 1700 else 0.01}\n" for x in range(400, 4000, 10))
SETTINGS = """
[run]
model = "water"
[simulate]
replicas = 4
thermalise_ps = 0.02
duration_ps = 0.1
checkpoint_every = 20
[spectrum]
depth = 60
experiment = ["curve.csv"]
bands = [[1200, 2000], [3000, 4300]]
"""
STAGES = ("conformers", "simulate", "spectrum")


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "water.xyz").write_text(WATER)
    (tmp_path / "curve.csv").write_text(CURVE)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("etanol",), "nor a shipped molecule; did you mean ethanol? shipped are ethanethiol, ethanol, ethanol-pbe0, "),
        (("nowhere.toml",), "settings file nowhere.toml does not exist"),
        (("mine.toml", "--long"), "options go with the name of a molecule; set them in mine.toml instead"),
        (("methanol",), "For another molecule: give its SMILES in quotes, or an xyz file of its conformers"),
        (("water", "--experiment", "no.jdx"), "no.jdx: No such file or directory"),
    ],
)
def test_bad_arguments(place, arguments, told):
    outcome = densnet("run", *arguments, cwd=place)
    assert outcome.code == 1 and told in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[simulate]", "[train]\nseed = 1\n[simulate]"), "nothing is labelled or trained: remove [train], or `run.model`."),
        (('"water"', '"watre"'), "neither a file nor the name of a shipped model (ethanethiol, ethanol, ethanol-pbe0, "),
        (('"water"', '"mine.toml"'), "setting `run.geometries` is missing"),
        (('model = "water"', 'geometries = "water.xyz"\n[sample]\ngeometries = "water.xyz"'), "`run.geometries` requires `run.model`"),
        (("bands = [[1200, 2000]", "bands = [[2000, 1200]"), "`spectrum.bands`"),
        (("replicas = 4", "replicas = 1"), "conformer C2v has 1 of the replicas, but two are needed"),
    ],
)
def test_bad_settings(place, change, told):
    (place / "mine.toml").write_text(SETTINGS.replace(*change))
    outcome = densnet("run", "mine.toml", cwd=place)
    assert outcome.code == 1 and told in outcome.err.splitlines()[-1] and "Traceback" not in outcome.err, outcome.err


def test_options_of_a_name_are_settings(place):
    text = settings_text("water", Choice(replicas=6, temperature=200.0, folder=Path("there")))
    found = tomllib.loads(text)
    assert found["run"] == {"name": "water-200K", "model": "water", "folder": "there"}
    assert found["simulate"]["temperature"] == 200.0 and found["simulate"]["replicas"] == 6


def test_a_name_is_a_settings_file(place):
    outcome = densnet("run", "water", "--replicas", 6, "--experiment", "curve.csv", "--dry", cwd=place)
    assert outcome.code == 0, outcome.err
    assert [line.split()[0] for line in outcome.err.splitlines()] == list(STAGES)
    assert not (place / "runs" / "water" / "conformers").exists()


def test_measured_curves_are_told_apart(place, monkeypatch):
    """Equal names in two folders are two curves; a file named twice is one; each has its copy, in the same order."""
    for number, folder in enumerate(("one", "two")):
        (place / folder).mkdir()
        (place / folder / "curve.csv").write_text(CURVE.replace(",0.01", f",0.0{number}"))
    (place / "kept" / "spectrum").mkdir(parents=True)
    values = {"run": {"folder": "kept"}, "spectrum": {"experiment": ["one/curve.csv", "one/curve.csv", "two/curve.csv"]}}
    monkeypatch.chdir(place)
    found = _measured(Desk(Inputs(RunFile.model_validate(values), place), RECIPES[-1]))
    assert {name: curve.header["baseline"].split()[0] for name, curve in found.items()} == {"one/curve.csv": "0", "two/curve.csv": "0.01"}
    kept = place / "kept" / "spectrum"
    copies = [(kept / f"experiment-{number}.csv").read_text() for number in range(len(list(kept.iterdir())))]
    assert copies == [(place / name).read_text() for name in found]


def test_a_killed_run_goes_on_to_its_report(place):
    text = SETTINGS.replace('model = "water"', 'model = "water"\ngeometries = "water.xyz"')
    (place / "mine.toml").write_text(text)
    folder = place / "runs" / "mine"
    with started("run", "mine.toml", cwd=place) as run:
        while not list((folder / "simulate").glob("*.safetensors")) and run.process.is_alive():
            time.sleep(0.005)
        os.kill(run.process.pid, signal.SIGKILL)
        run.outcome()
    assert not json.loads((folder / "simulate" / "mark.json").read_text())["finished"]
    again = densnet("run", "mine.toml", cwd=place)
    assert again.code == 0, again.err
    assert "continuing where it was stopped" in again.err and again.err.count("already done") == 1
    expected = "expected errors: energy"
    assert expected in again.err and expected in (folder / "run.log").read_text()
    told = json.loads((folder / "spectrum" / "ensemble.json").read_text())
    assert [c["name"] for c in told["conformers"]] == ["bent"] and told["conformers"][0]["symmetry"] == 4
    bands = json.loads((folder / "spectrum" / "bands.json").read_text())
    assert bands["experiment"]["curve.csv"][0]["centroid"] == pytest.approx(1600, abs=15)
    [quantum] = json.loads((folder / "conformers" / "anharmonic.json").read_text())["conformers"]
    assert quantum["fundamentals_per_cm"][2] < quantum["harmonic_per_cm"][2] - 100 and not quantum["soft"]
    page = (folder / "report.html").read_text()
    assert "Comparison with experiment" in page and ">classical nuclei<" in page and "ν3" in page
    assert "HOH bend" in page and "curve.csv" in page and "SIS" in page and "not measured" not in page
    assert "nothing was labelled" in page and "default-src 'none'" in page
    (place / "mine.toml").write_text(text.replace("depth = 60", "depth = 80"))
    assert "spectrum   repeated" in densnet("run", "mine.toml", cwd=place).err


def test_a_model_that_cannot_be_compiled_runs_as_it_is(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(compiled, "compiler_found", lambda: False)
    monkeypatch.setenv("DENSNET_CACHE", str(place / "cache"))
    (place / "mine.toml").write_text(SETTINGS.replace("[simulate]", "[simulate]\ncompile = true"))
    outcome = CliRunner().invoke(build(), ["run", "mine.toml"])
    told = " ".join(outcome.output.split())
    assert outcome.exit_code == 0 and "needs a C++ compiler (g++)" in told and "Continuing without it." in told, outcome.output
    assert (place / "runs" / "mine" / "report.html").exists()
