"""`densnet simulate`: a model and start geometries -> trajectories with a dipole at every sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    from densnet.cli.runfolder import only_one
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
    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    forces = force_function(load(model, chosen.place), start, chosen, console.print)
    with only_one(out, "densnet simulate"), keeping_uncertain(out, chosen, console.print), _bar(console) as bar:
        task = bar.add_task("simulating", total=None)
        report = partial(_advance, bar, task)
        path = run(forces, start, chosen, out, report, _provenance(model), lambda text: console.print(f"warning: {text}"))
    found = read_trajectory(path, motion=False)
    console.print(f"{found.potential.shape[0]} replicas, {found.realised}")
    console.print(f"energy drift {float(found.drift.mean()):+.4f} meV/atom/ps, at most {float(found.drift.abs().max()):.4f} in one replica")
    console.print(f"written: {path}")


def _advance(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


@contextmanager
def keeping_uncertain(folder: Path, settings: SimulateSettings, tell: Callable[[str], None]) -> Iterator[None]:
    """`keep_uncertain` after a simulation that ended, stopped or was interrupted; not after one that could not be in ``folder``."""
    from densnet.simulation.run import SimulationStopped

    try:
        yield
    except (SimulationStopped, KeyboardInterrupt):
        keep_uncertain(folder, settings, tell)
        raise
    keep_uncertain(folder, settings, tell)


def keep_uncertain(folder: Path, settings: SimulateSettings, tell: Callable[[str], None]) -> None:
    """``uncertain.extxyz`` in the ``folder`` of a run, finished or stopped: marked frames to be labelled; ``tell`` says how many.

    How many and how far apart is chosen by ``settings``; everything else is what the run says of itself.
    """
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
    chosen, file = worth_a_label(found, settings.novel_frames, settings.novel_spacing_fs), folder / "uncertain.extxyz"
    if not chosen:
        file.unlink(missing_ok=True)
        return
    places, temperature = read_trajectory(folder).positions, found.settings["temperature"]
    frames = [Frame(Molecules.single(found.numbers, places[r, s].double()), found.number(r), temperature) for r, s in chosen]
    write(file, frames, found.settings | settings.model_dump(mode="json", include={"novel_frames", "novel_spacing_fs"}))
    tell(f"{len(frames)} frames of {share[1]} replicas to be labelled: {file}")


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
    import hashlib

    from densnet.model.shipped import find

    return {"model": hashlib.sha256(find(model).read_bytes()).hexdigest()}


def _bar(console):
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task) -> Text:
            return Text(f"{task.speed:.0f} steps/s" if task.speed else "")

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total} steps"), Speed()
    return Progress(*columns, TimeRemainingColumn(), console=console)
