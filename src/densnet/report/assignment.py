"""The assignment table: number, symmetry and motion of each mode; harmonic, quantum, classical and measured wavenumbers; intensities."""

from __future__ import annotations

import math

from densnet.artefacts import using
from densnet.artefacts.run import Run
from densnet.observables.conformers import Conformer, matched
from densnet.observables.coordinates import describe
from densnet.observables.pointgroup import point_group, species
from densnet.report import page


def assignment(run: Run) -> list[str]:
    """The chapter; none without conformers of the model."""
    if run.model is None:
        return []
    partners = {model.name: reference for model, reference in run.pairs}
    parts, sources = [], []
    for conformer in run.model.conformers:
        reference = partners.get(conformer.name)
        source, _ = ("", []) if reference is None else run.fundamentals(reference)
        sources += [source] if source else []
        group = point_group(conformer.molecule).name
        name = f"{conformer.name}, {group}" if len(run.model.conformers) > 1 else group
        parts += [f"<h3>{page.escape(name)}</h3>", _table(run, conformer, reference)]
    measured = (
        f"Measured: {'; '.join(dict.fromkeys(sources))}. " if sources else "No measured fundamentals are available for this molecule. "
    )
    return [page.section("Assignment", page.paragraph(_ABOUT + measured + _DYNAMICS), *parts)]


_ABOUT = (
    "Modes are numbered by symmetry species and decreasing wavenumber (Herzberg; axes after Mulliken: z is the principal axis, x is "
    "normal to the plane of a planar molecule), and named after the internal coordinates with the largest share of their potential "
    "energy. Harmonic wavenumbers refer to the minimum; VPT2 includes quantum nuclei and the anharmonic potential of the model. "
)
_DYNAMICS = (
    "Dynamics: centroid of the band, listed with its strongest mode; the other modes of a band are not resolved. Wavenumbers in cm⁻¹; Δ is "
    "model minus reference; intensities I in km/mol (napierian), calculated ones harmonic."
)


def _table(run: Run, model: Conformer, reference: Conformer | None) -> str:
    """Mode by mode, the highest first within a species."""
    modes = model.modes
    quantum = {c.name: a for c, a in zip(run.model.conformers, run.anharmonic)}.get(model.name)
    order = None if reference is None else matched(modes, reference.modes).tolist()
    known = species(modes) if reference is None else [species(reference.modes)[k] for k in order]
    _, measured = ("", []) if reference is None else run.fundamentals(reference)
    observed = {(row["species"], row["number"]): row for row in measured}
    bands = _strongest(run, model)
    functional = run.level.split("/")[0]
    titles = ["", "species", "motion", functional, "model", "Δ", "VPT2", "dynamics", "measured"]
    titles += [f"I, {functional}", "I, model", "I, measured"]
    rows = []
    for k, (text, symmetry) in enumerate(zip(describe(modes), known)):
        harmonic, strength = float(modes.frequencies[k]), float(modes.intensities[k])
        other = None if order is None else float(reference.modes.frequencies[order[k]])
        fundamental = math.nan if quantum is None or k in quantum.soft else float(quantum.fundamentals[k])
        row = observed.get((symmetry.name, symmetry.number), {})
        rows.append((symmetry.number, [
            f"ν{symmetry.number}", symmetry.name, text.replace(" %", "\u00a0%"), _one(other), _one(harmonic),
            None if other is None else f"{harmonic - other:+.1f}", _one(fundamental), bands.get(k),
            None if not row else f"{row['wavenumber']:g}" + (f" ({row['remark']})" if "remark" in row else ""),
            None if order is None else _one(float(reference.modes.intensities[order[k]])), _one(strength),
            f"{row['intensity']:g}" if "intensity" in row else None,
        ]))  # fmt: skip
    rows = [cells for _, cells in sorted(rows, key=lambda item: item[0])]
    kept = [k for k in range(len(titles)) if k < 3 or any(cells[k] is not None for cells in rows)]
    return page.table([titles[k] for k in kept], [[cells[k] for k in kept] for cells in rows], wide=True)


def _one(value: float | None) -> str | None:
    return None if value is None or math.isnan(value) else f"{value:.1f}"


def _strongest(run: Run, model: Conformer) -> dict[int, str]:
    """Mode -> centroid of the dynamics, for the strongest mode of the conformer in each band."""
    found = {}
    told = run.get(using.BANDS)
    for band in told.bands if told else []:
        inside = [k for k, x in enumerate(model.modes.frequencies.tolist()) if band["lower"] < x < band["upper"]]
        if inside:
            found[max(inside, key=lambda k: float(model.modes.intensities[k]))] = page.pm(band["centroid"], band.get("centroid_error"))
    return found
