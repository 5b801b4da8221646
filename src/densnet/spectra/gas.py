"""Gases on the molar scale: the law of Beer and Lambert with pressure, path length and temperature as a file tells them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import log

from densnet.spectra.spectrum import ABSOLUTE, Spectrum, SpectrumError

GAS_CONSTANT = 8.314462618  # J / (mol K)
ROOM = 298.15  # K, where the file does not tell
_DATABASE = (296.15, 101325.0)  # K, Pa: 23 C and 1 atm, of the quantitative databases of NIST and PNNL
_PRESSURES = {
    "pa": 1.0, "hpa": 100.0, "kpa": 1000.0, "mbar": 100.0, "bar": 1e5, "atm": 101325.0, "mmhg": 133.322, "mm hg": 133.322,
    "torr": 133.322, "mtorr": 0.133322, "psi": 6894.757,
}  # fmt: skip
_LENGTHS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "centimeters": 1e-2, "meters": 1.0}


def molar(spectrum: Spectrum, name: str = "the spectrum") -> Spectrum:
    """``A = ln(10) a / (c l)``, ``c = p / RT``, in km/mol per cm^-1; the spectrum itself where it cannot be converted.

    Needs absorbance a without its baseline, and the header's ``partial_pressure`` and ``path length``, each with its unit, as JCAMP-DX
    files of gases may have them (a pressure in the ``state``, "gas (30 mmHg, ...)", counts too). The header's ``temperature``, else
    298.15 K. The new header tells what was used.
    """
    header = spectrum.header
    pressure = _quantity(str(header.get("partial_pressure", "")), _PRESSURES) or _in_state(str(header.get("state", "")))
    path = _quantity(str(header.get("path length", "")), _LENGTHS)
    if spectrum.unit != "absorbance" or not pressure or not path:
        return spectrum
    temperature = _temperature(header, name) or ROOM
    column = pressure / (GAS_CONSTANT * temperature) * path  # mol / m^2
    conditions = f"ln(10) absorbance / (c l), {pressure:.0f} Pa, {path:g} m, {temperature:g} K"
    intensity = 0.1 * log(10) / column * spectrum.intensity  # 1 m^2/mol is 0.1 km/mol per cm^-1
    return replace(spectrum, intensity=intensity, unit=ABSOLUTE, header={**header, "molar": conditions})


PRESSURE, PATH = 1000.0, 0.1
"""Pa and m: of the cell that `absorbance` is stated for."""


def absorbance(spectrum: Spectrum, pressure: float = PRESSURE, path: float = PATH, temperature: float = ROOM) -> Spectrum:
    """The decadic absorbance of a gas of that partial ``pressure`` (Pa) and ``temperature`` (K) over ``path`` (m), from km/mol per cm^-1.

    The inverse of `molar`, in a unit that every reader of spectra knows; conditions go into the header. By default
    10 mbar in a cell of 10 cm.
    """
    if spectrum.unit != ABSOLUTE or min(pressure, path, temperature) <= 0:
        raise SpectrumError(f"no absorbance from {spectrum.unit} at {pressure:g} Pa, {path:g} m, {temperature:g} K; all must be known.")
    factor = 10.0 * pressure / (GAS_CONSTANT * temperature) * path / log(10)
    conditions = {"partial_pressure": f"{pressure:g} Pa", "path length": f"{path:g} m", "temperature": f"{temperature:g} K"}
    error = None if spectrum.error is None else factor * spectrum.error
    return Spectrum(spectrum.axis, factor * spectrum.intensity, "absorbance", error, {**spectrum.header, **conditions})


def volume(header: Mapping[str, str | float], name: str) -> tuple[float, str]:
    """``RT/p`` (m^3/mol) of the whole gas, and the conditions in words: of the header, else 296.15 K and 101325 Pa.

    Files of NIST's database that say ``101.3 Pa`` mean kPa.
    """
    pressure = _quantity(str(header.get("pressure", "")), _PRESSURES) or _DATABASE[1]
    if 100.0 < pressure < 103.0:
        pressure *= 1000.0
    temperature = _temperature(header, name) or _DATABASE[0]
    return GAS_CONSTANT * temperature / pressure, f"{temperature:g} K, {pressure:g} Pa"


def _quantity(text: str, units: dict[str, float]) -> float | None:
    """The number before a unit that is known, in SI; None where there is none."""
    found = re.match(r"\s*([0-9.,]+(?:e[+-]?[0-9]+)?)\s*([a-z]+(?: hg)?)", text.lower())
    if not found or found[2] not in units:
        return None
    return float(found[1].replace(",", ".")) * units[found[2]]


def _in_state(text: str) -> float | None:
    found = re.search(r"gas\W+([0-9.]+\s*[a-z]+(?: hg)?)", text.lower())
    return _quantity(found[1], _PRESSURES) if found else None


def _temperature(header: Mapping[str, str | float], name: str) -> float | None:
    """Kelvin; a number without unit is Celsius, as JCAMP-DX has it, unless it is above 150, which asks. None where no number is told."""
    text = str(header.get("temperature", ""))
    found = re.match(r"\s*([+-]?[0-9]+(?:[.,][0-9]*)?)\s*(?:deg\w*|°)?\s*([a-z]*)", text.lower())
    if not found:
        return None
    number, unit = float(found[1].replace(",", ".")), found[2][:1]
    kelvin = {"k": number, "c": number + 273.15, "f": (number - 32) / 1.8 + 273.15}.get(unit, number + 273.15)
    if kelvin <= 0 or unit not in ("", "k", "c", "f") or (not unit and number > 150):
        raise SpectrumError(f"{name}: in which unit is the temperature {text!r}? Write it as `296 K` or `23 C`.")
    return kelvin
