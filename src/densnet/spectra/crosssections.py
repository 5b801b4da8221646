"""Absorption cross sections as HITRAN writes them (.xsc): one line of fixed columns, then ten numbers a line, ten characters each."""

from __future__ import annotations

import numpy as np

from densnet.spectra.columns import Curve
from densnet.spectra.spectrum import SpectrumError

_FIELDS = {"first": (20, 30), "last": (30, 40), "points": (40, 47), "temperature": (47, 54), "pressure": (54, 60)}


def _header(line: str) -> dict[str, float]:
    try:
        return {key: float(line[begin:end]) for key, (begin, end) in _FIELDS.items()}
    except ValueError:
        return {}


def is_cross_section(text: str) -> bool:
    """Whether the first line is the header of such a file: wavenumbers, number of points, temperature and pressure in their columns."""
    line = text.partition("\n")[0]
    header = _header(line)
    return bool(header) and len(line) > 70 and 0 <= header["first"] < header["last"] and header["points"] > 1


def read_cross_section(text: str, name: str) -> Curve:
    """cm^2/molecule at even steps (cm^-1); temperature (K) and pressure (torr) are in the header. ``name`` is told in errors."""
    line, *rest = text.splitlines()
    header = _header(line)
    tokens = [row[k : k + 10] for row in map(str.rstrip, rest) for k in range(0, len(row), 10)]  # columns may touch
    points = int(header["points"])
    try:
        found = np.array([float(token) for token in tokens])
    except ValueError as error:
        raise SpectrumError(f"{name}: {error}; a file of cross sections contains only numbers below its first line.") from None
    if not points <= len(found) < points + 10:  # the last line may be filled up
        raise SpectrumError(f"{name} announces {points} points but contains {len(found)}; it is truncated or has several cross sections.")
    told = {"title": line[:20].strip(), "temperature": f"{header['temperature']:g} K", "pressure": f"{header['pressure']:g} torr"}
    return Curve(np.linspace(header["first"], header["last"], points), "cm^-1", found[:points], "cm^2/molecule", told)
