"""Responses of labels that are sealed already, in files of their own: first-order orbitals in few bits, and polarizabilities.

A response belongs to a label by its identity, and to the very orbitals of that label: others of the same density, turned among themselves
or of another sign, have other first-order orbitals. A few numbers of each orbital are kept to tell that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from densnet.dataset import shards
from densnet.dataset.dataset import DatasetError, Label
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


@dataclass(frozen=True)
class _Response:
    polarizability: Tensor
    first_order: Tensor
    gauge: np.ndarray


def is_one(path: Path) -> bool:
    """Whether a file holds responses alone."""
    return shards.about(path).get("format") == FORMAT


def seal(labels: Iterable[Label], path: Path, provenance: str = "") -> None:
    """The responses of ``labels``, all of which have one, as one file at ``path``, all or nothing.

    Whole numbers up to `LEVELS` for each AO and direction change a response density by 0.05 % of the integral of its modulus.
    """
    groups: dict[tuple[int, ...], list[Label]] = {}
    for label in labels:
        groups.setdefault(tuple(label.properties.molecules.numbers.tolist()), []).append(label)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "frames": sum(map(len, groups.values())), "provenance": provenance}
    shards.write(path, [_columns(group) for group in groups.values()], UNITS, about)


def _columns(labels: list[Label]) -> dict[str, np.ndarray]:
    orbitals = [label.properties.require("orbitals", "polarizability").orbitals[0] for label in labels]
    return {
        "identity": np.array([label.identity.encode() for label in labels], dtype="S16"),
        "polarizability": np.stack([label.properties.polarizability[0].numpy() for label in labels]),
        "gauge": np.stack([_gauge(own.coefficients) for own in orbitals]),
        **shards.in_16_bits("first_order_orbitals", np.stack([own.first_order.float().numpy() for own in orbitals]), LEVELS),
    }


def _gauge(coefficients: Tensor) -> np.ndarray:
    weights = torch.cos(torch.arange(len(coefficients), dtype=torch.float64))
    return (weights @ coefficients.double()).numpy()


def identities(path: Path) -> list[str]:
    """Of the labels that a file has the responses of."""
    return list(_read(path))


def _read(path: Path) -> dict[str, _Response]:
    if (version := int(str(shards.about(path)["format_version"]))) > FORMAT_VERSION:
        raise DatasetError(f"{path} has format {version}, this densnet reads up to {FORMAT_VERSION}; please upgrade densnet.")
    found = {}
    for columns in shards.read(path):
        rows = zip(columns["identity"], columns["polarizability"], columns["first_order_orbitals"], columns["gauge"], strict=True)
        for name, tensor, orbitals, gauge in rows:
            found[name.decode()] = _Response(torch.from_numpy(tensor), torch.from_numpy(orbitals), gauge)
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
    orbitals = label.properties.require("orbitals").orbitals[0]
    gauge = _gauge(orbitals.coefficients)
    if gauge.shape != own.gauge.shape or abs(gauge - own.gauge).max() > TURNED:
        raise DatasetError(
            f"{path} holds the response of other orbitals than {label.source} has for frame {label.identity}; "
            "add it again by `densnet label --add-response`."
        )
    changed = replace(orbitals, first_order=own.first_order)
    return replace(label, properties=label.properties.replace(polarizability=own.polarizability[None], orbitals=(changed,)))
