"""The assignment table: number, symmetry and motion of each mode; harmonic, quantum, classical and measured wavenumbers; intensities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from densnet.artefacts import using
from densnet.artefacts.run import Run
from densnet.observables.conformers import Conformer, matched
from densnet.observables.coordinates import describe
from densnet.observables.pointgroup import point_group, species
from densnet.report import page
from densnet.spectra.raman import from_modes


def assignment(run: Run) -> list[str]:
    """The chapter; none without conformers of the model."""
    if run.model is None:
        return []
    partners = {model.name: reference for model, reference in run.pairs}
    parts, sources = [], []
    for place, conformer in enumerate(run.model.conformers):
        reference = partners.get(conformer.name)
        source, _ = ("", []) if reference is None else run.fundamentals(reference)
        sources += [source] if source else []
        group = point_group(conformer.molecule).name
        name = f"{conformer.name}, {group}" if len(run.model.conformers) > 1 else group
        parts += [f"<h3>{page.escape(name)}</h3>", _table(run, place)]
    every = (*run.model.conformers, *partners.values())
    scatters = any(c.polarizability_slopes is not None for c in every)
    measured = (
        f"Measured: {'; '.join(dict.fromkeys(sources))}. " if sources else "No measured fundamentals are available for this molecule. "
    )
    return [page.section("Assignment", page.paragraph(_ABOUT + measured + _DYNAMICS + (_RAMAN if scatters else "")), *parts)]


_ABOUT = (
    "Modes are numbered by symmetry species and decreasing wavenumber (Herzberg; axes after Mulliken: z is the principal axis, x is "
    "normal to the plane of a planar molecule), and named after the internal coordinates with the largest share of their potential "
    "energy. Harmonic wavenumbers refer to the minimum; VPT2 includes quantum nuclei and the anharmonic potential of the model. "
)
_DYNAMICS = (
    "Dynamics: centroid of the band, listed with its strongest mode; the other modes of a band are not resolved. Wavenumbers in cm⁻¹; Δ is "
    "model minus reference; intensities I in km/mol (napierian), calculated ones harmonic."
)
_RAMAN = " Raman activities in Å⁴/u, harmonic; ρ: depolarisation ratio."


@dataclass(frozen=True)
class Assigned:
    """One mode of a conformer of the model; cm^-1 and km/mol, None where unknown.

    index      of the mode in the `Modes` of the conformer
    number     and ``species``: Herzberg's number and the symmetry species; ``motion``: in words
    harmonic   wavenumber by the model, ``strength`` its intensity
    reference  wavenumber and intensity of the same motion at the reference level
    quantum    VPT2 fundamental
    dynamics   centroid with its error, of the band whose strongest mode this is
    measured   wavenumber, and perhaps intensity and remark, as they ship
    raman      activity (A^4/amu) and depolarisation ratio, harmonic, by the model; ``raman_reference``: of the reference level
    """

    index: int
    number: int
    species: str
    motion: str
    harmonic: float
    strength: float
    reference: tuple[float, float] | None
    quantum: float | None
    dynamics: str | None
    measured: Mapping
    raman: tuple[float, float] | None = None
    raman_reference: tuple[float, float] | None = None


def assigned(run: Run, model: Conformer) -> list[Assigned]:
    """Mode by mode, the highest first within a species."""
    modes, reference = model.modes, dict((m.name, r) for m, r in run.pairs).get(model.name)
    quantum = {c.name: a for c, a in zip(run.model.conformers, run.anharmonic)}.get(model.name)
    order = None if reference is None else matched(modes, reference.modes).tolist()
    known = species(modes) if reference is None else [species(reference.modes)[k] for k in order]
    _, measured = ("", []) if reference is None else run.fundamentals(reference)
    observed = {(row["species"], row["number"]): row for row in measured}
    bands, rows, own, theirs = _strongest(run, model), [], _raman(model), _raman(reference)
    for k, (text, symmetry) in enumerate(zip(describe(modes), known)):
        other = None if order is None else tuple(float(x[order[k]]) for x in (reference.modes.frequencies, reference.modes.intensities))
        fundamental = None if quantum is None or k in quantum.soft else float(quantum.fundamentals[k])
        rows.append(Assigned(
            k, symmetry.number, symmetry.name, text.replace(" %", "\u00a0%"), float(modes.frequencies[k]), float(modes.intensities[k]),
            other, None if fundamental is None or math.isnan(fundamental) else fundamental, bands.get(k),
            observed.get((symmetry.name, symmetry.number), {}),
            own and own[k], theirs and theirs[order[k]],
        ))  # fmt: skip
    return sorted(rows, key=lambda row: row.number)


def _table(run: Run, place: int) -> str:
    """Of the conformer at that ``place``; each row has the key of its mode."""
    functional = run.level.split("/")[0]
    titles = ["", "species", "motion", functional, "model", "Δ", "VPT2", "dynamics", "measured"]
    titles += [f"I, {functional}", "I, model", "I, measured", f"Raman, {functional}", "Raman, model", f"ρ, {functional}", "ρ, model"]
    rows, found = [], assigned(run, run.model.conformers[place])
    for mode in found:
        other, strength = mode.reference or (None, None)
        row = mode.measured
        rows.append([
            f"ν{mode.number}", mode.species, mode.motion, _one(other), _one(mode.harmonic),
            None if other is None else f"{mode.harmonic - other:+.1f}", _one(mode.quantum), mode.dynamics,
            None if not row else f"{row['wavenumber']:g}" + (f" ({row['remark']})" if "remark" in row else ""),
            _one(strength), _one(mode.strength), f"{row['intensity']:g}" if "intensity" in row else None,
            *(pair and _one(pair[0]) for pair in (mode.raman_reference, mode.raman)),
            *(pair and f"{pair[1]:.2f}" for pair in (mode.raman_reference, mode.raman)),
        ])  # fmt: skip
    kept = [k for k in range(len(titles)) if k < 3 or any(cells[k] is not None for cells in rows)]
    keys = [f"mode-{place}-{mode.index}" for mode in found]
    return page.table([titles[k] for k in kept], [[cells[k] for k in kept] for cells in rows], wide=True, keys=keys)


def _raman(conformer: Conformer | None) -> list[tuple[float, float]] | None:
    """Activity and depolarisation ratio of each mode; None where its polarizability is not known."""
    if conformer is None or conformer.polarizability_slopes is None:
        return None
    lines = from_modes(conformer.modes, conformer.polarizability_slopes)
    return list(zip(lines.activities.tolist(), lines.depolarisation.tolist()))


def _one(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _strongest(run: Run, model: Conformer) -> dict[int, str]:
    """Mode -> centroid of the dynamics, for the strongest mode of the conformer in each band."""
    found = {}
    told = run.get(using.BANDS)
    for band in told.bands if told else []:
        inside = [k for k, x in enumerate(model.modes.frequencies.tolist()) if band["lower"] < x < band["upper"]]
        if inside:
            found[max(inside, key=lambda k: float(model.modes.intensities[k]))] = page.pm(band["centroid"], band.get("centroid_error"))
    return found
