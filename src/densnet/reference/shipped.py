"""The molecules that come with the package: name -> conformers (xyz), their harmonic and anharmonic constants at the level of the labels
(JSON), measured fundamentals (TOML)."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files
from pathlib import Path

import torch

from densnet import units
from densnet.molecules import SYMBOLS, Molecules, bonding

_FOLDER = files("densnet") / "data" / "molecules"


def names() -> list[str]:
    """In alphabetical order."""
    return sorted(p.name.removesuffix(".xyz") for p in _FOLDER.iterdir() if p.name.endswith(".xyz"))


def geometries(name: str) -> Path:
    """The xyz file of a molecule's conformers. Raises FileNotFoundError naming those that are there."""
    if name in names():
        return Path(str(_FOLDER / f"{name}.xyz"))
    raise FileNotFoundError(f"no geometry of {name} comes with densnet, only of {', '.join(names()) or 'none'}; name an xyz file.")


def harmonic(molecule: Molecules) -> Path | None:
    """The file of conformers at the reference level for a molecule with the bonds of ``molecule``, its atoms in any order; or None."""
    for name in names():
        path = Path(str(_FOLDER / f"{name}.json"))
        if path.exists() and bonding(_first(path)) == bonding(molecule):
            return path
    return None


MEASURED = Path(str(_FOLDER / "measured.toml"))
"""Measured fundamentals that ship, each molecule with its source."""


def measured(path: Path) -> dict | None:
    """What was measured of the molecule of `harmonic`'s ``path``: ``source``, ``fundamentals``, ``conformer``; None if nothing ships."""
    return tomllib.loads(MEASURED.read_text(encoding="utf-8")).get(path.stem)


def _first(path: Path) -> Molecules:
    known = json.loads(path.read_text(encoding="utf-8"))["conformers"][0]
    positions = torch.tensor(known["positions_Angstrom"], dtype=torch.float64) * units.ANGSTROM
    return Molecules.single([SYMBOLS.index(symbol) for symbol in known["symbols"]], positions)
