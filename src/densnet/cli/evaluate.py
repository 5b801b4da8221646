"""`densnet evaluate`: a model against labels it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from densnet.cli.console import JsonFile

if TYPE_CHECKING:
    from rich.table import Table


TITLES = {
    "frames": "frames",
    "energy_mae_meV": "energy MAE, meV per molecule",
    "force_mae_meV_per_A": "force MAE, meV/A, over components",
    "dipole_mae_D": "dipole MAE, D, length of the error vector",
    "density_error_percent": "density error, % of the electrons",
    "density_error_percent_of_promolecule": "density error, % of that of free atoms",
    "quadrupole_mae_D_A": "quadrupole MAE, D A, over components (traceless, Buckingham)",
    "potential_mae_mV": "potential MAE, mV, 2 to 4 A from the nearest nucleus",
    "potential_rmse_mV": "potential RMSE, mV, at the same points",
    "potential_rmse_percent": "potential RMSE, % of the rms potential there",
    "polarizability_mae_au": "polarizability MAE, bohr^3, over components",
    "response_error_percent": "density response error, % of the integral of its modulus",
    "nearest_training_frame_A": "nearest training frame, A (rms over interatomic distances), median",
    "nearest_training_frame_least_A": "the same, smallest value of all frames",
}


def evaluate(
    model: Annotated[str, typer.Argument(help="Model file written by `densnet train`, or the name of a shipped model.")],
    data: Annotated[
        list[Path], typer.Argument(help="Labels: shards or folders, or extxyz (REF_energy eV, REF_forces eV/A, REF_dipole e*A).")
    ],
    json: JsonFile = None,
    plot: Annotated[Path | None, typer.Option(help="Plot errors against expected errors (png, svg, pdf).")] = None,
    density_frames: Annotated[int | None, typer.Option(help="Number of frames for the (slow) density, quadrupole and potential.")] = None,
    training: Annotated[
        list[Path] | None, typer.Option(help="Labels of the training; prints the distance of the frames from them.")
    ] = None,
    dispersion: Annotated[
        str | None, typer.Option(help="In the labels: 'as labelled', 'none' or 'd4'; default: as in the training of the model.")
    ] = None,
) -> None:
    """Print the errors of a model on labelled frames: energy, forces, dipole, and the density against the exact DFT density.

    The density is also assessed by its traceless quadrupole, 1/2 sum q (3 r r - r^2) about the centre of mass, and by the electrostatic
    potential of electrons and nuclei at points evenly distributed 2 to 4 Angstrom from the nearest nucleus.
    Polarizability and density response are compared if the model predicts them (`densnet train --response`) and the labels contain them.
    If the model predicts its uncertainties (docs/uncertainty.md), a second table compares them with the actual errors.
    Quantities missing in the data are omitted (null in the JSON file); the number of frames is listed for each. A note is printed if
    labels seem to have another unit, sign or level of theory.
    """
    from rich.table import Table

    from densnet.cli.console import activity, show
    from densnet.dataset import store
    from densnet.model.predictor import load
    from densnet.workflow.dispersion import with_dispersion
    from densnet.workflow.evaluation import UNITS, calibration_rows, doubts, draw, evaluate_on, overlap

    predictor = load(model)
    labels = with_dispersion(store.read(*data), dispersion or predictor.provenance.get("training", {}).get("dispersion", "as labelled"))
    frames = [label.properties for label in labels]
    with activity("evaluating") as progress:
        done = evaluate_on(predictor, frames, density_frames, progress)
    found: dict[str, Any] = done.summary() | (overlap(labels, store.read(*training)) if training else {})
    table = Table(title=f"{model} on {', '.join(map(str, data))}")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("frames", justify="right")
    for key, value in found.items():
        over = next((number for name, number in done.labelled.items() if key.startswith(name.rstrip("s"))), len(frames))
        table.add_row(TITLES[key], "-" if value is None else f"{value:.4g}", "" if key == "frames" else str(over))
    notes = [f"note: {warning}" for warning in doubts(labels, done)]
    found |= {"frames_with": done.labelled, "notes": notes}
    if agreement := calibration_rows(done):
        found["calibration"] = agreement
    show(found, json, table, *notes, *([_calibration_table(agreement, UNITS)] if agreement else []))
    if plot is not None:
        draw(done, plot)


def _calibration_table(rows: dict[str, dict[str, float | None]], units: dict[str, str]) -> Table:
    from rich.table import Table

    caption = (
        "Root mean squares per component; fraction of errors within one and two standard deviations (normal distribution: 68 %, 95 %); "
        "rms of actual / expected error (ideal: 1); rank correlation of the two over frames (forces: over atoms)."
    )
    table = Table(title="actual errors and errors expected by the model", caption=caption)
    for title in ("", "actual", "expected", "within 1", "within 2", "ratio", "rank"):
        table.add_column(title, justify="right" if title else "left")
    for name, row in rows.items():
        shares = [f"{100 * row[key]:.0f} %" for key in ("within_one", "within_two")]
        numbers = ["-" if row[key] is None else f"{row[key]:.2f}" for key in ("rms_ratio", "rank_correlation")]
        table.add_row(f"{name}, {units[name]}", f"{row['rms_error']:.3g}", f"{row['rms_deviation']:.3g}", *shares, *numbers)
    return table
