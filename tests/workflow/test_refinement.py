"""A given model refined for its molecule: which frames are labelled, when it ends, and that nothing finished is done again."""

import json
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import pytest
import torch

from densnet.artefacts.making import REFINED, REFINEMENT
from densnet.artefacts.using import VERIFICATION
from densnet.model.predictor import load
from densnet.model.uncertainty import Features, Rigidity
from densnet.molecules import Molecules
from densnet.reference import campaign, workers
from densnet.reference.scf import ScfSettings
from densnet.settings import SettingsError
from densnet.workflow import run, write_page
from densnet.workflow.refinement import RefinementError, RefineSettings, Round, TargetSettings, most_telling
from densnet.workflow.refining import _ended
from densnet.workflow.settings import complete

WATER = "3\nconformer=bent\nO 0 0 -0.0637\nH 0 0.7722 0.5053\nH 0 -0.7722 0.5053\n"
SETTINGS = """
[run]
start = "water"
geometries = "water.xyz"
[refine]
labels = 6
frames = 2
judged = 2
rounds = 2
replicas = 4
thermalise_ps = 0.01
duration_ps = 0.06
spacing_fs = 5
points = 200
[verify]
modes = 2
[refine.semiempirical]
steps = 3
[refine.targets]
forces = 1e-4
[refine.train.points]
steps = 3
[refine.train.energy]
steps = 3
[refine.train]
validation_fraction = 0.3
points_per_frame = 100
"""


@dataclass
class Linear:
    """A model whose features are the positions of the first atom."""

    uncertainty: Rigidity | None

    def features(self, molecules):
        return Features(molecules.positions.view(molecules.count, -1, 3)[:, 0], torch.zeros(molecules.count, 3, 1))


def test_the_most_telling_frames_are_uncertain_and_unlike():
    places = [[0.0, 3.0, 0.0], [0.1, 3.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 2.5]]
    frames = [Molecules.single([1], [place]) for place in places]
    certain_along_z = Rigidity(torch.diag(torch.tensor([1.0, 1.0, 0.1])).double(), torch.eye(1), {}, (1.0, 1.0))
    # the longest in the metric first, then not its twin but what it does not explain, before what is known well
    assert most_telling(Linear(certain_along_z), frames, 3) == [1, 2, 3]
    assert set(most_telling(Linear(None), frames, 3)) & {0, 1} != {0, 1}


def test_the_targets_and_the_budgets_end_it():
    plan = RefineSettings(labels=50, frames=20, judged=10, minutes=10, rounds=3)
    missed, met = {"worst": 1.2, "seconds": 60.0}, {"worst": 0.9, "seconds": 60.0}

    def ended(rounds, used, *, further=False):
        return _ended(plan, rounds, used, further=further)

    assert ended([missed], 10) == "" and ended([missed, met], 40) == "targets"
    assert ended([missed, missed], 30) == "labels" and ended([missed] * 4, 10) == "rounds"
    assert ended([{"worst": 2.0, "seconds": 301.0}], 10) == "minutes"
    # a model that is there costs nothing more
    assert ended([missed, missed], 30, further=True) == "" and ended([missed, met], 40, further=True) == "targets"
    assert TargetSettings(forces=10, dipole=0.01, density=0.2).worst({"forces": 5.0, "dipole": 0.02, "density": 0.1}) == 2.0


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "water.xyz").write_text(WATER)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Inline(Executor):
    """In place of processes, which take seconds to start."""

    def __init__(self, count: int = 0):
        pass

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Killed(BaseException):
    """As SIGKILL: nothing of ours catches it."""


