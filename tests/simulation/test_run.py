"""Runs: files that survive a kill, restarts to the bit, and stops that say why."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from springs import CARBON_DIOXIDE, WATER, Springs, replicas, straight

from densnet import units
from densnet.molecules import Molecules
from densnet.settings import SettingsError, parse
from densnet.simulation import header, initial, record
from densnet.simulation.ensembles import Langevin, Nve, Svr
from densnet.simulation.integrators import half_step_kinetic_energy, init
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import TrajectoryError, drift, read_trajectory
from densnet.simulation.watch import SimulationStopped, Watch

SETTINGS = SimulateSettings(
    replicas=3, thermalise_ps=0.02, duration_ps=0.06, sample_every=4, checkpoint_every=25, seed=11, temperature=200, thermalise_friction=20
)


def settings(**changes):
    return SETTINGS.model_copy(update=changes)


def assert_same(one, other):
    """To the last bit."""
    for name in ("positions", "velocities", "dipole", "potential", "kinetic", "conserved", "temperature"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_trajectory_holds_what_was_asked_for(tmp_path):
    told = []
    path = simulate(Springs(WATER), WATER, SETTINGS, tmp_path, lambda *steps: told.append(steps), {"model": "springs"})
    found = read_trajectory(tmp_path)
    assert path == tmp_path / "trajectory.h5" and told[-1] == (160, 160)
    assert found.positions.shape == found.velocities.shape == (3, 31, 3, 3)
    assert found.dipole.shape == (3, 31, 3)
    assert found.potential.shape == found.total.shape == found.temperature.shape == (3, 31)
    assert found.numbers.tolist() == [8, 1, 1]
    assert torch.allclose(found.masses, WATER.masses, rtol=1e-14)
    assert found.time_step == pytest.approx(0.5 * units.FEMTOSECOND)
    assert found.sample_step == pytest.approx(2 * units.FEMTOSECOND)
    assert found.header["complete"] and found.header["provenance"] == {"model": "springs"} and found.settings["seed"] == 11
    assert not (tmp_path / "blocks").exists()
    assert read_trajectory(path, motion=False).positions is None


def test_the_quantities_of_a_trajectory_agree_with_each_other(tmp_path):
    simulate(Springs(WATER), WATER, settings(sample_every=1), tmp_path)
    found = read_trajectory(tmp_path)
    again = Springs(WATER)(Molecules.replicas(WATER.numbers, found.positions.reshape(-1, 3, 3)))
    assert torch.allclose(again.energy.view(3, -1), found.potential, rtol=0, atol=1e-7)  # positions are kept in float32
    assert torch.allclose(again.dipole.view(3, -1, 3), found.dipole, rtol=0, atol=1e-6)
    kinetic = (found.masses[:, None] * found.velocities.square()).sum((2, 3)) / 2
    assert torch.allclose(kinetic, found.kinetic, rtol=1e-6)
    half = (found.positions[:, 1:] - found.positions[:, :-1]) / found.sample_step  # over one step: the velocity in the middle of it
    energy = (found.masses[:, None] * half.square()).sum((2, 3)) / 2
    around = (energy[:, 1:] + energy[:, :-1]) / 2
    assert torch.allclose(found.temperature[:, 1:-1], 2 * around / 6 / units.KELVIN, rtol=1e-4)  # 3N - 3 = 6
    assert (found.temperature > 2 * found.kinetic / 6 / units.KELVIN).all()
    assert torch.allclose(found.total - found.total[:, :1], found.conserved, rtol=0, atol=1e-12)
    assert found.conserved.abs().max() < 1.0 * units.MEV * 3
    slope = (found.positions[:, 2:] - found.positions[:, :-2]) / (2 * found.sample_step)  # over one step: the Verlet velocity itself
    assert torch.allclose(slope, found.velocities[:, 1:-1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("ensemble", [Nve(), Svr(), Langevin()], ids=lambda e: e.kind)
@pytest.mark.parametrize("stop", [3, 41, 90])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(tmp_path, ensemble, stop):
    """Ctrl-C during thermalisation, at its end, in production; then the same call again."""
    chosen = settings(ensemble=ensemble)
    simulate(Springs(WATER), WATER, chosen, tmp_path / "whole")
    force = Springs(WATER)

    def interrupted(molecules):
        if force.calls == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return force(molecules)

    with pytest.raises(KeyboardInterrupt, match="run the same command again"):
        simulate(interrupted, WATER, chosen, tmp_path / "parts")
    assert force.calls <= stop + 2
    simulate(Springs(WATER), WATER, chosen, tmp_path / "parts")
    assert_same(read_trajectory(tmp_path / "whole"), read_trajectory(tmp_path / "parts"))


def test_a_crash_of_the_force_function_loses_only_the_steps_since_the_restart(tmp_path):
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path / "whole")
    force = Springs(WATER)

    def crashing(molecules):
        if force.calls == 120:
            raise RuntimeError("out of memory")
        return force(molecules)

    with pytest.raises(RuntimeError, match="out of memory"):
        simulate(crashing, WATER, SETTINGS, tmp_path / "parts")
    assert read_trajectory(tmp_path / "parts").potential.shape[1] == 20  # steps 0, 4 ... 76 of the 79 done
    again = Springs(WATER)
    simulate(again, WATER, SETTINGS, tmp_path / "parts")
    assert again.calls == 120 - 75
    assert_same(read_trajectory(tmp_path / "whole"), read_trajectory(tmp_path / "parts"))


KILLED = """
import sys
from pathlib import Path
from springs import Springs, WATER
from test_run import Svr, settings
from densnet.simulation.run import simulate
simulate(Springs(WATER), WATER, settings(ensemble=Svr(), duration_ps=0.4), Path(sys.argv[1]))
"""


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    """kill -9 at a moment that is random on purpose."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "parts")], env=environment)
    limit = time.monotonic() + 180
    while not (tmp_path / "parts" / "restart.safetensors").exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)
    time.sleep(random.SystemRandom().uniform(0, 0.3))
    process.kill()
    process.wait()
    assert (tmp_path / "parts" / "restart.safetensors").exists()
    chosen = settings(ensemble=Svr(), duration_ps=0.4)
    simulate(Springs(WATER), WATER, chosen, tmp_path / "whole")
    simulate(Springs(WATER), WATER, chosen, tmp_path / "parts")
    assert_same(read_trajectory(tmp_path / "whole"), read_trajectory(tmp_path / "parts"))


