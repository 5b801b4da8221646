"""The molecules that come with the package: name -> conformers (xyz) and their harmonic analysis at the level of the labels (JSON)."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

_FOLDER = files("densnet") / "data" / "molecules"


def names() -> list[str]:
    """In alphabetical order."""
    return sorted(p.name.removesuffix(".xyz") for p in _FOLDER.iterdir() if p.name.endswith(".xyz"))


def geometries(name: str) -> Path:
    """The xyz file of a molecule's conformers. Raises FileNotFoundError naming those that are there."""
    if name in names():
        return Path(str(_FOLDER / f"{name}.xyz"))
    raise FileNotFoundError(f"no geometry of {name} comes with densnet, only of {', '.join(names()) or 'none'}; name an xyz file.")


def harmonic(symbols: list[str]) -> Path | None:
    """The file of conformers at the reference level for a molecule of these elements, in any order; None where there is none."""
    for name in names():
        path = Path(str(_FOLDER / f"{name}.json"))
        if path.exists() and sorted(json.loads(path.read_text(encoding="utf-8"))["conformers"][0]["symbols"]) == sorted(symbols):
            return path
    return None
