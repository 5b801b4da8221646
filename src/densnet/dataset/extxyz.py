"""Labels computed elsewhere: extended xyz with `REF_energy` (eV), `REF_forces` (eV/Angstrom), `REF_dipole` (e Angstrom)."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from densnet.dataset.dataset import LABELLED, DatasetError, Label
from densnet.frames import comment, xyz
from densnet.frames.xyz import Record
from densnet.properties import Properties


def read(path: Path) -> list[Label]:
    """The labels of an extxyz file, positions in Angstrom; plain `energy`, `forces`, `dipole` count where the `REF_` ones are missing.

    Raises `DatasetError` where no frame holds any of them, naming what the file has instead, and for values that are none; `GeometryError`
    and `MoleculeError` as `frames.xyz.read`.
    """
    labels = [_label(record) for record in xyz.read(path)]
    if all(label.holds == () for label in labels):
        other = sorted({key for label in labels for key in label.unread})
        has = f"it has {', '.join(other)}" if other else "its comment lines hold no key=value"
        raise DatasetError(f"no label found in {path}: {has}; rename them to REF_energy (eV), REF_forces (eV/A), REF_dipole (e*A).")
    return labels


def _label(record: Record) -> Label:
    counts = {"molecule": 1, "atom": len(record.molecule.numbers)}
    shapes = {name: (counts[quantity.per], *quantity.shape) for name, quantity in LABELLED.items()}
    found = {quantity: _value(record, quantity, shape) for quantity, shape in shapes.items()}
    values = {quantity: None if value is None else value * LABELLED[quantity].outside[1] for quantity, value in found.items()}
    used = {f"{prefix}{quantity}" for prefix in ("REF_", "") for quantity in shapes} | STRUCTURE
    unread = tuple(key for key in (*record.about, *record.columns) if key not in used)
    properties = Properties(record.molecule, **values)
    return Label(properties, record.trajectory, record.temperature, "", record.name, {}, unread)


STRUCTURE = {"Properties", "properties", "pbc", "Lattice", "trajectory", "temperature", "header", "conformer"}


def _value(record: Record, quantity: str, shape: tuple[int, ...]) -> torch.Tensor | None:
    """The `REF_` value, or the plain one; float64. `DatasetError` unless it is ``shape`` numbers."""
    for key in (f"REF_{quantity}", quantity):
        value = record.columns.get(key, record.about.get(key))
        if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null")):
            continue
        values = comment.numbers(value) if isinstance(value, str) else value
        try:
            found = torch.as_tensor(values, dtype=torch.float64).reshape(shape)
        except (TypeError, ValueError, RuntimeError):
            raise DatasetError(f"{record.name}: {key} is {value!r}, not {math.prod(shape)} finite numbers; check the file.") from None
        if not found.isfinite().all():
            raise DatasetError(f"{record.name}: {key} contains a number that is not finite; omit this frame, or compute it again.")
        return found
    return None