def test_replicas_of_different_seeds_and_of_one_batch_differ(tmp_path):
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path / "a")
    simulate(Springs(WATER), WATER, settings(seed=12), tmp_path / "b")
    a, b = read_trajectory(tmp_path / "a"), read_trajectory(tmp_path / "b")
    assert not torch.allclose(a.positions, b.positions, atol=1e-3)
    assert not torch.allclose(a.positions[0], a.positions[1], atol=1e-3)


def half_step(found, freedom, force=None):
    """[replicas, samples] K: v^2 + (F dt / 2m)^2, forces of the springs at the positions that were kept in float32."""
    batch = Molecules.replicas(found.numbers, found.positions.flatten(0, 1))
    forces = (force or Springs(WATER if found.numbers[0] == 8 else CARBON_DIOXIDE))(batch).forces
    kinetic = half_step_kinetic_energy(batch, batch.masses[:, None], found.velocities.reshape(-1, 3), forces, found.time_step)
    return 2 * kinetic.view(len(found.positions), -1) / freedom / units.KELVIN


def test_production_without_rotation_has_none(tmp_path):
    simulate(Springs(WATER), WATER, settings(remove_rotation=True), tmp_path)
    found = read_trajectory(tmp_path)
    momenta = found.masses[:, None] * found.velocities
    centre = (found.masses[:, None] * found.positions).sum(2, keepdim=True) / found.masses.sum()
    assert torch.linalg.cross(found.positions - centre, momenta).sum(2).abs().max() < 1e-6 * momenta.abs().max()
    assert momenta.sum(2).abs().max() < 1e-6 * momenta.abs().max()
    assert torch.allclose(found.temperature, half_step(found, 3), rtol=1e-5)  # 3N - 6 = 3


