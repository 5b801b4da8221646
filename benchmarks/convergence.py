"""How much dynamics a spectrum needs: the figures and the picture of docs/convergence.md.

    python benchmarks/conservation.py --model ethanol --replicas 64 --picoseconds 10 --compile      # trajectories to cut up
    python benchmarks/conservation.py --model ethanol --replicas 4 --picoseconds 100 --compile
    python benchmarks/convergence.py runs/conservation/ethanol-64x10ps-* runs/conservation/ethanol-4x100ps-* [--temperatures FOLDER ...]

The trajectories are cut into samples of so many replicas of so many ps, none with two stretches of one trajectory. The spectrum of each is
held against that of all trajectories without its own, each with the same weight, because the energy in a stretch hardly changes along one:
likeness (SIS, r), relative error of band integrals (rms over samples, less what the n others scatter: sqrt(n / (n + replicas)) of the
difference), and the error that the spectrum claims for itself from the scatter of its replicas. Then the window of the correlation, and
other temperatures. Writes OUT.json and OUT.png.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from experiment import Table, conclude, parser, write
from matplotlib.axes import Axes
from numpy.typing import NDArray

from densnet import units
from densnet.report import style
from densnet.simulation.trajectory import Trajectory, read_trajectory
from densnet.spectra.comparison import compare
from densnet.spectra.infrared import from_series
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.timeseries import Sampling, SeriesSettings

BANDS = {"C-O": (960.0, 1120.0), "C-H": (2700.0, 3120.0), "O-H": (3550.0, 3850.0)}
LENGTHS = (2.5, 5.0, 10.0, 25.0, 50.0, 100.0)
COUNTS = (1, 4, 16, 32)
DEPTHS = (512.0, 1024.0, 2048.0, 4096.0, 8192.0)
WINDOW = 2048.0
SETTINGS = SeriesSettings(maximum=4200.0)
HIGHEST = 4000.0  # cm^-1, no O-H stretch lies higher


@dataclass(frozen=True)
class Piece:
    """Dipoles [steps, 3] of a stretch of one replica, its mean temperature (K), and which trajectory it is a part of."""

    dipole: NDArray
    temperature: float
    trajectory: int


def pieces(runs: list[Trajectory], length_ps: float) -> list[Piece]:
    """All trajectories in stretches of ``length_ps``: first the first stretch of each, in random order, then the second of each, ..."""
    found, trajectory, random = [], 0, np.random.default_rng(0)
    for run in runs:
        steps = round(length_ps * units.PICOSECOND / run.sample_step) + 1
        for dipole, temperature in zip(run.dipole.numpy(), run.temperature.numpy()):
            for start in range(0, len(dipole) - steps + 1, steps):
                part = slice(start, start + steps)
                place = start // steps + random.random()
                found.append((place, Piece(dipole[part], float(temperature[part].mean()), trajectory)))
            trajectory += 1
    return [piece for _, piece in sorted(found, key=lambda one: one[0])]


def spectrum(parts: list[Piece], run: Trajectory, depth: float = WINDOW) -> Spectrum:
    """Mean power of stretches over their mean temperature."""
    sampling = Sampling(run.sample_step, run.time_step, np.array([part.temperature for part in parts]), HIGHEST)
    return from_series(np.stack([p.dipole for p in parts]), sampling, settings=SETTINGS.model_copy(update={"depth": depth}))


def whole_spectra(runs: list[Trajectory]) -> tuple[list[Spectrum], list[float]]:
    """One of each trajectory, and its mean temperature (K), in the order of `pieces`' numbers: a spectrum of several weights them by it."""
    every, temperatures = [], []
    for run in runs:
        for dipole, temperature in zip(run.dipole.numpy(), run.temperature.mean(1).tolist()):
            sampling = Sampling(run.sample_step, run.time_step, temperature, HIGHEST)
            every.append(from_series(dipole[None], sampling, settings=SETTINGS))
            temperatures.append(temperature)
    return every, temperatures


