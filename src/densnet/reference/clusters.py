"""The workers of Dask and Parsl, on this machine or as jobs of SLURM and PBS, by one section of settings."""

from __future__ import annotations

import atexit
import logging
import os
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from threading import Thread
from typing import Any, Literal

from pydantic import Field

from densnet.settings import Incidental, Section

Submit = Callable[..., Future]
Lost = tuple[type[Exception], ...]
"""What a package raises where the worker of a job is lost at every try."""


QUIET = logging.CRITICAL
"""Of the packages' own logs: an error that matters comes as the result of a job."""

SILENCE = 20
"""Seconds without a word after which the workers of this machine end, because Parsl's scheduler was killed."""

ANY_PORT = "127.0.0.1:0"
"""Where Dask's scheduler answers HTTP although nobody asks: its default is one port of the machine, which another labelling may hold."""


class ClusterSettings(Section):
    """Where Dask or Parsl find their workers, each with one core. They write the labels, so they need the folder of the results."""

    scheduler: Incidental[Literal["none", "slurm", "pbs"]] = Field(
        "none", description="batch system that starts the workers; none: this machine, `label.workers` of them"
    )
    address: Incidental[str] = Field("", description="dask: use the workers of this running scheduler, tcp://HOST:PORT")
    jobs: Incidental[int] = Field(1, ge=1, description="batch jobs at a time; one that ends (`walltime`) is replaced")
    cores: Incidental[int] = Field(1, ge=1, description="cores of a job, on one node: as many calculations side by side")
    memory: Incidental[int] = Field(4, ge=1, description="memory of a job, GB")
    walltime: Incidental[str] = Field("24:00:00", pattern=r"^(\d+-)?\d+:\d\d:\d\d$", description="time limit of a job, HH:MM:SS")
    queue: Incidental[str] = Field("", description="queue (partition) of the jobs; default: that of the batch system")
    account: Incidental[str] = Field("", description="account or project that pays")
    setup: Incidental[tuple[str, ...]] = Field((), description="shell commands at the start of a job, such as `module load` lines")
    options: Incidental[tuple[str, ...]] = Field((), description="more options of a job, such as `--constraint=rome`")


@contextmanager
def dask(cluster: ClusterSettings, workers: int, tries: int, place: Path, fail: Callable[[], None]) -> Iterator[tuple[Submit, Lost]]:
    """How a job is given to Dask; see `parsl`. Its executor cancels what is left of its jobs where its scheduler is lost."""
    import dask as package
    from distributed import Client, KilledWorker, LocalCluster

    _silence("distributed", "tornado")
    one_by_one = {"distributed.scheduler.allowed-failures": tries - 1, "distributed.scheduler.worker-saturation": 1.0}
    with package.config.set(one_by_one), ExitStack() as stack:
        if cluster.address:
            source: Any = cluster.address
        elif cluster.scheduler == "none":
            options = {"dashboard": False, "dashboard_address": ANY_PORT}
            source = LocalCluster(workers, threads_per_worker=1, scheduler_kwargs=options, local_directory=str(place), silence_logs=QUIET)
        else:
            source = dask_jobs(cluster, place)
            source.adapt(minimum_jobs=cluster.jobs, maximum_jobs=cluster.jobs)
        if not cluster.address:
            stack.enter_context(source)
        client = stack.enter_context(Client(source))
        yield client.get_executor(pure=False).submit, (KilledWorker,)


def dask_jobs(cluster: ClusterSettings, place: Path) -> Any:
    """The jobs of a batch system as a cluster of Dask, none of them submitted yet; their logs are in ``place``."""
    import dask_jobqueue

    place.mkdir(parents=True, exist_ok=True)
    common = {
        "queue": cluster.queue or None, "account": cluster.account or None, "walltime": cluster.walltime, "cores": cluster.cores,
        "processes": cluster.cores, "memory": f"{cluster.memory}GiB", "job_script_prologue": list(cluster.setup),
        "job_extra_directives": list(cluster.options), "log_directory": str(place), "python": sys.executable, "job_name": "densnet-label",
        "scheduler_options": {"dashboard": False, "dashboard_address": ANY_PORT}, "worker_extra_args": ["--no-dashboard"],
    }  # fmt: skip
    kinds = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}
    return kinds[cluster.scheduler](**common, silence_logs=QUIET)


