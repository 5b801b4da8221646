"""What labels are calculated by: processes of this machine, or the workers of a cluster by Dask or Parsl, as one kind of executor."""

from __future__ import annotations

import importlib.util
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from densnet.errors import DensnetError
from densnet.reference import clusters
from densnet.reference.clusters import ClusterSettings, Lost, Submit
from densnet.reference.workers import Died, Processes, end_if_rerun
from densnet.settings import cores

Name = Literal["local", "dask", "parsl"]
PACKAGES = {"dask": ("distributed", "dask_jobqueue"), "parsl": ("parsl",)}
SUBMIT = {"slurm": "sbatch", "pbs": "qsub"}

TRIES = 4
"""How often a calculation is tried whose worker is lost: on a cluster that need not be the fault of the calculation."""


class EngineError(DensnetError):
    """An engine that cannot start, or is lost; the message says why and what to do."""


def check_installed(engine: Name) -> Name:
    """``engine``; raises ValueError, as a validator does, where a package is missing that it needs."""
    if missing := [name for name in PACKAGES.get(engine, ()) if importlib.util.find_spec(name) is None]:
        raise ValueError(f"{missing[0]} is not installed; `pip install 'densnet[{engine}]'`, or use 'local'")
    return engine


def opened(engine: Name, workers: int, cluster: ClusterSettings, place: Path) -> Executor:
    """The executor called ``engine`` with ``workers`` processes (0 = all cores), or those of a ``cluster``; it starts when there is work.

    ``place``: folder for scripts and logs of the jobs. Left as a context, it ends what it started. Raises `EngineError`.
    """
    if engine == "local":
        return Processes(workers)
    if cluster.scheduler != "none" and shutil.which(SUBMIT[cluster.scheduler]) is None:
        command = SUBMIT[cluster.scheduler]
        raise EngineError(f"`label.cluster.scheduler` is {cluster.scheduler!r}, but there is no `{command}` here; start on a login node.")
    if cluster.address and engine != "dask":
        raise EngineError(f"`label.cluster.address` is that of a Dask scheduler, but `label.engine` is {engine!r}; set it to 'dask'.")
    start = {"dask": clusters.dask, "parsl": clusters.parsl}[engine]
    return Engine(engine, partial(start, cluster, workers or cores(), TRIES, place.absolute()))


class Engine(Executor):
    """Another package's executor called ``name``, started at the first job, in the terms of this one.

    A job whose worker is lost on every try is `Died`; where what deals out the jobs is lost, what is left of them is `EngineError`.
    """

    def __init__(self, name: Name, start: Callable[[Callable[[], None]], AbstractContextManager[tuple[Submit, Lost]]]):
        end_if_rerun()
        self.name, self._start, self._stack = name, start, ExitStack()
        self._submit: Submit | None = None
        self._lost: Lost = ()
        self._open: set[Future] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """The future result of ``fn(*args, **kwargs)``; cancelling it forgets the result."""
        if self._submit is None:
            self._submit, self._lost = self._stack.enter_context(self._start(self._fail))
        told: Future = Future()
        self._open.add(told)
        self._submit(_call, fn, args, kwargs).add_done_callback(partial(self._tell, told))
        return told

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """End the workers at once, after all jobs with ``wait``."""
        for future in list(self._open) if wait and not cancel_futures else ():
            future.exception()
        self._open.clear()
        self._stack.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _tell(self, told: Future, done: Future) -> None:
        try:
            self._open.remove(told)
        except KeyError:  # failed, or forgotten
            return
        if not told.set_running_or_notify_cancel():
            return
        try:
            told.set_result(done.result())
        except self._lost:
            told.set_exception(Died(-signal.SIGKILL, TRIES))
        except CancelledError:
            told.set_exception(self._gone())
        except Exception as error:
            told.set_exception(error)

    def _fail(self) -> None:
        """The package's own scheduler is gone: nothing more will come."""
        while self._open:
            told = self._open.pop()
            if told.set_running_or_notify_cancel():
                told.set_exception(self._gone())

    def _gone(self) -> EngineError:
        return EngineError(f"the scheduler of {self.name} is gone; all labels that were made are kept: run the same command again.")


def _call(function: Callable[..., Any], arguments: tuple, keywords: dict[str, Any]) -> Any:
    """What a worker does; the packages take keywords of `submit` as their own."""
    return function(*arguments, **keywords)
