"""Spectra from dynamics against closed forms: absolute scale, Verlet shift, transfer function, window, error band."""

import numpy as np
import pytest
import torch

from densnet import units
from densnet.molecules import Molecules
from densnet.observables import vibrations
from densnet.spectra import infrared, timeseries
from densnet.spectra.spectrum import Replicas, SpectrumError
from densnet.spectra.timeseries import Sampling, SeriesSettings

FS = units.FEMTOSECOND
STRENGTH = 974.880  # km/mol per e^2/amu


def verlet(wavenumbers, time_step_fs, steps):
    """Unit-mass harmonic oscillators by velocity Verlet: positions and velocities on the step [oscillators, steps] in atomic units."""
    w, dt = np.asarray(wavenumbers) * units.INVERSE_CM, time_step_fs * FS
    x, v = 1.0 / w, 0.3 * np.ones_like(w)
    positions, velocities = [], []
    for _ in range(steps):
        positions.append(x)
        velocities.append(v)
        half = v - 0.5 * dt * w**2 * x
        x = x + dt * half
        v = half - 0.5 * dt * w**2 * x
    return np.stack(positions, 1), np.stack(velocities, 1)


def kelvin(wavenumbers, time_step_fs, positions, velocities):
    """Kinetic temperature [oscillators] at half steps, v -+ w^2 x dt / 2, of unit masses [oscillators, steps]."""
    kick = 0.5 * time_step_fs * FS * (np.asarray(wavenumbers)[:, None] * units.INVERSE_CM) ** 2 * positions
    return (velocities**2 + kick**2).mean(axis=1) / units.KELVIN


def along(direction, values):
    return values[..., None] * np.asarray(direction)


@pytest.mark.parametrize(
    "unit, time, value", [(units.DEBYE, FS, 3047.232), (units.E_ANGSTROM, FS, 70302.0), (1.0, FS, 19686.57), (1.0, 1.0, 813869.8)]
)
def test_prefactor_in_every_unit(unit, time, value):
    # (dipole / time)^2 * time
    assert infrared.PREFACTOR * unit**2 / time == pytest.approx(value, rel=2e-5)


def test_one_mode_is_974_880_per_charge_squared_over_mass():
    assert 1.0 / (units.KM_PER_MOL * units.AMU) == pytest.approx(STRENGTH, rel=1e-9)
    assert (units.DEBYE / units.ANGSTROM) ** 2 / units.AMU / units.KM_PER_MOL == pytest.approx(42.2561, rel=1e-5)


@pytest.mark.parametrize("temperature", [10.0, 300.0, 1000.0])
def test_absolute_integral_does_not_depend_on_temperature(temperature):
    # exact motion mu = mu' Q of a mode with <Qdot^2> = kT and |mu'|^2 = 1 e^2/amu
    w, t = 1700 * units.INVERSE_CM, np.arange(20001) * 0.5 * FS
    q = np.sqrt(2 * temperature * units.KELVIN) / w * np.cos(w * t + 0.4)
    dipole = along([0.6, 0.0, 0.8], q / np.sqrt(units.AMU))[None]
    spectrum = infrared.from_series(dipole, Sampling(0.5 * FS, 0.0, temperature))
    assert spectrum.integral(1500, 1900) == pytest.approx(STRENGTH, rel=1e-3)
    assert spectrum.centroid(1600, 1800) == pytest.approx(1700, abs=0.05)


WAVENUMBERS = np.array([1000.0, 1600.0, 2200.0, 3000.0, 3700.0, 3800.0])


@pytest.mark.parametrize("time_step, every", [(0.5, 1), (0.5, 2), (0.5, 4), (1.0, 1), (1.0, 2)])
def test_verlet_shift_and_difference_error_are_undone(time_step, every):
    x, v = verlet(WAVENUMBERS, time_step, 16000)
    temperatures = kelvin(WAVENUMBERS, time_step, x, v)
    for nu, q, temperature in zip(WAVENUMBERS, x[:, ::every], temperatures):
        sampling = Sampling(every * time_step * FS, time_step * FS, temperature)
        spectrum = infrared.from_series(along([1, 0, 0], q[None]) / np.sqrt(units.AMU), sampling)
        near = np.abs(spectrum.axis - nu) < 150
        axis, line = spectrum.axis[near], spectrum.intensity[near]
        assert np.trapezoid(line, axis) == pytest.approx(STRENGTH, rel=5e-3)
        assert np.trapezoid(axis * line, axis) / np.trapezoid(line, axis) == pytest.approx(nu, abs=0.5)
        assert axis[line.argmax()] == pytest.approx(nu, abs=0.5)


