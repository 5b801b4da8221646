"""Water's shipped model against PBE: gradient by gradient, kept, found again; against its Hessian; in the report; at the command line."""

import csv
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from densnet import units
from densnet.artefacts.content import Verification
from densnet.artefacts.using import VERIFICATION
from densnet.model.predictor import load
from densnet.observables.conformers import Ensemble
from densnet.observables.vibrations import normal_modes
from densnet.reference import geometries
from densnet.reference.scf import ScfSettings, calculate
from densnet.reference.shipped import geometries as shipped_geometries
from densnet.settings import SettingsError
from densnet.workflow.verification import VerifyError, VerifySettings, level_of, reference_of, verify, write_csv

sys.path.insert(0, str(Path(__file__).parent.parent / "cli"))

from command import densnet, started  # noqa: E402

MODEL = load("water").double()
MOLECULE = geometries.read(shipped_geometries("water"))[0].molecule
CHEAP = "[label.scf]\nbasis = 'def2-svp'\nradial_points = 20\nangular_points = 110\n"


def test_every_shipped_model_states_a_level_that_can_be_calculated():
    for name in ("water", "ethanol", "ethanethiol", "resorcinol"):
        scf = level_of(load(name), name)
        assert (scf.xc, scf.basis, scf.dispersion) == ("PBE", "aug-cc-pvdz", "none")


@pytest.mark.parametrize(
    "settings",
    [ScfSettings(), ScfSettings(dispersion="d4"), ScfSettings(xc="PBE0", basis="def2-tzvp"), ScfSettings(conv_tol_grad=0, max_cycle=9)],
)
def test_a_level_tells_its_settings(settings):
    again = ScfSettings.of_level(json.loads(json.dumps(settings.level())))
    assert again.level() == settings.level() and again.deciding() | {"max_cycle": 0} == settings.deciding() | {"max_cycle": 0}


def test_a_level_that_cannot_be_calculated_is_refused():
    level = ScfSettings().level()
    for other, word in (({**level, "code": "orca"}, "code = 'orca'"), ({**level, "functional": "x"}, "functional = 'x'"), ({}, "= None")):
        with pytest.raises(SettingsError, match=f"densnet does not calculate at a level with .*{word}"):
            ScfSettings.of_level(other)
    nameless = load("water")
    del nameless.provenance["level"]
    with pytest.raises(VerifyError, match="mine does not state the level of its labels"):
        level_of(nameless, "mine")


@pytest.fixture(scope="module")
def water(tmp_path_factory) -> tuple[Verification, Path, list[str]]:
    """PBE/aug-cc-pVDZ, some eight gradients of half a second."""
    place, told = tmp_path_factory.mktemp("verify"), []
    settings = VerifySettings(workers=1)
    with ThreadPoolExecutor(1) as execute:
        reference = reference_of(level_of(MODEL, "water"), place, settings, execute=execute)
        return verify(MODEL, MOLECULE, reference, settings, tell=told.append), place, told


def test_water_against_its_hessian(water):
    found = water[0]
    known = Ensemble.from_dict(json.loads((files("densnet") / "data" / "molecules" / "water.json").read_text())).conformers[0].modes
    rows = sorted(found.rows, key=lambda row: row.mode)
    assert [row.mode for row in rows] == [1, 2, 3] and [row.motion for row in rows][0] == "HOH bend"
    # the shipped Hessian is of differences over 0.02 bohr, which costs it up to 1 cm^-1
    assert [row.reference for row in rows] == pytest.approx(known.frequencies.tolist(), abs=1.2)
    assert [row.reference_strength for row in rows] == pytest.approx(known.intensities.tolist(), abs=0.3)
    scf = ScfSettings()
    place = torch.tensor(found.positions) * units.ANGSTROM
    fine = normal_modes(lambda batch: joined(batch, scf), MOLECULE.at(place), step=0.006)
    assert [row.corrected for row in rows] == pytest.approx(fine.frequencies.tolist(), abs=0.25)
    assert [row.corrected_strength for row in rows] == pytest.approx(fine.intensities.tolist(), abs=0.05)
    assert all(row.overlap > 0.999 and row.residual < 3 for row in rows)
    own = normal_modes(MODEL, MOLECULE, step=0.002)
    assert [row.model for row in rows] == pytest.approx(own.frequencies.tolist(), abs=0.3)
    assert found.share == pytest.approx(1) and found.at_the_minimum and found.noise < 1 and found.shift < 2 and found.strength < 2


