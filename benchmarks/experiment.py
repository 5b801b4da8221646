"""What every benchmark shares: labelled frames, work that is not repeated, machine and commit, results that the documentation shows.

`record` keeps a table in benchmarks/results/NAME.json: its columns and rows, the command, the commit and the machine that it was made with.
`python benchmarks/tables.py` writes these tables into the documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.properties import Properties
from densnet.workflow.timing import processor

ROOT = Path(__file__).resolve().parent.parent
LABELS = ROOT / "labels"
RESULTS = ROOT / "benchmarks" / "results"
ETHANOL_500K = ("ethanol/start_500K", "ethanol/training_500K")
"""The lists that the shipped ethanol learned from: 938 frames to train on and 67 to validate, split by trajectories."""


def frames(*names: str) -> Dataset:
    """The sealed labels of frame lists, such as `ethanol/heldout_300K` (labels/manifest.toml)."""
    return store.read(*shards(*names))


def shards(*names: str) -> list[Path]:
    """The files that `frames` reads."""
    return [path for name in names for path in sorted((LABELS / name).parent.glob(f"{Path(name).name}.*h5"))]


def spread(some: Iterable[Properties], count: int) -> list[Properties]:
    """All of them, in an order in which the first ``count`` are spread over the whole: density errors are integrated for those."""
    given = list(some)
    every = max(1, len(given) // max(1, count))
    return [frame for start in range(every) for frame in given[start::every]]


def once(path: Path, work: Callable[[], dict]) -> dict:
    """What ``work`` gives, kept in ``path`` as JSON; a second time it is read from there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, work())
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, found: dict) -> None:
    """``found`` as JSON, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def machine() -> dict:
    """Processor, cores, how busy they are (load of the last minute), torch and its threads."""
    return {
        "hardware": processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def machine_line() -> str:
    """`machine` in words."""
    found = machine()
    return f"{found['hardware']}, {found['cores']} cores (load {found['load']}), {found['threads']} thread(s), torch {found['torch']}"


def commit() -> str:
    """Hash of the commit at work, with `+changes` if the tree differs from it; empty outside a repository."""
    command = ["git", "-C", ROOT, "describe", "--always", "--abbrev=12", "--dirty=+changes", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


# ------------------------------------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Table:
    """Names of columns, and rows of numbers and words; a cell that was not measured is None."""

    columns: list[str]
    rows: list[list[Any]]

    def markdown(self) -> str:
        """As the documentation shows it."""
        return "\n".join(map(markdown_row, [self.columns, ["---"] * len(self.columns), *self.rows]))


def markdown_row(values: Iterable[Any]) -> str:
    """A line of a table; floats with three significant digits, None as a dash."""

    def cell(value: Any) -> str:
        if value is None:
            return "-"
        if not isinstance(value, float):
            return str(value)
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"

    return "|" + "".join(f" {text} |" if (text := cell(value)) else " |" for value in values)


ELSEWHERE = ("record", "out", "examples", "workers")
"""Settings of where things are kept and how fast they are prepared; they are no part of a result."""


def command() -> str:
    """The command line at work, without what is no part of a result."""
    kept, skip = [], False
    for word in sys.argv[1:]:
        skip, hidden = word in ("--out", "--examples", "--workers"), skip
        if not (skip or hidden or word == "--record"):
            kept.append(word)
    return "python " + shlex.join([portable(Path(sys.argv[0]).resolve()), *kept])


def portable(value: Any) -> str:
    """In words, those of a list side by side; a path relative to the repository, or its last part where it lies outside."""
    if isinstance(value, list | tuple):
        return " ".join(map(portable, value))
    if not isinstance(value, Path):
        return str(value)
    return str(value.relative_to(ROOT)) if value.is_relative_to(ROOT) else value.name if value.is_absolute() else str(value)


def record(name: str, tables: dict[str, Table], settings: dict | None = None) -> None:
    """Keep ``tables`` in benchmarks/results/NAME.json with command, commit, machine and ``settings``; other tables there stay."""
    path = RESULTS / f"{name}.json"
    kept = read(name) if path.exists() else {}
    about = {
        "command": command(),
        "commit": commit(),
        "date": date.today().isoformat(),
        **machine(),
    }
    told = {key: portable(value) for key, value in (settings or {}).items() if key not in ELSEWHERE}
    given = {"settings": told} if told else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumped(kept | {key: about | given | asdict(table) for key, table in tables.items()}), encoding="utf-8")
    print(f"recorded: {path}", flush=True)


def conclude(chosen: argparse.Namespace, name: str, tables: dict[str, Table]) -> None:
    """Print ``tables``, and `record` them where ``chosen.record`` asks for it."""
    print("\n\n".join(table.markdown() for table in tables.values()), flush=True)
    if chosen.record:
        record(name, tables, vars(chosen))


def read(name: str) -> dict[str, dict]:
    """The tables of benchmarks/results/NAME.json, each with what is known of its making."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def dumped(tables: dict[str, dict]) -> str:
    """JSON with a line for each row."""
    texts = []
    for name, table in tables.items():
        fields = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in table.items() if key != "rows"]
        rows = ",\n".join(f"   {json.dumps(row, ensure_ascii=False)}" for row in table["rows"])
        texts.append(f" {json.dumps(name)}: {{\n" + ",\n".join([*fields, f'  "rows": [\n{rows}\n  ]']) + "\n }")
    return "{\n" + ",\n".join(texts) + "\n}\n"


# ------------------------------------------------------------------------------------------------------------------- command line


def parser(documentation: str, out: str | None = None) -> argparse.ArgumentParser:
    """Of a benchmark: its module's documentation as help, `--record`, and `--out` where it writes files."""
    made = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--record", action="store_true", help="keep the tables in benchmarks/results, for the documentation")
    if out:
        made.add_argument("--out", type=Path, default=Path(out), help="folder, or stem of the files, that is written")
    return made


def training_options(made: argparse.ArgumentParser, examples: str) -> None:
    """Where a training happens, and where what it reads of the densities is kept."""
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--threads", type=int, default=0, help="cores at work; 0 = all")
    made.add_argument("--workers", type=int, default=0, help="processes that fit densities; 0 = all cores")
    made.add_argument("--examples", type=Path, default=Path(examples), help="folder of fitted densities and densities on points")
