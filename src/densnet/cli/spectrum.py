"""`densnet spectrum`: dipoles along a trajectory -> absolute infrared spectrum with an error band."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def spectrum(
    trajectory: Annotated[Path, typer.Argument(help="Trajectory written by `densnet simulate` (H5MD), or the folder it is in.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; made if missing.")] = Path("spectrum"),
    experiment: Annotated[
        list[Path] | None, typer.Option(help="Measured spectrum (JCAMP-DX or CSV) to overlay and compare with; may be repeated.")
    ] = None,
    depth: Annotated[float, typer.Option(help="Window on the correlation function in fs; lines get 33356/depth cm^-1 wide.")] = 2048.0,
    maximum: Annotated[float, typer.Option(help="Upper end of the axis in cm^-1.")] = 4500.0,
) -> None:
    """Compute the infrared spectrum (km/mol per cm^-1) of a trajectory, averaged over its replicas.

    Writes infrared.csv, infrared.jdx (JCAMP-DX), infrared-absorbance.jdx (the same for 10 mbar in a cell of 10 cm), infrared.png and
    bands.csv into the output folder and prints the bands.
    """
    from dataclasses import replace

    from rich.console import Console

    from densnet.molecules import Molecules
    from densnet.report.figures import draw_spectrum
    from densnet.settings import parse
    from densnet.simulation.trajectory import TrajectoryError, read_trajectory
    from densnet.spectra.comparison import comparable, compare
    from densnet.spectra.gas import absorbance
    from densnet.spectra.infrared import LINE, InfraredSettings, Sampling, from_series, highest_wavenumber
    from densnet.spectra.jcamp import write_jcamp
    from densnet.spectra.measured import read_measured, told
    from densnet.spectra.tables import write_bands, write_csv
    from densnet.workflow.ensemble import named_isotopes

    fine = {"step": min(1.0, 0.25 * LINE / depth)} if depth > 0 else {}
    settings = parse(InfraredSettings, {"depth": depth, "maximum": maximum, **fine}, "spectrum")
    measured = [comparable(read_measured(path), maximum, str(path)) for path in experiment or []]
    run = read_trajectory(trajectory, motion=False)
    if run.dipole is None:
        raise TrajectoryError(
            f"{trajectory} holds no dipoles, which an infrared spectrum is made of; simulate with a model that tells them."
        )
    first = Molecules.single(run.numbers, read_trajectory(trajectory, every=len(run.times)).positions[0, 0].double(), run.masses)
    sampling = Sampling(run.sample_step, run.time_step, run.temperature.mean(dim=1).numpy(), highest_wavenumber(first))
    found = named_isotopes(from_series(run.dipole, sampling, settings=settings), run)
    found = replace(found, header={**found.header, "set temperature_K": run.realised.asked})
    bands = found.find_bands()

    output.mkdir(parents=True, exist_ok=True)
    write_csv(output / "infrared.csv", found)
    write_jcamp(output / "infrared.jdx", found, f"{trajectory.stem}, infrared from dynamics")
    write_jcamp(output / "infrared-absorbance.jdx", absorbance(found), f"{trajectory.stem}, infrared from dynamics")
    write_bands(output / "bands.csv", bands, dict(found.header))
    draw_spectrum(output / "infrared.png", found, references=measured)

    console = Console(markup=False, emoji=False)
    console.print(f"{len(run.dipole)} replicas, {run.realised}", soft_wrap=True, highlight=False)
    console.print(_band_table(bands))
    for path, other in zip(experiment or [], measured):
        console.print(f"against {path}: {compare(found, other)}", soft_wrap=True, highlight=False)
        console.print(f"  {told(other)}", soft_wrap=True, highlight=False)
    console.print(f"written: {output}/infrared.csv, .jdx, .png, infrared-absorbance.jdx and bands.csv", soft_wrap=True, highlight=False)


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
