"""The chapter that divides the distance of each band from experiment into classical nuclei, model, and functional."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from densnet.observables.conformers import matched
from densnet.observables.coordinates import describe
from densnet.report import page
from densnet.report.run import Run
from densnet.spectra.spectrum import ABSOLUTE


@dataclass(frozen=True)
class Lines:
    """Lines of all conformers of the model, one after the other, cm^-1; strengths are km/mol times the conformer's weight.

    harmonic      [lines] of the model
    quantum       [lines] their fundamentals by VPT2
    strengths     [lines] harmonic intensities of the model
    reference     [2, lines] harmonic wavenumber and strength of the same motions at the reference level, or None
    """

    harmonic: NDArray
    quantum: NDArray
    strengths: NDArray
    reference: NDArray | None


@dataclass(frozen=True)
class Centroids:
    """``sum I nu / sum I`` of the lines of one band, cm^-1: by VPT2, harmonic, harmonic at the reference level (or None)."""

    quantum: float
    harmonic: float
    reference: float | None

    @property
    def model(self) -> float | None:
        """What the model adds to the harmonic centroid of the reference level."""
        return None if self.reference is None else self.harmonic - self.reference


def lines_of(run: Run, temperature: float) -> Lines:
    """The lines of a run with VPT2; those of the reference level only if it has every conformer. ``temperature`` (K) is of the weights."""
    weights, partners = run.model.weights(temperature), {model.name: reference for model, reference in run.pairs}
    rows, others = [], []
    for weight, conformer, anharmonic in zip(weights, run.model.conformers, run.anharmonic):
        rows.append([anharmonic.harmonic.numpy(), anharmonic.fundamentals.numpy(), (weight * conformer.modes.intensities).numpy()])
        if conformer.name in partners:
            modes = partners[conformer.name].modes
            order = matched(conformer.modes, modes)
            others.append([modes.frequencies[order].numpy(), (weight * modes.intensities[order]).numpy()])
    return Lines(*np.concatenate(rows, axis=1), np.concatenate(others, axis=1) if len(others) == len(rows) else None)


def centroids(lines: Lines, lower: float, upper: float) -> Centroids | None:
    """Of the lines whose harmonic wavenumber, of the model, is between the limits (cm^-1); None without such lines."""
    inside = (lines.harmonic > lower) & (lines.harmonic < upper)
    if not lines.strengths[inside].sum() > 0:
        return None
    quantum, harmonic = (float(np.average(x[inside], weights=lines.strengths[inside])) for x in (lines.quantum, lines.harmonic))
    if lines.reference is None:
        return Centroids(quantum, harmonic, None)
    place, strength = lines.reference[:, inside]
    return Centroids(quantum, harmonic, float(np.average(place, weights=strength)))


def remainder(run: Run) -> list[str]:
    """The chapter; without a measured curve only what can be told without it, none where there is no VPT2 or no spectrum."""
    bands, worked_out = run.json("spectrum/bands.json"), run.json("conformers/anharmonic.json")
    if bands is None or worked_out is None:
        return []
    measured = {name: rows for name, rows in bands.get("experiment", {}).items() if any(rows)}
    title = "What remains against experiment" if measured else "Quantum nuclei"
    if "skipped" in worked_out:
        return [page.section(title, page.paragraph(f"Not divided into its causes, without quantum fundamentals: {worked_out['skipped']}"))]
    lines = lines_of(run, bands["temperature_K"])
    found = [centroids(lines, b["lower"], b["upper"]) for b in bands["bands"]]
    parts = [page.paragraph(_QUANTUM)]
    for name, rows in measured.items():
        absolute = dict(run.experiments)[name].unit == ABSOLUTE
        parts += [page.paragraph(f"Against {name}:"), _division(bands["bands"], found, rows, absolute=absolute)]
    parts += [page.paragraph(_CAUSES)] if measured else [_shares(bands["bands"], found)]
    parts += [page.paragraph(_LIMITS), page.folded("fundamentals, mode by mode", _fundamentals(run))]
    return [page.section(title, *parts)]


def _division(bands: list[dict], found: list[Centroids | None], measured: list[dict | None], *, absolute: bool) -> str:
    """Band by band: dynamics less measured, and its three parts, which add up to it."""
    titles = ["band", "measured", "VPT2", "dynamics", "dynamics − measured", "classical nuclei", "model", "functional, rest"]
    titles = [f"{title} / cm⁻¹" for title in titles] + (["integral, dynamics / measured"] if absolute else [])
    rows = []
    for b, c, other in zip(bands, found, measured):
        if c is None or other is None:
            continue
        model, rest = c.model or 0.0, other["centroid"]
        cells = [b["centroid"] - rest, b["centroid"] - c.quantum, c.model, c.quantum - model - rest]
        row = [_limits(b), f"{rest:.1f}", f"{c.quantum:.1f}", page.pm(b["centroid"], b.get("centroid_error")), *map(_signed, cells)]
        rows.append(row + ([f"{b['integral'] / other['integral']:.2f}"] if absolute else []))
    return page.table(titles, rows)


def _shares(bands: list[dict], found: list[Centroids | None]) -> str:
    """The same without a measured curve."""
    titles = [f"{title} / cm⁻¹" for title in ("band", "harmonic", "VPT2", "dynamics", "classical nuclei", "model")]
    rows = [
        (_limits(b), f"{c.harmonic:.1f}", f"{c.quantum:.1f}", page.pm(b["centroid"], b.get("centroid_error")),
         _signed(b["centroid"] - c.quantum), _signed(c.model))
        for b, c in zip(bands, found) if c is not None
    ]  # fmt: skip
    return page.table(titles, rows)


def _limits(band: dict) -> str:
    return f"{band['lower']:.0f}–{band['upper']:.0f}"


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1f}"


def _fundamentals(run: Run) -> str:
    """Text: every mode of every conformer, which took no part, which resonances were left out."""
    blocks = []
    for conformer, anharmonic in zip(run.model.conformers, run.anharmonic):
        rows = [f"{conformer.name}: harmonic and fundamental / cm⁻¹"]
        for k, text in enumerate(describe(conformer.modes)):
            remark = "   soft: harmonic, takes no part" if k in anharmonic.soft else ""
            rows.append(f"{k + 1:3d} {anharmonic.harmonic[k]:8.1f} {anharmonic.fundamentals[k]:8.1f}   {text}{remark}")
        for r in anharmonic.resonances:
            first, second = r.lower
            rows.append(
                f"resonance left out: {r.upper + 1} with {first + 1} + {second + 1}, {r.offset:+.1f} off, coupling {r.coupling:.1f} cm⁻¹"
            )
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


_QUANTUM = (
    "VPT2: fundamentals of quantum nuclei on the model's own potential, by vibrational perturbation theory of second order; of a band, the "
    "mean of those whose harmonic lines fall into it, weighted by harmonic intensities and conformers. Classical nuclei: centroid of the "
    "dynamics less that of VPT2. Model: its harmonic centroid less that of the reference level, modes paired by their motion."
)
_CAUSES = (
    "Functional, rest: VPT2 less model less measured, what the reference level would be off with quantum nuclei if all else were exact. "
    "The three add up to dynamics less measured by construction, so every weakness of the division is in one of them, mostly in the last; "
    "so is the model's share where the reference level is not known (–)."
)
_LIMITS = (
    "Limits: cubic and quartic force constants are the model's, not checked against the reference level: an error in them goes into "
    "classical nuclei with one sign and into the rest with the other; intensities are harmonic, and overtones have none; near (Fermi) "
    "resonances are taken out, which moves no centroid as long as both states lie in the band; soft modes take no part; rotation, hot "
    "bands and what crosses the limits of a band move centroids of dynamics and experiment, not of VPT2. The error bar of the dynamics "
    "is also that of its share."
)
