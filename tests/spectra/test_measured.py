"""The one door: files as instruments, databases, spreadsheets and scripts write them -> the same curve, or one question."""

import csv
import io

import numpy as np
import pytest

from densnet.spectra.measured import read_measured, told
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum, SpectrumError, Sticks
from densnet.spectra.tables import write_csv

X = np.arange(4000.0, 398.0, -3.0)
A = 0.02 + Sticks(np.array([1060.0, 2950.0]), np.array([40.0, 30.0])).broaden(X[::-1], Gaussian(20.0)).intensity[::-1]
T = 10.0**-A
"""A made-up curve as instruments give it: descending, on a baseline of 0.02; two bands that integrate to 40 and 30."""


def rows(y=A, x=X, mark=",", decimal="."):
    return "".join(f"{u:.8f}{mark}{v:.8f}\n".replace(".", decimal) for u, v in zip(x, y))


JASCO = (
    "TITLE\tsample\nDATA TYPE\tINFRARED SPECTRUM\nORIGIN\tJASCO\nDATE\t20/03/05\nXUNITS\t1/CM\nYUNITS\t{unit}\nFIRSTX\t4000\nLASTX\t400\n"
    "NPOINTS\t1201\nFIRSTY\t97\nXYDATA\n{rows}\n##### Extended Information\n[Comments]\nUser\n[Measurement]\nResolution\t4 cm-1\n"
)
PERKIN_ELMER = "PE IR\n-1\nsample.sp\n05/02/21\n#HDR\n-1\n-1\n#GR\nCM-1\n%T\n100.0\n0.0\n4000.0\n-3.0\n1201\n#DATA\n"
READ = {
    "omnic": rows(),
    "opus.dpt": rows(mark="\t"),
    "decimal commas, blanks": rows(mark=" ", decimal=","),
    "decimal commas, tabs": "cm-1\tAbsorbance\n" + rows(mark="\t", decimal=","),
    "german": "Wellenzahl [cm-1];Transmission [%]\n" + rows(100 * T, mark=";", decimal=","),
    "german, extinction": "Wellenzahl;Extinktion\n" + rows(mark=";", decimal=","),
    "french": "Nombre d'onde (cm-1);Transmittance\n" + rows(T, mark=";", decimal=","),
    "jasco": JASCO.format(unit="%T", rows=rows(100 * T, mark="\t")),
    "jasco, decimal commas": JASCO.format(unit="TRANSMITTANCE", rows=rows(100 * T, mark="\t", decimal=",")),
    "perkin elmer": "Created as New Dataset,sample 12\ncm-1,%T\n" + rows(100 * T),
    "perkin elmer, asc": PERKIN_ELMER + rows(100 * T, mark="\t"),
    "shimadzu": 'sample.ispd\n"cm-1","%T"\n' + "".join(f'"{u:.6f}","{100 * v:.6f}"\n' for u, v in zip(X, T)),
    "agilent": 'Sample,foo\nDate,"Monday, 3 May"\nResolution,4 cm-1\nWavenumbers,Transmittance (%)\n' + rows(100 * T),
    "sdbs": '"Wavenumber","Transmittance"\n' + rows(T),
    "T alone": "cm-1,T\n" + rows(100 * T),
    "brackets": "Wavenumber (cm-1),T [%]\n" + rows(100 * T),
    "% T": "cm-1,% T\n" + rows(100 * T),
    "Trans.": "cm-1,Trans.\n" + rows(T),
    "comment": "# %T\n" + rows(100 * T, mark="\t"),
    "two lines of titles": "Wavenumber,Absorbance\ncm-1,a.u.\n" + rows(),
    "one title of blanks": "Wavenumber (cm-1) Absorbance\n" + rows(mark=" "),
    "numpy": "# cm-1 absorbance\n" + rows(mark=" "),
    "pandas": ",wavenumber,absorbance\n" + "".join(f"{k},{u},{v}\n" for k, (u, v) in enumerate(zip(X, A))),
    "R": '"wavenumber" "absorbance"\n' + "".join(f'"{k}" {u} {v}\n' for k, (u, v) in enumerate(zip(X, A), 1)),
    "background": "wavenumber,background,absorbance\n" + "".join(f"{u},1,{v}\n" for u, v in zip(X, A)),
    "other order": "absorbance,standard error,cm-1\n" + "".join(f"{v},0.1,{u}\n" for u, v in zip(X, A)),
    "both": "cm-1,%T,A\n" + "".join(f"{u},{100 * t},{v}\n" for u, t, v in zip(X, T, A)),
    "trailing commas": "cm-1,A,\n" + "".join(f"{u},{v},\n" for u, v in zip(X, A)),
    "napierian": "cm-1,napierian absorbance\n" + rows(A * np.log(10)),
    "1/m": "wavenumber (1/m),absorbance\n" + rows(x=100 * X),
    "nm": "wavelength (nm),absorbance\n" + rows(x=1e7 / X),
    "micrometers": "Wavelength,T\n" + rows(T, 1e4 / X),
    "THz": "Frequency (THz),Absorbance\n" + rows(x=X * 0.0299792458),
    "eV": "energy_eV,Absorbance\n" + rows(x=X / 8065.543937),
    "crlf": ("cm-1,Absorbance\n" + rows()).replace("\n", "\r\n"),
    "excel's line": "sep=;\ncm-1;Absorbance\n" + rows(mark=";", decimal=","),
    "Fortran": "cm-1 Absorbance\n" + "".join(f"{u:.8E} {v:.8E}\n".replace("E", "D") for u, v in zip(X, A)),
}


