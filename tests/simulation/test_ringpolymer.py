"""Ring polymers against quantum statistical mechanics: oscillators, free particles, a Morse bond; their restarts and what they tell."""

import math
import os
import signal
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from springs import WATER, Springs, kelvin, replicas, trap
from torch import Tensor

from densnet import units
from densnet.molecules import Molecules
from densnet.properties import Properties, Uncertainty
from densnet.settings import SettingsError, parse
from densnet.simulation import initial
from densnet.simulation.ensembles import Conditions, Ensemble, Nve
from densnet.simulation.integrators import State
from densnet.simulation.ringpolymer import Pimd, Ring, Trpmd, frequencies, kinetic_share, transformation
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import read_trajectory
from densnet.spectra.infrared import from_series
from densnet.spectra.timeseries import Sampling, SeriesSettings

FS = units.FEMTOSECOND
ATOM = Molecules.single([1], torch.zeros(1, 3, dtype=torch.float64))
MASS = float(ATOM.masses)


def conditions(molecules: Molecules, timestep_fs: float, temperature: float = 300.0, seed: int = 1) -> Conditions:
    freedom = torch.full((molecules.count,), 3.0 * len(molecules.numbers) / molecules.count, dtype=torch.float64)
    return Conditions(timestep_fs * FS, kelvin(temperature), freedom, torch.Generator().manual_seed(seed))


@dataclass
class Dynamics:
    """Many replicas of a molecule under one force; `run` gives what `look` sees at every step."""

    ensemble: Ensemble
    force: object
    molecules: Molecules
    about: Conditions
    state: State

    @classmethod
    def of(cls, ensemble, force, molecule, count, timestep_fs, temperature=300.0):
        many = molecule.copies(molecule.positions.repeat(count, 1, 1))
        about = conditions(many, timestep_fs, temperature)
        start = initial.maxwell_boltzmann(many, 2 * about.temperature, about.generator)
        return cls(ensemble, force, many, about, ensemble.begin(force, many, start, about))

    def run(self, steps, look=lambda state: None, friction=None):
        ensemble = self.ensemble if friction is None else self.ensemble.thermalisation(friction)
        step, seen = ensemble.step(self.force, self.molecules, self.about), []
        for _ in range(steps):
            self.state = step(self.state)
            seen.append(look(self.state))
        return seen


def near(values: Tensor, exact: float, share: float, sigmas: float = 4.0) -> None:
    """Whether the mean of ``values`` [replicas, ...] is ``exact``, and known to within ``share`` of it."""
    means = values.flatten(1).mean(1)
    error = float(means.std()) / len(means) ** 0.5
    assert error < share * exact
    assert abs(float(means.mean()) - exact) < sigmas * error, f"{float(means.mean()) / exact:.4f} +- {error / exact:.4f} of the exact value"


# ----------------------------------------------------------------------------------------------------------------------- normal modes


@pytest.mark.parametrize("beads", [1, 2, 3, 8, 9])
def test_modes_of_the_ring_diagonalise_its_springs(beads):
    modes, w = transformation(beads), beads * kelvin(300)
    assert torch.allclose(modes.T @ modes, beads * torch.eye(beads, dtype=torch.float64), atol=1e-12)
    assert torch.equal(modes[:, 0], torch.ones(beads, dtype=torch.float64))
    neighbour = torch.eye(beads, dtype=torch.float64) - torch.eye(beads, dtype=torch.float64).roll(1, 0)
    springs = modes.T @ (w**2 * neighbour.T @ neighbour) @ modes / beads
    assert torch.allclose(springs, frequencies(beads, kelvin(300)).square().diag(), atol=1e-12 * w**2)


def test_the_share_of_the_kinetic_energy_is_that_of_an_oscillator():
    """One bead is classical; the error vanishes as the number of beads to the power of -2."""
    assert kinetic_share(1, 8.0) == pytest.approx(0.5 / (8 / 4 / math.tanh(4)))
    few, many = 1 - kinetic_share(64, 8.0), 1 - kinetic_share(128, 8.0)
    assert few / many == pytest.approx(4, rel=0.02) and 0 < many < 1e-3


# ------------------------------------------------------------------------------------------------------------------------ equilibrium


