"""What the report of a run says: reads the artefacts of its folder and writes the page. No number is typed in here but targets."""

from __future__ import annotations

import json
from collections.abc import Mapping

from matplotlib.figure import Figure
from numpy.typing import NDArray

from densnet.report import figures, page
from densnet.report.harmonic import agreement, conformers, harmonic, sticks_of
from densnet.report.page import Promise
from densnet.report.remainder import remainder
from densnet.report.run import Run
from densnet.report.style import svg
from densnet.spectra.spectrum import ABSOLUTE, Gaussian


def report(run: Run) -> str:
    """The whole page as HTML."""
    lead = f"Infrared spectrum of {run.formula} from its machine-learned electron density. Reference level: {run.level}, all electrons."
    chapters = (_spectrum, remainder, conformers, harmonic, _density, _training, _dynamics, _method)
    parts = [page.promises(promises(run)), *(part for chapter in chapters for part in chapter(run))]
    versions = next((m["versions"] for m in reversed(list(run.marks.values())) if m["versions"]), {})
    made = " · ".join(f"{name} {number}" for name, number in versions.items())
    return page.page(f"{run.name}: from density to spectrum", lead, parts, f"Written by densnet report from {run.folder}. {made}")


def promises(run: Run) -> list[Promise]:
    """Every promised line with its measured value."""
    lines = _held_out(run) if run.trained else []
    lines += agreement(run)
    if cold := run.json("validate/cold.json"):
        strong = [b for b in cold["bands"] if b["harmonic"] > 0.02 * sum(x["harmonic"] for x in cold["bands"])]
        worst = max((abs(b["integral"] / b["harmonic"] - 1) for b in strong), default=None)
        note = f"{cold['temperature_K']:g} K, no rotation: dynamics must give the model's harmonic intensities; bands of 2 % or more"
        lines.append(Promise("cold run, band integrals, largest deviation", None if worst is None else 100 * worst, 2.0, "%", note))
    if bands := run.json("spectrum/bands.json"):
        lines += _thermal(bands["bands"], bands["temperature_K"], harmonic=run.trained)
    if (drift := run.dynamics) and drift["constant_energy"]:
        note = f"mean of {drift['replicas']} replicas over {drift['duration_ps']:g} ps, time step {drift['timestep_fs']:g} fs"
        lines.append(Promise("energy drift without thermostat", abs(drift["drift_meV_per_atom_per_ps"]), 0.01, "meV/atom/ps", note))
    return lines


def _held_out(run: Run) -> list[Promise]:
    held = run.evaluation or {}
    frames = f"{held.get('frames', 0)} frames of trajectories that training never saw"
    return [
        Promise("density error, ∫|ρ − ρ_DFT| / N", held.get("density_error_percent"), 0.25, "%", frames),
        Promise("dipole, mean absolute error", held.get("dipole_mae_D"), 0.005, "D", frames),
        Promise("forces, mean absolute error", held.get("force_mae_meV_per_A"), 5.0, "meV/Å", frames),
    ]


def _thermal(bands: list[dict], temperature: float, *, harmonic: bool) -> list[Promise]:
    strong = [b for b in bands if b["error"] is not None and b["integral"] > 0.05 * sum(x["integral"] for x in bands)]
    if not strong:
        return []
    errors = max(b["error"] / b["integral"] for b in strong)
    name = f"{temperature:g} K band integrals"
    note = "one standard error over replicas, of the bands that hold 5 % of the absorption or more"
    lines = [Promise(f"{name}, largest error bar", 100 * errors, 15.0, "%", note)]
    if harmonic:
        off = max(abs(b["integral"] - b["harmonic"]) / b["error"] for b in strong)
        lines.append(Promise(f"{name}, distance from harmonic", off, 2.0, "error bars", "largest of all bands; 2 is the 95 % range"))
    return lines


