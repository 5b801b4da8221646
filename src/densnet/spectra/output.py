"""The files of a spectrum from dynamics, by the same names whoever writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densnet.spectra.gas import ROOM, absorbance
from densnet.spectra.jcamp import write_jcamp
from densnet.spectra.spectrum import Band, Spectrum
from densnet.spectra.tables import write_bands, write_csv
from densnet.spectra.width import WIDTH, widened


def write_spectrum(folder: Path, spectrum: Spectrum, bands: Sequence[Band], title: str, width: float = WIDTH) -> Spectrum:
    """``spectrum.csv`` and ``.jdx`` as the window leaves it, ``smoothed.csv`` with lines ``width`` cm^-1 wide, which is returned too,
    ``spectrum-absorbance.jdx`` in the unit of spectrometers, and ``bands.csv``."""
    smooth = widened(spectrum, width)
    write_csv(folder / "spectrum.csv", spectrum)
    write_csv(folder / "smoothed.csv", smooth)
    write_jcamp(folder / "spectrum.jdx", spectrum, f"{title}, infrared from dynamics")
    cell = absorbance(spectrum, temperature=float(spectrum.header.get("temperature_K", ROOM)))
    write_jcamp(folder / "spectrum-absorbance.jdx", cell, f"{title}, infrared from dynamics")
    write_bands(folder / "bands.csv", bands, dict(spectrum.header))
    return smooth