def likeness(count: int, length: float, runs: list[Trajectory]) -> dict | None:
    """How far samples of ``count`` stretches of ``length`` ps are from all the others; None if there are not two samples."""
    stretches, (every, temperatures) = pieces(runs, length), whole_spectra(runs)
    samples = [stretches[k : k + count] for k in range(0, len(stretches) - count + 1, count)]
    samples = [sample for sample in samples if len({piece.trajectory for piece in sample}) == count][:40]
    if len(samples) < 2:
        return None
    rows = []
    for sample in samples:
        other = [number for number in range(len(every)) if number not in {piece.trajectory for piece in sample}]
        if not other:
            return None
        weights = [temperatures[number] for number in other]
        others = Spectrum(every[0].axis, np.average([every[number].intensity for number in other], axis=0, weights=weights))
        own = np.sqrt(len(other) / (len(other) + count))
        found = spectrum(sample, runs[0])
        alike = compare(found, others)
        bands = [(found.band(*limits), others.integral(*limits)) for limits in BANDS.values()]
        claimed = [np.nan if band.error is None else band.error / expected for band, expected in bands]
        rows.append([alike.similarity, alike.pearson, *(own * (band.integral / expected - 1) for band, expected in bands), *claimed])
    values, bands = np.array(rows), len(BANDS)
    errors, claimed = (np.sqrt((values[:, k : k + bands] ** 2).mean(0)) for k in (2, 2 + bands))
    return {
        "replicas": count,
        "ps": length,
        "samples": len(samples),
        "similarity": float(values[:, 0].mean()),
        "pearson": float(values[:, 1].mean()),
        "error_percent": dict(zip(BANDS, (100 * errors).tolist())),
        "claimed_percent": dict(zip(BANDS, (100 * claimed).tolist())) if count > 1 else None,
    }


def window(depth: float, runs: list[Trajectory]) -> dict:
    """The spectrum of all stretches of 10 ps with another window: highest point, its error, width that the window alone gives."""
    run = runs[0]
    found = spectrum(pieces([run], min(10.0, float(run.times[-1]) / units.PICOSECOND)), run, depth)
    top = int(found.intensity.argmax())
    return {
        "depth_fs": depth, "line_width": 33356 / depth, "maximum": float(found.axis[top]), "height": float(found.intensity[top]),
        "error_percent": float(100 * found.error[top] / found.intensity[top]),
        "lowest_percent": float(100 * found.intensity.min() / found.intensity[top]),
        "integrals": {name: found.integral(*limits) for name, limits in BANDS.items()},
    }  # fmt: skip


def temperature(folder: Path) -> dict:
    """Bands of one run."""
    run = read_trajectory(folder, motion=False)
    parts = pieces([run], float(run.times[-1]) / units.PICOSECOND)
    found = spectrum(parts, run)
    rows = {name: found.band(*limits) for name, limits in BANDS.items()}
    fields = ("centroid", "centroid_error", "integral", "error")
    numbers = {name: {field: getattr(band, field) for field in fields} for name, band in rows.items()}
    return {"temperature_K": float(run.temperature.mean()), "replicas": len(parts), "bands": numbers}


def scatter(axes: Axes, rows: list[dict], band: str) -> None:
    """Error of a band against all the dynamics in a sample; what its replicas claim as crosses."""
    for number, count in enumerate(COUNTS):
        mine = [row for row in rows if row["replicas"] == count]
        ink = (style.VIOLET, style.BLUE, style.GREEN, style.RED)[number]
        found = [r["error_percent"][band] for r in mine]
        axes.plot([r["ps"] * count for r in mine], found, "o", ms=4, color=ink, label=f"{count} replica{'s' * (count > 1)}")
        known = [r for r in mine if r["claimed_percent"]]
        axes.plot([r["ps"] * count for r in known], [r["claimed_percent"][band] for r in known], "x", ms=4, color=ink)
    axes.set(xscale="log", yscale="log", xlabel="replicas x length, ps", ylabel="error of the integral, %")
    axes.set_title(f"{band} band (crosses: the error that a spectrum claims)")
    axes.set_yticks([5, 10, 20, 40, 80], [5, 10, 20, 40, 80])
    axes.set_xticks([3, 10, 30, 100, 300], [3, 10, 30, 100, 300])
    axes.minorticks_off()
    axes.legend(loc="lower left")
    axes.grid(which="major")