def test_the_correction_matters():
    # without it: +79 cm^-1 at 3700 for 1 fs, and an integral 6.7 % off if the Jacobian is forgotten
    assert timeseries.observed(np.array([3700.0]), 1.0 * FS)[0] == pytest.approx(3779, abs=1)
    assert timeseries.observed(np.array([3000.0]), 0.5 * FS)[0] == pytest.approx(3010, abs=1)
    x, v = verlet([3700.0], 1.0, 8000)
    plain = infrared.from_series(along([1, 0, 0], x) / np.sqrt(units.AMU), Sampling(FS, 0.0, kelvin([3700.0], 1.0, x, v)))
    assert plain.axis[plain.intensity.argmax()] == pytest.approx(3779, abs=1)


def test_velocity_series_equals_dipole_series():
    x, v = verlet([1200.0, 3600.0], 0.5, 12000)
    sampling = Sampling(0.5 * FS, 0.5 * FS, kelvin([1200.0, 3600.0], 0.5, x, v))
    dipoles = infrared.from_series(along([0, 1, 0], x), sampling)
    velocities = infrared.from_velocities(along([0, 1, 0], v), sampling)
    assert velocities.intensity == pytest.approx(dipoles.intensity, abs=2e-3 * dipoles.intensity.max())
    coarse = infrared.from_velocities(along([0, 1, 0], v[:, ::4]), Sampling(2 * FS, 0.5 * FS, sampling.temperature))
    assert coarse.integral(3400, 3800) == pytest.approx(velocities.integral(3400, 3800), rel=5e-3)


@pytest.mark.parametrize("depth, width", [(2048.0, 16.29), (4096.0, 8.14)])
def test_width_of_a_line(depth, width):
    w, t = 2000 * units.INVERSE_CM, np.arange(20001) * FS
    sampling, settings = Sampling(FS, 0.0, 300.0), SeriesSettings(depth=depth, maximum=2100, step=0.2)
    line = infrared.from_series(along([1, 0, 0], np.cos(w * t))[None], sampling, settings=settings)
    above = line.axis[line.intensity > 0.5 * line.intensity.max()]
    assert above[-1] - above[0] == pytest.approx(width, abs=0.45)
    assert float(line.header["resolution_cm-1"]) == pytest.approx(width, abs=0.01)


def test_matches_the_textbook_fft():
    # two-sided windowed correlation, zero-padded, real part of the FFT; compared where both grids have a point
    series = np.random.default_rng(3).normal(size=(1, 3000, 3)).cumsum(axis=1)
    settings = SeriesSettings(depth=512.0, maximum=3000.0)
    spectrum = infrared.from_velocities(series, Sampling(FS, 0.0, 300.0), settings=settings)
    centred = series[0] - series[0].mean(0)
    lags = 512
    c = np.array([(centred[: 3000 - k] * centred[k:]).sum() / (3000 - k) for k in range(lags)])
    c *= np.cos(0.5 * np.pi * np.arange(lags) / lags) ** 2
    size = 2**18
    padded = np.zeros(size)
    padded[:lags], padded[-lags + 1 :] = c, c[:0:-1]
    reference = infrared.PREFACTOR / 300.0 * FS * np.fft.rfft(padded).real
    grid = np.fft.rfftfreq(size, FS) * 2 * np.pi / units.INVERSE_CM
    assert spectrum.intensity == pytest.approx(np.interp(spectrum.axis, grid, reference), abs=2e-4 * np.abs(reference).max())


def test_autocorrelation_against_the_double_sum():
    series = np.random.default_rng(0).normal(size=(2, 50, 3))
    direct = [[(s[: 50 - k] * s[k:]).sum() / (50 - k) for k in range(20)] for s in series]
    assert timeseries.autocorrelation(series, 20) == pytest.approx(np.array(direct), abs=1e-12)


