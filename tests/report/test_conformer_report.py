"""What the report says of conformers and modes, from the shipped data of ethanol and a perturbed copy as the model."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest
from ase import Atoms
from ase.units import _amu, _hplanck

from benchmarks.remainder import tables
from densnet import units
from densnet.artefacts.run import Run
from densnet.report import page
from densnet.report.content import promises, report
from densnet.report.remainder import remainder
from densnet.spectra.spectrum import Spectrum, Sticks
from densnet.spectra.sticks import band_rows, bands_around, sticks_of
from densnet.spectra.tables import write_csv

SCALE = 1.004


@pytest.fixture
def run(tmp_path) -> Run:
    """Ethanol by a model whose force constants are 0.8 % too high, so that every wavenumber is 0.4 % too high."""
    reference = json.loads((files("densnet") / "data" / "molecules" / "ethanol.json").read_text())
    for place in ("conformers", "spectrum"):
        (tmp_path / place).mkdir()
    reference.pop("anharmonic", None)
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
    assert page.index("<svg") < page.index("Assignment") < page.index("Harmonic analysis")  # the page begins with the spectrum
    met = sum(line.met for line in promises(run))
    assert f"The model partly reproduces PBE/aug-cc-pVDZ (this does not refer to experiment): {met} of 10 checks met" in page


def test_the_page_tells_warnings_and_both_temperatures(run):
    (run.folder / "simulate").mkdir()
    (run.folder / "simulate" / "warnings.json").write_text(json.dumps(["replica 3 left what the model knows"]))
    (run.folder / "simulate" / "expected.json").write_text(json.dumps({"flagged_percent": 1.5, "flagged_replicas": 2}))
    (run.folder / "evaluate").mkdir()
    agreement = {"calibration": {"energy": {"rank_correlation": 0.05}, "dipole": {"rank_correlation": 0.6}}}
    (run.folder / "evaluate" / "evaluation.json").write_text(json.dumps(agreement))
    curve = run.spectrum
    header = {"temperature_K": 297.2, "replicas": 48, "length_ps": 2.5, "window": "one-sided cos^2", "resolution_cm-1": 16.3}
    write_csv(run.folder / "spectrum" / "spectrum.csv", Spectrum(curve.axis, curve.intensity, error=curve.error, header=header))
    page = report(Run("ethanol", run.folder, {}, {"simulate": {"thermalise_ps": 0.5, "timestep_fs": 1.0}}))
    for text in ("replica 3 left", "1.5 % of the samples, in 2 replicas", "errors of the energy say little", "rank correlation 0.05",
                 "temperature set 300 K, measured 297.2 K", "Kubo", "napierian", "43.43 L mol"):  # fmt: skip
        assert text in page, text
    assert "errors of the dipole say little" not in page


def test_card_and_assignment(run):
    path = run.folder / "conformers" / "reference.json"
    values = [{"number": 1, "species": "A'", "wavenumber": 3653, "remark": "matrix"}, {"number": 14, "species": "A''", "wavenumber": 2991}]
    measured = {"source": "a table", "conformer": "trans", "fundamentals": values}
    path.write_text(json.dumps({**json.loads(path.read_text()), "measured": measured}))
    page = report(run)
    for text in ("C₂H₆O, the most abundant isotopes", "Measured: a table.", "3653 (matrix)", "ν21", "bonds / Å"):
        assert text in page, text
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    stretch = next(row for row in rows if row and row[0] == "ν1" and row[1] == "A&#x27;")
    assert stretch[2] == "O-H stretch" and "3653 (matrix)" in stretch
    constants = next(row for row in rows if len(row) == 7 and row[1] == "PBE")
    molecule = run.reference.conformers[0].molecule
    places, masses = molecule.positions / units.ANGSTROM, molecule.masses / units.AMU
    moments = Atoms(numbers=molecule.numbers.tolist(), positions=places.numpy(), masses=masses.numpy()).get_moments_of_inertia()
    giga = _hplanck / (8 * np.pi**2 * moments * _amu * 1e-20) / 1e9
    assert constants[2] == "Cs" and [float(x) for x in constants[3].split(",\u00a0")] == pytest.approx(giga, rel=1e-4)


BANDS, RED, TRUE, OFF = [(960.0, 1120.0), (2700.0, 3120.0), (3500.0, 3850.0)], 0.96, 0.945, 7.0


def _true(harmonic: list[float]) -> dict:
    """Of the reference level: fundamentals 5.5 % below the harmonic lines."""
    return {"harmonic_per_cm": harmonic, "fundamentals_per_cm": [TRUE * x for x in harmonic], "soft": [0, 1], "resonances": []}


def divided(run: Run, *, measured: bool, checked: bool = False, **anharmonic) -> str:
    """The chapter on what remains: fundamentals 4 % below the harmonic lines, a measured curve ``OFF`` cm^-1 below the dynamics."""
    modes = [c.modes.frequencies.tolist() for c in run.model.conformers]
    resonances = [{"upper": 15, "lower": [14, 14], "offset_per_cm": -23.0, "coupling_per_cm": -149.0}]
    rows = [{"harmonic_per_cm": w, "fundamentals_per_cm": [RED * x for x in w], "soft": [0, 1], "resonances": resonances} for w in modes]
    (run.folder / "conformers" / "anharmonic.json").write_text(json.dumps(anharmonic or {"conformers": rows}))
    if checked:
        path = run.folder / "conformers" / "reference.json"
        content = json.loads(path.read_text())
        content["anharmonic"] = {c["name"]: _true(c["frequencies_per_cm"]) for c in content["conformers"]}
        path.write_text(json.dumps(content))
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
    """The numbers of the table of bands, the first of the chapter; a dash is None."""
    table = chapter.split("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]
    return [[None if c == "–" else float(c.split(" ±")[0].replace("−", "-")) for c in row[1:]] for row in rows if row]


@pytest.mark.parametrize("checked", [False, True])
def test_what_remains_adds_up(run, checked):
    chapter = divided(run, measured=True, checked=checked)
    found = cells(chapter)
    assert len(found) == 2  # the third band is beyond the measured curve
    for (measured, quantum, dynamics, off, classical, model, rest, own, ratio), (lower, upper) in zip(found, BANDS):
        assert off == pytest.approx(dynamics - measured, abs=0.11) and off == pytest.approx(OFF, abs=0.6)
        assert classical + model + rest == pytest.approx(off, abs=0.2)
        inside = [(w * c.modes.intensities, c.modes.frequencies) for w, c in zip(run.model.weights(300.0), run.model.conformers)]
        strengths, places = (np.concatenate([x[k].numpy() for x in inside]) for k in (0, 1))
        chosen = (places > lower) & (places < upper)
        centre = np.average(places[chosen], weights=strengths[chosen])
        assert quantum == pytest.approx(RED * centre, abs=0.06)
        assert model == pytest.approx((1 - 1 / SCALE) * centre, abs=0.1)
        assert ratio == pytest.approx(1.0, abs=0.02)
        if checked:  # what the model's VPT2 lacks is given to neither of the others
            excess = (RED - 1) * centre - (TRUE - 1) * centre / SCALE
            assert own == pytest.approx(-excess, abs=0.2) and classical == pytest.approx(dynamics - quantum + excess, abs=0.2)
        else:
            assert own is None and classical == pytest.approx(dynamics - quantum, abs=0.11)
    assert "resonance omitted: 16 with 15 + 15, -23.0 off" in chapter and chapter.count("excluded from VPT2") == 4
    assert ("errors have cancelled" in chapter) == checked and ("No anharmonic constants" in chapter) != checked
    assert "Comparison with experiment" in report(run)


def test_what_remains_without_a_measured_curve_or_a_reference(run):
    chapter = divided(run, measured=False)
    found = cells(chapter)
    assert "Quantum nuclei" in chapter and "Functional" not in chapter and len(found) == 3
    assert all(row[3] == row[4] == pytest.approx(row[2] - row[1], abs=0.11) and row[5] is None for row in found)
    (run.folder / "conformers" / "reference.json").unlink()
    alone = Run("ethanol", run.folder, {}, {})
    assert all(row[6] is None for row in cells("".join(remainder(alone))))


@pytest.mark.parametrize("measured", [False, True])
def test_dynamics_of_quantum_nuclei_is_told_beside_vpt2(run, measured):
    """What it is off is the error of methods, model and functional; nothing is called classical nuclei on the page."""
    (run.folder / "simulate").mkdir(exist_ok=True)
    drift = {"drift_meV_per_atom_per_ps": 0.0, "worst_replica": 0.0, "replicas": 48, "duration_ps": 2.5, "timestep_fs": 1.0,
             "ensemble": "trpmd", "constant_energy": False, "words": "as ring polymers", "nuclei": "quantum nuclei (16 beads)",
             "quantum": "quantum nuclei (16 beads): kinetic energy 900.00 +- 1.00 meV (centroid virial)"}  # fmt: skip
    (run.folder / "simulate" / "drift.json").write_text(json.dumps(drift))
    chapter = divided(run, measured=measured, checked=True)
    found = cells(chapter)
    assert len(found) == 3 and "900.00 +- 1.00 meV" in chapter
    for place, quantum, dynamics, off, methods, own, model, rest in found:
        assert methods == pytest.approx(dynamics - quantum, abs=0.11)
        if place is not None:
            assert off == pytest.approx(OFF, abs=0.6) and methods + own + model + rest == pytest.approx(off, abs=0.2)
    assert [row[0] is None for row in found] == ([False, False, True] if measured else [True] * 3)
    page = report(run)
    assert "along trajectories of quantum nuclei (16 beads)" in page
    assert "trajectories of classical nuclei" not in page and "dipole correlation taken as Kubo-transformed" in page


def test_the_tables_of_the_documentation_are_those_of_the_page(run):
    chapter = divided(run, measured=True, checked=True)
    made = tables(run)
    assert {f"ethanol-{kind}" for kind in ("bands", "shares", "shifts", "division")} <= set(made)
    rows = [[None if cell is None else float(cell.split(" +-")[0]) for cell in row[1:]] for row in made["ethanol-division"].rows]
    assert rows == cells(chapter)
    assert made["ethanol-division"].columns[:2] == ["band", "measured"] and made["ethanol-bands"].columns[2] == "integral / km mol^-1"
    assert all(table.markdown().isascii() for table in made.values())


def test_titles_break_before_their_unit():
    made = page.table(["model, wide / km mol⁻¹", "a − b", "plain"], [[1.0, 2.0, "x"]])
    assert "model, wide /\u00a0km\u00a0mol⁻¹<" in made and "a −\u00a0b<" in made and ">plain<" in made
    assert page.formula("C2H6O") == "C₂H₆O" and page.powers("cos^2, 16 cm^-1") == "cos², 16 cm⁻¹"


def test_what_remains_says_why_it_is_not_told(run):
    assert "20 atoms are more than" in divided(run, measured=True, skipped="20 atoms are more than `anharmonic.atoms`, now 15.")
    (run.folder / "conformers" / "anharmonic.json").unlink()
    assert remainder(run) == []


def test_a_group_of_lines_below_the_spectrum_is_no_band():
    sticks = Sticks(np.array([163.9, 239.9, 293.0, 650.6, 1300.0]), np.ones(5))
    limits = bands_around(sticks)
    inside = [((sticks.frequencies > lower) & (sticks.frequencies < upper)).sum() for lower, upper in limits]
    assert limits[0][0] >= 350 and inside == [1, 1]
