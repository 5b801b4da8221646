"""Sticks, profiles, bands, mixtures."""

import numpy as np
import pytest

from densnet.spectra.spectrum import (
    ABSOLUTE,
    Gaussian,
    Lorentzian,
    Replicas,
    Spectrum,
    SpectrumError,
    Sticks,
    mixture,
)

AXIS = np.arange(0.0, 4500.5, 1.0)


def lines(*pairs, sigma=10.0):
    return Sticks(np.array([f for f, _ in pairs]), np.array([i for _, i in pairs])).broaden(AXIS, Gaussian(sigma))


@pytest.mark.parametrize("profile", [Gaussian(10.0), Gaussian.of_width(24.0), Lorentzian(4.0)])
def test_profiles_have_unit_area_and_their_width(profile):
    x = np.linspace(-20000, 20000, 4000001)
    y = profile(x)
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=2e-4)
    width = {Gaussian(10.0): 23.548, Gaussian.of_width(24.0): 24.0, Lorentzian(4.0): 4.0}[profile]
    above = x[y > 0.5 * y.max()]
    assert above[-1] - above[0] == pytest.approx(width, abs=0.03)


def test_a_stick_integrates_to_its_intensity():
    spectrum = lines((1600.0, 63.0), (3700.0, 48.0))
    assert spectrum.unit == ABSOLUTE
    assert spectrum.integral(1500, 1700) == pytest.approx(63.0, rel=1e-9)
    assert spectrum.integral(3600, 3800) == pytest.approx(48.0, rel=1e-9)
    assert spectrum.centroid(3600, 3800) == pytest.approx(3700.0, abs=1e-6)
    assert spectrum.integral(1600, 1700) == pytest.approx(31.5, rel=1e-6)


def test_bands_are_found():
    bands = lines((1585.0, 63.0), (3688.0, 1.5), (3801.0, 48.0), sigma=20.0).find_bands()
    assert [round(b.maximum) for b in bands][0] == 1585
    assert sum(b.integral for b in bands) == pytest.approx(112.5, rel=5e-3)
    assert bands[0].integral == pytest.approx(63.0, rel=1e-3)
    assert all(a.upper <= b.lower for a, b in zip(bands[:-1], bands[1:]))
    assert len(bands) == 2  # the weak stretch is a shoulder of the strong one
    assert len(lines((1000.0, 10.0), (1060.0, 4.0), sigma=15.0).find_bands()) == 1
    close = lines((1000.0, 10.0), (1150.0, 10.0)).find_bands()
    assert [b.centroid for b in close] == pytest.approx([1000.0, 1150.0], abs=1.0)
    assert [b.integral for b in close] == pytest.approx([10.0, 10.0], rel=2e-3)


def test_band_without_replicas_integrates_the_error_band():
    spectrum = Spectrum(AXIS, np.ones_like(AXIS), error=np.full_like(AXIS, 0.1))
    band = spectrum.band(100, 200)
    assert (band.integral, band.error) == pytest.approx((100.0, 10.0))
    assert Spectrum(AXIS, np.ones_like(AXIS)).band(100, 200).error is None
    with pytest.raises(SpectrumError, match="covers 0 to 4500"):
        spectrum.band(5000, 5100)


def replicas(values):
    values = np.asarray(values)
    return Replicas(values, np.full(len(values), 1 / len(values)), np.zeros(len(values), dtype=int))


def sampled(seed, count):
    rows = replicas(np.random.default_rng(seed).normal(size=(count, len(AXIS))))
    return Spectrum(AXIS, rows.mean(rows.intensity), error=rows.standard_error(rows.intensity), replicas=rows)


def test_mixture_adds_errors_of_conformers_in_quadrature():
    a, b = sampled(0, 5), sampled(1, 8)
    mixed = mixture([a, b], [3.0, 1.0])
    assert mixed.intensity == pytest.approx(0.75 * a.intensity + 0.25 * b.intensity)
    assert mixed.error == pytest.approx(np.hypot(0.75 * a.error, 0.25 * b.error))
    # the same from the single spectra, which know two groups
    assert mixed.replicas.standard_error(mixed.replicas.intensity) == pytest.approx(mixed.error)
    separate = np.hypot(0.75 * a.band(500, 600).error, 0.25 * b.band(500, 600).error)
    assert mixed.band(500, 600).error == pytest.approx(separate)


def test_mixture_refuses_another_axis():
    with pytest.raises(SpectrumError, match="one axis"):
        mixture([lines((1000.0, 1.0)), Spectrum(AXIS[:-1], AXIS[:-1])], [1, 1])


@pytest.mark.parametrize("axis, intensity", [([1, 2, 2], [0, 0, 0]), ([1, 2], [1, np.nan]), ([1, 2, 3], [1, 2]), ([1], [1])])
def test_bad_spectra_are_refused(axis, intensity):
    with pytest.raises(SpectrumError):
        Spectrum(np.array(axis, dtype=float), np.array(intensity, dtype=float))
