"""Measured Raman curves: told apart from infrared ones by what the file says, read over their shift, in arbitrary units."""

import numpy as np
import pytest

from densnet.spectra.measured import is_raman, read_measured, read_raman
from densnet.spectra.spectrum import Spectrum, SpectrumError
from densnet.spectra.tables import read_table, write_table

SHIFT = np.arange(200.0, 3400.0, 5.0)
INTENSITY = 5 + 100 * np.exp(-((SHIFT - 880) ** 2) / 200)
ROWS = "".join(f"{x:g},{y:.5f}\n" for x, y in zip(SHIFT, INTENSITY))
JCAMP = "##TITLE=ethanol\n##JCAMP-DX=4.24\n##DATA TYPE={}\n##XUNITS=1/CM\n##YUNITS={}\n##XYDATA=(XY..XY)\n" + ROWS + "##END=\n"


@pytest.mark.parametrize(
    "text",
    [
        JCAMP.format("RAMAN SPECTRUM", "ARBITRARY UNITS"),
        JCAMP.format("RAMAN SPECTRUM", "RAMAN INTENSITY"),
        "Raman shift (cm-1),Intensity\n" + ROWS,
        "# Raman spectrum of ethanol, 532 nm\nwavenumber,counts\n" + ROWS,
        "Raman Shift,Raman intensity\n" + ROWS,
        "wavenumber / cm^-1,Raman intensity\n" + ROWS.replace("\n", "\r\n"),
        "DATA TYPE,RAMAN SPECTRUM\nXUNITS,1/CM\nXYDATA\n" + ROWS,
    ],
)
def test_one_curve_in_many_hands(tmp_path, text):
    (tmp_path / "curve").write_text(text)
    found = read_raman(tmp_path / "curve")
    assert is_raman(tmp_path / "curve") and found.unit == "arbitrary units" and "subtracted" in found.header["baseline"]
    assert found.centroid(800, 960) == pytest.approx(880, abs=0.5) and found.intensity.min() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    "text",
    [
        JCAMP.format("INFRARED SPECTRUM", "ABSORBANCE"),
        "wavenumber,absorbance\n" + ROWS,
        "# infrared and Raman of ethanol\nwavenumber,absorbance\n" + ROWS,
        ROWS,
        "200,1\n# Raman\n",
    ],
)
def test_infrared_curves_stay_what_they_are(tmp_path, text):
    (tmp_path / "curve").write_text(text)
    assert not is_raman(tmp_path / "curve")


def test_the_infrared_reader_refuses_it_and_a_wavelength_is_no_shift(tmp_path):
    (tmp_path / "curve.csv").write_text("Raman shift (cm-1),Intensity\n" + ROWS)
    with pytest.raises(SpectrumError, match="a Raman spectrum"):
        read_measured(tmp_path / "curve.csv")
    (tmp_path / "curve.csv").write_text("Raman\nwavelength (nm),intensity\n" + "".join(f"{532 + x / 10},{x}\n" for x in range(100)))
    with pytest.raises(SpectrumError, match="over its shift, in cm"):
        read_raman(tmp_path / "curve.csv")


def test_the_table_of_another_run(tmp_path):
    total = Spectrum(SHIFT, INTENSITY, "1e-36 m^2/sr per cm^-1", 0.1 * INTENSITY, {"laser_nm": 532.0})
    crossed = Spectrum(SHIFT, 0.3 * INTENSITY, "1e-36 m^2/sr per cm^-1")
    write_table(tmp_path / "raman.csv", {"total": total, "perpendicular": crossed})
    found = read_table(tmp_path / "raman.csv")
    assert np.array_equal(found["total"].intensity, INTENSITY) and np.array_equal(found["total"].error, 0.1 * INTENSITY)
    assert found["perpendicular"].error is None and np.array_equal(found["perpendicular"].intensity, 0.3 * INTENSITY)
    assert is_raman(tmp_path / "raman.csv") and read_raman(tmp_path / "raman.csv").header["laser_nm"] == 532.0
    text = (tmp_path / "raman.csv").read_text()
    (tmp_path / "raman.csv").write_text(text.replace("200.0,", "200.0,x", 1))
    with pytest.raises(SpectrumError, match="is damaged"):
        read_table(tmp_path / "raman.csv")
