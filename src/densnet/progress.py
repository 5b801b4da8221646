"""Progress: what long work tells while it is going on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told now and then how many steps are ``done``, of how many (None: unknown), and maybe ``what`` is going on."""

    def __call__(self, done: int, total: int | None, what: str | None = None, /) -> object: ...


def silent(done: int, total: int | None, what: str | None = None, /) -> None:
    """Tells nobody."""
