"""`densnet run`: the complete workflow, one stage after the other; skips what is done, resumes what was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densnet.model.shipped import names as shipped_names

if TYPE_CHECKING:
    from densnet.workflow.folder import Event
    from densnet.workflow.settings import Choice, RunFile
    from densnet.workflow.stages import Chain

SHIPPED = ", ".join(shipped_names())


def run(
    what: Annotated[
        str,
        typer.Argument(metavar="MOLECULE|SETTINGS", help=f"A molecule that ships ({SHIPPED}), or a settings file (examples/water.toml)."),
    ],
    *,
    long: Annotated[bool, typer.Option("--long", help="Molecule: as published spectra are made, 0.5 fs and 64 x 100 ps; hours.")] = False,
    replicas: Annotated[int | None, typer.Option(min=2, help="Molecule: independent trajectories; more give smaller errors.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0.1, help="Molecule: K; 300 unless set.")] = None,
    experiment: Annotated[
        list[Path] | None, typer.Option(help="Molecule: measured spectrum (JCAMP-DX or CSV) to compare with; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Molecule: folder of the results; runs/MOLECULE unless set.")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Only tell what would be done.")] = False,
) -> None:
    """Run the complete workflow: from a molecule's name, or a settings file, to an infrared spectrum and a report.

    With a name, the model that ships with densnet is used: conformers, weighted by their free energies, dynamics, spectrum with error band,
    report. A settings file does the same if it has `run.model`; else geometries are sampled and labelled and a model is trained first.
    Started again, it skips finished stages and resumes an interrupted one. If a setting has changed, the stages that depend on it are
    repeated; the former results are moved to the folder `replaced`, never deleted.
    """
    from densnet.cli.console import activity, duration, say
    from densnet.cli.report import write_report
    from densnet.workflow.folder import only_one, pending, walk
    from densnet.workflow.settings import Choice
    from densnet.workflow.stages import Chain

    text, chosen, root = _settings(what, Choice(long, replicas, temperature, out, tuple(experiment or ())))
    folder = chosen.run.folder
    if dry:
        for stage, state in pending(folder, Chain(chosen, root, lambda *_: None).stages()):
            say(f"{stage.name:10s} {state}")
        return
    with only_one(folder):
        _keep_settings(text, what, folder)
        say(f"{chosen.run.name}: results go to {folder}")
        with activity("starting") as progress:
            chain = Chain(chosen, root, progress, lambda text: _note(text, folder))
            seconds = walk(folder, chain.stages(), lambda event: _tell(event, folder, chain))
        page = write_report(folder)
    say(f"all stages took {duration(sum(seconds.values()))}; the report is {page}")


def _settings(what: str, choice: Choice) -> tuple[str, RunFile, Path]:
    """Text of the settings file, its content, and the folder that its paths start from."""
    import tomllib

    from densnet.settings import SettingsError
    from densnet.workflow.settings import Choice, by_name, complete, next_for, read_runfile

    path = Path(what)
    if path.suffix.lower() in (".xyz", ".extxyz"):
        raise SettingsError(f"{path} is a geometry, no settings file: {next_for(path)}")
    if path.is_file() or path.suffix or len(path.parts) > 1:
        if choice != Choice():
            raise SettingsError(f"options go with the name of a molecule; set them in {path} instead: [run], [simulate], [spectrum].")
        chosen = read_runfile(path)
        return path.read_text(encoding="utf-8"), chosen, path.parent
    text = by_name(what, choice)
    return text, complete(tomllib.loads(text), Path(), what), Path()


def _tell(event: Event, folder: Path, chain: Chain) -> None:
    """One line for the user and one for run.log."""
    from densnet.cli.console import duration, say

    name = event.stage.name
    lines = {
        "skipped": f"  {name:10s} done before ({duration(event.seconds)})",
        "started": f"  {name:10s} {event.stage.about} ...",
        "resumed": f"  {name:10s} {event.stage.about}: going on where it was stopped ...",
        "replaced": f"  {name:10s} is done again: {event.detail}",
        "finished": f"  {name:10s} done in {duration(event.seconds)}",
    }
    if event.kind in ("started", "resumed"):
        chain.progress(0, None, event.stage.about)
    say(lines[event.kind])
    _log(folder, lines[event.kind].strip())


def _note(text: str, folder: Path) -> None:
    """What a stage has to say, for the user and for run.log."""
    from densnet.cli.console import say

    say(f"             {text}")
    _log(folder, text)


def _log(folder: Path, text: str) -> None:
    import time

    with open(folder / "run.log", "a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")


def _keep_settings(text: str, what: str, folder: Path) -> None:
    """A copy of the settings file, and the versions at work in the log."""
    from densnet.files import write_text
    from densnet.workflow.folder import versions

    write_text(folder / "settings.toml", text)
    _log(folder, f"start with {what}; " + ", ".join(f"{name} {number}" for name, number in versions().items()))
