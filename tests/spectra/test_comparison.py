"""Similarity numbers against closed forms."""

import numpy as np
import pytest

from densnet.spectra.comparison import ComparisonSettings, compare
from densnet.spectra.spectrum import Gaussian, Spectrum, SpectrumError, Sticks, smoothed

AXIS = np.arange(0.0, 4501.0, 1.0)
UNSMOOTHED = ComparisonSettings(sigma=0.0)


def lines(frequencies, intensities, sigma=10.0):
    return Sticks(np.asarray(frequencies), np.asarray(intensities)).broaden(AXIS, Gaussian(sigma))


def test_a_spectrum_is_like_itself_whatever_its_scale():
    one = lines([1000.0, 3000.0], [1.0, 2.0])
    scaled = Spectrum(one.axis, 7.3 * one.intensity, "arbitrary units")
    found = compare(one, scaled)
    assert (found.similarity, found.pearson, found.wasserstein) == pytest.approx((1.0, 1.0, 0.0), abs=1e-9)
    assert (found.lower, found.upper, found.step, found.sigma, found.clip) == (400.0, 4000.0, 2.0, 10.0, 1e-10)
    assert "sigma 10" in str(found) and "400-4000" in str(found)


@pytest.mark.parametrize("shift", [1.0, 4.0, 10.0])
def test_one_shifted_line_in_closed_form(shift):
    # two Gaussians of the same sigma: sum p ln(p/q) + q ln(q/p) = (shift / sigma)^2
    found = compare(lines([2000.0], [1.0]), lines([2000.0 + shift], [1.0]), UNSMOOTHED)
    assert found.similarity == pytest.approx(1.0 / (1.0 + (shift / 10.0) ** 2), abs=2e-6)
    assert found.wasserstein == pytest.approx(shift, abs=1e-4)
    # overlap of two equal Gaussians, less the mean over 3600 cm^-1
    overlap, mean = np.exp(-((shift / 20.0) ** 2)), 20 * np.sqrt(np.pi) / 3600
    assert found.pearson == pytest.approx((overlap - mean) / (1 - mean), abs=1e-3)


def test_smoothing_adds_in_quadrature():
    narrow = compare(lines([2000.0], [1.0], sigma=6.0), lines([2003.0], [1.0], sigma=6.0), ComparisonSettings(sigma=8.0))
    assert narrow.similarity == pytest.approx(1.0 / (1.0 + 0.3**2), abs=2e-6)


def test_two_boxes_by_hand():
    # p = (1, 0), q = (0, 1) in halves, clip e: divergence = 2 (1 - e') ln(1/e') per unit mass
    axis = np.arange(400.0, 4001.0, 2.0)
    left, right = (axis < 2200).astype(float), (axis >= 2200).astype(float)
    p, q = left / left.sum(), right / right.sum()
    p, q = (np.maximum(v, 1e-10) / np.maximum(v, 1e-10).sum() for v in (p, q))
    expected = 1 / (1 + np.sum(p * np.log(p / q) + q * np.log(q / p)))
    assert compare(Spectrum(axis, left), Spectrum(axis, right), UNSMOOTHED).similarity == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("spacing", [12.0, 25.0, 40.0, 100.0])
def test_a_coarse_curve_is_interpolated_before_it_is_smoothed(spacing):
    # one point of height 1 is a triangle of area d and variance d^2/6, to which smoothing adds sigma^2
    axis = np.arange(2000 - 10 * spacing, 2001 + 10 * spacing, spacing)
    found = smoothed(Spectrum(axis, (axis == 2000).astype(float)), AXIS, 10.0)
    assert found.sum() == pytest.approx(spacing, rel=1e-3)
    assert (found * (AXIS - 2000) ** 2).sum() / spacing == pytest.approx(spacing**2 / 6 + 10**2, rel=1e-2)
    # a constant stays one: without interpolation it is a comb of Gaussians, of maximum spacing / (sigma sqrt(2 pi))
    flat = smoothed(Spectrum(axis, np.ones_like(axis)), np.arange(1950.0, 2051.0), 10.0)
    assert flat == pytest.approx(np.ones(101), abs=1e-3)
    coarse = Spectrum(axis, np.exp(-np.abs(axis - 2000) / 60))
    fine = np.arange(axis[0], axis[-1], 0.5)
    assert compare(coarse, Spectrum(fine, np.interp(fine, axis, coarse.intensity))).similarity > 0.9999


def test_sensitivity_to_frequency_errors():
    # 21 sticks at sigma 10: a mean frequency error of 4 / 3 / 2 / 1 cm^-1 means SIS 0.83 / 0.90 / 0.95 / 0.99, r 0.94 / 0.97 / 0.98 / 0.99
    rng = np.random.default_rng(7)
    for error, similarity, correlation in ((4, 0.83, 0.94), (3, 0.90, 0.97), (2, 0.95, 0.98), (1, 0.99, 0.99)):
        found = []
        for _ in range(40):
            frequencies, strengths = rng.uniform(500, 3900, 21), rng.exponential(1.0, 21)
            shifts = rng.normal(size=21)
            shifts *= error / np.abs(shifts).mean()
            found.append(compare(lines(frequencies, strengths), lines(frequencies + shifts, strengths), UNSMOOTHED))
        assert np.mean([f.similarity for f in found]) == pytest.approx(similarity, abs=0.03)
        assert np.mean([f.pearson for f in found]) == pytest.approx(correlation, abs=0.03)


def test_only_the_common_range_is_compared_and_stated():
    full = lines([1000.0, 3000.0], [1.0, 1.0])
    part = AXIS[(AXIS >= 600) & (AXIS <= 2000)]
    found = compare(full, Spectrum(part, np.interp(part, full.axis, full.intensity)))
    assert (found.lower, found.upper) == (600.0, 2000.0)
    assert found.similarity == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(SpectrumError, match="nothing to compare"):
        compare(full, Spectrum(np.array([5000.0, 6000.0]), np.ones(2)))
    with pytest.raises(SpectrumError, match="without any intensity"):
        compare(full, Spectrum(AXIS, np.zeros_like(AXIS)))
