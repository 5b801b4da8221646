"""The folder of a run: one sub-folder a stage, each with a mark that tells by which settings its content was made.

    runs/water/run.log             what was done, when, with which versions
    runs/water/settings.toml       the user's file as it was read
    runs/water/<stage>/mark.json   key, settings, versions, wall time, finished or not
    runs/water/replaced/           results that newer settings have replaced; never deleted by us

A stage's key is a hash of its own settings and of the keys of the stages it needs; its mark also names the very pieces of work that it was
made from. A finished stage that fits is skipped, an unfinished one that fits goes on, any other is moved to `replaced` and done anew.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from densnet import __version__, files
from densnet.errors import DensnetError
from densnet.progress import duration
from densnet.settings import Section, deciding, plain

FORMAT = 1


class RunError(DensnetError):
    """A run folder that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    settings  sections, or plain data, by name; what decides the result is part of the key
    needs     names of the stages whose results it reads
    files     input files of the user's; their content is part of the key
    work      does it, in the folder it is given, resuming whatever it finds there
    """

    name: str
    about: str
    settings: Mapping
    work: Callable[[Path], None]
    needs: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass
class Mark:
    """The content of ``mark.json``; ``seconds`` of wall time add up over interruptions.

    work   names this piece of work; ``needs``: name of a stage -> the piece of work of it that this one reads
    """

    key: str
    settings: dict
    needs: dict[str, str]
    work: str = field(default_factory=lambda: secrets.token_hex(8))
    begun: float = field(default_factory=time.time)
    seconds: float = 0.0
    finished: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Mark | None:
        """The mark of a stage's folder, None where there is none. Raises `RunError` for a damaged or newer one."""
        path = folder / "mark.json"
        if not path.exists():
            return None
        try:
            content = files.read_json(path)
            if content["format"] > FORMAT:
                raise RunError(f"{path} was written by a newer version of densnet; please upgrade densnet or use another folder.")
            return cls(**content)
        except (files.FileError, TypeError, KeyError) as error:
            raise RunError(f"{path} is damaged ({error}); move the folder {folder} away to repeat this stage.") from None

    def write(self, folder: Path) -> None:
        """Atomically, so that a kill leaves the old mark or the new one."""
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "mark.json", self.__dict__)


def versions() -> dict[str, str]:
    """Of everything that may change a number."""
    packages = ("torch", "numpy", "scipy", "pyscf", "ase", "tblite")
    return {"densnet": __version__, "python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}


def keys(stages: Sequence[Stage]) -> dict[str, str]:
    """Name -> key of every stage, in order: sha256 of name, settings, content of input files and keys of what it needs."""
    found: dict[str, str] = {}
    for stage in stages:
        content = [files.content_hash(path) for path in stage.files]
        text = json.dumps([stage.name, deciding(stage.settings), content, [found[n] for n in stage.needs]], sort_keys=True)
        found[stage.name] = files.sha256(text)[:16]
    return found


@dataclass(frozen=True)
class Event:
    """What `walk` tells before and after each stage; ``kind`` is skipped, started, resumed, replaced, finished."""

    kind: str
    stage: Stage
    seconds: float = 0.0
    detail: str = ""

    def __str__(self) -> str:
        """A line for the user and for the log."""
        said = {
            "skipped": f"already done ({duration(self.seconds)})",
            "started": f"{self.stage.about} ...",
            "resumed": f"{self.stage.about}: continuing where it was stopped ...",
            "replaced": f"repeated: {self.detail}",
            "finished": f"done in {duration(self.seconds)}",
        }
        return f"  {self.stage.name:10s} {said[self.kind]}"


def walk(folder: Path, stages: Sequence[Stage], tell: Callable[[Event], None]) -> dict[str, float]:
    """Does in order what is not done yet; wall seconds of every stage, over all starts."""
    found, seconds, works = keys(stages), {}, {}
    for stage in stages:
        place, needs = folder / stage.name, {name: works[name] for name in stage.needs}
        mark = Mark.read(place)
        if mark and (mark.key, mark.needs) != (found[stage.name], needs):
            kept = _set_aside(folder, stage.name)
            tell(Event("replaced", stage, detail=f"{_difference(mark, stage)}; the former result is kept in {kept}"))
            mark = None
        if mark and mark.finished:
            tell(Event("skipped", stage, mark.seconds))
        else:
            tell(Event("resumed" if mark else "started", stage))
            mark = mark or Mark(found[stage.name], _as_read(plain(stage.settings)), needs)
            mark.versions = versions()
            _timed(stage, place, mark)
            tell(Event("finished", stage, mark.seconds))
        seconds[stage.name], works[stage.name] = mark.seconds, mark.work
    return seconds


def pending(folder: Path, stages: Sequence[Stage]) -> Iterator[tuple[Stage, str]]:
    """What `walk` would do with every stage, in words."""
    found, works = keys(stages), {}
    for stage in stages:
        mark = Mark.read(folder / stage.name)
        stale = mark and (mark.key, mark.needs) != (found[stage.name], {name: works[name] for name in stage.needs})
        works[stage.name] = None if mark is None or stale else mark.work
        if mark is None:
            yield stage, "to be done"
        elif stale:
            yield stage, f"to be done again: {_difference(mark, stage)}"
        else:
            yield stage, "done" if mark.finished else "interrupted, to be finished"


def _timed(stage: Stage, place: Path, mark: Mark) -> None:
    start, before = time.monotonic(), mark.seconds
    mark.write(place)
    try:
        stage.work(place)
        mark.finished = True
    finally:
        mark.seconds = before + time.monotonic() - start
        mark.write(place)


def _difference(mark: Mark, stage: Stage) -> str:
    """Which settings changed since the mark was made, in words."""
    old, new = dict(_leaves(_upgraded(mark.settings, stage))), dict(_leaves(_as_read(plain(stage.settings))))
    incidental = set(_incidental(stage.settings))
    other = [k for k in {**old, **new} if old.get(k) != new.get(k) and k not in incidental]
    changed = [f"{k}: {old.get(k)!r} -> {new.get(k)!r}" for k in other]
    return ", ".join(changed) if changed else "its input has changed"


def _incidental(settings: object, prefix: str = "") -> Iterator[str]:
    """Names of settings that do not decide the result, in sections within sections."""
    section = settings if isinstance(settings, Section) else None
    yield from (prefix + name for name in (section.incidental() if section else ()))
    for name, inner in section or (settings.items() if isinstance(settings, Mapping) else ()):
        yield from _incidental(inner, f"{prefix}{name}.")


def _upgraded(settings: Mapping, stage: Stage) -> dict:
    """Settings of a mark in the layout of today."""
    kinds = {name: type(section) for name, section in stage.settings.items() if isinstance(section, Section)}
    return {name: kinds[name].upgraded(values) if name in kinds else values for name, values in settings.items()}


def _as_read(settings: Mapping) -> dict:
    """As they come back from a mark's JSON."""
    return json.loads(json.dumps(settings))


def _leaves(settings: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _set_aside(folder: Path, name: str) -> Path:
    (folder / "replaced").mkdir(exist_ok=True)
    target = next(p for k in range(1, 10_000) if not (p := folder / "replaced" / f"{name}-{k}").exists())
    os.rename(folder / name, target)
    return target


@contextmanager
def only_one(folder: Path, command: str = "densnet run") -> Iterator[None]:
    """Holds the folder against a second ``command`` at the same time; raises `RunError` if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / ".lock", RunError(f"another `{command}` is working in {folder}; wait for it, or choose another folder.")):
        yield
