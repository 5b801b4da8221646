"""Progress: what long work tells while it is going on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told now and then how many steps are ``done``, of how many (None: unknown), and maybe ``what`` is going on."""

    def __call__(self, done: int, total: int | None, what: str | None = None, /) -> object: ...


def silent(done: int, total: int | None, what: str | None = None, /) -> None:
    """Tells nobody."""


def duration(seconds: float) -> str:
    """3.2 min, 12.0 s, 1.5 h."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
