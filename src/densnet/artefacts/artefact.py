"""One file that a stage of a run leaves, spelt once: whose it is, its name, how it is written and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from densnet.files import read_json, replacing, write_json

T = TypeVar("T")


@dataclass(frozen=True)
class Artefact(Generic[T]):
    """The file ``name`` in the folder of ``stage``; ``read`` and ``write`` turn it into a ``T`` and back.

    ``write`` is None where the work itself writes the file, bit by bit; then also ``read`` may be None.
    """

    stage: str
    name: str
    read: Callable[[Path], T] | None = None
    write: Callable[[Path, T], object] | None = None

    def path(self, run: Path) -> Path:
        """Where it is in the folder of a ``run``."""
        return run / self.stage / self.name

    def load(self, run: Path) -> T:
        """Its content."""
        assert self.read is not None, f"{self.stage}/{self.name} is not read as a whole"
        return self.read(self.path(run))

    def find(self, run: Path) -> T | None:
        """Its content, None where the run has none."""
        return self.load(run) if self.path(run).exists() else None

    def save(self, run: Path, value: T) -> None:
        """Writes it, all or nothing."""
        assert self.write is not None, f"{self.stage}/{self.name} is written by its work"
        self.write(self.path(run), value)


@dataclass(frozen=True)
class Series(Generic[T]):
    """Files of one kind, numbered: ``name`` has a star in the number's place."""

    stage: str
    name: str
    read: Callable[[Path], T] | None = None
    write: Callable[[Path, T], object] | None = None

    def path(self, run: Path, number: int, suffix: str = "") -> Path:
        """Where one of them is in the folder of a ``run``."""
        return run / self.stage / (self.name.replace("*", str(number)) + suffix)

    def paths(self, run: Path) -> list[Path]:
        """All that are there, by number."""
        return sorted((run / self.stage).glob(self.name), key=lambda path: int(path.stem.rsplit("-", 1)[1]))

    def find(self, run: Path) -> list[T]:
        """The content of all that are there."""
        assert self.read is not None, f"{self.stage}/{self.name} are not read as a whole"
        return [self.read(path) for path in self.paths(run)]

    def save(self, run: Path, number: int, value: T) -> None:
        """Writes one of them."""
        assert self.write is not None, f"{self.stage}/{self.name} are written by their work"
        self.write(self.path(run, number), value)


class Told:
    """Base of dataclasses that are a JSON file with the same keys. A key that is missing, as in files of before, has its default."""

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """From plain data; what is no field is left out."""
        return cls(**{f.name: content[f.name] for f in fields(cls) if f.name in content})  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file."""
        return cls.of(read_json(path))

    @staticmethod
    def write(path: Path, value: Told) -> None:
        """Into a file; nan and inf become null."""
        write_json(path, asdict(value))  # type: ignore[call-overload]


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Arrays by name, from npz."""
    with np.load(path, allow_pickle=False) as content:
        return dict(content)


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Arrays by name, as npz."""
    with replacing(path, "wb") as file:
        np.savez(file, **dict(arrays))  # type: ignore[arg-type]
