"""JCAMP-DX: what is written other programs read; what other programs write, in every form and company, is read or refused by name."""

import contextlib
import io

import jcamp as library
import numpy as np
import pytest

from densnet.spectra.gas import absorbance
from densnet.spectra.jcamp import write_jcamp
from densnet.spectra.measured import read_measured, told
from densnet.spectra.ordinates import ordinates
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum, SpectrumError, Sticks

AXIS = np.arange(400.0, 4000.5, 0.5)
BANDS = Sticks(np.array([1060.0, 2950.0]), np.array([40.0, 60.0])).broaden(np.arange(500.0, 4001.0), Gaussian(25)).intensity
WHOLE = np.rint(1e4 * (0.02 + BANDS))
"""Ordinates as integers, of a curve from 500 to 4000 cm^-1 in steps of 1 with long flat parts."""


def file(data, *, first=500, last=4000, points=3501, kind="INFRARED SPECTRUM", x="1/CM", y="ABSORBANCE", more="", title="T"):
    """A JCAMP-DX block around ``data``."""
    return (
        f"##TITLE={title}\n##JCAMP-DX=4.24\n##DATA TYPE={kind}\n##XUNITS={x}\n##YUNITS={y}\n##FIRSTX={first}\n##LASTX={last}\n"
        f"##XFACTOR=1\n##YFACTOR=0.0001\n##NPOINTS={points}\n{more}##XYDATA={data}##END=\n"
    )


def pseudo(number, marks):
    """A number with its first digit, and its sign, as a letter: ``marks`` for 0-9 and for -1 to -9."""
    digits = f"{abs(int(number))}"
    return (marks[1][int(digits[0]) - 1] if number < 0 else marks[0][int(digits[0])]) + digits[1:]


def squeezed(number):
    return pseudo(number, ("@ABCDEFGHI", "abcdefghi"))


def repeated(tokens):
    """Equal neighbours as one token and a count."""
    out = []
    for token in tokens:
        if out and out[-1][0] == token:
            out[-1][1] += 1
        else:
            out.append([token, 1])
    return "".join(token + (pseudo(count, ("?STUVWXYZs", "")) if count > 1 else "") for token, count in out)


def written(values, form, per_line=40):
    """``(X++(Y..Y))`` from 500 upwards in one of the forms of the standard."""
    lines = []
    for start in range(0, len(values), per_line):
        part, x = values[start : start + per_line], 500 + start
        if form == "AFFN":
            lines.append(f"{x} " + " ".join(f"{v:.0f}" for v in part))
        elif form == "PAC":
            lines.append(f"{x}" + "".join(f"{v:+.0f}" for v in part))
        elif form == "SQZ":
            lines.append(f"{x}" + "".join(squeezed(v) for v in part))
        elif form == "SQZDUP":
            lines.append(f"{x}" + repeated([squeezed(v) for v in part]))
        else:
            before = [] if start == 0 else [values[start - 1]]
            line = [*before, *part]
            steps = [pseudo(b - a, ("%JKLMNOPQR", "jklmnopqr")) for a, b in zip(line[:-1], line[1:])]
            lines.append(f"{x - len(before)}" + squeezed(line[0]) + (repeated(steps) if form == "DIFDUP" else "".join(steps)))
    if form in ("DIF", "DIFDUP"):
        lines.append(f"{500 + len(values) - 1}" + squeezed(values[-1]))
    return "(X++(Y..Y))\n" + "\n".join(lines) + "\n"


def read(tmp_path, text, name="a.jdx"):
    (tmp_path / name).write_text(text)
    return read_measured(tmp_path / name)


def test_round_trip_and_the_jcamp_library_reads_the_same(tmp_path, capsys):
    lines = Sticks(np.array([1585.0, 3801.0]), np.array([63.0, 48.0])).broaden(AXIS, Gaussian(8.0))
    header = {"method": "test: 1, 2", "temperature_K": 300.25, "replicas": 20}
    spectrum = Spectrum(AXIS, lines.intensity - 0.01 * np.cos(AXIS), header=header)
    write_jcamp(tmp_path / "a.jdx", spectrum, "water, IR")
    again = read_measured(tmp_path / "a.jdx")
    assert again.axis == pytest.approx(spectrum.axis, abs=1e-9)
    assert again.intensity == pytest.approx(spectrum.intensity, abs=1e-9 * spectrum.intensity.max())
    assert again.unit == ABSOLUTE and again.header["title"] == "water, IR" and "baseline" not in again.header
    text = (tmp_path / "a.jdx").read_text()
    labels = [line.split("=")[0] for line in text.splitlines() if line.startswith("##")]
    assert labels[:3] == ["##TITLE", "##JCAMP-DX", "##DATA TYPE"] and labels[-2:] == ["##XYDATA", "##END"]
    assert max(map(len, text.splitlines())) <= 80 and capsys.readouterr().out == ""
    other = library.readfile(str(tmp_path / "a.jdx"))
    assert other["y"] == pytest.approx(again.intensity, abs=1e-12) and other["x"] == pytest.approx(again.axis, abs=1e-9)


