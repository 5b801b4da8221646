"""Trajectories for other programs: H5MD with one group of particles (MDAnalysis, VMD), extended xyz (ASE, viewers)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from densnet import units
from densnet.errors import DensnetError
from densnet.files import replacing
from densnet.frames.write import frame
from densnet.molecules import Molecules, isotopologue
from densnet.properties import Properties
from densnet.simulation import h5md
from densnet.simulation.trajectory import Trajectory, read_trajectory

H5MD, XYZ = (".h5md", ".h5", ".hdf5"), (".extxyz", ".xyz", ".exyz")
"""Suffixes of the files that can be written."""

GROUP = "trajectory"
"""Name of the only group of particles: MDAnalysis counts atoms in the one of this name if it is given no topology."""

AT_ONCE = 1000
"""Samples in memory at a time."""


class ExportError(DensnetError):
    """A file that cannot be written; the message says which can."""


def export(source: Path, out: Path, replica: int | None = None, every: int = 1) -> int:
    """Writes one ``replica`` of the trajectory in ``source``, or all, to ``out``, one sample of ``every``; how many samples these are.

    H5MD: one group of particles; all replicas are one behind the other in it, with as many values in each observable. Extended
    xyz: all samples of a replica, then the next one; energy in eV, dipole (about the centre of mass) in e Angstrom, forces in eV/Angstrom
    where they were recorded, time in fs.
    Raises `ExportError` for another suffix, `TrajectoryError` for a source that is no trajectory or has no such replica.
    """
    source, out = Path(source), Path(out)
    source = source / "trajectory.h5" if source.is_dir() else source
    suffix = out.suffix.lower()
    if suffix not in H5MD + XYZ:
        raise ExportError(
            f"{out} has no suffix that says what to write: {', '.join(H5MD)} for H5MD, {', '.join(XYZ)} for extended xyz; "
            ".molden is for normal modes."
        )
    if out.exists() and source.exists() and out.samefile(source):
        raise ExportError(f"{out} is the trajectory itself; choose another file.")
    out.parent.mkdir(parents=True, exist_ok=True)
    only = None if replica is None else [replica]
    return _write_h5md(source, out, only, every) if suffix in H5MD else _write_xyz(source, out, only, every)


def _write_h5md(source: Path, out: Path, only: Sequence[int] | None, every: int) -> int:
    with h5md.open_file(source) as file:
        header, replicas = h5md.header_of(file, source), h5md.chosen(file, only)
        groups, names = h5md.replicas_of(file), [name for name in file["observables"] if name in h5md.OBSERVABLES]
        samples, motion = len(file["observables"][names[0]]["value"]), [name for name in h5md.MOTION if name in groups[0]]

        def parts() -> Iterator[dict[str, Tensor]]:
            for begin in range(0, samples, AT_ONCE * every):
                which = slice(begin, begin + AT_ONCE * every, every)
                observed = {name: h5md.read(file["observables"], name, which)[:, replicas] for name in names}
                found = {f"observables/{name}": v.squeeze(1) if len(replicas) == 1 else v for name, v in observed.items()}
                moved = {name: torch.cat([h5md.read(groups[k], name, which) for k in replicas], 1).float() for name in motion}
                yield found | {f"particles/{GROUP}/{name}": values for name, values in moved.items()}

        settings, numbers = header["settings"], torch.tensor(header["numbers"])
        clock = h5md.Clock(-(-samples // every), settings["sample_every"] * every, settings["timestep_fs"])
        masses = torch.as_tensor(groups[0]["mass"][()]) * units.AMU
        particles = h5md.Group(numbers.repeat(len(replicas)), masses.repeat(len(replicas)))
        h5md.write(out, {GROUP: particles}, clock, parts(), {"run": {**header, "exported_replicas": replicas}})
    return clock.samples


def _write_xyz(source: Path, out: Path, only: Sequence[int] | None, every: int) -> int:
    with h5md.open_file(source) as file:
        h5md.header_of(file, source)
        replicas = h5md.chosen(file, only)
    samples = 0
    with replacing(out) as file:
        for k in replicas:
            found = read_trajectory(source, every=every, replicas=[k])
            samples = len(found.times)
            file.writelines(f"{line}\n" for line in _lines(found, k))
    return samples


def _lines(found: Trajectory, replica: int) -> Iterator[str]:
    """All samples of the only replica in ``found``, which has the number ``replica``."""
    table = Properties.table()
    known = {_key(name): values[0] / table[name].outside[1] for name, values in found.known.items()}
    positions, times = found.positions[0].double(), found.times / units.FEMTOSECOND
    forces = None if found.forces is None else found.forces[0] / units.EV_PER_ANGSTROM
    first = Molecules.single(found.numbers, positions[0], found.masses)
    molecule = first if isotopologue(first) else Molecules.single(found.numbers, positions[0])
    about = f"temperature={found.settings['temperature']:g} trajectory={found.number(replica)} replica={replica}"
    for k, time in enumerate(times.tolist()):
        values = " ".join(f"{name}={_quoted(own[k])}" for name, own in known.items())
        yield from frame(molecule.at(positions[k]), f"{values} time_fs={time:g} {about}", None if forces is None else forces[k])


def _key(name: str) -> str:
    """The word for a property in a comment line: its own name, which ASE knows; that of its column if it is part of another."""
    return h5md.column(name) if "." in name else name


def _quoted(values: Tensor) -> str:
    numbers = " ".join(f"{x:.14g}" for x in values.reshape(-1).tolist())
    return f'"{numbers}"' if values.numel() > 1 else numbers
