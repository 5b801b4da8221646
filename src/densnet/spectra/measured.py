"""The one door for measured curves: whatever file an instrument, a database or a spreadsheet wrote -> `Spectrum`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densnet.spectra.columns import Curve, read_columns
from densnet.spectra.crosssections import is_cross_section, read_cross_section
from densnet.spectra.gas import molar, volume
from densnet.spectra.jcamp import INFRARED, RAMAN, read_jcamp
from densnet.spectra.quantities import Ordinate, abscissa, ordinate, wavenumbers
from densnet.spectra.spectrum import ABSOLUTE, Spectrum, SpectrumError
from densnet.spectra.tables import FIRST_LINE, FIRST_LINE_OF_TABLE, read_csv, read_table

_BINARIES = {
    b"PK\x03\x04": "an Excel workbook or another zip archive; save its sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save its sheet as CSV",
    b"\x0a\x0a\xfe\xfe": "a binary OPUS file; export it as JCAMP-DX or as a data point table",
    b"%PDF": "a PDF document; a curve is needed, as JCAMP-DX or CSV",
    b"\x89PNG": "a picture; a curve is needed, as JCAMP-DX or CSV",
    b"\x1f\x8b": "compressed; unpack it",
}
_JCAMP = re.compile(r"\A(\s*(\$\$.*)?\n)*\s*##\s*[A-Za-z$.]*[^=\n]*=")
_DEEPEST = 1e-4
"""Transmittances below this are noise: 4 in absorbance."""
_FEWEST = 50
"""Fewer points over uneven steps are peaks."""


def read_measured(path: Path, data_type: str = INFRARED) -> Spectrum:
    """A measured spectrum in ascending cm^-1; in km/mol per cm^-1 where the file tells enough, else absorbance or arbitrary units.

    What a file is its content says, not its suffix: our own CSV, JCAMP-DX (of several blocks the first of ``data_type``, a pattern of its
    ##DATA TYPE=), HITRAN's cross sections, or columns of text. Transmittance becomes ``-log10 T``; every absorbance, and every curve
    in unknown units, loses the same baseline, the value below which a quarter of its points lie; a gas whose partial pressure and
    path length are told goes to the molar scale (`gas.molar`). The header tells each of these steps.

    Raises `SpectrumError` naming the file, and the line where there is one, for what is damaged, of another kind, or open to more than
    one reading; `OSError` for a file that is not there.
    """
    path = Path(path)
    text, name = _text(path.read_bytes(), str(path)), str(path)
    if text.startswith(f"{FIRST_LINE}\n# "):  # a spreadsheet that saved it again has put marks around its lines
        return read_csv(path)
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.I):
        raise SpectrumError(f"{name} is a web page or XML, not a spectrum; save the file that the page links to.")
    if _JCAMP.search(text):
        curve = read_jcamp(text, name, data_type)
    elif is_cross_section(text):
        curve = read_cross_section(text, name)
    else:
        curve = read_columns(text, name)
    return _spectrum(curve, {"file": path.name, **curve.header}, name)


def is_raman(path: Path) -> bool:
    """Whether a file says that it holds a Raman spectrum: JCAMP-DX by its ##DATA TYPE=, a table by a word before its numbers, or ours."""
    text = _text(Path(path).read_bytes(), str(path))
    if _JCAMP.search(text):
        kinds = re.findall(r"##\s*DATA\s*TYPE\s*=(.*)", text, re.I)
        return any(re.search(RAMAN, kind, re.I) for kind in kinds) and not any(re.search(INFRARED, kind, re.I) for kind in kinds)
    before = re.split(r"^[\s+-]*\d[\d.,]*\s*[,;\s]\s*[+-]?\d", text, maxsplit=1, flags=re.M)[0]
    said = re.search("raman", before, re.I) and not re.search("infrared|absorb|transmi", before, re.I)
    return text.startswith(FIRST_LINE_OF_TABLE) or bool(said)


def read_raman(path: Path) -> Spectrum:
    """A measured Raman spectrum, intensity in arbitrary units over the shift in ascending cm^-1; of our own files the cross section.

    JCAMP-DX (of several blocks the first of a RAMAN SPECTRUM) or columns of text. It loses a baseline, the value below which a quarter of
    its points lie, and is not corrected for what the spectrometer does to it. Raises as `read_measured`; a wavelength is no shift.
    """
    path = Path(path)
    text, name = _text(path.read_bytes(), str(path)), str(path)
    if text.startswith(FIRST_LINE_OF_TABLE):
        return read_table(path)["total"]
    if _JCAMP.search(text):
        curve = read_jcamp(text, name, RAMAN)
    else:
        curve = read_columns(re.sub(_KIND, "", text, flags=re.I), name)
    unit = abscissa(curve.abscissa)
    if unit is not None and unit.reciprocal:
        raise SpectrumError(f"{name}: the abscissa is in {unit.name}; a Raman spectrum is read over its shift, in cm^-1.")
    shift = replace(curve, abscissa=re.sub(_KIND, "", curve.abscissa, flags=re.I), ordinate="intensity")
    return _spectrum(shift, {"file": path.name, **curve.header}, name)


_KIND = r"raman(\s*(spectrum|shift))?|\b\d{3,4}(\.\d+)?\s*nm\b"
"""What is taken out of words, because it names the kind of spectrum, or the laser, and neither unit nor quantity of an axis."""


def told(spectrum: Spectrum) -> str:
    """One line on how a measured curve was read: its unit, and each step that its header tells."""
    steps = [f"{key} {spectrum.header[key]}" for key in ("block", "abscissa", "ordinate", "baseline", "molar") if key in spectrum.header]
    return "; ".join([f"read in {spectrum.unit}", *steps])


def _text(raw: bytes, name: str) -> str:
    """The text in whatever encoding: a byte order mark decides, then zeros between letters (UTF-16), then UTF-8, else Latin-1."""
    binary = next((what for magic, what in _BINARIES.items() if raw.startswith(magic)), None)
    if binary:
        raise SpectrumError(f"{name} is {binary}.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif raw[1:4000:2].count(0) > 0.8 * len(raw[1:4000:2]):
        encoding = "utf-16-le"
    elif raw[:4000:2].count(0) > 0.8 * len(raw[:4000:2]):
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    if not raw.strip(b" \t\r\n"):
        raise SpectrumError(f"{name} is empty; it is neither a table of numbers nor JCAMP-DX.")
    for candidate in (encoding, "latin-1"):
        try:
            text = raw.decode(candidate)
            break
        except UnicodeDecodeError:
            continue
    if "\0" in text or len(re.findall(r"[\x01-\x08\x0e-\x19]", text[:4000])) > 20 or (text and not re.search(r"[ -~]", text)):
        raise SpectrumError(f"{name} is a binary file; export the spectrum as JCAMP-DX or CSV.")
    return text


def _spectrum(curve: Curve, header: dict[str, str], name: str) -> Spectrum:
    kind = ordinate(curve.ordinate)
    if kind.kind == "refused":
        raise SpectrumError(f"{name}: {curve.ordinate.strip()!r} is {kind.refusal}; give the absorbance or transmittance of the molecule.")
    x, done = wavenumbers(curve.x, curve.abscissa, name)
    if done:
        header["abscissa"] = done
    if not (np.isfinite(x).all() and np.isfinite(curve.y).all()):
        raise SpectrumError(f"{name} contains a number that is not finite; correct or remove its line.")
    steps = np.diff(x)
    if not ((steps >= 0).all() or (steps <= 0).all()):
        turn = int(np.flatnonzero(steps * np.sign(steps[np.flatnonzero(steps)[0]]) < 0)[0]) + 1
        raise SpectrumError(
            f"{name}: the abscissa reverses after {x[turn]:g} cm^-1, point {turn + 1}; does the file contain several spectra? "
            "Use one file for each."
        )
    y, unit = _intensity(curve.y, kind, curve.ordinate, header, name)
    _no_lines(curve, kind, name)
    x, first = np.unique(x, return_index=True)
    if len(x) < 2:
        raise SpectrumError(f"{name}: all points of the abscissa are {x[0]:g} cm^-1; check the limits that the file states.")
    if unit != ABSOLUTE:
        baseline = float(np.quantile(y, 0.25))
        header["baseline"] = f"{baseline:.4g} subtracted, a quarter of the points lie below it"
        y = y - baseline
    return molar(Spectrum(x, y[first], unit, header=header), name)


def _no_lines(curve: Curve, kind: Ordinate, name: str) -> None:
    """Refuse lists of peaks: few points, or intensities in km/mol (not per cm^-1), over uneven steps."""
    steps = np.abs(np.diff(curve.x))
    stick = kind.kind == "molar" and "km" in curve.ordinate.lower() and "cm" not in curve.ordinate.lower()
    if steps.max() > 3 * steps.min() and (stick or len(curve.x) < _FEWEST):
        raise SpectrumError(f"{name}: its {len(curve.x)} points at uneven steps are a list of peaks, not a curve; give the full curve.")


def _intensity(y: NDArray, kind: Ordinate, words: str, header: dict[str, str], name: str) -> tuple[NDArray, str]:
    """The ordinate in one of the units of a `Spectrum`; what was done goes into ``header``."""
    if kind.kind == "molar":
        factor = kind.factor
        if kind.per_ppm:
            metres, conditions = volume(header, name)
            factor *= metres
            header["molar"] = f"{words.strip()} times {factor:.1f}, {conditions}"
        elif factor != 1.0:
            header["molar"] = f"{words.strip()} times {factor:.6g}"
        return factor * y, ABSOLUTE
    if kind.kind == "transmittance":
        percent = _percent(y, words, name, said=kind.percent)
        header["ordinate"] = f"-log10 of {'percent ' if percent else ''}transmittance, at least 1e-4"
        return -np.log10(np.maximum(y / (100.0 if percent else 1.0), _DEEPEST)), "absorbance"
    if kind.kind == "absorbance":
        if np.median(y) > 10:
            raise SpectrumError(
                f"{name}: titled {words.strip()!r}, but half the values exceed {np.median(y):.3g}, too large for an absorbance; is it %T?"
            )
        return kind.factor * y, "absorbance"
    bottom, middle, top = np.quantile(y, [0.001, 0.5, 0.999])
    if top - middle < 0.67 * (middle - bottom):
        raise SpectrumError(
            f"{name}: is the ordinate{f' {words.strip()!r}' if words.strip() else ''} transmittance? Most of its points lie near the top, "
            "but nothing in the file says so; title the column `%T`, `transmittance` or `absorbance`."
        )
    return y, "arbitrary units"


def _percent(y: NDArray, words: str, name: str, *, said: bool) -> bool:
    """Whether transmittances are percent: the words, or nine tenths of the points being a long way above or below 1."""
    high = float(np.quantile(y, 0.9))
    if said and high > 1.5:
        return True
    if not said and high <= 1.5:
        return False
    if not said and high > 5.0:
        return True
    raise SpectrumError(
        f"{name}: is {words.strip()!r} percent or a fraction? Nine tenths of its values are below {high:.3g}; title it `%T` for percent, "
        "`transmittance` with values up to 1 for a fraction."
    )
