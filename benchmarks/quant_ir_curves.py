"""Which molecules quant_ir.py has measured curves of, and the windows of their bands."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densnet.errors import DensnetError
from densnet.frames import xyz
from densnet.molecules import Molecules
from densnet.spectra.measured import read_measured
from densnet.spectra.spectrum import ABSOLUTE, Spectrum, SpectrumError
from densnet.spectra.width import WIDTH, widened


@dataclass(frozen=True)
class Windows:
    """How the windows of bands follow from a measured curve, see quant_ir.py: shares of its maximum and integral, cm^-1, share of the
    wavenumber."""

    fraction: float = 0.05
    gap: float = 40.0
    share: float = 0.02
    margin: float = 0.06

    def of(self, curve: Spectrum) -> list[tuple[float, float]]:
        """Limits (cm^-1), ascending. Raises `SpectrumError` if there are none."""
        smooth, found = widened(curve, WIDTH), []
        above = np.flatnonzero(smooth.intensity > self.fraction * smooth.intensity.max())
        pieces = np.split(smooth.axis[above], np.flatnonzero(np.diff(above) > 1) + 1)
        for piece in pieces if above.size else ():
            if found and piece[0] - found[-1][1] < self.gap:
                found[-1] = (found[-1][0], piece[-1])
            else:
                found.append((piece[0], piece[-1]))
        parts = [curve.integral(*region) if region[0] < region[1] else 0.0 for region in found]
        strong = [region for region, part in zip(found, parts) if part >= self.share * sum(parts) > 0]
        inner = [0.5 * (one[1] + other[0]) for one, other in zip(strong, strong[1:])]
        limits = [
            (float(max(low, (1 - self.margin) * region[0])), float(min(high, (1 + self.margin) * region[1])))
            for region, low, high in zip(strong, [curve.axis[0], *inner], [*inner, curve.axis[-1]])
            if region[0] > smooth.axis[0] and region[1] < smooth.axis[-1]
        ]
        if not limits:
            raise SpectrumError("no band stands out of the curve between its ends; check its baseline and range.")
        return limits


@dataclass(frozen=True)
class Case:
    """A molecule by ``name`` with its conformers, the file of its curve, the curve (km/mol per cm^-1), and the windows of its bands."""

    name: str
    conformers: list[Molecules]
    path: Path
    curve: Spectrum
    windows: list[tuple[float, float]]

    @property
    def folder(self) -> str:
        """The name as one word."""
        return re.sub(r"[^\w,()+-]+", "_", self.name)


def molecules(listed: Path) -> dict[str, list[Molecules]]:
    """Name -> conformers, of the molecules in ``listed``.csv that have geometries in ``listed``.xyz."""
    found: dict[str, list[Molecules]] = {}
    for record in xyz.read(listed.with_suffix(".xyz")):
        found.setdefault(record.about["name"], []).append(record.molecule)
    with open(listed.with_suffix(".csv"), encoding="utf-8") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    return {name: found[name] for name in names if name in found}


def plain(name: str) -> str:
    """Names are compared without case, blanks and underscores."""
    return re.sub(r"[\s_]+", "", name).casefold()


def cases(folder: Path, listed: Path, windows: Windows) -> tuple[list[Case], dict[str, str]]:
    """The molecules with a curve in ``folder``, in the order of the list; and of every other file why it is left out."""
    known = molecules(listed)
    spelt, found, left = {plain(name): name for name in known}, {}, {}
    for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
        try:
            curve = read_measured(path)
            name = spelt.get(plain(path.stem)) or spelt.get(plain(str(curve.header.get("title", ""))))
            if name is None:
                left[path.name] = f"no molecule of {listed.name}.csv has the name of this file, nor that of its title"
            elif name in found:
                left[path.name] = f"{found[name].path.name} is of {name}, too"
            elif curve.unit != ABSOLUTE:
                left[path.name] = f"its intensities are {curve.unit}, not {ABSOLUTE}: no unit, or no amount of gas, is in the file"
            else:
                found[name] = Case(name, known[name], path, curve, windows.of(curve))
        except DensnetError as error:
            left[path.name] = str(error).replace(f"{path}", path.name)
    return [found[name] for name in known if name in found], left
