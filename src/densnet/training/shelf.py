"""A shelf: rows of tensors in a file without a name, for what a training reads frame by frame and need not hold.

They are read, not mapped: pages of a mapped file count as the process's own memory until somebody else needs it. What the system keeps of
the file in memory it gives back by itself, and reading from there is copying.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from weakref import finalize

import torch
from torch import Tensor


class Place(NamedTuple):
    """Where a tensor stands in its row: bytes after the row's start."""

    offset: int
    shape: tuple[int, ...]
    dtype: torch.dtype


class Shelf:
    """Rows are put at the end. The file is in ``folder`` (None: the system's for temporary files) and goes with the last of its rows."""

    def __init__(self, folder: Path | None = None):
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (open as long as there are rows)
        finalize(self, self._file.close)
        self._end = 0
        self._layouts: dict[tuple, dict[str, Place]] = {}

    def put(self, tensors: Mapping[str, Tensor]) -> Row:
        """A new row. Raises `OSError` where the disk is full."""
        start, layout = self._end, {}
        for name, tensor in tensors.items():
            tensor = tensor.detach().cpu().contiguous()
            layout[name] = Place(self._end - start, tuple(tensor.shape), tensor.dtype)
            self._write(tensor.numpy().data.cast("B") if tensor.numel() else memoryview(b""))
        return Row(self, start, self._layouts.setdefault(tuple(layout.items()), layout))

    def _write(self, content: memoryview) -> None:
        while len(content):
            written = os.pwrite(self._file.fileno(), content, self._end)
            content, self._end = content[written:], self._end + written

    def fill(self, tensor: Tensor, offset: int) -> None:
        """Read what begins at byte ``offset`` into a contiguous ``tensor``."""
        rest = tensor.numpy().data.cast("B") if tensor.numel() else memoryview(b"")
        while len(rest):
            read = os.preadv(self._file.fileno(), [rest], offset)
            if not read:
                raise OSError(f"the file of prepared frames ends {len(rest)} bytes too soon")
            rest, offset = rest[read:], offset + read


@dataclass(frozen=True, slots=True, eq=False)
class Row(Mapping[str, Tensor]):
    """Tensors by name, each read when it is asked for."""

    shelf: Shelf
    start: int
    layout: dict[str, Place]

    def __getitem__(self, name: str) -> Tensor:
        _, shape, dtype = self.layout[name]
        tensor = torch.empty(shape, dtype=dtype)
        self.fill(tensor, name)
        return tensor

    def fill(self, tensor: Tensor, name: str) -> None:
        """Read the tensor ``name`` into a contiguous one of as many elements and its type."""
        self.shelf.fill(tensor, self.start + self.layout[name].offset)

    def replaced(self, **tensors: Tensor) -> Row:
        """A new row, with these in place of those of their names, or besides."""
        return self.shelf.put({**self, **tensors})

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout)

    def __len__(self) -> int:
        return len(self.layout)

    def __contains__(self, name: object) -> bool:
        return name in self.layout


def joined(rows: Sequence[Row], name: str) -> Tensor:
    """The tensors ``name`` of all ``rows``, flat, one after the other, read into one piece of memory."""
    places = [row.layout[name] for row in rows]
    sizes = [math.prod(place.shape) for place in places]
    whole = torch.empty(sum(sizes), dtype=places[0].dtype)
    for row, part in zip(rows, whole.split(sizes)):
        row.fill(part, name)
    return whole
