"""`densnet run` and `densnet density` of a molecule by SMILES or geometry: which model is used, what is refused, what zero-shot says."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from densnet.model.predictor import load
from densnet.settings import SettingsError
from densnet.workflow import Plan
from densnet.workflow.choice import Choice, settings_text

sys.path.insert(0, str(Path(__file__).parent))

from command import densnet  # noqa: E402

pytest.importorskip("rdkit")

WATER = "3\nconformer=bent\nO 0 0 -0.0637\nH 0 0.7722 0.5053\nH 0 -0.7722 0.5053\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "water.xyz").write_text(WATER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(what: str, **choice) -> dict:
    return tomllib.loads(settings_text(what, Choice(**choice)))["run"]


def test_a_molecule_that_ships_has_its_model_however_it_is_named(place):
    assert run_of("ethanol")["model"] == run_of("OCC")["model"] == "ethanol"
    assert tomllib.loads(settings_text("CCO", Choice()))["spectrum"]["bands"][0] == [700, 960]
    assert [tomllib.loads(settings_text(s, Choice()))["simulate"]["replicas"] for s in ("O", "water", "C#N", "C=O")] == [192, 192, 192, 48]
    assert run_of("water.xyz") == {"model": "water", "name": "water", "geometries": str(place / "water.xyz")}


def test_another_one_is_refined_from_a_start_or_used_as_it_is_and_trained_from_nothing_where_a_file_says_so(place):
    known = {"name": "CC(C)=O", "smiles": "CC(C)=O"}
    folder = str(Path("runs") / "C3H6O-CSCPPACGZOOCGX")
    assert run_of("O=C(C)C") == {**known, "folder": folder, "start": "organic"}
    assert run_of("O=C(C)C", start="ethanol") == {**known, "folder": folder, "start": "ethanol"}
    as_it_is = {"name": "CC(C)=O-zero-shot", "smiles": "CC(C)=O", "folder": f"{folder}-zero-shot", "model": "ethanol"}
    assert run_of("O=C(C)C", start="ethanol", zero_shot=True) == as_it_is
    assert run_of("CCO", start="water")["start"] == "water"  # what is said goes before what ships
    assert run_of("O=C(C)C", zero_shot=True) == {**as_it_is, "model": "organic"}
    assert run_of("CC(C)=O", level="pbe0/aug-cc-pVDZ")["start"] == "organic"
    plan = Plan.of("CC(C)=O")
    assert [name for name, _ in plan.pending()][:2] == ["search", "refine"] and not plan.folder.exists()
    (place / "acetone.toml").write_text('[run]\nsmiles = "CC(C)=O"\n')
    assert [name for name, _ in Plan.of("acetone.toml").pending()][:3] == ["search", "sample", "label"]


def test_a_level_is_that_of_a_shipped_model_or_one_is_refined_for_it(place):
    assert run_of("ethanol", level="PBE0") == {"name": "ethanol-PBE0", "model": "ethanol-pbe0"}
    assert run_of("ethanol-pbe0", level="PBE")["model"] == "ethanol"
    other = tomllib.loads(settings_text("ethanethiol", Choice(level="pbe0")))
    assert other["run"] == {"name": "ethanethiol-pbe0", "start": "ethanethiol"}
    assert other["label"]["scf"] == {"xc": "PBE0", "basis": "aug-cc-pvdz"} and other["refine"]["semiempirical"] == {"steps": 0}
    general = tomllib.loads(settings_text("CC(C)=O", Choice(level="B3LYP/def2-SVP")))
    assert general["label"]["scf"] == {"xc": "B3LYP", "basis": "def2-svp"} and "refine" not in general
    assert general["run"]["folder"].endswith("-B3LYP-def2-SVP")
    with pytest.raises(SettingsError, match="--level PBE and --zero-shot exclude each other: organic is of another level"):
        run_of("CC(C)=O", level="PBE", zero_shot=True)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("C(", "error: SMILES 'C(' is not valid: RDKit cannot read it"),
        ("[Na+].[Cl-]", "error: SMILES '[Na+].[Cl-]' has 2 separate parts"),
        ("CC[O-]", "has charge -1"),
        ("no.xyz", "geometry file no.xyz does not exist"),
    ],
)
def test_what_cannot_be_treated_is_one_line(place, what, told):
    outcome = densnet("run", what, cwd=place)
    assert outcome.code == 1 and told in outcome.err and len(outcome.err.splitlines()) == 1, outcome.err
    assert not (place / "runs").exists()


def test_a_molecule_that_a_model_never_saw_is_told_so(place):
    """A model whose training frames are of another formula: the output and the page say that nobody knows how wrong it is."""
    model = load("water")
    model.provenance = {**model.provenance, "coverage": {"H6C2O": model.provenance["coverage"]["H2O"]}}
    model.save(place / "other.safetensors")
    text = settings_text("water.xyz", Choice(start="other.safetensors", zero_shot=True, replicas=2))
    short = text.replace("duration_ps = 2.5", "duration_ps = 0.1").replace("thermalise_ps = 0.5", "thermalise_ps = 0.02")
    (place / "mine.toml").write_text(short.replace("compile = true", "compile = false") + "depth = 60\n[anharmonic]\natoms = 0\n")
    outcome = densnet("run", "mine.toml", cwd=place)
    assert outcome.code == 0 and "warning: the model was trained on no geometry of this molecule" in outcome.err, outcome.err
    warning = json.loads((place / "runs" / "water-zero-shot" / "simulate" / "warnings.json").read_text())[0]
    assert "errors of wavenumbers, intensities and conformer weights are unknown" in warning
    assert warning.split(":")[0] in (place / "runs" / "water-zero-shot" / "report.html").read_text()


def test_the_density_of_a_smiles(place):
    outcome = densnet("density", "water", "O", "--spacing", 0.8, "--json", "-", cwd=place)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["electrons"] == pytest.approx(10, abs=1e-4) and 1.5 < sum(x**2 for x in found["dipole_D"]) ** 0.5 < 2.2
    outcome = densnet("density", "CC(C)=O", "--spacing", 0.8, "--json", "-", cwd=place)
    assert outcome.code == 0, outcome.err
    general = json.loads(outcome.out)
    assert general["electrons"] == pytest.approx(32, abs=1e-3) and 2.6 < sum(x**2 for x in general["dipole_D"]) ** 0.5 < 3.4
    assert "`--frame` is 2, but O has conformers 1 to 1." in densnet("density", "water", "O", "--frame", 2, cwd=place).err
