"""What the attributes of HDF5 files of others say: the units of their quantities, and their level of theory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from densnet import units
from densnet.dataset.dataset import DatasetError
from densnet.units import ANGSTROM

DESCRIPTIVE = {"units", "title", "name", "description", "comment", "author", "created", "date", "source", "provenance", "license", "url"}
"""Attributes of a foreign file that are no level of theory, in lower case."""


def level_of(attributes: dict) -> dict:
    """The attributes that are a number or a text, without those that describe the file rather than the calculation."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in attributes.items()}
    told = {name: value for name, value in plain.items() if name.lower() not in DESCRIPTIVE and "unit" not in name.lower()}
    return {name: value for name, value in told.items() if isinstance(value, str | int | float)}


QUANTITIES = {"positions": "position|coordinate|geometr|length", "energy": "energ", "forces": "force|gradient", "dipole": "dipole"}
"""What an attribute that names a unit may call each quantity."""


def sizes(attributes: Mapping[str, Mapping], path: Path) -> dict[str, float]:
    """quantity -> size in atomic units of what a foreign file holds, where it is another than one: Angstrom for positions unless told.

    Told by the attributes `unit` or `units` of a dataset or, where it has none, of the file. Raises `DatasetError` for others than
    `units.size` knows.
    """
    found = {"positions": ANGSTROM}
    for place, own in attributes.items():
        for key, value in own.items():
            value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
            text = value.decode(errors="replace") if isinstance(value, bytes) else value
            if "unit" in key.lower() and isinstance(text, str) and text.strip():
                found |= _told(place, key, text, path)
    return {name: size for name, size in found.items() if size != 1.0}


def _told(place: str, key: str, text: str, path: Path) -> dict[str, float]:
    """quantity -> size of the unit, from one attribute of the dataset ``place``, or of the file ("")."""
    if place:
        items = [(place, text)]
    elif named := [quantity for quantity, words in QUANTITIES.items() if re.search(words, key.lower())]:
        items = [(named[0], text)]
    else:
        items = [_named(item) for item in re.split(r"[,;\n]", text) if item.strip()]
    found: dict[str, float] = {}
    for quantity, item in items:
        kinds = [quantity] if quantity else list(QUANTITIES)
        sizes = {kind: size for kind in kinds if (size := units.size(re.sub(r"\babout.*", "", item).rstrip(" ,"), kind)) is not None}
        if not sizes:
            where = f"{path}, {place}" if place else str(path)
            raise DatasetError(
                f"{where}: the attribute `{key}` is {text!r}, and {item.strip()!r} is not a known unit for "
                f"{quantity or 'positions, energy, forces or dipole'}; convert the values and write Angstrom, hartree, hartree/bohr."
            )
        found |= sizes
    if not place and "forces" not in found and {"energy", "positions"} <= found.keys():
        found["forces"] = found["energy"] / found["positions"]
    return found


def _named(item: str) -> tuple[str, str]:
    """("energy", "eV") of "energy: eV", ("", "eV") of "eV"."""
    word, rest = re.fullmatch(r"\s*([A-Za-z_]*)[\s:=in]*(.*?)\s*", item).groups()
    named = [quantity for quantity, words in QUANTITIES.items() if re.search(words, word.lower())]
    return (named[0], rest) if named else ("", item.strip())
