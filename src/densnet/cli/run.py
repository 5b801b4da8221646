"""`densnet run`: the whole road, one stage after the other; skips what is done, goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from densnet.cli.chain import Chain
    from densnet.cli.runfolder import Event


def run(
    settings: Annotated[Path, typer.Argument(help="Settings of the run, a TOML file; examples/water.toml is one, with comments.")],
    *,
    dry: Annotated[bool, typer.Option("--dry", help="Only tell what would be done.")] = False,
) -> None:
    """Do everything: sample geometries, label them, train, validate, simulate, compute the spectrum, write the report.

    A second start skips finished stages and goes on with an interrupted one. If a setting has changed since, the stages that depend on it
    are done again; the former results are moved to the folder `replaced`, never deleted.
    """
    from densnet.cli.chain import Chain
    from densnet.cli.console import activity, duration, say
    from densnet.cli.report import write_report
    from densnet.cli.runfile import read_runfile
    from densnet.cli.runfolder import only_one, pending, walk

    chosen = read_runfile(settings)
    folder = chosen.run.folder
    if dry:
        for stage, state in pending(folder, Chain(chosen, settings.parent, lambda *_: None).stages()):
            say(f"{stage.name:9s} {state}")
        return
    with only_one(folder):
        _keep_settings(settings, folder)
        say(f"[bold]{chosen.run.name}[/]: results go to {folder}")
        with activity("starting") as progress:
            chain = Chain(chosen, settings.parent, progress)
            seconds = walk(folder, chain.stages(), lambda event: _tell(event, folder, chain))
        page = write_report(folder)
    say(f"all stages took {duration(sum(seconds.values()))}; the report is [bold]{page}[/]")


def _tell(event: Event, folder: Path, chain: Chain) -> None:
    """One line for the user and one for run.log."""
    from densnet.cli.console import duration, say

    name = event.stage.name
    lines = {
        "skipped": f"  {name:9s} done before ({duration(event.seconds)})",
        "started": f"  {name:9s} {event.stage.about} ...",
        "resumed": f"  {name:9s} {event.stage.about}: going on where it was stopped ...",
        "replaced": f"  {name:9s} is done again: {event.detail}",
        "finished": f"  {name:9s} done in {duration(event.seconds)}",
    }
    if event.kind in ("started", "resumed"):
        chain.progress(0, None, event.stage.about)
    say(lines[event.kind])
    _log(folder, lines[event.kind].strip())


def _log(folder: Path, text: str) -> None:
    import time

    with open(folder / "run.log", "a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def _keep_settings(path: Path, folder: Path) -> None:
    """A copy of the user's file, and the versions at work in the log."""
    from densnet.cli.runfolder import versions

    content = path.read_text(encoding="utf-8")
    (folder / "settings.toml").write_text(content, encoding="utf-8")
    _log(folder, f"start with {path}; " + ", ".join(f"{name} {number}" for name, number in versions().items()))
