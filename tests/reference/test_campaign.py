"""A campaign survives kills, repeats nothing, mixes nothing, and never lets an unconverged frame into a dataset."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch

from densnet.dataset import store
from densnet.dataset.dataset import DatasetError
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.reference import campaign, geometries, workers
from densnet.reference.campaign import CampaignError, LabelSettings, Tally
from densnet.reference.geometries import Frame
from densnet.reference.scf import NotConverged

STORE = store.save_label, store.load_label
LEVEL = {"basis": "aug-cc-pvdz", "xc": "springs"}
WATER = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.43, 1.11], [0.0, -1.43, 1.11]], dtype=torch.float64)


def waters(count: int) -> list[Frame]:
    temperatures = [300.0] * 5 + [float("nan")] * count
    return [Frame(Molecules.single([8, 1, 1], WATER * (1 + 0.01 * i)), i % 4, temperatures[i]) for i in range(count)]


def springs(molecule: Molecules, log: Path, seconds: float = 0.0) -> Properties:
    """Stands for a calculation: takes its time, notes the frame in ``log``, and has trouble with some frames."""
    stretch = round(float(molecule.positions[1, 1]) / 1.43 * 100 - 100)
    with open(log, "a") as file:
        file.write(f"{stretch}\n")
    time.sleep(seconds)
    if stretch == 3:
        raise NotConverged("frame 3 wobbles")
    if stretch == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if stretch == 99:
        raise KeyError("a bug")
    return Properties(molecule, energy=torch.tensor([float(stretch)]), forces=-molecule.positions, dipole=molecule.positions[:1])


def done(folder: Path) -> list[int]:
    return sorted(int(file.stem[:6]) for file in (folder / "frames").glob("*.npz"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("campaign")
    told = []
    work = partial(springs, log=place / "log")
    with workers.Processes(1) as one:
        tally = campaign.run(
            waters(8), work, store.save_label, place / "labels", level=LEVEL, execute=one, progress=lambda *now: told.append(now)
        )
    return place, tally, told


def test_labels_are_kept_and_troubled_frames_set_aside_with_the_reason(finished):
    place, tally, told = finished
    assert tally == Tally(labelled=6, new=6, aside=2)
    assert told[0] == (0, 8) and told[-1] == (8, 8)
    assert done(place / "labels") == [0, 1, 2, 4, 6, 7]
    known = {about["index"]: about for about in map(json.loads, (f.read_text() for f in (place / "labels/aside").glob("*.json")))}
    reasons = {index: about["reason"] for index, about in known.items()}
    assert {index: about["temperature"] for index, about in known.items()} == {3: 300.0, 5: None}
    assert reasons[3] == "frame 3 wobbles"
    assert "killed 2 times by signal 9" in reasons[5]
    assert (place / "log").read_text().split().count("5") == 2, "a killed frame has one more try, no more"


def test_a_dataset_holds_the_labels_and_nothing_of_what_was_set_aside(finished):
    labels = store.read(finished[0] / "labels")
    assert [float(label.properties.energy) for label in labels] == [0, 1, 2, 4, 6, 7]
    assert [label.trajectory for label in labels] == [0, 1, 2, 0, 2, 3]
    assert torch.equal(labels[1].properties.forces, -WATER * 1.01)
    assert labels.level == LEVEL


def test_a_second_start_repeats_nothing(finished):
    place, _, _ = finished
    before = (place / "log").read_text()
    tally = campaign.run(waters(8), partial(springs, log=place / "log"), store.save_label, place / "labels", level=LEVEL)
    assert tally == Tally(labelled=6, new=0, aside=2)
    assert (place / "log").read_text() == before


def test_labels_of_other_geometries_or_of_another_level_are_never_mixed(finished):
    place, _, _ = finished
    work = partial(springs, log=place / "log")
    with pytest.raises(CampaignError, match="belongs to another geometry"):
        campaign.run(waters(9)[1:], work, store.save_label, place / "labels", level=LEVEL)
    with pytest.raises(CampaignError, match="xc = 'springs', not 'PBE'"):
        campaign.run(waters(8), work, store.save_label, place / "labels", level=LEVEL | {"xc": "PBE"})
    with pytest.raises(CampaignError, match="go on as it began with `conv_tol_grad = 0`"):
        campaign.run(waters(8), work, store.save_label, place / "labels", level=LEVEL | {"conv_tol_grad": 1e-5})
    with pytest.raises(CampaignError, match="xc = 'springs', not None"):
        campaign.run(waters(8), work, store.save_label, place / "labels", level={k: v for k, v in LEVEL.items() if k != "xc"})


def _double(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return 2 * number


def test_local_processes_are_an_executor_like_any_other():
    with workers.Processes(2) as execute:
        assert list(execute.map(_double, [1, 2])) == [2, 4]
        assert isinstance(execute.submit(_double, 3).exception(), ValueError)
        assert execute.submit(_double, number=5).result() == 10
    with pytest.raises(RuntimeError, match="shut down"):
        execute.submit(_double, 1)


def test_a_campaign_takes_any_executor(tmp_path):
    work = partial(springs, log=tmp_path / "log")
    with ThreadPoolExecutor(2) as execute:
        tally = campaign.run(waters(5), work, store.save_label, tmp_path / "labels", level=LEVEL, execute=execute)
    assert tally == Tally(labelled=4, new=4, aside=1) and done(tmp_path / "labels") == [0, 1, 2, 4]


def test_what_is_not_a_matter_of_one_frame_ends_the_campaign(tmp_path):
    frame = Frame(Molecules.single([8, 1, 1], WATER * 1.99), 0, 300.0)
    with pytest.raises(CampaignError, match="frame 0 could not be labelled: KeyError: 'a bug'"):
        campaign.run([frame], partial(springs, log=tmp_path / "log"), store.save_label, tmp_path / "labels", level=LEVEL)
    assert done(tmp_path / "labels") == []


def test_a_folder_that_cannot_be_written_is_named_before_any_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot write to .*file/labels"):
        campaign.run(waters(2), springs, store.save_label, tmp_path / "file" / "labels", level=LEVEL)


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {here!r})
import test_campaign as t
if __name__ == "__main__":
    place = Path(sys.argv[1])
    try:
        with t.workers.Processes(2) as two:
            t.campaign.run([f for f in t.waters(90) if f], partial(t.springs, log=place / "log", seconds=0.2),
                           t.store.save_label, place / "labels", level=t.LEVEL, execute=two)
    except KeyboardInterrupt:
        sys.exit("stopped")
"""


