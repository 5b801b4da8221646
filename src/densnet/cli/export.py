"""`densnet export`: a trajectory for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    trajectory: Annotated[Path, typer.Argument(help="Folder of a simulation, or its trajectory.h5.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .h5md or .h5 for H5MD, .extxyz or .xyz for extended xyz.")],
    replica: Annotated[int | None, typer.Option(min=0, help="Number of the only replica to write, from 0; all of them unless set.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Write one sample of so many.")] = 1,
) -> None:
    """Write a trajectory, or one replica of it, as a file that other programs read.

    H5MD with a single group of particles (MDAnalysis): positions, velocities and all observables; of several replicas the atoms stand one
    behind the other. Extended xyz (ASE, viewers): positions in Angstrom, forces (eV/Angstrom) where they were recorded; in the comment line
    energy (eV), dipole about the centre of mass (e Angstrom), expected errors where the model knows them, time (fs); of several replicas
    all frames of one, then of the next.
    """
    from densnet.cli.console import say
    from densnet.simulation.export import export as write

    samples = write(trajectory, out, replica, every)
    say(f"{samples} samples of {'every replica' if replica is None else f'replica {replica}'}: {out}")