def test_a_linear_molecule_bent_at_the_start_of_production_keeps_its_bending(tmp_path):
    """What it is, its start geometry tells: an angular momentum along the axis is one of bending, and stays."""
    simulate(Springs(CARBON_DIOXIDE), CARBON_DIOXIDE, settings(remove_rotation=True), tmp_path)
    found = read_trajectory(tmp_path)
    momenta = (found.masses[:, None] * found.velocities)[:, 0]
    spin = torch.linalg.cross(found.positions[:, 0], momenta).sum(1)  # without momentum, the same about every point
    axis = torch.nn.functional.normalize(found.positions[:, 0, 1] - found.positions[:, 0, 2], dim=-1)
    along = (spin * axis).sum(1)
    assert along.abs().max() > 1e-3 * momenta.abs().max() and torch.allclose(along.abs(), spin.norm(dim=1), rtol=0.05)
    assert torch.allclose(found.temperature, half_step(found, 4), rtol=1e-5)  # 3N - 5 = 4


def test_linear_is_what_is_so_at_the_minimum(tmp_path):
    """A start bent by 0.1 Angstrom keeps both bends where rotation is removed."""
    bent = CARBON_DIOXIDE.at(CARBON_DIOXIDE.positions + torch.tensor([[0.0, 0.1 * units.ANGSTROM, 0], [0, 0, 0], [0, 0, 0]]))
    assert initial.rotations(bent).tolist() == [3]
    for name, start in (("bent", bent), ("straight", CARBON_DIOXIDE)):
        simulate(straight, start, settings(remove_rotation=True, replicas=40, thermalise_ps=0.1, thermalise_friction=60), tmp_path / name)
    for found in (read_trajectory(tmp_path / name) for name in ("bent", "straight")):
        assert torch.allclose(found.temperature, half_step(found, 4, straight), rtol=1e-5)  # 3N - 5
        assert not found.realised.differs


def test_a_finished_run_is_not_run_again_and_another_one_refused(tmp_path):
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path)
    idle = Springs(WATER)
    simulate(idle, WATER, SETTINGS, tmp_path)
    assert idle.calls == 0
    with pytest.raises(TrajectoryError, match="`temperature` was 200.0, is now 300.0.*another folder"):
        simulate(idle, WATER, settings(temperature=300.0), tmp_path)
    with pytest.raises(TrajectoryError, match="numbers is another; start is another"):
        simulate(idle, CARBON_DIOXIDE, SETTINGS, tmp_path)
    with pytest.raises(TrajectoryError, match="provenance is another"):
        simulate(idle, WATER, SETTINGS, tmp_path, provenance={"model": "other"})


def test_a_run_does_not_go_on_with_the_random_numbers_of_another_device(tmp_path):
    """`device` may change, so that nothing is made anew for it; but a generator on a GPU has another kind of state."""
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path)
    (tmp_path / "trajectory.h5").unlink()
    path = tmp_path / "restart.safetensors"
    with safe_open(path, "pt") as file:
        note = file.metadata()
    save_file(load_file(path) | {"generator": torch.zeros(16, dtype=torch.uint8)}, path, note)
    with pytest.raises(TrajectoryError, match="was written with another `device`: set it back, or delete"):
        simulate(Springs(WATER), WATER, SETTINGS, tmp_path)


def test_replicas_are_in_the_order_of_their_numbers(tmp_path):
    """Beyond 10,000 of them, where their names are no longer of one length."""
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path)
    before = read_trajectory(tmp_path).positions
    with h5py.File(tmp_path / "trajectory.h5", "r+") as file:
        file.move("particles/replica_0001", "particles/replica_9999")
        file.move("particles/replica_0002", "particles/replica_10000")
    assert torch.equal(read_trajectory(tmp_path).positions, before)


