"""Processes side by side, one thread each: they do job after job, survive none of their parent's deaths, and never see Ctrl-C."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from densnet.errors import DensnetError
from densnet.settings import cores

JOBS_PER_PROCESS = 100
"""A process makes room for a fresh one after so many jobs, so that its memory cannot creep."""

TRIES = 2
"""How often a job is tried whose process is killed by a signal."""


RERUN = 93
"""Exit code of a process that was started to work, and is about to run the user's script again instead."""


class Died(Exception):
    """A process ended without an answer, at every try if a signal killed it; ``code``: its exit code, or minus the signal."""

    def __init__(self, code: int, tries: int = 1):
        super().__init__(code, tries)
        self.code, self.tries = code, tries

    def __str__(self) -> str:
        if self.code < 0:
            return f"its process was killed {self.tries} times by signal {-self.code}"
        return f"its process ended with exit code {self.code}"


class Unguarded(DensnetError):
    """A script without ``if __name__ == "__main__":`` starts processes, which run it again; the message says what to write."""


def end_if_rerun() -> None:
    """Ends a process that was started to work and runs the user's script again in place of it; the one that started it says why."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(RERUN)


class Processes(Executor):
    """Up to ``count`` local processes (0 = all cores) as a `concurrent.futures.Executor`; they start when there is work.

    Functions are importable, or partials of such; they, their arguments and results travel by pickle and hold numpy arrays rather than
    tensors. The future of a job whose process dies has the exception `Died`. Leaving it as a context with an error, or by Ctrl-C, kills the
    processes.
    """

    def __init__(self, count: int = 0):
        end_if_rerun()
        self.count = count or cores()
        self._new: SimpleQueue[_Job] = SimpleQueue()
        self._bell, self._ring = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._lock, self._ended, self._cancelled = threading.Lock(), False, False
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """The future result of ``fn(*args, **kwargs)``."""
        with self._lock:
            if self._ended:
                raise RuntimeError("these processes have been shut down")
            job = _Job(Future(), fn, args, kwargs)
            self._new.put(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._ring.send_bytes(b"job")
        return job.future

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """End the processes, after all jobs, or at once with ``cancel_futures``."""
        with self._lock:
            self._ended, self._cancelled = True, self._cancelled or cancel_futures
            self._ring.send_bytes(b"end")
        if wait and self._thread is not None:
            self._thread.join()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _work(self) -> None:
        """The one thread that deals out jobs."""
        waiting: deque[_Job] = deque()
        processes: list[_Process] = []
        try:
            while not self._cancelled and not (self._ended and self._new.empty() and not waiting and not processes):
                while not self._new.empty():
                    waiting.append(self._new.get())
                while len(processes) < self.count and (job := _next(waiting)):
                    processes.append(_Process())
                    processes[-1].take(job)
                ready = wait([self._bell, *(process.connection for process in processes)])
                if self._bell in ready:
                    self._bell.recv_bytes()
                for process in [process for process in processes if process.connection in ready]:
                    died = process.answer(waiting)
                    if not died and process.taken < JOBS_PER_PROCESS and (job := _next(waiting)):
                        process.take(job)
                    else:
                        process.stop()
                        processes.remove(process)
        finally:
            for process in processes:
                process.stop()
                process.job.future.set_exception(Died(-signal.SIGKILL))
            while not self._new.empty():
                waiting.append(self._new.get())
            for job in waiting:
                job.future.cancel()


def results(jobs: Iterable[Any], work: Callable[[Any], Any], execute: Executor) -> Iterator[tuple[Any, Any]]:
    """Pairs (job, ``work(job)``) as they end, by ``execute``; an exception that ``work`` raises, or `Died`, comes as the result.

    Raises `Unguarded`.
    """
    futures = {execute.submit(work, job): job for job in jobs}
    try:
        for future in as_completed(futures):
            job, error = futures.pop(future), future.exception()
            if isinstance(error, Unguarded):
                raise error
            yield job, future.result() if error is None else error
    finally:
        for future in futures:
            future.cancel()


def _unguarded() -> Unguarded:
    script = getattr(sys.modules["__main__"], "__file__", "the script")
    return Unguarded(
        f"{script} starts processes, and each of them would run it again from the top; put what it does under "
        '`if __name__ == "__main__":` (imports and functions stay outside).'
    )


@dataclass
class _Job:
    future: Future
    function: Callable[..., Any]
    arguments: tuple
    keywords: dict[str, Any]
    deaths: int = 0


def _next(waiting: deque[_Job]) -> _Job | None:
    """The first job that nobody has cancelled."""
    while waiting:
        job = waiting.popleft()
        if job.deaths or job.future.set_running_or_notify_cancel():
            return job
    return None


class _Process:
    def __init__(self):
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.taken = 0
        with _one_thread_and_no_ctrl_c():
            self.process.start()
        theirs.close()

    def take(self, job: _Job) -> None:
        self.job, self.taken = job, self.taken + 1
        try:
            self.connection.send((job.function, job.arguments, job.keywords))
        except BrokenPipeError:
            pass  # it died while starting: `answer` finds out how

    def answer(self, waiting: deque[_Job]) -> bool:
        """Whether the process died; its job is done, or has a second try if it was killed."""
        try:
            good, value = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode
            self.job.deaths += 1
            if code < 0 and self.job.deaths < TRIES:
                waiting.appendleft(self.job)
            else:
                self.job.future.set_exception(_unguarded() if code == RERUN else Died(code, self.job.deaths))
            return True
        (self.job.future.set_result if good else self.job.future.set_exception)(value)
        return False

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(connection: Connection) -> None:
    os.nice(5)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    while True:
        try:
            function, arguments, keywords = connection.recv()
        except EOFError:
            return
        try:
            answer = True, function(*arguments, **keywords)
        except Exception as error:
            answer = False, error
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
