"""`densnet evaluate`: a model against labels it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from densnet.dataset.dataset import Dataset
    from densnet.model.predictor import Predictor
    from densnet.properties import Properties
    from densnet.training.objective import Evaluation

TITLES = {
    "frames": "frames",
    "energy_mae_meV": "energy MAE, meV per molecule",
    "force_mae_meV_per_A": "force MAE, meV/A, over components",
    "dipole_mae_D": "dipole MAE, D, length of the error vector",
    "density_error_percent": "density error, % of the electrons",
    "density_error_percent_of_promolecule": "density error, % of that of free atoms",
    "quadrupole_mae_D_A": "quadrupole MAE, D A, over components (traceless, Buckingham)",
    "potential_mae_mV": "potential MAE, mV, 2 to 4 A from the nearest nucleus",
    "potential_rmse_mV": "potential RMSE, mV, there",
    "potential_rmse_percent": "potential RMSE, % of its own rms there",
    "nearest_training_frame_A": "nearest training frame, A (rms over interatomic distances), median",
    "nearest_training_frame_least_A": "the same, least of all frames",
}


def evaluate(
    model: Annotated[str, typer.Argument(help="Model file written by `densnet train`, or the name of a shipped model.")],
    data: Annotated[Path, typer.Argument(help="Labels: a shard or folder, or extxyz (REF_energy eV, REF_forces eV/A, REF_dipole e*A).")],
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file as well.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw found against expected errors, if the model expects any (png, svg, pdf).")] = None,
    density_frames: Annotated[int | None, typer.Option(help="Frames for the (slow) density, quadrupole and potential.")] = None,
    training: Annotated[list[Path] | None, typer.Option(help="Labels of the training: tells how near to them the frames are.")] = None,
) -> None:
    """Print the errors of a model on labelled frames: energy, forces, dipole, and the density against the exact one of DFT.

    Of the density also its traceless quadrupole, 1/2 sum q (3 r r - r^2) about the centre of mass, and the electrostatic potential that it
    makes with the nuclei, at points that evenly fill the space 2 to 4 Angstrom from the nearest nucleus.
    If the model knows of its errors (docs/uncertainty.md), a second table compares the errors it expected with those found.
    What the data do not hold is left out (null in the JSON file).
    """
    from rich.console import Console
    from rich.table import Table

    from densnet.cli.console import activity
    from densnet.cli.runfolder import write_json
    from densnet.dataset import store
    from densnet.model.predictor import load

    predictor = load(model)
    labels = store.read(data)
    frames = [label.properties for label in labels]
    console = Console(markup=False, emoji=False)
    with activity("evaluating") as progress:
        done = evaluate_on(predictor, frames, density_frames, lambda n: progress(n, len(frames)))
    found = done.summary() | (overlap(labels, store.read(*training)) if training else {})
    table = Table(title=f"{model} on {data}")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("frames", justify="right")
    for key, value in found.items():
        over = next((number for name, number in done.labelled.items() if key.startswith(name.rstrip("s"))), len(frames))
        table.add_row(TITLES[key], "-" if value is None else f"{value:.4g}", "" if key == "frames" else str(over))
    console.print(table)
    for warning in doubts(labels, done):
        console.print(f"note: {warning}", soft_wrap=True, highlight=False)
    found["frames_with"] = done.labelled
    if agreement := calibration_rows(done):
        console.print(_calibration_table(agreement))
        found["calibration"] = agreement
    if plot is not None:
        draw(done, plot)
    if json is not None:
        write_json(json, found)


ALIKE = {"energy": "energ", "forces": "forc|grad", "dipole": "dip|mu$"}
"""What a key that holds a label under another name has in it."""


def doubts(labels: Dataset, found: Evaluation) -> list[str]:
    """Sentences: labels that the file seems to hold under other names, labels that only some frames hold, and those of `label_units`."""
    import re

    from densnet.training.label_units import doubts_of

    unread = sorted({key for label in labels for key in label.unread})
    told = []
    for name, words in ALIKE.items():
        number, other = found.labelled[name], [key for key in unread if re.search(words, key, re.I)]
        if number == 0 and other:
            told.append(f"no frame has {name} by that name, but {', '.join(other)}; rename it to REF_{name} for it to be compared.")
        elif 0 < number < found.frames:
            told.append(f"{number} of {found.frames} frames hold {name}; the error is over these.")
    return told + doubts_of(found)


def overlap(test: Dataset, training: Dataset) -> dict[str, float | None]:
    """How near test frames are to the nearest training frame of their composition, Angstrom; None where there is none."""
    from densnet import units
    from densnet.dataset.batches import nearest

    distances = nearest(test, training) / units.ANGSTROM
    found = {"nearest_training_frame_A": distances.median(), "nearest_training_frame_least_A": distances.min()}
    return {key: float(value) if value.isfinite() else None for key, value in found.items()}


def evaluate_on(predictor: Predictor, frames: list[Properties], density_frames: int | None, progress: Callable[[int], None]) -> Evaluation:
    """Errors on ``frames``, those of quadrupole and potential included; see `densnet.training.objective.evaluate`."""
    from densnet.reference import electrostatics
    from densnet.training.objective import Exact, evaluate

    exact = Exact(electrostatics.quadrupole, electrostatics.potential)
    predict = predictor if predictor.uncertainty is None else predictor.with_force_uncertainty
    return evaluate(predict, frames, density_frames=density_frames, exact=exact, progress=progress)


def draw(found: Evaluation, path: Path) -> None:
    """A picture of found against expected errors. Raises `UncertaintyMissing` if none were expected."""
    import numpy as np

    from densnet.model.uncertainty import UncertaintyMissing
    from densnet.report.figures import draw_calibration

    kinds = []
    for name, size in _sizes().items():
        if (deviation := found.uncertainty[name]).size and (pairs := getattr(found, name)).size:
            kinds.append((name, UNITS[name], deviation / size, np.diff(pairs, axis=-1).reshape(len(deviation), -1) / size))
    if not kinds:
        raise UncertaintyMissing("nothing to plot: the model knows nothing of its errors, or the data hold no labels.")
    draw_calibration(path, kinds)


UNITS = {"energy": "meV", "forces": "meV/A", "dipole": "mD"}


def calibration_rows(found: Evaluation) -> dict[str, dict[str, float | None]]:
    """By kind of error: rms error and expected deviation of a component in `UNITS`, the rest as in `Agreement`; empty if not expected."""
    return {
        name: {**vars(row), "rms_error": row.rms_error / size, "rms_deviation": row.rms_deviation / size}
        for (name, row), size in ((item, _sizes()[item[0]]) for item in found.calibration().items())
    }


def _sizes() -> dict[str, float]:
    from densnet import units

    return {"energy": units.MEV, "forces": units.MEV_PER_ANGSTROM, "dipole": units.DEBYE / 1000}


def _calibration_table(rows: dict[str, dict[str, float | None]]) -> Table:
    from rich.table import Table

    caption = (
        "Root mean squares of a component; shares of errors within one and two expected deviations (normal errors: 68 %, 95 %); "
        "rms of found / expected (1); rank correlation of the two over frames (forces: over atoms)."
    )
    table = Table(title="errors found and errors that the model expected", caption=caption)
    for title in ("", "found", "expected", "within 1", "within 2", "ratio", "rank"):
        table.add_column(title, justify="right" if title else "left")
    for name, row in rows.items():
        shares = [f"{100 * row[key]:.0f} %" for key in ("within_one", "within_two")]
        numbers = ["-" if row[key] is None else f"{row[key]:.2f}" for key in ("rms_ratio", "rank_correlation")]
        table.add_row(f"{name}, {UNITS[name]}", f"{row['rms_error']:.3g}", f"{row['rms_deviation']:.3g}", *shares, *numbers)
    return table


def write_evaluation(folder: Path, found: Evaluation, extra: dict) -> None:
    """``evaluation.json``; ``evaluation.npz``: NAME_ref, NAME_pred of energy (meV from the mean), forces (eV/A), dipole (D),
    and NAME_deviation, what the model expected (of forces an entry an atom).
    """
    import numpy as np

    from densnet import units
    from densnet.cli.runfolder import write_json

    pairs = {"energy": (found.energy, units.MEV), "forces": (found.forces, units.EV_PER_ANGSTROM), "dipole": (found.dipole, units.DEBYE)}
    arrays = {}
    for name, (values, unit) in pairs.items():
        if values.size:
            origin = values[..., 0].mean() if name == "energy" else 0.0
            arrays |= {f"{name}_ref": (values[..., 0] - origin) / unit, f"{name}_pred": (values[..., 1] - origin) / unit}
        if found.uncertainty[name].size:
            arrays[f"{name}_deviation"] = found.uncertainty[name] / unit
    np.savez(folder / "evaluation.npz", **arrays)
    about = {"frames_with": found.labelled, "calibration": calibration_rows(found)}
    write_json(folder / "evaluation.json", {**found.summary(), **extra, **about})