@pytest.mark.parametrize("timestep", [0.5, 2.0])
def test_every_mode_of_an_oscillator_has_its_exact_width_at_any_time_step(timestep):
    """``<u_k^2> = k_B T / m (w_k^2 + W^2)``, their sum <q^2>; energies k_B T. At 2 fs W dt is 1.2 and w_max dt 2.6."""
    stiffness, beads = 0.4, 8
    assert math.sqrt(stiffness / MASS) * 2 * FS > 1.2 and float(frequencies(beads, kelvin(300)).max()) * 2 * FS > 1.2
    system = Dynamics.of(Pimd(beads=beads, friction=100.0), trap(ATOM, stiffness), ATOM, 1000, timestep)
    system.run(round(60 / timestep))

    def look(state):
        observed = system.ensemble.observe(state, system.about)
        places = torch.cat([state.molecules.positions[None], state.inner["positions"]])
        outer = 2 * state.half_step_kinetic(timestep * FS) / 3
        return places.square(), observed["quantum_kinetic_energy"], observed["internal_temperature"], outer

    squares, kinetic, inner, outer = (torch.stack(seen) for seen in zip(*system.run(200, look)))
    widths = kelvin(300) / (MASS * frequencies(beads, kelvin(300)).square() + stiffness)
    for k in range(beads):
        near(squares[:, k].transpose(0, 1), float(widths[k]), 0.012)
    near(squares.sum(1).transpose(0, 1), float(widths.sum()), 0.01)
    near(kinetic.T, 1.5 * kelvin(300) * float((stiffness * widths).sum() / kelvin(300)), 0.01)
    near(inner.T, kelvin(300), 0.003)
    near(outer.T, kelvin(300), 0.02)


def test_beads_of_a_free_particle_have_the_radius_of_its_thermal_wave():
    """``<|x - x_c|^2> = hbar^2 (1 - 1 / P^2) / 4 m k_B T``; its kinetic energy is classical, its centroid moves straight on."""
    def free(molecules: Molecules) -> Properties:
        return Properties(molecules, torch.zeros(molecules.count, dtype=torch.float64), torch.zeros_like(molecules.positions))

    beads = 6
    system = Dynamics.of(Trpmd(beads=beads), free, ATOM, 1500, 1.0)
    first, speed = system.state.molecules.positions, system.state.velocities
    system.run(60)
    radii = torch.stack(system.run(100, lambda state: state.inner["positions"].square().sum((0, 2))))
    near(radii.T, (1 - 1 / beads**2) / (4 * MASS * kelvin(300)), 0.01)
    assert torch.allclose(system.state.molecules.positions, first + 160 * FS * speed, atol=1e-10)
    assert torch.equal(system.state.velocities, speed)
    observed = system.ensemble.observe(system.state, system.about)
    assert torch.allclose(observed["quantum_kinetic_energy"], torch.full((1500,), 1.5 * kelvin(300), dtype=torch.float64))


def test_a_free_ring_without_friction_turns_as_the_cayley_map_says():
    """By ``2 arctan(w_k dt / 2)`` a step, and the energy of every mode stays."""
    beads, many = 5, replicas(ATOM, 3)
    about = conditions(many, 1.5)
    ring = Ring.of(beads, many, about)
    u, v = torch.randn(2, beads, 3, 3, dtype=torch.float64, generator=about.generator)
    v = v * ring.frequencies
    moved = (u, v)
    for _ in range(2 * 7):
        moved = ring.half(*moved)
    angle = 14 * torch.arctan(ring.frequencies * ring.timestep / 2)
    turned = angle.cos() * u + torch.nan_to_num(angle.sin() / ring.frequencies, nan=0.0) * v
    assert torch.allclose(moved[0][1:], turned[1:], atol=1e-10) and torch.allclose(moved[0][0], u[0] + 7 * ring.timestep * v[0])
    assert torch.allclose(ring.internal(*moved), ring.internal(u, v), rtol=1e-12)


# --------------------------------------------------------------------------------------------------------------------------- dynamics


def spectrum(system: Dynamics, fs: float, settings: SeriesSettings):
    """Of the mean dipole, every 2 fs, after 60 fs with friction on all modes."""
    step = system.about.timestep
    system.run(round(60 * FS / step), friction=150.0)
    every = round(2 * FS / step)
    seen = system.run(round(fs * FS / step), lambda state: (state.dipole, 2 * state.half_step_kinetic(step) / (3 * units.KELVIN)))
    dipole, heat = (torch.stack(columns, 1) for columns in zip(*seen[::every]))
    return from_series(dipole.numpy(), Sampling(every * step, step, heat.mean(1).numpy()), settings=settings)