def test_a_killed_run_goes_on_and_repeats_nothing(place, monkeypatch):
    folder, told, labelled, trained = place / "runs" / "mine", [], [], Round.trained
    calculate = campaign.label

    def counted(*arguments, **options):
        tally = calculate(*arguments, **options)
        labelled.append(tally.new)
        return tally

    def killed(self, start, labels):
        trained(self, start, labels)
        raise Killed

    monkeypatch.setattr(workers, "Processes", Inline)
    monkeypatch.setattr(campaign, "label", counted)
    monkeypatch.setattr(Round, "trained", killed)
    with pytest.raises(Killed):
        run("mine.toml", until="refine")
    [judged] = folder.glob("rounds/*/round-0/judged.json")
    first = judged.read_bytes()
    assert sum(labelled) == 4 and not judged.with_name("model.safetensors").exists()
    taught = judged.parents[1] / "gfn2-xtb" / "model.safetensors"
    learned = taught.stat().st_mtime_ns
    assert not json.loads((folder / "refine" / "mark.json").read_text())["finished"]

    monkeypatch.setattr(Round, "trained", trained)
    done = run("mine.toml", tell=told.append, until="refine")
    assert sum(labelled) == 6 and judged.read_bytes() == first and taught.stat().st_mtime_ns == learned
    found = done.get(REFINEMENT)
    assert found.ended == "labels" and found.labels == 6 and not found.reached and [r["trained_on"] for r in found.rounds] == [0, 4]
    assert all(r["frames"] == 2 and r["dynamics"] == "model" and r["seconds"] > 0 for r in found.rounds)
    assert all(0 < r["errors"]["forces"] < 20 and 0 < r["errors"]["density"] < 1 for r in found.rounds)
    refined = done.get(REFINED)
    assert refined.provenance["refined"]["labels"] == found.rounds[found.best]["trained_on"]
    assert any("targets missed (forces" in text and "`refine.labels`" in text for text in told)
    assert any("round 1, 4 labels: forces" in text for text in told)
    page = write_page(folder).read_text()
    assert "Refinement of the model" in page and "as given" in page and "PBE/aug-cc-pVDZ" in page
    assert "The model is less accurate than it was meant to be: targets missed (forces" in page
    assert "A given model was trained further" in page and "nothing was labelled" not in page

    (place / "mine.toml").write_text(SETTINGS.replace("forces = 1e-4", "forces = 100.0\ndipole = 1.0\ndensity = 10.0"))
    checked = run("mine.toml", until="verify")
    easier = checked.get(REFINEMENT)
    assert sum(labelled) == 6 and easier.ended == "targets" and easier.reached and easier.labels == 2  # judged again by what is there
    assert easier.rounds[0]["errors"] == found.rounds[0]["errors"]

    lines, gradients = checked.get(VERIFICATION), folder / "gradients"
    assert len(lines.rows) == 2 and lines.model == "refined water" and lines.share > 0.9 and lines.shift < 10
    assert lines.gradients == len(list(gradients.rglob("*.npz"))) <= 6
    assert "Verification with single gradients" in write_page(folder).read_text()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"run": {"start": "water", "model": "water"}}, "`run.model` and `run.start` exclude each other"),
        ({"run": {"start": "water"}, "train": {}}, "`run.start` is given, so what is trained is set in [refine]: remove [train]"),
        ({"run": {"model": "water"}, "refine": {}}, "nothing is labelled or trained: remove [refine]"),
        ({"run": {"start": "water"}, "label": {"scf": {"dispersion": "d4"}}}, "`label.scf.dispersion` is 'd4', but"),
        ({"run": {"start": "water"}, "label": {"scf": {"xc": "LDA"}}}, "setting `label.scf.xc` is 'LDA': must be a GGA"),
        ({"run": {"start": "nobody"}}, "setting `run.start`: model nobody is neither a file nor"),
        ({"run": {"start": "water", "smiles": "O", "geometries": "water.xyz"}}, "`run.smiles` and `run.geometries` exclude each other"),
        ({"run": {}, "sample": {}}, "setting `sample.geometries` is missing"),
    ],
)
def test_bad_settings(place, values, told):
    with pytest.raises(SettingsError) as raised:
        complete(values, place, "w")
    assert told in str(raised.value)


def test_labels_are_at_the_level_of_the_model(place):
    found = complete({"run": {"start": "water"}}, place, "w").label.scf
    assert found.level() == load("water").provenance["level"]
    other = complete({"run": {"start": "water"}, "label": {"scf": {"xc": "PBE0"}}}, place, "w").label.scf
    assert other == ScfSettings(xc="PBE0") and "conv_tol_grad" not in found.level()  # of the first labels


def test_a_model_of_another_level_is_refined_for_this_one_and_never_kept_as_it_is(place, monkeypatch):
    monkeypatch.setattr(workers, "Processes", Inline)
    easy = SETTINGS.replace("forces = 1e-4", "forces = 1e4\ndipole = 10.0\ndensity = 100.0") + '[label.scf]\nxc = "PBE0"\n'
    (place / "other.toml").write_text(easy)
    done = run("other.toml", until="refine")
    found, refined = done.get(REFINEMENT), done.get(REFINED)
    assert found.ended == "targets" and found.best == 1 and [r["trained_on"] for r in found.rounds] == [0, 4]
    assert refined.provenance["level"] == found.level == ScfSettings(xc="PBE0").level()
    assert found.rounds[0]["errors"]["energy"] < 100  # meV, of two levels that are 10 eV apart

    (place / "other.toml").write_text(easy.replace("labels = 6", "labels = 2\nseed = 5"))
    with pytest.raises(RefinementError, match="`refine.labels` is spent before the first training, and water is of another level"):
        run("other.toml", until="refine")