def test_a_zero_and_an_uneven_spectrum(tmp_path):
    write_jcamp(tmp_path / "z.jdx", Spectrum(AXIS, np.zeros_like(AXIS)), "nothing")
    assert (read_measured(tmp_path / "z.jdx").intensity == 0).all()
    with pytest.raises(SpectrumError, match="evenly spaced"):
        write_jcamp(tmp_path / "u.jdx", Spectrum(AXIS**1.1, AXIS), "uneven")


def test_absorbance_of_a_stated_gas_comes_back_absolute(tmp_path):
    lines = Sticks(np.array([1585.0, 3801.0]), np.array([63.0, 48.0])).broaden(AXIS, Gaussian(8.0))
    write_jcamp(tmp_path / "a.jdx", absorbance(lines, 2000.0, 0.05, 320.0), "water, IR")
    text = (tmp_path / "a.jdx").read_text()
    assert "##YUNITS=ABSORBANCE" in text and "##PARTIAL_PRESSURE=2000 Pa" in text and "##PATH LENGTH=0.05 m" in text
    again = read_measured(tmp_path / "a.jdx")
    assert again.unit == ABSOLUTE and "320 K" in again.header["molar"]
    assert again.integral(1400, 1800) == pytest.approx(63.0, rel=1e-5)


@pytest.mark.parametrize("form", ["AFFN", "PAC", "SQZ", "SQZDUP", "DIF", "DIFDUP"])
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_every_form_gives_the_ordinates_back(form, seed):
    values = WHOLE if seed is None else np.random.default_rng(seed).integers(-30, 3000, 400) // 7 * 5
    lines = list(enumerate(written(values, form, per_line=23 if seed is None else 150).splitlines()))[1:]
    rows, found = ordinates(lines, "a.jdx")
    assert found == values.tolist()
    assert [row.x for row in rows] == [500 + row.index for row in rows]
    if form == "AFFN":
        assert "".join(text for _, text in lines).isascii()


def test_long_repetitions_and_an_exponent_or_a_five():
    assert ordinates([(1, "400A3S8")], "a")[1] == [13.0] * 18
    assert ordinates([(1, "400A3%S2"), (2, "412A3")], "a")[1] == [13.0] * 13
    assert ordinates([(1, "400 1.5E2 .5e-1 -3D+0")], "a")[1] == [150.0, 0.05, -3.0]
    assert ordinates([(1, "400E12314J"), (2, "401E12315")], "a")[1] == [512314.0, 512315.0]
    assert ordinates([(1, "400+12-13+14")], "a")[1] == [12.0, -13.0, 14.0]


@pytest.mark.parametrize(
    "lines, message",
    [
        (["400A3JJ", "402A6"], "line 2: checksum of the ordinates fails"),
        (["400 1 ? 2"], r"line 1: '\?' is not a number"),
        (["400"], "line 1: no ordinate follows"),
        (["A3J"], "line 1: 'A3J' is not a number"),
        (["400J3"], "line 1: 'J3' has no ordinate before it"),
        (["400A3x4"], "line 1: 'x4' has no ordinate before it or is not a JCAMP-DX form"),
    ],
)
def test_damaged_lines_are_errors_with_their_number(lines, message):
    with pytest.raises(SpectrumError, match=f"b.jdx, {message}"):
        ordinates(list(enumerate(lines, 1)), "b.jdx")


@pytest.mark.parametrize("form", ["SQZ", "DIF"])
def test_what_the_library_decodes_we_decode_alike(tmp_path, form):
    (tmp_path / "a.jdx").write_text(file(written(WHOLE, form)))
    with contextlib.redirect_stdout(io.StringIO()):
        other = library.readfile(str(tmp_path / "a.jdx"))
    found = read_measured(tmp_path / "a.jdx")
    assert np.array(other["y"]) - np.quantile(other["y"], 0.25) == pytest.approx(found.intensity, abs=1e-12)


IR = file(written(WHOLE, "DIFDUP"), more="##PARTIAL_PRESSURE=30 mmHg\n##PATH LENGTH=5 CM\n", title="right")
SHORT = dict(first=200, last=203, points=4)
RAMAN = file("(X++(Y..Y))\n200 1 2 3 4\n", kind="RAMAN SPECTRUM", y="ARBITRARY UNITS", title="raman", **SHORT)
UV = file("(X++(Y..Y))\n200 1 2 3 4\n", kind="UV/VIS SPECTRUM", x="NANOMETERS", title="uv", **SHORT)
WAVES = file("(X++(Y..Y))\n200 1 2 3 4\n", kind="INFRARED INTERFEROGRAM", x="POINTS", y="VOLTS", title="waves", **SHORT)
PEAKS = "##TITLE=peaks\n##DATA TYPE=INFRARED PEAK TABLE\n##XUNITS=1/CM\n##YUNITS=ABSORBANCE\n##PEAK TABLE=(XY..XY)\n1066,1 2985,1\n##END=\n"
STRUCTURE = "##TITLE=structure\n##JCAMP-CS=3.7\n##ATOMLIST=\n1 C 3\n2 O 1\n##END=\n"


