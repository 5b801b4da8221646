"""Spectra in files: CSV, JCAMP-DX, and what users bring."""

import numpy as np
import pytest

from densnet.spectra.jcamp import read_jcamp, write_jcamp
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum, SpectrumError, Sticks
from densnet.spectra.tables import read_csv, read_experiment, write_bands, write_csv

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
    assert read_experiment(tmp_path / "a.csv").unit == ABSOLUTE
    write_csv(tmp_path / "b.csv", Spectrum(AXIS, AXIS, "arbitrary units"))
    assert read_csv(tmp_path / "b.csv").error is None


def test_jcamp_round_trip_through_the_jcamp_library(tmp_path, spectrum, capsys):
    write_jcamp(tmp_path / "a.jdx", spectrum, "water, IR")
    again = read_jcamp(tmp_path / "a.jdx")
    assert again.axis == pytest.approx(spectrum.axis, abs=1e-9)
    assert again.intensity == pytest.approx(spectrum.intensity, abs=1e-9 * spectrum.intensity.max())
    assert again.unit == ABSOLUTE and again.header["title"] == "water, IR"
    text = (tmp_path / "a.jdx").read_text()
    labels = [line.split("=")[0] for line in text.splitlines() if line.startswith("##")]
    assert labels[:3] == ["##TITLE", "##JCAMP-DX", "##DATA TYPE"] and labels[-2:] == ["##XYDATA", "##END"]
    assert max(map(len, text.splitlines())) <= 80
    assert capsys.readouterr().out == ""


def test_jcamp_of_a_zero_and_of_an_uneven_spectrum(tmp_path):
    write_jcamp(tmp_path / "z.jdx", Spectrum(AXIS, np.zeros_like(AXIS)), "nothing")
    assert (read_jcamp(tmp_path / "z.jdx").intensity == 0).all()
    with pytest.raises(SpectrumError, match="evenly spaced"):
        write_jcamp(tmp_path / "u.jdx", Spectrum(AXIS**1.1, AXIS), "uneven")


JCAMP = """##TITLE=X
##JCAMP-DX=4.24
##DATA TYPE=INFRARED SPECTRUM
##XUNITS={x}
##YUNITS={y}
##FIRSTX={first}
##LASTX={last}
##XFACTOR=1
##YFACTOR=0.001
##NPOINTS=4
##XYDATA=(X++(Y..Y))
{first} 1000 100 10 500
##END=
"""


def test_jcamp_of_an_instrument(tmp_path):
    path = tmp_path / "a.jdx"
    path.write_text(JCAMP.format(x="1/CM", y="TRANSMITTANCE", first=3998, last=3992))
    found = read_experiment(path)
    assert found.axis.tolist() == [3992.0, 3994.0, 3996.0, 3998.0] and found.unit == "absorbance"
    assert found.intensity == pytest.approx([-np.log10(0.5), 2.0, 1.0, 0.0])
    path.write_text(JCAMP.format(x="MICROMETERS", y="ABSORBANCE", first=2.5, last=10.0))
    found = read_experiment(path)
    assert found.axis == pytest.approx([1000.0, 1e4 / 7.5, 2000.0, 4000.0])
    assert found.intensity == pytest.approx([0.5, 0.01, 0.1, 1.0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no spectrum at all",
        JCAMP.replace("{first} 1000 100 10 500\n##END=\n", "").format(x="1/CM", y="ABSORBANCE", first=1, last=4),
        JCAMP.replace("##YUNITS={y}\n", "").format(x="1/CM", first=1000, last=1003),
        JCAMP.replace(" 500", "").format(x="1/CM", y="ABSORBANCE", first=1000, last=1003),
        JCAMP.replace("10 500", "? 500").format(x="1/CM", y="ABSORBANCE", first=1000, last=1003),
    ],
)
def test_damaged_jcamp_is_refused_by_name(tmp_path, text, capsys):
    path = tmp_path / "bad.jdx"
    path.write_text(text)
    with pytest.raises(SpectrumError, match="bad.jdx"):
        read_jcamp(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "text, unit, values",
    [
        ("# gas\n1000,0.5\n1001,1.5\n1002,1\n", "arbitrary units", [0.5, 1.5, 1.0]),
        ("wavenumber (cm-1), Transmittance\n1002,0.1\n1001,1\n1000,0.01\n", "absorbance", [2.0, 0.0, 1.0]),
        ("# %T\n1000\t10\n1001\t100\n1002\t1\n", "absorbance", [1.0, 0.0, 2.0]),
        ("# %T\nx,y\n1000,10\n1001,100\n1002,1\n", "absorbance", [1.0, 0.0, 2.0]),
        ("Column1,Spectrum\n1000,1\n1001,2\n1002,3\n", "arbitrary units", [1.0, 2.0, 3.0]),
        ("wavelength_um,a\n10,3\n9.99000999000999,2\n9.980039920159681,1\n", "arbitrary units", [3.0, 2.0, 1.0]),
        ("1000 1\n1001 2\n1002 3\n", "arbitrary units", [1.0, 2.0, 3.0]),
        ("cm-1;absorbance\n1000,0;0,25\n1001,0;0,5\n1002,0;1\n", "absorbance", [0.25, 0.5, 1.0]),
        ("wavenumber_cm-1,absorbance,km_per_mol_per_cm-1\n1000,9,1\n1001,9,2\n1002,9,3\n", ABSOLUTE, [1.0, 2.0, 3.0]),
    ],
)
def test_tables_of_users(tmp_path, text, unit, values):
    path = tmp_path / "user.csv"
    path.write_text(text)
    found = read_experiment(path)
    assert found.axis == pytest.approx([1000.0, 1001.0, 1002.0], rel=1e-12) and found.unit == unit
    assert found.intensity == pytest.approx(values, abs=1e-12)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not a table"),
        ("1000,1\n", "not a table"),
        ("1000\n1001\n", "not a table"),
        ("1000,1\n1001,\n", "not a row"),
        ("1000,1\n1001,2,3\n", "not a row"),
        ("2.5,1\n3,2\n", "micrometers"),
        ("wavelength (nm),absorbance\n2500,1\n3000,2\n", "give wavenumbers"),
        ("frequency_THz,a\n250,1\n300,2\n", "give wavenumbers"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "user.csv"
    path.write_text(text)
    with pytest.raises(SpectrumError, match=message):
        read_experiment(path)


def test_damaged_csv_header(tmp_path, spectrum):
    path = tmp_path / "a.csv"
    write_csv(path, spectrum)
    path.write_text(path.read_text().replace("# unit: ", "# unitless: "))
    with pytest.raises(SpectrumError, match="header"):
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
