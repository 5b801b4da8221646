"""Integrators against mechanics and statistical mechanics: order, reversibility, canonical averages within their error bars."""

from dataclasses import replace
from math import exp

import pytest
import torch
from springs import CARBON_DIOXIDE, WATER, Springs, kelvin, replicas, trap

from densnet import units
from densnet.molecules import Molecules
from densnet.simulation import initial, integrators
from densnet.simulation.ensembles import Conditions, Langevin, Nve, Svr

FEMTOSECOND = units.FEMTOSECOND


def generator(seed=1):
    return torch.Generator().manual_seed(seed)


def moving(molecule, count, temperature, force, *, rotation=True):
    batch = replicas(molecule, count)
    velocities = initial.maxwell_boltzmann(batch, kelvin(temperature), generator())
    if not rotation:
        velocities = initial.without_rotation(batch, velocities, initial.rotations(batch))
    return integrators.init(force, batch, velocities)


def within(samples, exact, sigmas=3.5):
    """Whether the mean of ``samples`` [replicas, samples] is ``exact`` within its standard error over replicas, and that error is small."""
    means = samples.mean(1)
    error = means.std() / len(means) ** 0.5
    assert error < 0.03 * exact
    assert abs(means.mean() - exact) < sigmas * error, f"{means.mean() / exact:.4f} of the exact value, error {error / exact:.4f}"


def sample(state, step, burn, every, count):
    """Kinetic and potential energy [replicas, count] after ``burn`` steps, ``every`` steps apart; and the last state."""
    kinetic, potential = [], []
    for _ in range(burn):
        state = step(state)
    for _ in range(count):
        for _ in range(every):
            state = step(state)
        kinetic.append(state.kinetic)
        potential.append(state.energy)
    return torch.stack(kinetic, 1), torch.stack(potential, 1), state


def energy_error(timestep):
    force = Springs(WATER)
    state = moving(WATER, 4, 300, force)
    step = integrators.velocity_verlet(force, state.masses, timestep * FEMTOSECOND)
    first, worst = state.conserved, 0.0
    for _ in range(round(40 / timestep)):
        state = step(state)
        worst = torch.maximum((state.conserved - first).abs(), torch.as_tensor(worst))
    return worst


def test_the_energy_error_of_velocity_verlet_is_of_second_order():
    ratio = energy_error(0.2) / energy_error(0.1)
    assert torch.allclose(ratio, torch.full_like(ratio, 4.0), rtol=0.03)


def test_velocity_verlet_runs_backwards_to_where_it_came_from():
    force = Springs(WATER)
    begin = state = moving(WATER, 3, 500, force)
    step = integrators.velocity_verlet(force, state.masses, 0.5 * FEMTOSECOND)
    for _ in range(400):
        state = step(state)
    assert (state.molecules.positions - begin.molecules.positions).abs().max() > 0.1
    state = replace(state, velocities=-state.velocities)
    for _ in range(400):
        state = step(state)
    assert torch.allclose(state.molecules.positions, begin.molecules.positions, rtol=0, atol=1e-10)
    assert torch.allclose(state.velocities, -begin.velocities, rtol=0, atol=1e-12)
    assert state.step == 800


def test_velocity_verlet_gives_a_harmonic_oscillator_its_exact_discrete_frequency():
    """x_n = cos(n theta) with 2 sin(theta / 2) = omega dt, to rounding."""
    atom, stiffness, timestep = Molecules.single([1], torch.zeros(1, 3, dtype=torch.float64)), 0.3, 20.0
    force = trap(atom, stiffness)
    state = integrators.init(force, atom.at(torch.tensor([[0.1, 0.0, 0.0]], dtype=torch.float64)), torch.zeros(1, 3))
    omega = (stiffness / float(atom.masses[0])) ** 0.5
    theta = 2 * torch.asin(torch.tensor(omega * timestep / 2, dtype=torch.float64))
    step = integrators.velocity_verlet(force, state.masses, timestep)
    for _ in range(100):
        state = step(state)
    assert float(state.molecules.positions[0, 0]) == pytest.approx(0.1 * float(torch.cos(100 * theta)), abs=1e-12)


@pytest.mark.parametrize("ensemble", [Nve(), Svr(time_constant_fs=50), Langevin(friction=5)], ids=lambda e: e.kind)
def test_momenta_are_conserved_where_the_ensemble_says_so(ensemble):
    force = Springs(WATER)
    state = moving(WATER, 5, 400, force, rotation=False)
    freedom = initial.degrees_of_freedom(state.molecules, translation=False, rotation=False)
    step = ensemble.step(force, state.molecules, Conditions(FEMTOSECOND / 2, kelvin(400), freedom, generator(2)))
    scale = (state.masses * state.velocities).abs().max()
    for _ in range(200):
        state = step(state)
    momentum = state.molecules.total(state.masses * state.velocities)
    angular = state.molecules.total(torch.linalg.cross(state.molecules.positions, state.masses * state.velocities))
    conserved = max(momentum.abs().max(), angular.abs().max()) < 1e-11 * scale
    assert conserved == ensemble.conserves_momentum


