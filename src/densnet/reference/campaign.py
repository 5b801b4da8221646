"""Many calculations: processes side by side, one small file a label, resumable after any interruption; responses added to labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pydantic import Field, field_validator

import densnet
from densnet import files
from densnet.errors import DensnetError
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.properties import Properties
from densnet.reference import engines, geometries, scf, workers
from densnet.reference.geometries import Frame
from densnet.reference.response import ResponseNotConverged
from densnet.reference.scf import NotConverged, ScfSettings
from densnet.settings import Added, Incidental, Section
from densnet.threads import one_thread

FORMAT = "densnet-campaign"
FORMAT_VERSION = 1

Calculate = Callable[[Molecules], Properties]
Save = Callable[[Path, Properties, dict], None]
"""Writes one label to a path, all or nothing; the dictionary says where the frame is from and at which level it was labelled."""
Load = Callable[[Path], tuple[Properties, dict]]
"""Reads what `Save` wrote."""


class CampaignError(DensnetError):
    """A campaign that cannot start or go on; the message says why and what to do."""


class LabelSettings(Section):
    """How frames are labelled."""

    scf: ScfSettings = Field(default_factory=ScfSettings, description="level of theory and numerics of one calculation")
    workers: Incidental[int] = Field(0, ge=0, description="parallel calculations, one core each; 0 = all cores")
    engine: Incidental[engines.Name] = Field(
        "local", description="what the calculations run by: processes of this machine, or Dask or Parsl on a cluster; see docs/cluster.md"
    )
    cluster: Incidental[engines.ClusterSettings] = Field(
        default_factory=engines.ClusterSettings, description="workers of the engines dask and parsl"
    )
    frames: int = Field(0, ge=0, description="label only the first N frames of the list; 0 = all")
    response: Added[bool] = Field(False, description="add polarizability and density response to a static field to each label")

    _installed = field_validator("engine")(engines.check_installed)

    def executor(self, folder: Path) -> Executor:
        """The engine chosen, for labels in ``folder``, in which the logs of its jobs are."""
        return engines.opened(self.engine, self.workers, self.cluster, Path(folder) / "jobs")


@dataclass(frozen=True)
class Tally:
    """What came of a campaign: numbers of frames `labelled` in all, `new` ones of them, and those set `aside` as unconverged."""

    labelled: int
    new: int
    aside: int


def label(
    settings: LabelSettings,
    frames_file: Path,
    folder: Path,
    save: Save,
    load: Load,
    *,
    execute: Executor | None = None,
    progress: Progress = silent,
) -> Tally:
    """Label the frames of ``frames_file`` by ``settings`` into ``folder``, by ``execute`` or the engine of ``settings``.

    See `run`, and `respond`, whose second count of frames ``progress`` is told.
    """
    frames = geometries.read(frames_file)[: settings.frames or None]
    calculate = partial(scf.calculate, settings=settings.scf)
    with nullcontext(execute) if execute else settings.executor(folder) as chosen:
        tally = run(frames, calculate, save, folder, level=settings.scf.level(), execute=chosen, progress=progress)
        if settings.response and tally.labelled:
            respond(folder, load, save, frames=range(settings.frames) if settings.frames else None, execute=chosen, progress=progress)
        return tally


def run(
    frames: list[Frame],
    calculate: Calculate,
    save: Save,
    folder: Path,
    *,
    level: dict,
    execute: Executor | None = None,
    progress: Progress = silent,
) -> Tally:
    """``calculate`` every frame that has no label in ``folder`` yet; a label is ``frames/INDEX-IDENTITY.npz``, written by ``save``.

    The identity is a hash of elements, positions and ``level``: labels of other geometries or of another level are refused, never
    mixed. A frame whose `calculate` raises `NotConverged`, or whose process is killed at every try, is set aside in
    ``aside/INDEX-IDENTITY.json`` with the reason, and not tried again until that file is deleted.
    ``calculate`` and ``save`` are importable functions, or partials of such; ``execute`` is any
    `concurrent.futures.Executor` whose workers reach ``folder``, a cluster's for instance; None: local processes, one a core.
    Raises `CampaignError`; OSError where the folder cannot be written.
    """
    folder = Path(folder).absolute()
    names = {i: identity(frame.molecule, level) for i, frame in enumerate(frames)}
    with workers.Processes() as local, _locked(folder):
        check_level(folder, level)
        labelled, aside = _known(folder / "frames", names), _known(folder / "aside", names)
        jobs = [_job(i, names[i], frame) for i, frame in enumerate(frames) if i not in labelled | aside]
        before = len(frames) - len(jobs)
        new = 0
        progress(before, len(frames))
        work = partial(_label, calculate, save, folder / "frames", level)
        for done, (job, problem) in enumerate(workers.results(jobs, work, execute or local), start=1):
            if problem is None:
                new += 1
            else:
                about = {**job[1], "reason": _reason(job[1]["index"], problem), "level": level}
                files.write_json(folder / "aside" / f"{job[0]}.json", about)
            progress(before + done, len(frames))
    return Tally(len(labelled) + new, new, len(frames) - len(labelled) - new)


def respond(
    folder: Path,
    load: Load,
    save: Save,
    *,
    frames: Container[int] | None = None,
    execute: Executor | None = None,
    progress: Progress = silent,
) -> Tally:
    """Add the response to a field to every label of ``folder`` that lacks it, from its orbitals and at its level; see `scf.respond`.

    Of the frames with an index in ``frames`` only (None: of all). Each file is replaced at once, so that the work can be interrupted and
    goes on where it was. Labels whose response does not converge stay as they are; they are counted as set `aside` in what is returned.
    """
    folder = Path(folder).absolute()
    paths = sorted((folder / "frames").glob("*.npz"))
    paths = [path for path in paths if frames is None or int(path.stem[:6]) in frames]
    if not paths:
        raise CampaignError(f"{folder} holds no label; name a folder that `densnet label` wrote to.")
    refusal = CampaignError(f"another labelling is at work in {folder}; wait for it, or choose another folder.")
    with workers.Processes() as local, files.locked(folder / "lock", refusal):
        jobs = [path for path in paths if load(path)[0].polarizability is None]
        before, aside = len(paths) - len(jobs), 0
        progress(before, len(paths))
        work = partial(_respond, load, save)
        for done, (job, problem) in enumerate(workers.results(jobs, work, execute or local), start=1):
            if isinstance(problem, ResponseNotConverged):
                aside += 1
            elif isinstance(problem, engines.EngineError):
                raise problem
            elif problem is not None:
                raise CampaignError(f"{job} could not be given its response: {type(problem).__name__}: {problem}") from problem
            progress(before + done, len(paths))
    return Tally(len(paths) - aside, len(jobs) - aside, aside)


def _respond(load: Load, save: Save, path: Path) -> None:
    with one_thread():
        properties, about = load(path)
        save(path, scf.respond(properties, ScfSettings.of_level(about["level"])), about)


_Job = tuple[str, dict, np.ndarray, np.ndarray, int]
"""Stem of the file, what is known of the frame, its elements, positions and charge: plain arrays, since tensors travel by shared memory."""


def _job(index: int, name: str, frame: Frame) -> _Job:
    about = {"index": index, "identity": name, "trajectory": frame.trajectory, "temperature": frame.temperature}
    molecule = frame.molecule
    return f"{index:06d}-{name}", about, molecule.numbers.numpy(), molecule.positions.numpy(), int(molecule.net_charge)


def _label(calculate: Calculate, save: Save, folder: Path, level: dict, job: _Job) -> None:
    stem, about, numbers, positions, charge = job
    molecule = Molecules.single(numbers, torch.from_numpy(positions), charge=charge)
    with one_thread():
        save(folder / f"{stem}.npz", calculate(molecule), {**about, "level": level})


def _reason(index: int, problem: Exception) -> str:
    """Why a frame is set aside; anything but an unconverged SCF or a killed process ends the campaign."""
    if isinstance(problem, NotConverged):
        return str(problem)
    if isinstance(problem, workers.Died) and problem.code < 0:
        return f"{problem}, most likely for lack of memory; fewer `workers` need less."
    if isinstance(problem, OSError | engines.EngineError):
        raise problem
    raise CampaignError(f"frame {index} could not be labelled: {type(problem).__name__}: {problem}") from problem


def identity(molecule: Molecules, level: dict) -> str:
    """16 hexadecimal digits that change with the elements, the positions (bohr, to the last bit), the charge or the level.

    Dispersion is left out: the geometry decides it, and it can be added to a label or taken off.
    """
    level = {key: value for key, value in level.items() if key != "dispersion"}
    arrays = (molecule.numbers.numpy(), molecule.positions.double().numpy())
    charge = "" if molecule.charge is None else f"charge {int(molecule.charge)}"
    return files.sha256(*(array.tobytes() for array in arrays), json.dumps(level, sort_keys=True), charge)[:16]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One campaign a folder; the lock goes with the process, however that ends."""
    try:
        for part in ("frames", "aside"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
    except OSError as error:
        raise OSError(f"cannot write to {folder} ({error.strerror}); choose another folder or check its permissions.") from error
    refusal = CampaignError(f"another labelling is at work in {folder}; wait for it, or choose another folder.")
    with files.locked(folder / "lock", refusal):
        yield


def check_level(folder: Path, level: dict) -> None:
    """States in ``folder`` that its labels are of this ``level``. Raises `CampaignError` where they are of another one."""
    file = folder / "campaign.json"
    if not file.exists():
        files.write_json(file, {"format": FORMAT, "format_version": FORMAT_VERSION, "densnet": densnet.__version__, "level": level})
        return
    there = files.read_json(file)
    if there["format_version"] > FORMAT_VERSION:
        raise CampaignError(f"{file} has format {there['format_version']}, this version reads {FORMAT_VERSION}; please upgrade densnet.")
    for key in sorted(level.keys() | there["level"].keys()):
        was, wanted = there["level"].get(key), level.get(key)
        if was != wanted:
            remedy = ", or go on as it began with `conv_tol_grad = 0`" if key == "conv_tol_grad" and was is None else ""
            raise CampaignError(
                f"{folder} contains labels with {key} = {was!r}, not {wanted!r}; "
                f"labels of two levels are never mixed: choose another folder{remedy}."
            )


def _known(folder: Path, todo: dict[int, str]) -> set[int]:
    """Indices that have a file; a file of another geometry under one of our indices is an error."""
    known = set()
    for file in (*folder.glob("*.npz"), *folder.glob("*.json")):
        index, name = int(file.stem[:6]), file.stem[7:]
        if index in todo and todo[index] != name:
            raise CampaignError(
                f"{file} belongs to another geometry or level than frame {index} of this list; the list was changed after labelling "
                "began: choose another folder, or bring the old list back."
            )
        if index in todo:
            known.add(index)
    return known
