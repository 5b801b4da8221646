"""The comparison with measured curves in km/mol: exact for made-up curves; what cannot be compared is told; one whole run of water."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import quant_ir
from quant_ir_curves import Windows, cases
from quant_ir_judge import FAINT, band_rows, judged, means, molecule_row

from densnet.artefacts.content import Refinement
from densnet.artefacts.making import REFINEMENT
from densnet.artefacts.run import Run
from densnet.report.figures import measured_figure
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Replicas, Spectrum, SpectrumError, Sticks
from densnet.spectra.tables import write_csv
from densnet.workflow.settings import read_runfile

AXIS = np.arange(450.0, 4001.0, 2.0)
LINES, STRENGTHS = np.array([1000.0, 1450.0, 1480.0, 2950.0, 3650.0]), np.array([100.0, 20.0, 30.0, 150.0, 10.0])
CURVE = Sticks(LINES, STRENGTHS).broaden(AXIS, Gaussian(8.0))
WATER = "3\nname=water conformer=0\nO 0 0 -0.0637\nH 0 0.7722 0.5053\nH 0 -0.7722 0.5053\n"
PLACES = [(1000.0, 100.0), (1468.0, 50.0), (2950.0, 150.0), (3650.0, 10.0)]


def table(curve: Spectrum, unit: str = "km/mol per cm^-1") -> str:
    return f"wavenumber / cm^-1,{unit}\n" + "".join(f"{x:.0f},{y:.9f}\n" for x, y in zip(curve.axis, curve.intensity))


def test_windows_follow_from_the_curve():
    """Lines that are near are one band, a weak one is none, one cut by the end of the curve is left out, windows do not overlap."""
    found = Windows().of(CURVE)
    assert [CURVE.band(*pair).centroid for pair in found] == pytest.approx([place for place, _ in PLACES], abs=0.01)
    assert found[0][0] < 940 and found[-1][1] > 3850, "wider by 6 % of the wavenumber"
    assert all(one[1] <= other[0] for one, other in zip(found, found[1:]))
    assert len(Windows(gap=0.0).of(CURVE)) == len(found)
    assert len(Windows(gap=2000.0).of(CURVE)) == 1
    assert len(Windows(share=0.05).of(CURVE)) == len(found) - 1
    cut = CURVE.above(1000.0)
    assert Windows().of(cut) == found[1:]
    near = Sticks(np.array([1000.0, 1120.0]), np.array([50.0, 50.0])).broaden(AXIS, Gaussian(8.0))
    (_, middle), (same, _) = Windows().of(near)
    assert middle == same == pytest.approx(1060, abs=2), "two bands meet in the middle"


@pytest.mark.parametrize("curve", [replace(CURVE, intensity=1 + 0 * AXIS), replace(CURVE, intensity=0 * AXIS)])
def test_a_curve_without_bands_is_refused(curve):
    with pytest.raises(SpectrumError, match="no band stands out"):
        Windows().of(curve)


def test_a_spectrum_is_like_itself():
    found = judged(CURVE, CURVE, Windows().of(CURVE))
    assert (found.shift, found.deviation) == (0, 0)
    assert found.likeness.similarity == found.likeness.pearson == pytest.approx(1, abs=1e-12)
    assert found.totals == pytest.approx([STRENGTHS.sum()] * 2, rel=1e-6)


@pytest.mark.parametrize("factor", [1.1, 0.8])
def test_a_factor_changes_integrals_alone(factor):
    found = judged(CURVE, replace(CURVE, intensity=factor * CURVE.intensity), Windows().of(CURVE))
    assert found.deviation == pytest.approx(abs(factor - 1), rel=1e-9)
    assert found.shift == pytest.approx(0, abs=1e-9) and found.likeness.similarity == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("shift", [10.0, -10.0])
def test_a_shift_changes_centroids_alone(shift):
    """What leaves the windows of narrow lines is nothing."""
    moved = Sticks(LINES + shift, STRENGTHS).broaden(AXIS, Gaussian(8.0))
    found = judged(CURVE, moved, Windows().of(CURVE))
    assert found.shifts == pytest.approx([shift] * len(PLACES), abs=1e-3)
    assert found.shift == pytest.approx(10, abs=1e-3) and found.deviation < 1e-5
    assert found.likeness.similarity < 0.8


def test_a_band_that_is_not_there_has_no_centroid():
    """It counts as an integral that is wholly missing."""
    without = Sticks(LINES, STRENGTHS * [1, 1, 1, 1, 1e-6]).broaden(AXIS, Gaussian(8.0))
    found = judged(CURVE, without, Windows().of(CURVE))
    assert len(found.bands) == 4 and found.shifts == pytest.approx([0, 0, 0], abs=1e-9)
    assert found.deviation == pytest.approx(1 / 4, abs=1e-6)
    nothing = judged(CURVE, replace(CURVE, intensity=0.01 * FAINT * CURVE.intensity), Windows().of(CURVE))
    assert nothing.shift is None and nothing.deviation == pytest.approx(1 - 0.01 * FAINT)


def test_errors_of_bands_are_those_of_the_replicas():
    """Replicas that are 1.1 and 0.9 of the curve: integrals 1 +- 0.1, no error of centroids."""
    rows = np.outer([1.1, 0.9], CURVE.intensity)
    spectrum = replace(CURVE, replicas=Replicas(rows, np.array([0.5, 0.5]), np.zeros(2, dtype=int)))
    for (_, strength), (_, own) in zip(PLACES, judged(CURVE, spectrum, Windows().of(CURVE)).bands):
        assert own.error == pytest.approx(0.1 * strength, rel=1e-5) and own.centroid_error == pytest.approx(0, abs=1e-9)


@pytest.fixture
def place(tmp_path) -> Path:
    """Curves, and a list of one molecule."""
    (tmp_path / "curves").mkdir()
    (tmp_path / "mine.csv").write_text("name,smiles\nwater,O\nnowhere,C\n")
    (tmp_path / "mine.xyz").write_text(WATER)
    return tmp_path


def test_curves_find_their_molecules_and_others_are_left_out(place):
    curves = place / "curves"
    named = f"# km/mol per cm^-1\n{table(CURVE)}"
    for name, text in {
        "Water.csv": named,
        "a_water.txt": named,
        "nowhere.csv": named,
        "water .csv": named,
        "damaged.jdx": "##TITLE=water\n##JCAMP-DX=4.24\n##DATA TYPE=INFRARED SPECTRUM\n",
        "sheet.xlsx": "PK\x03\x04",
    }.items():
        (curves / name).write_text(text)
    found, left = cases(curves, place / "mine", Windows())
    assert [(case.name, case.path.name, len(case.conformers)) for case in found] == [("water", "Water.csv", 1)]
    assert len(found[0].windows) == 4 and np.allclose(found[0].curve.intensity, CURVE.intensity, atol=1e-8)
    assert left.keys() == {"a_water.txt", "nowhere.csv", "water .csv", "damaged.jdx", "sheet.xlsx"}
    assert left["water .csv"] == "Water.csv is of water, too" and "an Excel workbook" in left["sheet.xlsx"]
    assert left["nowhere.csv"] == "no molecule of mine.csv has the name of this file, nor that of its title"
    assert not any("\n" in reason or str(place) in reason for reason in left.values())


@pytest.mark.parametrize("unit", ["absorbance", "intensity"])
def test_a_curve_without_an_absolute_unit_is_left_out(place, unit):
    (place / "curves" / "water.csv").write_text(table(CURVE, unit))
    found, left = cases(place / "curves", place / "mine", Windows())
    assert not found and f"not {ABSOLUTE}: no unit, or no amount of gas, is in the file" in left["water.csv"]


def test_the_database_s_own_unit_and_title_are_understood(place):
    """A JCAMP file of any name, in (micromol/mol)-1m-1 (base 10): 5595.6 km/mol per cm^-1."""
    values = "\n".join(f"{x:.0f} {round(1e9 * y / 5595.6)}" for x, y in zip(CURVE.axis, CURVE.intensity))
    (place / "curves" / "7732-18-5.jdx").write_text(
        "##TITLE=WATER\n##JCAMP-DX=4.24\n##DATA TYPE=INFRARED SPECTRUM\n##XUNITS=1/CM\n##YUNITS=(micromol/mol)-1m-1 (base 10)\n"
        f"##XFACTOR=1\n##YFACTOR=1E-9\n##FIRSTX=450\n##LASTX=4000\n##NPOINTS={len(AXIS)}\n##XYDATA=(X++(Y..Y))\n{values}\n##END=\n"
    )
    found, left = cases(place / "curves", place / "mine", Windows())
    assert not left and [case.name for case in found] == ["water"]
    measured = [found[0].curve.band(*pair).integral for pair in found[0].windows]
    assert measured == pytest.approx([strength for _, strength in PLACES], rel=1e-3)


def called(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["quant_ir.py", *map(str, words)])
    quant_ir.main()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--curves", "no"), "--curves no is not a folder"),
        (("--curves", "curves", "--molecules", "ethane"), "no curve on the molar scale in curves is of ethane"),
        (("--curves", "curves"), "no curve in curves could be compared with a run"),
    ],
)
def test_nothing_to_do_is_told_in_a_line(place, monkeypatch, words, told):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit, match=told):
        called(monkeypatch, *words, "--list", place / "mine", "--model", "water")


def test_a_run_of_water_against_its_own_spectrum(place, monkeypatch, capsys):
    """Short dynamics, its spectrum as the measured curve: it agrees with itself, and nothing is run twice."""
    (place / "curves" / "water.csv").write_text(table(CURVE))
    out, drawn = place / "out", place / "drawn"
    words = ["--curves", place / "curves", "--list", place / "mine", "--model", "water", "--out", out, "--replicas", 4,
             "--picoseconds", 0.1, "--thermalise", 0.02, "--depth", 60, "--threads", 1, "--interpreted"]  # fmt: skip
    called(monkeypatch, *words, "--atoms", 3)
    printed = capsys.readouterr().out
    (folder,) = out.glob("water/water-zero-shot-4x0.1ps-296K")
    assert "| water | water, zero-shot | 3 | 4 |" in printed
    trajectory = (folder / "simulate" / "trajectory.h5").stat().st_mtime_ns

    run = quant_ir.read_run(folder)
    spectrum = quant_ir.simulated(run)
    assert np.allclose(spectrum.intensity, run.spectrum.intensity) and spectrum.replicas is not None and run.spectrum.replicas is None
    write_csv(place / "curves" / "water.csv", run.spectrum.above(400.0))
    called(monkeypatch, *words, "--molecules", "water", "--pictures", drawn, "--judge", "--margin", 0.02)
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.startswith("| water | water, zero-shot | 3 |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert float(cells[4]) == float(cells[5]) == 0 and cells[6] == cells[7]
    assert float(cells[8]) == float(cells[9]) == 1 and cells[11] == "0"
    rows = printed.split("| VPT2, mean signed |")[1].splitlines()
    nuclei = next(line for line in rows if "water, zero-shot" in line).strip("| ").split(" | ")
    assert float(nuclei[3]) == float(nuclei[5]) == 0 and float(nuclei[4]) > 10  # dynamics is what was "measured"; VPT2 is below it
    assert (drawn / "water.png").stat().st_size > 10_000
    assert (folder / "simulate" / "trajectory.h5").stat().st_mtime_ns == trajectory

    called(monkeypatch, *words[:6], "--judge", "--runs", folder, "--out", place / "empty", "--margin", 0.02)
    printed = capsys.readouterr().out
    assert "left out: water, water-zero-shot-48x2.5ps-296K: " in printed and "| water | water, zero-shot | 3 |" in printed
    with pytest.raises(SystemExit):
        called(monkeypatch, *words, "--atoms", 2)
    assert "left out: water, water: 3 atoms, more than --atoms 2" in capsys.readouterr().out


def test_a_picture_has_a_panel_for_each_run():
    runs = [("zero-shot", replace(CURVE, error=0.1 * CURVE.intensity)), ("refined", replace(CURVE, intensity=2 * CURVE.intensity))]
    figure = measured_figure(CURVE, runs, Windows().of(CURVE), "water")
    assert [line.get_label() for panel in figure.axes for line in panel.lines][:3] == ["zero-shot", "measured", "refined"]
    for panel in figure.axes:
        assert panel.get_ylim() == pytest.approx((0.0, 2.1 * CURVE.intensity.max()))


def test_elements_that_a_model_does_not_know_are_told(place):
    (place / "curves" / "water.csv").write_text(table(CURVE))
    (case,), _ = cases(place / "curves", place / "mine", Windows())
    assert quant_ir.uncovered(case, "water", 3) is None
    sulphur = replace(case, conformers=[replace(case.conformers[0], numbers=case.conformers[0].numbers + 8)])
    assert quant_ir.uncovered(sulphur, "water", 3) == "water was not trained on F, S"


def test_labels_and_minutes_are_those_of_the_run(place):
    """A refined run: what its marks and its refinement say; the mean over molecules leaves out what is unknown."""
    (place / "curves" / "water.csv").write_text(table(CURVE))
    (case,), _ = cases(place / "curves", place / "mine", Windows())
    (place / "run" / "refine").mkdir(parents=True)
    (place / "run" / "settings.toml").write_text('[run]\nstart = "/there/organic.safetensors"\n')
    REFINEMENT.save(place / "run", Refinement("organic", {}, [], 0, 50, 9.0, "targets"))
    run = Run("water", place / "run", {"refine": {"seconds": 540.0}, "simulate": {"seconds": 60.0}}, {})
    judgement = judged(CURVE, CURVE, case.windows)
    row = molecule_row(case, run, judgement)
    assert row[:4] == ["water", "organic, refined", 3, 4] and row[-2:] == [10.0, 50]
    assert [line[2:4] for line in band_rows(case, run, judgement)][0] == ["908-1096", "1000.0"]
    unknown = [*row[:4], None, 30.0, *row[6:]]
    assert means([row, unknown])[0][:6] == ["mean of 2", "organic, refined", 3.0, 4.0, 0.0, 15.0]


def test_a_refinement_for_another_level_has_a_run_of_its_own(place, monkeypatch):
    (place / "curves" / "water.csv").write_text(table(CURVE))
    monkeypatch.setattr(sys, "argv", ["", "--curves", f"{place}/curves", "--loop", "--level", "PBE0", "PBE", "--out", f"{place}/out"])
    chosen = quant_ir.arguments()
    assert quant_ir.ways(chosen) == ["zero-shot", "refined at PBE0", "refined at PBE"]
    (case,), _ = cases(place / "curves", place / "mine", Windows())
    (place / "out" / "water").mkdir(parents=True)
    files = [quant_ir.plan(case, "water", chosen, way) for way in quant_ir.ways(chosen)]
    assert [file.name.partition("-48x")[0] for file in files] == ["water-zero-shot", "water-refined-PBE0", "water-refined-PBE"]
    assert [read_runfile(file).label.scf.xc for file in files[1:]] == ["PBE0", "PBE"]