def test_a_batch_moves_as_each_replica_alone():
    force = Springs(WATER)
    batch = state = moving(WATER, 6, 300, force)
    step = integrators.velocity_verlet(force, batch.masses, FEMTOSECOND / 2)
    for _ in range(100):
        state = step(state)
    for index, molecule in enumerate(batch.molecules.split()):
        own = slice(3 * index, 3 * index + 3)
        alone = integrators.init(force, molecule, batch.velocities[own])
        step = integrators.velocity_verlet(force, alone.masses, FEMTOSECOND / 2)
        for _ in range(100):
            alone = step(alone)
        assert torch.allclose(alone.molecules.positions, state.molecules.positions[own], rtol=0, atol=1e-12)
        assert torch.allclose(alone.conserved, state.conserved[index], rtol=0, atol=1e-14)


def test_langevin_is_canonical():
    """Harmonic wells: <K> = <U> = 3N kT/2; var K = 3N (kT)^2 / 2; every atom has 3 kT/2 (BAOAB: U exact, K low by (omega dt)^2 / 4)."""
    temperature, force = kelvin(300), trap(WATER)
    state = moving(WATER, 300, 10, force)
    step = integrators.langevin(force, state.masses, 0.5 * FEMTOSECOND, temperature, 50 / units.PICOSECOND, generator(3))
    kinetic, potential, state = sample(state, step, 400, 20, 60)
    within(kinetic, 4.5 * temperature)
    within(potential, 4.5 * temperature)
    within((kinetic - 4.5 * temperature).square(), 4.5 * temperature**2)
    begin = integrators.init(force, replicas(WATER, 300), torch.zeros(900, 3))
    assert state.conserved.sub(begin.conserved).abs().max() < 0.2 * temperature * 9  # the bath accounts for the heat


def test_langevin_gives_every_atom_its_share():
    temperature, force = kelvin(300), Springs(WATER)
    state = moving(WATER, 300, 300, force)
    step = integrators.langevin(force, state.masses, 0.2 * FEMTOSECOND, temperature, 100 / units.PICOSECOND, generator(4))
    shares = []
    for _ in range(60):
        for _ in range(15):
            state = step(state)
        shares.append((state.masses * state.velocities.square()).sum(1).view(300, 3) / 2)
    shares = torch.stack(shares, 2)
    for atom in range(3):
        within(shares[:, atom], 1.5 * temperature)


@pytest.mark.parametrize("every", [1, 10])
def test_velocity_rescaling_is_canonical(every):
    """Three stiff springs without rotation: <K> = <U> = 3 kT/2, var K = 3/2 (kT)^2, from a start with no potential energy at all."""
    temperature, force = kelvin(50), Springs(WATER)
    state = moving(WATER, 400, 25, force, rotation=False)
    freedom = initial.degrees_of_freedom(state.molecules, translation=False, rotation=False)
    rescaling = integrators.Rescaling(freedom, temperature, exp(-0.2 * every / 8), generator(5))
    step = integrators.velocity_rescaling(force, state.masses, 0.2 * FEMTOSECOND, rescaling, every)
    first = state.conserved
    kinetic, potential, state = sample(state, step, 300, 20, 60)
    within(kinetic, 1.5 * temperature)
    within(potential, 1.5 * temperature)
    within((kinetic - 1.5 * temperature).square(), 1.5 * temperature**2)
    assert (state.conserved - first).abs().max() < 0.1 * temperature


def test_one_degree_of_freedom_is_canonical_too():
    """The sign of the Bussi factor matters where a velocity may be turned round: K of one degree of freedom is chi-squared."""
    rescaling = integrators.Rescaling(torch.ones(20000), 1.0, 0.5, generator(6))
    velocity = torch.ones(20000, dtype=torch.float64)
    for _ in range(30):
        velocity = velocity * rescaling.factors(velocity.square() / 2)
    assert velocity.square().mean() == pytest.approx(1, abs=4 * (2 / 20000) ** 0.5)
    assert velocity.pow(4).mean() == pytest.approx(3, abs=4 * (96 / 20000) ** 0.5)
    assert velocity.mean() == pytest.approx(0, abs=4 / 20000**0.5)


