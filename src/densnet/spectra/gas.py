"""Beer and Lambert: absorbance of a gas and the molar scale, Napierian, km/mol per cm^-1, turned into each other."""

from __future__ import annotations

import re
from math import log

import numpy as np

from densnet.spectra.spectrum import ABSOLUTE, Spectrum

GAS_CONSTANT = 8.31446  # J / (mol K)
ROOM = 298.15  # K, where the file does not tell
_PRESSURES = {"pa": 1.0, "hpa": 100.0, "kpa": 1000.0, "mbar": 100.0, "bar": 1e5, "atm": 101325.0, "mmhg": 133.322, "torr": 133.322}
_LENGTHS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}


def molar(spectrum: Spectrum, temperature: float = ROOM) -> Spectrum:
    """``A = ln(10) (a - a_0) / (c l)``, ``c = p / RT``, in km/mol per cm^-1; the spectrum itself where it cannot be converted.

    Needs absorbance a and the header's ``partial_pressure`` (with unit) and ``path length`` (with unit), as JCAMP-DX files of gases may
    have them. The baseline a_0 is the absorbance below which a quarter of the points lie; the new header tells it, in absorbance.
    """
    pressure = _quantity(str(spectrum.header.get("partial_pressure", "")), _PRESSURES)
    path = _quantity(str(spectrum.header.get("path length", "")), _LENGTHS)
    if spectrum.unit != "absorbance" or not pressure or not path:
        return spectrum
    column = pressure / (GAS_CONSTANT * temperature) * path  # mol / m^2
    baseline = float(np.quantile(spectrum.intensity, 0.25))
    square_metres = log(10) * (spectrum.intensity - baseline) / column  # per mol
    told = f"ln(10) (absorbance - {baseline:.4f}) / (c l), {pressure:.0f} Pa, {path:g} m, {temperature:g} K"
    return Spectrum(spectrum.axis, 0.1 * square_metres, ABSOLUTE, header={**spectrum.header, "molar": told})


PRESSURE, PATH = 1000.0, 0.1
"""Pa and m: of the cell that `absorbance` is stated for."""


def absorbance(spectrum: Spectrum, pressure: float = PRESSURE, path: float = PATH) -> Spectrum:
    """``a = A c l / ln(10)``, ``c = p / RT``: decadic absorbance of a pure gas at ``pressure`` (Pa) along ``path`` (m), from km/mol per
    cm^-1, at the temperature in the header (298.15 K where none is). The inverse of `molar`, whose labels the new header has."""
    temperature = float(spectrum.header.get("temperature_K", ROOM))
    factor = 10.0 * pressure / (GAS_CONSTANT * temperature) * path / log(10)
    cell = {"partial_pressure": f"{pressure:g} Pa", "path length": f"{100 * path:g} cm", "temperature_K": temperature}
    error = None if spectrum.error is None else factor * spectrum.error
    return Spectrum(spectrum.axis, factor * spectrum.intensity, "absorbance", error, {**spectrum.header, **cell})


def _quantity(text: str, units: dict[str, float]) -> float | None:
    """The number before a unit that is known, in SI; None where there is none."""
    found = re.match(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z]+)", text.lower())
    if not found or found[2] not in units:
        return None
    return float(found[1]) * units[found[2]]
