"""Processes side by side, one thread each: they do job after job, survive none of their parent's deaths, and never see Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from densnet.settings import cores

JOBS_PER_PROCESS = 100
"""A process makes room for a fresh one after so many jobs, so that its memory cannot creep."""


class Died(Exception):
    """A process ended without an answer, twice on the same job if a signal killed it; the argument is its exit code (minus the signal)."""


def results(jobs: Iterable[Any], work: Callable[[Any], Any], count: int = 0) -> Iterator[tuple[Any, Any]]:
    """Pairs (job, ``work(job)``) as they end, from ``count`` processes at a time (0 = all cores).

    An exception that ``work`` raises comes as the result, not as an exception; so does `Died`. ``work`` is an importable function or
    a partial of one; jobs and results travel by pickle and hold numpy arrays rather than tensors.
    """
    waiting = deque((job, 0) for job in jobs)
    count = min(count or cores(), len(waiting))
    processes: list[_Process] = []
    try:
        while waiting or processes:
            while waiting and len(processes) < count:
                processes.append(_Process(work))
                processes[-1].take(*waiting.popleft())
            ready = wait([process.connection for process in processes])
            for process in [process for process in processes if process.connection in ready]:
                job, deaths, result = process.job, process.deaths, process.result()
                died = isinstance(result, Died)
                if died and result.args[0] < 0 and deaths == 0:
                    waiting.appendleft((job, 1))
                else:
                    yield job, result
                if waiting and not died and process.taken < JOBS_PER_PROCESS:
                    process.take(*waiting.popleft())
                else:
                    process.stop()
                    processes.remove(process)
    finally:
        for process in processes:
            process.stop()


class _Process:
    def __init__(self, work: Callable[[Any], Any]):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        self.taken = 0
        with _one_thread_and_no_ctrl_c():
            self.process.start()
        theirs.close()

    def take(self, job: Any, deaths: int) -> None:
        self.job, self.deaths, self.taken = job, deaths, self.taken + 1
        try:
            self.connection.send(job)
        except BrokenPipeError:
            pass  # it died while starting: `result` finds out how

    def result(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return Died(self.process.exitcode)

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(work: Callable[[Any], Any], connection: Connection) -> None:
    os.nice(5)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            answer = work(job)
        except Exception as error:
            answer = error
        connection.send(answer)


def _end_with_the_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


@contextmanager
def _one_thread_and_no_ctrl_c() -> Iterator[None]:
    """A process started in here has one thread for linear algebra, and Ctrl-C reaches its parent only."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
