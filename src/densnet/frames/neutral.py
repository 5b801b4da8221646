"""The one refusal of ions and open shells, under every name that files and programs give to charge and spin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from densnet.frames import comment
from densnet.molecules import MoleculeError

CHARGE = {
    "charge", "totalcharge", "totcharge", "chargetotal", "totalchg", "netcharge", "molecularcharge", "moleculecharge", "molcharge",
    "systemcharge", "ioncharge", "ioniccharge", "formalcharge", "chg", "chrg", "q", "qtot", "qtotal", "totalq", "netq",
}  # fmt: skip
MULTIPLICITY = {"multiplicity", "mult", "multip", "spinmultiplicity", "spinmult", "totalmultiplicity", "2s1"}
SPIN = {"spin", "totalspin", "totspin", "spintotal", "netspin", "spinstate", "molecularspin"}
UNPAIRED = {
    "uhf", "nunpaired", "unpaired", "unpairedelectrons", "numunpaired", "numunpairedelectrons", "nunpairedelectrons", "twospin", "2s",
    "magmom", "totalmagmom", "totmagmom", "magneticmoment", "totalmagneticmoment", "magnetization", "totalmagnetization",
}  # fmt: skip
_ALLOWED = ((CHARGE, (0,)), (MULTIPLICITY, (1,)), (SPIN, (0, 1)), (UNPAIRED, (0,)))
"""Keys, in small letters without signs, and their values for a neutral closed shell. `SPIN` is the multiplicity to some (1: singlet), S or
2S to others (0)."""

PARTIAL = {"charges", "charge", "initialcharges", "partialcharges", "atomiccharges", "formalcharges"}
MOMENTS = {"magmoms", "magmom", "initialmagmoms", "magneticmoments", "initialmagneticmoments", "spins", "spin"}
"""Columns that sum up to the charge of the molecule, and columns in which only an open shell has something."""

TINY = 0.01
"""e or electrons: the rounding of a program that adds up partial charges or spin densities."""

_SILENT = {"", "none", "null", "nan", "n/a", "na", "unknown", "?", "t", "f", "true", "false"}
_CLOSED = {"neutral", "singlet", "closed", "closedshell", "restricted", "rhf", "rks", "zero"}


def check(about: Mapping[str, Any], columns: Mapping[str, np.ndarray], name: str, prose: str = "") -> None:
    """Refuse with `MoleculeError` what says that it is charged or open-shell, or says of these what cannot be understood.

    about    key -> text or value, of one frame; what is True or None says nothing
    columns  name -> [atoms, ...], of its atoms
    name     where the frame is from
    prose    its comment line, in which "charge 2" or "multiplicity 3" may stand as words
    """
    for key, value in about.items():
        if (allowed := _allowed(key)) is not None:
            _check_one(key, value, allowed, name)
        elif _plain(key) in PARTIAL and abs(total := sum(_floats(value) or [0.0])) > 0.3:
            raise MoleculeError(f"{name}: {key} add up to {total:g}; {_REFUSAL}")
    for key, value in columns.items():
        plain = _plain(key)
        if plain in PARTIAL and abs(total := float(np.sum(_floats(value) or [0.0]))) > 0.3:
            raise MoleculeError(f"{name}: {key} of the atoms add up to {total:g}; {_REFUSAL}")
        if plain in MOMENTS and max(map(abs, _floats(value) or [0.0])) > 5 * TINY:
            raise MoleculeError(f"{name}: {key} of the atoms are not zero; {_REFUSAL}")
    for word, value in comment.said(prose, "charge|multiplicity|mult"):
        _check_one(word, value, _allowed(word) or (), name)


_REFUSAL = "densnet supports neutral closed-shell molecules only, not ions or radicals."


def _plain(key: str) -> str:
    """Small letters and digits alone, without the prefix of a label."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^(ref|dft|qm|target|label)[_-]", "", key.lower()))


def _allowed(key: str) -> tuple[int, ...] | None:
    return next((values for names, values in _ALLOWED if _plain(key) in names), None)


def _check_one(key: str, value: Any, allowed: tuple[int, ...], name: str) -> None:
    values, charge = _floats(value), _plain(key) in CHARGE
    if values is None:
        raise MoleculeError(f"{name}: {key} is {value!r}, which is not a number; {_REFUSAL} If it is neutral and closed-shell, omit {key}.")
    if len(values) > 1:  # of atoms, or a vector
        good = abs(sum(values)) < 0.3 if charge else all(abs(v) < 5 * TINY for v in values)
    else:
        good = all(min(abs(v - a) for a in allowed) < TINY for v in values)
        good = good or (_plain(key) == "q" and not values[0].is_integer())  # a wave vector, or an atom's charge
    if not good:
        raise MoleculeError(f"{name}: {key} is {value}; {_REFUSAL}")


def _floats(value: Any) -> list[float] | None:
    """The numbers that a text or value holds; none where it says nothing, None where it says something else."""
    if value is None or isinstance(value, bool | np.bool_):
        return []
    if not isinstance(value, str):
        try:
            return np.asarray(value, dtype=float).ravel().tolist()
        except (TypeError, ValueError):
            return None
    text = value.strip().lower()
    if text in _SILENT or re.sub(r"[^a-z]", "", text) in _CLOSED:
        return []
    if signed := re.fullmatch(r"(\d+)([+-])", text):
        return [float(signed[2] + signed[1])]
    return comment.numbers(text)