@pytest.mark.parametrize(("molecule", "vibrations"), [(WATER, 3), (CARBON_DIOXIDE, 4)])
def test_initial_velocities_have_the_temperature_of_their_degrees_of_freedom(molecule, vibrations):
    batch, temperature = replicas(molecule, 4000), kelvin(300)
    drawn = initial.maxwell_boltzmann(batch, temperature, generator(7))
    for velocities, freedom in [
        (drawn, initial.degrees_of_freedom(batch, translation=True, rotation=True)),
        (initial.without_translation(batch, drawn), initial.degrees_of_freedom(batch, translation=False, rotation=True)),
        (
            initial.without_rotation(batch, drawn, initial.rotations(batch)),
            initial.degrees_of_freedom(batch, translation=False, rotation=False),
        ),
    ]:
        kinetic = integrators.kinetic_energy(batch, batch.masses[:, None], velocities)
        within(kinetic[:, None], float(freedom[0]) * temperature / 2)
    assert freedom.tolist() == [vibrations] * 4000
    shares = (batch.masses[:, None] * drawn.square()).view(4000, 3, 3) / 2
    for atom in range(3):
        for axis in range(3):
            within(shares[:, atom, axis, None], temperature / 2)


@pytest.mark.parametrize("molecule", [WATER, CARBON_DIOXIDE])
def test_removing_rotation_leaves_no_momentum_and_only_takes_away(molecule):
    batch = Molecules.concatenate([molecule.at(molecule.positions + 3.0), WATER])
    drawn = initial.maxwell_boltzmann(batch, kelvin(300), generator(8))
    kept = initial.without_rotation(batch, drawn, initial.rotations(batch))
    masses = batch.masses[:, None]
    scale = (masses * drawn).abs().max()
    assert batch.total(masses * kept).abs().max() < 1e-13 * scale
    assert batch.total(torch.linalg.cross(batch.positions, masses * kept)).abs().max() < 1e-12 * scale
    assert torch.allclose(initial.without_rotation(batch, kept, initial.rotations(batch)), kept, rtol=0, atol=1e-15)
    energies = [integrators.kinetic_energy(batch, masses, v) for v in (drawn, kept, drawn - kept)]
    assert torch.allclose(energies[0], energies[1] + energies[2], rtol=1e-12)  # an orthogonal projection


def test_a_linear_molecule_bent_by_heat_keeps_its_bending():
    """What moves about the axis of a linear molecule is an angular momentum of bending, and stays also where the axis is not straight."""
    batch, temperature = replicas(CARBON_DIOXIDE, 4000), kelvin(300)
    bent = batch.positions + 0.1 * torch.randn(batch.positions.shape, dtype=torch.float64, generator=generator(9))
    now, drawn = batch.at(bent), initial.maxwell_boltzmann(batch, temperature, generator(10))
    kept = initial.without_rotation(now, drawn, initial.rotations(batch))
    kinetic = integrators.kinetic_energy(batch, batch.masses[:, None], kept)
    within(kinetic[:, None], 4 * temperature / 2)
    assert (initial.rotations(now) == 3).double().mean() > 0.5  # by their looks at the moment most of them are not linear


def test_an_atom_only_translates():
    atom = Molecules.single([10], torch.zeros(1, 3, dtype=torch.float64))
    assert initial.degrees_of_freedom(atom, translation=True, rotation=True).tolist() == [3]
    assert initial.degrees_of_freedom(atom, translation=False, rotation=False).tolist() == [0]
    assert initial.without_rotation(atom, torch.ones(1, 3, dtype=torch.float64), initial.rotations(atom)).abs().max() == 0
    rescaling = integrators.Rescaling(torch.zeros(1, dtype=torch.float64), kelvin(300), 0.5, generator())
    assert rescaling.factors(torch.zeros(1, dtype=torch.float64)).tolist() == [1.0]


def test_conformers_are_dealt_round_robin_and_others_refused():
    other = WATER.at(WATER.positions + 1.0)
    dealt = initial.deal(Molecules.concatenate([WATER, other]), 5)
    assert [bool(torch.equal(m.positions, WATER.positions)) for m in dealt.split()] == [True, False, True, False, True]
    with pytest.raises(initial.StartError, match="geometry 2 has elements"):
        initial.deal(Molecules.concatenate([WATER, CARBON_DIOXIDE]), 2)


def test_forces_in_float32_keep_the_state_in_float64():
    def force(molecules):
        found = Springs(WATER)(molecules)
        return found.replace(energy=found.energy.float(), forces=found.forces.float(), dipole=found.dipole.float())

    state = moving(WATER, 2, 300, force)
    state = integrators.velocity_verlet(force, state.masses, FEMTOSECOND)(state)
    kinds = {t.dtype for t in (state.molecules.positions, state.velocities, state.forces, state.energy, state.dipole)}
    assert kinds == {torch.float64}
