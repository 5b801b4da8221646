"""Each kind of bad input at the command line: one clear sentence, exit code 1, nothing lost."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.torch import load_file, save_file

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "model")]

from command import densnet  # noqa: E402
from random_model import random_predictor  # noqa: E402

WATER = "3\nwater\nO 0 0 -0.0637\nH 0 0.7722 0.5053\nH 0 -0.7722 0.5053\n"
LABELLED = (
    '3\nProperties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=-2077.0 REF_dipole="0 0 0.39"\n'
    "O 0 0 -0.0637 0 0 0.1\nH 0 0.7722 0.5053 0 0 -0.05\nH 0 -0.7722 0.5053 0 0 -0.05\n"
)
SETTINGS = '[run]\nname = "w"\n[sample]\ngeometries = "water.xyz"\nmethod = "as given"\n'


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    random_predictor(elements=("H", "O"), basis="small").save(path)
    return path


@pytest.fixture
def place(tmp_path) -> Path:
    (tmp_path / "water.xyz").write_text(WATER)
    (tmp_path / "water.toml").write_text(SETTINGS)
    (tmp_path / "labelled.xyz").write_text(LABELLED)
    return tmp_path


def refused(*arguments: object, cwd: Path) -> str:
    """The one line of the error."""
    outcome = densnet(*arguments, cwd=cwd)
    assert outcome.code == 1, (outcome.code, outcome.out, outcome.err)
    lines = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in outcome.err, outcome.err
    return lines[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SETTINGS + "frmes = 3\n", "unknown setting `sample.frmes`; did you mean `frames`?"),
        (SETTINGS + "[smaple]\n", "unknown setting `smaple`; did you mean `sample`?"),
        (SETTINGS + "[label.scf]\nxcf = 'PBE'\n", "unknown setting `label.scf.xcf`; did you mean `xc`?"),
        (SETTINGS + "frames = -1\n", "`sample.frames` is -1"),
        (SETTINGS + "[density]\nbasis = 'huge'\n", "`density.basis` is 'huge'"),
        (SETTINGS + "[label.scf]\nbasis = '6-31g'\n", "must be an orbital basis that comes with densnet: aug-cc-pvdz, "),
        (SETTINGS + "[label.scf]\nxc = 'GGA_XC_VV10'\n", "must be a GGA, a meta-GGA or a hybrid of these"),
        ("[run]\nname = 'w'\n", "`sample` is missing"),
        (SETTINGS + "[simulate]\nduration_ps = 1.0\n", "[simulate] is not suitable for its spectrum: the series lasts 996 fs"),
        (SETTINGS + "[simulate]\ntimestep_fs = 2.0\n", "sampling every 8 fs resolves up to 1876 cm^-1"),
        (SETTINGS + "[cold]\nduration_ps = 1.0\n", "[cold] is not suitable for its spectrum: the series lasts"),
        ("[sample\n", "not valid TOML"),
    ],
)
def test_settings(place, text, told):
    (place / "water.toml").write_text(text)
    assert told in refused("run", "water.toml", cwd=place)
    assert not list(place.glob("runs/*/label"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        (WATER[:-20], "truncated"),
        (WATER.replace("O 0", "Qq 0"), "Qq"),
        (WATER.replace("O 0", "Si 0"), "element Si is not supported"),
        ("2\n\nO 0 0 0\nH 0 0 0.97\n", "9 electrons, an odd number"),
        (WATER.replace("water\n", "charge=1\n"), "charge is 1"),
        (WATER.replace("0.7722", "0.01").replace("0.5053", "0.01"), "Angstrom apart"),
        (WATER.replace("0.7722", "nan"), "not a finite number"),
    ],
)
def test_geometries(place, text, told):
    (place / "water.xyz").write_text(text)
    assert told in refused("sample", "water.toml", cwd=place)
    assert not list(place.glob("runs/w/sample/*.xyz"))


def test_missing_files(place, model):
    assert "nowhere.toml does not exist" in refused("run", "nowhere.toml", cwd=place)
    assert "nowhere.h5 does not exist" in refused("evaluate", model, "nowhere.h5", cwd=place)
    assert "nothing.safetensors is neither a file nor" in refused("evaluate", "nothing.safetensors", "labelled.xyz", cwd=place)
    assert "not a run folder" in refused("report", ".", cwd=place)


def test_damaged_data(place, model):
    (place / "empty.h5").write_bytes(b"")
    with h5py.File(place / "whole.h5", "w") as file:
        file["numbers"], file["positions"] = [8, 1, 1], np.zeros((40, 3, 3))
    (place / "cut.h5").write_bytes((place / "whole.h5").read_bytes()[:-500])
    for name in ("empty.h5", "cut.h5"):
        assert f"{name} is not a readable HDF5 file" in refused("evaluate", model, name, cwd=place)
        assert name in refused("spectrum", name, cwd=place)


def _headed(path: Path, model: Path, **changes: object) -> None:
    from safetensors import safe_open

    with safe_open(model, "pt") as file:
        header = json.loads(file.metadata()["densnet"])
    save_file(load_file(model), path, {"densnet": json.dumps(header | changes)})


def test_damaged_and_foreign_checkpoints(place, model):
    (place / "empty.safetensors").write_bytes(b"")
    (place / "cut.safetensors").write_bytes(model.read_bytes()[:-100])
    for name in ("empty.safetensors", "cut.safetensors"):
        assert "is not a densnet model, or it is damaged" in refused("evaluate", name, "labelled.xyz", cwd=place)
    _headed(place / "newer.safetensors", model, format=99)
    assert "please upgrade densnet" in refused("evaluate", "newer.safetensors", "labelled.xyz", cwd=place)
    _headed(place / "other.safetensors", model, basis=random_predictor(elements=("H", "O")).basis.to_dict())
    assert "does not fit" in refused("evaluate", "other.safetensors", "labelled.xyz", cwd=place)


def test_labels_that_training_needs(place):
    (place / "labelled.xyz").write_text(LABELLED + LABELLED.replace("REF_energy", "trajectory=1 REF_energy"))
    assert "hold no orbitals" in refused("train", "labelled.xyz", cwd=place)
    (place / "labelled.xyz").write_text(LABELLED)
    assert "cannot be split" in refused("train", "labelled.xyz", cwd=place)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("REF_energy=-2077.0", "REF_energy=nan", "frame 1: REF_energy contains a number that is not finite"),
        ("0 0 -0.05", "0 nan -0.05", "frame 1: REF_forces contains a number that is not finite"),
        ('REF_dipole="0 0 0.39"', 'REF_dipole="0 0.39"', "not 3 finite numbers"),
        ("REF_energy=-2077.0", "REF_energy=unknown", "not 1 finite numbers"),
        ("REF_energy", 'Lattice="9 0 0 0 9 0 0 0 9" REF_energy', "is periodic"),
    ],
)
def test_labels_that_are_broken(place, model, old, new, told):
    (place / "labelled.xyz").write_text(LABELLED.replace(old, new, 1))
    assert told in refused("evaluate", model, "labelled.xyz", cwd=place)


def test_evaluate_leaves_out_what_the_data_lack(place, model):
    outcome = densnet("evaluate", model, "labelled.xyz", "--json", "errors.json", cwd=place)
    assert outcome.code == 0, outcome.err
    found = json.loads((place / "errors.json").read_text())
    assert found["frames"] == 1 and found["dipole_mae_D"] > 0 and found["density_error_percent"] is None


def test_evaluate_fails_without_labels_and_lists_what_there_is(place, model):
    (place / "labelled.xyz").write_text(LABELLED.replace("REF_", "dft_"))
    told = refused("evaluate", model, "labelled.xyz", cwd=place)
    assert "no label found in labelled.xyz: it has dft_dipole, dft_energy, dft_forces; rename them to REF_energy" in told


def test_evaluate_says_over_how_many_frames_and_what_looks_like_another_unit(place):
    light = LABELLED.replace(":REF_forces:R:3", "").replace("REF_energy", "E_total")
    (place / "labelled.xyz").write_text(3 * LABELLED.replace("-2077.0", "-76.33") + "\n" + light)
    outcome = densnet("evaluate", "water", "labelled.xyz", "--json", "errors.json", cwd=place)
    assert outcome.code == 0, outcome.err
    with_labels = json.loads((place / "errors.json").read_text())["frames_with"]
    assert (with_labels["energy"], with_labels["forces"], with_labels["dipole"], with_labels["density"]) == (3, 3, 4, 0)
    assert "note: 3 of 4 frames have forces; the error refers to these." in outcome.out
    assert "they look like energies in hartree, but are read in eV" in outcome.out


def test_settings_with_a_byte_order_mark(place):
    (place / "water.toml").write_bytes(b"\xef\xbb\xbf" + SETTINGS.encode())
    outcome = densnet("sample", "water.toml", cwd=place)
    assert outcome.code == 0 and "water.xyz" in (place / "runs" / "w" / "sample" / "frames.xyz").read_text(), outcome.err


def test_help_names_the_sections_of_settings(place):
    for verb, sections in (("train", ("[density]", "[model]", "[train]")), ("simulate", ("[simulate]",))):
        assert all(section in densnet(verb, "--help", cwd=place).out for section in sections)


def test_ions_are_never_labelled_as_neutral(place):
    (place / "water.xyz").write_text(WATER.replace("water\n", "total_charge=2 total_spin=1\n"))
    assert "water.xyz, frame 1: total_charge is 2" in refused("label", "water.toml", "--frames", "water.xyz", cwd=place)
    assert not list(place.glob("labels/frames/*"))


def test_heavy_water_is_simulated_as_such(place):
    (place / "d2o.xyz").write_text(WATER.replace("H 0", "D 0"))
    (place / "short.toml").write_text("[simulate]\nthermalise_ps = 0.02\nsample_every = 2\n")
    options = ("--settings", "short.toml", "--replicas", 2, "--duration-ps", 0.1, "-o", "run")
    outcome = densnet("simulate", "water", "d2o.xyz", *options, cwd=place)
    assert outcome.code == 0, outcome.err
    with h5py.File(place / "run" / "trajectory.h5") as file:
        assert file["particles/replica_0001/mass"][()] == pytest.approx([15.9949146, 2.01410178, 2.01410178])
    assert "contains another simulation: start is another" in refused("simulate", "water", "water.xyz", *options, cwd=place)
    spectrum = densnet("spectrum", "run", "--depth", 60, "-o", "out", cwd=place)
    assert spectrum.code == 0, spectrum.err
    assert 'isotopologue: "D2O"' in (place / "out" / "spectrum.csv").read_text()


def test_unknown_element_of_a_model(place, model):
    (place / "hf.xyz").write_text("2\n\nH 0 0 0\nF 0 0 0.92\n")
    assert "does not know element F" in refused("simulate", model, "hf.xyz", cwd=place)


def test_no_permission(place, model):
    (place / "file").write_text("")
    (place / "water.toml").write_text(SETTINGS.replace('name = "w"', 'name = "w"\nfolder = "file/run"'))
    assert "file/run: Not a directory" in refused("run", "water.toml", cwd=place)
    assert "/proc/" in refused("simulate", model, "water.xyz", "-o", "/proc/run", cwd=place)
    assert "/proc/" in refused("evaluate", model, "labelled.xyz", "--json", "/proc/errors.json", cwd=place)


def test_unconverged_frames_are_set_aside(place):
    (place / "water.toml").write_text(SETTINGS + "[label.scf]\nmax_cycle = 1\nradial_points = 20\nangular_points = 110\n")
    told = refused("run", "water.toml", cwd=place)
    assert "aside" in told
    (reason,) = (place / "runs" / "w" / "label" / "aside").glob("*.json")
    assert "did not converge" in json.loads(reason.read_text())["reason"]
    assert not (place / "runs" / "w" / "label" / "dataset.h5").exists()


def test_wrong_usage_exits_with_2(place):
    assert densnet("simulate", cwd=place).code == 2
    assert densnet("fly", cwd=place).code == 2


def test_a_stage_that_a_run_with_a_model_does_not_have(place):
    (place / "mine.toml").write_text('[run]\nmodel = "water"\n')
    assert "mine.toml has `run.model`, so there is nothing to label" in refused("label", "mine.toml", cwd=place)
    assert "so there is nothing to sample" in refused("sample", "mine.toml", cwd=place)