@pytest.mark.parametrize("ensemble", [Nve(), Svr(), Langevin()], ids=lambda e: e.kind)
def test_an_atom_is_a_molecule_too(tmp_path, ensemble):
    """Without its centre of mass nothing of it moves: no degree of freedom, no temperature."""
    atom = Molecules.single([10], torch.zeros(1, 3, dtype=torch.float64))
    simulate(Springs(atom), atom, settings(ensemble=ensemble), tmp_path)
    found = read_trajectory(tmp_path)
    assert found.conserved.isfinite().all() and (found.kinetic.abs().max() < 1e-30) == (ensemble != Langevin())


def test_all_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 4, 5}, raising=False)
    assert SETTINGS.cores == 3 and settings(threads=2).cores == 2 and settings(device="cuda").cores == 1


def test_files_that_are_damaged_or_foreign_are_named(tmp_path):
    with pytest.raises(TrajectoryError, match="does not exist"):
        read_trajectory(tmp_path)
    (tmp_path / "trajectory.h5").write_bytes(b"not HDF5")
    with pytest.raises(TrajectoryError, match="not a readable HDF5"):
        read_trajectory(tmp_path)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(TrajectoryError, match="not a trajectory of densnet"):
        read_trajectory(tmp_path / "foreign.h5")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "restart.safetensors").write_bytes(b"\x10")
    with pytest.raises(TrajectoryError, match="cannot be read"):
        simulate(Springs(WATER), WATER, SETTINGS, tmp_path / "cut")


def test_a_newer_format_asks_for_an_upgrade(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(record, "FORMAT", header.FORMAT + 1)
        simulate(Springs(WATER), WATER, SETTINGS, tmp_path)
    with pytest.raises(TrajectoryError, match="upgrade densnet"):
        read_trajectory(tmp_path)


def test_replicas_are_numbered_apart_from_all_other_trajectories(tmp_path):
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path / "a")
    simulate(Springs(WATER), WATER, settings(checkpoint_every=50, threads=1), tmp_path / "same")
    simulate(Springs(WATER), WATER, settings(seed=12), tmp_path / "seed")
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path / "model", provenance={"model": "other"})
    a, same, seed, model = (read_trajectory(tmp_path / name, motion=False) for name in ("a", "same", "seed", "model"))
    numbers = [run.number(replica) for run in (a, seed, model) for replica in range(3)]
    assert len(set(numbers)) == 9 and min(numbers) > 2**16 and max(numbers) < 2**53
    assert same.number(2) == a.number(2)


def test_the_file_is_h5md_with_units(tmp_path):
    path = simulate(Springs(WATER), WATER, SETTINGS, tmp_path)
    expected = {
        "particles/replica_0000/position": "Angstrom",
        "particles/replica_0002/velocity": "Angstrom fs-1",
        "observables/dipole": "e Angstrom",
        "observables/potential_energy": "eV",
        "observables/kinetic_energy": "eV",
        "observables/conserved_energy": "eV",
        "observables/temperature": "K",
    }
    with h5py.File(path) as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert file["h5md/creator"].attrs["name"] == "densnet" and "name" in file["h5md/author"].attrs
        for place, unit in expected.items():
            assert file[place]["value"].attrs["unit"] == unit
            assert len(file[place]["value"]) == len(file[place]["step"]) == len(file[place]["time"]) == 31
            assert file[place]["time"].attrs["unit"] == "fs"
        assert file["observables/dipole/time"][-1] == 60.0 and file["observables/dipole/step"][-1] == 120
        box = file["particles/replica_0000/box"].attrs
        assert box["dimension"] == 3 and list(box["boundary"]) == ["none"] * 3
        assert file["particles/replica_0001/species"][()].tolist() == [8, 1, 1]
        found = read_trajectory(path)
        inside = torch.as_tensor(file["particles/replica_0001/position/value"][()]).double() * units.ANGSTROM
        assert torch.equal(inside, found.positions[1])
        assert torch.allclose(torch.as_tensor(file["parameters/energy_drift"][()]), found.drift, rtol=1e-9)


def test_the_drift_is_the_slope_of_the_conserved_energy():
    times = torch.arange(50, dtype=torch.float64) * 2 * units.FEMTOSECOND
    slopes = torch.tensor([0.3, -1.2], dtype=torch.float64)
    energy = 7.0 + (slopes * units.MEV / units.PICOSECOND * 9)[:, None] * times
    assert torch.allclose(drift(energy, 2 * units.FEMTOSECOND, 9), slopes, rtol=1e-9)


