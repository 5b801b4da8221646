"""What the benchmarks measure with: medians of CPU time, largest memory, a process of its own."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

WARM_UP = 10
"""Calls before the first that counts."""


def milliseconds(work: Callable[[], object], calls: int, warm_up: int = WARM_UP) -> float:
    """Median CPU time of ``work``."""
    times = []
    for _ in range(warm_up + calls):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return median(times[warm_up:])


def resident(name: str = "VmRSS") -> float:
    """MB of this process: now (VmRSS) or at most (VmHWM)."""
    return int(re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def peak_above_now(work: Callable[[], object]) -> float:
    """MB that ``work`` needs at most above what was resident before it."""
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    work()
    return resident("VmHWM") - before


def apart(function: Callable, arguments: list[tuple]) -> Iterator:
    """``function`` of each in a fresh process, one after another, so that none finds the memory of the one before; given as they come."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for given in arguments:
            yield pool.submit(function, *given).result()
