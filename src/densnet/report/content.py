"""What the report of a run says: reads the artefacts of its folder and writes the page. No number is typed in here but targets."""

from __future__ import annotations

from collections.abc import Mapping

from numpy.typing import NDArray

from densnet.artefacts import making, using
from densnet.artefacts.run import Run
from densnet.report import figures, page
from densnet.report.assignment import assignment
from densnet.report.card import card
from densnet.report.harmonic import agreement, conformers, harmonic
from densnet.report.infrared import infrared
from densnet.report.live import scripts
from densnet.report.page import Promise
from densnet.report.raman import raman
from densnet.report.refinement import promises as reached
from densnet.report.refinement import refinement
from densnet.report.remainder import remainder
from densnet.report.style import svg
from densnet.report.verification import verification


def report(run: Run) -> str:
    """The whole page as HTML, the spectrum first."""
    title = f"{'Infrared' if run.raman is None else 'Infrared and Raman'} spectrum of {run.name}"
    lead = f"{page.formula(run.formula)}, from its machine-learned all-electron density at the level {run.level}."
    first = (infrared, raman, _trust, remainder, refinement, card, assignment, conformers, harmonic, verification)
    parts = [part for chapter in (*first, _density, _training, _dynamics, _method) for part in chapter(run)]
    versions = next((m["versions"] for m in reversed(list(run.marks.values())) if m["versions"]), {})
    made = " · ".join(f"{name} {number}" for name, number in versions.items())
    return page.page(title, lead, parts, f"Written by densnet report from {run.folder}. {made}", scripts(run))


def _trust(run: Run) -> list[str]:
    """Warnings of the run, and in one line, which opens, whether the model gives what its reference level gives."""
    parts = [page.warning(text) for text in run.warnings]
    if lines := promises(run):
        model, dynamics = ([line for line in lines if line.dynamics is kind] for kind in (False, True))
        texts = []
        if counted := _counted(model):
            word = "reproduces" if all(line.met is not False for line in model) else "partly reproduces"
            texts.append(f"The model {word} {run.level} (this does not refer to experiment): {counted}.")
        if counted := _counted(dynamics):
            texts.append(f"Dynamics: {counted}.")
        parts.append(page.unfolded(" ".join(texts), page.promises(lines)))
    return parts


def _counted(lines: list[Promise]) -> str:
    """How many of the checks are met, and which are not."""
    measured = [line for line in lines if line.met is not None]
    missed = ", ".join(line.name for line in measured if not line.met)
    counted = f"{sum(bool(line.met) for line in measured)} of {len(measured)} checks met" if measured else ""
    return f"{counted} (missed: {missed})" if missed else counted


def promises(run: Run) -> list[Promise]:
    """Every promised line with its measured value."""
    refined = run.get(making.REFINEMENT)
    lines = _held_out(run) if run.trained else [] if refined is None else reached(refined)
    lines += agreement(run)
    if cold := run.get(using.COLD_RUN):
        strong = [b for b in cold.bands if b["harmonic"] > 0.02 * sum(x["harmonic"] for x in cold.bands)]
        worst = max((abs(b["integral"] / b["harmonic"] - 1) for b in strong), default=None)
        note = f"{cold.temperature_K:g} K, no rotation: must give the harmonic intensities of the model; bands of 2 % or more"
        value = None if worst is None else 100 * worst
        lines.append(Promise("low-temperature run, band integrals, largest deviation", value, 2.0, "%", note, dynamics=True))
    if bands := run.get(using.BANDS):
        lines += _thermal(bands.bands, bands.temperature_K)
    if (drift := run.get(using.DRIFT)) and drift.constant_energy:
        note = f"mean of {drift.replicas} replicas over {drift.duration_ps:g} ps, time step {drift.timestep_fs:g} fs"
        value = abs(drift.drift_meV_per_atom_per_ps)
        lines.append(Promise("energy drift without thermostat", value, 0.01, "meV/atom/ps", note, dynamics=True))
    return lines


def _held_out(run: Run) -> list[Promise]:
    held = run.evaluation or {}
    frames = f"{held.get('frames', 0)} frames from trajectories not used in training"
    return [
        Promise("density error, ∫|ρ − ρ_DFT| / N", held.get("density_error_percent"), 0.25, "%", frames),
        Promise("dipole, mean absolute error", held.get("dipole_mae_D"), 0.005, "D", frames),
        Promise("forces, mean absolute error", held.get("force_mae_meV_per_A"), 5.0, "meV/Å", frames),
    ]


def _thermal(bands: list[dict], temperature: float) -> list[Promise]:
    strong = [b for b in bands if b["error"] is not None and b["integral"] > 0.05 * sum(x["integral"] for x in bands)]
    if not strong:
        return []
    errors = max(b["error"] / b["integral"] for b in strong)
    note = "sampling only: one standard error over replicas, for bands with at least 5 % of the absorption"
    return [Promise(f"{temperature:g} K band integrals, largest error bar", 100 * errors, 15.0, "%", note, dynamics=True)]


