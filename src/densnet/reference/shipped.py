"""The molecules that come with the package: name -> conformers (xyz), their harmonic and anharmonic constants at the level of the labels
(JSON), measured fundamentals (TOML).

A name is a molecule, `water` for one at PBE, or molecule and level, `water-pbe0`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
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


def molecule_of(name: str) -> str:
    """What a shipped ``name`` is of: `ethanol` and `ethanol-pbe0` are ethanol."""
    return name.partition("-")[0]


def harmonic(molecule: Molecules, level: Mapping | None = None) -> Path | None:
    """The file of conformers at a reference level for a molecule with the bonds of ``molecule``, its atoms in any order; or None.

    If there are several, the one of the functional, basis and dispersion of ``level``, else the first.
    """
    paths = [Path(str(_FOLDER / f"{name}.json")) for name in names()]
    known = [path for path in paths if path.exists() and bonding(_first(path)) == bonding(molecule)]
    same = [path for path in known if level and theory(json.loads(path.read_text(encoding="utf-8"))["level"]) == theory(level)]
    return next(iter(same + known), None)


def theory(level: Mapping) -> tuple:
    """Functional, basis and dispersion of a ``level``: what tells one from another, but for the numerics."""
    return tuple(level.get(name) for name in ("xc", "basis", "dispersion"))


MEASURED = Path(str(_FOLDER / "measured.toml"))
"""Measured fundamentals that ship, each molecule with its source."""


def measured(path: Path) -> dict | None:
    """What was measured of the molecule of `harmonic`'s ``path``: ``source``, ``fundamentals``, ``conformer``; None if nothing ships."""
    return tomllib.loads(MEASURED.read_text(encoding="utf-8")).get(molecule_of(path.stem))


def _first(path: Path) -> Molecules:
    known = json.loads(path.read_text(encoding="utf-8"))["conformers"][0]
    positions = torch.tensor(known["positions_Angstrom"], dtype=torch.float64) * units.ANGSTROM
    return Molecules.single([SYMBOLS.index(symbol) for symbol in known["symbols"]], positions)
