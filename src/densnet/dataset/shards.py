"""HDF5 files of many frames: one group for each molecule, arrays [frames, ...] with units, compressed, checksummed, 16 bits at will."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

import densnet
from densnet import files
from densnet.dataset.dataset import DatasetError

LEVELS_OF_16_BITS = 32767
SCALES = {"occupied_orbitals": "orbital_scale", "first_order_orbitals": "first_order_scale"}
"""Arrays [frames, ..., AO, orbital] that may be kept in 16 bits, and the name of their scales [frames, ..., AO]."""


def in_16_bits(name: str, orbitals: np.ndarray, levels: int = LEVELS_OF_16_BITS) -> dict[str, np.ndarray]:
    """``orbitals``, the array of this ``name``, as whole numbers up to ``levels`` and the scale of each AO; fewer take less space."""
    scale = np.maximum(abs(orbitals).max(axis=-1), np.finfo(np.float32).tiny) / levels
    return {name: np.round(orbitals / scale[..., None]).astype(np.int16), SCALES[name]: scale}


def write(path: Path, groups: Sequence[Mapping[str, np.ndarray]], units: Mapping[str, str], about: Mapping[str, object]) -> None:
    """A file of these ``groups``, all or nothing; ``about`` becomes its attributes, with version and checksum."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.draft(path) as part, h5py.File(part, "w") as file:
        for number, columns in enumerate(groups):
            group = file.create_group(f"molecule_{number}")
            for name, values in columns.items():
                packed = {"compression": "gzip", "shuffle": True} if values.ndim > 1 else {}
                group.create_dataset(name, data=values, **packed).attrs["unit"] = units[name]
        file.attrs.update(**about, densnet=densnet.__version__, sha256=_checksum(file))


def about(path: Path) -> dict[str, object]:
    """The attributes of an HDF5 file; none of a file of another kind, or of one too damaged to be opened."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return {}
    try:
        with h5py.File(path, "r") as file:
            return dict(file.attrs)
    except OSError:
        return {}


def read(path: Path) -> list[dict[str, np.ndarray]]:
    """`contents` of the file at ``path``."""
    with h5py.File(path, "r") as file:
        return list(contents(file, path))


def contents(file: h5py.File, path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of each group, scales applied. Raises `DatasetError` if they are not what was written."""
    if _checksum(file) != file.attrs["sha256"]:
        raise DatasetError(f"{path} is damaged: its content does not match its checksum; fetch it again.")
    for group in file.values():
        columns = {name: data[()] for name, data in group.items()}
        for name, scale in SCALES.items():
            if scale in columns:
                columns[name] = columns[name] * columns.pop(scale)[..., None]
        yield columns


def _checksum(file: h5py.File) -> str:
    names = ((group, name) for group in sorted(file) for name in sorted(file[group]))
    return files.sha256_of(part for group, name in names for part in (f"{group}/{name}", file[group][name][()].tobytes()))
