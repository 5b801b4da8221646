"""The chapter that divides the distance of each band from experiment into classical nuclei, model, and functional."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from densnet.artefacts import using
from densnet.artefacts.content import Bands
from densnet.artefacts.run import Run
from densnet.observables.anharmonic import Anharmonic
from densnet.observables.conformers import matched
from densnet.observables.coordinates import describe
from densnet.report import page
from densnet.spectra.spectrum import ABSOLUTE


@dataclass(frozen=True)
class Lines:
    """Lines of all conformers of the model, one after the other, cm^-1; strengths are km/mol times the conformer's weight.

    harmonic      [lines] of the model
    quantum       [lines] their fundamentals by VPT2
    strengths     [lines] harmonic intensities of the model
    excess        [lines] quantum shift by the model less that at the reference level; NaN where that was not asked
    reference     [2, lines] harmonic wavenumber and strength of the same motions at the reference level, or None
    """

    harmonic: NDArray
    quantum: NDArray
    strengths: NDArray
    excess: NDArray
    reference: NDArray | None


@dataclass(frozen=True)
class Centroids:
    """``sum I nu / sum I`` of the lines of one band, cm^-1: by VPT2, harmonic, harmonic at the reference level (or None).

    ``excess``: the mean of `Lines.excess` over the lines that were checked, None where these hold less than `CHECKED` of the band.
    """

    quantum: float
    harmonic: float
    excess: float | None
    reference: float | None

    @property
    def model(self) -> float | None:
        """What the model adds to the harmonic centroid of the reference level."""
        return None if self.reference is None else self.harmonic - self.reference


CHECKED = 0.4
"""Share of a band's harmonic intensity that must be of lines whose anharmonicity was calculated at the reference level."""


def excess(model: Anharmonic, reference: Anharmonic | None, order: list[int]) -> NDArray:
    """[modes] quantum shift of the model less that of the reference level, whose mode ``order[k]`` is the model's k; NaN if unknown.

    Of whole shifts where the reference has them, else of each mode's own share, 2 chi_ii. Not of soft modes.
    """
    if reference is None:
        return np.full(len(model.harmonic), np.nan)
    whole = model.shifts - reference.shifts[order]
    found = whole.where(whole.isfinite(), model.diagonal - reference.diagonal[order])
    found[list(model.soft)] = np.nan
    found[[k for k, other in enumerate(order) if other in reference.soft]] = np.nan
    return found.numpy()


def lines_of(run: Run, temperature: float) -> Lines:
    """The lines of a run with VPT2; those of the reference level only if it has every conformer. ``temperature`` (K) is of the weights."""
    weights, partners = run.model.weights(temperature), {model.name: reference for model, reference in run.pairs}
    rows, others = [], []
    for weight, conformer, anharmonic in zip(weights, run.model.conformers, run.anharmonic):
        row = [anharmonic.harmonic.numpy(), anharmonic.fundamentals.numpy(), (weight * conformer.modes.intensities).numpy()]
        partner = partners.get(conformer.name)
        order = [] if partner is None else matched(conformer.modes, partner.modes).tolist()
        rows.append([*row, excess(anharmonic, None if partner is None else run.checked(partner), order)])
        if partner is not None:
            modes = partner.modes
            others.append([modes.frequencies[order].numpy(), (weight * modes.intensities[order]).numpy()])
    return Lines(*np.concatenate(rows, axis=1), np.concatenate(others, axis=1) if len(others) == len(rows) else None)


def centroids(lines: Lines, lower: float, upper: float) -> Centroids | None:
    """Of the lines whose harmonic wavenumber, of the model, is between the limits (cm^-1); None without such lines."""
    inside = (lines.harmonic > lower) & (lines.harmonic < upper)
    if not lines.strengths[inside].sum() > 0:
        return None
    quantum, harmonic = (float(np.average(x[inside], weights=lines.strengths[inside])) for x in (lines.quantum, lines.harmonic))
    checked, mean = inside & np.isfinite(lines.excess), None
    if lines.strengths[checked].sum() > CHECKED * lines.strengths[inside].sum():
        mean = float(np.average(lines.excess[checked], weights=lines.strengths[checked]))
    if lines.reference is None:
        return Centroids(quantum, harmonic, mean, None)
    place, strength = lines.reference[:, inside]
    return Centroids(quantum, harmonic, mean, float(np.average(place, weights=strength)))


def found_in(run: Run, bands: Bands) -> list[Centroids | None]:
    """The centroids of the lines in each of ``bands``."""
    lines = lines_of(run, bands.temperature_K)
    return [centroids(lines, b["lower"], b["upper"]) for b in bands.bands]


