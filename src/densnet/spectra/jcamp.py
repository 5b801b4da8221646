"""JCAMP-DX 4.24 and 5, the spectroscopists' file (McDonald and Wilks, Appl. Spectrosc. 42, 151 (1988)): written and read here."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densnet.files import write_text
from densnet.spectra.columns import Curve
from densnet.spectra.ordinates import Line, Row, ordinates, values
from densnet.spectra.quantities import abscissa, ordinate
from densnet.spectra.spectrum import Spectrum, SpectrumError

INFRARED = r"\bINFRARED\b|\b(FT-?)?IR\b"
"""The ##DATA TYPE= of infrared spectra, as a pattern."""

RAMAN = r"\bRAMAN\b"
"""That of Raman spectra."""

_LARGEST = 10**9
"""Ordinates are integers up to this, times YFACTOR: nine digits, within the 32 bits that old readers hold."""

_CONDITIONS = {"partial_pressure": "PARTIAL_PRESSURE", "path length": "PATH LENGTH", "temperature": "TEMPERATURE"}
"""Keys of a header that have a label of their own."""


def write_jcamp(path: Path, spectrum: Spectrum, title: str, data_type: str = "INFRARED SPECTRUM") -> None:
    """Write an evenly spaced ``spectrum`` as AFFN ``(X++(Y..Y))``; its header goes into ``##$`` labels.

    The ordinate is rounded to 1e-9 of its largest value. The format has no place for an error band: the CSV keeps it.
    `gas.absorbance` makes of an absolute spectrum the absorbance that any reader of JCAMP-DX knows.
    """
    axis, step = spectrum.axis, (spectrum.axis[-1] - spectrum.axis[0]) / (len(spectrum.axis) - 1)
    if np.abs(np.diff(axis) - step).max() > 1e-6 * step:
        raise SpectrumError("JCAMP-DX (X++(Y..Y)) needs an evenly spaced axis; interpolate the spectrum first.")
    factor = float(np.abs(spectrum.intensity).max()) / _LARGEST or 1.0
    written = np.rint(spectrum.intensity / factor).astype(np.int64)
    header = dict(spectrum.header)
    labels = {
        "TITLE": _line(title),
        "JCAMP-DX": "4.24",
        "DATA TYPE": data_type,
        "ORIGIN": "densnet",
        "OWNER": "not stated",
        "STATE": "gas" if "partial_pressure" in header else "",
        **{label: str(header.pop(key, "")) for key, label in _CONDITIONS.items()},
        "XUNITS": "1/CM",
        "YUNITS": spectrum.unit.upper(),
        "RESOLUTION": spectrum.header.get("resolution_cm-1", ""),
        **{f"$DENSNET {key}".upper(): _line(value) for key, value in header.items()},
        "FIRSTX": repr(float(axis[0])),
        "LASTX": repr(float(axis[-1])),
        "DELTAX": repr(float(step)),
        "MAXX": repr(float(axis[-1])),
        "MINX": repr(float(axis[0])),
        "MAXY": repr(float(spectrum.intensity.max())),
        "MINY": repr(float(spectrum.intensity.min())),
        "FIRSTY": repr(float(written[0] * factor)),
        "XFACTOR": "1",
        "YFACTOR": repr(factor),
        "NPOINTS": str(len(axis)),
    }
    lines = [f"##{key}={value}" for key, value in labels.items() if value != ""] + ["##XYDATA=(X++(Y..Y))"]
    for start in range(0, len(axis), 5):
        lines.append(f"{axis[start]:.9g} " + " ".join(str(y) for y in written[start : start + 5]))
    write_text(path, "\n".join([*lines, "##END=", ""]))


def _line(value: object) -> str:
    return textwrap.shorten(str(value), 60, placeholder="...")


# ------------------------------------------------------------------------------------------------------------------------------ blocks


@dataclass(frozen=True)
class Block:
    """What stands between ``##TITLE=`` and ``##END=``: label without blanks, ``-/_`` and case -> lines of its value, comments cut."""

    labels: dict[str, list[Line]] = field(default_factory=dict)

    def text(self, label: str) -> str:
        """The first line of a value, "" where there is none."""
        lines = self.labels.get(_plain(label), [])
        return lines[0][1].strip() if lines else ""

    @property
    def data(self) -> str:
        """The label of its curve, "" if it holds none."""
        return next((label for label in ("XYDATA", "XYPOINTS") if label in self.labels), "")

    def __str__(self) -> str:
        kind = self.text("DATA TYPE") or ("##PEAK TABLE=" if "PEAKTABLE" in self.labels else "no ##DATA TYPE=")
        return f"{kind.upper()} ({self.text('TITLE') or 'no title'!r})"


def blocks(text: str) -> list[Block]:
    """All blocks of a file in their order, those of a compound file after the one that links them."""
    found: list[Block] = []
    open_blocks: list[Block] = []
    lines: list[Line] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("$$")[0].strip()
        label = re.match(r"##([^=]*)=(.*)", line)
        if not label:
            if line and lines is not None:
                lines.append((number, line))
            continue
        name = _plain(label[1])
        if name == "END":
            open_blocks, lines = open_blocks[:-1], None
            continue
        if name == "TITLE" or not open_blocks:
            if open_blocks and open_blocks[-1].data:  # its ##END= is missing
                open_blocks.pop()
            open_blocks.append(Block())
            found.append(open_blocks[-1])
        lines = [(number, label[2].strip())]
        if name:
            open_blocks[-1].labels.setdefault(name, lines)
    return found