def random_series(replicas, seed=1):
    rng = np.random.default_rng(seed)
    t = np.arange(6000) * FS
    waves = sum(
        rng.normal(size=(replicas, 1, 3)) * np.cos(nu * units.INVERSE_CM * t[None, :, None] + rng.uniform(0, 6.3, (replicas, 1, 3)))
        for nu in (900.0, 1500.0, 3000.0)
    )
    return waves


def test_rotating_the_whole_trajectory_changes_nothing():
    dipole = random_series(4)
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))
    sampling = Sampling(FS, 0.5 * FS, 300.0)
    before, after = (infrared.from_series(d, sampling) for d in (dipole, dipole @ rotation))
    assert after.intensity == pytest.approx(before.intensity, abs=1e-10 * before.intensity.max())
    assert after.error == pytest.approx(before.error, abs=1e-10 * before.intensity.max())


def test_a_constant_dipole_has_no_spectrum_and_an_offset_changes_nothing():
    dipole = random_series(1)
    sampling = Sampling(FS, 0.5 * FS, 300.0)
    offset = infrared.from_series(dipole + np.array([5.0, -3.0, 1.0]), sampling)
    base = infrared.from_series(dipole, sampling)
    assert offset.intensity == pytest.approx(base.intensity, abs=1e-9 * base.intensity.max())
    flat = infrared.from_series(np.ones((2, 4000, 3)), sampling)
    assert np.abs(flat.intensity).max() == 0


def test_error_band_is_the_standard_error_and_shrinks_with_the_number_of_replicas():
    sampling = Sampling(FS, 0.5 * FS, 300.0)
    few, many = (infrared.from_series(random_series(n), sampling) for n in (25, 400))
    single = few.replicas.intensity
    assert few.error == pytest.approx(single.std(axis=0, ddof=1) / 5.0, rel=1e-9)
    ratios = [few.band(nu - 60, nu + 60).error / many.band(nu - 60, nu + 60).error for nu in (900, 1500, 3000)]
    assert np.mean(ratios) == pytest.approx(4.0, rel=0.25)
    band = few.band(840, 960)
    each = np.array([np.trapezoid(row[840:961], few.axis[840:961]) for row in single])
    assert band.integral == pytest.approx(each.mean(), rel=1e-9)
    assert band.error == pytest.approx(each.std(ddof=1) / 5.0, rel=1e-9)


def test_error_band_covers_the_truth():
    # coverage: of many experiments with 20 replicas each, about 68 % lie within one standard error of the known integral
    rng, inside = np.random.default_rng(11), 0
    truth = 3.0
    for _ in range(300):
        values = rng.exponential(truth, size=(20, 1))
        replicas = Replicas(values, np.full(20, 0.05), np.zeros(20, dtype=int))
        inside += abs(replicas.mean(values)[0] - truth) < replicas.standard_error(values)[0]
    assert 0.58 < inside / 300 < 0.76


def test_weights_of_replicas():
    sampling = Sampling(FS, 0.5 * FS, 300.0)
    dipole = random_series(3)
    weighted = infrared.from_series(dipole, sampling, weights=[2.0, 1.0, 1.0])
    assert weighted.intensity == pytest.approx(weighted.replicas.intensity.T @ [0.5, 0.25, 0.25], rel=1e-9, abs=1e-9)
    assert infrared.from_series(dipole[:1], sampling).error is None
    with pytest.raises(SpectrumError, match="3 numbers"):
        infrared.from_series(dipole, sampling, weights=[1.0, -1.0, 1.0])


def test_all_replicas_are_divided_by_one_temperature():
    dipole = random_series(2)
    for weights, mean in ((None, 225.0), ([2.0, 1.0], 250.0)):
        measured = infrared.from_series(dipole, Sampling(FS, 0.5 * FS, np.array([300.0, 150.0])), weights)
        known = infrared.from_series(dipole, Sampling(FS, 0.5 * FS, mean), weights)
        assert measured.intensity == pytest.approx(known.intensity, abs=1e-9 * known.intensity.max())
        assert measured.header["temperature_K"] == mean


