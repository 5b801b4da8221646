"""The figures of a finished run. Each takes plain numbers in the units that its axes state and returns a matplotlib `Figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray

from densnet.report.style import (
    BLUE,
    DYNAMICS,
    FAINT,
    GREEN,
    INK,
    MEASURED,
    MODEL,
    ORANGE,
    RED,
    REFERENCE,
    VIOLET,
    legend_above,
    panels,
    save,
    styled,
)
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum, Sticks
from densnet.spectra.width import sparse, widened

WAVENUMBER = "wavenumber / cm⁻¹"
_CYCLE = (BLUE, RED, GREEN, VIOLET, ORANGE)
_ABSOLUTE = "absorption / km mol⁻¹ per cm⁻¹"
_PHASES = {"density": BLUE, "points": VIOLET, "energy": GREEN, "joint": RED}


SAMPLING = "± one standard error (sampling only)"
"""What the band around a spectrum from dynamics is."""


def draw_spectrum(path: Path, spectrum: Spectrum, references: Sequence[Spectrum] = (), title: str = "") -> None:
    """Writes ``spectrum`` with its error band and measured ``references``, named by their header, to ``path`` (png, svg or pdf).

    The references get the line width of the spectrum.
    """
    width = float(spectrum.header.get("resolution_cm-1", 0.0))
    named = [(str(r.header.get("title") or r.header.get("file") or "reference"), widened(r, width), MEASURED) for r in references]
    save(spectrum_figure(spectrum, named, title), path)


@styled
def spectrum_figure(
    spectrum: Spectrum, references: Sequence[tuple[str, Spectrum, str]] = (), title: str = "", label: str = "dynamics", lower: float = 0.0
) -> Figure:
    """A spectrum with its error band; below it, on the same axis, each reference (name, curve, colour) against the same spectrum.

    Shown is what lies above ``lower`` (cm^-1). A reference in other units than ``spectrum`` is scaled to the same integral over the
    range that both cover, and says so.
    """
    figure, (axes, *below) = _stacked(1 + len(references))
    _with_band(axes, spectrum, label)
    axes.set_title(title)
    legend_above(axes)
    for (name, reference, colour), panel in zip(references, below):
        panel.plot(spectrum.axis, spectrum.intensity, color=DYNAMICS, lw=0.9, alpha=0.55)
        scale, remark = _scale(spectrum, reference)
        panel.plot(reference.axis, scale * reference.intensity, color=colour, label=name + remark)
        legend_above(panel)
    axes.set_ylim(0, 1.05 * _reach(spectrum, lower))
    for panel in below:
        shown = [y[x >= lower].max() for x, y in (line.get_data() for line in panel.lines)]
        panel.set_ylim(0, 1.15 * max(shown) or 1.0)
    for panel in (axes, *below):
        panel.set_xlim(spectrum.axis[-1], max(lower, spectrum.axis[0]))
    figure.supylabel(_ABSOLUTE if spectrum.unit == ABSOLUTE else f"absorption / {spectrum.unit}", fontsize=9, color=INK)
    (below or [axes])[-1].set_xlabel(WAVENUMBER)
    return figure


@styled
def measured_figure(
    measured: Spectrum, runs: Sequence[tuple[str, Spectrum]], windows: Sequence[tuple[float, float]] = (), title: str = ""
) -> Figure:
    """A measured curve over each of several simulated spectra (label, spectrum) with its error band: a panel each, all on one scale.

    Shown is the range of the measured curve, ``windows`` (cm^-1) shaded; all curves are in one unit and should have one line width.
    """
    figure, axes = _stacked(len(runs))
    ends = measured.axis[0], measured.axis[-1]
    reach = max(measured.intensity.max(), *(_reach(spectrum, ends[0]) for _, spectrum in runs))
    for k, (panel, (label, spectrum)) in enumerate(zip(axes, runs)):
        for window in windows:
            panel.axvspan(*window, facecolor=FAINT, edgecolor="white", alpha=0.35, lw=2)
        _with_band(panel, spectrum, label, error=SAMPLING if k == 0 else None)
        panel.plot(measured.axis, measured.intensity, color=MEASURED, label="measured" if k == 0 else None)
        panel.set_xlim(ends[1], ends[0])
        panel.set_ylim(min(0.0, measured.intensity.min()), 1.05 * reach)
        legend_above(panel)
    axes[0].set_title(title, loc="left")
    axes[-1].set_xlabel(WAVENUMBER)
    figure.supylabel(_ABSOLUTE if measured.unit == ABSOLUTE else f"absorption / {measured.unit}", fontsize=9, color=INK)
    return figure


def draw_raman(path: Path, columns: Mapping[str, Spectrum], references: Sequence[Spectrum] = (), title: str = "") -> None:
    """As `draw_spectrum`, of a Raman spectrum (`spectra.output.columns_of`)."""
    width = float(columns["total"].header.get("resolution_cm-1", 0.0))
    named = [(str(r.header.get("title") or r.header.get("file") or "reference"), widened(r, width), MEASURED) for r in references]
    save(raman_figure(columns, named, title=title), path)


@styled
def raman_figure(
    columns: Mapping[str, Spectrum],
    references: Sequence[tuple[str, Spectrum, str]] = (),
    infrared: Spectrum | None = None,
    title: str = "",
    label: str = "dynamics",
    lower: float = 0.0,
) -> Figure:
    """A Raman spectrum, both polarisations together with an error band and the crossed one alone; below it, on the same axis, each
    reference (name, curve, colour) and the infrared spectrum.

    A reference in other units is scaled to the largest band, and says so.
    """
    total, crossed = columns["total"], columns["perpendicular"]
    figure, (axes, *below) = _stacked(1 + len(references) + (infrared is not None))
    _with_band(axes, total, label)
    axes.plot(crossed.axis, crossed.intensity, color=VIOLET, lw=1.0, label="of it, crossed polarisation")
    axes.set_title(title)
    axes.set_ylim(0, 1.05 * _reach(total, lower))
    for (name, reference, colour), panel in zip(references, below):
        scale, remark = (1.0, "") if reference.unit == total.unit else _highest(total, reference, lower)
        panel.plot(total.axis, total.intensity, color=DYNAMICS, lw=0.9, alpha=0.55)
        panel.plot(reference.axis, scale * reference.intensity, color=colour, label=name + remark)
        shown = [y[x >= lower].max() for x, y in (line.get_data() for line in panel.lines)]
        panel.set_ylim(0, 1.15 * max(shown) or 1.0)
    if infrared is not None:
        _with_band(below[-1], infrared, "infrared, km mol⁻¹ per cm⁻¹", error=None)
        below[-1].set_ylim(0, 1.05 * _reach(infrared, lower))
    for panel in (axes, *below):
        legend_above(panel)
        panel.set_xlim(total.axis[-1], max(lower, total.axis[0]))
    figure.supylabel("Raman cross section / 10⁻³⁶ m² sr⁻¹ per cm⁻¹", fontsize=9, color=INK)
    (below or [axes])[-1].set_xlabel(WAVENUMBER)
    return figure


def _highest(spectrum: Spectrum, reference: Spectrum, lower: float) -> tuple[float, str]:
    """The factor that makes ``reference`` as high as ``spectrum`` over the range of both, and a remark on it."""
    low, high = max(lower, spectrum.axis[0], reference.axis[0]), min(spectrum.axis[-1], reference.axis[-1])
    tops = [one.intensity[(one.axis >= low) & (one.axis <= high)].max() for one in (spectrum, reference)]
    return tops[0] / tops[1], f" ({reference.unit}; scaled to the largest band)"


@styled
def conformer_spectra(conformers: Sequence[tuple[str, Spectrum, Sticks]], lower: float = 0.0) -> Figure:
    """Spectra of single conformers with error bands, one below the other on one scale: (label, spectrum, its harmonic lines).

    The lines (km/mol) have an axis of their own, on the right.
    """
    figure, axes = _stacked(len(conformers))
    reach = 0.0
    for k, (panel, (label, spectrum, _)) in enumerate(zip(axes, conformers)):
        _with_band(panel, spectrum, label, error=SAMPLING if k == 0 else None)
        shown = spectrum.axis >= lower
        reach = max(reach, (spectrum.intensity + (0 if spectrum.error is None else spectrum.error))[shown].max())
        panel.set_xlim(spectrum.axis[-1], max(lower, spectrum.axis[0]))
    strongest = max(sticks.intensities[sticks.frequencies >= lower].max() for _, _, sticks in conformers)
    for k, (panel, (_, _, sticks)) in enumerate(zip(axes, conformers)):
        lines = panel.twinx()
        lines.spines["right"].set_visible(True)
        lines.vlines(sticks.frequencies, 0, sticks.intensities, color=MODEL, lw=1.1)
        lines.set_ylim(0, 1.6 * strongest or 1.0)
        lines.spines["right"].set_color(MODEL)
        lines.tick_params(axis="y", colors=MODEL)
        panel.plot([], [], color=MODEL, lw=1.1, label="harmonic lines of the model (right axis)" if k == 0 else None)
        legend_above(panel)
        panel.set_ylim(0, 1.05 * reach or 1.0)
        if k == 0:
            lines.set_ylabel("km mol⁻¹", color=MODEL)
    figure.supylabel(_ABSOLUTE, fontsize=9, color=INK)
    axes[-1].set_xlabel(WAVENUMBER)
    return figure


def _stacked(rows: int) -> tuple[Figure, list[Axes]]:
    figure, [axes] = panels(height=1.1 + 1.75 * rows)
    axes.remove()
    grid = figure.add_gridspec(rows, 1, height_ratios=[1.4] + [1.0] * (rows - 1))
    first = figure.add_subplot(grid[0])
    return figure, [first, *(figure.add_subplot(grid[k], sharex=first) for k in range(1, rows))]


def _reach(spectrum: Spectrum, lower: float) -> float:
    """The highest point of the error band from ``lower`` on; 1 where there is nothing."""
    high = spectrum.intensity + (0 if spectrum.error is None else spectrum.error)
    return high[spectrum.axis >= lower].max() or 1.0


def _with_band(axes: Axes, spectrum: Spectrum, label: str, error: str | None = SAMPLING) -> None:
    """The line, and its error band at fewer points: of a line the drawing leaves out what cannot be seen, of an area nothing."""
    if spectrum.error is not None:
        few = sparse(spectrum)
        low, high = np.maximum(few.intensity - few.error, 0), few.intensity + few.error
        axes.fill_between(few.axis, low, high, color=DYNAMICS, alpha=0.25, lw=0, label=error)
    axes.plot(spectrum.axis, spectrum.intensity, color=DYNAMICS, label=label)


def _scale(spectrum: Spectrum, reference: Spectrum) -> tuple[float, str]:
    if reference.unit == spectrum.unit:
        return 1.0, ""
    low, high = max(spectrum.axis[0], reference.axis[0]), min(spectrum.axis[-1], reference.axis[-1])
    return spectrum.integral(low, high) / reference.integral(low, high), f" ({reference.unit}; scaled to the same integral)"


@styled
def butterfly(
    upper: tuple[str, Sticks], lower: tuple[str, Sticks], sigma: float = 10.0, span: tuple[float, float] = (400.0, 4100.0)
) -> Figure:
    """Harmonic lines (cm^-1, km/mol) of the model pointing up, of the reference level pointing down, broadened by one Gaussian of ``sigma``
    cm^-1."""
    figure, [axes] = panels(height=2.9)
    grid = np.arange(*span, 2.0)
    for (name, sticks), sign, colour in ((upper, 1, MODEL), (lower, -1, REFERENCE)):
        curve = sign * sticks.broaden(grid, Gaussian(sigma)).intensity
        axes.fill_between(grid, curve, color=colour, alpha=0.2, lw=0)
        axes.plot(grid, curve, color=colour, label=name)
        for place, height in _labelled(sticks, span, grid, np.abs(curve)):
            height = sign * height
            axes.annotate(f"{place:.0f}", (place, height), xytext=(0, 4 * sign), textcoords="offset points", ha="center",
                              va="bottom" if sign > 0 else "top", fontsize=7.5, color=colour)  # fmt: skip
    axes.axhline(0, color=INK, lw=0.7)
    reach = 1.2 * max(abs(v) for v in axes.get_ylim())
    axes.set(xlim=span[::-1], ylim=(-reach, reach), xlabel=WAVENUMBER, ylabel=_ABSOLUTE)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    legend_above(axes)
    return figure


def _labelled(sticks: Sticks, span: tuple[float, float], grid: NDArray, curve: NDArray) -> list[tuple[float, float]]:
    """Place and height of the labels: lines of 3 % of the strongest and more, none that would cover that of a stronger one."""
    chosen: list[float] = []
    for k in np.argsort(-sticks.intensities):
        place, strong = float(sticks.frequencies[k]), sticks.intensities[k] > 0.03 * sticks.intensities.max()
        if strong and span[0] < place < span[1] and all(abs(place - other) > 0.018 * (span[1] - span[0]) for other in chosen):
            chosen.append(place)
    return [(place, float(np.interp(place, grid, curve))) for place in chosen]


@styled
def learning_curves(history: Sequence[dict]) -> Figure:
    """Validation errors against training time, one colour a phase of training.

    ``history``: one record a validation with ``phase``, ``seconds`` (since the start) and errors under the names that `evaluate` uses.
    """
    wanted = {
        "density_error_percent": "density error / %",
        "dipole_mae_D": "dipole MAE / D",
        "force_mae_meV_per_A": "force MAE / meV Å⁻¹",
        "energy_mae_meV": "energy MAE / meV",
    }
    held = {key: title for key, title in wanted.items() if any(record.get(key) is not None for record in history)}
    figure, axes = panels(max(len(held), 1), height=2.6)
    for panel, (key, title) in zip(axes, held.items()):
        for phase in dict.fromkeys(record["phase"] for record in history):
            rows = [(r["seconds"] / 60, r[key]) for r in history if r["phase"] == phase and r.get(key) is not None]
            if rows:
                panel.plot(*zip(*rows), color=_PHASES.get(phase, ORANGE), marker=".", ms=3, label=phase)
        panel.set(yscale="log", xlabel="training time / min", title=title)
        panel.grid(True, which="major", axis="y")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.yaxis.set_minor_formatter("")
    lines = {line.get_label(): line for panel in axes for line in panel.lines}
    phases = [phase for phase in dict.fromkeys(record["phase"] for record in history) if phase in lines]
    figure.legend([lines[phase] for phase in phases], phases, loc="outside lower right", ncols=4)
    return figure


@styled
def parity(pairs: Sequence[tuple[str, str, NDArray, NDArray]]) -> Figure:
    """Predicted against reference values: one panel for each (quantity, unit, reference [n], prediction [n])."""
    figure, axes = panels(len(pairs), height=2.75)
    for panel, (quantity, unit, reference, prediction), colour in zip(axes, pairs, _CYCLE):
        low, high = min(reference.min(), prediction.min()), max(reference.max(), prediction.max())
        margin = 0.05 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        panel.plot(ends, ends, color=FAINT, lw=1, zorder=0)
        panel.scatter(reference, prediction, s=7, color=colour, alpha=0.5, lw=0, rasterized=len(reference) > 3000)
        error = np.abs(prediction - reference).mean()
        panel.text(0.05, 0.95, f"MAE {error:.2g} {unit}\nn = {len(reference)}", transform=panel.transAxes, va="top", fontsize=8)
        panel.set(xlim=ends, ylim=ends, aspect="equal", title=quantity, xlabel=f"DFT / {unit}", ylabel=f"model / {unit}")
    return figure


@styled
def calibration(kinds: Sequence[tuple[str, str, NDArray, NDArray]], bins: int = 8) -> Figure:
    """Found against expected errors, logarithmic: one panel for each (quantity, unit, expected deviation [n], errors [n, components]).

    Points are rms over components; squares the rms in bins of equally many frames or atoms, on the line if errors are as expected.
    """
    figure, axes = panels(len(kinds), height=2.75)
    for panel, (quantity, unit, deviation, errors), colour in zip(axes, kinds, _CYCLE):
        found = np.maximum(np.sqrt((errors**2).mean(-1)), 0.01 * deviation)
        order = np.argsort(deviation)
        binned = [(np.sqrt((x[rows] ** 2).mean())) for rows in np.array_split(order, min(bins, len(order))) for x in (deviation, found)]
        ends = np.array([0.7 * deviation.min(), 1.4 * deviation.max()])
        panel.plot(ends, ends, color=FAINT, lw=1, zorder=0)
        panel.fill_between(ends, 0.01 * ends, 2 * ends, color=FAINT, alpha=0.15, lw=0, zorder=0)
        panel.scatter(deviation, found, s=5, color=colour, alpha=0.35, lw=0, rasterized=len(found) > 3000)
        panel.plot(binned[::2], binned[1::2], "s-", color=INK, ms=3.5, lw=0.9)
        panel.set(xscale="log", yscale="log", xlim=ends, ylim=(max(found.min(), 0.05 * ends[0]), 4 * found.max()), title=quantity)
        panel.set(xlabel=f"expected / {unit}", ylabel=f"actual / {unit}")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
    return figure


def draw_calibration(path: Path, kinds: Sequence[tuple[str, str, NDArray, NDArray]]) -> None:
    """Writes `calibration` to ``path`` (png, svg or pdf)."""
    save(calibration(kinds), path)


@styled
def drift(time_ps: NDArray, energy_mev_per_atom: NDArray) -> Figure:
    """Total energy without a thermostat, less its start: ``energy_mev_per_atom`` [samples, replicas] over ``time_ps`` [samples]."""
    figure, [axes] = panels(height=2.3)
    low, high = energy_mev_per_atom.min(1), energy_mev_per_atom.max(1)
    axes.fill_between(time_ps, low, high, color=BLUE, alpha=0.18, lw=0, label="range of replicas")
    axes.plot(time_ps, energy_mev_per_atom.mean(1), color=BLUE, lw=0.9, label="mean")
    slope, start = np.polyfit(time_ps, energy_mev_per_atom.mean(1), 1)
    axes.plot(time_ps, start + slope * time_ps, color=RED, label=f"drift of the mean {slope:+.1e} meV / atom / ps")
    axes.set(xlabel="time / ps", ylabel="E(t) − E(0) / meV per atom", xlim=(time_ps[0], time_ps[-1]))
    legend_above(axes)
    return figure


@styled
def density_slices(maps: Sequence[tuple[str, NDArray, float]], extent: float, atoms: Sequence[tuple[str, float, float]]) -> Figure:
    """Maps of charge moved on bonding in one plane: blue where electrons gather, red where they leave.

    maps    (title, values [n, n] in e / a0^3, magnification) on a square of half-width ``extent`` Angstrom, rows along y
    atoms   (symbol, x, y) in Angstrom within the plane
    """
    figure, axes = panels(len(maps), height=2.95)
    line = np.linspace(-extent, extent, len(maps[0][1]))
    steps = 0.004 * 2.0 ** np.arange(7)
    levels = np.concatenate([-steps[::-1], [0.0], steps])
    shades = _diverging(len(levels) - 1)
    for panel, (title, values, factor) in zip(axes, maps):
        panel.contourf(line, line, np.clip(factor * values, levels[0], levels[-1]), levels=levels, colors=shades)
        panel.contour(line, line, factor * values, levels=levels[levels != 0], colors=INK, linewidths=0.25, alpha=0.5)
        for symbol, x, y in atoms:
            panel.text(x, y, symbol, ha="center", va="center", fontsize=8, color=INK, weight="bold")
        panel.set(title=title, aspect="equal", xlabel="x / Å", xlim=(-extent, extent), ylim=(-extent, extent))
    axes[0].set_ylabel("y / Å")
    return figure


def _diverging(count: int) -> list[tuple[float, float, float, float]]:
    """``count`` shades, even: red (few electrons) through clear to blue (many); the two innermost are clear."""
    half = count // 2
    strength = (np.arange(half) / (half - 1)) ** 0.8
    blues = [(0.04, 0.36, 0.68, 0.95 * s) for s in strength]
    reds = [(0.80, 0.25, 0.06, 0.95 * s) for s in strength]
    return [*reds[::-1], *blues]


@styled
def timings(stages: Sequence[tuple[str, float]]) -> Figure:
    """Wall time of each stage: (name, seconds)."""
    figure, [axes] = panels(height=0.55 + 0.24 * len(stages))
    names, seconds = zip(*stages)
    bars = axes.barh(names, seconds, color=BLUE, alpha=0.75, height=0.65)
    axes.bar_label(bars, [f"{s / 60:.1f} min" if s >= 60 else f"{s:.1f} s" for s in seconds], padding=4, fontsize=8, color=INK)
    axes.invert_yaxis()
    axes.set(xlabel="wall time / s", xlim=(0, 1.15 * max(seconds)))
    return figure
