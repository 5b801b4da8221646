"""What the user sees: lines and one progress bar, on the error stream, so that results on the output stream can be piped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from densnet import files
from densnet.progress import Progress
from densnet.workflow import process

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file as JSON; - for the output stream, in place of the tables.")
]
"""Of a verb that prints numbers; see `show`."""

STREAM = Path("-")


def say(text: str) -> None:
    """A line for the user, as it is: brackets and colons in a path are no markup, no emoji. Of several processes the first speaks."""
    if process.number() == 0:
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False).print(text)


def show(figures: object, json: Path | None, *tables: RenderableType) -> None:
    """``tables`` and lines on the output stream; ``figures``, the same as plain data, in the file ``json``, or in their place."""
    if json == STREAM:
        typer.echo(files.json_text(figures))
        return
    console = Console(markup=False, emoji=False, highlight=False)
    for table in tables:
        console.print(table, soft_wrap=isinstance(table, str))
    if json is not None:
        files.write_json(json, figures)


@contextmanager
def activity(title: str) -> Iterator[Progress]:
    """A progress bar with elapsed and remaining time while something is done."""
    console = Console(stderr=True)
    columns = (
        TextColumn("  {task.description}", markup=False), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal or process.number() > 0) as bar:
        task = bar.add_task(title, total=None)

        def progress(done: int, total: int | None, what: str | None = None, /) -> None:
            bar.update(task, completed=done, total=total, description=what or title)

        yield progress
