"""Several runs that differ in nothing but their random numbers, as one trajectory with the replicas of all.

A mean over replicas and its standard error take these for independent samples of one ensemble. So runs are of one molecule, model, start
and settings; their seeds differ, or the same random numbers would count twice and errors come out too small; and each replica counts
alike, whichever run it is from. All are taken as far as the shortest run reaches: replicas are thermalised before the first sample, so the
beginning of a long run is what a shorter one would have had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from densnet import units
from densnet.molecules import Molecules, formula_of
from densnet.simulation.header import TrajectoryError, differences
from densnet.simulation.trajectory import Trajectory, read_trajectory

MAY_DIFFER = frozenset({"seed", "replicas", "duration_ps", "record_forces", "polarizability"})
"""Settings of runs of one ensemble: random numbers, how much there is, and what is recorded of it."""

IN_WORDS = {"provenance": "the origin of its forces", "start": "the hash of its start geometries"}
"""What settings do not name."""

DISTINCT = 2**32
"""Seeds that are the same modulo this number give the same random numbers: torch's generator on a CPU looks at 32 bits."""


def read_joined(paths: Sequence[Path], *, motion: bool = True, announce: Callable[[str], None] = lambda text: None) -> Trajectory:
    """The runs in ``paths`` as one trajectory: the replicas of the first, then of the second, and so on. A single run is as it is.

    ``motion`` as in `read_trajectory`. ``announce`` is told what is left out: samples beyond the end of the shortest run, quantities that
    are not recorded in all. The header is that of the first run, with ``joined``, the list of the headers of all; its settings have the sum
    of ``replicas`` and no ``seed``. Raises `TrajectoryError` for runs that are not of one molecule, model, start and settings, and for two
    of the same seed; the message names file and value.
    """
    runs = [read_trajectory(path, motion=motion) for path in paths]
    if len(runs) == 1:
        return runs[0]
    for path, run in zip(paths[1:], runs[1:]):
        if others := _others(runs[0], run):
            raise TrajectoryError(
                f"{path} cannot be joined with {paths[0]}: {'; '.join(others)}. Runs that are joined differ in their random numbers and "
                "lengths only: leave it out, or simulate it again like the others, with a seed of its own."
            )
    _refuse_repeated(paths, runs)
    samples, names = _shortest(paths, runs, announce), _recorded(paths, runs, announce)
    return _together(runs, samples, names)


def _others(first: Trajectory, run: Trajectory) -> list[str]:
    """In what ``run`` is not of the ensemble of the ``first``, in words."""
    here, there = (formula_of(Molecules.single(one.numbers, torch.zeros(len(one.numbers), 3), one.masses)) for one in (run, first))
    if here != there:
        return [f"its molecule is {here}, not {there}"]
    if not torch.equal(first.numbers, run.numbers):
        return [f"its atomic numbers are {run.numbers.tolist()}, not {first.numbers.tolist()}"]
    if not torch.allclose(first.masses, run.masses, rtol=1e-9, atol=0):
        masses = [[round(m, 3) for m in (one.masses / units.AMU).tolist()] for one in (run, first)]
        return [f"its masses are {masses[0]} u, not {masses[1]} u"]
    found = {name: values for name, values in differences(first.header, run.header).items() if name not in MAY_DIFFER}
    return [f"{IN_WORDS.get(name, f'`{name}`')} is {_short(now)}, not {_short(before)}" for name, (before, now) in found.items()]


def _short(value: Any) -> str:
    """A value of a header in words, of hashes the beginning."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(own)}" for name, own in value.items()) or "unknown"
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else str(value)


def _refuse_repeated(paths: Sequence[Path], runs: Sequence[Trajectory]) -> None:
    seen: dict[int, Path] = {}
    for path, run in zip(paths, runs):
        seed = run.settings["seed"]
        if (before := seen.get(seed % DISTINCT)) is not None:
            raise TrajectoryError(
                f"{path} has the `seed` {seed}, as has {before}: the same random numbers would count twice, and errors would be too small. "
                "Give each run once, and simulate each with a seed of its own (`densnet simulate --seed`)."
            )
        seen[seed % DISTINCT] = path


def _shortest(paths: Sequence[Path], runs: Sequence[Trajectory], announce: Callable[[str], None]) -> int:
    """The number of samples that all have."""
    lengths = [run.kinetic.shape[1] for run in runs]
    samples = min(lengths)
    if samples < max(lengths):
        path, run = next((path, run) for path, run, length in zip(paths, runs, lengths) if length == samples)
        held, most = ((length - 1) * run.sample_step / units.PICOSECOND for length in (samples, max(lengths)))
        unfinished = "" if run.header["complete"] else " and is not finished (the command that began it goes on with it)"
        announce(f"{path} has {held:.3g} ps{unfinished}; of the others, up to {most:.3g} ps long, only as much is used.")
    return samples


def _recorded(paths: Sequence[Path], runs: Sequence[Trajectory], announce: Callable[[str], None]) -> list[str]:
    """The quantities that all know, by the names of `Properties.table`."""
    names = list(dict.fromkeys(name for run in runs for name in run.known))
    missing = {name: path for name in names for path, run in zip(paths, runs) if name not in run.known}
    for name, path in missing.items():
        announce(f"{path} has no {name.replace('.', ' of ')}, which is left out for all.")
    return [name for name in names if name not in missing]


def _together(runs: Sequence[Trajectory], samples: int, names: Sequence[str]) -> Trajectory:
    def joined(of: Callable[[Trajectory], Tensor]) -> Tensor:
        return torch.cat([of(run)[:, :samples] for run in runs])

    def optional(field: str) -> Tensor | None:
        there = all(getattr(run, field) is not None for run in runs)
        return joined(lambda run: getattr(run, field)) if there else None

    first, headers = runs[0], [run.header for run in runs]
    settings = {name: value for name, value in first.settings.items() if name != "seed"}
    settings["replicas"] = sum(len(run.kinetic) for run in runs)
    return replace(
        first,
        positions=optional("positions"),
        velocities=optional("velocities"),
        known={name: torch.cat([run.known[name][:, :samples] for run in runs]) for name in names},
        kinetic=joined(lambda run: run.kinetic),
        conserved=joined(lambda run: run.conserved),
        temperature=joined(lambda run: run.temperature),
        header={**first.header, "complete": all(one["complete"] for one in headers), "settings": settings, "joined": headers},
        marked=optional("marked"),
        forces=optional("forces"),
        quantum_kinetic=optional("quantum_kinetic"),
        internal_temperature=optional("internal_temperature"),
    )
