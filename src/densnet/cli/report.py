"""`densnet report`: the page of a run, from what its folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from densnet.report.run import Run


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, such as runs/water.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the page to this file, not to report.html in the folder.")] = None,
) -> None:
    """Write report.html of a run, self-contained HTML that opens offline, with every figure, table and setting; and spectrum.png.

    `densnet run` does this at its end; use it to write the page again, or of an unfinished run.
    """
    from densnet.cli.console import say

    say(f"written: {write_report(folder, out)}")


def write_report(folder: Path, out: Path | None = None) -> Path:
    """The page of the run in ``folder``, at ``out`` or in the folder; raises `RunError` where there is no run."""
    from densnet.files import write_text
    from densnet.report.content import report as compose
    from densnet.report.infrared import spectrum_drawing
    from densnet.report.style import save

    run, page = read_run(folder), out or folder / "report.html"
    write_text(page, compose(run))
    if run.spectrum is not None:
        save(spectrum_drawing(run), folder / "spectrum.png")
    return page


def read_run(folder: Path) -> Run:
    """What ``folder`` holds; raises `RunError` where there is no run."""
    from densnet.report.run import Run
    from densnet.settings import read_toml
    from densnet.workflow.folder import Mark, RunError

    if not (folder / "settings.toml").is_file():
        raise RunError(f"{folder} is not the folder of a run (no settings.toml in it); `densnet run` makes one.")
    found = {place.name: mark for place in folder.iterdir() if place.is_dir() and (mark := Mark.read(place))}
    marks = {name: mark.__dict__ for name, mark in sorted(found.items(), key=lambda item: item[1].begun)}
    settings = {name: section for mark in marks.values() for name, section in mark["settings"].items()}
    name = read_toml(folder / "settings.toml").get("run", {}).get("name") or folder.name
    return Run(name, folder, marks, settings)
