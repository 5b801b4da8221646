"""What the words over a column or in a unit label mean: abscissas become wavenumbers, ordinates have a kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from densnet.spectra.spectrum import SpectrumError

LIGHT = 2.99792458e10  # cm/s
AVOGADRO = 6.02214076e23
ELECTRONVOLT = 8065.543937  # cm^-1


@dataclass(frozen=True)
class Abscissa:
    """A unit of the abscissa: its name, what it looks like (lower case), and how it becomes cm^-1."""

    name: str
    pattern: str
    wavenumbers: Callable[[NDArray], NDArray]
    reciprocal: bool = False


_RECIPROCAL_CM = r"(?<![a-z])cm[\s_]*[\^*]*[{(]?[\s_]*(-[\s_]*|_)1|1\s*/\s*cm(?![a-z])|(per|reciprocal|inverse)[\s_]*c(m|ent)|kayser"
ABSCISSAS = (
    Abscissa("cm^-1", _RECIPROCAL_CM, lambda x: x),
    Abscissa("1/m", r"(?<![a-z0-9])1\s*/\s*m(?![a-z])|(?<![a-z])m\s*[\^*]*[{(]?-\s*1", lambda x: x / 100.0),
    Abscissa("micrometers", r"micro(n|m)|(?<![a-z])um(?![a-z])", lambda x: 1e4 / x, reciprocal=True),
    Abscissa("nanometers", r"nanomet|(?<![a-z])nm(?![a-z])", lambda x: 1e7 / x, reciprocal=True),
    Abscissa("Angstrom", r"angstr|(?<![a-z])å(?![a-z])", lambda x: 1e8 / x, reciprocal=True),
    Abscissa("THz", r"(?<![a-z])thz(?![a-z])|terahertz", lambda x: x * 1e12 / LIGHT),
    Abscissa("GHz", r"(?<![a-z])ghz(?![a-z])|gigahertz", lambda x: x * 1e9 / LIGHT),
    Abscissa("Hz", r"(?<![a-z])hz(?![a-z])", lambda x: x / LIGHT),
    Abscissa("meV", r"(?<![a-z])mev(?![a-z])", lambda x: x * 1e-3 * ELECTRONVOLT),
    Abscissa("eV", r"(?<![a-z])ev(?![a-z])", lambda x: x * ELECTRONVOLT),
)
_WAVENUMBERS = r"wave\s*_?numb|wellenzahl|nombre.{0,3}onde|n[uú]mero de onda"
_WAVELENGTHS = r"wave\s*_?len|wellenl|longueur|longitud"
_AXIS_WORDS = rf"{_WAVENUMBERS}|{_WAVELENGTHS}|frequen|energ|raman\W*shift|temperature|(?<![a-z])time(?![a-z])|^\W*x\W*$"

_NO_UNIT = rf"^[\W\d_]*$|{_WAVENUMBERS}|frequen|^\W*(x|wn|nu|freq|column\W*\d*|unnamed.*)\W*$"
"""Titles that name no unit, or none but that of wavenumbers."""

_REFUSED = {
    r"raman": "a Raman spectrum",
    r"reflect|kubelka|log\W*\(?1\s*/\s*r\b|(%|percent)[\s_]*r(?![a-z])|(?<![a-z])r[\s_]*[(\[]?%": "a reflection spectrum",
    r"interferog|(?<![a-z])volts?(?![a-z])": "an interferogram",
    r"emissi|radianc|fluoresc|luminesc": "an emission spectrum",
    r"deriv": "a derivative",
    r"absorptanc|absorption\W*%|%\W*absorption|absorption\W*percent|percent\W*absorption": "the absorbed part of the light",
    r"(absorption|refractive|dispersion|extinction)\W*ind": "an optical constant",
    r"dichroi|(?<![a-z])vcd(?![a-z])": "a dichroism",
}
_SINGLE_BEAM = r"single\W*(beam|channel)|background"
_TRANSMITTANCE = (
    r"transmi|(?<![a-z])trans(?![a-z])|durchl|(?<![a-z])(%|pct|percent)[\s_]*t(?![a-z])|(?<![a-z])t[\s_]*[(\[/]?[\s_]*(%|pct|percent)"
)
_ABSORBANCE = r"absorb|(?<![a-z])abs(?![a-z])|extin[ck]tion|optical\W*density|(?<![a-z])od(?![a-z])"
_COEFFICIENT = r"coef|(?<![a-z])epsilon"
_PERCENT = r"%|percent|pct|prozent"

_MOLAR = r"km[\s_/.·*]*(per)?[\s_]*mol"
_PER_PPM = r"((micro|u)mol\s*/\s*mol|ppmv?)(.{0,8}(?<![a-z])m(?![a-z])|.{0,8}met(er|re))"
_CROSS_SECTION = r"(?<![a-z])cm\W*2\W*(/|per)?[\s_]*molec"
_ABSORPTIVITY = r"(?<![a-z])(l|dm\W*3)[\s/.*·]*\(?mol.{0,6}cm|(?<![a-z])m\W*-1[\s.*·]*cm\W*-1"


@dataclass(frozen=True)
class Ordinate:
    """What an ordinate is: ``kind`` is "molar", "absorbance", "transmittance", "refused" or "unknown".

    factor    what a molar ordinate is multiplied by to be in km/mol per cm^-1; for "absorbance", to be decadic
    per_ppm   of a molar one: the unit is per micromol/mol and metre, so ``factor`` still wants ``RT/p``
    percent   of transmittance: the words say so
    refusal   what it is instead
    """

    kind: str
    factor: float = 1.0
    per_ppm: bool = False
    percent: bool = False
    refusal: str = ""


def plain(words: str) -> str:
    """Lower case; one minus, one micro sign, no superscripts."""
    table = {"⁻": "-", "−": "-", "–": "-", "¹": "1", "²": "2", "³": "3", "µ": "u", "μ": "u", "⋅": "·"}
    return "".join(table.get(letter, letter) for letter in words).lower().replace("$", "").replace("\\mu", "u").replace("[micro]", "u")


def ordinate(words: str) -> Ordinate:
    """The kind of ordinate that a title or unit label names."""
    text = plain(words)
    napierian = re.search(r"base\W*e\b|napier|neper", text) is not None
    if re.search(_MOLAR, text):
        return Ordinate("molar")
    if re.search(_PER_PPM, text):  # mole fraction 1e-6; 1 m^2/mol per cm^-1 is 0.1 km/mol per cm^-1
        return Ordinate("molar", 1e5 * (1.0 if napierian else log(10)), per_ppm=True)
    if re.search(_CROSS_SECTION, text):
        return Ordinate("molar", AVOGADRO * 1e-5)
    if re.search(_ABSORPTIVITY, text):  # 1 L/(mol cm) is 0.1 m^2/mol
        return Ordinate("molar", 0.01 * (1.0 if napierian else log(10)))
    refusal = next((name for pattern, name in _REFUSED.items() if re.search(pattern, text)), "")
    if refusal:
        return Ordinate("refused", refusal=refusal)
    bare = re.sub(r"a\.?\s?u\.?(?![a-z])|arb\w*\.?\s*(units?)?|[^A-Za-z]", " ", words).split()
    if re.search(_TRANSMITTANCE, text) or bare == ["T"]:
        return Ordinate("transmittance", percent=re.search(_PERCENT, text) is not None)
    if re.search(_COEFFICIENT, text):
        return Ordinate("unknown")
    if re.search(_ABSORBANCE, text) or bare == ["A"] or re.search(r"(?<![a-z])absorption", text):
        return Ordinate("absorbance", 1.0 / log(10) if napierian else 1.0)
    if re.search(_SINGLE_BEAM, text):
        return Ordinate("refused", refusal="a single-beam spectrum")
    return Ordinate("unknown")


def abscissa(words: str) -> Abscissa | None:
    """The unit that a title or unit label names, or None."""
    text = plain(words)
    return next((unit for unit in ABSCISSAS if re.search(unit.pattern, text)), None)


def names_abscissa(words: str) -> bool:
    """Whether a title speaks of an abscissa, with or without a unit."""
    text = plain(words)
    if ordinate(words).kind != "unknown" or re.search(_COEFFICIENT, text):
        return False
    return abscissa(words) is not None or re.search(_AXIS_WORDS, text) is not None


def wavenumbers(x: NDArray, words: str, place: str) -> tuple[NDArray, str]:
    """The abscissa in cm^-1, and what was done to it ("" if nothing).

    Without a unit in ``words`` it is taken for cm^-1 where it looks like that of an infrared spectrum and like nothing else:
    it ends between 600 and 12000, and begins below 2000 or ends below 7000. Otherwise `SpectrumError` asks.
    """
    unit, text = abscissa(words), plain(words)
    low, high = float(x.min()), float(x.max())
    span = f"runs from {low:g} to {high:g}"
    if unit is None and "raman" in text:
        raise SpectrumError(f"{place}: the abscissa is {words.strip()!r}, so this is a Raman spectrum; give an infrared one.")
    if unit is None and re.search(_WAVELENGTHS, text) and (high < 200 or low > 200):
        unit = next(u for u in ABSCISSAS if u.name == ("micrometers" if high < 200 else "nanometers"))
    elif unit is None and re.search(_NO_UNIT, text) and 600 <= high <= 12000 and (low < 2000 or high <= 7000):
        unit = ABSCISSAS[0]
    if unit is None:
        raise SpectrumError(
            f"{place}: in which unit is the abscissa{f' {words.strip()!r}' if words.strip() else ''}, which {span}? "
            "Name it: cm^-1, micrometers, nm, 1/m, THz or eV, as the title of its column (##XUNITS= in JCAMP-DX)."
        )
    if unit.name == "cm^-1" and high < 100:
        raise SpectrumError(f"{place}: the abscissa {span}, which looks like micrometers; title it `wavelength_micrometers` if so.")
    if unit.reciprocal and low <= 0:
        raise SpectrumError(f"{place}: a wavelength in {unit.name} is {low:g}, not positive; check the abscissa.")
    return unit.wavenumbers(np.asarray(x, dtype=np.float64)), "" if unit.name == "cm^-1" else f"converted from {unit.name}"