def spectrum_drawing(run: Run) -> Figure:
    """The spectrum with its error band; below it measured curves and the harmonic lines, of the reference level where they are known."""
    resolution = float(run.spectrum.header.get("resolution_cm-1", 16.0))
    temperature = float((run.json("spectrum/bands.json") or {}).get("temperature_K", 300.0))
    references = [(f"measured, {name}", curve) for name, curve in run.experiments]
    known = [(run.level, run.reference)] if run.reference else [("model", run.model)] if run.model else []
    for name, ensemble in known:
        curve = sticks_of(ensemble, temperature).broaden(run.spectrum.axis, Gaussian(resolution / 2.3548))
        references.append((f"harmonic, {name}, lines {resolution:.0f} cm$^{{-1}}$ wide", curve))
    return figures.spectrum_figure(run.spectrum, references, label=f"dynamics, {temperature:.0f} K", lower=400.0)


def _spectrum(run: Run) -> list[str]:
    if run.spectrum is None:
        return []
    caption = (
        "Molar absorption in absolute units, from the dipole moment along classical trajectories; the shade is one standard error over "
        "replicas. Rotation of the free molecule gives the bands their contours; its own absorption lies below the range shown. Not scaled."
    )
    parts = [page.figure(svg(spectrum_drawing(run)), caption)]
    if bands := run.json("spectrum/bands.json"):
        parts.append(_bands(run, bands))
    parts += [page.paragraph(comparison) for comparison in (run.json("spectrum/comparison.json") or {}).values()]
    parts += [page.paragraph(f"{name}: converted, {c.header['molar']}.") for name, c in run.experiments if "molar" in c.header]
    parts.append(page.paragraph(
        "What to expect: the functional and the classical treatment of the nuclei both move bands, the first usually down, the second up; "
        "agreement with experiment is the sum of the two, which the next section takes apart where it can."
    ))  # fmt: skip
    return [page.section("Infrared spectrum", *parts)]


def _bands(run: Run, bands: dict) -> str:
    """Bands of the dynamics beside harmonic and measured ones."""
    titles = ["band / cm⁻¹", "centroid / cm⁻¹", "integral / km mol⁻¹", "harmonic, model / km mol⁻¹"]
    reference = sticks_of(run.reference, bands["temperature_K"]) if run.reference else None
    titles += ["harmonic, DFT / km mol⁻¹"] if reference else []
    measured = bands.get("experiment", {})
    absolute = {name: curve.unit == ABSOLUTE for name, curve in run.experiments}
    for name in measured:
        titles += ["measured centroid / cm⁻¹"] + (["measured integral / km mol⁻¹"] if absolute.get(name) else [])
    rows = []
    for k, b in enumerate(bands["bands"]):
        row = [f"{b['lower']:.0f}–{b['upper']:.0f}", page.pm(b["centroid"], b.get("centroid_error")), page.pm(b["integral"], b["error"])]
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
    return page.table(titles, rows)


def _density(run: Run) -> list[str]:
    slices = run.arrays("validate/slices.npz")
    if slices is None:
        return []
    atoms = [(str(s), float(x), float(y)) for s, (x, y) in zip(slices["symbols"], slices["places"])]
    reference, model, factor = slices["reference"], slices["model"], 20.0
    maps = [("DFT − free atoms", reference, 1.0), ("model − free atoms", model, 1.0)]
    maps.append((f"(model − DFT) × {factor:g}", model - reference, factor))
    drawing = svg(figures.density_slices(maps, float(slices["extent"]), atoms))
    caption = (
        "Charge moved when the molecule forms, in a plane through the atoms, at a held-out geometry: blue where electrons gather, "
        "red where they leave; contours at ±0.004, 0.008, 0.016 … electrons per bohr³. Right: what the model misses, magnified."
    )
    return [page.section("The density", page.figure(drawing, caption))]


def _errors(pairs: dict[str, NDArray], quantity: str) -> NDArray:
    """[frames or atoms, components] prediction less reference, unit of the arrays."""
    return (pairs[f"{quantity}_pred"] - pairs[f"{quantity}_ref"]).reshape(len(pairs[f"{quantity}_deviation"]), -1)


