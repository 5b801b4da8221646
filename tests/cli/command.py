"""The `densnet` command in a process of its own, forked from a server that has imported the heavy packages once."""

from __future__ import annotations

import multiprocessing
import os
import sys
from dataclasses import dataclass
from pathlib import Path

HEAVY = ["torch", "pyscf.dft", "ase.io", "scipy.fft", "h5py", "densnet.cli.chain", "densnet.training.fit", "densnet.interfaces.ase"]


@dataclass(frozen=True)
class Outcome:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


def densnet(*arguments: object, cwd: Path) -> Outcome:
    """Runs ``densnet ARGUMENTS`` in ``cwd`` and waits for it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    files = [cwd / f".{name}-{os.getpid()}" for name in ("out", "err")]
    process = context.Process(target=_child, args=([str(a) for a in arguments], str(cwd), [str(f) for f in files]))
    process.start()
    process.join(timeout=120)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
    process.close()
    return Outcome(code, *(f.read_text() for f in files))


def _child(arguments: list[str], cwd: str, files: list[str]) -> None:
    for number, file in zip((1, 2), files):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    sys.argv = ["densnet", *arguments]
    from densnet.cli.main import main

    main()
