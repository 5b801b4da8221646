"""`densnet report`: the page of a run, from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Run folder, such as runs/water.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the report to this file instead of report.html in the folder.")
    ] = None,
) -> None:
    """Write report.html of a run (self-contained HTML that opens offline, with all figures, tables and settings) and spectrum.png.

    `densnet run` does this at the end; use this command to rewrite the report, or for an unfinished run.
    """
    from densnet.cli.console import say
    from densnet.workflow import write_page

    say(f"written: {write_page(folder, out)}")
