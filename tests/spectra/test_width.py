"""One width for all: convolution keeps integrals, widens lines to what is asked, and takes its error from the replicas."""

import numpy as np
import pytest

from densnet.spectra.gas import absorbance
from densnet.spectra.jcamp import write_jcamp
from densnet.spectra.measured import read_measured
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Replicas, Spectrum, Sticks
from densnet.spectra.width import sparse, widened

AXIS = np.arange(0.0, 4001.0)


def width_of(curve: Spectrum) -> float:
    """Full width at half height."""
    above = curve.axis[curve.intensity > 0.5 * curve.intensity.max()]
    return above[-1] - above[0]


@pytest.mark.parametrize("axis", [AXIS, np.arange(0.0, 4001.0, 8.0), np.unique(np.r_[AXIS[::7], AXIS[::11]])])
def test_a_line_gets_the_width_and_keeps_its_integral(axis):
    line = Sticks(np.array([1600.0]), np.array([100.0])).broaden(axis, Gaussian.of_width(16.0))
    found = widened(Spectrum(line.axis, line.intensity, header={"resolution_cm-1": 16.0}), 40.0)
    assert width_of(found) == pytest.approx(40.0, abs=2.5)
    assert found.integral(1400, 1800) == pytest.approx(100.0, rel=5e-3) and found.header["resolution_cm-1"] == 40.0


def test_what_is_wide_enough_stays_and_a_plateau_reaches_to_the_end():
    line = Spectrum(AXIS, np.ones_like(AXIS), header={"resolution_cm-1": 50.0})
    assert widened(line, 40.0) is line
    assert widened(line, 80.0).intensity == pytest.approx(np.ones_like(AXIS))


def test_the_error_is_that_of_the_smoothed_mean():
    rows = np.random.default_rng(3).normal(size=(40, len(AXIS)))
    replicas = Replicas(rows, np.full(40, 1 / 40), np.zeros(40, dtype=int))
    found = widened(Spectrum(AXIS, rows.mean(0), error=replicas.standard_error(rows), replicas=replicas), 30.0, own=0.0)
    sigma = Gaussian.of_width(30.0).sigma
    white = 1 / np.sqrt(40) / np.sqrt(2 * np.sqrt(np.pi) * sigma)  # of noise that is independent from point to point
    assert np.median(found.error) == pytest.approx(white, rel=0.05)
    assert widened(Spectrum(AXIS, rows[0], error=np.ones_like(AXIS)), 30.0).error is None


def test_fewer_points_keep_bands():
    line = Sticks(np.array([1060.0, 2950.0]), np.array([80.0, 150.0])).broaden(AXIS, Gaussian.of_width(36.0))
    line = Spectrum(AXIS, line.intensity, error=0.1 * line.intensity, header={"resolution_cm-1": 36.0})
    few = sparse(line)
    assert np.diff(few.axis) == pytest.approx(3.0) and few.error == pytest.approx(0.1 * few.intensity)
    assert few.integral(900, 1200) == pytest.approx(80.0, rel=1e-4) and few.centroid(900, 1200) == pytest.approx(1060.0, abs=0.01)
    narrow = Spectrum(AXIS, line.intensity, header={"resolution_cm-1": 16.0})
    assert len(sparse(narrow).axis) == len(AXIS)  # a point is left out only if twelve remain


def test_absorbance_of_a_stated_cell_comes_back_as_ours(tmp_path):
    ours = Sticks(np.array([1060.0, 2950.0]), np.array([80.0, 150.0])).broaden(AXIS, Gaussian(10.0))
    ours = Spectrum(ours.axis, ours.intensity, header={"temperature_K": 298.15})
    write_jcamp(tmp_path / "cell.jdx", absorbance(ours), "ethanol")
    text = (tmp_path / "cell.jdx").read_text()
    assert "##YUNITS=ABSORBANCE" in text and "##PARTIAL_PRESSURE=1000 Pa" in text and "##PATH LENGTH=0.1 m" in text
    back = read_measured(tmp_path / "cell.jdx")
    assert back.unit == ABSOLUTE and back.integral(900, 1200) == pytest.approx(80.0, rel=1e-3)
    one = 0.1 * 1000 / (8.31446 * 298.15) * 10 / np.log(10)  # 1 km/mol per cm^-1 is 10 m^2/mol, Napierian
    assert absorbance(ours).intensity.max() == pytest.approx(one * ours.intensity.max(), rel=1e-6)
