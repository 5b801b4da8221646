"""`densnet simulate`: a model and start geometries -> trajectories with a dipole at every sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from densnet.simulation.run import SimulateSettings


def simulate(
    model: Annotated[str, typer.Argument(help="Model file written by `densnet train`, or the name of a shipped model.")],
    geometry: Annotated[Path, typer.Argument(help="xyz file in Angstrom; several frames are conformers, dealt to the replicas in turn.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; an interrupted one is continued.")] = Path("simulation"),
    settings: Annotated[Path | None, typer.Option(help="TOML file whose \\[simulate] section has all settings; options win.")] = None,
    temperature: Annotated[float | None, typer.Option(help="K; 300 unless set.")] = None,
    replicas: Annotated[int | None, typer.Option(help="Independent trajectories, run as one batch; 32 unless set.")] = None,
    duration_ps: Annotated[float | None, typer.Option(help="ps of recorded dynamics, after thermalisation; 10 unless set.")] = None,
) -> None:
    """Run molecular dynamics of one molecule, many replicas at once, and record positions, velocities, energies and dipoles.

    Every replica is thermalised (Langevin) and then runs at constant energy, unless the settings choose another ensemble. The run stops
    with an explanation if a molecule breaks or the energy runs away. Ctrl-C writes a restart: the same command continues to the bit.
    If the model knows of its errors (docs/uncertainty.md), samples beyond what it knows are marked, the first is told, and some of them are
    written to `uncertain.extxyz` for `densnet label`; `when_novel = "stop"` in the settings stops the run there.
    `compile = true` in the settings makes machine code of the model first: minutes, once, then about twice the speed. `device = "cuda"`
    there runs all of it on a GPU.
    """
    from rich.console import Console

    from densnet.cli.forces import force_function
    from densnet.model.predictor import load
    from densnet.molecules import Molecules
    from densnet.reference.geometries import read
    from densnet.settings import parse
    from densnet.simulation.run import SimulateSettings, read_trajectory
    from densnet.simulation.run import simulate as run

    options = {"temperature": temperature, "replicas": replicas, "duration_ps": duration_ps}
    values = _section(settings) | {name: value for name, value in options.items() if value is not None}
    chosen = parse(SimulateSettings, values, "simulate")
    start = Molecules.concatenate([frame.molecule for frame in read(geometry)])
    console = Console(soft_wrap=True, highlight=False)
    forces = force_function(load(model, chosen.place), start, chosen, console.print)
    try:
        with _bar(console) as bar:
            task = bar.add_task("simulating", total=None)
            report = partial(_advance, bar, task)
            path = run(forces, start, chosen, out, report, _provenance(model), lambda text: console.print(f"warning: {text}"))
    finally:
        keep_uncertain(out, chosen, console.print)
    found = read_trajectory(path, motion=False)
    console.print(f"{found.potential.shape[0]} replicas, mean temperature {float(found.temperature.mean()):.0f} K")
    console.print(f"energy drift {float(found.drift.mean()):+.4f} meV/atom/ps, at most {float(found.drift.abs().max()):.4f} in one replica")
    console.print(f"written: {path}")


def _advance(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def keep_uncertain(folder: Path, settings: SimulateSettings, tell: Callable[[str], None]) -> None:
    """``uncertain.extxyz`` in the ``folder`` of a run, finished or stopped: marked frames to be labelled; ``tell`` says how many."""
    from densnet import units
    from densnet.molecules import Molecules
    from densnet.reference.geometries import Frame, write
    from densnet.simulation.novelty import marked_share, worth_a_label
    from densnet.simulation.run import read_trajectory

    if not (folder / "trajectory.h5").exists() or (share := marked_share(found := read_trajectory(folder, motion=False))) is None:
        return
    tell(
        f"expected errors: energy {float(found.energy_uncertainty.mean()) / units.MEV:.2f} meV, dipole "
        f"{1000 * float(found.dipole_uncertainty.mean()) / units.DEBYE:.1f} mD; {100 * share[0]:.3g} % of the samples are marked"
    )
    chosen = worth_a_label(found, settings.novel_frames, settings.novel_spacing_fs)
    if not chosen:
        return
    places = read_trajectory(folder).positions
    frames = [Frame(Molecules.single(found.numbers, places[r, s].double()), r, settings.temperature) for r, s in chosen]
    write(folder / "uncertain.extxyz", frames, settings.model_dump(mode="json"))
    tell(f"{len(frames)} frames of {share[1]} replicas to be labelled: {folder / 'uncertain.extxyz'}")


def _section(path: Path | None) -> dict:
    from densnet.settings import SettingsError, read_toml

    if path is None:
        return {}
    content = read_toml(path)
    if "simulate" not in content:
        raise SettingsError(f"settings file {path} has no [simulate] section; add one, or use the options.")
    return content["simulate"]


def _provenance(model: str) -> dict[str, str]:
    """The content of a model file, or the name of a shipped one: a run is continued only with the same."""
    import hashlib

    path = Path(model)
    return {"model": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else model}


def _bar(console):
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task) -> Text:
            return Text(f"{task.speed:.0f} steps/s" if task.speed else "")

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total} steps"), Speed()
    return Progress(*columns, TimeRemainingColumn(), console=console)