def joined(batch, scf):
    return type(MODEL(MOLECULE)).concatenate([calculate(single, scf).replace(orbitals=None) for single in batch.split()])


def test_cost_is_told_before_it_arises(water):
    found, _, told = water
    assert told[0].startswith("3 of 3 modes with 100 % of the absorption of the model: 6 gradients along them, and before these 1 to 4")
    assert "largest force" in told[1] and found.gradients in range(7, 11)


def test_nothing_is_calculated_twice(water):
    found, place, _ = water
    labels = {path: path.stat().st_mtime_ns for path in place.rglob("*.npz")}
    assert len(labels) == found.gradients
    settings = VerifySettings(workers=1, modes=2)
    again = verify(MODEL, MOLECULE, reference_of(level_of(MODEL, "water"), place, settings), settings)
    assert again.modes[0]["reference"] == pytest.approx(found.modes[0]["reference"], abs=1e-9)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.npz")} == labels


def test_steps_that_do_not_suffice_are_told(tmp_path):
    settings = VerifySettings(modes=1, newton=0, tolerance=1e-9)
    found = verify(MODEL, MOLECULE, lambda batch: MODEL(batch), settings)
    assert not found.at_the_minimum and found.gradients == 3 and found.shift < 0.02


def test_table_and_json(water, tmp_path):
    found = water[0]
    VERIFICATION.write(tmp_path / "verify.json", found)
    assert VERIFICATION.read(tmp_path / "verify.json") == found
    write_csv(tmp_path / "verify.csv", found)
    rows = list(csv.DictReader((tmp_path / "verify.csv").read_text().splitlines()))
    assert [float(row["reference_cm-1"]) for row in rows] == [row.reference for row in found.rows]
    assert rows[0]["motion"] == "HOH bend"


def test_a_kill_loses_no_gradient_and_the_report_of_a_run_shows_the_table(tmp_path):
    (tmp_path / "level.toml").write_text(CHEAP)
    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.toml").write_text("[run]\nmodel = 'water'\n")
    command = ("verify", "water", shipped_geometries("water"), "--settings", "level.toml", "--workers", 1, "--out", "run/verify")
    done = lambda: {path: path.stat().st_mtime_ns for path in (run / "verify").rglob("*.npz")}  # noqa: E731
    with started(*command, cwd=tmp_path) as running:
        until = time.monotonic() + 100
        while not any("displaced" in str(path) for path in done()) and time.monotonic() < until and running.process.is_alive():
            time.sleep(0.02)
        os.kill(running.process.pid, signal.SIGKILL)
    before = done()
    assert 2 <= len(before) < 8
    outcome = densnet(*command, cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    after = done()
    assert before.items() <= after.items() and len(after) in range(7, 11)
    assert "HOH bend" in outcome.out and "gradients of PBE/def2-svp" in " ".join(outcome.out.split())
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Verification with single gradients" in page and "Rayleigh quotient" in page and "HOH bend" in page
    assert json.loads((run / "verify" / "verify.json").read_text())["gradients"] == len(after)
    refused = densnet(*command[:3], "--out", "run/verify", cwd=tmp_path)
    assert refused.code == 1 and "labels with angular_points = 110, not 434" in refused.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("water", "none.xyz"), "geometry file none.xyz does not exist."),
        (("nobody", "water.xyz"), "model nobody is neither a file nor the name of a shipped model"),
        (("water", "water.xyz", "--frame", 3), "`--frame` is 3, but water.xyz has frames 1 to 1."),
        (("water", "methane.xyz"), "this model does not know element C"),
        (("water", "water.xyz", "--settings", "bad.toml"), "unknown setting `label.scf.bases`; did you mean `basis`?"),
    ],
)
def test_bad_input(tmp_path, arguments, told):
    (tmp_path / "water.xyz").write_text(shipped_geometries("water").read_text())
    (tmp_path / "methane.xyz").write_text("5\n\nC 0 0 0\nH .63 .63 .63\nH -.63 -.63 .63\nH -.63 .63 -.63\nH .63 -.63 -.63\n")
    (tmp_path / "bad.toml").write_text("[label.scf]\nbases = 'x'\n")
    outcome = densnet("verify", *arguments, cwd=tmp_path)
    assert outcome.code == 1 and told in outcome.err and len(outcome.err.strip().splitlines()) == 1
    assert outcome.err.strip().startswith("error: ")
