"""The `densnet` command in a process of its own, forked from a server that has imported the heavy packages once."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HEAVY = [
    "torch", "pyscf.dft", "ase.io", "scipy.fft", "h5py", "densnet.workflow.execution", "densnet.training.fit", "densnet.interfaces.ase",
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """Exit code (None: it had to be killed) and what was printed."""

    code: int | None
    out: str
    err: str


@dataclass(frozen=True)
class Running:
    """A command at work."""

    process: multiprocessing.Process
    files: list[Path]

    def outcome(self, timeout: float = 120) -> Outcome:
        """Waits for its end."""
        self.process.join(timeout)
        return Outcome(self.process.exitcode, *(f.read_text() for f in self.files))


@contextmanager
def started(*arguments: object, cwd: Path) -> Iterator[Running]:
    """``densnet ARGUMENTS`` in ``cwd``; killed if it still works when the block ends."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    files = [cwd / f".{name}-{os.getpid()}" for name in ("out", "err")]
    process = context.Process(target=_child, args=([str(a) for a in arguments], str(cwd), [str(f) for f in files]))
    process.start()
    try:
        yield Running(process, files)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        process.close()


def densnet(*arguments: object, cwd: Path) -> Outcome:
    """Runs ``densnet ARGUMENTS`` in ``cwd`` and waits for it."""
    with started(*arguments, cwd=cwd) as run:
        return run.outcome()


def _child(arguments: list[str], cwd: str, files: list[str]) -> None:
    for number, file in zip((1, 2), files):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    sys.argv = ["densnet", *arguments]
    from densnet.cli.main import main

    main()
