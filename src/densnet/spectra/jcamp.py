"""JCAMP-DX 4.24, the spectroscopists' file: written here, read by the `jcamp` library."""

from __future__ import annotations

import contextlib
import io
import textwrap
from pathlib import Path

import jcamp
import numpy as np

from densnet.files import write_text
from densnet.spectra.spectrum import Spectrum, SpectrumError, from_measurement

_LARGEST = 10**9
"""Ordinates are integers up to this, times YFACTOR: nine digits, within the 32 bits that old readers hold."""


def write_jcamp(path: Path, spectrum: Spectrum, title: str) -> None:
    """Write an evenly spaced ``spectrum`` as AFFN ``(X++(Y..Y))``; its header goes into ``##$`` labels.

    The ordinate is rounded to 1e-9 of its largest value. The format has no place for an error band: the CSV keeps it.
    """
    axis, step = spectrum.axis, (spectrum.axis[-1] - spectrum.axis[0]) / (len(spectrum.axis) - 1)
    if np.abs(np.diff(axis) - step).max() > 1e-6 * step:
        raise SpectrumError("JCAMP-DX (X++(Y..Y)) needs an evenly spaced axis; interpolate the spectrum first.")
    factor = float(np.abs(spectrum.intensity).max()) / _LARGEST or 1.0
    ordinates = np.rint(spectrum.intensity / factor).astype(np.int64)
    values = {
        "TITLE": _line(title),
        "JCAMP-DX": "4.24",
        "DATA TYPE": "INFRARED SPECTRUM",
        "ORIGIN": "densnet",
        "OWNER": "not stated",
        "XUNITS": "1/CM",
        "YUNITS": spectrum.unit.upper(),
        "RESOLUTION": spectrum.header.get("resolution_cm-1", ""),
        **{f"$DENSNET {key}".upper(): _line(value) for key, value in spectrum.header.items()},
        "FIRSTX": repr(float(axis[0])),
        "LASTX": repr(float(axis[-1])),
        "DELTAX": repr(float(step)),
        "MAXX": repr(float(axis[-1])),
        "MINX": repr(float(axis[0])),
        "MAXY": repr(float(spectrum.intensity.max())),
        "MINY": repr(float(spectrum.intensity.min())),
        "FIRSTY": repr(float(ordinates[0] * factor)),
        "XFACTOR": "1",
        "YFACTOR": repr(factor),
        "NPOINTS": str(len(axis)),
    }
    lines = [f"##{key}={value}" for key, value in values.items() if value != ""] + ["##XYDATA=(X++(Y..Y))"]
    for start in range(0, len(axis), 5):
        lines.append(f"{axis[start]:.9g} " + " ".join(str(y) for y in ordinates[start : start + 5]))
    write_text(path, "\n".join([*lines, "##END=", ""]))


def _line(value: object) -> str:
    return textwrap.shorten(str(value), 60, placeholder="...")


def read_jcamp(path: Path) -> Spectrum:
    """A measured spectrum: ascending wavenumbers (cm^-1, also from micrometers), transmittance as absorbance.

    Of a compound file the first block is read. Raises `SpectrumError` naming the file when it is not a spectrum.
    """
    path = Path(path)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            content = jcamp.readfile(str(path))
    except OSError:
        raise
    except Exception as error:  # the library raises whatever its parser meets, bare Exception included
        raise SpectrumError(f"{path} is not a readable JCAMP-DX file ({type(error).__name__}: {error}).") from error
    block = next(iter(content.get("children", [])), content)
    x, y = np.atleast_1d(block.get("x", [])), np.atleast_1d(block.get("y", []))
    points = block.get("npoints", len(x))
    if len(x) < 2 or len(x) != len(y) or len(y) != points:
        raise SpectrumError(f"{path} announces {points} points but holds {len(y)} ordinates; the file is truncated or no spectrum.")
    for label in ("xunits", "yunits"):
        if label not in block:
            raise SpectrumError(f"{path} has no ##{label.upper()}=, so its numbers mean nothing; add the label.")
    known = ("title", "origin", "owner", "state", "resolution", "partial_pressure", "path length")
    header = {key: str(block[key]).splitlines()[0] for key in known if str(block.get(key, "")).strip()}
    return from_measurement(x, str(block["xunits"]), y, str(block["yunits"]), {"file": path.name, **header})
