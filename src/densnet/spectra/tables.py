"""Spectra as text tables: our own CSV with a commented header, and whatever CSV a user's instrument wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densnet.files import write_text
from densnet.spectra.jcamp import read_jcamp
from densnet.spectra.spectrum import MICROMETERS, Band, Spectrum, SpectrumError, from_measurement

_FIRST_LINE = "# densnet spectrum, format 1"

_QUANTITIES = r"transm|%t|absorb|reflect|km(/|_per_)mol"
_OTHER_UNITS = r"(?<![a-z])(nm|thz|ghz|hz|mev|ev)(?![a-z])|nanomet|angstrom"
"""What names an ordinate; abscissas that are neither wavenumbers nor micrometers. In lower case."""


def write_csv(path: Path, spectrum: Spectrum) -> None:
    """Commented header (unit and provenance, JSON values), then wavenumber (cm^-1), intensity and, where known, its standard error.

    Numbers are written so that `read_csv` gives back the same bits.
    """
    known = spectrum.error is not None
    columns = [spectrum.axis, spectrum.intensity] + ([spectrum.error] if known else [])
    header = {"unit": spectrum.unit, **spectrum.header}
    lines = [_FIRST_LINE, *(f"# {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items())]
    lines.append("wavenumber_cm-1,intensity" + (",standard_error" if known else ""))
    lines += [",".join(repr(float(v)) for v in row) for row in zip(*columns)]
    write_text(path, "\n".join([*lines, ""]))


def read_csv(path: Path) -> Spectrum:
    """What `write_csv` wrote. Raises `SpectrumError` for any other file; `read_experiment` reads those."""
    comments, titles, rows = _table(Path(path))
    if not comments or comments[0] != _FIRST_LINE:
        raise SpectrumError(f"{path} does not begin with {_FIRST_LINE!r}; it was not written by this version of densnet.")
    try:
        header = {key: json.loads(value) for key, value in (line[2:].split(": ", 1) for line in comments[1:])}
        unit = header.pop("unit")
    except (ValueError, KeyError) as error:
        raise SpectrumError(f"the header of {path} is damaged ({error}); write the spectrum again.") from error
    return Spectrum(rows[:, 0], rows[:, 1], unit, rows[:, 2] if len(titles) > 2 else None, header)


def write_bands(path: Path, bands: Iterable[Band], header: dict[str, str | float]) -> None:
    """The band table as CSV, with ``header`` in comments: limits, centroid, maximum (cm^-1), integral, standard error (km/mol)."""
    lines = ["# densnet bands, format 1", *(f"# {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in header.items())]
    lines.append("lower_cm-1,upper_cm-1,centroid_cm-1,maximum_cm-1,integral_km/mol,standard_error_km/mol")
    for band in bands:
        places = f"{band.lower:.2f},{band.upper:.2f},{band.centroid:.2f},{band.maximum:.2f}"
        lines.append(f"{places},{band.integral:.6g}," + ("" if band.error is None else f"{band.error:.3g}"))
    write_text(path, "\n".join([*lines, ""]))


def read_experiment(path: Path) -> Spectrum:
    """A user's spectrum: JCAMP-DX (.jdx, .dx, .jcamp), our CSV, or a table of two or more columns.

    A table may begin with ``#`` comments and one line of column titles. The first column is the abscissa: cm^-1, or
    micrometers where its title says so. The ordinate is the column whose title names km/mol, else the second one; titles or
    comments that name transmittance (or %T) or absorbance are obeyed; without any hint the ordinate is in arbitrary units.
    """
    path = Path(path)
    if path.suffix.lower() in {".jdx", ".dx", ".jcamp"}:
        return read_jcamp(path)
    comments, titles, rows = _table(path)
    if comments and comments[0] == _FIRST_LINE:
        return read_csv(path)
    absolute = [k for k, title in enumerate(titles) if re.search("km(/|_per_)mol", title.lower())]
    column = absolute[0] if absolute else 1
    title = titles[column] if titles else ""
    ordinate = title if re.search(_QUANTITIES, title.lower()) else " ".join([*comments, title])
    first = titles[0].lower() if titles else ""
    abscissa = "micrometers" if re.search(MICROMETERS, first) else titles[0] if re.search(_OTHER_UNITS, first) else "cm^-1"
    if abscissa == "cm^-1" and rows[:, 0].max() < 100:
        raise SpectrumError(
            f"the abscissa of {path} ends at {rows[:, 0].max():g}, which looks like micrometers; title its first column "
            "`wavelength_micrometers`, or give wavenumbers in cm^-1."
        )
    return from_measurement(rows[:, 0], abscissa, rows[:, column], ordinate, {"file": path.name, **_described(comments)})


def _described(comments: list[str]) -> dict[str, str]:
    text = " ".join(line.lstrip("# ") for line in comments).strip()
    return {"comment": text} if text else {}


def _table(path: Path) -> tuple[list[str], list[str], NDArray]:
    """Comment lines, column titles (maybe none) and numbers [rows, columns] of a text table."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise SpectrumError(f"{path} is not a text file; give a CSV or a JCAMP-DX (.jdx) file.") from error
    comments = [line for line in lines if line.startswith("#")]
    body = [_fields(line) for line in lines if not line.startswith("#")]
    titles = body.pop(0) if body and not _numeric(body[0]) else []
    bad = next((row for row in body if not _numeric(row) or len(row) != len(body[0])), None)
    if bad is not None:
        raise SpectrumError(f"{path}: the line {','.join(bad)!r} is not a row of {len(body[0])} numbers; the file is damaged or truncated.")
    if len(body) < 2 or len(body[0]) < 2 or (titles and len(titles) < len(body[0])):
        raise SpectrumError(f"{path} is not a table of at least two rows and two columns (wavenumber in cm^-1, intensity).")
    return comments, titles, np.array(body, dtype=np.float64)


def _fields(line: str) -> list[str]:
    """The fields between semicolons (decimal commas allowed), else tabs, else commas, else blanks."""
    if ";" in line:
        line = line.replace(",", ".")
    separator = next((mark for mark in ";\t," if mark in line), None)
    return [field.strip() for field in line.split(separator)]


def _numeric(fields: list[str]) -> bool:
    try:
        return bool([float(value) for value in fields])
    except ValueError:
        return False
