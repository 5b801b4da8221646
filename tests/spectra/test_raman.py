"""Raman lines of molecules whose polarizability is known in closed form: bonds that are softer along than across."""

import math

import numpy as np
import pytest
import torch

from densnet import units
from densnet.molecules import MoleculeError, Molecules
from densnet.observables.response import polarizability_derivatives, slopes
from densnet.observables.vibrations import modes
from densnet.properties import Properties
from densnet.spectra import raman
from densnet.spectra.spectrum import SpectrumError
from densnet.spectra.timeseries import Sampling, SeriesSettings
from densnet.symmetry import random_rotation

ALONG, ACROSS = 1.3, 0.4
"""Slopes of a bond's polarizability with its length, bohr^2."""

HYDROGEN = Molecules.single([1, 1], torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.4]], dtype=torch.float64))
CORNERS = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64) * 2.06 / math.sqrt(3)
METHANE = Molecules.single([6, 1, 1, 1, 1], torch.cat([torch.zeros(1, 3, dtype=torch.float64), CORNERS]))


def bonds(molecules: Molecules) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengths and directions [molecules, bonds(, 3)] from the first atom to each of the others."""
    x = molecules.positions.view(molecules.count, -1, 3)
    arms = x[:, 1:] - x[:, :1]
    lengths = arms.norm(dim=2)
    return lengths, arms / lengths[..., None]


def springs(molecules: Molecules) -> Properties:
    """Bonds with springs and with a polarizability; angles between bonds with springs, too."""
    x = molecules.positions.detach().requires_grad_()
    lengths, directions = bonds(molecules.at(x))
    energy = 0.2 * (lengths - lengths.mean().detach()).square().sum(1)
    energy = energy + 0.05 * ((directions @ directions.mT + 1 / 3).square().sum((1, 2)))
    (slope,) = torch.autograd.grad(energy.sum(), x)
    length, e = lengths.detach(), directions.detach()
    outer = e[..., :, None] * e[..., None, :]
    alpha = length[..., None, None] * (ACROSS * torch.eye(3, dtype=x.dtype) + (ALONG - ACROSS) * outer)
    return Properties(molecules, energy=energy.detach(), forces=-slope, polarizability=alpha.sum(1))


def lines(molecule: Molecules) -> raman.Lines:
    return raman.from_modes(modes(molecule, slopes(springs, molecule).hessian), polarizability_derivatives(springs, molecule))


def test_a_diatomic_in_closed_form():
    """a' = (along + 2 across) / 3, g' = along - across, each times dr/dQ = 1 / sqrt(reduced mass)."""
    found = lines(HYDROGEN)
    reduced = float(HYDROGEN.masses[0]) / 2
    mean, anisotropy = ((ALONG + 2 * ACROSS) / 3) ** 2 / reduced, (ALONG - ACROSS) ** 2 / reduced
    angstrom = 0.529177210903
    expected = (45 * mean + 7 * anisotropy) * angstrom**4 * units.AMU
    assert found.activities.tolist() == pytest.approx([expected], rel=1e-5)
    assert found.depolarisation.tolist() == pytest.approx([3 * anisotropy / (45 * mean + 4 * anisotropy)], rel=1e-5)


def test_methane_breathes_polarised_and_its_other_modes_do_not():
    found = lines(METHANE)
    strong = found.activities > 1e-4 * found.activities.max()
    ratios = found.depolarisation[strong]
    breathing = ratios < 0.5
    assert int(breathing.sum()) == 1 and float(ratios[breathing]) == pytest.approx(0.0, abs=1e-6)
    assert ratios[~breathing].tolist() == pytest.approx([0.75] * int((~breathing).sum()), abs=1e-5) and len(ratios) > 3


def test_lines_do_not_depend_on_the_orientation():
    bent = METHANE.at(METHANE.positions + 0.1 * torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    turned = bent.at(bent.positions @ random_rotation(torch.Generator().manual_seed(1)).T)
    derivatives = [polarizability_derivatives(springs, m, 1e-3) for m in (bent, turned)]
    found = [raman.from_modes(modes(m, slopes(springs, m, 1e-3).hessian), d) for m, d in zip((bent, turned), derivatives)]
    assert torch.allclose(found[0].activities, found[1].activities, rtol=1e-4, atol=1e-5 * float(found[0].activities.max()))


def test_a_function_without_polarizability_is_refused():
    with pytest.raises(MoleculeError, match="Predictor.respond"):
        polarizability_derivatives(lambda m: springs(m).replace(polarizability=None), METHANE)


# ---------------------------------------------------------------------------------------------------------------------- from dynamics

FS = units.FEMTOSECOND
SYMMETRIC, BREATHING = np.array([[0.9, 0.2, 0.1], [0.2, 0.3, -0.4], [0.1, -0.4, 0.6]]), np.eye(3)
SHEAR = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
"""Slopes of the polarizability along a mode, A^2 / sqrt(amu)."""

SIZE = units.RAMAN_ACTIVITY**0.5
"""1 A^2 / sqrt(amu)."""


def harmonic(slope) -> tuple[float, float]:
    """Activity (A^4/amu) and depolarisation ratio of a mode, of its ``slope`` in A^2 / sqrt(amu)."""
    mean, anisotropy = (float(x) for x in raman.invariants(torch.as_tensor(slope)))
    return 45 * mean + 7 * anisotropy, 3 * anisotropy / (45 * mean + 4 * anisotropy)


def oscillation(wavenumber, time_step, steps, temperature=300.0):
    """Positions [steps] of a unit-mass oscillator by velocity Verlet, and its kinetic temperature at half steps."""
    w, dt = wavenumber * units.INVERSE_CM, time_step * FS
    x, v, places, heat = (temperature * units.KELVIN) ** 0.5 / w, 0.7 * (temperature * units.KELVIN) ** 0.5, [], []
    for _ in range(steps):
        places.append(x)
        heat.append(v**2 + (0.5 * dt * w**2 * x) ** 2)
        half = v - 0.5 * dt * w**2 * x
        x = x + dt * half
        v = half - 0.5 * dt * w**2 * x
    return np.array(places), np.mean(heat) / units.KELVIN


@pytest.mark.parametrize("slope", [SYMMETRIC, BREATHING, SHEAR], ids=["any", "breathing", "shear"])
@pytest.mark.parametrize(("time_step", "every", "temperature"), [(0.5, 4, 300.0), (1.0, 2, 5.0), (1.0, 1, 900.0)])
def test_an_oscillator_integrates_to_its_harmonic_activity(slope, time_step, every, temperature):
    q, kelvin = oscillation(3000.0, time_step, 16000, temperature)
    alpha = 35 * np.eye(3) + SIZE * slope * q[::every, None, None]
    found = raman.from_series(alpha[None], Sampling(every * time_step * FS, time_step * FS, kelvin))
    activity, ratio = harmonic(slope)
    band = found.band(2900, 3100, raman.Light(532.0, 300.0))
    assert band.integral == pytest.approx(activity, rel=5e-3) and band.depolarisation == pytest.approx(ratio, abs=1e-6)
    assert band.maximum == pytest.approx(3000.0, abs=0.5) and band.depolarisation_error is None


def test_breathing_keeps_its_polarisation_and_shear_loses_it():
    assert harmonic(BREATHING)[1] == 0.0 and harmonic(SHEAR)[1] == pytest.approx(0.75)


def two_lines(replicas=4, steps=5000):
    """alpha [replicas, steps, 3, 3] of two modes, different phases in each replica, on a large constant tensor."""
    t, phases = np.arange(steps) * FS, np.random.default_rng(0).uniform(0, 6, (2, replicas, 1))
    waves = [amplitude * np.cos(nu * units.INVERSE_CM * t + p) for amplitude, nu, p in zip((1.0, 0.6), (900.0, 2900.0), phases)]
    return sum(w[..., None, None] * s for w, s in zip(waves, (SYMMETRIC, SHEAR))) + np.diag([30.0, 34.0, 40.0])


def test_a_trajectory_turned_as_a_whole_has_the_same_spectrum():
    alpha, sampling = two_lines(), Sampling(FS, 0.0, 300.0)
    turn = random_rotation(torch.Generator().manual_seed(5)).numpy()
    found, turned = raman.from_series(alpha, sampling), raman.from_series(turn @ alpha @ turn.T, sampling)
    for one, other in ((found.isotropic, turned.isotropic), (found.anisotropic, turned.anisotropic)):
        assert other.intensity == pytest.approx(one.intensity, rel=1e-9, abs=1e-9 * one.intensity.max())
        assert other.error == pytest.approx(one.error, rel=1e-6, abs=1e-9 * one.error.max())


def test_a_turning_rod_has_its_rotational_line_at_twice_its_frequency():
    """alpha = diag(A, B, B) turning in the plane: bdot : bdot is (A - B)^2 / 2 (2 w)^2, all of it at 2 w, and the trace stands still."""
    along, across, nu, t = 40.0, 25.0, 60.0, np.arange(20000) * FS
    angle = nu * units.INVERSE_CM * t
    e = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    alpha = across * np.eye(3) + (along - across) * e[:, :, None] * e[:, None, :]
    found = raman.from_series(alpha[None], Sampling(FS, 0.0, 300.0), settings=SeriesSettings(depth=8000.0))
    w = 2 * nu * units.INVERSE_CM
    expected = 1.5 * (along - across) ** 2 / 2 * w**2 / (300.0 * units.KELVIN) / units.RAMAN_ACTIVITY
    assert found.anisotropic.integral(100, 140) == pytest.approx(expected, rel=5e-3)
    assert found.anisotropic.centroid(110, 130) == pytest.approx(120, abs=0.1)
    assert found.isotropic.intensity.max() < 1e-9 * found.anisotropic.intensity.max()


def test_a_vibrating_rod_that_turns_keeps_its_activity():
    """The stretch of a rod that turns slowly: Q-branch from the trace, O and S branches beside it; together the harmonic activity."""
    t, nu = np.arange(40000) * FS, 2000.0
    q = np.sqrt(2 * 300.0 * units.KELVIN) / (nu * units.INVERSE_CM) * np.cos(nu * units.INVERSE_CM * t)
    angle = 20.0 * units.INVERSE_CM * t
    e = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    outer = e[:, :, None] * e[:, None, :]
    slope = SIZE * (0.3 * np.eye(3) + 0.9 * outer)
    found = raman.from_series((30 * np.eye(3) + q[:, None, None] * slope)[None], Sampling(FS, 0.0, 300.0))
    activity, ratio = harmonic(np.diag([1.2, 0.3, 0.3]))
    band = found.band(1700, 2300, raman.Light(532.0, 300.0))
    assert band.integral == pytest.approx(activity, rel=5e-3) and band.depolarisation == pytest.approx(ratio, abs=2e-3)


def test_the_cross_section_in_si_units():
    """k^4 hbar / 2 w times a slope squared, in metres and seconds, of a vibration that is not excited."""
    light = raman.Light(488.0, 300.0)
    factor = float(light.cross_section(np.array([2331.0]))[0])
    w, k = 2331.0 * units.INVERSE_CM, 2 * math.pi * (1e7 / 488.0 - 2331.0) * 100
    metres = 0.529177210903e-10
    slope = metres**2 / (9.1093837015e-31) ** 0.5  # of a polarizability volume, bohr^2 / sqrt(electron mass), in SI
    zero_point = 1.054571817e-34 / (2 * w / 2.4188843265857e-17)
    expected = k**4 * zero_point * slope**2 * units.RAMAN_ACTIVITY / 1e-36
    assert factor == pytest.approx(expected, rel=1e-4)
    assert light.cross_section(np.array([30000.0]))[0] == 0.0


def test_bands_and_columns_agree():
    found, light = raman.from_series(two_lines(), Sampling(FS, 0.0, 300.0)), raman.Light(532.0, 300.0)
    band = found.band(2700, 3100, light)
    along, across, total = found.parallel(light), found.perpendicular(light), found.total(light)
    assert total.intensity == pytest.approx(along.intensity + across.intensity)
    assert across.integral(2700, 3100) / along.integral(2700, 3100) == pytest.approx(0.75, abs=1e-3)
    assert band.depolarisation == pytest.approx(0.75, abs=2e-3) and 0 <= band.depolarisation_error < 0.02
    assert band.cross_section == pytest.approx(total.integral(2700, 3100)) and band.error == pytest.approx(0.0, abs=0.02 * band.integral)
    assert total.axis[0] >= 16.0 and total.unit == raman.CROSS_SECTION and total.header["laser_nm"] == 532.0
    assert found.activity.header["method"].startswith("classical dynamics, polarizability autocorrelation")


def test_conformers_are_mixed_by_their_weights():
    sampling = Sampling(FS, 0.0, 300.0)
    one, two = (raman.from_series(alpha, sampling) for alpha in (two_lines(), 2 * two_lines(steps=6000)))
    both = raman.mixed([one, two], [0.25, 0.75])
    assert both.activity.intensity == pytest.approx(0.25 * one.activity.intensity + 0.75 * two.activity.intensity)
    assert both.band(2700, 3100, raman.Light(532.0, 300.0)).depolarisation_error is not None


def test_a_series_of_another_shape_is_refused():
    with pytest.raises(SpectrumError, match=r"a polarizability series must be \[replicas, steps, 3, 3\], not \[5000, 3, 3\]"):
        raman.from_series(two_lines()[0], Sampling(FS, 0.0, 300.0))
    with pytest.raises(SpectrumError, match="shorter than the window"):
        raman.from_series(two_lines(steps=100), Sampling(FS, 0.0, 300.0))
