"""`densnet verify`: checks the strongest infrared lines of a model with a few gradients at its reference level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densnet.cli.console import JsonFile

if TYPE_CHECKING:
    from rich.table import Table

    from densnet.artefacts.content import Verification


def verify(
    model: Annotated[str, typer.Argument(help="Model file written by `densnet train`, or the name of a shipped model.")],
    geometry: Annotated[Path, typer.Argument(help="xyz file in Angstrom; the model relaxes it first.")],
    modes: Annotated[int, typer.Option(min=1, help="Normal modes to check, those of largest infrared intensity; two gradients each.")] = 10,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for gradients and results; RUN/verify adds the table to the report of a run.")
    ] = Path("verify"),
    frame: Annotated[int, typer.Option(help="Which frame of the file, counted from 1.")] = 1,
    newton: Annotated[int, typer.Option(min=0, help="Largest number of steps to the minimum at the reference level.")] = 3,
    workers: Annotated[int, typer.Option(min=0, help="Gradients computed in parallel, one core each; 0: all cores.")] = 0,
    settings: Annotated[
        Path | None, typer.Option(help="TOML file whose \\[label.scf] is the reference level; by default that of the model's labels.")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Check the strongest infrared lines of a model with two DFT gradients each, for molecules too large for a DFT Hessian.

    The model relaxes the molecule and computes its normal modes; a few steps lead to the DFT minimum. Two DFT gradients along each of the
    strongest modes then give the DFT wavenumber along the mode, a bound on its distance to a DFT normal mode, and the DFT intensity. The
    level is that of the model's labels. Every gradient is kept in the folder: the same command resumes, and a larger --modes computes only
    the additional ones. Writes verify.csv and verify.json (docs/verify.md).
    """
    from dataclasses import asdict, replace

    from densnet.artefacts.using import VERIFICATION
    from densnet.cli.console import activity, say, show
    from densnet.cli.density import frame_of
    from densnet.model.predictor import load
    from densnet.reference.campaign import LabelSettings
    from densnet.report.verification import told
    from densnet.workflow import verification, write_page
    from densnet.workflow.folder import only_one
    from densnet.workflow.settings import read_sections

    molecule, predictor = frame_of(str(geometry), frame), load(model).double()
    if settings is None:
        scf = verification.level_of(predictor, model)
    else:
        scf = read_sections(settings, {"label": LabelSettings})["label"].scf
    chosen = verification.VerifySettings(modes=modes, newton=newton, workers=workers)
    with only_one(out, "densnet verify"), activity("modes of the model") as progress:
        reference = verification.reference_of(scf, out, chosen, progress)
        found = verification.verify(predictor, molecule, reference, chosen, progress=progress, tell=say)
    found = replace(found, model=Path(model).stem, level=scf.level())
    VERIFICATION.write(out / VERIFICATION.name, found)
    verification.write_csv(out / "verify.csv", found)
    show(asdict(found), json, _table(found), told(found))
    say(f"written to {out}: verify.json, verify.csv")
    if out.resolve().name == VERIFICATION.stage and (out.parent / "settings.toml").is_file():
        say(f"written: {write_page(out.parent)}")


def _table(found: Verification) -> Table:
    """The columns that fit into a terminal; all are in the files and on the page."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, caption="wavenumbers in cm^-1, intensities I in km/mol; a DFT normal mode lies within +- of the DFT value")
    for title in ("mode", "model", "DFT", "diff.", "+-", "I model", "I DFT", "motion"):
        table.add_column(title, justify="left" if title == "motion" else "right")
    for row in found.rows:
        waves = (f"{row.model:.1f}", f"{row.reference:.1f}", f"{row.model - row.reference:+.1f}", f"{row.residual:.1f}")
        table.add_row(str(row.mode), *waves, f"{row.model_strength:.1f}", f"{row.reference_strength:.1f}", row.motion)
    return table
