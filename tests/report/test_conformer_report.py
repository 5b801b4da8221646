"""What the report says of conformers and modes, from the shipped data of ethanol and a perturbed copy as the model."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest

from densnet.report.content import promises, report
from densnet.report.harmonic import band_rows, bands_around, sticks_of
from densnet.report.remainder import remainder
from densnet.report.run import Run
from densnet.spectra.spectrum import Spectrum, Sticks
from densnet.spectra.tables import write_csv

SCALE = 1.004


@pytest.fixture
def run(tmp_path) -> Run:
    """Ethanol by a model whose force constants are 0.8 % too high, so that every wavenumber is 0.4 % too high."""
    reference = json.loads((files("densnet") / "data" / "molecules" / "ethanol.json").read_text())
    for place in ("conformers", "spectrum"):
        (tmp_path / place).mkdir()
    (tmp_path / "conformers" / "reference.json").write_text(json.dumps(reference))
    for conformer in reference["conformers"]:
        conformer["hessian_hartree_per_bohr2"] = [SCALE**2 * x for x in conformer["hessian_hartree_per_bohr2"]]
    (tmp_path / "conformers" / "conformers.json").write_text(json.dumps(reference))
    names = [(c["name"], k) for k, c in enumerate(reference["conformers"])]
    rows = [
        {"name": name, "symmetry": 2 - k, "replicas": 16 * (k + 1), "weight": (k + 1) / 3, "energy_kJ_per_mol": 0.2 * k,
         "free_energy_kJ_per_mol": 0.1 * k, "dipole_at_minimum_D": 1.51 + 0.14 * k, "dipole_D": 1.5, "dipole_error_D": 0.01}
        for name, k in names
    ]  # fmt: skip
    told = {"temperature_K": 300.0, "conformers": rows, "dipole_D": 1.6, "dipole_error_D": 0.01, "spent": [[0.8, 0.2], [0.1, 0.9]],
            "observed": [0.33, 0.67], "observed_error": [0.02, 0.02], "ended_elsewhere": 0.15}  # fmt: skip
    (tmp_path / "spectrum" / "ensemble.json").write_text(json.dumps(told))
    run = Run("ethanol", tmp_path, {}, {})
    axis = np.arange(0.0, 4001.0)
    curve = sticks_of(run.model, 300.0).broaden(axis)
    for name in ("spectrum", "conformer-1", "conformer-2"):
        write_csv(tmp_path / "spectrum" / f"{name}.csv", Spectrum(axis, curve.intensity, error=0.1 * curve.intensity))
    return run


def test_promises_of_each_conformer(run):
    lines = {line.name: line for line in promises(run)}
    assert len(lines) == 10
    for conformer, reference in run.pairs:
        shift = (SCALE - 1) * reference.modes.frequencies.numpy()
        name = conformer.name
        assert lines[f"{name}: harmonic wavenumbers, mean deviation"].value == pytest.approx(shift.mean(), rel=0.02)
        worst = lines[f"{name}: harmonic wavenumbers, largest deviation"]
        assert worst.value == pytest.approx(shift.max(), rel=0.01) and worst.met
        assert lines[f"{name}: infrared intensities, mean deviation"].value == pytest.approx(0, abs=0.01)
        assert not lines[f"{name}: spectral information similarity"].met and lines[f"{name}: spectral information similarity"].least
        assert 0.5 < lines[f"{name}: Pearson r of the spectra"].value < 0.98


def test_the_page_tells_weights_populations_and_motions(run):
    page = report(run)
    for text in ("Conformers", "15 % of the replicas cross a barrier", "trans 33.0 ± 2.0 % (weight 33.3 %)", "O-H stretch",
                 "C-O stretch", "1.600 ± 0.010 D", "PBE/aug-cc-pVDZ", "≥ 0.83", "nothing was labelled"):  # fmt: skip
        assert text in page, text
    assert page.count("<svg") == 4


BANDS, RED, OFF = [(960.0, 1120.0), (2700.0, 3120.0), (3500.0, 3850.0)], 0.96, 7.0


def divided(run: Run, *, measured: bool, **anharmonic) -> str:
    """The chapter on what remains: fundamentals 4 % below the harmonic lines, a measured curve ``OFF`` cm^-1 below the dynamics."""
    modes = [c.modes.frequencies.tolist() for c in run.model.conformers]
    resonances = [{"upper": 15, "lower": [14, 14], "offset_per_cm": -23.0, "coupling_per_cm": -149.0}]
    rows = [{"harmonic_per_cm": w, "fundamentals_per_cm": [RED * x for x in w], "soft": [0, 1], "resonances": resonances} for w in modes]
    (run.folder / "conformers" / "anharmonic.json").write_text(json.dumps(anharmonic or {"conformers": rows}))
    sticks = sticks_of(run.model, 300.0)
    bands = band_rows(run.spectrum.bands(BANDS), sticks)
    curve = Spectrum(run.spectrum.axis, np.interp(run.spectrum.axis + OFF, run.spectrum.axis, run.spectrum.intensity))
    experiment = {"mine.csv": [*(curve.band(*pair).__dict__ for pair in BANDS[:2]), None]} if measured else {}
    told = {"temperature_K": 300.0, "bands": bands, "experiment": experiment}
    (run.folder / "spectrum" / "bands.json").write_text(json.dumps(told))
    if measured:
        (run.folder / "spectrum" / "comparison.json").write_text(json.dumps({"mine.csv": ""}))
        write_csv(run.folder / "spectrum" / "experiment-0.csv", curve)
    return "".join(remainder(run))


def cells(chapter: str) -> list[list[float]]:
    """The numbers of the table of bands; a dash is None."""
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", chapter)]
    return [[None if c == "–" else float(c.split(" ±")[0].replace("−", "-")) for c in row[1:]] for row in rows if row]


def test_what_remains_adds_up(run):
    chapter = divided(run, measured=True)
    found = cells(chapter)
    assert len(found) == 2  # the third band is beyond the measured curve
    for (measured, quantum, dynamics, off, classical, model, rest, ratio), (lower, upper) in zip(found, BANDS):
        assert off == pytest.approx(dynamics - measured, abs=0.11) and off == pytest.approx(OFF, abs=0.6)
        assert classical + model + rest == pytest.approx(off, abs=0.2)
        inside = [(w * c.modes.intensities, c.modes.frequencies) for w, c in zip(run.model.weights(300.0), run.model.conformers)]
        strengths, places = (np.concatenate([x[k].numpy() for x in inside]) for k in (0, 1))
        chosen = (places > lower) & (places < upper)
        centre = np.average(places[chosen], weights=strengths[chosen])
        assert quantum == pytest.approx(RED * centre, abs=0.06)
        assert model == pytest.approx((1 - 1 / SCALE) * centre, abs=0.1)
        assert ratio == pytest.approx(1.0, abs=0.02)
    assert "resonance left out: 16 with 15 + 15, -23.0 off" in chapter and chapter.count("takes no part") == 4
    assert "What remains against experiment" in report(run)


def test_what_remains_without_a_measured_curve_or_a_reference(run):
    chapter = divided(run, measured=False)
    found = cells(chapter)
    assert "Quantum nuclei" in chapter and "Functional" not in chapter and len(found) == 3
    assert all(row[3] == pytest.approx(row[2] - row[1], abs=0.11) for row in found)
    (run.folder / "conformers" / "reference.json").unlink()
    alone = Run("ethanol", run.folder, {}, {})
    assert all(row[4] is None for row in cells("".join(remainder(alone))))


def test_what_remains_says_why_it_is_not_told(run):
    assert "20 atoms are more than" in divided(run, measured=True, skipped="20 atoms are more than `anharmonic.atoms`, now 15.")
    (run.folder / "conformers" / "anharmonic.json").unlink()
    assert remainder(run) == []


def test_a_group_of_lines_below_the_spectrum_is_no_band():
    sticks = Sticks(np.array([163.9, 239.9, 293.0, 650.6, 1300.0]), np.ones(5))
    limits = bands_around(sticks)
    inside = [((sticks.frequencies > lower) & (sticks.frequencies < upper)).sum() for lower, upper in limits]
    assert limits[0][0] >= 350 and inside == [1, 1]
