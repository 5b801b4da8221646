"""`densnet export`: trajectories and normal modes for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    source: Annotated[str, typer.Argument(help="Trajectory (folder or trajectory.h5); for modes a run folder, or a model file or name.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .h5md or .h5 for H5MD, .extxyz or .xyz; .molden for normal modes.")
    ],
    replica: Annotated[int | None, typer.Option(min=0, help="Write only this replica, counted from 0; default: all replicas.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Write every N-th sample.")] = 1,
    geometry: Annotated[Path | None, typer.Option(help="Modes of a model: xyz file in Angstrom; the model relaxes it.")] = None,
    conformer: Annotated[
        str | None, typer.Option(help="Modes: name of the conformer; default: the lowest of a run, the first of a file.")
    ] = None,
    *,
    reference: Annotated[bool, typer.Option("--reference", help="Modes of the reference level in place of those of the model.")] = False,
) -> None:
    """Write a trajectory, or one replica of it, or normal modes in a format that other programs read.

    H5MD with a single particle group (MDAnalysis): positions, velocities and all observables; the atoms of several replicas are
    concatenated. Extended xyz (ASE, viewers): positions in Angstrom, forces (eV/Angstrom) if recorded; in the comment line
    energy (eV), dipole about the centre of mass (e Angstrom), expected errors if the model predicts them, time (fs); several replicas
    follow one another, each with all its frames.

    Molden (Jmol, Avogadro, Molden): geometry, wavenumbers (cm^-1), displacements, infrared intensities (km/mol) and, if the model
    predicts polarizabilities, Raman activities (A^4/amu): of the conformers in a run folder, of a model at its minimum near --geometry,
    or of a shipped molecule (densnet export ethanol -o ethanol.molden).
    """
    from densnet.interfaces import molden

    if out.suffix.lower() in molden.SUFFIXES:
        if replica is not None or every != 1:
            raise typer.BadParameter("--replica and --every are for trajectories, not for normal modes.")
        _modes(source, out, geometry, conformer, reference=reference)
    else:
        if geometry is not None or conformer is not None or reference:
            raise typer.BadParameter(f"--geometry, --conformer and --reference are for modes ({molden.SUFFIXES[0]}), not for {out}.")
        _trajectory(Path(source), out, replica, every)


def _trajectory(source: Path, out: Path, replica: int | None, every: int) -> None:
    from densnet.cli.console import say
    from densnet.simulation.export import export as write

    samples = write(source, out, replica, every)
    say(f"{samples} samples of {'every replica' if replica is None else f'replica {replica}'}: {out}")


def _modes(source: str, out: Path, geometry: Path | None, conformer: str | None, *, reference: bool) -> None:
    from densnet.cli.console import say
    from densnet.interfaces import molden
    from densnet.workflow.modes import lines_of

    found = lines_of(source, geometry, conformer, reference=reference)
    out.parent.mkdir(parents=True, exist_ok=True)
    molden.write(out, found.modes, f"{found.formula} {found.conformer}, {found.origin}", found.activities)
    raman = "" if found.activities is None else ", with Raman activities"
    say(f"{len(found.modes.eigenvalues)} normal modes of {found.formula} {found.conformer} ({found.origin}){raman}: {out}")
    if found.others:
        say(f"other conformers: {', '.join(found.others)} (--conformer)")