def _plain(label: str) -> str:
    return re.sub(r"[\s\-/_]", "", label).upper()


def read_jcamp(text: str, name: str, data_type: str = INFRARED) -> Curve:
    """The first curve of a ``data_type`` in a JCAMP-DX file of any number of blocks; ``name`` is told in errors.

    Peak tables, interferograms and spectra of other kinds are passed over; where nothing else is there they are refused by name.
    A block without data type is read if its units are those of an infrared spectrum. `SpectrumError` also for ordinates that fail
    their checks (`ordinates`), abscissas that do not count on, another number of points than announced, missing labels.
    """
    every = blocks(text)
    curves = [block for block in every if block.data]
    fitting = [block for block in curves if _is(block, data_type)]
    if not fitting:
        held = ", ".join(str(block) for block in every if block.text("DATA TYPE").upper() != "LINK" or len(every) == 1)
        asked = f"{'infrared' if data_type == INFRARED else 'Raman'} spectrum with ##XYDATA= or ##XYPOINTS="
        raise SpectrumError(f"{name} contains no {asked}, but {held or 'no block that begins with ##TITLE='}; give a file that does.")
    block = fitting[0]
    for label in ("XUNITS", "YUNITS"):
        if not block.text(label):
            raise SpectrumError(f"{name} has no ##{label}=, so its numbers have no unit; add the label.")
    x, y = _curve(block, name)
    known = ("title", "origin", "owner", "state", "resolution", "partial_pressure", "pressure", "path length", "temperature")
    header = {key: block.text(key) for key in known if block.text(key)}
    if re.fullmatch(r"[\d.]+", header.get("path length", "")):
        header["path length"] += " cm"  # the unit that the standard names
    if len(fitting) > 1:
        header["block"] = f"the first of {len(fitting)} spectra in the file: {', '.join(str(b) for b in fitting)}"
    elif len(curves) > 1:
        header["block"] = f"{block}, of the blocks {', '.join(str(b) for b in every if b.data)}"
    return Curve(x, block.text("XUNITS"), y, block.text("YUNITS"), header)


def _is(block: Block, data_type: str) -> bool:
    kind = block.text("DATA TYPE").upper()
    if kind:
        return re.search(data_type, kind) is not None and not re.search("PEAK|ASSIGN|INTERFERO|BACKGROUND|SINGLE", kind)
    units = abscissa(block.text("XUNITS")), ordinate(block.text("YUNITS")).kind
    return data_type == INFRARED and units[0] is not None and units[1] in ("molar", "absorbance", "transmittance")


def _curve(block: Block, name: str) -> tuple[NDArray, NDArray]:
    (first, form), *lines = block.labels[block.data]
    where = f"{name}, line {first}"
    x_factor, y_factor = _number(block, "XFACTOR", name, 1.0), _number(block, "YFACTOR", name, 1.0)
    shape = re.sub(r"[\s.]", "", form).upper()
    if shape == "(XYXY)":
        flat = np.array([value for row in values(lines, name) for value in row])
        if len(flat) % 2:
            raise SpectrumError(f"{where}: {len(flat)} numbers are not pairs of abscissa and ordinate; the file is damaged or truncated.")
        _count(block, len(flat) // 2, name)
        return flat[::2] * x_factor, flat[1::2] * y_factor
    if shape != "(X++(YY))":
        raise SpectrumError(f"{where}: data of the form {form!r} are not supported; save them as (X++(Y..Y)) or (XY..XY).")
    rows, found = ordinates(lines, name)
    _count(block, len(found), name)
    start, points = _number(block, "FIRSTX", name), len(found)
    last = _number(block, "LASTX", name) if block.text("LASTX") else start + (points - 1) * _number(block, "DELTAX", name)
    x = np.linspace(start, last, points)
    _check_abscissas(rows, x, x_factor, name)
    return x, np.array(found) * y_factor


def _count(block: Block, held: int, name: str) -> None:
    announced = int(_number(block, "NPOINTS", name, held))
    if held < 2 or announced != held:
        raise SpectrumError(f"{name} announces {announced} points but contains {held} ordinates; the file is truncated or not a spectrum.")


def _check_abscissas(rows: Sequence[Row], x: NDArray, factor: float, name: str) -> None:
    """Each line begins with the abscissa that counting says, within a step and its own rounding; some writers leave out XFACTOR."""
    step = abs(x[1] - x[0])
    for row in rows:
        given = (row.x * factor, row.x)
        allowed = 1.01 * step + row.rounding * max(factor, 1.0)
        if min(abs(value - x[row.index]) for value in given) > allowed:
            raise SpectrumError(
                f"{name}, line {row.line}: begins at {given[0]:g}, but counting from FIRSTX gives {x[row.index]:g}; ordinates are lost or "
                "FIRSTX, LASTX or XFACTOR is wrong."
            )


def _number(block: Block, label: str, name: str, default: float | None = None) -> float:
    text = block.text(label)
    if not text and default is not None:
        return default
    try:
        return float(re.sub("[dD]", "e", text.replace(",", ".")))
    except ValueError:
        line = f", line {block.labels[label][0][0]}" if label in block.labels else ""
        raise SpectrumError(f"{name}{line}: ##{label}={text} is not a number; give the label a value.") from None