def test_the_error_is_that_of_a_ratio_of_means():
    # energies and temperatures of 40 replicas that are strongly correlated: the error of the ratio is far below that of the mean energy
    rng, ratios, told, of_the_mean = np.random.default_rng(4), [], [], []
    for _ in range(400):
        temperature = rng.gamma(3.0, 100.0, size=40)
        energy = np.stack([temperature * rng.normal(1.0, 0.1, size=40), rng.exponential(300.0, size=40)], axis=1)
        found = Replicas.ratio(energy, temperature, np.full(40, 1 / 40))
        ratios.append(found.mean(found.intensity))
        told.append(found.standard_error(found.intensity))
        of_the_mean.append(energy[:, 0].std(ddof=1) / np.sqrt(40) / 300.0)
    assert np.mean(ratios, axis=0) == pytest.approx([1.0, 1.0], abs=0.02)
    assert np.sqrt(np.mean(np.square(told), axis=0)) == pytest.approx(np.std(ratios, axis=0), rel=0.12)
    assert np.mean(told, axis=0)[0] < 0.3 * np.mean(of_the_mean)


@pytest.mark.parametrize("time_step", [0.5, 2.0])
def test_an_exact_ensemble_of_the_integrator_gives_the_exact_intensity(time_step):
    # positions as they should be, velocities on the step with kT (1 - theta): what Langevin dynamics by BAOAB hands over
    rng, nu, count = np.random.default_rng(3), 3000.0, 4000
    w, dt, kt = nu * units.INVERSE_CM, time_step * FS, 300 * units.KELVIN
    x, v = rng.normal(size=count) * np.sqrt(kt) / w, rng.normal(size=count) * np.sqrt(kt * (1 - (0.5 * w * dt) ** 2))
    positions, velocities = [], []
    for _ in range(round(300 / time_step)):
        positions.append(x)
        velocities.append(v)
        half = v - 0.5 * dt * w**2 * x
        x = x + dt * half
        v = half - 0.5 * dt * w**2 * x
    x, v = np.stack(positions, 1), np.stack(velocities, 1)
    settings, sampling = SeriesSettings(depth=250.0, step=10.0), Sampling(dt, dt, kelvin([nu], time_step, x, v))
    for spectrum in (
        infrared.from_series(along([1, 0, 0], x) / np.sqrt(units.AMU), sampling, settings=settings),
        infrared.from_velocities(along([1, 0, 0], v) / np.sqrt(units.AMU), sampling, settings=settings),
    ):
        assert spectrum.header["temperature_K"] == pytest.approx(300, rel=0.04)
        assert spectrum.integral(2600, 3400) == pytest.approx(STRENGTH, rel=5e-3)  # energy over temperature: no scatter of the ensemble


@pytest.mark.parametrize(
    "dipole, sampling, message",
    [
        (np.zeros((1, 500, 3)), (FS, FS, 300.0), "shorter than the window"),
        (np.zeros((1, 5000, 3)), (4 * FS, FS, 300.0), "may absorb up to 4538 cm.*false place; sample every 3 fs or more often"),
        (np.zeros((1, 5000, 3)), (8 * FS, 0.5 * FS, 300.0, 2950.0), "up to 1876 .* up to 2960 .* sample every 3 fs or more often"),
        (np.zeros((1, 5000, 3)), (4 * FS, FS, 300.0, 3400.0), "is 4500 cm.*; lower `maximum`, or sample every 3 fs or more often"),
        (np.zeros((5000, 3)), (FS, FS, 300.0), r"\[replicas, steps, 3\]"),
        (np.full((1, 5000, 3), np.nan), (FS, FS, 300.0), "not finite"),
        (np.zeros((1, 5000, 3)), (FS, 2 * FS, 300.0), "impossible"),
        (np.zeros((1, 5000, 3)), (FS, FS, 0.0), "not a positive number"),
        (np.zeros((1, 5000, 3)), (FS, FS, np.array([np.nan])), "older densnet have none .*: simulate again"),
    ],
)
def test_bad_input_is_refused(dipole, sampling, message):
    with pytest.raises(SpectrumError, match=message):
        infrared.from_series(dipole, Sampling(*sampling))


