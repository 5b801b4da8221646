"""Several runs as one: the replicas of all, independent of each other; runs that do not belong together are refused."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from springs import CARBON_DIOXIDE, WATER, Springs
from test_sampled import Asked

from densnet import units
from densnet.isotopes import MASSES
from densnet.molecules import Molecules
from densnet.simulation.integrators import Forces
from densnet.simulation.joined import DISTINCT, read_joined
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import TrajectoryError, read_trajectory
from densnet.spectra.infrared import from_series
from densnet.spectra.timeseries import Sampling, SeriesSettings

SETTINGS = SimulateSettings(
    replicas=4, thermalise_ps=0.1, thermalise_friction=50, duration_ps=0.4, timestep_fs=1, sample_every=2, seed=11, temperature=300
)


def settings(**changes):
    return SETTINGS.model_copy(update=changes)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return whole_and_parts(tmp_path_factory.mktemp("runs"))


def whole_and_parts(folder: Path) -> Path:
    """``folder`` with ``whole``, a run of 4 replicas with polarizabilities, and its first replica and the others as two runs."""
    whole = simulate(Forces(Springs(WATER), Asked()), WATER, SETTINGS, folder / "whole", provenance={"model": "a" * 64})
    part(whole, folder / "one.h5", [0], seed=1)
    part(whole, folder / "three.h5", [1, 2, 3], seed=2)
    return folder


def part(source: Path, target: Path, replicas: list[int], samples: int | None = None, **changes) -> Path:
    """A file with some of the ``replicas`` of ``source``, whose settings are changed."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        old.copy("parameters", new)
        header = json.loads(old["parameters/densnet"].attrs["header"])
        header["settings"] |= {"replicas": len(replicas), **changes}
        header["complete"] = samples is None
        new["parameters/densnet"].attrs["header"] = json.dumps(header)
        for place, k in enumerate(replicas):
            group = new.create_group(f"particles/replica_{place:04d}")
            for name in ("mass", "species"):
                old.copy(f"particles/replica_{k:04d}/{name}", group)
            for name in ("position", "velocity"):
                group[f"{name}/value"] = old[f"particles/replica_{k:04d}/{name}/value"][:samples]
        for name, column in old["observables"].items():
            new[f"observables/{name}/value"] = column["value"][:samples, replicas]
    return target


def refusal(*paths: Path) -> str:
    with pytest.raises(TrajectoryError) as caught:
        read_joined(paths)
    return str(caught.value)


def test_joined_replicas_are_those_of_the_whole(runs):
    whole, found = read_trajectory(runs / "whole"), read_joined([runs / "one.h5", runs / "three.h5"])
    for name in ("positions", "velocities", "dipole", "polarizability", "potential", "kinetic", "conserved", "temperature"):
        assert torch.equal(getattr(found, name), getattr(whole, name)), name
    assert found.forces is None and found.marked is None and found.realised == whole.realised
    assert found.settings["replicas"] == 4 and "seed" not in found.settings and found.header["complete"]
    assert [one["settings"]["seed"] for one in found.header["joined"]] == [1, 2]
    parts = [read_trajectory(runs / name) for name in ("one.h5", "three.h5")]
    assert [found.number(k) for k in range(4)] == [parts[0].number(0), *(parts[1].number(k) for k in range(3))]
    assert read_joined([runs / "one.h5"], motion=False).header == parts[0].header


def water(*hydrogens: int) -> Molecules:
    """Water with hydrogens of such mass numbers."""
    masses = [MASSES[8][16], *(MASSES[1][number] for number in hydrogens)]
    return Molecules.single([8, 1, 1], WATER.positions, units.AMU * torch.tensor(masses, dtype=torch.float64))


def test_runs_of_other_seeds_are_independent(tmp_path):
    """64 replicas in one run and in four of 16: two samples of one thing, whose errors are of one size; four times 16 at once halve it."""
    few, short = settings(replicas=16, duration_ps=0.2), SeriesSettings(depth=100.0, step=20.0)
    for seed in range(4):
        simulate(Springs(WATER), WATER, settings(replicas=16, duration_ps=0.2, seed=seed), tmp_path / str(seed))
    simulate(Springs(WATER), WATER, few.model_copy(update={"replicas": 64, "seed": 9}), tmp_path / "whole")

    def intensity(run):
        sampling = Sampling(run.sample_step, run.time_step, run.temperature.mean(1).numpy())
        return from_series(run.dipole, sampling, settings=short).band(500, 4400)

    joined, whole = intensity(read_joined([tmp_path / str(seed) for seed in range(4)])), intensity(read_trajectory(tmp_path / "whole"))
    assert abs(joined.integral - whole.integral) < 4 * np.hypot(joined.error, whole.error)
    assert joined.error == pytest.approx(whole.error, rel=0.4)
    alone = [intensity(read_trajectory(tmp_path / str(seed))).error for seed in range(4)]
    assert joined.error == pytest.approx(np.sqrt(np.mean(np.square(alone))) / 2, rel=0.25)