def read(tmp_path, text, name="curve.csv"):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_measured(tmp_path / name)


@pytest.mark.parametrize("name", READ)
def test_one_curve_in_many_hands(tmp_path, name):
    found = read(tmp_path, READ[name])
    assert found.axis == pytest.approx(X[::-1], rel=1e-6)
    assert found.intensity == pytest.approx((A - 0.02)[::-1], abs=1e-6)
    named = name not in ("omnic", "opus.dpt", "decimal commas, blanks")
    assert found.unit == ("absorbance" if named else "arbitrary units")
    assert found.header["baseline"].startswith("0.02 subtracted") and "baseline 0.02" in told(found)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_encodings(tmp_path, encoding):
    found = read(tmp_path, ("Wavelength [µm],T [%]\n" + rows(100 * T, 1e4 / X)).encode(encoding))
    assert found.intensity == pytest.approx((A - 0.02)[::-1], abs=1e-6) and found.header["abscissa"] == "converted from micrometers"


NOISE = np.concatenate([[2.5] * 5, T[5:]])
REFUSED = {
    "": "is empty",
    "1000,1\n": "not a table",
    "1000\n1001\n": "not a table",
    "no spectrum at all": "not a table",
    "cm-1,A\n" + rows() + "397,\n": "line 1203: '397,' is not a row of 2 numbers",
    ("cm-1,A\n" + rows()).replace("2500.00000000,", "2500.00000000;"): "line 502: .* is not a row of 2 numbers",
    ("cm-1,A\n" + rows()).replace("2500.00000000,0.02000000", "2500,nan"): "line 502: .*not finite",
    rows(100 * T): "is the ordinate transmittance",
    "cm-1,signal\n" + rows(100 * T): "is the ordinate 'signal' transmittance",
    "cm-1,Absorbance\n" + rows(100 * T): "is it %T",
    "cm-1,%T\n" + rows(T): "percent or a fraction",
    rows(x=1e7 / X): "in which unit is the abscissa, which runs from 2500 to 25000",
    rows(x=1e4 / X): "in which unit is the abscissa",
    "cm-1,A\n" + rows(x=1e4 / X): "looks like micrometers",
    "energy,A\n" + rows(): "in which unit is the abscissa 'energy'",
    "T [K],A\n" + rows(): "in which unit is the abscissa",
    "".join(f"{k},{v}\n" for k, v in enumerate(A)): "only counts the points",
    "cm-1,sample 1,sample 2\n" + "".join(f"{u},{v},{v}\n" for u, v in zip(X, A)): "which of 'sample 1', 'sample 2' is the spectrum",
    "cm-1,A\n" + rows(decimal=","): "Decimal commas need another separator",
    "cm-1,A\n" + rows() + rows(): "reverses after 4000 cm",
    "Raman shift (cm-1),Intensity\n" + rows(): "a Raman spectrum",
    "DATA TYPE\tRAMAN SPECTRUM\nXUNITS\t1/CM\n" + rows(mark="\t"): "of the type 'RAMAN SPECTRUM'",
    "cm-1,Reflectance\n" + rows(): "a reflection spectrum",
    "cm-1,%R\n" + rows(): "a reflection spectrum",
    "cm-1,single beam\n" + rows(): "a single-beam spectrum",
    "cm-1,absorption (%)\n" + rows(): "the absorbed part",
    "NPOINTS\t1300\nXUNITS\t1/CM\nYUNITS\tABSORBANCE\n" + rows(mark="\t"): "announces 1300 points but contains 1201",
    "cm-1,absorbance\n1066,0.85\n1394,0.35\n2985,0.6\n": "list of peaks",
    "cm-1,intensity (km/mol)\n" + "".join(f"{u},5\n" for u in 400 + np.arange(60.0) ** 2): "list of peaks",
    "<!DOCTYPE html>\n<html>": "a web page",
    "PK\x03\x04 ": "Excel workbook",
    "\x00\x4b\x01\x00" * 50: "binary",
}


@pytest.mark.parametrize("text", REFUSED, ids=list(REFUSED.values()))
def test_one_question_or_one_sentence(tmp_path, text):
    with pytest.raises(SpectrumError, match=f"curve.csv.*{REFUSED[text]}"):
        read(tmp_path, text)


def test_some_points_of_noise_do_not_make_percent(tmp_path):
    found = read(tmp_path, "cm-1,transmittance\n" + rows(NOISE))
    assert found.intensity[:-5] == pytest.approx((A - 0.02)[::-1][:-5], abs=1e-5)


