"""What dynamics gives, against what is exact: harmonic molecules that rotate, thermalised from their minimum, at any time step.

The averages that are exact are those of classical nuclei. Pieces of the package whose expectation is known for a prepared ensemble are
tested beside their code; here they get the ensembles that the dynamics makes.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from springs import WATER, Springs, kelvin, replicas
from torch import Tensor

from densnet import units
from densnet.molecules import Molecules
from densnet.observables import vibrations
from densnet.observables.conformers import Ensemble, characterise
from densnet.simulation import initial, integrators
from densnet.simulation.ensembles import Langevin, Svr
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import read_trajectory
from densnet.spectra.infrared import from_series
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.timeseries import Sampling, SeriesSettings
from densnet.workflow.ensemble import account

FS = units.FEMTOSECOND
TEMPERATURE = 50.0  # K: energies are shared as at any temperature, and the springs, which bend with the molecule, are harmonic to 0.1 %
SHORT = SeriesSettings(depth=180.0, step=20.0)
HYDROXYL = Molecules.single([1, 8], torch.tensor([[0.0, 0, 0], [0, 0, 1.8]], dtype=torch.float64))
SPRINGS = {
    "diatomic": Springs(HYDROXYL, 0.49),
    "bent triatomic": Springs(WATER, torch.tensor([0.45, 0.45, 0.12], dtype=torch.float64)),
}


@dataclass(frozen=True)
class Dynamics:
    """Dipoles [replicas, samples, 3], temperatures [replicas, samples] (K), and the steps (au) of a run of thousands of replicas."""

    dipole: Tensor
    temperature: Tensor
    sample_step: float
    time_step: float

    def spectrum(self, part: slice = slice(None)) -> Spectrum:
        sampling = Sampling(self.sample_step, self.time_step, self.temperature[part].mean(1).numpy())
        return from_series(self.dipole[part].numpy(), sampling, settings=SHORT)


@cache
def dynamics(name: str, timestep_fs: float, count: int = 10000) -> Dynamics:
    """30 fs of Langevin dynamics with 200 / ps from the minimum, then 200 fs at constant energy, sampled every 2 fs."""
    force, timestep, generator = SPRINGS[name], timestep_fs * FS, torch.Generator().manual_seed(1)
    batch, temperature = replicas(force.rest, count), kelvin(TEMPERATURE)
    state = integrators.init(force, batch, initial.thermal(batch, temperature, generator))
    step = integrators.langevin(force, state.masses, timestep, temperature, 200 / units.PICOSECOND, generator)
    for _ in range(round(30 / timestep_fs)):
        state = step(state)
    state = replace(state, velocities=initial.without_translation(state.molecules, state.velocities))
    freedom = initial.degrees_of_freedom(state.molecules, translation=False, rotation=True)
    step, every, samples = integrators.velocity_verlet(force, state.masses, timestep), max(1, round(2 / timestep_fs)), []
    for number in range(round(200 / timestep_fs)):
        if number % every == 0:
            samples.append((state.dipole, 2 * state.half_step_kinetic(timestep) / freedom / units.KELVIN))
        state = step(state)
    dipole, heat = (torch.stack(columns, 1) for columns in zip(*samples))
    return Dynamics(dipole, heat, every * timestep, timestep)


@cache
def exact(name: str) -> list[tuple[tuple[float, float], float]]:
    """Limits of each band (cm^-1) and its intensity (km/mol); lines nearer than 700 cm^-1 are one band, as their profiles overlap.

    ``|dmu/dQ|^2``. Rotation adds ``<x^2 w^2> / <v^2>``, 2 k_B T B over the square of the wavenumber, less than 0.1 % at 50 K.
    """
    force = SPRINGS[name]
    modes = vibrations.normal_modes(force, force.rest, 0.002)
    lines, strengths = modes.frequencies.numpy(), modes.intensities.numpy()
    groups = np.split(np.arange(len(lines)), np.flatnonzero(np.diff(lines) > 700) + 1)
    return [((lines[g[0]] - 350, lines[g[-1]] + 350), float(strengths[g].sum())) for g in groups]


TIMESTEPS = (0.25, 0.5, 1.0, 2.0)
EVERY = [(name, timestep) for name in SPRINGS for timestep in TIMESTEPS]


@pytest.mark.parametrize(("name", "timestep"), EVERY)
def test_every_band_has_its_exact_integral(name, timestep):
    spectrum = dynamics(name, timestep).spectrum()
    for limits, intensity in exact(name):
        band = spectrum.band(*limits)
        assert band.error < 0.011 * intensity
        assert band.integral == pytest.approx(intensity, abs=min(3 * band.error, 0.02 * intensity)), f"{band.integral / intensity:.4f}"


@pytest.mark.parametrize(("name", "timestep"), EVERY)
def test_the_temperature_is_the_one_that_was_set(name, timestep):
    means = dynamics(name, timestep).temperature.mean(1)
    assert float(means.std()) / len(means) ** 0.5 < 0.01 * TEMPERATURE
    assert float(means.mean()) == pytest.approx(TEMPERATURE, abs=3 * float(means.std()) / len(means) ** 0.5)


@pytest.mark.parametrize("name", SPRINGS)
def test_the_error_bar_is_the_scatter_of_spectra(name):
    """Of 200 spectra of 50 replicas each."""
    run = dynamics(name, 1.0)
    spectra = [run.spectrum(slice(50 * k, 50 * k + 50)) for k in range(200)]
    for limits, intensity in exact(name):
        bands = [spectrum.band(*limits) for spectrum in spectra]
        told, scatter = np.sqrt(np.mean([b.error**2 for b in bands])), np.std([b.integral for b in bands])
        assert told == pytest.approx(scatter, rel=0.15)
        assert np.mean([b.integral for b in bands]) == pytest.approx(intensity, rel=0.02)  # a ratio of 50 is biased by less


def water(**changes) -> SimulateSettings:
    start = {"replicas": 600, "temperature": 50, "timestep_fs": 0.5, "thermalise_ps": 0, "duration_ps": 0.2, "sample_every": 4, "seed": 2}
    return SimulateSettings(**{**start, **changes})


def test_nothing_starts_cold(tmp_path):
    """Without any thermalisation the vibrations have their energy; with velocities at the temperature they would have half of it."""
    simulate(SPRINGS["bent triatomic"], WATER, water(), tmp_path)
    run = read_trajectory(tmp_path, motion=False)
    assert run.realised.mean == pytest.approx(50, abs=3 * run.realised.error) and run.realised.error < 1.5
    assert not run.realised.differs and str(run.realised).endswith("K (set: 50 K)")
    energy = run.potential.mean(1)
    within = 3 * float(energy.std()) / len(energy) ** 0.5
    assert float(energy.mean()) == pytest.approx(1.5 * kelvin(50), abs=within) and within < 0.15 * 1.5 * kelvin(50)


@pytest.mark.parametrize("ensemble", [Langevin(friction=20), Svr(time_constant_fs=50)], ids=lambda e: e.kind)
def test_thermostats_hold_the_temperature_at_a_long_time_step(tmp_path, ensemble):
    chosen = water(ensemble=ensemble, timestep_fs=2.0, sample_every=1, replicas=300, duration_ps=0.4)
    simulate(SPRINGS["bent triatomic"], WATER, chosen, tmp_path)
    run = read_trajectory(tmp_path, motion=False)
    late = run.temperature[:, 50:].mean(1)
    assert float(late.mean()) == pytest.approx(50, abs=3.5 * float(late.std()) / 300**0.5) and float(late.std()) < 0.03 * 50 * 300**0.5


def test_a_start_that_is_no_minimum_is_told(tmp_path):
    told, far = [], WATER.at(1.1 * WATER.positions)
    simulate(SPRINGS["bent triatomic"], far, water(replicas=2, duration_ps=0.01), tmp_path / "far", announce=told.append)
    assert len(told) == 1 and "a start geometry is no minimum" in told[0] and "leaves 100 % of its energy" in told[0]
    enough = water(replicas=2, duration_ps=0.01, thermalise_ps=0.1, thermalise_friction=60)
    simulate(SPRINGS["bent triatomic"], far, enough, tmp_path / "enough", announce=told.append)
    simulate(SPRINGS["bent triatomic"], WATER, water(replicas=2, duration_ps=0.01), tmp_path / "rest", announce=told.append)
    assert len(told) == 1
    run = read_trajectory(tmp_path / "far", motion=False)
    assert replace(run, temperature=run.temperature * 0 + torch.tensor([[80.0], [80.2]])).realised.differs


def test_the_mean_dipole_is_that_of_a_rotating_molecule(tmp_path):
    """``<r>`` over ``r^2 exp(-k (r - r0)^2 / 2 k_B T)``: rotation stretches the bond by 2 k_B T / k r0, 0.1 %."""
    force, timestep = Springs(HYDROXYL, 0.2), 2.0
    chosen = water(
        replicas=800, temperature=300, timestep_fs=timestep, thermalise_ps=0.1, thermalise_friction=60, sample_every=2, duration_ps=0.3
    )
    simulate(force, HYDROXYL, chosen, tmp_path)
    found = Ensemble((characterise(force, HYDROXYL, "only"),), (0,))
    told = account(read_trajectory(tmp_path), found, 300.0)
    r = np.linspace(1.2, 2.6, 4001)
    weight = r**2 * np.exp(-0.5 * 0.2 * (r - 1.8) ** 2 / kelvin(300))
    exact = 0.5 * (r * weight).sum() / weight.sum() / units.DEBYE
    assert told["dipole_error_D"] < 0.3 * (exact - 0.5 * 1.8 / units.DEBYE)
    assert told["dipole_D"] == pytest.approx(exact, abs=3 * told["dipole_error_D"])