def _training(run: Run) -> list[str]:
    parts = []
    if run.evaluation:
        held = run.evaluation
        names = {
            "frames": "frames",
            "energy_mae_meV": "energy per molecule, MAE / meV",
            "force_mae_meV_per_A": "force components, MAE / meV Å⁻¹",
            "dipole_mae_D": "dipole vector, MAE / D",
            "density_error_percent": "density error / % of electrons",
            "density_error_percent_of_promolecule": "density error / % of that of free atoms",
            "quadrupole_mae_D_A": "quadrupole components, MAE / D Å",
            "potential_rmse_mV": "electrostatic potential 2 to 4 Å from the nuclei, RMSE / mV",
            "potential_rmse_percent": "electrostatic potential, RMSE / % of its own",
        }
        parts.append(page.table(["held-out frames", "value"], [(title, held.get(key)) for key, title in names.items()]))
    if pairs := run.arrays("evaluate/evaluation.npz"):
        wanted = [("energy", "meV"), ("forces", "eV Å$^{-1}$"), ("dipole", "D")]
        shown = [(q, unit, pairs[f"{q}_ref"].ravel(), pairs[f"{q}_pred"].ravel()) for q, unit in wanted if f"{q}_ref" in pairs]
        caption = "Model against DFT on held-out frames; energies relative to their mean, forces and dipoles by component."
        parts.append(page.figure(svg(figures.parity(shown)), caption))
        expected = [(q, unit, pairs[f"{q}_deviation"], _errors(pairs, q)) for q, unit in wanted if f"{q}_deviation" in pairs]
        if expected:
            caption = (
                "Errors found on held-out frames against those that the model expected, of a component; squares: rms in bins, "
                "on the line if they agree. The band reaches to two expected deviations."
            )
            parts.append(page.figure(svg(figures.calibration(expected)), caption))
    path = run.folder / "train" / "training.jsonl"
    if path.exists():
        history = _history([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
        parts.append(page.figure(svg(figures.learning_curves(history)), "Errors on validation frames during training, logarithmic."))
    return [page.section("Training", *parts)] if parts else []


def _history(lines: list[dict]) -> list[dict]:
    """Lines of training.jsonl, whose clock starts at zero in every phase, with a clock that goes on from phase to phase."""
    history, before, last = [], 0.0, 0.0
    for line, previous in zip(lines, [None, *lines]):
        if previous and line["phase"] != previous["phase"]:
            before += last
        last = line["seconds"]
        history.append({"phase": line["phase"], "seconds": before + last, **line["metrics"]})
    return history


def _dynamics(run: Run) -> list[str]:
    drift = run.arrays("simulate/drift.npz")
    if drift is None:
        return []
    caption = "Conserved energy after thermalisation. What is left besides rounding is the bounded error of the time step."
    return [page.section("Energy conservation", page.figure(svg(figures.drift(drift["time_ps"], drift["energy_meV_per_atom"])), caption))]


def _method(run: Run) -> list[str]:
    rows = [(f"{stage}.{key}", str(value)) for stage, section in run.settings.items() for key, value in _leaves(section)]
    times = [(name, float(mark["seconds"])) for name, mark in run.marks.items() if mark["seconds"] > 0]
    caption = f"Wall time of the stages, {sum(s for _, s in times) / 60:.1f} min in all."
    parts = [page.figure(svg(figures.timings(times)), caption)] if times else []
    width = max((len(name) for name, _ in rows), default=0)
    text = "\n".join(f"{name:{width}s}  {value}" for name, value in rows)
    words = (run.dynamics or {}).get("words", "at constant energy")
    story = page.paragraph((_LABELS if run.trained else _GIVEN) + _METHOD.format(words))
    return [page.section("How it was computed", story, *parts, page.folded("all settings of this run", text))]


_LABELS = (
    "Geometries come from molecular dynamics on a semi-empirical surface. Each is labelled by Kohn–Sham theory: energy, forces, dipole and "
    "occupied orbitals. "
)
_GIVEN = "The model was given: nothing was labelled or trained in this run. Labels of its training: Kohn–Sham theory. "
_METHOD = (
    "A first equivariant network predicts the electron density as a correction to superposed free atoms, a second one "
    "the energy from that density; forces are exact derivatives through both. Replicas are thermalised and run {} with "
    "classical nuclei; the dipole is read off the predicted density at every sample, and the spectrum is the Fourier transform of its "
    "autocorrelation, in absolute units."
)


def _leaves(section: object, prefix: str = "") -> list[tuple[str, object]]:
    if not isinstance(section, Mapping):
        return [(prefix.rstrip("."), section)]
    return [leaf for key, value in section.items() for leaf in _leaves(value, f"{prefix}{key}.")]
