"""What the benchmarks measure with: medians of CPU time, largest memory, a process of its own, one line on the machine, JSON."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import torch

from densnet.workflow.timing import processor

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


def machine() -> dict:
    """Processor, cores, how busy they are (load of the last minute), torch and its threads."""
    return {
        "hardware": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def machine_line() -> str:
    """`machine` in words."""
    found = machine()
    return f"{found['hardware']}, {found['cores']} cores (load {found['load']}), {found['threads']} thread(s), torch {found['torch']}"


def markdown_row(values: list) -> str:
    """A line of a table; floats with three significant digits, None as a dash."""

    def cell(value: object) -> str:
        if value is None:
            return "-"
        if not isinstance(value, float):
            return str(value)
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"

    return f"| {' | '.join(map(cell, values))} |"


def markdown(head: list[str], rows: list[list]) -> str:
    """A table."""
    return "\n".join(map(markdown_row, [head, ["---"] * len(head), *rows]))


def write(path: Path, found: dict) -> None:
    """``found`` as JSON, and a line that says where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}", flush=True)
