"""How results show themselves in a notebook: HTML that is whole, small, needs nothing, and holds the numbers."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from springs import WATER, Springs

from densnet import markup
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.observables.vibrations import modes, normal_modes, relax
from densnet.simulation.run import SimulateSettings, read_trajectory, simulate
from densnet.spectra.infrared import from_modes
from densnet.spectra.spectrum import Spectrum
from tests.spectra.test_raman import HYDROGEN


class Reader(HTMLParser):
    """Text of a piece of HTML in which every element that is opened is closed in its turn, but for those without content."""

    def __init__(self):
        super().__init__()
        self.open, self.words = [], []

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "img", "style", "iframe") and not any(name.startswith("on") for name, _ in attrs)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in ("path", "polyline", "polygon")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def words(piece: str, most: int = 20_000) -> list[str]:
    """What a reader sees."""
    reader = Reader()
    reader.feed(piece)
    assert not reader.open and len(piece) < most and "http" not in piece
    return reader.words


@pytest.fixture(scope="module")
def water():
    model = load("water").double()
    molecule = relax(model, Molecules.single([8, 1, 1], [[0.0, 0.0, 0.22], [0.0, 1.43, -0.89], [0.0, -1.43, -0.89]]))
    return model, molecule


def test_modes_from_the_highest_wavenumber(water):
    found = normal_modes(*water)
    told = words(found._repr_html_())
    assert told[:4] == ["Normal modes of H2O", "mode", "cm⁻¹", "km/mol"]
    for value in [*found.frequencies.tolist(), *found.intensities.tolist()]:
        assert f"{value:.1f}" in told
    assert told.index(f"{float(found.frequencies[2]):.1f}") < told.index(f"{float(found.frequencies[0]):.1f}")


def test_modes_without_intensities():
    along = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, -1.0], dtype=torch.float64)
    told = words(modes(HYDROGEN, -0.1 * torch.outer(along, along))._repr_html_())
    assert "–" in told and any(re.fullmatch(r"−\d+\.\d", word) for word in told)


def test_a_curve_keeps_its_peaks_and_its_error():
    axis = np.arange(400.0, 4001.0)
    line = np.where(axis == 1735, 3.25, 0.001 * np.sin(axis))
    piece = Spectrum(axis, line, error=np.full(len(axis), 0.01), header={"made by": "<b>hand</b>"})._repr_html_()
    told = words(piece)
    assert "3.26 km/mol per cm^-1" in told and "<b>hand</b>" in told and "2000" in told
    band, line = (np.array(re.findall(r"(-?[\d.]+),(-?[\d.]+)", points), dtype=float) for points in re.findall(r'points="([^"]*)"', piece))
    assert line[line[:, 1].argmin()] == pytest.approx([markup.WIDTH * (4000 - 1735) / 3600, 14], abs=0.6)  # the axis falls to the right
    assert len(band) == 2 * len(line) <= 4 * (markup.BINS + 1)
    flat = Spectrum([0.0, 1.0], [0.0, 0.0])
    assert "nan" not in flat._repr_html_()


def test_a_harmonic_spectrum(water):
    assert "how it was made" in " ".join(words(from_modes(normal_modes(*water)).broaden(np.arange(400.0, 4001.0))._repr_html_()))


def test_a_density_tells_dipole_and_charges(water):
    model, molecule = water
    density = model(molecule).density
    told = words(density._repr_html_())
    assert "H2O" in told and f"{float(density.dipole().norm()) * 2.541746473:.4f}" in told
    assert f"O {-float(density.charges()[0]):+.2f}" in " ".join(told)
    many = model(molecule.copies(molecule.positions.expand(12, -1, -1))).density
    assert words(many._repr_html_()).count("H2O") == 10 and "2 more molecules" in words(many._repr_html_())


def test_a_trajectory_tells_what_was_run(tmp_path):
    settings = SimulateSettings(replicas=3, thermalise_ps=0.02, duration_ps=0.06, sample_every=4, seed=3, temperature=200)
    run = read_trajectory(simulate(Springs(WATER), WATER, settings, tmp_path / "run"))
    told = words(run._repr_html_())
    assert told[0] == "Trajectory of H2O" and told[told.index("replicas") + 1] == "3"
    assert "(set: 200 K)" in told[told.index("temperature") + 1]


def test_nothing_is_drawn_by_matplotlib():
    code = "import sys, densnet.spectra.spectrum; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
