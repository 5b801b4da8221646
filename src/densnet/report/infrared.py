"""The first chapter of the page: the spectrum, its bands, how it was made, what its unit is in others."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from densnet.artefacts import using
from densnet.artefacts.content import Bands
from densnet.artefacts.run import Run
from densnet.report import figures, page
from densnet.report.style import MEASURED, MODEL, REFERENCE, svg
from densnet.spectra.gas import PATH, PRESSURE
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum
from densnet.spectra.sticks import sticks_of
from densnet.spectra.width import widened

LOWER = 400.0
"""cm^-1, lower end of the figures: below it the rotation of the free molecule absorbs."""


def spectrum_drawing(run: Run) -> Figure:
    """The spectrum with its error band; below it measured curves and the harmonic lines, of the reference level where they are known.

    Everything has one line width.
    """
    width = run.width
    references = [(f"measured, {name}", widened(curve, width), MEASURED) for name, curve in run.experiments]
    known = [(run.level, run.reference, REFERENCE)] if run.reference else [("model", run.model, MODEL)] if run.model else []
    for name, ensemble, colour in known:
        curve = sticks_of(ensemble, run.temperature).broaden(run.smoothed.axis, Gaussian.of_width(width))
        references.append((f"harmonic, {name}", curve, colour))
    return figures.spectrum_figure(run.smoothed, references, label=f"dynamics, {run.temperature:.0f} K", lower=LOWER)


def infrared(run: Run) -> list[str]:
    """The chapter; none before there is a spectrum."""
    if run.spectrum is None:
        return []
    parts = [page.figure(svg(spectrum_drawing(run)), _caption(run))]
    if run.smoothed is not run.spectrum:
        raw = figures.spectrum_figure(run.spectrum, label=f"dynamics, {run.temperature:.0f} K", lower=LOWER)
        title = (
            f"at the resolution of the window, line width {_width(run.spectrum):.0f} cm⁻¹: fine structure within a band is sampling noise"
        )
        parts.append(page.unfolded(title, svg(raw)))
    if bands := run.get(using.BANDS):
        parts.append(page.table(*band_table(run, bands)))
    parts += [page.paragraph(page.powers(comparison)) for comparison in (run.get(using.COMPARISON) or {}).values()]
    parts += [page.paragraph(f"{name}: converted, {c.header['molar']}.") for name, c in run.experiments if "molar" in c.header]
    parts += [page.paragraph(_made(run)), page.paragraph(_UNITS), page.paragraph(_QUANTUM if run.quantum else _EXPECT)]
    return [page.section("Infrared spectrum", *parts)]


def _width(spectrum: Spectrum) -> float:
    return float(spectrum.header.get("resolution_cm-1", 0.0))


def _caption(run: Run) -> str:
    start = float(run.spectrum.axis[0])
    text = (
        f"Molar absorption (napierian) from the dipole moment along trajectories of {run.nuclei}, not scaled. All curves have a line width "
        f"of {run.width:.0f} cm⁻¹ (full width at half maximum). The shaded band is one standard error over replicas. It covers "
        "sampling only, not errors of the model, the functional or the treatment of the nuclei. The rotation of the free molecule "
        "determines the band contours"
    )
    if start < 0.5 * LOWER:
        below = run.spectrum.band(start, LOWER)
        integral = f"{below.integral:.0f}" + ("" if below.error is None else f" ± {below.error:.0f}")
        text += f"; pure rotation and the softest modes, {integral} km/mol together, absorb below {LOWER:.0f} cm⁻¹ and are not shown"
    return text + "."


def _made(run: Run) -> str:
    """The line of method, from the header of the spectrum and the settings of its dynamics."""
    header, dynamics = run.spectrum.header, run.settings.get("simulate", {})
    parts = [f"{header.get('replicas', '?')} replicas of {_number(header, 'length_ps')} ps {run.ensemble}"]
    if dynamics:
        parts.append(f"after {dynamics['thermalise_ps']:g} ps of Langevin dynamics, time step {dynamics['timestep_fs']:g} fs")
    told = run.get(using.BANDS)
    known = (told.measured_temperature_K, told.measured_temperature_error_K) if told else (None, None)
    found = known[0] or float(header.get("temperature_K", "nan"))
    parts.append(f"temperature set {run.temperature:g} K, measured {page.pm(found, known[1])} K")
    parts.append(
        f"window {page.powers(header.get('window', '?'))} ({_width(run.spectrum):.1f} cm⁻¹), line shift of the Verlet integrator corrected"
    )
    correction = "dipole correlation taken as Kubo-transformed" if run.quantum else "the harmonic (Kubo) quantum correction"
    parts.append(f"{run.nuclei} with {correction}")
    return "Method: " + "; ".join(parts) + "."


def _number(header: Mapping, key: str) -> str:
    value = header.get(key)
    return "?" if value is None else f"{float(value):.4g}"


_UNITS = (
    "Units: 1 km mol⁻¹ per cm⁻¹ (napierian) equals a decadic molar absorption coefficient of 43.43 L mol⁻¹ cm⁻¹ and a cross section "
    "of 1.6605 × 10⁻¹⁹ cm² per molecule; integrated, 1 km mol⁻¹ equals 1.6605 × 10⁻¹⁹ cm per molecule. Files in spectrum/: "
    "spectrum.csv and .jdx at the resolution of the window, smoothed.csv as plotted, spectrum-absorbance.jdx as decadic absorbance of "
    f"the pure gas at {PRESSURE:g} Pa over {100 * PATH:g} cm."
)
_QUANTUM = (
    "Interpretation: the nuclei are quantum mechanical, so the shift by the functional, usually down, is not compensated by that of "
    "classical nuclei. Ring-polymer dynamics broadens X–H stretches and places them too high, by about 60 cm⁻¹ for a Morse O–H bond at "
    "300 K, where classical nuclei place it 150 cm⁻¹ too high."
)
_EXPECT = (
    "Interpretation: both the functional and the classical treatment of the nuclei shift bands, the former usually down, the latter up. "
    "Agreement with experiment depends on the sum of the two; where possible they are separated below."
)


def band_table(run: Run, bands: Bands) -> page.Columns:
    """Titles and rows: bands of the dynamics beside harmonic and measured ones."""
    titles = ["band / cm⁻¹", "centroid / cm⁻¹", "integral / km mol⁻¹", "harmonic, model / km mol⁻¹"]
    reference = sticks_of(run.reference, bands.temperature_K) if run.reference else None
    titles += [f"harmonic, {run.level.split('/')[0]} / km mol⁻¹"] if reference else []
    measured = bands.experiment
    absolute = {name: curve.unit == ABSOLUTE for name, curve in run.experiments}
    for name in measured:
        titles += ["measured centroid / cm⁻¹"] + (["measured integral / km mol⁻¹"] if absolute.get(name) else [])
    rows = []
    for k, b in enumerate(bands.bands):
        row: list[object] = [f"{b['lower']:.0f}–{b['upper']:.0f}"]
        row += [page.pm(b["centroid"], b.get("centroid_error")), page.pm(b["integral"], b["error"])]
        row.append(f"{b['harmonic']:.1f}")
        if reference:
            inside = (reference.frequencies > b["lower"]) & (reference.frequencies < b["upper"])
            row.append(f"{float(reference.intensities[inside].sum()):.1f}")
        for name, curves in measured.items():
            known = curves[k]
            row.append(None if known is None else f"{known['centroid']:.1f}")
            if absolute.get(name):
                row.append(None if known is None else f"{known['integral']:.1f}")
        rows.append(row)
    return titles, rows
