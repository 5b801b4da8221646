"""Other programs beside densnet: environments of their own in runs/peers, and how a program in one of them is run and watched."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / "runs" / "peers"
TORCH = "torch==2.13.0"
PACKAGES = {
    "mace": (TORCH, "mace-torch==0.3.16"),
    "nequip": (TORCH, "nequip==0.19.1"),
    "schnetpack": (
        TORCH,
        "ase vesin dirsync fasteners h5py hydra-core hydra-colorlog matscipy matplotlib progressbar pyyaml",
        "pytorch-lightning tensorboard tensorboardX torch-ema torchmetrics tqdm",
        "--no-deps --ignore-requires-python schnetpack==2.2.0",  # asks for Python 3.12, does not need it here
    ),
}
"""What goes into each environment, in this order, as arguments of `pip install`; always with `TORCH`, or a peer would bring another one,
gigabytes of it."""


@dataclass(frozen=True)
class Ran:
    """A program that ran: wall seconds, exit status, whether it was stopped, its largest process (MB), seconds at the end of each epoch."""

    seconds: float
    status: int
    stopped: bool
    memory_mb: float
    epochs: tuple[float, ...]

    def checked(self, log: Path) -> Ran:
        if self.status and not self.stopped:
            sys.exit(f"failed, see {log}:\n" + "".join(log.read_text().splitlines(keepends=True)[-15:]))
        return self

    @property
    def seconds_an_epoch(self) -> float:
        """Without the first third, in which things are compiled and warm up."""
        warm = self.epochs[len(self.epochs) // 3 :]
        return (warm[-1] - warm[0]) / (len(warm) - 1) if len(warm) > 1 else float("nan")


def run(command: list, log: Path, threads: int, limit: float | None = None, cwd: Path | None = None) -> Ran:
    """Every line of output goes to ``log`` with its time; after ``limit`` seconds the program and its children are stopped."""
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    stopped, epochs, began = threading.Event(), [], time.monotonic()
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=cwd, start_new_session=True
    )

    def stop() -> None:
        stopped.set()
        os.killpg(process.pid, signal.SIGTERM)

    timer = threading.Timer(limit or 0, stop)
    if limit:
        timer.start()
    try:
        with log.open("w") as file:
            for line in process.stdout:
                elapsed = time.monotonic() - began
                file.write(f"{elapsed:8.1f} {line}")
                file.flush()
                if re.search(r"\bEpoch \d+: ", line):
                    epochs.append(elapsed)
    except KeyboardInterrupt:
        stop()
        sys.exit("interrupted; the same command goes on with the step that was not finished")
    finally:
        timer.cancel()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ran(time.monotonic() - began, process.returncode, stopped.is_set(), usage.ru_maxrss / 1024, tuple(epochs))


def program(peer: str, name: str) -> Path:
    """A program of the peer's environment, which is made if need be. Raises subprocess.CalledProcessError if that fails."""
    folder = RUNS / f"env-{peer}"
    if not (folder / "complete").exists():
        print(f"installing {', '.join(PACKAGES[peer])} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        for package in PACKAGES[peer]:
            subprocess.run([folder / "bin" / "pip", "install", "--quiet", TORCH, *package.split()], check=True)
        (folder / "complete").touch()
    return folder / "bin" / name
