"""Absorbance of a gas on the molar scale: the law of Beer and Lambert."""

import numpy as np
import pytest

from densnet.spectra.gas import absorbance, molar
from densnet.spectra.spectrum import ABSOLUTE, Gaussian, Spectrum, SpectrumError

AXIS = np.arange(500.0, 2000.0, 1.0)
GAS = {"partial_pressure": "30 mmHg", "path length": "5 CM"}


def gas(header, temperature=298.15, strength=150.0):
    """A band of ``strength`` km/mol at 1060 cm^-1 as the absorbance of 30 mmHg over 5 cm."""
    column = 30 * 133.322 / (8.31446 * temperature) * 0.05  # mol / m^2
    return Spectrum(AXIS, strength * 10 * column / np.log(10) * Gaussian(20.0)(AXIS - 1060), "absorbance", header=header)


@pytest.mark.parametrize(
    "header, temperature",
    [
        (GAS, 298.15),
        ({**GAS, "temperature": "350 K"}, 350.0),
        ({**GAS, "temperature": "23 C"}, 296.15),
        ({**GAS, "temperature": "23"}, 296.15),
        ({**GAS, "temperature": "73.4 deg F"}, 296.15),
        ({**GAS, "temperature": "ambient"}, 298.15),
        ({**GAS, "partial_pressure": "30 mm Hg"}, 298.15),
        ({**GAS, "partial_pressure": "3.99966 kPa", "path length": "0,05 m"}, 298.15),
        ({"state": "GAS (30 mmHg DILUTED TO A TOTAL PRESSURE OF 600 mmHg WITH N2)", "path length": "50 mm"}, 298.15),
    ],
)
def test_an_integral_comes_back(header, temperature):
    found = molar(gas(header, temperature))
    assert found.unit == ABSOLUTE and f"{temperature:g} K" in found.header["molar"]
    assert found.integral(900, 1200) == pytest.approx(150.0, rel=1e-5)
    again = absorbance(found, 30 * 133.322, 0.05, temperature)
    assert again.unit == "absorbance" and again.intensity == pytest.approx(gas(header, temperature).intensity, rel=1e-5)
    assert molar(again).intensity == pytest.approx(found.intensity, rel=1e-5)


@pytest.mark.parametrize(
    "header", [{}, *({**GAS, key: v} for key, v in (("path length", "5"), ("partial_pressure", "?"), ("path length", "5 ft")))]
)
def test_without_pressure_or_path_it_stays_as_it_is(header):
    spectrum = Spectrum(AXIS, np.ones_like(AXIS), "absorbance", header=header)
    assert molar(spectrum) is spectrum


def test_what_is_no_absorbance_stays_as_it_is():
    spectrum = Spectrum(AXIS, np.ones_like(AXIS), ABSOLUTE, header=GAS)
    assert molar(spectrum) is spectrum
    with pytest.raises(SpectrumError, match="no absorbance from arbitrary units"):
        absorbance(Spectrum(AXIS, AXIS, "arbitrary units"), 1000.0, 0.1)


@pytest.mark.parametrize("temperature", ["296", "0 K", "300 R"])
def test_a_temperature_that_could_be_two_is_asked_for(temperature):
    with pytest.raises(SpectrumError, match=f"a.jdx: in which unit is the temperature '{temperature}'"):
        molar(gas({**GAS, "temperature": temperature}), "a.jdx")
