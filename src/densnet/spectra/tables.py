"""Spectra and bands as text tables of our own: CSV with a commented header."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from densnet.files import write_text
from densnet.spectra.raman import RamanBand
from densnet.spectra.spectrum import Band, Spectrum, SpectrumError

FIRST_LINE = "# densnet spectrum, format 1"
"""How a spectrum written here begins."""


def write_csv(path: Path, spectrum: Spectrum) -> None:
    """Commented header (unit and provenance, JSON values), then wavenumber (cm^-1), intensity and, where known, its standard error.

    Numbers are written so that `read_csv` gives back the same bits.
    """
    known = spectrum.error is not None
    columns = [spectrum.axis, spectrum.intensity] + ([spectrum.error] if known else [])
    header = {"unit": spectrum.unit, **spectrum.header}
    lines = [FIRST_LINE, *(f"# {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items())]
    lines.append("wavenumber_cm-1,intensity" + (",standard_error" if known else ""))
    lines += [",".join(repr(float(v)) for v in row) for row in zip(*columns)]
    write_text(path, "\n".join([*lines, ""]))


def read_csv(path: Path) -> Spectrum:
    """What `write_csv` wrote. Raises `SpectrumError` for any other file; `measured.read_measured` reads those."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SpectrumError(f"{path} is damaged ({error}); write the spectrum again.") from error
    comments = [line for line in lines if line.startswith("#")]
    if not comments or comments[0].rstrip() != FIRST_LINE:
        raise SpectrumError(f"{path} does not begin with {FIRST_LINE!r}; it was not written by this version of densnet.")
    try:
        header = {key: json.loads(value) for key, value in (line[2:].split(": ", 1) for line in comments[1:])}
        unit = header.pop("unit")
    except (ValueError, KeyError) as error:
        raise SpectrumError(f"the header of {path} is damaged ({error}); write the spectrum again.") from error
    try:
        rows = np.array([[float(field) for field in line.split(",")] for line in lines[len(comments) + 1 :] if line.strip()])
    except ValueError as error:  # also rows of different lengths
        raise SpectrumError(f"a row of {path} is damaged ({error}); write the spectrum again.") from error
    if rows.ndim != 2 or rows.shape[1] not in (2, 3):
        raise SpectrumError(f"{path} contains no rows of two or three numbers; write the spectrum again.")
    return Spectrum(rows[:, 0], rows[:, 1], unit, rows[:, 2] if rows.shape[1] > 2 else None, header)


def write_raman_bands(path: Path, bands: Iterable[RamanBand], header: dict[str, str | float]) -> None:
    """As `write_bands`: integral of the activity (A^4/amu), depolarisation ratio, cross section (1e-36 m^2/sr), each with its error."""
    lines = ["# densnet Raman bands, format 1", *(f"# {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items())]
    lines.append(
        "lower_cm-1,upper_cm-1,centroid_cm-1,maximum_cm-1,activity_A^4/amu,standard_error_A^4/amu,depolarisation,standard_error,"
        "cross_section_1e-36m^2/sr,standard_error_1e-36m^2/sr"
    )
    for band in bands:
        values = [f"{x:.2f}" for x in (band.lower, band.upper, band.centroid, band.maximum)]
        pairs = (
            (band.integral, band.error),
            (band.depolarisation, band.depolarisation_error),
            (band.cross_section, band.cross_section_error),
        )
        values += [text for value, error in pairs for text in (f"{value:.6g}", "" if error is None else f"{error:.3g}")]
        lines.append(",".join(values))
    write_text(path, "\n".join([*lines, ""]))


FIRST_LINE_OF_TABLE = "# densnet spectra, format 1"
"""How several spectra over one axis begin."""


def write_table(path: Path, columns: Mapping[str, Spectrum]) -> None:
    """Spectra over one axis by name: commented header of the first with the unit of each, then wavenumber (cm^-1) and, for each, intensity
    and, where known, its standard error. `read_table` gives back the same bits."""
    first = next(iter(columns.values()))
    header = {"units": {name: one.unit for name, one in columns.items()}, **first.header}
    lines = [FIRST_LINE_OF_TABLE, *(f"# {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items())]
    known = {name: one.intensity for name, one in columns.items()}
    known |= {f"{name}{_ERROR}": one.error for name, one in columns.items() if one.error is not None}
    names = sorted(known, key=lambda name: list(columns).index(name.removesuffix(_ERROR)))
    lines.append(",".join(["wavenumber_cm-1", *names]))
    lines += [",".join(repr(float(v)) for v in row) for row in zip(first.axis, *(known[name] for name in names))]
    write_text(path, "\n".join([*lines, ""]))


_ERROR = "_standard_error"


def read_table(path: Path) -> dict[str, Spectrum]:
    """What `write_table` wrote. Raises `SpectrumError` for any other file."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    if not comments or comments[0].rstrip() != FIRST_LINE_OF_TABLE:
        raise SpectrumError(f"{path} does not begin with {FIRST_LINE_OF_TABLE!r}; it was not written by this version of densnet.")
    try:
        header = {key: json.loads(value) for key, value in (line[2:].split(": ", 1) for line in comments[1:])}
        units = header.pop("units")
        names = lines[len(comments)].split(",")
        table = np.array([[float(field) for field in line.split(",")] for line in lines[len(comments) + 1 :] if line.strip()])
        column = {name: table[:, k] for k, name in enumerate(names)}
        return {name: Spectrum(column[names[0]], column[name], unit, column.get(f"{name}{_ERROR}"), header) for name, unit in units.items()}
    except (ValueError, KeyError, IndexError) as error:
        raise SpectrumError(f"{path} is damaged ({error}); write the spectrum again.") from error


def write_bands(path: Path, bands: Iterable[Band], header: dict[str, str | float]) -> None:
    """The band table as CSV, with ``header`` in comments: limits, centroid, maximum (cm^-1), integral, standard error (km/mol)."""
    lines = ["# densnet bands, format 1", *(f"# {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items())]
    lines.append("lower_cm-1,upper_cm-1,centroid_cm-1,maximum_cm-1,integral_km/mol,standard_error_km/mol")
    for band in bands:
        places = f"{band.lower:.2f},{band.upper:.2f},{band.centroid:.2f},{band.maximum:.2f}"
        lines.append(f"{places},{band.integral:.6g}," + ("" if band.error is None else f"{band.error:.3g}"))
    write_text(path, "\n".join([*lines, ""]))
