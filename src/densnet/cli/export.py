"""`densnet export`: a trajectory for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    trajectory: Annotated[Path, typer.Argument(help="Folder of a simulation, or its trajectory.h5.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .h5md or .h5 for H5MD, .extxyz or .xyz for extended xyz.")],
    replica: Annotated[int | None, typer.Option(min=0, help="Write only this replica, counted from 0; default: all replicas.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Write every N-th sample.")] = 1,
) -> None:
    """Write a trajectory, or one replica of it, in a format that other programs read.

    H5MD with a single particle group (MDAnalysis): positions, velocities and all observables; the atoms of several replicas are
    concatenated. Extended xyz (ASE, viewers): positions in Angstrom, forces (eV/Angstrom) if recorded; in the comment line
    energy (eV), dipole about the centre of mass (e Angstrom), expected errors if the model predicts them, time (fs); several replicas
    follow one another, each with all its frames.
    """
    from densnet.cli.console import say
    from densnet.simulation.export import export as write

    samples = write(trajectory, out, replica, every)
    say(f"{samples} samples of {'every replica' if replica is None else f'replica {replica}'}: {out}")