def test_the_shortest_run_decides_the_length_and_is_named(runs, tmp_path):
    told = []
    short = part(runs / "whole" / "trajectory.h5", tmp_path / "short.h5", [1, 2], samples=101, seed=3)
    found = read_joined([runs / "one.h5", short], announce=told.append)
    assert torch.equal(found.dipole, read_trajectory(runs / "whole", replicas=[0, 1, 2]).dipole[:, :101])
    assert found.positions.shape[:2] == found.temperature.shape == (3, 101) and not found.header["complete"]
    unfinished = "and is not finished (the command that began it goes on with it)"
    assert told == [f"{short} has 0.2 ps {unfinished}; of the others, up to 0.4 ps long, only as much is used."]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"temperature": 350}, "`temperature` is 350.0, not 300.0"),
        ({"timestep_fs": 0.5}, "`timestep_fs` is 0.5, not 1.0"),
        ({"sample_every": 4}, "`sample_every` is 4, not 2"),
        ({"ensemble": "langevin"}, "`ensemble` is kind langevin, friction 1.0, not kind nve"),
        ({"thermalise_friction": 60}, "`thermalise_friction` is 60.0, not 50.0"),
    ],
)
def test_other_settings_are_refused(runs, tmp_path, changes, words):
    other = SimulateSettings.model_validate({**SETTINGS.model_dump(), "duration_ps": 0.02, "seed": 12, **changes})
    simulate(Springs(WATER), WATER, other, tmp_path / "other", provenance={"model": "a" * 64})
    assert f"{tmp_path / 'other'} cannot be joined with {runs / 'one.h5'}: {words}. " in refusal(runs / "one.h5", tmp_path / "other")


@pytest.mark.parametrize(
    ("molecule", "model", "words"),
    [
        (CARBON_DIOXIDE, "a", "its molecule is CO2, not H2O"),
        (water(2, 2), "a", "its molecule is D2O, not H2O"),
        (Molecules.single([1, 8, 1], WATER.positions[[1, 0, 2]]), "a", "its atomic numbers are [1, 8, 1], not [8, 1, 1]"),
        (WATER.at(WATER.positions * 1.01), "a", "the hash of its start geometries is"),
        (WATER, "b", "the origin of its forces is model bbbbbbbbbbbb..., not model aaaaaaaaaaaa..."),
    ],
)  # fmt: skip
def test_another_molecule_or_model_is_refused(runs, tmp_path, molecule, model, words):
    simulate(Springs(molecule), molecule, settings(duration_ps=0.01, seed=12), tmp_path / "other", provenance={"model": model * 64})
    assert f"{tmp_path / 'other'} cannot be joined with {runs / 'one.h5'}: {words}" in refusal(runs / "one.h5", tmp_path / "other")


def test_isotopes_in_other_places_are_refused(runs, tmp_path):
    for name, mixed in (("first", water(2, 1)), ("second", water(1, 2))):
        simulate(Springs(mixed), mixed, settings(duration_ps=0.01, seed=len(name)), tmp_path / name)
    assert "its masses are [15.995, 1.008, 2.014] u, not [15.995, 2.014, 1.008] u" in refusal(tmp_path / "first", tmp_path / "second")


def test_the_same_random_numbers_twice_are_refused(runs, tmp_path):
    one, words = runs / "one.h5", "the same random numbers would count twice, and errors would be too small"
    assert f"{one} has the `seed` 1, as has {one}: {words}" in refusal(one, one)
    shutil.copy(one, tmp_path / "copy.h5")
    assert words in refusal(runs / "three.h5", one, tmp_path / "copy.h5")
    more = part(runs / "whole" / "trajectory.h5", tmp_path / "more.h5", [2, 3], seed=1)
    assert words in refusal(one, more)


def test_seeds_are_told_apart_as_the_generator_does(runs, tmp_path):
    """Of a seed, the CPU's generator takes 32 bits; a larger one repeats the random numbers of a smaller one."""
    same = [torch.randn(5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1 + DISTINCT, 2)]
    assert torch.equal(same[0], same[1]) and not torch.equal(same[0], same[2])
    again = part(runs / "whole" / "trajectory.h5", tmp_path / "again.h5", [2, 3], seed=1 + DISTINCT)
    assert f"{again} has the `seed` {1 + DISTINCT}, as has {runs / 'one.h5'}" in refusal(runs / "one.h5", again)
