"""What the report of a run says: reads the artefacts of its folder and writes the page. No number is typed in here but targets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from densnet.report import figures, page
from densnet.report.page import Promise
from densnet.report.style import svg
from densnet.spectra.spectrum import Band, Gaussian, Spectrum, Sticks
from densnet.spectra.tables import read_csv, read_experiment


@dataclass(frozen=True)
class Run:
    """The folder of a run. ``marks``: stage -> its mark (settings, versions, seconds, finished); an artefact that is not there is None."""

    name: str
    folder: Path
    marks: Mapping[str, Mapping]
    settings: Mapping

    def json(self, place: str) -> dict | None:
        """Content of a JSON file of the folder."""
        path = self.folder / place
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def arrays(self, place: str) -> dict[str, np.ndarray] | None:
        """Content of an npz file of the folder."""
        path = self.folder / place
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as content:
            return dict(content)

    @cached_property
    def evaluation(self) -> dict | None:
        """Errors on held-out frames."""
        return self.json("evaluate/evaluation.json")

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """Infrared spectrum of the dynamics."""
        path = self.folder / "spectrum" / "spectrum.csv"
        return read_csv(path) if path.exists() else None

    @cached_property
    def reference(self) -> Sticks | None:
        """Harmonic lines of the reference level."""
        return read_sticks(self.folder / "hessian" / "modes.json")

    @cached_property
    def model(self) -> Sticks | None:
        """Harmonic lines of the model."""
        return read_sticks(self.folder / "validate" / "modes.json")

    @cached_property
    def level(self) -> str:
        """Functional / orbital basis."""
        scf = (self.json("hessian/modes.json") or {}).get("level", {})
        basis = re.sub(r"pv([dtq5])z", lambda found: f"pV{found[1].upper()}Z", scf.get("basis", "?"))
        return f"{scf.get('xc', '?')}/{basis}"


def read_sticks(path: Path) -> Sticks | None:
    """The harmonic lines in a ``modes.json``, None where there is no such file."""
    if not path.exists():
        return None
    modes = json.loads(path.read_text(encoding="utf-8"))
    return Sticks(np.array(modes["frequencies_per_cm"]), np.array(modes["intensities_km_per_mol"]))


def report(run: Run) -> str:
    """The whole page as HTML."""
    molecule = (run.json("hessian/modes.json") or {}).get("formula", run.name)
    lead = f"Infrared spectrum of {molecule} from its machine-learned electron density. Reference calculations: {run.level}, all electrons."
    chapters = (_spectrum, _harmonic, _density, _training, _dynamics, _method)
    parts = [page.promises(promises(run)), *(part for chapter in chapters for part in chapter(run))]
    versions = next((m["versions"] for m in reversed(list(run.marks.values())) if m["versions"]), {})
    made = " · ".join(f"{name} {number}" for name, number in versions.items())
    return page.page(f"{run.name}: from density to spectrum", lead, parts, f"Written by densnet report from {run.folder}. {made}")


def promises(run: Run) -> list[Promise]:
    """Every promised line with its measured value."""
    held = run.evaluation or {}
    frames = f"{held.get('frames', 0)} frames of trajectories that training never saw"
    lines = [
        Promise("density error, ∫|ρ − ρ_DFT| / N", held.get("density_error_percent"), 0.25, "%", frames),
        Promise("dipole, mean absolute error", held.get("dipole_mae_D"), 0.005, "D", frames),
        Promise("forces, mean absolute error", held.get("force_mae_meV_per_A"), 5.0, "meV/Å", frames),
    ]
    if run.reference and run.model:
        shift = float(np.abs(run.model.frequencies - run.reference.frequencies).max())
        note = f"against {run.level}, finite differences of forces"
        lines.append(Promise("harmonic wavenumbers, largest deviation", shift, 5.0, "cm⁻¹", note))
        strongest = max(run.reference.intensities)
        worst = max(abs(b - a) for _, _, a, b in _grouped(run.reference, run.model))
        note = "against the same calculation; lines closer than 200 cm⁻¹ count as one band"
        lines.append(Promise("infrared intensities, largest deviation", 100 * worst / strongest, 5.0, "% of strongest", note))
    if cold := run.json("validate/cold.json"):
        worst = max(abs(b["integral"] / b["harmonic"] - 1) for b in cold["bands"])
        note = f"{cold['temperature_K']:g} K, no rotation: dynamics must give the harmonic intensities of the same model"
        lines.append(Promise("cold run, band integrals, largest deviation", 100 * worst, 2.0, "%", note))
    if bands := run.json("spectrum/bands.json"):
        lines += _thermal(bands["bands"], bands["temperature_K"])
    if drift := run.json("simulate/drift.json"):
        note = f"mean of {drift['replicas']} replicas over {drift['duration_ps']:g} ps, time step {drift['timestep_fs']:g} fs"
        lines.append(Promise("energy drift without thermostat", abs(drift["drift_meV_per_atom_per_ps"]), 0.01, "meV/atom/ps", note))
    return lines


def _thermal(bands: list[dict], temperature: float) -> list[Promise]:
    known = [b for b in bands if b["error"] is not None]
    if not known:
        return []
    errors = max(b["error"] / b["integral"] for b in known)
    off = max(abs(b["integral"] - b["harmonic"]) / b["error"] for b in known)
    name = f"{temperature:g} K band integrals"
    return [
        Promise(f"{name}, largest error bar", 100 * errors, 15.0, "%", "one standard error over replicas"),
        Promise(f"{name}, distance from harmonic", off, 2.0, "error bars", "largest of all bands; 2 is the 95 % range"),
    ]


def _grouped(first: Sticks, second: Sticks, gap: float = 200.0) -> list[tuple[float, float, float, float]]:
    """Lines of ``first`` nearer than ``gap`` (cm^-1) as one band: lowest line, highest line, intensity in ``first`` and in ``second``."""
    starts = np.flatnonzero(np.diff(first.frequencies, prepend=-np.inf) > gap)
    sums = (np.add.reduceat(sticks.intensities, starts) for sticks in (first, second))
    ends = np.append(starts[1:], len(first.frequencies)) - 1
    return list(zip(first.frequencies[starts], first.frequencies[ends], *sums))


def _spectrum(run: Run) -> list[str]:
    if run.spectrum is None:
        return []
    resolution = float(run.spectrum.header.get("resolution_cm-1", 16.0))
    profile = Gaussian(resolution / 2.3548)
    references = [
        (f"harmonic, {name}, lines {resolution:.0f} cm$^{{-1}}$ wide", sticks.broaden(run.spectrum.axis, profile))
        for name, sticks in (("model", run.model), (run.level, run.reference))
        if sticks is not None
    ]
    for path in (run.folder / "spectrum").glob("experiment.*"):
        references.append(("experiment", read_experiment(path)))
    temperature = float(run.spectrum.header.get("temperature_K", 0))
    drawing = svg(figures.spectrum_figure(run.spectrum, references, label=f"dynamics, {temperature:.0f} K", lower=400.0))
    caption = (
        "Molar absorption in absolute units, from the dipole moment along classical trajectories; the shade is one standard error over "
        "replicas. Rotation of the free molecule gives the bands their contours; its own absorption lies below the range shown. Not scaled."
    )
    parts = [page.figure(drawing, caption)]
    if bands := run.json("spectrum/bands.json"):
        titles = ["band / cm⁻¹", "centroid / cm⁻¹", "integral / km mol⁻¹", "standard error", "harmonic, model", "harmonic, " + run.level]
        lines = _grouped(run.model, run.reference) if run.model and run.reference else []
        rows = [
            (f"{b['lower']:.0f}–{b['upper']:.0f}", round(b["centroid"], 1), b["integral"], b["error"], b["harmonic"],
             float(sum(r for low, high, _, r in lines if b["lower"] <= low and high <= b["upper"])))
            for b in bands["bands"]
        ]  # fmt: skip
        parts.append(page.table(titles, rows))
    for comparison in (run.json("spectrum/comparison.json") or {}).values():
        parts.append(page.paragraph(comparison))
    parts.append(page.paragraph(
        "What to expect: the functional and the classical treatment of the nuclei both move bands, the first usually down, the second up; "
        "agreement with experiment is the sum of the two. The model's own share is what the next section shows."
    ))  # fmt: skip
    return [page.section("Infrared spectrum", *parts)]


def _harmonic(run: Run) -> list[str]:
    if run.reference is None or run.model is None:
        return []
    top = max(4100.0, 250.0 + max(*run.model.frequencies, *run.reference.frequencies))
    drawing = svg(figures.butterfly(("model", run.model), (run.level, run.reference), span=(400.0, top)))
    caption = f"Harmonic lines of the model (up) and of {run.level} (down), each at its own minimum, Gaussian σ = 10 cm⁻¹, unscaled."
    titles = ["mode", f"{run.level} / cm⁻¹", "model / cm⁻¹", "difference", f"{run.level} / km mol⁻¹", "model / km mol⁻¹"]
    columns = run.reference.frequencies, run.model.frequencies, run.reference.intensities, run.model.intensities
    lines = enumerate(zip(*(x.tolist() for x in columns)), start=1)
    rows = [(k, f"{a:.1f}", f"{b:.1f}", f"{b - a:+.1f}", f"{c:.2f}", f"{d:.2f}") for k, (a, b, c, d) in lines]
    parts = [page.figure(drawing, caption), page.table(titles, rows)]
    if cold := run.json("validate/cold.json"):
        text = (
            f"Check of the dynamics itself: {cold['replicas']} replicas at {cold['temperature_K']:g} K without rotation, every mode given "
            "the same energy, over the same networks, integrator and correlation functions as the spectrum above."
        )
        pairs = [(f"{b['lower']:.0f}–{b['upper']:.0f}", b["integral"], b["harmonic"]) for b in cold["bands"]]
        cells = [(limits, f"{a:.2f}", f"{b:.2f}", f"{100 * (a / b - 1):+.2f}") for limits, a, b in pairs]
        titles = ["band / cm⁻¹", "cold dynamics / km mol⁻¹", "harmonic / km mol⁻¹", "difference / %"]
        parts += [page.paragraph(text), page.table(titles, cells)]
    return [page.section("Harmonic analysis", *parts)]


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
    return [page.section("How it was computed", page.paragraph(_METHOD), *parts, page.folded("all settings of this run", text))]


_METHOD = (
    "Geometries come from molecular dynamics on a semi-empirical surface. Each is labelled by Kohn–Sham theory: energy, forces, dipole and "
    "occupied orbitals. A first equivariant network predicts the electron density as a correction to superposed free atoms, a second one "
    "the energy from that density; forces are exact derivatives through both. Replicas are thermalised and run at constant energy with "
    "classical nuclei; the dipole is read off the predicted density at every sample, and the spectrum is the Fourier transform of its "
    "autocorrelation, in absolute units."
)


def _leaves(section: object, prefix: str = "") -> list[tuple[str, object]]:
    if not isinstance(section, Mapping):
        return [(prefix.rstrip("."), section)]
    return [leaf for key, value in section.items() for leaf in _leaves(value, f"{prefix}{key}.")]


def bands_around(sticks: Sticks, gap: float = 200.0, margin: float = 450.0, floor: float = 350.0) -> list[tuple[float, float]]:
    """Limits (cm^-1) of the bands of harmonic lines: groups parted by more than ``gap``, with up to ``margin`` on both sides."""
    groups = [(low, high) for low, high, _, _ in _grouped(sticks, sticks, gap)]
    middles = [0.5 * (a[1] + b[0]) for a, b in zip(groups, groups[1:])]
    lower = [max(floor if k == 0 else middles[k - 1], low - margin) for k, (low, _) in enumerate(groups)]
    upper = [min(middles[k] if k < len(middles) else np.inf, high + margin) for k, (_, high) in enumerate(groups)]
    return [(float(a), float(b)) for a, b in zip(lower, upper) if a < b]


def band_rows(bands: list[Band], sticks: Sticks) -> list[dict]:
    """Bands of a spectrum as plain data, each with the harmonic intensity (km/mol) that falls between its limits."""
    inside = [(sticks.frequencies > b.lower) & (sticks.frequencies < b.upper) for b in bands]
    return [{**b.__dict__, "harmonic": float(sticks.intensities[mask].sum())} for b, mask in zip(bands, inside)]
