"""`densnet label`: reference calculations of many frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from densnet.errors import DensnetError


class LabelError(DensnetError):
    """Nothing could be labelled; the message says where the reasons are."""


def label(
    settings: Annotated[
        Path | None, typer.Argument(help="TOML file; its section `label` is used. examples/water.toml is an annotated example.")
    ] = None,
    *,
    frames: Annotated[
        Path | None, typer.Option(help="Label the frames of this (ext)xyz file (Angstrom) instead of those of the run.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="With --frames: folder for the labels and dataset.h5.")] = Path("labels"),
    add_response: Annotated[
        Path | None, typer.Option(help="Add polarizabilities and first-order orbitals to the labels in this folder; needs no settings.")
    ] = None,
) -> None:
    """Label frames by DFT: energy, forces, dipole and the occupied orbitals, from which the exact density follows.

    With `label.response = true`, or later with --add-response, also the response of the density to a static field and the polarizability.

    Uses one process per core. Each label is written to its own file as soon as it is done; at the end all are collected in dataset.h5.
    After an interruption the same command continues without repeating anything. Frames whose calculation does not converge are listed
    with the reason in the sub-folder `aside` and never enter a dataset.
    """
    if add_response is not None:
        respond(add_response)
        return
    if settings is None:
        raise LabelError("`SETTINGS` is missing; give a TOML file, or a folder of labels by --add-response.")
    if frames is None:
        stages_until("label", settings)
        return
    from densnet.cli.console import activity, say
    from densnet.dataset import store
    from densnet.reference import campaign
    from densnet.workflow.settings import read_sections

    chosen = read_sections(settings, {"label": campaign.LabelSettings})["label"]
    with activity("labelling") as progress:
        tally = campaign.label(chosen, frames, out, store.save_label, store.load_label, progress=progress)
    if tally.aside:
        say(f"{tally.aside} frames are set aside; the reasons are in {out / 'aside'}")
    if not tally.labelled:
        raise LabelError(f"no frame of {frames} could be labelled; the reasons are in {out / 'aside'}.")
    store.seal(store.read(out), out / "dataset.h5", f"frames of {frames.name}")
    say(f"{tally.labelled} labels in {out / 'dataset.h5'}")


def respond(folder: Path) -> None:
    """Responses for the labels in ``folder``, and a new dataset.h5 if there is one."""
    from densnet.cli.console import activity, say
    from densnet.dataset import store
    from densnet.reference import campaign

    with activity("responses") as progress:
        tally = campaign.respond(folder, store.load_label, store.save_label, progress=progress)
    if tally.aside:
        say(f"{tally.aside} responses did not converge; their labels stay without")
    if (folder / "dataset.h5").exists():
        store.seal(store.read(folder), folder / "dataset.h5", "responses added")
    say(f"{tally.new} responses added; {tally.labelled} labels in {folder} have one")


def stages_until(last: str, settings: Path) -> None:
    """The stages of a run up to ``last``, in the folder of the run, where `densnet run` finds them done."""
    from densnet.cli.console import activity, say
    from densnet.workflow import run

    with activity("starting") as progress:
        done = run(settings, progress=progress, tell=say, watch=lambda event: say(str(event)), until=last)
    say(f"results are in {done.folder / last}")
