"""`densnet run`: the complete workflow, one stage after the other; skips what is done, resumes what was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densnet.model.shipped import of_molecules

if TYPE_CHECKING:
    from densnet.workflow.folder import Event

SHIPPED = ", ".join(of_molecules())


def run(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MOLECULE|SETTINGS",
            help=f"A shipped molecule ({SHIPPED}), a SMILES, an xyz file of conformers, or a settings file (examples/water.toml).",
        ),
    ],
    *,
    long: Annotated[
        bool, typer.Option("--long", help="Molecule: publication settings, time step 0.5 fs and 64 x 100 ps; takes hours.")
    ] = False,
    replicas: Annotated[
        int | None, typer.Option(min=2, help="Molecule: number of independent trajectories; more give smaller errors.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(min=0.1, help="Molecule: temperature in K; default 300.")] = None,
    experiment: Annotated[
        list[Path] | None, typer.Option(help="Molecule: measured spectrum (JCAMP-DX or CSV) to compare with; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Molecule: folder for the results; default runs/MOLECULE.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Molecule: refine this model (file or shipped name) for it; default `organic`, if it does not ship.")
    ] = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="Molecule: use `organic` (or --start) as it is; no labels, errors are not known.")
    ] = False,
    level: Annotated[
        str | None,
        typer.Option(metavar="XC[/BASIS]", help="Molecule: level of theory; a model of another one is refined for it. Default: its own."),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Only list what would be done.")] = False,
) -> None:
    """Run the complete workflow: from a molecule, or a settings file, to an infrared spectrum and a report.

    For a shipped molecule its model is used: conformers weighted by their free energies, dynamics, spectrum with error band, report. A
    settings file with `run.model` does the same. For any other molecule the general model, `organic`, or that of --start, is refined by a
    few DFT labels, in rounds, until its errors reach `refine.targets` (docs/your-molecule.md). A settings file with neither `run.model` nor
    `run.start` samples and labels geometries and trains a model of its own (hours). Conformers of a SMILES are found by RDKit and GFN2-xTB.
    The same command resumes an interrupted run and skips finished stages. If a setting has changed, the stages that depend on it are
    repeated; the former results are moved to the folder `replaced`, never deleted.
    """
    from densnet.cli.console import activity, say
    from densnet.progress import duration
    from densnet.workflow import Choice, Plan
    from densnet.workflow import run as execute

    plan = Plan.of(what, Choice(long, replicas, temperature, out, tuple(experiment or ()), start, zero_shot, level))
    if dry:
        for stage, state in plan.pending():
            say(f"{stage:10s} {state}")
        return
    say(f"{plan.inputs.settings.run.name}: results go to {plan.folder}")
    if plan.inputs.trains and not what.endswith(".toml"):
        say("no model of this molecule ships: labels and a model are made first (hours); --start MODEL refines one (docs/your-molecule.md)")
    with activity("starting") as progress:

        def watch(event: Event) -> None:
            if event.kind in ("started", "resumed"):
                progress(0, None, event.stage.about)
            say(str(event))

        done = execute(plan, progress=progress, tell=lambda text: say(f"             {text}"), watch=watch)
    seconds = sum(mark["seconds"] for mark in done.marks.values())
    say(f"all stages took {duration(seconds)}; the report is {done.folder / 'report.html'}")
