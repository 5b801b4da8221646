"""The files of a spectrum from dynamics, by the same names whoever writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densnet.spectra.gas import ROOM, absorbance
from densnet.spectra.jcamp import write_jcamp
from densnet.spectra.raman import Light, Raman, RamanBand
from densnet.spectra.spectrum import Band, Spectrum
from densnet.spectra.tables import write_bands, write_csv, write_raman_bands, write_table
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


def write_raman(
    folder: Path, found: Raman, bands: Sequence[RamanBand], title: str, light: Light, width: float = WIDTH
) -> dict[str, Spectrum]:
    """``raman.csv`` as the window leaves it, ``raman-smoothed.csv`` with lines ``width`` cm^-1 wide, whose columns are returned,
    ``raman.jdx`` of both polarisations together, and ``raman-bands.csv``."""
    columns = columns_of(found, light)
    smooth = {name: widened(one, width) for name, one in columns.items()}
    write_table(folder / "raman.csv", columns)
    write_table(folder / "raman-smoothed.csv", smooth)
    write_jcamp(folder / "raman.jdx", columns["total"], f"{title}, Raman from dynamics, {light}", "RAMAN SPECTRUM")
    write_raman_bands(folder / "raman-bands.csv", bands, dict(columns["total"].header))
    return smooth


def columns_of(found: Raman, light: Light) -> dict[str, Spectrum]:
    """Cross sections of both polarisations and their sum in that ``light``, and the activity, over one axis."""
    total, activity = found.total(light), found.activity.above(float(found.activity.header["resolution_cm-1"]))
    return {"total": total, "parallel": found.parallel(light), "perpendicular": found.perpendicular(light), "activity": activity}