def breaking(force, after):
    """Springs whose last hydrogen of the second replica is torn off from call ``after`` on."""

    def torn(molecules):
        found = force(molecules)
        if force.calls > after:
            found.forces[5] += torch.tensor([0.0, -0.5, -0.5])
        return found

    return torn


def test_a_broken_bond_stops_the_run_and_says_where(tmp_path):
    with pytest.raises(SimulationStopped, match=r"replica 1 broke: its bond O1-H3 is .* of the start geometry, at step \d+ \(") as stop:
        simulate(breaking(Springs(WATER), 80), WATER, settings(energy_tolerance=1e9), tmp_path)
    assert "timestep_fs" in str(stop.value) and str(tmp_path / "trajectory.h5") in str(stop.value)
    found = read_trajectory(tmp_path)
    assert not found.header["complete"] and 5 < found.potential.shape[1] < 31
    assert found.positions.isfinite().all()


@pytest.mark.parametrize("after", [20, 100])
def test_not_a_number_stops_the_run(tmp_path, after):
    force = Springs(WATER)

    def spoilt(molecules):
        found = force(molecules)
        if force.calls > after:
            found.energy[2] = torch.nan
        return found

    with pytest.raises(SimulationStopped, match="replica 2 has an energy or a position that is not a number at step"):
        simulate(spoilt, WATER, SETTINGS, tmp_path)
    if after == 100:
        assert read_trajectory(tmp_path).potential.isfinite().all()


def test_a_runaway_energy_stops_the_run(tmp_path):
    force = Springs(WATER)

    def heating(molecules):
        found = force(molecules)
        return found.replace(energy=found.energy + 1e-5 * force.calls)

    with pytest.raises(SimulationStopped, match=r"gained or lost .* meV per atom at step .*`energy_tolerance` \(2 meV per atom\)"):
        simulate(heating, WATER, settings(energy_tolerance=2.0), tmp_path)


def test_fragments_may_move_but_not_part():
    dimer = Molecules.single([1, 1, 1, 1], torch.tensor([[0.0, 0, 0], [0, 0, 1.4], [5, 0, 0], [5, 0, 1.4]], dtype=torch.float64))
    batch = replicas(dimer, 2)
    watch = Watch(batch, 20.0, 1.6, None)
    state = init(Springs(dimer), batch, torch.zeros(8, 3))
    for distance, sound in [(0, True), (6, True), (7, False)]:
        moved = batch.positions.clone()
        moved[6:, 0] += distance
        if sound:
            watch(replace(state, molecules=batch.at(moved)))
        else:
            with pytest.raises(SimulationStopped, match="replica 1 fell apart .* 6.35 Angstrom away"):
                watch(replace(state, molecules=batch.at(moved)))
    close = batch.positions.clone()
    close[2:4, 0] = 0.3
    with pytest.raises(SimulationStopped, match=r"replica 0 broke: its distance H1\.\.\.H3 is 0\.16 Angstrom, 0\.06 times"):
        watch(replace(state, molecules=batch.at(close)))


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(SettingsError, match="remove_rotation.*langevin"):
        parse(SimulateSettings, {"remove_rotation": True, "ensemble": "langevin"}, "simulate")
    with pytest.raises(SettingsError, match="did you mean `temperature`"):
        parse(SimulateSettings, {"temprature": 300}, "simulate")


def test_a_restart_is_one_file_of_plain_tensors(tmp_path):
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path)
    assert set(load_file(tmp_path / "restart.safetensors")) == {
        "positions", "velocities", "forces", "energy", "dipole", "bath", "generator",
    }  # fmt: skip


def test_a_force_function_without_dipole_is_run_without(tmp_path):
    force = Springs(WATER)
    simulate(lambda molecules: force(molecules).replace(dipole=None), WATER, SETTINGS, tmp_path)
    assert read_trajectory(tmp_path).dipole is None
