"""`densnet spectrum`: dipoles, and polarizabilities, along a trajectory -> absolute infrared and Raman spectra with error bands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densnet.cli.console import JsonFile

RAMAN_FROM = 350.0
"""cm^-1, below which the rotation of a free molecule scatters and no bands are looked for."""

Trajectories = Annotated[
    list[Path],
    typer.Argument(
        metavar="TRAJECTORY",
        help="Trajectory written by `densnet simulate` (H5MD), or its folder; several that differ only in their seed are joined.",
    ),
]


def spectrum(
    trajectories: Trajectories,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; created if missing.")] = Path("spectrum"),
    experiment: Annotated[
        list[Path] | None,
        typer.Option(help="Measured spectrum, infrared or Raman (JCAMP-DX or CSV), to overlay and compare with; may be repeated."),
    ] = None,
    depth: Annotated[float | None, typer.Option(help="Length of the window on the correlation function in fs; default 2048.")] = None,
    resolution: Annotated[
        float | None, typer.Option(min=0.1, help="Line width in cm^-1, as an alternative to --depth (= 33356 / width).")
    ] = None,
    width: Annotated[
        float, typer.Option(min=0, help="Line width in cm^-1 in the figure and in smoothed.csv; 0: no smoothing beyond the window.")
    ] = 30.0,
    maximum: Annotated[float, typer.Option(help="Upper end of the axis in cm^-1.")] = 4500.0,
    laser: Annotated[float, typer.Option(min=100, max=2000, help="Wavelength of the laser in nm, for Raman cross sections.")] = 532.0,
    json: JsonFile = None,
) -> None:
    """Compute the infrared spectrum (km/mol per cm^-1) of a trajectory, or of several, averaged over the replicas.

    Several trajectories, such as those of a job array (docs/cluster.md), must be of one molecule, model, start and settings, with different
    seeds. All replicas count alike; the shortest trajectory decides the length used.

    Writes spectrum.csv and spectrum.jdx (JCAMP-DX), smoothed.csv, spectrum-absorbance.jdx (of 1000 Pa in a cell of 10 cm), spectrum.png
    and bands.csv into the folder and prints the bands. The molar absorption is napierian; multiplied by 43.43 it is the decadic molar
    absorption coefficient in L mol^-1 cm^-1. From a trajectory with polarizabilities also the Raman spectrum: raman.csv and raman.jdx
    (differential cross sections, 1e-36 m^2/sr per cm^-1), raman-smoothed.csv, raman.png and raman-bands.csv (docs/raman.md).
    """
    from dataclasses import asdict, replace

    from densnet.cli.console import say, show
    from densnet.report.figures import draw_spectrum
    from densnet.simulation.trajectory import TrajectoryError
    from densnet.spectra.infrared import from_series
    from densnet.spectra.measured import is_raman, read_measured, read_raman
    from densnet.spectra.output import write_spectrum
    from densnet.spectra.raman import Light

    settings = _settings(depth, resolution, maximum)
    shifted = _curves([path for path in experiment or [] if is_raman(path)], read_raman, maximum)
    measured = _curves([path for path in experiment or [] if path not in shifted], read_measured, maximum)
    source, title = _several(map(str, trajectories)), _several(path.stem for path in trajectories)
    run, sampling = _trajectory(trajectories, source)
    if shifted and run.polarizability is None:
        raise TrajectoryError(f"{source} contains no polarizabilities, so {next(iter(shifted))}, a Raman spectrum, cannot be compared.")
    found = _named(from_series(run.dipole, sampling, settings=settings), run)
    found = replace(found, header={**found.header, "set temperature_K": run.realised.asked})
    bands = found.find_bands()

    out.mkdir(parents=True, exist_ok=True)
    smooth = write_spectrum(out, found, bands, title, width)
    draw_spectrum(out / "spectrum.png", smooth, references=list(measured.values()))
    likeness, tables = _likeness(found, measured), [_band_table(bands)]
    counted = f"{len(run.dipole)} replicas" + (f" of {len(trajectories)} trajectories" if len(trajectories) > 1 else "")
    figures = {"trajectories": [str(path) for path in trajectories], "replicas": len(run.dipole)}
    figures |= {"temperature_K": run.realised.mean, "bands": [asdict(band) for band in bands]}
    written = "spectrum.csv, .jdx, .png, spectrum-absorbance.jdx, smoothed.csv and bands.csv"
    if run.polarizability is not None:
        light = Light(laser, run.realised.asked)
        total, scattered = _raman(run, sampling, settings, light, (out, title, width), list(shifted.values()))
        likeness, tables = likeness + _likeness(total, shifted), [*tables, _raman_table(scattered, light)]
        figures["raman"] = {"laser_nm": laser, "bands": [asdict(band) for band in scattered]}
        written += "; raman.csv, .jdx, .png, raman-smoothed.csv and raman-bands.csv"
    figures["measured"] = [{"file": str(path), **asdict(likewise), "read_as": words} for path, likewise, words in likeness]
    lines = [line for path, likewise, words in likeness for line in (f"against {path}: {likewise}", f"  {words}")]
    show(figures, json, f"{counted}, {run.realised}", *tables, *lines)
    say(f"written to {out}: {written}")


def _settings(depth, resolution, maximum):
    from densnet.settings import SettingsError, parse
    from densnet.spectra.timeseries import LINE, SeriesSettings

    if depth is not None and resolution is not None:
        raise SettingsError("--depth and --resolution are the same setting; give one of them.")
    depth = LINE / resolution if resolution is not None else 2048.0 if depth is None else depth
    fine = {"step": min(1.0, 0.25 * LINE / depth)} if depth > 0 else {}
    return parse(SeriesSettings, {"depth": depth, "maximum": maximum, **fine}, "spectrum")


def _several(names):
    first, *others = names
    return f"{first} and {len(others)} more" if others else first


def _trajectory(paths, source):
    """The trajectories as one, without motion, and how it was sampled; ``source`` names them."""
    from densnet.cli.console import say
    from densnet.molecules import Molecules
    from densnet.simulation.joined import read_joined
    from densnet.simulation.trajectory import TrajectoryError, read_trajectory
    from densnet.spectra.timeseries import Sampling, highest_wavenumber

    run = read_joined(paths, motion=False, announce=lambda text: say(f"warning: {text}"))
    if run.dipole is None:
        raise TrajectoryError(f"{source} contains no dipoles, which an infrared spectrum needs; simulate with a model that predicts them.")
    first = Molecules.single(run.numbers, read_trajectory(paths[0], every=len(run.times)).positions[0, 0].double(), run.masses)
    return run, Sampling(run.sample_step, run.time_step, run.temperature.mean(dim=1).numpy(), highest_wavenumber(first), run.method)


def _named(found, run):
    """A spectrum of ``run`` whose header says of which isotopes, and of which trajectories where they are several."""
    from dataclasses import replace

    from densnet.workflow.ensemble import named_isotopes

    named, parts = named_isotopes(found, run), run.header.get("joined")
    if not parts:
        return named
    seeds = " ".join(str(part["settings"]["seed"]) for part in parts)
    return replace(named, header={**named.header, "trajectories": len(parts), "seeds": seeds})


def _curves(paths, read, maximum):
    from densnet.spectra.comparison import comparable

    return {path: comparable(read(path), maximum, str(path)) for path in paths}


def _likeness(found, measured):
    from densnet.spectra.comparison import compare
    from densnet.spectra.measured import told

    return [(path, compare(found, other), told(other)) for path, other in measured.items()]


def _raman(run, sampling, settings, light, where, references):
    """The cross section and the bands; files and picture are written ``where``: folder, title, line width."""
    from densnet.report.figures import draw_raman
    from densnet.spectra.output import write_raman
    from densnet.spectra.raman import Raman, from_series

    out, title, width = where
    both = from_series(run.polarizability, sampling, settings=settings)
    both = Raman(*(_named(one, run) for one in (both.isotropic, both.anisotropic)))
    bands = both.bands([(band.lower, band.upper) for band in both.activity.above(RAMAN_FROM).find_bands()], light)
    draw_raman(out / "raman.png", write_raman(out, both, bands, title, light, width), references=references)
    return both.total(light), bands


def _raman_table(bands, light):
    from rich.table import Table

    table = Table(title=f"Raman bands, {light}")
    for title in ("range cm^-1", "maximum cm^-1", "activity A^4/amu", "standard error", "depolarisation", "standard error"):
        table.add_column(title, justify="right")
    for band in bands:
        errors = ["-" if error is None else f"{error:.{digits}f}" for error, digits in ((band.error, 2), (band.depolarisation_error, 3))]
        places = (f"{band.lower:.0f}-{band.upper:.0f}", f"{band.maximum:.0f}")
        table.add_row(*places, f"{band.integral:.2f}", errors[0], f"{band.depolarisation:.3f}", errors[1])
    return table


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
