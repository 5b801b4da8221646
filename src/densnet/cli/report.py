"""`densnet report`: the page of a run, from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, such as runs/water.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the page to this file, not to report.html in the folder.")] = None,
) -> None:
    """Write report.html of a run, self-contained HTML that opens offline, with every figure, table and setting; and spectrum.png.

    `densnet run` does this at its end; use it to write the page again, or of an unfinished run.
    """
    from densnet.cli.console import say
    from densnet.workflow import write_page

    say(f"written: {write_page(folder, out)}")