@contextmanager
def parsl(cluster: ClusterSettings, workers: int, tries: int, place: Path, fail: Callable[[], None]) -> Iterator[tuple[Submit, Lost]]:
    """How a job is given to Parsl, and what says that its worker was lost in each of its ``tries``.

    ``workers``: processes where the workers are of this machine. ``place``: folder for scripts and logs. ``fail`` is called where the
    scheduler is lost. What was started ends with the context.
    """
    from parsl import Config, DataFlowKernel
    from parsl.concurrent import ParslPoolExecutor
    from parsl.executors import HighThroughputExecutor
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost
    from parsl.executors.high_throughput.executor import DEFAULT_LAUNCH_CMD

    _silence("parsl")
    here = cluster.scheduler == "none"
    silence = SILENCE if here else 120
    command = f"{sys.executable} -m parsl.executors.high_throughput.process_worker_pool"
    pool = HighThroughputExecutor(
        max_workers_per_node=workers if here else cluster.cores,
        provider=parsl_provider(cluster),
        address="127.0.0.1" if here else None,
        launch_cmd=DEFAULT_LAUNCH_CMD.replace("process_worker_pool.py", command),
        interchange_launch_cmd=[sys.executable, "-c", f"from {__name__} import interchange; interchange()"],
        heartbeat_period=silence // 8,
        heartbeat_threshold=silence,
    )
    lost = (WorkerLost, ManagerLost)
    config = Config(
        [pool], run_dir=str(place), initialize_logging=False, exit_mode="skip",
        retries=tries - 1, retry_handler=lambda error, task: 1 if isinstance(error, lost) else tries,
    )  # fmt: skip
    kernel = DataFlowKernel(config)
    Thread(target=_when_ended, args=(pool.interchange_proc, fail), daemon=True).start()
    try:
        yield ParslPoolExecutor(dfk=kernel).submit, lost
    finally:
        if pool.interchange_proc.poll() is None:
            kernel.cleanup()
        else:  # for whose answer cleaning up would wait
            pool.set_bad_state_and_fail_all(RuntimeError("Parsl's scheduler has ended"))
            pool.provider.cancel(list(pool.blocks_to_job_id.values()))
            atexit.unregister(kernel.atexit_cleanup)


def interchange() -> None:
    """The main function of Parsl's scheduler, as a process that ends with the one that started it, but does not see its Ctrl-C."""
    parent = os.getppid()
    os.setpgid(0, 0)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")


def _silence(*packages: str) -> None:
    """The loggers of ``packages``, each of which has a level of its own."""
    for name in [*packages, *logging.root.manager.loggerDict]:
        if name.split(".")[0] in packages:
            logging.getLogger(name).setLevel(QUIET)


def _when_ended(process: Popen, then: Callable[[], None]) -> None:
    process.wait()
    then()


def parsl_provider(cluster: ClusterSettings) -> Any:
    """What starts the workers of Parsl: a process here, or jobs of a batch system."""
    from parsl.providers import LocalProvider, PBSProProvider, SlurmProvider

    setup = "\n".join(["export OMP_NUM_THREADS=1", *cluster.setup])
    if cluster.scheduler == "none":
        return LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1, worker_init=setup)
    mark = {"slurm": "#SBATCH", "pbs": "#PBS"}[cluster.scheduler]
    blocks: dict[str, Any] = {"init_blocks": cluster.jobs, "min_blocks": cluster.jobs, "max_blocks": cluster.jobs}
    common = {
        "account": cluster.account or None, "walltime": cluster.walltime, "worker_init": setup,
        "scheduler_options": "\n".join(f"{mark} {option}" for option in cluster.options),
    }  # fmt: skip
    if cluster.scheduler == "slurm":
        own: dict[str, Any] = {"partition": cluster.queue or None, "cores_per_node": cluster.cores, "mem_per_node": cluster.memory}
        return SlurmProvider(exclusive=False, **own, **blocks, **common)
    own = {"queue": cluster.queue or None, "cpus_per_node": cluster.cores, "select_options": f"mem={cluster.memory}gb"}
    return PBSProProvider(**own, **blocks, **common)