@style.styled
def draw(rows: list[dict], runs: list[Trajectory], path: Path) -> None:
    """Errors against the amount of dynamics; three default spectra; windows."""
    figure, grid = plt.subplots(2, 2, figsize=(8.8, 6.4), layout="constrained")
    scatter(grid[0, 0], rows, "C-O")
    scatter(grid[0, 1], rows, "O-H")
    stretches = pieces(runs[:1], 2.5)
    for number, ink in enumerate((style.BLUE, style.RED, style.GREEN)):
        found = spectrum(stretches[32 * number : 32 * (number + 1)], runs[0])
        grid[1, 0].plot(found.axis, found.intensity, color=ink, linewidth=0.9, label=f"sample {number + 1}")
    grid[1, 0].set(xlim=(700, 1600), ylim=(0, None), xlabel="wavenumber, cm$^{-1}$", ylabel="km/mol per cm$^{-1}$")
    grid[1, 0].set_title("Three times 32 replicas of 2.5 ps")
    grid[1, 0].legend()
    for depth, ink in zip(DEPTHS[1:4], (style.GREEN, style.BLUE, style.RED)):
        found = spectrum(pieces(runs[:1], 10.0), runs[0], depth)
        grid[1, 1].plot(found.axis, found.intensity, color=ink, linewidth=0.9, label=f"{depth:g} fs")
    top = 1.2 * found.intensity[found.axis > 3500].max()
    grid[1, 1].set(xlim=(3500, 3850), ylim=(0, top), xlabel="wavenumber, cm$^{-1}$", ylabel="km/mol per cm$^{-1}$")
    grid[1, 1].set_title("O-H stretch, windows of the correlation")
    grid[1, 1].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)


def main() -> None:
    """Cut up, compare, print, draw."""
    options = parser(__doc__, "runs/convergence")
    options.add_argument("trajectories", type=Path, nargs="+", help="folders of runs at one temperature; the first has the most replicas")
    options.add_argument("--temperatures", type=Path, nargs="*", default=[], help="folders of runs at other temperatures")
    chosen = options.parse_args()
    folders = [path for path in chosen.trajectories if path.is_dir()]  # a pattern finds the JSON files beside them too
    runs = [read_trajectory(path, motion=False) for path in folders]
    rows = [row for length in LENGTHS for count in COUNTS if (row := likeness(count, length, runs))]
    head = ["replicas", "ps", "samples", "SIS", "r", *(f"{band}, %" for band in BANDS), *(f"claimed {band}, %" for band in BANDS)]
    cells = []
    for row in rows:
        claimed = row["claimed_percent"] or dict.fromkeys(BANDS)
        alike = [row[key] for key in ("replicas", "ps", "samples", "similarity", "pearson")]
        cells.append([*alike, *row["error_percent"].values(), *claimed.values()])
    tables = {"length": Table(head, cells)}
    windows = [window(depth, runs) for depth in DEPTHS]
    head = ["window, fs", "line width, cm^-1", "highest point, cm^-1", "height", "its error, %", "lowest point, %"]
    cells = [[*list(w.values())[:-1], *w["integrals"].values()] for w in windows]
    tables["window"] = Table([*head, *(f"{b}, km/mol" for b in BANDS)], cells)
    warm = [temperature(path) for path in chosen.temperatures]
    if warm:
        head = ["K", *(f"{band}: centroid, cm^-1" for band in BANDS), *(f"{band}, km/mol" for band in BANDS)]
        told = [
            [f"{w['temperature_K']:.0f}", *(f"{b['centroid']:.1f} +- {b['centroid_error']:.1f}" for b in w["bands"].values()),
             *(f"{b['integral']:.1f} +- {b['error']:.1f}" for b in w["bands"].values())]
            for w in warm
        ]  # fmt: skip
        tables["temperature"] = Table(head, told)
    draw(rows, runs, chosen.out.with_suffix(".png"))
    write(chosen.out.with_suffix(".json"), {"samples": rows, "windows": windows, "temperatures": warm, "runs": [p.name for p in folders]})
    conclude(chosen, "convergence", tables)


if __name__ == "__main__":
    main()