def _density(run: Run) -> list[str]:
    slices = run.get(using.SLICES)
    if slices is None:
        return []
    atoms = [(str(s), float(x), float(y)) for s, (x, y) in zip(slices["symbols"], slices["places"])]
    reference, model, factor = slices["reference"], slices["model"], 20.0
    maps = [("DFT − free atoms", reference, 1.0), ("model − free atoms", model, 1.0)]
    maps.append((f"(model − DFT) × {factor:g}", model - reference, factor))
    drawing = svg(figures.density_slices(maps, float(slices["extent"]), atoms))
    caption = (
        "Electron density minus that of free atoms, in a plane through the atoms, at a held-out geometry: blue where density "
        "increases, red where it decreases; contours at ±0.004, 0.008, 0.016 … electrons per bohr³. "
        f"Right: error of the model times {factor:g}, so its contours are at ±{0.004 / factor:.4f}, {0.008 / factor:.4f}, "
        f"{0.016 / factor:.4f} … electrons per bohr³."
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
            "potential_rmse_percent": "electrostatic potential, RMSE / % of its rms",
        }
        parts.append(page.table(["held-out frames", "value"], [(title, held.get(key)) for key, title in names.items()]))
    if pairs := run.get(making.PAIRS):
        wanted = [("energy", "meV"), ("forces", "eV Å⁻¹"), ("dipole", "D")]
        shown = [(q, unit, pairs[f"{q}_ref"].ravel(), pairs[f"{q}_pred"].ravel()) for q, unit in wanted if f"{q}_ref" in pairs]
        caption = "Model against DFT on held-out frames; energies relative to their mean, forces and dipoles by component."
        parts.append(page.figure(svg(figures.parity(shown)), caption))
        expected = [(q, unit, pairs[f"{q}_deviation"], _errors(pairs, q)) for q, unit in wanted if f"{q}_deviation" in pairs]
        if expected:
            caption = (
                "Actual against expected errors on held-out frames, per component. Squares: rms in bins, on the line for perfect "
                "agreement. The band reaches to two expected standard deviations."
            )
            parts.append(page.figure(svg(figures.calibration(expected)), caption))
    if log := run.get(making.TRAINING_LOG):
        parts.append(
            page.figure(svg(figures.learning_curves(_history(log))), "Errors on validation frames during training, logarithmic scale.")
        )
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
    drift = run.get(using.ENERGIES)
    if drift is None:
        return []
    caption = "Conserved energy after thermalisation. Besides rounding, only the bounded error of the finite time step remains."
    return [page.section("Energy conservation", page.figure(svg(figures.drift(drift["time_ps"], drift["energy_meV_per_atom"])), caption))]


def _method(run: Run) -> list[str]:
    rows = [(f"{stage}.{key}", str(value)) for stage, section in run.settings.items() for key, value in _leaves(section)]
    times = [(name, float(mark["seconds"])) for name, mark in run.marks.items() if mark["seconds"] > 0]
    caption = f"Wall time of the stages, {sum(s for _, s in times) / 60:.1f} min in all."
    parts = [page.figure(svg(figures.timings(times)), caption)] if times else []
    width = max((len(name) for name, _ in rows), default=0)
    text = "\n".join(f"{name:{width}s}  {value}" for name, value in rows)
    made = _LABELS if run.trained else _GIVEN if run.get(making.REFINEMENT) is None else _REFINED
    story = page.paragraph(made + _METHOD.format(run.ensemble, run.nuclei))
    again = page.paragraph(_AGAIN.format(run.folder / "settings.toml", run.level))
    return [page.section("How it was computed", story, *parts, page.folded("all settings of this run", text), again)]


_AGAIN = (
    "To reproduce: densnet run with a copy of {} and the versions at the end of this page. The random seed is in the settings; "
    "another machine gives the same within the error band. To cite: densnet with its version, the method "
    "(arXiv:2604.24563), the reference level {}, PySCF, and the source of every measured value shown."
)
_LABELS = (
    "Geometries are taken from molecular dynamics on a semi-empirical potential energy surface. Each is labelled by a Kohn–Sham "
    "calculation: energy, forces, dipole and occupied orbitals. "
)
_GIVEN = "An existing model was used; nothing was labelled or trained in this run. The model was trained on Kohn–Sham labels. "
_REFINED = (
    "A given model was trained further on Kohn–Sham labels of this molecule: energy, forces, dipole and occupied orbitals at geometries "
    "from its own molecular dynamics. "
)
_METHOD = (
    "The first equivariant network predicts the electron density as a correction to superposed free atoms, the second one "
    "predicts the energy from that density; forces are exact derivatives through both. Replicas are thermalised and run {} with "
    "{}. The dipole is computed from the predicted density at every sample; the spectrum is the Fourier transform "
    "of its autocorrelation function, in absolute units."
)


def _leaves(section: object, prefix: str = "") -> list[tuple[str, object]]:
    if not isinstance(section, Mapping):
        return [(prefix.rstrip("."), section)]
    return [leaf for key, value in section.items() for leaf in _leaves(value, f"{prefix}{key}.")]
