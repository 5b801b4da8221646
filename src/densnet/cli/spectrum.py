"""`densnet spectrum`: dipoles along a trajectory -> absolute infrared spectrum with an error band."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densnet.cli.console import JsonFile


def spectrum(
    trajectory: Annotated[Path, typer.Argument(help="Trajectory written by `densnet simulate` (H5MD), or its folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; created if missing.")] = Path("spectrum"),
    experiment: Annotated[
        list[Path] | None, typer.Option(help="Measured spectrum (JCAMP-DX or CSV) to overlay and compare with; may be repeated.")
    ] = None,
    depth: Annotated[float | None, typer.Option(help="Length of the window on the correlation function in fs; default 2048.")] = None,
    resolution: Annotated[
        float | None, typer.Option(min=0.1, help="Line width in cm^-1, as an alternative to --depth (= 33356 / width).")
    ] = None,
    width: Annotated[
        float, typer.Option(min=0, help="Line width in cm^-1 in the figure and in smoothed.csv; 0: no smoothing beyond the window.")
    ] = 30.0,
    maximum: Annotated[float, typer.Option(help="Upper end of the axis in cm^-1.")] = 4500.0,
    json: JsonFile = None,
) -> None:
    """Compute the infrared spectrum (km/mol per cm^-1) of a trajectory, averaged over its replicas.

    Writes spectrum.csv and spectrum.jdx (JCAMP-DX), smoothed.csv, spectrum-absorbance.jdx (of 1000 Pa in a cell of 10 cm), spectrum.png
    and bands.csv into the folder and prints the bands. The molar absorption is napierian; multiplied by 43.43 it is the decadic molar
    absorption coefficient in L mol^-1 cm^-1.
    """
    from dataclasses import asdict, replace

    from densnet.cli.console import say, show
    from densnet.molecules import Molecules
    from densnet.report.figures import draw_spectrum
    from densnet.settings import SettingsError, parse
    from densnet.simulation.trajectory import TrajectoryError, read_trajectory
    from densnet.spectra.comparison import comparable, compare
    from densnet.spectra.infrared import from_series
    from densnet.spectra.measured import read_measured, told
    from densnet.spectra.output import write_spectrum
    from densnet.spectra.timeseries import LINE, Sampling, SeriesSettings, highest_wavenumber
    from densnet.workflow.ensemble import named_isotopes

    if depth is not None and resolution is not None:
        raise SettingsError("--depth and --resolution are the same setting; give one of them.")
    depth = LINE / resolution if resolution is not None else 2048.0 if depth is None else depth
    fine = {"step": min(1.0, 0.25 * LINE / depth)} if depth > 0 else {}
    settings = parse(SeriesSettings, {"depth": depth, "maximum": maximum, **fine}, "spectrum")
    measured = [comparable(read_measured(path), maximum, str(path)) for path in experiment or []]
    run = read_trajectory(trajectory, motion=False)
    if run.dipole is None:
        raise TrajectoryError(
            f"{trajectory} contains no dipoles, which an infrared spectrum needs; simulate with a model that predicts them."
        )
    first = Molecules.single(run.numbers, read_trajectory(trajectory, every=len(run.times)).positions[0, 0].double(), run.masses)
    sampling = Sampling(run.sample_step, run.time_step, run.temperature.mean(dim=1).numpy(), highest_wavenumber(first), run.method)
    found = named_isotopes(from_series(run.dipole, sampling, settings=settings), run)
    found = replace(found, header={**found.header, "set temperature_K": run.realised.asked})
    bands = found.find_bands()

    out.mkdir(parents=True, exist_ok=True)
    smooth = write_spectrum(out, found, bands, trajectory.stem, width)
    draw_spectrum(out / "spectrum.png", smooth, references=measured)

    likeness = [(path, compare(found, other), told(other)) for path, other in zip(experiment or [], measured)]
    lines = [line for path, likewise, words in likeness for line in (f"against {path}: {likewise}", f"  {words}")]
    figures = {
        "replicas": len(run.dipole),
        "temperature_K": run.realised.mean,
        "bands": [asdict(band) for band in bands],
        "measured": [{"file": str(path), **asdict(likewise), "read_as": words} for path, likewise, words in likeness],
    }
    show(figures, json, f"{len(run.dipole)} replicas, {run.realised}", _band_table(bands), *lines)
    say(f"written to {out}: spectrum.csv, .jdx, .png, spectrum-absorbance.jdx, smoothed.csv and bands.csv")


def _band_table(bands):
    from rich.table import Table

    table = Table(title="Bands")
    for title in ("range cm^-1", "maximum cm^-1", "centroid cm^-1", "integral km/mol", "standard error"):
        table.add_column(title, justify="right")
    for band in bands:
        error = "-" if band.error is None else f"{band.error:.2f}"
        places = (f"{band.lower:.0f}-{band.upper:.0f}", f"{band.maximum:.0f}", f"{band.centroid:.1f}")
        table.add_row(*places, f"{band.integral:.2f}", error)
    return table
