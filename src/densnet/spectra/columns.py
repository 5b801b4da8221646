"""Spectra in columns of text, as instruments, spreadsheets and scripts write them: titles decide before positions."""

from __future__ import annotations

import contextlib
import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from densnet.spectra.quantities import abscissa, names_abscissa, ordinate
from densnet.spectra.spectrum import SpectrumError

_KEYS = {
    "title": "title",
    "datatype": "data type",
    "origin": "origin",
    "state": "state",
    "resolution": "resolution",
    "temperature": "temperature",
    "pressure": "pressure",
    "partialpressure": "partial_pressure",
    "pathlength": "path length",
    "xunits": "xunits",
    "yunits": "yunits",
    "npoints": "npoints",
    "unit": "yunits",
}
"""What a line before the numbers may tell: its key without blanks, marks and case -> the name in the header."""

_UNITS = ("", "k", "c", "pa", "hpa", "kpa", "mbar", "bar", "atm", "torr", "mmhg", "mm", "cm", "m")
"""What may stand at the end of a key: ``temperature_K``."""

_AUXILIARY = (
    r"std|(standard)?.?err(or)?\b|uncert|deviation|background|base.?line|single.?beam|blank|time|^\W*(index|id|no\.?|n|row|point|#)s?\W*$"
)
_MARKS = '",; \t'
_RANKS = {"molar": 0, "absorbance": 1, "transmittance": 2, "unknown": 3, "refused": 4}
_SAMPLE = 200  # lines


@dataclass(frozen=True)
class Curve:
    """Numbers of a file with the words for them: ``x``, ``y`` [points], titles or unit labels, and what else the file tells."""

    x: NDArray
    abscissa: str
    y: NDArray
    ordinate: str
    header: dict[str, str]


@dataclass(frozen=True)
class _Line:
    """A line of text: its number, its fields, and these as numbers where all of them are."""

    number: int
    text: str
    fields: list[str]
    values: list[float] | None


def read_columns(text: str, name: str) -> Curve:
    """The spectrum of a table, of which ``name`` is told in errors.

    Fields stand between semicolons, tabs, commas or blanks; with all but commas a decimal comma is read too. What comes before and
    after the numbers is text: titles (of one or more lines), comments, keys with values (``XUNITS``, ``partial pressure: 30 mmHg``).
    The abscissa and the ordinate are the columns whose titles say so: of ordinates km/mol, then absorbance, then transmittance.
    Raises `SpectrumError` for a row that does not fit, and where the words leave a choice.
    """
    lines = _parsed(text, name)
    width, rows = _block(lines, name)
    before = [line for line in lines if line.number < rows[0].number]
    told = _told(before)
    if re.search(r"raman|nmr|mass|\buv", told.get("data type", ""), re.I):
        raise SpectrumError(f"{name} contains data of the type {told['data type']!r}; an infrared spectrum is needed.")
    points = re.match(r"\d+", told.pop("npoints", ""))
    if points and int(points[0]) != len(rows):
        raise SpectrumError(f"{name} announces {points[0]} points but contains {len(rows)}; the file is truncated.")
    table = np.array([row.values for row in rows])
    titles = _titles(before, width)
    if titles and len(titles[0]) == width - 1:  # names of rows have no title
        table = table[:, 1:]
    elif width > 2 and not (titles and titles[0][0].strip(' "#')) and _counts(table[:, 0]):
        table, titles = table[:, 1:], [row[1:] for row in titles]
    columns = [_words([row[k] for row in titles], told) for k in range(table.shape[1])]
    said = [line.text for line in before]
    k, x_words = _abscissa(columns, told, said, table, name)
    j, y_words = _ordinate(columns, k, told, said, name)
    comment = re.sub(r"\s+", " ", " ".join(line.text.strip('#; \t"') for line in before)).strip()
    kept = {key: value for key, value in told.items() if key not in ("xunits", "yunits")}
    return Curve(table[:, k], x_words, table[:, j], y_words, {**kept, **({"comment": comment[:300]} if comment else {})})


# ------------------------------------------------------------------------------------------------------------------- lines and numbers


