"""`densnet drive`: the forces of an i-PI simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def drive(
    model: Annotated[str | None, typer.Argument(help="Model file written by `densnet train`, or the name of a shipped model.")] = None,
    geometry: Annotated[Path | None, typer.Argument(help="xyz file with the atoms in the order of i-PI's input.")] = None,
    address: Annotated[str, typer.Option(help="Host of i-PI, or the name of its unix socket if no port is given.")] = "densnet",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of i-PI's ffsocket (mode inet).")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    *,
    path: Annotated[
        bool, typer.Option("--path", help="Only print the path of the file for i-PI's ffdirect (pes custom, pes_path).")
    ] = False,
) -> None:
    """Serve energies and forces to i-PI through its socket until i-PI ends. See docs/ipi.md.

    Dipole and expected errors are returned as `extras`. Start i-PI first; several drivers, up to one per core, may serve one i-PI.
    i-PI's `ffdirect` needs no driver process: it loads the file that --path prints and requests all beads in one call.
    """
    from densnet.cli.console import say
    from densnet.interfaces import ipi

    if path:
        typer.echo(ipi.__file__)
        return
    if model is None or geometry is None:
        raise typer.BadParameter("give a model and a geometry, or --path.")
    driver = ipi.Driver(model, str(geometry), device=device)
    with ipi.connect(address, port) as place:
        say(f"connected to i-PI at {address}" + (f":{port}" if port else ""))
        answers = ipi.serve(driver.beads, place)
    say(f"i-PI has ended; {answers} requests answered")
