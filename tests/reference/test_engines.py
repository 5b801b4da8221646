"""Dask and Parsl label as local processes do: a killed worker, scheduler or campaign loses nothing, and each goes on where another was."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from test_campaign import LEVEL, done, gone, springs, waters

from densnet.dataset import store
from densnet.reference import campaign, clusters, engines
from densnet.reference.campaign import LabelSettings, Tally
from densnet.reference.clusters import ClusterSettings
from densnet.reference.engines import EngineError
from densnet.settings import SettingsError, deciding, parse

HERE = str(Path(__file__).parent)
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("ResourceWarning", "pytest.PytestUnraisableExceptionWarning")]


def needs(engine: str):
    missing = [name for name in engines.PACKAGES[engine] if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{missing} not installed: pip install 'densnet[{engine}]'")


BOTH = [pytest.param(name, marks=needs(name)) for name in ("dask", "parsl")]


@pytest.mark.parametrize("engine", BOTH)
def test_a_frame_that_kills_its_workers_is_set_aside_and_the_others_are_labelled(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "TRIES", 2)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HERE, *sys.path]))
    # A while after the result before: a worker of Parsl's that is killed while it writes one holds a lock that nobody frees.
    work = partial(springs, log=tmp_path / "log", seconds=0.3)
    with engines.opened(engine, 2, ClusterSettings(), tmp_path / "jobs") as execute:
        tally = campaign.run(waters(8), work, store.save_label, tmp_path / "labels", level=LEVEL, execute=execute)
    assert tally == Tally(labelled=6, new=6, aside=2)
    reasons = [json.loads(file.read_text())["reason"] for file in sorted((tmp_path / "labels/aside").glob("*.json"))]
    assert reasons[0] == "frame 3 wobbles"
    assert "its process was killed 2 times by signal 9" in reasons[1]
    assert (tmp_path / "log").read_text().split().count("5") == 2


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
sys.path.insert(0, {here!r})
import test_engines as t
if __name__ == "__main__":
    engine, address = sys.argv[1:]
    t.clusters.SILENCE = 10
    try:
        with t.engines.opened(engine, 2, t.ClusterSettings(address=address), Path("jobs")) as execute:
            t.label(Path("."), execute)
    except t.EngineError as error:
        sys.exit(str(error))
"""
COUNT = 40
GONE = "the scheduler of {} is gone; all labels that were made are kept: run the same command again."


def label(place: Path, execute, seconds: float = 0.2) -> Tally:
    work = partial(springs, log=place.absolute() / "log", seconds=seconds)
    return campaign.run(waters(COUNT + 6)[6:], work, store.save_label, place / "labels", level=LEVEL, execute=execute)


def start(place: Path, engine: str, address: str = "") -> subprocess.Popen:
    """A labelling under way, in a session of its own."""
    (place / "work.py").write_text(SCRIPT.format(here=HERE))
    before, environment = len(done(place / "labels")), os.environ | {"PYTHONPATH": os.pathsep.join([HERE, *sys.path])}
    command = [sys.executable, "work.py", engine, address]
    process = subprocess.Popen(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 240
    while len(done(place / "labels")) < before + 3:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no label in time"
        time.sleep(0.05)
    return process


def in_session(process: subprocess.Popen, what: str) -> list[int]:
    """Processes of the labelling whose command line has ``what`` in it."""
    listing = subprocess.run(["ps", "-o", "pid=,args=", "-s", str(process.pid)], capture_output=True, text=True).stdout.splitlines()
    return [int(line.split()[0]) for line in listing if what in line]


def calculated(place: Path) -> list[int]:
    return [int(line) for line in (place / "log").read_text().split()]


@pytest.mark.parametrize("engine", BOTH)
def test_a_killed_labelling_loses_the_frames_in_flight_at_most_and_any_executor_goes_on(engine, tmp_path):
    process = start(tmp_path, engine)
    os.kill(process.pid, signal.SIGKILL)
    assert gone(process, 60), "a worker outlives its labelling"
    process.communicate()
    kept = done(tmp_path / "labels")
    assert 3 <= len(kept) < COUNT and len(store.read(tmp_path / "labels")) == len(kept)
    with ThreadPoolExecutor(2) as execute:
        assert label(tmp_path, execute, 0) == Tally(labelled=COUNT, new=COUNT - len(kept), aside=0)
    assert len(calculated(tmp_path)) <= COUNT + 2, "a label was calculated again"


@needs("parsl")
def test_parsl_without_its_scheduler_is_one_line_and_keeps_all_labels(tmp_path):
    process = start(tmp_path, "parsl")
    for pid in in_session(process, "HTEX interchange"):
        os.kill(pid, signal.SIGKILL)
    assert process.communicate(timeout=180)[1].strip() == GONE.format("parsl")
    assert gone(process, 60)
    assert len(store.read(tmp_path / "labels")) >= 3


@needs("dask")
def test_dask_without_its_scheduler_is_one_line_and_keeps_all_labels(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([HERE, *sys.path])}
    port, common = tmp_path / "scheduler.json", {"env": environment, "stderr": subprocess.DEVNULL}
    dask, options = [sys.executable, "-m", "dask"], ["--no-dashboard", "--scheduler-file", str(port)]
    scheduler = subprocess.Popen([*dask, "scheduler", "--port", "0", *options], **common)  # it reads what it deals out
    worker = subprocess.Popen([*dask, "worker", "--nthreads", "1", "--local-directory", tmp_path, *options], **common)
    try:
        while not port.exists() or not port.read_text():
            time.sleep(0.05)
        process = start(tmp_path, "dask", json.loads(port.read_text())["address"])
        scheduler.kill()
        assert process.communicate(timeout=180)[1].strip() == GONE.format("dask")
    finally:
        scheduler.kill()
        worker.kill()
        scheduler.wait(), worker.wait()
    assert len(store.read(tmp_path / "labels")) >= 3


def test_a_missing_package_is_one_line_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="`label.engine` is 'dask': distributed is not installed; `pip install 'densnet\\[dask\\]'`"):
        parse(LabelSettings, {"engine": "dask"}, "label")
    assert parse(LabelSettings, {"engine": "local"}, "label").engine == "local"


