"""Reads one TOML file into typed sections; an unknown key is refused and the nearest known one offered.

The type of a section stands beside the stage that uses it and derives from `Section`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from densnet.errors import DensnetError


class SettingsError(DensnetError):
    """A setting that cannot be used; the message names the key, its value and the remedy."""


class Section(BaseModel):
    """Frozen settings of one stage; every field has a unit in its description."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Section)


def cores() -> int:
    """CPU cores that this process may use, of those that the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS does not tell
        return os.cpu_count() or 1


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; a syntax error is reported with the file's name and line."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"settings file {path} does not exist.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not valid TOML: {error}.") from error


def parse(kind: type[S], values: dict[str, Any], where: str) -> S:
    """``values`` as a ``kind``; the first problem becomes one `SettingsError` that names ``where.key``."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise SettingsError(_explain(kind, problem, where)) from None


def _explain(kind: type[BaseModel], problem: ErrorDetails, where: str) -> str:
    path = [str(part) for part in problem["loc"]]
    name = ".".join([where, *path]) if where else ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = _fields(kind, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(sorted(known))}."
        return f"unknown setting `{name}`; {hint}"
    if problem["type"] == "missing":
        return f"setting `{name}` is missing and has no default."
    return f"setting `{name}` is {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}."


def _fields(kind: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        annotation = kind.model_fields[part].annotation if part in kind.model_fields else None
        choices = get_args(annotation) or (annotation,)  # a section that may be missing is one of two
        sections = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel)]
        if not sections:
            return []
        kind = sections[0]
    return list(kind.model_fields)
