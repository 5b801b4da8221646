"""A finished run of ethanol, made from the shipped data."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from densnet.artefacts.run import Run
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.sticks import sticks_of
from densnet.spectra.tables import write_csv

SCALE = 1.004


@pytest.fixture
def run(tmp_path) -> Run:
    """`ethanol` in a folder of its own."""
    return ethanol(tmp_path)


def ethanol(folder: Path) -> Run:
    """Ethanol by a model whose force constants are 0.8 % too high, so that every wavenumber is 0.4 % too high."""
    reference = json.loads((files("densnet") / "data" / "molecules" / "ethanol.json").read_text())
    for place in ("conformers", "spectrum"):
        (folder / place).mkdir()
    reference.pop("anharmonic", None)
    (folder / "conformers" / "reference.json").write_text(json.dumps(reference))
    for conformer in reference["conformers"]:
        conformer["hessian_hartree_per_bohr2"] = [SCALE**2 * x for x in conformer["hessian_hartree_per_bohr2"]]
    (folder / "conformers" / "conformers.json").write_text(json.dumps(reference))
    names = [(c["name"], k) for k, c in enumerate(reference["conformers"])]
    rows = [
        {"name": name, "symmetry": 2 - k, "replicas": 16 * (k + 1), "weight": (k + 1) / 3, "energy_kJ_per_mol": 0.2 * k,
         "free_energy_kJ_per_mol": 0.1 * k, "dipole_at_minimum_D": 1.51 + 0.14 * k, "dipole_D": 1.5, "dipole_error_D": 0.01}
        for name, k in names
    ]  # fmt: skip
    told = {"temperature_K": 300.0, "conformers": rows, "dipole_D": 1.6, "dipole_error_D": 0.01, "spent": [[0.8, 0.2], [0.1, 0.9]],
            "observed": [0.33, 0.67], "observed_error": [0.02, 0.02], "ended_elsewhere": 0.15}  # fmt: skip
    (folder / "spectrum" / "ensemble.json").write_text(json.dumps(told))
    run = Run("ethanol", folder, {}, {})
    axis = np.arange(0.0, 4001.0)
    curve = sticks_of(run.model, 300.0).broaden(axis)
    for name in ("spectrum", "conformer-1", "conformer-2"):
        write_csv(folder / "spectrum" / f"{name}.csv", Spectrum(axis, curve.intensity, error=0.1 * curve.intensity))
    return run


@pytest.fixture(scope="module")
def browser():
    """Chromium, by playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright, which drives a browser, is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no browser (chromium, google-chrome) is installed")
    options = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=options, timeout=120_000)
        yield found
        found.close()
