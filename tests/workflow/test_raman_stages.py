"""A run with a model that knows the polarizability: harmonic Raman lines, samples, spectrum, bands, page; without it nothing of these."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from densnet.model.predictor import load
from densnet.model.response_network import ResponseNetworkSettings
from densnet.report.content import report
from densnet.simulation.trajectory import read_trajectory
from densnet.spectra import raman
from densnet.workflow.execution import run
from densnet.workflow.settings import RunFile

SETTINGS = """
[run]
model = "model.safetensors"
geometries = "water.xyz"
[simulate]
replicas = 4
thermalise_ps = 0.02
duration_ps = 0.1
threads = 1
[anharmonic]
atoms = 0
[spectrum]
depth = 60
laser_nm = 633
experiment = ["raman.csv"]
bands = [[1200, 2000], [3000, 4300]]
"""
CURVE = "Raman shift (cm-1),intensity\n" + "".join(f"{x},{np.exp(-((x - 3650) ** 2) / 800):.5f}\n" for x in range(400, 4000, 10))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of water by the shipped model with a network 3 of random weights."""
    place: Path = tmp_path_factory.mktemp("raman")
    model = load("water")
    torch.manual_seed(3)
    model.add_response_network(ResponseNetworkSettings(channels=8, head_channels=4, layers=0))
    with torch.no_grad():
        for weight in model.response_network.parameters():
            if (weight == 0).all():
                weight.normal_(0.0, 0.05)
    model.save(place / "model.safetensors")
    (place / "water.xyz").write_text("3\nconformer=bent\nO 0 0 -0.0637\nH 0 0.7722 0.5053\nH 0 -0.7722 0.5053\n")
    (place / "raman.csv").write_text(CURVE)
    (place / "mine.toml").write_text(SETTINGS.replace("[run]", f'[run]\nfolder = "{place / "out"}"'))
    return run(place / "mine.toml")


def test_samples_are_those_of_the_model(done):
    found, model = read_trajectory(done.folder / "simulate"), load(done.folder.parent / "model.safetensors")
    start = done.model.conformers[0].molecule
    expected = model.respond(start.copies(found.positions[:, 7].double())).polarizability
    assert torch.allclose(found.polarizability[:, 7].float(), expected, rtol=1e-4, atol=1e-4)


def test_spectrum_bands_and_lines(done):
    columns = done.raman
    assert set(columns) == {"total", "parallel", "perpendicular", "activity"} and columns["total"].unit == raman.CROSS_SECTION
    assert columns["total"].header["laser_nm"] == 633.0 and columns["total"].error is not None
    told = json.loads((done.folder / "spectrum" / "raman-bands.json").read_text())
    assert [b["lower"] for b in told["bands"]] == [1200, 3000] and told["laser_nm"] == 633.0
    lines = raman.lines_of(done.model)["bent"]
    assert told["bands"][1]["harmonic"] == pytest.approx(float(lines.activities[1:].sum()))
    assert 0 <= told["bands"][1]["harmonic_depolarisation"] <= 0.75 and told["bands"][1]["depolarisation_error"] > 0
    assert "SIS" in json.loads((done.folder / "spectrum" / "raman-comparison.json").read_text())["raman.csv"]
    assert (done.folder / "raman.png").stat().st_size > 10_000 and done.experiments == []


def test_the_page(done):
    page = (done.folder / "report.html").read_text()
    assert "Infrared and Raman spectrum of out" in page and "<h2>Raman spectrum</h2>" in page and "scaled to the largest band" in page
    assert "depolarisation" in page and "0.069446 e Å² V⁻¹" in page and "Raman, model" in page and "633 nm" in page
    bare = replace(done, folder=done.folder.parent / "none")
    assert "Raman" not in report(bare)


def test_older_runs_keep_their_key():
    settings = RunFile.model_validate({"run": {"model": "water"}})
    assert "laser_nm" not in settings.spectrum.deciding() and "polarizability" not in settings.simulate.deciding()