def remainder(run: Run) -> list[str]:
    """The chapter; without a measured curve only what can be told without it, none where there is no VPT2 or no spectrum."""
    bands, worked_out = run.get(using.BANDS), run.get(using.FUNDAMENTALS)
    if bands is None or worked_out is None:
        return []
    measured = {name: rows for name, rows in bands.experiment.items() if any(rows)}
    title = "Comparison with experiment" if measured else "Quantum nuclei"
    if worked_out.skipped:
        return [
            page.section(title, page.paragraph(f"Not divided into causes, because there are no VPT2 fundamentals: {worked_out.skipped}"))
        ]
    found = found_in(run, bands)
    if run.quantum:
        parts = [page.paragraph(_RING_POLYMERS), page.paragraph(f"{run.quantum}.")]
        for name, rows in (measured or {"": [None] * len(found)}).items():
            parts += [page.paragraph(f"Against {name}:")] if name else []
            parts.append(page.table(*quantum_nuclei(bands.bands, found, rows), wide=True))
        parts += [page.paragraph(_LIMITS), _checks(run), page.folded("fundamentals, mode by mode", _fundamentals(run))]
        return [page.section(title, *parts)]
    parts = [page.paragraph(_QUANTUM)]
    for name, rows in measured.items():
        absolute = dict(run.experiments)[name].unit == ABSOLUTE
        parts += [page.paragraph(f"Against {name}:"), page.table(*division(bands.bands, found, rows, absolute=absolute), wide=True)]
    parts += [page.paragraph(_CAUSES)] if measured else [page.table(*shares(bands.bands, found), wide=True)]
    parts += [page.paragraph(text) for text in _cancelling(bands.bands, found)]
    parts += [page.paragraph(_LIMITS), _checks(run), page.folded("fundamentals, mode by mode", _fundamentals(run))]
    return [page.section(title, *parts)]


def division(bands: list[dict], found: list[Centroids | None], measured: list[dict | None], *, absolute: bool) -> page.Columns:
    """Band by band: dynamics less measured, and its three parts, which add up to it; beside them the error of the model's own VPT2."""
    titles = ["band", "measured", "VPT2", "dynamics", "dynamics − measured", "classical nuclei", "model, harmonic", "functional, rest"]
    titles += ["model, anharmonic", *(["integral, dynamics / measured"] if absolute else [])]
    rows = []
    for b, c, other in zip(bands, found, measured):
        if c is None or other is None:
            continue
        model, extra, rest = c.model or 0.0, c.excess or 0.0, other["centroid"]
        cells = [b["centroid"] - rest, b["centroid"] - c.quantum + extra, c.model, c.quantum - extra - model - rest, _minus(c.excess)]
        row = [_limits(b), f"{rest:.1f}", f"{c.quantum:.1f}", page.pm(b["centroid"], b.get("centroid_error")), *map(_signed, cells)]
        rows.append(row + ([f"{b['integral'] / other['integral']:.2f}"] if absolute else []))
    return titles, rows


def shares(bands: list[dict], found: list[Centroids | None]) -> page.Columns:
    """The same without a measured curve."""
    titles = ["band", "harmonic", "VPT2", "dynamics", "dynamics − VPT2", "classical nuclei", "model, anharmonic", "model, harmonic"]
    rows = [
        [_limits(b), f"{c.harmonic:.1f}", f"{c.quantum:.1f}", page.pm(b["centroid"], b.get("centroid_error")),
         *map(_signed, (b["centroid"] - c.quantum, b["centroid"] - c.quantum + (c.excess or 0.0), _minus(c.excess), c.model))]
        for b, c in zip(bands, found) if c is not None
    ]  # fmt: skip
    return titles, rows


def quantum_nuclei(bands: list[dict], found: list[Centroids | None], measured: list[dict | None]) -> page.Columns:
    """Band by band, dynamics of quantum nuclei beside VPT2 of the same potential; dynamics less measured is the sum of the last four."""
    titles = ["band", "measured", "VPT2", "dynamics", "dynamics − measured"]
    titles += ["dynamics − VPT2", "model, anharmonic", "model, harmonic", "functional, rest"]
    rows = []
    for b, c, other in zip(bands, found, measured):
        if c is None:
            continue
        methods, whole, rest, place = b["centroid"] - c.quantum, None, None, None
        if other is not None:
            whole, place = b["centroid"] - other["centroid"], f"{other['centroid']:.1f}"
            rest = whole - methods - (c.excess or 0.0) - (c.model or 0.0)
        row = [_limits(b), place, f"{c.quantum:.1f}", page.pm(b["centroid"], b.get("centroid_error"))]
        rows.append([*row, *map(_signed, (whole, methods, c.excess, c.model, rest))])
    return titles, rows


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _cancelling(bands: list[dict], found: list[Centroids | None], least: float = 10.0) -> list[str]:
    """Sentences on bands where the model's own anharmonic error is as large as what would be read without it."""
    texts = []
    for b, c in zip(bands, found):
        if c is not None and c.excess is not None and abs(c.excess) > least:
            plain = b["centroid"] - c.quantum
            plus, minus, whole = (f"{x:+.0f}".replace("-", "−") for x in (plain + c.excess, -c.excess, plain))
            texts.append(
                f"{_limits(b)} cm⁻¹: VPT2 with the model is {abs(c.excess):.0f} cm⁻¹ too {'high' if c.excess > 0 else 'low'}, because "
                f"of errors in the third and fourth derivatives. Dynamics minus VPT2 with the model is {whole} cm⁻¹: {plus} from "
                f"classical nuclei and {minus} from the model. If this VPT2 agrees with experiment, errors have cancelled."
            )
    return texts


