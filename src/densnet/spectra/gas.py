"""A measured absorbance of a gas on the molar scale, where the file tells pressure and path length."""

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


def _quantity(text: str, units: dict[str, float]) -> float | None:
    """The number before a unit that is known, in SI; None where there is none."""
    found = re.match(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z]+)", text.lower())
    if not found or found[2] not in units:
        return None
    return float(found[1]) * units[found[2]]
