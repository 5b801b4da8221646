"""A run from Python: settings in, a folder of results and its page out.

    from densnet.workflow import run

    done = run("ethanol")                   # or run("examples/water.toml")
    print(done.spectrum.band(960, 1120))    # centroid (cm^-1), integral (km/mol), standard error
    print(done.folder / "report.html")
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from densnet.artefacts.run import Run
from densnet.files import write_text
from densnet.frames.smiles import is_smiles
from densnet.progress import Progress, silent
from densnet.reference.workers import end_if_rerun
from densnet.report.content import report
from densnet.report.infrared import spectrum_drawing
from densnet.report.raman import raman_drawing
from densnet.report.style import save
from densnet.settings import SettingsError, read_toml
from densnet.workflow.choice import GEOMETRIES, Choice, settings_text
from densnet.workflow.desk import Inputs
from densnet.workflow.folder import Event, Mark, RunError, only_one, pending, versions, walk
from densnet.workflow.settings import complete, read_runfile
from densnet.workflow.stages import stages


@dataclass(frozen=True)
class Plan:
    """A run that can be done: ``text`` of its settings file, ``inputs``, and ``what`` it was asked as."""

    what: str
    text: str
    inputs: Inputs

    @classmethod
    def of(cls, what: str | Path, choice: Choice = Choice()) -> Plan:
        """``what`` is a settings file, or a molecule, of which ``choice`` says more: the name of one that ships, its SMILES, or a file of
        conformers. Raises `SettingsError`; `MoleculeError` for a molecule that cannot be treated."""
        path, text = Path(what), str(what)
        geometry = path.suffix.lower() in GEOMETRIES
        if not geometry and (path.is_file() or path.suffix == ".toml" or (not is_smiles(text) and (path.suffix or len(path.parts) > 1))):
            if choice != Choice():
                raise SettingsError(f"options go with the name of a molecule; set them in {path} instead: [run], [simulate], [spectrum].")
            settings = read_runfile(path)
            return cls(text, path.read_text(encoding="utf-8"), Inputs(settings, path.parent))
        written = settings_text(text, choice)
        return cls(text, written, Inputs(complete(tomllib.loads(written), Path(), path.stem)))

    @property
    def folder(self) -> Path:
        """Where results go."""
        return self.inputs.folder

    def pending(self) -> Iterator[tuple[str, str]]:
        """Name of each stage and what would be done with it, in words."""
        return ((stage.name, state) for stage, state in pending(self.folder, stages(self.inputs)))


def run(
    what: str | Path | Plan,
    choice: Choice = Choice(),
    *,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda text: None,
    watch: Callable[[Event], None] = lambda event: None,
    until: str | None = None,
) -> Run:
    """Does what is not done yet of the run ``what`` (see `Plan.of`), writes its page, and gives its results.

    ``progress`` is told how far the stage at work is, ``tell`` what the user should know (warnings, too), ``watch`` of every stage that
    begins, ends or is skipped; all of this stands in ``run.log`` as well. Interrupted, it is resumed by the same call. With ``until`` it
    ends after the stage of that name, without a page. Raises `SettingsError` where there is no such stage.
    """
    end_if_rerun()
    plan = what if isinstance(what, Plan) else Plan.of(what, choice)
    folder, todo = plan.folder, stages(plan.inputs, progress, lambda text: note(text))
    if until is not None:
        names = [stage.name for stage in todo]
        if until not in names:
            hint = "give it to `densnet run`, or remove `run.model`."
            raise SettingsError(f"{plan.what} has `run.model`, so there is nothing to {until}; {hint}")
        todo = todo[: names.index(until) + 1]

    def note(text: str) -> None:
        tell(text)
        _log(folder, text)

    def noted(event: Event) -> None:
        watch(event)
        _log(folder, str(event))

    with only_one(folder):
        write_text(folder / "settings.toml", plan.text)
        _log(folder, f"start with {plan.what}; " + ", ".join(f"{name} {number}" for name, number in versions().items()))
        walk(folder, todo, noted)
        if until is None:
            write_page(folder)
    return read_run(folder)


def read_run(folder: Path) -> Run:
    """The results in the ``folder`` of a run, finished or not. Raises `RunError` where there is no run."""
    if not (folder / "settings.toml").is_file():
        raise RunError(f"{folder} is not a run folder (it has no settings.toml); `densnet run` creates one.")
    found = {place.name: mark for place in folder.iterdir() if place.is_dir() and (mark := Mark.read(place))}
    marks = {name: mark.__dict__ for name, mark in sorted(found.items(), key=lambda item: item[1].begun)}
    settings = {name: section for mark in marks.values() for name, section in mark["settings"].items()}
    name = read_toml(folder / "settings.toml").get("run", {}).get("name") or folder.name
    return Run(name, folder, marks, settings)


def write_page(folder: Path, out: Path | None = None) -> Path:
    """The page of the run in ``folder``, at ``out`` or as ``report.html`` in it; ``spectrum.png`` and, if there is one, ``raman.png``."""
    found, page = read_run(folder), out or folder / "report.html"
    write_text(page, report(found))
    if found.spectrum is not None:
        save(spectrum_drawing(found), folder / "spectrum.png")
    if found.raman is not None:
        save(raman_drawing(found), folder / "raman.png")
    return page


def _log(folder: Path, text: str) -> None:
    with open(folder / "run.log", "a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text.strip()}\n")