def test_engine_and_cluster_do_not_decide_what_a_label_is():
    cluster = ClusterSettings(jobs=7, queue="long")
    assert deciding(LabelSettings(cluster=cluster)) == deciding(LabelSettings()) and cluster.deciding() == {}


def test_a_machine_without_the_batch_system_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="`label.cluster.scheduler` is 'slurm', but there is no `sbatch` here; start on a login node"):
        engines.opened("dask", 0, ClusterSettings(scheduler="slurm"), tmp_path)
    with pytest.raises(EngineError, match="`label.cluster.address` is that of a Dask scheduler, but `label.engine` is 'parsl'"):
        engines.opened("parsl", 0, ClusterSettings(address="tcp://node:8786"), tmp_path)


CLUSTER = {
    "jobs": 3, "cores": 16, "memory": 32, "walltime": "02:30:00", "queue": "long", "account": "chem",
    "setup": ["module load gcc", "source env/bin/activate"], "options": ["--exclude=n1"],
}  # fmt: skip


@needs("dask")
@pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
def test_jobs_of_dask_ask_the_batch_system_for_what_the_settings_say(scheduler, tmp_path):
    with clusters.dask_jobs(ClusterSettings(scheduler=scheduler, **CLUSTER), tmp_path) as jobs:
        script = jobs.job_script()
    asked = {
        "slurm": ["#SBATCH -p long", "#SBATCH -A chem", "#SBATCH --cpus-per-task=16", "#SBATCH --mem=32G", "#SBATCH -t 02:30:00"],
        "pbs": ["#PBS -q long", "#PBS -A chem", "#PBS -l select=1:ncpus=16:mem=32GB", "#PBS -l walltime=02:30:00"],
    }
    workers = "--nthreads 1 --memory-limit 2.00GiB --nworkers 16"
    for line in (*asked[scheduler], "--exclude=n1", "module load gcc\nsource env/bin/activate\n", workers):
        assert line in script, script


@needs("parsl")
def test_jobs_of_parsl_ask_the_batch_system_for_what_the_settings_say():
    slurm, pbs = (clusters.parsl_provider(ClusterSettings(scheduler=name, **CLUSTER)) for name in ("slurm", "pbs"))
    assert (slurm.partition, slurm.account, slurm.cores_per_node, slurm.mem_per_node) == ("long", "chem", 16, 32)
    assert slurm.walltime == "02:30:00"
    assert "#SBATCH --exclude=n1" in slurm.scheduler_options and "--exclusive" not in slurm.scheduler_options
    assert (pbs.queue, pbs.account, pbs.cpus_per_node, pbs.select_options, pbs.walltime) == ("long", "chem", 16, "mem=32gb", "02:30:00")
    assert pbs.scheduler_options.strip() == "#PBS --exclude=n1"
    for provider in (slurm, pbs):
        assert provider.worker_init.strip() == "export OMP_NUM_THREADS=1\nmodule load gcc\nsource env/bin/activate"
        assert provider.min_blocks == provider.max_blocks == 3


H2 = """2

H 0 0 0
H 0 0 {}
"""
SETTINGS = """
[label]
engine = "{}"
workers = 1

[label.scf]
basis = "def2-svp"
radial_points = 20
angular_points = 110
"""


@pytest.fixture
def another_labelling():
    """What another labelling by Dask would hold: the usual port of its scheduler."""
    with socket.socket() as usual:
        with suppress(OSError):  # it is held already
            usual.bind(("", 8787))
            usual.listen()
        yield


@needs("dask")
@needs("parsl")
def test_the_command_labels_by_one_engine_and_goes_on_by_the_other(tmp_path, another_labelling):
    (tmp_path / "h2.xyz").write_text(H2.format(0.7) + H2.format(0.8))
    told = []
    for number, engine in enumerate(("dask", "parsl"), start=1):
        frames = f"[label]\nframes = {number}"
        (tmp_path / "label.toml").write_text(SETTINGS.format(engine).replace("[label]", frames, 1))
        command = [sys.executable, "-m", "densnet", "label", "label.toml", "--frames", "h2.xyz"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        assert run.returncode == 0, run.stderr
        told.append(run.stderr.splitlines())
    assert told == [["1 labels in labels/dataset.h5"], ["2 labels in labels/dataset.h5"]]
    energies = [float(label.properties.energy) for label in store.read(tmp_path / "labels")]
    assert len(energies) == 2 and all(-1.3 < energy < -1.0 for energy in energies)
