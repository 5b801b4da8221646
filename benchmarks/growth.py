"""How time and memory of energy, forces, density coefficients and dipole grow with atoms and with replicas.

    python benchmarks/growth.py [--calls 30] [--like defaults] [--out runs/growth] [--small]

Flat oligothiophenes of 1 to 143 rings (9 to 1003 atoms), alkanes of 5 to 1202 atoms, and 1 to 256 replicas of ethanol: in one batch, and in
blocks as dynamics does it. Untrained weights, float32, sizes of a new training or of the model `--like`; one thread, medians of CPU time;
memory: largest resident above that before the first call; every molecule in a process of its own. Then the same molecules with the table of
all pairs and with vesin's neighbour list, which is what ALL_PAIRS_UP_TO in model/predictor.py rests on. Writes OUT.json and OUT.png.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import torch
from chains import DEFAULT, alkane, copies, known, untrained
from experiment import Table, machine, machine_line, markdown_row, parser, record, write
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter, NullFormatter
from measuring import apart, milliseconds, peak_above_now

from densnet.model import predictor as predictor_module
from densnet.molecules import Molecules
from densnet.reference.oligomers import thiophenes
from densnet.report import style
from densnet.simulation.blocks import Blocks
from densnet.simulation.run import SimulateSettings
from densnet.workflow.process import keep_memory

RINGS = (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 143)
CARBONS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 400)
REPLICAS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CROSSING_RINGS, CROSSING_CARBONS = (1, 2, 3, 4, 5, 6, 8, 12), (1, 2, 4, 6, 8, 10, 12, 16, 28)
BATCH = 16
LARGE = {"atoms": 86, "replicas": 16}
"""From where on exponents are fitted: below, the overhead of operators rules."""


@dataclass(frozen=True)
class Growth:
    """A molecule or batch: atoms of one, how many, ms a call, MB."""

    atoms: int
    count: int
    ms: float
    memory: float


def measure(molecules: Molecules, like: str, calls: int, in_blocks: int) -> Growth:
    """One call for all ``molecules``, at once or in blocks."""
    keep_memory()
    torch.set_num_threads(1)
    atoms, function = len(molecules.numbers) // molecules.count, untrained(molecules, like)
    if in_blocks:
        function = Blocks(function, molecules, SimulateSettings(replicas=molecules.count).block_size(atoms), threads=1)
    memory = peak_above_now(lambda: function(molecules))
    return Growth(atoms, molecules.count, milliseconds(lambda: function(molecules), calls), memory)


def pairs(molecule: Molecules, like: str, calls: int) -> list[float]:
    """ms a call with all pairs and with the neighbour list: of one molecule, then of `BATCH`."""
    found = []
    for molecules in (molecule, copies(molecule, BATCH)):
        for limit in (10**9, 0):
            with patch.object(predictor_module, "ALL_PAIRS_UP_TO", limit):
                found.append(milliseconds(partial(untrained(molecule, like), molecules), calls))
    return found


def exponent(sizes: list[float], values: list[float], least: float) -> float:
    """p of values ~ sizes^p from ``least`` on, by least squares of the logarithms."""
    large = [(s, v) for s, v in zip(sizes, values) if s >= least and v > 0]
    return float(np.polyfit(*np.log(np.array(large)).T, 1)[0]) if len(large) > 1 else float("nan")


def crossing(atoms: list[int], every: list[float], listed: list[float]) -> float:
    """Atoms at which the neighbour list becomes the faster one, between two sizes by the logarithm of the ratio; inf if it never does."""
    ratio = np.log(np.array(every) / np.array(listed))
    for k in range(1, len(ratio)):
        if ratio[k - 1] < 0 <= ratio[k]:
            share = -ratio[k - 1] / (ratio[k] - ratio[k - 1])
            return float(np.exp(np.log(atoms[k - 1]) + share * np.log(atoms[k] / atoms[k - 1])))
    return float("inf") if ratio[0] < 0 else float(atoms[0])


def series(name: str, batches: list[Molecules], chosen: argparse.Namespace, *, blocks: bool = False) -> dict:
    """Measured and printed; exponents of time and memory."""
    axis = "replicas" if batches[-1].count > 1 else "atoms"
    sizes, found = [m.count if axis == "replicas" else len(m.numbers) for m in batches], []
    print(f"\n{name}\n\n{Table([axis, 'ms', f'ms, each of the {axis}', 'memory, MB'], []).markdown()}")
    for size, g in zip(sizes, apart(measure, [(batch, chosen.like, chosen.calls, int(blocks)) for batch in batches])):
        print(markdown_row([size, g.ms, g.ms / size, g.memory]), flush=True)
        found.append(g)
    powers = {key: exponent(sizes, [getattr(g, key) for g in found], LARGE[axis]) for key in ("ms", "memory")}
    print(f"\nfrom {LARGE[axis]} {axis}: time ~ {axis}^{powers['ms']:.2f}, memory ~ {axis}^{powers['memory']:.2f}", flush=True)
    return {"axis": axis, "sizes": sizes, "points": [asdict(g) for g in found], "exponents": powers}


def crossings(chosen: argparse.Namespace) -> dict:
    """All pairs beside the neighbour list."""
    found, few = {}, slice(2 if chosen.small else None)
    for name, make, sizes in (("thiophenes", thiophenes, CROSSING_RINGS), ("alkanes", alkane, CROSSING_CARBONS)):
        molecules = [make(size) for size in sizes[few]]
        times = np.array([pairs(m, chosen.like, chosen.calls) for m in molecules]).T.tolist()
        atoms = [len(m.numbers) for m in molecules]
        head = ["atoms", "one: all pairs, ms", "neighbour list", f"{BATCH}: all pairs, ms", "neighbour list"]
        table = Table(head, [list(row) for row in zip(atoms, *times)])
        print(f"\n{name}\n\n{table.markdown()}")
        single, batch = crossing(atoms, *times[:2]), crossing(atoms, *times[2:])
        print(f"\nthe neighbour list is the faster one from {single:.0f} atoms on (batches of {BATCH}: {batch:.0f})", flush=True)
        found[name] = {"atoms": atoms, "ms": times, "crossing": single, "crossing_of_batches": batch}
    return found


def tables(found: dict) -> dict[str, Table]:
    """Each series, and all pairs beside the neighbour list."""
    made = {}
    for name in ("thiophenes", "alkanes", "replicas", "blocks"):
        axis, sizes, points = (found[name][key] for key in ("axis", "sizes", "points"))
        rows = [[size, point["ms"], point["ms"] / size, point["memory"]] for size, point in zip(sizes, points)]
        made[name] = Table([axis, "ms", f"ms, each of the {axis}", "memory, MB"], rows)
    head = ["atoms", "one: all pairs, ms", "neighbour list", f"{BATCH}: all pairs, ms", "neighbour list"]
    return made | {f"{name}-pairs": Table(head, [list(r) for r in zip(p["atoms"], *p["ms"])]) for name, p in found["pairs"].items()}


def axes_of(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    axes.set_title(title)
    axes.grid(which="major")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(LogFormatter(labelOnlyBase=True))
        axis.set_minor_formatter(NullFormatter())


@style.styled
def draw(found: dict, path: Path) -> None:
    """Time and memory against atoms; time against replicas; all pairs against the neighbour list."""
    figure, grid = plt.subplots(2, 2, figsize=(8.6, 6.4), layout="constrained")
    inks = {"thiophenes": style.BLUE, "alkanes": style.GREEN, "replicas": style.BLUE, "blocks": style.RED}
    for axes, key, title, up in ((grid[0, 0], "ms", "Time", "CPU ms a call"), (grid[0, 1], "memory", "Memory", "MB above the start")):
        for name in ("thiophenes", "alkanes"):
            values = [p[key] for p in found[name]["points"]]
            label = f"{name}, atoms$^{{{found[name]['exponents'][key]:.2f}}}$"
            axes.plot(found[name]["sizes"], values, "o-", color=inks[name], markersize=3.5, label=label)
        axes_of(axes, f"{title} of energy, forces, density and dipole", "atoms", up)
        axes.legend(loc="upper left")
    for name, text in (("replicas", "one batch"), ("blocks", "in blocks")):
        values = [p["ms"] for p in found[name]["points"]]
        label = f"{text}, replicas$^{{{found[name]['exponents']['ms']:.2f}}}$"
        grid[1, 0].plot(found[name]["sizes"], values, "o-", color=inks[name], markersize=3.5, label=label)
    axes_of(grid[1, 0], "Time of replicas of ethanol (9 atoms)", "replicas", "CPU ms a call")
    grid[1, 0].legend(loc="upper left")
    for name, pair in found["pairs"].items():
        for k, dash in ((0, "-"), (2, "--")):
            ratio = np.array(pair["ms"][k]) / np.array(pair["ms"][k + 1])
            label = f"{name}{'' if k == 0 else f', {BATCH} at once'}"
            grid[1, 1].plot(pair["atoms"], ratio, dash, color=inks[name], marker="o", markersize=3.5, label=label)
    grid[1, 1].axhline(1, color=style.INK, linewidth=0.7)
    grid[1, 1].axvline(found["all_pairs_up_to"], color=style.FAINT)
    grid[1, 1].set(xlabel="atoms", ylabel="time: all pairs / neighbour list", ylim=(0, None))
    grid[1, 1].set_title(f"All pairs or neighbour list (grey line: limit, {found['all_pairs_up_to']} atoms)")
    grid[1, 1].legend(loc="best")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)


def main() -> None:
    """Measure, print, draw."""
    options = parser(__doc__, "runs/growth")
    options.add_argument("--calls", type=int, default=30)
    options.add_argument("--like", default=DEFAULT, help="model file or shipped name whose sizes are used")
    options.add_argument("--small", action="store_true", help="only the smallest sizes, to see whether it works")
    chosen = options.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    few = slice(3 if chosen.small else None)
    settings = untrained(known("ethanol"), chosen.like).settings
    print(f"{machine_line()}; medians of {chosen.calls} calls; sizes of `{chosen.like}`: {settings.model_dump()}", flush=True)
    replicas = [copies(known("ethanol"), n) for n in REPLICAS[few]]
    found = {
        "thiophenes": series("Oligothiophenes", [thiophenes(n) for n in RINGS[few]], chosen),
        "alkanes": series("Alkanes", [alkane(n) for n in CARBONS[few]], chosen),
        "replicas": series("Replicas of ethanol, one batch", replicas, chosen),
        "blocks": series("Replicas of ethanol, in blocks", replicas, chosen, blocks=True),
        "pairs": crossings(chosen),
        "all_pairs_up_to": predictor_module.ALL_PAIRS_UP_TO,
    }
    draw(found, chosen.out.with_suffix(".png"))
    about = {**machine(), "like": chosen.like, "settings": settings.model_dump(), "calls": chosen.calls}
    write(chosen.out.with_suffix(".json"), about | found)
    if chosen.record:
        record("growth", tables(found), vars(chosen))


if __name__ == "__main__":
    main()