@pytest.mark.parametrize("others", [[RAMAN], [UV], [WAVES], [PEAKS], [STRUCTURE], [RAMAN, PEAKS]])
@pytest.mark.parametrize("linked", [True, False])
def test_the_infrared_block_is_found_among_others(tmp_path, others, linked):
    alone = read(tmp_path, IR)
    for order in ([*others, IR], [IR, *others]):
        text = "".join(order)
        if linked:
            text = f"##TITLE=linked\n##JCAMP-DX=4.24\n##DATA TYPE=LINK\n##BLOCKS={len(order) + 1}\n{text}##END=\n"
        found = read(tmp_path, text)
        assert found.header["title"] == "right" and found.unit == ABSOLUTE and (found.intensity == alone.intensity).all()


def test_of_two_spectra_the_first_with_its_own_conditions_and_it_is_told(tmp_path):
    second = file(written(2 * WHOLE, "AFFN"), title="second")
    found = read(tmp_path, IR + second)
    assert (found.intensity == read(tmp_path, IR).intensity).all() and "the first of 2" in told(found)
    assert read(tmp_path, second + IR).unit == "absorbance"  # pressure and path belong to the other block


@pytest.mark.parametrize("text, name", [(RAMAN, "RAMAN SPECTRUM"), (PEAKS, "PEAK TABLE"), (WAVES, "INTERFEROGRAM"), (UV + RAMAN, "UV/VIS")])
def test_other_kinds_are_refused_by_name(tmp_path, text, name):
    with pytest.raises(SpectrumError, match=f"a.jdx holds no infrared spectrum.*{name}"):
        read(tmp_path, text)


def test_labels_comments_and_what_belongs_to_no_standard(tmp_path):
    right = read(tmp_path, IR)
    text = IR.replace("##XUNITS=1/CM", " ##X UNITS= 1/CM").replace("##NPOINTS=3501", "##n_points=3501 $$ counted")
    text = text.replace("ABSORBANCE\n", "ABSORBANCE $$ from transmittance\n")
    text = text.replace("(X++(Y..Y))\n", "(X++(Y...Y)) $$ form\n$$ a remark\n")
    text = text.replace("##DATA TYPE=", "##= a program's own\n##DATATYPE=").replace("##PATH LENGTH=5 CM", "##PATHLENGTH=5")
    for name in ("a.jdx", "a.jdx.txt", "a.txt", "a.csv", "a"):
        found = read(tmp_path, text, name)
        assert (found.intensity == right.intensity).all() and found.unit == ABSOLUTE
    assert (read(tmp_path, "\ufeff" + IR.replace("##DATA TYPE=INFRARED SPECTRUM\n", "")).intensity == right.intensity).all()


def test_wavelengths_and_pairs(tmp_path):
    found = read(tmp_path, file("(X++(Y..Y))\n2.5 10000 100 10 5000\n", first=2.5, last=10, points=4, x="MICROMETERS", y="TRANSMITTANCE"))
    assert found.axis == pytest.approx([1000.0, 1e4 / 7.5, 2000.0, 4000.0])
    assert np.diff(found.intensity) == pytest.approx(np.diff([-np.log10(0.5), 3.0, 2.0, 0.0]))
    text = file("(XY..XY)\n1000,10000; 1001,100\n1002,10 1003,5000\n", points=4).replace("XYDATA", "XYPOINTS")
    assert np.diff(read(tmp_path, text).intensity) == pytest.approx([-0.99, -0.009, 0.499])


@pytest.mark.parametrize(
    "change, message",
    [
        (("##NPOINTS=3501", "##NPOINTS=3502"), "announces 3502 points but contains 3501"),
        (("##YUNITS=ABSORBANCE\n", ""), "##YUNITS="),
        (("##XUNITS=1/CM\n", ""), "##XUNITS="),
        (("##XUNITS=1/CM", "##XUNITS=SECONDS"), "in which unit is the abscissa 'SECONDS'"),
        (("##FIRSTX=500", "##FIRSTX=none"), r"line 6: ##FIRSTX=none is not a number"),
        (("##LASTX=4000", "##LASTX=3900"), r"line \d+: begins at"),
        (("##LASTX=4000", "##LASTX=500"), r"line \d+: begins at"),
        (("(X++(Y..Y))", "(X++(R..R))"), r"data of the form '\(X\+\+\(R..R\)\)'"),
        (("ABSORBANCE", "REFLECTANCE"), "reflection"),
        (("##PATH LENGTH", "##TEMPERATURE=296\n##PATH LENGTH"), "temperature '296'"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_place(tmp_path, change, message):
    with pytest.raises(SpectrumError, match=rf"a.jdx.*{message}"):
        read(tmp_path, IR.replace(*change))


@pytest.mark.parametrize("text", ["##TITLE=x\n", "##TITLE=x\n##END=\n", file("(X++(Y..Y))\n"), IR[: len(IR) // 2]])
def test_cut_files(tmp_path, text):
    with pytest.raises(SpectrumError, match="a.jdx"):
        read(tmp_path, text)
