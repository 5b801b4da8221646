"""What the report says of conformers and modes, from the shipped data of ethanol and a perturbed copy as the model."""

import json
from importlib.resources import files

import numpy as np
import pytest

from densnet.report.content import promises, report
from densnet.report.harmonic import sticks_of
from densnet.report.run import Run
from densnet.spectra.spectrum import Spectrum
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
