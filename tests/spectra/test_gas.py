"""Absorbance of a gas on the molar scale: the law of Beer and Lambert."""

import numpy as np
import pytest

from densnet.spectra.gas import molar
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum

AXIS = np.arange(500.0, 2000.0, 1.0)
GAS = {"partial_pressure": "30 mmHg", "path length": "5 CM"}


def test_an_integral_comes_back():
    column = 30 * 133.322 / (8.31446 * 298.15) * 0.05  # mol / m^2
    strength = 150.0  # km/mol
    absorbance = 0.015 + strength * 10 * column / np.log(10) * Gaussian(20.0)(AXIS - 1060)
    found = molar(Spectrum(AXIS, absorbance, "absorbance", header=GAS))
    assert found.unit == ABSOLUTE and "298.15 K" in found.header["molar"]
    assert found.integral(900, 1200) == pytest.approx(strength, rel=1e-3)
    assert found.intensity[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("header", [{}, {**GAS, "path length": "5"}, {**GAS, "partial_pressure": "unknown"}])
def test_without_pressure_or_path_it_stays_as_it_is(header):
    spectrum = Spectrum(AXIS, np.ones_like(AXIS), "absorbance", header=header)
    assert molar(spectrum) is spectrum


def test_what_is_no_absorbance_stays_as_it_is():
    spectrum = Spectrum(AXIS, np.ones_like(AXIS), ABSOLUTE, header=GAS)
    assert molar(spectrum) is spectrum