UNGUARDED = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {here!r})
import test_campaign as t
place = Path(sys.argv[1])
t.campaign.run(t.waters(2), partial(t.springs, log=place / "log"), t.store.save_label, place / "labels", level=t.LEVEL)
"""


def test_a_script_without_a_guard_ends_with_one_error_that_names_it(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(UNGUARDED.format(here=str(Path(__file__).parent)))
    run = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=240)
    assert run.returncode == 1 and run.stderr.count("Traceback") == 1
    assert run.stderr.splitlines()[-1].startswith(f"densnet.reference.workers.Unguarded: {script} starts processes, and each of them")
    assert 'under `if __name__ == "__main__":`' in run.stderr
    assert done(tmp_path / "labels") == []


def start(place: Path) -> subprocess.Popen:
    (place / "work.py").write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    process = subprocess.Popen([sys.executable, place / "work.py", place], stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 240
    while not (place / "labels/frames").is_dir() or len(done(place / "labels")) < 4:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no label in time"
        time.sleep(0.05)
    return process


def gone(process: subprocess.Popen, seconds: float = 20) -> bool:
    """No process of its session is left after so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        listing = subprocess.run(["ps", "-o", "stat=", "-s", str(process.pid)], capture_output=True, text=True).stdout.split()
        if all(state.startswith("Z") for state in listing):
            return True
        time.sleep(0.2)
    return False


def test_kill_loses_the_frames_in_flight_at_most_and_ctrl_c_stops_with_one_line(tmp_path):
    process = start(tmp_path)
    with pytest.raises(CampaignError, match="another labelling is at work"):
        campaign.run(waters(90), partial(springs, log=tmp_path / "log"), store.save_label, tmp_path / "labels", level=LEVEL)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert gone(process), "a worker outlives its campaign"
    kept = done(tmp_path / "labels")
    assert 4 <= len(kept) < 90 and len(store.read(tmp_path / "labels")) == len(kept)
    calculated = [int(line) for line in (tmp_path / "log").read_text().split()]
    in_flight = {index for index in calculated if index not in kept} - {3, 5}
    assert len(in_flight) <= 2

    (tmp_path / "labels/frames" / "000089-0123456789abcdef.npz.part").write_bytes(b"half a label")
    process = start(tmp_path)
    while len(done(tmp_path / "labels")) < len(kept) + 3:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the campaign and to its workers
    assert process.communicate()[1].strip() == "stopped"
    assert gone(process)
    second = [int(line) for line in (tmp_path / "log").read_text().split()][len(calculated) :]
    assert not set(second) & set(kept), "a label was calculated again"


def test_real_water_is_labelled_and_an_unconverged_scf_set_aside(tmp_path):
    geometries.write(tmp_path / "frames.extxyz", waters(1), {})
    coarse = {"radial_points": 20, "angular_points": 110}
    hasty = LabelSettings.model_validate({"scf": coarse | {"max_cycle": 1}})
    patient = LabelSettings.model_validate({"scf": coarse})
    assert campaign.label(hasty, tmp_path / "frames.extxyz", tmp_path / "labels", *STORE) == Tally(0, 0, 1)
    (aside,) = (tmp_path / "labels/aside").glob("*.json")
    assert "did not converge" in json.loads(aside.read_text())["reason"]
    with pytest.raises(DatasetError, match="contains no label"):
        store.read(tmp_path / "labels")
    aside.unlink()
    assert campaign.label(patient, tmp_path / "frames.extxyz", tmp_path / "labels", *STORE) == Tally(1, 1, 0)
    (label,) = store.read(tmp_path / "labels")
    assert float(label.properties.energy) == pytest.approx(-76.36, abs=0.02)
    assert label.properties.orbitals[0].electrons == 10
    assert label.level == patient.scf.level()


def test_identity_changes_with_every_bit():
    molecule = Molecules.single([8, 1, 1], WATER)
    moved = molecule.at(WATER + torch.tensor([0.0, 0.0, 1e-15]))
    assert len({campaign.identity(m, level) for m in (molecule, moved) for level in (LEVEL, LEVEL | {"xc": "PBE"})}) == 4
    assert workers.cores() >= 1
