"""`densnet simulate`: a model and start geometries -> trajectories with a dipole at every sample."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def simulate(
    model: Annotated[str, typer.Argument(help="Model file written by `densnet train`, or the name of a shipped model.")],
    geometry: Annotated[
        Path, typer.Argument(help="xyz file in Angstrom; several frames are conformers, assigned to the replicas in turn.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; an interrupted run is continued.")] = Path("simulation"),
    settings: Annotated[
        Path | None, typer.Option(help="TOML file whose \\[simulate] section has all settings; options override it.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Temperature in K; default 300.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Number of independent trajectories, run as one batch; default 32.")] = None,
    duration_ps: Annotated[float | None, typer.Option(help="Recorded dynamics after thermalisation in ps; default 10.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the random numbers; default 0. Runs that are to be joined need different ones.")
    ] = None,
) -> None:
    """Run molecular dynamics of one molecule, many replicas at once, and record positions, velocities, energies and dipoles.

    Every replica is thermalised (Langevin) and then runs at constant energy, unless the settings choose another ensemble. The run stops
    with an explanation if a bond breaks or the energy diverges. Ctrl-C writes a restart; the same command continues bit for bit.
    If the model predicts its uncertainty (docs/uncertainty.md), samples with unusually large values are marked, the first is reported, and
    some are written to `uncertain.extxyz` for `densnet label`; `when_novel = "stop"` in the settings stops the run there.
    `compile = true` in the settings first compiles the model: this takes minutes, once, and about doubles the speed. `device = "cuda"`
    runs everything on a GPU. `ensemble = "trpmd"` makes the nuclei quantum mechanical (docs/nuclei.md); each bead costs one set of forces.
    With a model that has learned the response to a field, samples have the polarizability, too, for Raman spectra (docs/raman.md);
    `polarizability = false` leaves it out.
    """
    from rich.console import Console

    from densnet.model.predictor import load
    from densnet.molecules import Molecules
    from densnet.reference.geometries import read
    from densnet.settings import parse
    from densnet.simulation.run import SimulateSettings, read_trajectory
    from densnet.simulation.run import simulate as run
    from densnet.workflow.folder import only_one
    from densnet.workflow.forces import forces
    from densnet.workflow.uncertain import keeping_uncertain

    options = {"temperature": temperature, "replicas": replicas, "duration_ps": duration_ps, "seed": seed}
    values = _section(settings) | {name: value for name, value in options.items() if value is not None}
    chosen = parse(SimulateSettings, values, "simulate")
    start = Molecules.concatenate([frame.molecule for frame in read(geometry)])
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    if chosen.ensemble.geometries > 1:
        console.print(chosen.cost)
    function = forces(load(model, chosen.place), start, chosen, console.print)
    with only_one(out, "densnet simulate"), keeping_uncertain(out, chosen, console.print), _bar(console) as bar:
        task = bar.add_task("simulating", total=None)
        report = partial(_advance, bar, task)
        path = run(function, start, chosen, out, report, _provenance(model), lambda text: console.print(f"warning: {text}"))
    found = read_trajectory(path, motion=False)
    console.print(f"{found.potential.shape[0]} replicas, {found.realised}")
    if found.quantum:
        console.print(found.quantum)
    console.print(f"energy drift {float(found.drift.mean()):+.4f} meV/atom/ps, largest {float(found.drift.abs().max()):.4f} in one replica")
    console.print(f"written: {path}")


def _advance(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def _section(path: Path | None) -> dict:
    from densnet.settings import SettingsError, read_toml

    if path is None:
        return {}
    content = read_toml(path)
    if not isinstance(content.get("simulate"), dict):
        raise SettingsError(f"settings file {path} has no [simulate] section; add one, or use the options.")
    return content["simulate"]


def _provenance(model: str) -> dict[str, str]:
    """The content of the model's file, be it a shipped one: a run is continued only with the same."""
    from densnet.files import content_hash
    from densnet.model.shipped import find

    return {"model": content_hash(find(model))}


def _bar(console):
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task) -> Text:
            return Text(f"{task.speed:.0f} steps/s" if task.speed else "")

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total} steps"), Speed()
    return Progress(*columns, TimeRemainingColumn(), console=console)
