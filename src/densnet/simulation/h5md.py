"""H5MD 1.1 (https://www.nongnu.org/h5md): names, units and layout of trajectories in HDF5.

    particles/GROUP/ELEMENT   position, velocity and, where recorded, force: step, time (fs) and value [samples, atoms, 3]; beside them
                              species, mass (u) and an open box
    observables/COLUMN        step, time and value [samples, replicas, ...]
    parameters                what is no time series: the header of the run, the drift of its energy

Columns that a force function gives follow from the table of `Properties`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

import densnet
from densnet import files, units
from densnet.properties import Properties
from densnet.simulation.header import TrajectoryError, upgraded

MOTION = {
    "position": ("Angstrom", units.ANGSTROM),
    "velocity": ("Angstrom fs-1", units.ANGSTROM / units.FEMTOSECOND),
    "force": ("kJ mol-1 Angstrom-1", units.KJ_PER_MOL / units.ANGSTROM),
}
"""Columns of a group of particles: unit in the file, one that MDAnalysis knows, and its size in atomic units."""

_NAMES = {"energy": "potential_energy", "uncertainty.novelty": "novelty"}


def column(name: str) -> str:
    """The column that has the property ``name`` of a table of `Properties`: "energy_uncertainty" has "uncertainty.energy"."""
    return _NAMES.get(name, "_".join(reversed(name.split("."))))


KNOWN = {name: column(name) for name, quantity in Properties.table().items() if quantity.per == "molecule"}
"""Property -> column, of what is recorded where the force function knows it."""

OBSERVABLES = {
    "kinetic_energy": ("eV", units.EV),
    "conserved_energy": ("eV", units.EV),
    "temperature": ("K", units.KELVIN),
    "quantum_kinetic_energy": ("eV", units.EV),
    "internal_temperature": ("K", units.KELVIN),
    "marked": ("1", 1.0),
} | {own: Properties.table()[name].outside for name, own in KNOWN.items()}
"""Every column of `observables`: unit in the file, and its size in atomic units."""

SINGLE = frozenset({*MOTION, "polarizability"})
"""Columns in single precision; the others are in double."""

_UNITS = MOTION | OBSERVABLES


@dataclass(frozen=True)
class Clock:
    """Equal intervals of ``samples`` samples from step 0 on: ``every`` steps of ``timestep_fs``."""

    samples: int
    every: int
    timestep_fs: float


@dataclass(frozen=True)
class Group:
    """Particles: atomic numbers and masses (electron masses)."""

    numbers: Tensor
    masses: Tensor


Parts = Iterable[Mapping[str, Tensor]]
"""Samples by place, "particles/GROUP/position" or "observables/dipole", in atomic units; the last word says the unit."""


def replica(number: int) -> str:
    """The group of particles of a replica, in the file of a run."""
    return f"replica_{number:04d}"


def apart(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Columns [samples, replicas, ...] by place, every replica a group of particles."""
    found = {f"observables/{name}": values for name, values in columns.items() if name in OBSERVABLES}
    moved = {name: values.unbind(1) for name, values in columns.items() if name in MOTION}
    return found | {f"particles/{replica(k)}/{name}": own for name, parts in moved.items() for k, own in enumerate(parts)}


def write(
    path: Path, groups: Mapping[str, Group], clock: Clock, parts: Parts, about: Mapping[str, dict], drift: Tensor | None = None
) -> None:
    """An H5MD file of all ``parts``, one behind the other along the first axis. All or nothing.

    ``about`` is plain data by name, ``drift`` [replicas] that of the energy, meV per atom and ps.
    """
    with files.draft(path) as made, h5py.File(made, "w") as file:
        _write_frame(file, clock, about)
        if drift is not None:
            file["parameters/energy_drift"] = drift.cpu().numpy()
            file["parameters/energy_drift"].attrs["unit"] = "meV ps-1 per atom"
        begin = 0
        for part in parts:
            for place, values in part.items():
                _append(file, place, values, begin, clock.samples)
            begin += len(next(iter(part.values())))
        for name, group in groups.items():
            home = file[f"particles/{name}"]
            home["species"], home["mass"] = group.numbers.cpu().numpy(), (group.masses / units.AMU).cpu().numpy()
            home["mass"].attrs["unit"] = "u"
            home.create_group("box").attrs.update({"dimension": 3, "boundary": ["none"] * 3})


def _write_frame(file: h5py.File, clock: Clock, about: Mapping[str, dict]) -> None:
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = [1, 1]
    h5md.create_group("author").attrs["name"] = "unknown"
    h5md.create_group("creator").attrs.update({"name": "densnet", "version": densnet.__version__})
    h5md.create_group("modules/units").attrs["version"] = [1, 0]
    own = file.create_group("parameters/densnet")
    for name, content in about.items():
        own.attrs[name] = json.dumps(content)
    steps = np.arange(clock.samples) * clock.every
    file["parameters/step"], file["parameters/time"] = steps, steps * clock.timestep_fs
    file["parameters/time"].attrs["unit"] = "fs"


def _append(file: h5py.File, place: str, values: Tensor, begin: int, samples: int) -> None:
    unit, size = _UNITS[place.rpartition("/")[2]]
    if place not in file:
        value = file.create_dataset(f"{place}/value", shape=(samples, *values.shape[1:]), dtype=values.cpu().numpy().dtype)
        value.attrs["unit"] = unit
        file[place].update({name: file[f"parameters/{name}"] for name in ("step", "time")})  # one dataset under many names
    file[f"{place}/value"][begin : begin + len(values)] = (values.cpu() / size).numpy()


def open_file(path: Path) -> h5py.File:
    """The HDF5 file at ``path``, to be read; raises `TrajectoryError`."""
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise TrajectoryError(f"{path} does not exist; an interrupted simulation is finished by the command that started it.") from None
    except OSError as error:
        raise TrajectoryError(f"{path} is not a readable HDF5 file ({error}); delete it and run `densnet simulate` again.") from None


def header_of(file: h5py.File, path: Path) -> dict:
    """The header of a run's own file, in the newest format; raises `TrajectoryError` for any other file."""
    for place in ("parameters/densnet", "densnet"):  # formats 1 and 2 had it at the root
        if place in file and "header" in file[place].attrs:
            return upgraded(json.loads(file[place].attrs["header"]), path)
    raise TrajectoryError(f"{path} is not a trajectory of densnet; name the folder or the trajectory.h5 of `densnet simulate`.")


def read(group: h5py.Group, name: str, which: slice = slice(None)) -> Tensor:
    """[samples, ...] float64, atomic units: samples of the element ``name`` in ``group``."""
    return torch.as_tensor(group[name]["value"][which]).double() * _UNITS[name][1]


def replicas_of(file: h5py.File) -> list[h5py.Group]:
    """The groups of particles in a run's own file, by number."""
    return [file["particles"][name] for name in sorted(file["particles"], key=lambda name: int(name.rpartition("_")[2]))]


def chosen(file: h5py.File, replicas: Sequence[int] | None) -> list[int]:
    """Numbers of the replicas meant by ``replicas``, all if None; raises `TrajectoryError` for one that is not there."""
    there = len(file["particles"])
    if wrong := [k for k in replicas or () if not 0 <= k < there]:
        raise TrajectoryError(f"{file.filename} has no replica {wrong[0]}; its replicas are 0 to {there - 1}.")
    return list(range(there)) if replicas is None else list(replicas)
