"""The data lines of JCAMP-DX: AFFN, PAC, SQZ, DIF and DUP (McDonald and Wilks, Appl. Spectrosc. 42, 151 (1988), section 5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from densnet.spectra.spectrum import SpectrumError

Line = tuple[int, str]
"""Number in the file, counted from 1, and text without comments."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?")
_TOKEN = re.compile(r"[@%A-Za-z]\d*|[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]\d+)?")
_SEPARATORS = " \t,;"
_SQUEEZED = dict(zip("@ABCDEFGHIabcdefghi", map(str, [*range(10), *range(-1, -10, -1)])))
_DIFFERENCES = dict(zip("%JKLMNOPQRjklmnopqr", _SQUEEZED.values()))
_REPEATS = dict(zip("STUVWXYZs", "123456789"))
"""Pseudo-digits: the first digit, and the sign, of an ordinate, of a difference, of a count of repeats."""


@dataclass(frozen=True)
class Row:
    """A data line: its number, its abscissa before XFACTOR, the place of that in the curve, one unit of its last digit."""

    line: int
    x: float
    index: int
    rounding: float


def values(lines: Sequence[Line], name: str) -> list[list[float]]:
    """The numbers of each line, AFFN only, as ``(XY..XY)`` has them. Raises `SpectrumError` with file and line."""
    return [[_float(token) for token in _affn(text, f"{name}, line {number}")] for number, text in lines]


def ordinates(lines: Sequence[Line], name: str) -> tuple[list[Row], list[float]]:
    """The rows and all ordinates of ``(X++(Y..Y))``, before XFACTOR and YFACTOR, in any of the forms.

    A line that ends in differences is followed by one that repeats its last ordinate; a repetition that differs is an error, and so is
    what is not a number (also ``?``, which marks a missing ordinate). An ``E`` without a sign is an exponent in a file of plain numbers
    and the digit 5 in a compressed one.
    """
    plain = not any(_NUMBER.sub("", text).strip(_SEPARATORS) for _, text in lines)
    rows: list[Row] = []
    found: list[float] = []
    differences = False  # whether the line before ended in them
    for number, text in lines:
        place = f"{name}, line {number}"
        tokens = _affn(text, place) if plain else _compressed(text, place)
        here, ended = ([_float(token) for token in tokens[1:]], False) if plain else _unpacked(tokens[1:], place)
        if not here:
            raise SpectrumError(f"{place}: no ordinate follows the abscissa {tokens[0]}; the file is damaged or truncated.")
        if differences and here[0] != found[-1]:
            raise SpectrumError(
                f"{place}: checksum of the ordinates fails ({here[0]:g} is here, {found[-1]:g} at the end of the line before); the file is "
                "damaged; obtain it again."
            )
        rows.append(Row(number, _float(tokens[0]), len(found) - differences, 10.0 ** -len(tokens[0].partition(".")[2])))
        found += here[1:] if differences else here
        differences = ended
    return rows, found


def _affn(text: str, place: str) -> list[str]:
    rest = _NUMBER.sub(" ", text).strip(_SEPARATORS)
    if rest or not any(map(str.isdigit, text)):
        raise SpectrumError(f"{place}: {rest.split()[0] if rest else text!r} is not a number; the file is damaged.")
    return _NUMBER.findall(text)


def _compressed(text: str, place: str) -> list[str]:
    rest = _TOKEN.sub(" ", text).strip(_SEPARATORS)
    tokens = _TOKEN.findall(text)
    if rest or not tokens or tokens[0][0].isalpha() or tokens[0][0] in "@%":
        raise SpectrumError(f"{place}: {rest.split()[0] if rest else text!r} is not a number in JCAMP-DX; the file is damaged.")
    return tokens


def _unpacked(tokens: Sequence[str], place: str) -> tuple[list[float], bool]:
    """The ordinates of a compressed line, and whether it ends in differences."""
    found: list[float] = []
    step: float | None = None  # the last difference, None after an ordinate that is written out
    for token in tokens:
        mark, digits = token[0], token[1:]
        if mark in _SQUEEZED:
            found.append(float(_SQUEEZED[mark] + digits))
            step = None
        elif mark in _DIFFERENCES and found:
            step = float(_DIFFERENCES[mark] + digits)
            found.append(found[-1] + step)
        elif mark in _REPEATS and found:
            for _ in range(int(_REPEATS[mark] + digits) - 1):
                found.append(found[-1] + (step or 0.0))
        elif mark.isalpha() or mark == "%":
            raise SpectrumError(f"{place}: {token!r} has no ordinate before it or is not a JCAMP-DX form; the file is damaged.")
        else:
            found.append(_float(token))
            step = None
    return found, step is not None


def _float(token: str) -> float:
    return float(re.sub("[Dd]", "e", token))