def test_the_band_of_an_oscillator_has_its_exact_place_and_integral():
    """Kubo-transformed and classical correlations of an oscillator are one: any number of beads gives the classical band."""
    stiffness, held = 0.4, trap(ATOM, 0.4)

    def force(molecules: Molecules) -> Properties:
        return held(molecules).replace(dipole=0.3 * molecules.positions)

    found = spectrum(Dynamics.of(Trpmd(beads=4), force, ATOM, 2500, 1.0), 240, SeriesSettings(depth=180.0, step=20.0))
    place = math.sqrt(stiffness / MASS) / units.INVERSE_CM
    band = found.band(place - 800, place + 800)
    exact = 3 * 0.3**2 / MASS / units.KM_PER_MOL
    assert band.error < 0.012 * exact and band.integral == pytest.approx(exact, abs=min(3 * band.error, 0.025 * exact))
    assert band.centroid == pytest.approx(place, abs=max(4 * band.centroid_error, 2.0)) and band.centroid_error < 3


def test_a_morse_bond_absorbs_near_its_quantum_fundamental():
    """O-H: ``w - 2 w^2 / 4 D``. Classical nuclei are 150 cm^-1 above it, and TRPMD 58 to 72, whatever the beads and the time step."""
    mass = float(1 / (1 / Molecules.single([8], torch.zeros(1, 3)).masses + 1 / MASS))
    depth, width = 0.1875, 1.1605
    bond = Molecules.single([1], torch.zeros(1, 3, dtype=torch.float64), torch.tensor([mass], dtype=torch.float64))

    def force(molecules: Molecules) -> Properties:
        x, across = molecules.positions[:, 0], molecules.positions[:, 1:]
        decay = torch.exp(-width * x)
        energy = depth * (1 - decay).square() + 0.2 * across.square().sum(1)
        pull = torch.cat([(-2 * depth * width * decay * (1 - decay))[:, None], -0.4 * across], 1)
        return Properties(molecules, energy, pull, molecules.positions * torch.tensor([1.0, 0, 0], dtype=torch.float64))

    harmonic = width * math.sqrt(2 * depth / mass)
    fundamental = (harmonic - harmonic**2 / (2 * depth)) / units.INVERSE_CM
    assert harmonic / units.INVERSE_CM - fundamental > 150
    settings = SeriesSettings(depth=300.0, step=20.0)
    places = []
    for ensemble, count in ((Trpmd(beads=32), 60), (Nve(), 1500)):
        found = spectrum(Dynamics.of(ensemble, force, bond, count, 1.0), 500, settings)
        band = found.band(fundamental - 700, fundamental + 700)
        assert band.centroid_error < 6
        places.append(band.centroid - fundamental)
    assert 40 < places[0] < 95 and places[1] > 130, places


def test_one_bead_is_a_classical_molecule():
    many = replicas(WATER, 3)
    about = conditions(many, 0.5)
    single, velocities = Trpmd.model_construct(beads=1), initial.thermal(many, about.temperature, about.generator)
    state = ring = single.begin(Springs(WATER), many, velocities, about)
    step, rings = (e.step(Springs(WATER), many, about) for e in (Nve(), single))
    for _ in range(50):
        state, ring = step(state), rings(ring)
    assert torch.allclose(state.molecules.positions, ring.molecules.positions, rtol=0, atol=1e-12)
    assert torch.allclose(state.conserved, ring.conserved, rtol=0, atol=1e-14)


def test_energy_and_heat_are_balanced():
    """Without friction the error of the energy is of second order in the time step; with it nothing drifts, and momentum stays zero."""
    worst = []
    for timestep in (0.5, 0.25):
        system = Dynamics.of(Trpmd(beads=6, internal_friction=0.0), Springs(WATER), WATER, 6, timestep)
        energies = torch.stack([system.state.conserved, *system.run(round(30 / timestep), lambda state: state.conserved)])
        worst.append(float((energies - energies[0]).abs().max()))
    assert worst[0] / worst[1] == pytest.approx(4, rel=0.25)
    system = Dynamics.of(Trpmd(beads=6), Springs(WATER), WATER, 40, 0.5)
    system.state = replace(system.state, velocities=initial.without_translation(system.molecules, system.state.velocities))
    system.run(60)
    energies = torch.stack(system.run(600, lambda state: state.conserved))
    assert energies.std(0).mean() < 3 * 3 * units.MEV  # of three atoms
    assert (energies[300:].mean(0) - energies[:300].mean(0)).abs().mean() < 1.0 * 3 * units.MEV
    momentum = system.molecules.total(system.state.masses * system.state.velocities)
    assert momentum.abs().max() < 1e-10 * (system.state.masses * system.state.velocities).abs().max()


# -------------------------------------------------------------------------------------------------------------------------------- run


def settings(**changes) -> SimulateSettings:
    short = {"replicas": 3, "thermalise_ps": 0.02, "duration_ps": 0.04, "checkpoint_every": 25, "sample_every": 4, "temperature": 200.0}
    return SimulateSettings(**{**short, "ensemble": Trpmd(beads=4), "thermalise_friction": 20.0, **changes})


