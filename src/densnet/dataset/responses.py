"""Responses of labels that are sealed already, in HDF5 files of their own: first-order orbitals in few bits, and polarizabilities.

A response belongs to a label by its identity, and to the very orbitals of that label: others of the same density, turned among themselves
or of another sign, have other first-order orbitals. A few numbers of each orbital are kept to tell that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

import densnet
from densnet import files
from densnet.dataset.dataset import DatasetError, Label
from densnet.density.orbitals import Orbitals, StoredOrbitals
from densnet.properties import POLARIZABILITY

FORMAT = "densnet-responses"
FORMAT_VERSION = 1
UNITS = {
    "identity": "hash of elements, positions and level",
    "polarizability": POLARIZABILITY.unit,
    "first_order_orbitals": "slopes along a field in x, y, z, atomic units, d density / d field = 4 sum_i psi_i psi1_i",
    "first_order_scale": "what the whole numbers of an AO are multiplied by",
    "gauge": "sum_m cos(m) C_mi of each occupied orbital i",
}
LEVELS = 2047
TURNED = 0.01
"""How far that sum may be from the one of the label; rounding changes it by less than 1e-3."""


def whole_numbers(orbitals: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """``orbitals`` [..., AO, occupied] as 16-bit numbers up to ``levels``, fewer take less space, and the scale [..., AO] of each AO."""
    scale = np.maximum(abs(orbitals).max(axis=-1), np.finfo(np.float32).tiny) / levels
    return np.round(orbitals / scale[..., None]).astype(np.int16), scale


def _unpacked(numbers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return numbers * scale[..., None]


@dataclass(frozen=True)
class _Response:
    polarizability: Tensor
    numbers: np.ndarray
    scale: np.ndarray
    gauge: np.ndarray


def is_one(path: Path) -> bool:
    """Whether a file holds responses alone."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("format") == FORMAT
    except OSError:  # damaged: whoever reads it says so
        return False


def seal(labels: Iterable[Label], path: Path, provenance: str = "") -> None:
    """The responses of ``labels``, all of which have one, as one file at ``path``, all or nothing.

    Whole numbers up to `LEVELS` for each AO and direction change a response density by 0.05 % of the integral of its modulus.
    """
    groups: dict[tuple[int, ...], list[Label]] = {}
    for label in labels:
        groups.setdefault(tuple(label.properties.molecules.numbers.tolist()), []).append(label)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "frames": sum(map(len, groups.values())), "provenance": provenance}
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.draft(path) as part, h5py.File(part, "w") as file:
        for number, own in enumerate(groups.values()):
            group = file.create_group(f"molecule_{number}")
            for name, values in _columns(own).items():
                packed = {"compression": "gzip", "shuffle": True} if values.ndim > 1 else {}
                group.create_dataset(name, data=values, **packed).attrs["unit"] = UNITS[name]
        file.attrs.update(**about, densnet=densnet.__version__, sha256=_checksum(file))


def _columns(labels: list[Label]) -> dict[str, np.ndarray]:
    orbitals = [label.properties.require("orbitals", "polarizability").orbitals[0] for label in labels]
    numbers, scale = whole_numbers(np.stack([own.first_order.float().numpy() for own in orbitals]), LEVELS)
    return {
        "identity": np.array([label.identity.encode() for label in labels], dtype="S16"),
        "polarizability": np.stack([label.properties.polarizability[0].numpy() for label in labels]),
        "gauge": np.stack([_gauge(own) for own in orbitals]),
        "first_order_orbitals": numbers,
        "first_order_scale": scale,
    }


def _gauge(orbitals: Orbitals) -> np.ndarray:
    weights = torch.cos(torch.arange(len(orbitals.coefficients), dtype=torch.float64))
    return (weights @ orbitals.coefficients.double()).numpy()


def _checksum(file: h5py.File) -> str:
    names = ((group, name) for group in sorted(file) for name in sorted(file[group]))
    return files.sha256_of(part for group, name in names for part in (f"{group}/{name}", file[group][name][()].tobytes()))


def identities(path: Path) -> list[str]:
    """Of the labels that a file has the responses of."""
    return list(_read(path))


def _read(path: Path) -> dict[str, _Response]:
    with h5py.File(path, "r") as file:
        if (version := int(file.attrs["format_version"])) > FORMAT_VERSION:
            raise DatasetError(f"{path} has format {version}, this densnet reads up to {FORMAT_VERSION}; please upgrade densnet.")
        if _checksum(file) != file.attrs["sha256"]:
            raise DatasetError(f"{path} is damaged: its content does not match its checksum; fetch it again.")
        found = {}
        for group in file.values():
            names = ("identity", "polarizability", "first_order_orbitals", "first_order_scale", "gauge")
            for name, tensor, *rest in zip(*(group[name][()] for name in names), strict=True):
                found[name.decode()] = _Response(torch.from_numpy(tensor), *rest)
        return found


def joined(labels: Sequence[Label], paths: Sequence[Path]) -> list[Label]:
    """The ``labels`` with the responses of the files at ``paths``. Raises `DatasetError` where a file belongs to none of them."""
    given, known = {label.identity for label in labels}, {}
    for path in paths:
        found = _read(path)
        if not found.keys() & given:
            raise DatasetError(f"{path} holds responses of other labels than are given with it; name the file of their labels, too.")
        known |= {name: (own, path) for name, own in found.items()}
    return [_with(label, *known[label.identity]) if label.identity in known else label for label in labels]


def _with(label: Label, own: _Response, path: Path) -> Label:
    stored = label.properties.require("orbitals").orbitals
    orbitals = stored[0]
    gauge = _gauge(orbitals)
    if gauge.shape != own.gauge.shape or abs(gauge - own.gauge).max() > TURNED:
        raise DatasetError(
            f"{path} holds the response of other orbitals than {label.source} has for frame {label.identity}; "
            "add it again by `densnet label --add-response`."
        )
    molecule = orbitals.molecule
    whose = molecule.numbers.numpy(), molecule.positions.numpy(), int(molecule.net_charge)
    changes = partial(_unpacked, own.numbers, own.scale)
    changed = StoredOrbitals(*whose, partial(_coefficients, stored), orbitals.basis, changes)
    return replace(label, properties=label.properties.replace(polarizability=own.polarizability[None], orbitals=changed))


def _coefficients(stored: Sequence[Orbitals]) -> np.ndarray:
    return stored[0].coefficients.numpy()