def checked_shifts(run: Run) -> page.Columns:
    """Mode by mode: quantum shifts of model and reference level, where the latter was calculated."""
    rows, partners = [], {model.name: reference for model, reference in run.pairs}
    for conformer, anharmonic in zip(run.model.conformers, run.anharmonic):
        partner = partners.get(conformer.name)
        known = None if partner is None else run.checked(partner)
        if known is None:
            continue
        order, text = matched(conformer.modes, partner.modes).tolist(), describe(conformer.modes)
        off = excess(anharmonic, known, order)
        for k in np.flatnonzero(np.isfinite(off)):
            whole = bool(known.fundamentals[order[k]].isfinite())
            mine, other = (x.shifts if whole else x.diagonal for x in (anharmonic, known))
            kind = "whole" if whole else "2χᵢᵢ"
            values = (float(mine[k]), float(other[order[k]]), float(off[k]))
            rows.append([conformer.name, text[k].replace(" %", "\u00a0%"), kind, *(f"{x:+.1f}" for x in values)])
    return ["conformer", "motion", "shift", "model / cm⁻¹", f"{run.level} / cm⁻¹", "Δ / cm⁻¹"], rows


def _checks(run: Run) -> str:
    titles, rows = checked_shifts(run)
    if not rows:
        return page.paragraph(
            f"No anharmonic constants at {run.level} are available for this molecule; those of the model are used unchecked."
        )
    return page.unfolded("quantum shifts of model and reference level, mode by mode", page.paragraph(_CHECKED) + page.table(titles, rows))


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
            remark = "   soft: harmonic, excluded from VPT2" if k in anharmonic.soft else ""
            rows.append(f"{k + 1:3d} {anharmonic.harmonic[k]:8.1f} {anharmonic.fundamentals[k]:8.1f}   {text}{remark}")
        for r in anharmonic.resonances:
            first, second = r.lower
            rows.append(
                f"resonance omitted: {r.upper + 1} with {first + 1} + {second + 1}, {r.offset:+.1f} off, coupling {r.coupling:.1f} cm⁻¹"
            )
        blocks.append("\n".join(rows))
    return "\n\n".join(blocks)


_QUANTUM = (
    "VPT2: fundamentals with quantum nuclei on the potential of the model, from second-order vibrational perturbation theory. For a "
    "band: mean over the modes whose harmonic lines fall into it, weighted by harmonic intensities and conformer weights. Dynamics "
    "minus VPT2 has two parts: classical nuclei, and the error of the third and fourth derivatives of the model (model, anharmonic). "
    "The latter is known where the derivatives were also calculated at the reference level; elsewhere (–) it is included in classical "
    "nuclei. Model, harmonic: harmonic centroid of the model minus that at the reference level, modes paired by overlap. All values "
    "in cm⁻¹."
)
_RING_POLYMERS = (
    "VPT2: fundamentals on the potential of the model, from second-order vibrational perturbation theory. For a band, the mean over the "
    "fundamentals whose harmonic lines fall into it, weighted by harmonic intensities and conformers. The dynamics also has quantum "
    "nuclei, on the same potential; the two differ by the errors of both methods, including the finite number of beads, and by the effect "
    "of rotation and hot bands. Model, anharmonic: quantum shift of the model minus that at the reference level, if known (else –); model, "
    "harmonic: the same for harmonic wavenumbers. Both are errors of the dynamics. Functional, rest: the remainder of dynamics minus "
    "measured. In cm⁻¹."
)
_CAUSES = (
    "Classical nuclei, model (harmonic) and functional add up to dynamics minus measured. Functional, rest: the error that the "
    "reference level would have with quantum nuclei if everything else were exact. Effects that the division does not resolve are in "
    "one of the three parts, mostly in this one, and so is the error of the model where reference values are missing (–). The "
    "anharmonic error of the model hardly affects classical dynamics, where the thermal energy of an O–H stretch is a ninth of its "
    "zero-point energy, but it enters VPT2 fully. It is contained in the column VPT2, and would enter the two columns derived from "
    "VPT2 with opposite signs; there it has been removed."
)
_CHECKED = (
    "Quantum shifts of the model against the reference level: the whole shift or, for larger molecules, only the diagonal contribution "
    "2χᵢᵢ of the modes of the strongest bands; the rest of these shifts is from the model and unchecked."
)
_LIMITS = (
    "Limits: VPT2 lines have harmonic intensities, overtones none. Near (Fermi) resonances are omitted, which does not shift a "
    "centroid as long as both states lie in the band. Soft modes are excluded. Rotation, hot bands and intensity crossing the limits "
    "of a band shift the centroids of dynamics and experiment, but not those of VPT2. The error bar of the dynamics (sampling only) "
    "also applies to classical nuclei."
)