@pytest.mark.parametrize("stop", [21, 97])
def test_ring_polymers_stop_and_go_on_to_the_bit(tmp_path, stop):
    simulate(Springs(WATER), WATER, settings(), tmp_path / "whole")
    force = Springs(WATER)

    def interrupted(molecules):
        if force.calls == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return force(molecules)

    with pytest.raises(KeyboardInterrupt):
        simulate(interrupted, WATER, settings(), tmp_path / "parts")
    simulate(Springs(WATER), WATER, settings(), tmp_path / "parts")
    one, other = read_trajectory(tmp_path / "whole"), read_trajectory(tmp_path / "parts")
    for name in ("positions", "velocities", "dipole", "potential", "conserved", "temperature", "quantum_kinetic", "internal_temperature"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert one.settings["ensemble"] == {"kind": "trpmd", "beads": 4, "internal_friction": 0.5}


def test_a_run_tells_what_its_nuclei_are(tmp_path):
    """Every step asks for all beads of all replicas in one call; averages are of beads, places of centroids."""
    calls, force = [], Springs(WATER)

    def counted(molecules):
        calls.append(molecules.count)
        return force(molecules)

    chosen = settings(replicas=20, sample_every=1, duration_ps=0.1, thermalise_ps=0.1)
    simulate(counted, WATER, chosen, tmp_path)
    found = read_trajectory(tmp_path)
    assert set(calls) == {80} and len(calls) == 1 + sum(chosen.steps) and chosen.geometries == 80
    assert found.nuclei == "quantum nuclei (4 beads)" and found.method.startswith("TRPMD, quantum nuclei (4 beads), {} autocorrelation")
    assert found.quantum.startswith("quantum nuclei (4 beads): kinetic energy ") and "temperature of internal modes " in found.quantum
    assert str(found.realised).startswith("temperature of the centroid ")
    near(found.internal_temperature, 200.0, 0.02)
    centroid = Springs(WATER)(Molecules.replicas(WATER.numbers, found.positions.double().reshape(-1, 3, 3)))
    assert torch.allclose(centroid.dipole.view(20, -1, 3), found.dipole, atol=1e-6)  # point charges: the mean dipole is the centroid's
    assert float((found.potential - centroid.energy.view(20, -1)).mean()) > 1.5 * kelvin(200)  # beads are spread: zero-point energy
    assert "80 geometries a step (20 replicas x 4), 32,000 in 400 steps" in chosen.cost
    assert chosen.cost.startswith("quantum nuclei (4 beads) have, of the kinetic energy of an oscillator at 200 K, ")
    simulate(Springs(WATER), WATER, settings(ensemble=Nve()), tmp_path / "classical")
    classical = read_trajectory(tmp_path / "classical")
    assert classical.nuclei == "classical nuclei" and classical.quantum is None and classical.method.startswith("classical dynamics")


def test_a_replica_is_as_novel_as_its_most_novel_bead():
    many = replicas(WATER, 2)
    about = conditions(many, 0.5)
    ring = Ring.of(3, many, about)
    novelty = torch.tensor([0.1, 0.2, 0.9, 0.1, 0.3, 0.4], dtype=torch.float64)

    def force(molecules):
        return Springs(WATER)(molecules).replace(uncertainty=Uncertainty(novelty, 2 * novelty, novelty))

    known, _ = ring.look(force, many, torch.randn(3, 6, 3, dtype=torch.float64, generator=about.generator))
    assert known.uncertainty.novelty.tolist() == pytest.approx([0.9, 0.4])
    assert known.uncertainty.energy.tolist() == pytest.approx([1.3 / 3, 0.7 / 3])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"ensemble": {"kind": "trpmd", "beads": 1}}, r"`simulate\.ensemble\.beads` is 1"),
        ({"ensemble": {"kind": "pimd", "friction": 0}}, r"`simulate\.ensemble\.friction` is 0"),
        ({"ensemble": "trpmd", "remove_rotation": True}, "`remove_rotation` makes no sense with ensemble = 'trpmd'"),
    ],
)
def test_what_ring_polymers_cannot_have_is_refused(values, sentence):
    with pytest.raises(SettingsError, match=sentence):
        parse(SimulateSettings, values, "simulate")
    assert parse(SimulateSettings, {"ensemble": "trpmd"}, "simulate").ensemble == Trpmd()


def test_the_block_is_of_beads():
    assert settings(replicas=6, ensemble=Trpmd(beads=32)).block_size(3) == np.ceil(192 / np.ceil(192 / 64))