def test_our_own_file_and_the_same_saved_again_by_a_spreadsheet(tmp_path):
    spectrum = Spectrum(X[::-1], A[::-1], ABSOLUTE, 0.1 * A[::-1], {"method": "test: 1, 2", "temperature_K": 300.0})
    write_csv(tmp_path / "own.csv", spectrum)
    text = (tmp_path / "own.csv").read_text()
    assert read_measured(tmp_path / "own.csv").header["temperature_K"] == 300.0
    for mark, decimal in ((",", "."), (";", ",")):
        saved = io.StringIO()
        for line in text.splitlines():
            fields = (line.split(",") + ["", ""])[:3]
            csv.writer(saved, delimiter=mark).writerow(fields if line[0] == "#" else [field.replace(".", decimal) for field in fields])
        found = read(tmp_path, "\ufeff" + saved.getvalue())
        assert found.unit == ABSOLUTE and found.intensity == pytest.approx(A[::-1], abs=1e-12)


AXIS = np.arange(600.0, 2000.0, 0.5)
STRENGTH = Sticks(np.array([1740.0]), np.array([149.0])).broaden(AXIS, Gaussian(12.0)).intensity
"""One band of 149 km/mol."""


@pytest.mark.parametrize(
    "conditions, factor",
    [
        ("", 5595.6),
        ("##TEMPERATURE=23 C\n##PRESSURE=101.3 kPa\n", 5597.0),
        ("##PRESSURE=101.3 Pa\n", 5597.0),
        ("##TEMPERATURE=300 K\n", 5668.3),
    ],
)
def test_the_unit_of_the_quantitative_database(tmp_path, conditions, factor):
    # A = ln(10) RT/p y / 1e-6: ln(10) 8.314463 296.15 / 101325 m^3/mol = 0.055956
    y = np.rint(STRENGTH / factor / 1e-12)
    lines = "".join(f"{x:.2f} {v:.0f}\n" for x, v in zip(AXIS, y))
    text = (
        "##TITLE=MADE UP\n##JCAMP-DX=4.24\n##DATA TYPE=INFRARED SPECTRUM\n##STATE=gas\n" + conditions + "##XUNITS=cm-1\n"
        f"##YUNITS=(micromol/mol)-1m-1 (base 10)\n##XFACTOR=1.0\n##YFACTOR=1E-12\n##FIRSTX=600\n##LASTX=1999.5\n##NPOINTS={len(AXIS)}\n"
        f"##XYDATA=(X++(Y..Y))\n{lines}##END=\n"
    )
    found = read(tmp_path, text)
    assert found.unit == ABSOLUTE and f"times {factor}" in found.header["molar"] and "baseline" not in found.header
    assert found.integral(1640, 1850) == pytest.approx(149.0, rel=1e-4)


@pytest.mark.parametrize(
    "title, factor",
    [
        ("absorption / km mol^-1 per cm^-1", 1.0),
        ("km_per_mol_per_cm-1", 1.0),
        ("absorbance (ppm-1 m-1)", 5595.606),
        ("(ppm m)-1 base e", 5595.606 / np.log(10)),
        ("cross section (cm^2/molecule)", 6.02214076e18),
        ("epsilon / L mol-1 cm-1", 0.01 * np.log(10)),
    ],
)
def test_other_absolute_units(tmp_path, title, factor):
    text = f"wavenumber / cm^-1,{title}\n" + "".join(f"{x},{v:.12e}\n" for x, v in zip(AXIS, STRENGTH / factor))
    assert read(tmp_path, text).integral(1640, 1850) == pytest.approx(149.0, rel=1e-5)


def test_cross_sections_of_hitran(tmp_path):
    head = (
        f"{'ACETONE':>20}{600:10.4f}{1999.5:10.4f}{len(AXIS):7d}{296.0:7.2f}{760.0:6.1f}{1e-18:10.3E}{0.5:5.3f}{'acetone':>15}    air  1\n"
    )
    numbers = [f"{v:10.3E}" for v in STRENGTH / 6.02214076e18]
    lines = "".join("".join(numbers[k : k + 10]) + "\n" for k in range(0, len(numbers), 10))
    found = read(tmp_path, head + lines, "acetone.xsc")
    assert found.unit == ABSOLUTE and found.axis == pytest.approx(AXIS) and found.integral(1640, 1850) == pytest.approx(149.0, rel=1e-3)
    with pytest.raises(SpectrumError, match="acetone.xsc announces 2800 points but contains 2770"):
        read(tmp_path, head + "\n".join(lines.split("\n")[:277]), "acetone.xsc")


def test_a_gas_in_a_table_tells_its_conditions(tmp_path):
    text = "# partial pressure: 30 mmHg\n# path length = 5 cm\n# temperature_K: 300\ncm-1,Absorbance\n"
    found = read(tmp_path, text + rows())
    assert found.unit == ABSOLUTE and "4000 Pa, 0.05 m, 300 K" in found.header["molar"]
    column = 30 * 133.322 / (8.314462618 * 300) * 0.05
    assert found.integral(900, 1250) == pytest.approx(0.1 * np.log(10) * 40 / column, rel=1e-4)
