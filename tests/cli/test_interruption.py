"""A run that is interrupted in every stage goes on each time, and ends with its report. The molecule is hydrogen fluoride."""

import ctypes
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from densnet.cli import main

sys.path.insert(0, str(Path(__file__).parent))

from command import densnet, started  # noqa: E402

SETTINGS = """
[run]
name = "hf"
held_out = 0.3
[sample]
geometries = "hf.xyz"
frames = 18
trajectories = 6
equilibration_fs = 50
workers = 1
[label]
workers = 1
[label.scf]
radial_points = 20
angular_points = 110
[density]
basis = "small"
points = 500
[train]
density = { steps = 100, warmup = 10, validate_every = 5 }
points = { steps = 10, learning_rate = 1e-3, warmup = 10, validate_every = 5 }
energy = { steps = 120, warmup = 10, validate_every = 5 }
[evaluate]
density_frames = 1
[cold]
duration_ps = 0.1
depth = 80
[simulate]
temperature = 30
replicas = 2
thermalise_ps = 0.02
duration_ps = 0.08
checkpoint_every = 20
[spectrum]
depth = 60
"""
STAGES = ("sample", "label", "hessian", "fit", "train", "evaluate", "conformers", "validate", "simulate", "spectrum")
SHORT = ("evaluate", "conformers", "spectrum")
"""Stages that are over in a second: interrupted as soon as they have begun."""


def interrupt(stage: str, place: Path) -> tuple[int, str]:
    """Start the run, press Ctrl-C when ``stage`` is at work; exit code and what was printed.

    A short stage may be over before: then its result is thrown away, and it is begun again.
    """
    for _ in range(5):
        code, told = interrupt_once(stage, place)
        if code or stage not in SHORT:
            break
        shutil.rmtree(place / "runs" / "hf" / stage)
    return code, told


def interrupt_once(stage: str, place: Path) -> tuple[int, str]:
    log = place / "runs" / "hf" / "run.log"
    with started("run", "hf.toml", cwd=place) as run:
        working = re.compile(rf"^{stage} .*\.\.\.$", re.M)
        offset = log.stat().st_size if log.exists() else 0
        while not (log.exists() and working.search(re.sub(r"^.{21}", "", log.read_text()[offset:], flags=re.M))):
            assert run.process.is_alive(), run.outcome()
            time.sleep(0.02)
        time.sleep(0.0 if stage in SHORT else 0.3)
        os.kill(run.process.pid, signal.SIGINT)
        outcome = run.outcome()
    return outcome.code, outcome.err


def test_ctrl_c_in_every_stage(tmp_path):
    (tmp_path / "hf.xyz").write_text("2\n\nH 0 0 0\nF 0 0 0.93\n")
    (tmp_path / "hf.toml").write_text(SETTINGS)
    folder = tmp_path / "runs" / "hf"
    for number, stage in enumerate(STAGES):
        code, told = interrupt(stage, tmp_path)
        assert code == 130, told
        assert told.splitlines()[-1] == "interrupted; run the same command again to continue.", told
        assert "Traceback" not in told
        for before in STAGES[:number]:
            assert json.loads((folder / before / "mark.json").read_text())["finished"], told
    last = densnet("run", "hf.toml", cwd=tmp_path)
    assert last.code == 0, last.err
    assert "already done" in last.err and "repeated:" not in last.err
    page = (folder / "report.html").read_text()
    shown = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert shown.count("<svg") == 9 and "not measured" not in shown
    assert not re.search(r"(src|href)=.?https?:", shown) and "default-src 'none'" in shown
    assert densnet("run", "hf.toml", cwd=tmp_path).err.count("already done") == 10


def test_ctrl_c_in_a_destructor_is_not_lost(monkeypatch):
    class Late:
        def __del__(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", main._insist)
    late = Late()
    with pytest.raises(KeyboardInterrupt):
        del late
        time.sleep(5.0)


def test_ctrl_c_while_ctypes_converts_an_argument_is_an_interruption(monkeypatch, capsys):
    def broken():
        raise ctypes.ArgumentError("argument 3: KeyboardInterrupt: ")

    monkeypatch.setattr(main, "build", lambda: broken)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 130 and "interrupted" in capsys.readouterr().err
