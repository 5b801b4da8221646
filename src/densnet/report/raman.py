"""The chapter of the page on the Raman spectrum: figure over the axis of the infrared, bands with their depolarisation, units."""

from __future__ import annotations

from dataclasses import replace

from matplotlib.figure import Figure

from densnet import units
from densnet.artefacts import using
from densnet.artefacts.content import RamanBands
from densnet.artefacts.run import Run
from densnet.observables.conformers import Ensemble
from densnet.report import figures, page
from densnet.report.infrared import LOWER
from densnet.report.style import MEASURED, MODEL, REFERENCE, svg
from densnet.spectra.raman import CROSS_SECTION, Light, lines_of, sticks
from densnet.spectra.spectrum import Gaussian, Spectrum
from densnet.spectra.sticks import raman_between
from densnet.spectra.width import widened


def raman_drawing(run: Run) -> Figure:
    """The Raman spectrum; below it measured curves, harmonic lines, of the reference level where they are known, and the infrared spectrum.

    Everything has one line width.
    """
    references = [(f"measured, {name}", widened(curve, run.width), MEASURED) for name, curve in run.raman_experiments]
    known = [(run.level, run.reference, REFERENCE), ("model", run.model, MODEL)]
    curves = [(f"harmonic, {name}", curve, colour) for name, ensemble, colour in known if (curve := _harmonic(run, ensemble)) is not None]
    references += curves[:1]
    return figures.raman_figure(run.raman, references, run.smoothed, label=f"dynamics, {run.temperature:.0f} K", lower=LOWER)


def _harmonic(run: Run, ensemble: Ensemble | None) -> Spectrum | None:
    """Lines of all conformers by their weights, as cross sections; None where they are not known."""
    lines = {} if ensemble is None else lines_of(ensemble)
    if ensemble is None or len(lines) < len(ensemble.conformers):
        return None
    total, weights = run.raman["total"], ensemble.weights(run.temperature).tolist()
    light = Light(float(total.header["laser_nm"]), float(total.header["scattering temperature_K"]))
    curves = [sticks(own, light).broaden(total.axis, Gaussian.of_width(run.width)) for own in lines.values()]
    found = sum(w * curve.intensity for w, curve in zip(weights, curves))
    return replace(curves[0], intensity=found, unit=CROSS_SECTION)


def raman(run: Run) -> list[str]:
    """The chapter; none for a run whose model knows no polarizability."""
    if run.raman is None:
        return []
    parts = [page.figure(svg(raman_drawing(run)), _caption(run), "raman")]
    if bands := run.get(using.RAMAN_BANDS):
        parts.append(page.table(*raman_table(run, bands), keys=[f"raman-{k}" for k in range(len(bands.bands))]))
    parts += [page.paragraph(page.powers(text)) for text in (run.get(using.RAMAN_COMPARISON) or {}).values()]
    return [page.section("Raman spectrum", *parts, page.paragraph(_UNITS), page.paragraph(_ABOUT))]


def _caption(run: Run) -> str:
    header = run.raman["total"].header
    return (
        f"Differential Stokes cross section of one molecule at right angles to the laser ({header['laser_nm']:g} nm, polarised across the "
        f"plane of scattering) at {header['scattering temperature_K']:g} K: both polarisations of the scattered light, and of it the "
        f"crossed one. From the polarizability along the trajectories of the infrared spectrum; line width {run.width:.0f} cm⁻¹. The "
        "shaded band is one standard error over replicas (sampling only)."
    )


_UNITS = (
    "Units: 10⁻³⁶ m² sr⁻¹ per cm⁻¹, of scattered power; 10⁻³⁶ m² sr⁻¹ equals 10⁻³² cm² sr⁻¹. Activities in Å⁴ per atomic mass unit. "
    f"Polarizabilities are volumes in Å³; 1 Å³ equals {units.ANGSTROM**3 / units.POLARIZABILITY:.6f} e Å² V⁻¹ and {units.ANGSTROM**3:.4f} "
    "atomic units. Files in spectrum/: raman.csv and .jdx at the resolution of the window, raman-smoothed.csv as plotted, raman-bands.csv."
)
_ABOUT = (
    "The depolarisation ratio of a band is that of the integrals of both polarisations: 3/4 for a vibration that is not totally "
    "symmetric, less for one that is. Rotation of the free molecule spreads the anisotropic part over wings beside the band; limits that "
    "cut these make a band appear too polarised. Cross sections are those of the classical spectrum times the factor of a quantum harmonic "
    "oscillator, (ν₀ − ν)⁴ / ν (1 − exp(−hcν/kT))."
)


def raman_table(run: Run, found: RamanBands) -> page.Columns:
    """Titles and rows: bands of the dynamics beside harmonic lines of the model and, where they are known, of the reference level."""
    functional = run.level.split("/")[0]
    titles = ["band / cm⁻¹", "centroid / cm⁻¹", "activity / Å⁴ u⁻¹", "harmonic, model", f"harmonic, {functional}"]
    titles += ["depolarisation", "harmonic, model", f"harmonic, {functional}", "cross section / 10⁻³⁶ m² sr⁻¹"]
    rows = []
    for b in found.bands:
        reference = raman_between(run.reference, found.temperature_K, b["lower"], b["upper"]) if run.reference else None
        activity, ratio = reference or (None, None)
        error = b["depolarisation_error"]
        rows.append([
            f"{b['lower']:.0f}–{b['upper']:.0f}", page.pm(b["centroid"], b["centroid_error"]), page.pm(b["integral"], b["error"]),
            _decimals(b["harmonic"], 1), _decimals(activity, 1),
            _decimals(b["depolarisation"], 3) if error is None else f"{b['depolarisation']:.3f} ± {error:.3f}",
            _decimals(b["harmonic_depolarisation"], 3), _decimals(ratio, 3), page.pm(b["cross_section"], b["cross_section_error"]),
        ])  # fmt: skip
    kept = [k for k in range(len(titles)) if any(row[k] is not None for row in rows)]
    return [titles[k] for k in kept], [[row[k] for k in kept] for row in rows]


def _decimals(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
