"""`densnet sample`: geometries worth a calculation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sample(
    settings: Annotated[Path, typer.Argument(help="TOML file with a section `sample`; examples/water.toml is an annotated example.")],
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the frames to this file instead of the run folder.")] = None,
) -> None:
    """Choose the geometries to be labelled: GFN2-xTB dynamics from the conformers of an xyz file, or frames of your own.

    Near-duplicates are removed and the order is random. Each frame carries the number of its trajectory, so that data can be split by
    trajectory later. Coordinates are in Angstrom. Only neutral closed-shell molecules of H, C, N, O, F, S and Cl.
    """
    from densnet.cli.console import activity, say
    from densnet.reference.geometries import SampleSettings
    from densnet.reference.geometries import sample as draw
    from densnet.workflow.settings import read_sections

    if out is None:
        from densnet.cli.label import stages_until

        stages_until("sample", settings)
        return
    chosen = read_sections(settings, {"sample": SampleSettings})["sample"]
    with activity("sampling geometries") as progress:
        frames = draw(chosen, out, root=settings.parent, progress=progress)
    say(f"{len(frames)} frames in {out}")
