"""Spectra and bands in our own CSV."""

import numpy as np
import pytest

from densnet.spectra.measured import read_measured
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum, SpectrumError, Sticks
from densnet.spectra.tables import read_csv, write_bands, write_csv

AXIS = np.arange(400.0, 4000.5, 0.5)


@pytest.fixture
def spectrum():
    lines = Sticks(np.array([1585.0, 3801.0]), np.array([63.0, 48.0])).broaden(AXIS, Gaussian(8.0))
    wiggle = lines.intensity - 0.01 * np.cos(AXIS)  # negative values too
    return Spectrum(AXIS, wiggle, error=0.1 * np.abs(wiggle), header={"method": "test: 1, 2", "temperature_K": 300.25, "replicas": 20})


def test_csv_gives_back_the_same_bits(tmp_path, spectrum):
    write_csv(tmp_path / "a.csv", spectrum)
    again = read_csv(tmp_path / "a.csv")
    assert (again.axis == spectrum.axis).all() and (again.intensity == spectrum.intensity).all() and (again.error == spectrum.error).all()
    assert again.header == spectrum.header and again.unit == ABSOLUTE
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert read_measured(tmp_path / "a.csv").unit == ABSOLUTE
    write_csv(tmp_path / "b.csv", Spectrum(AXIS, AXIS, "arbitrary units"))
    assert read_csv(tmp_path / "b.csv").error is None


def test_damaged_csv_header(tmp_path, spectrum):
    path = tmp_path / "a.csv"
    write_csv(path, spectrum)
    path.write_text(path.read_text().replace("# unit: ", "# unitless: "))
    with pytest.raises(SpectrumError, match="header"):
        read_csv(path)
    write_csv(path, spectrum)
    path.write_text(path.read_text().rpartition(",")[0])
    with pytest.raises(SpectrumError, match="a.csv"):
        read_csv(path)
    path.write_text("1000,1\n1001,2\n")
    with pytest.raises(SpectrumError, match="does not begin"):
        read_csv(path)


def test_band_table(tmp_path, spectrum):
    write_bands(tmp_path / "bands.csv", spectrum.find_bands(), {"temperature_K": 300.0})
    rows = [line for line in (tmp_path / "bands.csv").read_text().splitlines() if not line.startswith("#")]
    assert rows[0].startswith("lower_cm-1") and len(rows) == 3
    assert float(rows[1].split(",")[2]) == pytest.approx(1585, abs=1)
    assert float(rows[1].split(",")[4]) == pytest.approx(63, rel=0.02)