def _parsed(text: str, name: str) -> list[_Line]:
    """All lines that are not blank, split at the mark that gives most of them numbers."""
    lines = [(number, line.strip(" ")) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    middle = max(0, len(lines) // 2 - _SAMPLE // 2)
    sample = [line for _, line in lines[middle : middle + _SAMPLE]]
    scores = {mark: sum(len(_values(_fields(line, mark), mark) or []) > 1 for line in sample) for mark in (";", "\t", ",", None)}
    mark = max(scores, key=lambda mark: scores[mark])
    if not scores[mark]:
        raise SpectrumError(
            f"{name} is not a table of at least two rows and two columns (wavenumber in cm^-1, intensity), nor JCAMP-DX, which "
            "begins with ##TITLE=; export the spectrum as one of these."
        )
    found = []
    for number, line in lines:
        fields = _fields(line, mark)
        found.append(_Line(number, line, fields, _values(fields, mark)))
    return found


def _fields(line: str, mark: str | None) -> list[str]:
    if mark is None or '"' not in line:
        return [field.strip(' "') for field in line.split(mark)]
    return [field.strip(' "') for field in next(csv.reader([line], delimiter=mark, skipinitialspace=True))]


def _values(fields: list[str], mark: str | None) -> list[float] | None:
    """The numbers of a row, without the empty fields that spreadsheets leave at its end; None if it has any other field."""
    while len(fields) > 1 and not fields[-1]:
        fields = fields[:-1]
    try:
        return [_number(field, mark) for field in fields]
    except ValueError:
        return None


def _number(field: str, mark: str | None) -> float:
    if "_" in field:
        raise ValueError(field)
    with contextlib.suppress(ValueError):
        return float(field)
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+\.\d*", field):
        field = field.replace(",", "")
    if mark != ",":
        field = field.replace(",", ".")
    return float(re.sub(r"(?<=[\d.])[dD](?=[+-]?\d)", "e", field))


def _block(lines: list[_Line], name: str) -> tuple[int, list[_Line]]:
    """The number of columns and the rows of numbers; lines that stand between these and fit not are errors."""
    width = Counter(len(line.values) for line in lines if line.values and len(line.values) > 1).most_common(1)[0][0]
    fits = [line.values is not None and len(line.values) == width for line in lines]
    start = next((i for i in range(len(lines) - 1) if fits[i] and lines[i + 1].values is not None), None)
    if start is None:
        raise SpectrumError(f"{name} is not a table of at least two rows and two columns (wavenumber in cm^-1, intensity).")
    stop = len(lines) - fits[::-1].index(True)
    while stop < len(lines) and _begins_with_number(lines[stop]):
        stop += 1
    for line in lines[start:stop]:
        if line.values is None or len(line.values) != width:
            raise SpectrumError(
                f"{name}, line {line.number}: {line.text!r} is not a row of {width} numbers; the file is damaged or truncated; correct or "
                "remove the line."
            )
        if not all(map(math.isfinite, line.values)):
            raise SpectrumError(f"{name}, line {line.number}: {line.text!r} has a number that is not finite; correct or remove the line.")
    return width, lines[start:stop]


def _begins_with_number(line: _Line) -> bool:
    return re.match(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?$", line.fields[0]) is not None


def _counts(column: NDArray) -> bool:
    """Whether a column numbers its rows, from 0 or from 1."""
    return bool(column[0] in (0.0, 1.0) and (np.diff(column) == 1.0).all())


# ------------------------------------------------------------------------------------------------------------------- titles and words


def _told(before: Sequence[_Line]) -> dict[str, str]:
    """What lines before the numbers tell as ``key: value``, ``key = value`` or key and value in two fields."""
    told = {}
    for line in before:
        text = line.text.strip('#;!%" \t')
        for value in (r"[:=]\s*(.+)", r"[\t,;]\s*([^\t;]+)"):
            found = re.fullmatch(rf"([\w /.]+?)\s*(?:[\[(]([^\])]*)[\])])?\s*{value}", text.strip(",;\t "))
            key = re.sub(r"[^a-z]", "", found[1].lower()) if found else ""
            known = next((k for k in _KEYS if key.startswith(k) and key.removeprefix(k) in _UNITS), None)
            if known:
                unit = found[2] or key.removeprefix(known)
                told[_KEYS[known]] = f"{found[3].strip(_MARKS)} {unit}".strip()
                break
    return told


def _titles(before: Sequence[_Line], width: int) -> list[list[str]]:
    """Up to three lines of titles right above the numbers, the nearest first, all as wide as that."""
    titles: list[list[str]] = []
    for line in reversed(before[-4:]):
        fields = _stripped(line.fields)
        missing = width - len(fields)
        if missing < 0 or missing > 1 or (missing == 1 and width == 2) or (titles and len(fields) != len(titles[0])):
            break
        titles.append(fields)
    return titles[:3]


def _stripped(fields: list[str]) -> list[str]:
    fields = [field.lstrip("#%! ") if k == 0 and len(field) > 1 and field[0] in "#!" else field for k, field in enumerate(fields)]
    if fields and fields[0] == "#":  # a comment mark apart, as numpy writes it
        fields = fields[1:]
    while fields and not fields[-1]:
        fields = fields[:-1]
    return fields


def _words(titles: Sequence[str], told: dict[str, str]) -> str:
    """The titles of one column from the nearest upwards, as far as they are needed to know what it is."""
    words = ""
    for title in titles:
        words = f"{title} {words}".strip()
        if ordinate(words).kind != "unknown" or abscissa(words) is not None:
            return words
    return words if len(titles) < 2 else titles[0] or words


def _abscissa(columns: Sequence[str], told: dict[str, str], said: Sequence[str], table: NDArray, name: str) -> tuple[int, str]:
    """The column of the abscissa and the words for it."""
    named = [k for k, words in enumerate(columns) if names_abscissa(words)]
    units = {k: unit.name for k in named if (unit := abscissa(columns[k])) is not None}
    k = min(named, key=lambda k: (units.get(k) != "cm^-1", k not in units, k), default=None)
    if k is None:
        k = next((k for k, words in enumerate(columns) if ordinate(words).kind == "unknown" and not _auxiliary(words)), 0)
    if k in units:
        return k, columns[k]
    if "xunits" in told:
        return k, told["xunits"]
    hint = next((line for line in said if abscissa(line) is not None and ordinate(line).kind != "molar"), None)
    if hint is not None and not columns[k]:
        return k, hint
    if len(table) > 2 and _counts(table[:, k]):
        raise SpectrumError(f"{name}: column {k + 1} only counts the points; where is the abscissa? Title its column `cm-1`.")
    return k, columns[k]


def _auxiliary(words: str) -> bool:
    return re.search(_AUXILIARY, words.lower()) is not None


def _ordinate(columns: Sequence[str], x: int, told: dict[str, str], said: Sequence[str], name: str) -> tuple[int, str]:
    """The column of the ordinate and the words for it; where no title knows it, what else the file says."""
    others = [k for k in range(len(columns)) if k != x and not names_abscissa(columns[k])]
    wanted = [k for k in others if not _auxiliary(columns[k])] or others
    if not wanted:
        raise SpectrumError(f"{name}: no column is an ordinate; its titles are {', '.join(map(repr, columns))}.")
    ranks = {k: _RANKS[ordinate(columns[k]).kind] for k in wanted}
    best = [k for k in wanted if ranks[k] == min(ranks.values())]
    if len(best) > 1:
        names = ", ".join(repr(columns[k] or f"column {k + 1}") for k in best)
        raise SpectrumError(
            f"{name}: which of {names} is the spectrum? Keep two columns, or title one `absorbance`, `%T` or `km/mol per cm^-1`. "
            "Decimal commas need another separator between columns: a semicolon, a tab or blanks."
        )
    k = best[0]
    if ordinate(columns[k]).kind != "unknown":
        return k, columns[k]
    if "yunits" in told:
        return k, told["yunits"]
    hints = {kind: line for line in said if (kind := ordinate(line).kind) in ("molar", "absorbance", "transmittance")}
    return k, next(iter(hints.values())) if len(hints) == 1 else columns[k]
