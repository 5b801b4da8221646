"""Chapters of the report about conformers and their normal modes, and how near the model comes to its reference level."""

from __future__ import annotations

import numpy as np

from densnet.artefacts import using
from densnet.artefacts.content import Populations
from densnet.artefacts.run import Run
from densnet.observables.conformers import Conformer, matched
from densnet.report import figures, page
from densnet.report.page import Promise
from densnet.report.style import svg
from densnet.spectra.comparison import Comparison, ComparisonSettings, compare
from densnet.spectra.infrared import from_modes
from densnet.spectra.spectrum import Gaussian
from densnet.spectra.sticks import grouped

SIGMA = 10.0
"""cm^-1, of the Gaussian that harmonic lines are broadened with to compare them."""


def agreement(run: Run) -> list[Promise]:
    """Promises on the harmonic analysis: of a model trained in the run the worst mode, of a given one mean, worst and whole spectra."""
    lines = []
    paired = f"against {run.level}, finite differences of forces; modes paired by overlap"
    for k, (model, reference) in enumerate(run.pairs):
        name = f"{model.name}: " if len(run.pairs) > 1 else ""
        shift, strength, likeness = differences(model, reference)
        if run.trained:
            lines.append(Promise(f"{name}harmonic wavenumbers, largest deviation", float(np.abs(shift).max()), 5.0, "cm⁻¹", paired))
            a, b = from_modes(reference.modes), from_modes(model.modes)
            worst = max(abs(y - x) for _, _, x, y in grouped(a, b))
            note = "against the same calculation; lines closer than 200 cm⁻¹ count as one band"
            value = 100 * worst / a.intensities.max()
            lines.append(Promise(f"{name}infrared intensities, largest deviation", value, 5.0, "% of strongest", note))
            continue
        broadened = (
            f"harmonic against harmonic, Gaussian σ = {SIGMA:g} cm⁻¹, {likeness.lower:g}–{likeness.upper:g} cm⁻¹, step {likeness.step:g}"
        )
        value = 100 * float(np.abs(strength).mean()) / float(reference.modes.intensities.max())
        mean, worst = float(np.abs(shift).mean()), float(np.abs(shift).max())
        lines += [
            Promise(f"{name}harmonic wavenumbers, mean deviation", mean, 4.0, "cm⁻¹", paired if k == 0 else ""),
            Promise(f"{name}harmonic wavenumbers, largest deviation", worst, 15.0, "cm⁻¹"),
            Promise(f"{name}infrared intensities, mean deviation", value, 5.0, "% of strongest"),
            Promise(f"{name}spectral information similarity", likeness.similarity, 0.83, "", broadened if k == 0 else "", least=True),
            Promise(f"{name}Pearson r of the spectra", likeness.pearson, 0.94, "", least=True),
        ]
    return lines


def differences(model: Conformer, reference: Conformer) -> tuple[np.ndarray, np.ndarray, Comparison]:
    """Of each mode of the reference what the model adds to wavenumber (cm^-1) and intensity (km/mol); and how alike the spectra are."""
    order = matched(reference.modes, model.modes)
    shift = (model.modes.frequencies[order] - reference.modes.frequencies).numpy()
    strength = (model.modes.intensities[order] - reference.modes.intensities).numpy()
    settings = ComparisonSettings(sigma=0)
    grid = np.arange(settings.lower - 100, settings.upper + 101, settings.step)
    curves = [from_modes(c.modes).broaden(grid, Gaussian(SIGMA)) for c in (model, reference)]
    return shift, strength, compare(*curves, settings)


def conformers(run: Run) -> list[str]:
    """The chapter on conformers; none for a molecule that has a single one."""
    told = run.get(using.POPULATIONS)
    if told is None or len(told.conformers) < 2:
        return []
    kelvin, rows, spent = told.temperature_K, told.conformers, told.spent
    parts = [page.paragraph(_WEIGHTS.format(kelvin)), page.table(*conformer_table(rows))]
    lowest, highest = (f(c["dipole_at_minimum_D"] for c in rows) for f in (min, max))
    parts.append(page.paragraph(
        f"Thermal mean dipole, weighted: {told.dipole_D:.3f} ± {told.dipole_error_D:.3f} D; at the minima it is "
        f"{lowest:.3f} to {highest:.3f} D."
    ))  # fmt: skip
    parts.append(page.paragraph(_crossing(told)))
    if spent:
        shares = [(c["name"], *(f"{100 * share:.0f}" for share in line)) for c, line in zip(rows, spent)]
        parts.append(page.table(["trajectories from", *(f"time as {c['name']} / %" for c in rows)], shares))
    if run.parts:
        labels = [f"{c['name']}, {100 * c['weight']:.0f} %" for c in rows]
        lines = [from_modes(c.modes) for c in run.model.conformers]
        caption = (
            "Spectra from the trajectories that start in each conformer, with the line width of the first figure; bars: harmonic "
            "lines of the model, right axis."
        )
        parts.append(page.figure(svg(figures.conformer_spectra(list(zip(labels, run.parts, lines)), lower=400.0)), caption))
    return [page.section("Conformers", *parts)]