def test_dynamics_integrates_band_by_band_to_the_harmonic_intensities():
    # a bent triatomic of springs and charges, all modes with energy kT at 10 K; 0.5 fs steps, sampled every 2 fs
    positions = np.array([[0.0, 0.0, 0.0], [1.43, 1.11, 0.0], [-1.43, 1.11, 0.0]])
    rows = np.zeros((3, 9))
    for row, (i, j) in zip(rows, [(0, 1), (0, 2), (1, 2)]):
        direction = (positions[i] - positions[j]) / np.linalg.norm(positions[i] - positions[j])
        row[3 * i : 3 * i + 3], row[3 * j : 3 * j + 3] = direction, -direction
    hessian = rows.T @ np.diag([0.5, 0.5, 0.08]) @ rows
    slopes = np.array([-0.6, 0.3, 0.3])[:, None, None] * np.eye(3)
    molecule = Molecules.single([8, 1, 1], torch.as_tensor(positions))
    modes = vibrations.modes(molecule, torch.as_tensor(hessian), torch.as_tensor(slopes))
    sticks = infrared.from_modes(modes)

    masses, dt = molecule.masses.numpy().repeat(3), 0.5 * FS
    x, v = np.zeros(9), np.zeros(9)
    for mode, w_squared in zip(modes.displacements.numpy().reshape(3, 9), modes.eigenvalues.numpy()):
        v = v + np.sqrt(2 * 10.0 * units.KELVIN * (1 - w_squared * dt**2 / 4)) * mode
    dipoles, kinetic = [], []
    for step in range(16000):
        if step % 4 == 0:
            dipoles.append(x @ slopes.reshape(9, 3))
            kinetic.append(0.5 * masses @ (v**2 + (0.5 * dt * (hessian @ x) / masses) ** 2))
        half = v - 0.5 * dt * (hessian @ x) / masses
        x = x + dt * half
        v = half - 0.5 * dt * (hessian @ x) / masses
    temperature = 2 * np.mean(kinetic) / (3 * units.KELVIN)
    assert temperature == pytest.approx(10.0, rel=0.02)
    spectrum = infrared.from_series(np.array([dipoles]), Sampling(4 * dt, dt, temperature))
    low, *high = sticks.frequencies
    assert spectrum.integral(low - 150, low + 150) == pytest.approx(sticks.intensities[0], rel=0.01)
    assert spectrum.integral(high[0] - 150, high[1] + 150) == pytest.approx(sticks.intensities[1:].sum(), rel=0.01)
    assert spectrum.centroid(low - 150, low + 150) == pytest.approx(low, abs=0.5)


@pytest.mark.parametrize(
    ("numbers", "positions", "highest"),
    [
        ([8, 1, 1], [[0.0, 0, 0.22], [0, 1.43, -0.88], [0, -1.43, -0.88]], 4000.0),
        ([6, 8, 8], [[0.0, 0, 0], [2.2, 0, 0], [-2.2, 0, 0]], 2450.0),
        ([1, 6, 7], [[-2.0, 0, 0], [0, 0, 0], [2.2, 0, 0]], 3400.0),
        ([10], [[0.0, 0, 0]], 2450.0),
    ],
)
def test_what_a_molecule_may_hold(numbers, positions, highest):
    assert timeseries.highest_wavenumber(Molecules.single(numbers, positions)) == highest


def test_an_axis_coarser_than_the_lines_is_refused():
    # a comb of points 50 apart finds lines of 16 by chance: 2739 km/mol in the place of 975
    t = np.arange(3000) * FS
    q = np.sqrt(2 * 300 * units.KELVIN) / (1600 * units.INVERSE_CM) * np.cos(1600 * units.INVERSE_CM * t) / np.sqrt(units.AMU)
    dipole, sampling = along([1, 0, 0], q)[None], Sampling(FS, 0.0, 300.0)
    with pytest.raises(SpectrumError, match="misses lines of 16.3 cm.*lower `step` to 8.1 or less"):
        infrared.from_series(dipole, sampling, settings=SeriesSettings(step=50.0))
    coarse = infrared.from_series(dipole, sampling, settings=SeriesSettings(step=8.1))
    assert coarse.integral(1300, 1900) == pytest.approx(STRENGTH, rel=2e-3)
