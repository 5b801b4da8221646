"""Reads one TOML file into typed sections; an unknown key is refused and the nearest known one offered.

The type of a section stands beside the stage that uses it and derives from `Section`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from densnet.errors import DensnetError


class SettingsError(DensnetError):
    """A setting that cannot be used; the message names the key, its value and the remedy."""


class _Incidental:
    """Marks a field, see `Incidental`."""


T = TypeVar("T")
Incidental = Annotated[T, _Incidental()]
"""Type of a setting that changes how fast a result comes, or what is told of it, but not the result (rounding apart)."""


class _Added:
    """Marks a field, see `Added`."""


Added = Annotated[T, _Added()]
"""Type of a setting that came later: where it has its default it is as if it were not there, so that older results stay what they are."""


class Section(BaseModel):
    """Frozen settings of one stage; every field has a unit in its description, and says in its type if it is `Incidental`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _beside_defaults(cls, values: Any) -> Any:
        """What is left out of a section within this one is as in the default that this one has for it."""
        if not isinstance(values, Mapping):
            return values
        return {name: {**cls._default(str(name)), **value} if isinstance(value, Mapping) else value for name, value in values.items()}

    @classmethod
    def _default(cls, name: str) -> dict[str, Any]:
        """Of the section ``name`` within this one, as plain data; empty if it is none, or one of several."""
        if (about := cls.model_fields.get(name)) is None:
            return {}
        default = about.get_default(call_default_factory=True)
        return default.model_dump() if isinstance(default, Section) and about.annotation is type(default) else {}

    @classmethod
    def incidental(cls) -> set[str]:
        """Names of the settings that do not decide the result."""
        return cls._marked(_Incidental)

    @classmethod
    def _marked(cls, mark: type) -> set[str]:
        return {name for name, about in cls.model_fields.items() if any(isinstance(own, mark) for own in about.metadata)}

    @classmethod
    def upgraded(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Plain data of such a section, as files of any age hold it, in the layout of today."""
        return dict(values)

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the result, as plain data."""
        plain, left_out = self.model_dump(mode="json"), self.incidental()
        defaults = {name: type(self).model_fields[name].get_default(call_default_factory=True) for name in self._marked(_Added)}
        left_out |= {name for name, default in defaults.items() if getattr(self, name) == default}
        return {name: deciding(getattr(self, name), value) for name, value in plain.items() if name not in left_out}


def plain(settings: object) -> Any:
    """Sections, or mappings of them, as plain data."""
    if isinstance(settings, Mapping):
        return {name: plain(value) for name, value in settings.items()}
    return settings.model_dump(mode="json") if isinstance(settings, BaseModel) else settings


def deciding(settings: object, otherwise: object = None) -> Any:
    """Of sections, or mappings of them, what decides the result, as plain data; what is neither stays, or is ``otherwise``."""
    if isinstance(settings, Section):
        return settings.deciding()
    if isinstance(settings, Mapping):
        return {name: deciding(value, value) for name, value in settings.items()}
    return otherwise


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
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
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
    path, section = _place(kind, problem["loc"])
    name = ".".join([where, *path]) if where else ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = list(section.model_fields) if section else []
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(sorted(known))}."
        return f"unknown setting `{name}`; {hint}"
    if problem["type"] == "missing":
        return f"setting `{name}` is missing and has no default."
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):  # one of several sections, chosen by a key of theirs
        about = problem["ctx"]
        chosen = about["discriminator"].strip("'")
        if problem["type"] == "union_tag_not_found":
            return f"setting `{name}.{chosen}` is missing and has no default."
        return f"setting `{name}.{chosen}` is {about['tag']!r}: must be one of {about['expected_tags']}."
    return f"setting `{name}` is {problem['input']!r}: {problem['msg'].removeprefix('Value error, ')}."


def _place(kind: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The keys that lead to a problem in a ``kind``, and the section that the last of them is in (None: in none).

    Where a section is one of several, pydantic's path has the name of the chosen one behind the key.
    """
    path: list[str] = []
    inside: type[BaseModel] | None = kind
    section, parts = inside, iter(map(str, loc))
    for part in parts:
        path.append(part)
        section, field = inside, inside.model_fields.get(part) if inside else None
        choices = [] if field is None else list(get_args(field.annotation)) or [field.annotation]
        sections = [c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)]
        if field is not None and isinstance(field.discriminator, str):
            tag, key = next(parts, None), field.discriminator
            sections = [s for s in sections if s.model_fields[key].default == tag]
        inside = sections[0] if sections else None
    return path, section