def conformer_table(conformers: list[dict]) -> page.Columns:
    """Energies, weights and dipoles of the conformers of a run (`Populations`)."""
    titles = ["conformer", "|G|", "ΔE / kJ mol⁻¹", "ΔF / kJ mol⁻¹", "weight / %", "replicas", "|μ| at minimum / D", "mean |μ| / D"]
    rows = [
        [c["name"], c["symmetry"], f"{c['energy_kJ_per_mol']:.2f}", f"{c['free_energy_kJ_per_mol']:.2f}", f"{100 * c['weight']:.1f}",
         c["replicas"], f"{c['dipole_at_minimum_D']:.3f}", f"{c['dipole_D']:.3f} ± {c['dipole_error_D']:.3f}"]
        for c in conformers
    ]  # fmt: skip
    return titles, rows


_WEIGHTS = (
    "The spectrum is the sum of the spectra of the conformers, each from the trajectories that start in it, times its weight at {:g} "
    "K: exp(−F/kT) / |G|, with F from the rigid-rotor harmonic-oscillator approximation of the model and |G| the order of the point "
    "group, which accounts for mirror images and rotational symmetry. Error bars include the scatter of replicas within each "
    "conformer, but not the error of the weights."
)


def _crossing(told: Populations) -> str:
    """What is said about trajectories that change their conformer."""
    if told.spent is None:
        return "The mean torsions of the conformers do not differ, so interconversion along the trajectories was not analysed."
    shares = ", ".join(
        f"{c['name']} {100 * share:.1f} ± {100 * error:.1f} % (weight {100 * c['weight']:.1f} %)"
        for c, share, error in zip(told.conformers, told.observed, told.observed_error)
    )
    return (
        f"{100 * told.ended_elsewhere:.0f} % of the replicas cross a barrier and end in another conformer. They are still counted for "
        f"the one in which they started. Weighted like the spectrum, the fractions of time are {shares}. If the weights equal the "
        "equilibrium populations of this dynamics, the two agree, and interconversion mixes the parts but does not bias the sum."
    )


def harmonic(run: Run) -> list[str]:
    """The chapter on normal modes."""
    parts = []
    for model, reference in run.pairs:
        a, b = from_modes(reference.modes), from_modes(model.modes)
        top = max(4100.0, 250.0 + max(*a.frequencies, *b.frequencies))
        drawing = svg(figures.butterfly(("model", b), (run.level, a), span=(400.0, top)))
        name = f"{model.name}: harmonic" if len(run.pairs) > 1 else "Harmonic"
        caption = f"{name} lines of the model (up) and of {run.level} (down), each at its minimum, unscaled; "
        caption += f"Gaussian σ = {SIGMA:g} cm⁻¹."
        parts.append(page.figure(drawing, caption))
    if cold := run.get(using.COLD_RUN):
        text = (
            f"Check of the dynamics: {cold.replicas} replicas at {cold.temperature_K:g} K without rotation, with the same energy in every "
            "mode and the same networks, integrator and correlation functions as for the spectrum above."
        )
        pairs = [(f"{b['lower']:.0f}–{b['upper']:.0f}", b["integral"], b["harmonic"]) for b in cold.bands]
        cells = [(limits, f"{a:.2f}", f"{b:.2f}", f"{100 * (a / b - 1):+.2f}" if b > 0.005 else None) for limits, a, b in pairs]
        titles = ["band / cm⁻¹", "low-temperature dynamics / km mol⁻¹", "harmonic / km mol⁻¹", "difference / %"]
        parts += [page.paragraph(text), page.table(titles, cells)]
    return [page.section("Harmonic analysis", *parts)] if parts else []
