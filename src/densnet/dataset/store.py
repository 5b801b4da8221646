"""Sealed HDF5 shards of labels, and the small files of a growing campaign: written all or nothing, checked when read."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

import densnet
from densnet import files
from densnet.dataset import extxyz, foreign, responses
from densnet.dataset.dataset import LABELLED, Dataset, DatasetError, Label
from densnet.density.orbitals import StoredOrbitals, check_shape
from densnet.frames import neutral
from densnet.frames.xyz import looks_like_one
from densnet.molecules import Molecules, check_geometry
from densnet.properties import Properties

FORMAT = "densnet-dataset"
FORMAT_VERSION = 2
PLAIN = 1
"""The version of files whose orbitals are numbers as they are, which older ones of this package read, too."""
LEVELS_OF_16_BITS = 32767
COMPRESSED_FROM = 4096
"""Bytes; HDF5's index of a compressed array takes 2 kB, which a file of hundreds of molecules with a few frames each has thousands of."""
UNITS = {
    "numbers": "atomic number",
    "positions": "bohr",
    "charge": "e",
    **{name: quantity.unit for name, quantity in LABELLED.items()},
    "occupied_orbitals": "AO coefficients in PySCF's spherical order, density = 2 sum_i |psi_i|^2",
    "orbital_scale": "what the 16-bit coefficients of an AO are multiplied by",
    "first_order_orbitals": "slopes along a field in x, y, z, atomic units, d density / d field = 4 sum_i psi_i psi1_i",
    "first_order_scale": "the same as orbital_scale, of them",
    "trajectory": "number of the trajectory",
    "temperature": "K",
    "identity": "hash of elements, positions and level",
    "order": "place of the frame in the file's sequence",
}
"""Atomic units: what is read is to the last bit what was calculated, except orbitals, which are float32, or 16 bits if so sealed."""


def read(*paths: Path) -> Dataset:
    """All labels of one or more files: shards of ours, folders of a (growing) campaign or single files of it, extxyz, or foreign HDF5.

    Orbitals are checked but not kept: a label reads its own from the file again when they are used (`StoredOrbitals`).
    A foreign HDF5 file has `numbers` [atoms], `positions` [frames, atoms, 3] in Angstrom and, in atomic units, any of `energy`, `forces`,
    `dipole`, `trajectory`, `occupied_orbitals` [frames, AO, occupied] (PySCF's AO order, name of the basis in the attribute `basis`). An
    attribute `unit` or `units` of a dataset, or of the file ("eV, Angstrom"), says otherwise.
    Files of responses (`densnet.dataset.responses`) go to the labels that they belong to.
    Raises `DatasetError` for files that are missing, empty, truncated, damaged or of a newer format.
    """
    apart = [(Path(path), responses.is_one(Path(path))) for path in paths]
    labels = [label for path, alone in apart if not alone for label in _labels(path)]
    return Dataset(responses.joined(labels, [path for path, alone in apart if alone]))


def _labels(path: Path) -> list[Label]:
    if not path.exists():
        raise DatasetError(f"dataset {path} does not exist.")
    if path.is_dir() or path.suffix == ".npz":
        files = [path] if path.is_file() else sorted((path / "frames" if (path / "frames").is_dir() else path).glob("*.npz"))
        if not files:
            raise DatasetError(f"the folder {path} contains no label; give a folder that `densnet label` wrote to, or a file of labels.")
        return [_read_label(file) for file in files]
    if path.suffix.lower() in (".xyz", ".extxyz", ".exyz") or looks_like_one(path):
        return extxyz.read(path)
    try:
        with h5py.File(path, "r") as file:
            return _read_shard(file, path) if file.attrs.get("format") == FORMAT else _read_foreign(file, path)
    except OSError as error:
        raise DatasetError(f"{path} is not a readable HDF5 file; it is empty, truncated or of another kind ({error}).") from error


# ------------------------------------------------------------------------------------------------- one label, one small file


def save_label(path: Path, properties: Properties, about: dict) -> None:
    """One label as npz at ``path``, all or nothing; ``about`` has index, identity, trajectory, temperature and level."""
    header = {"format": FORMAT, "format_version": PLAIN, "densnet": densnet.__version__, "units": UNITS, **about}
    known = {} if properties.orbitals is None else _orbitals(properties)
    with files.replacing(path, "wb") as file:
        np.savez(file, header=json.dumps(header), **_arrays(properties), **known)


def load_label(path: Path) -> tuple[Properties, dict]:
    """What `save_label` was given. Raises `DatasetError` for a damaged file."""
    properties, header = _read_label(path).properties, json.loads(str(_contents(path)["header"]))
    return properties, {name: value for name, value in header.items() if name not in ("format", "format_version", "densnet", "units")}


def _read_label(path: Path) -> Label:
    arrays = _contents(path)
    try:
        header = json.loads(str(arrays.pop("header")))
    except (ValueError, KeyError) as error:
        raise _damaged(path, error) from error
    _check_version(header["format_version"], path)
    coefficients = arrays.pop("occupied_orbitals", None)
    changes = None if arrays.pop("first_order_orbitals", None) is None else partial(_in_label, path, "first_order_orbitals")
    stored = None if coefficients is None else _Stored(coefficients.shape, partial(_in_label, path, "occupied_orbitals"), changes)
    return _label(arrays, header, header["level"], str(path), stored)


def _contents(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from error


def _in_label(path: Path, name: str) -> np.ndarray:
    return _contents(path)[name]


def _damaged(path: Path, error: Exception) -> DatasetError:
    return DatasetError(f"label {path} is damaged ({error}); delete it and label the frame again.")


SCALES = {"occupied_orbitals": "orbital_scale", "first_order_orbitals": "first_order_scale"}
"""Arrays [frames, ..., AO, occupied] that may be kept in 16 bits, and the name of their scales [frames, ..., AO]."""


def _orbitals(properties: Properties) -> dict[str, np.ndarray]:
    """[AO, occupied] and, if they are known, [3, AO, occupied], float32, of a single molecule."""
    own = properties.orbitals[0]
    known = zip(SCALES, (own.coefficients, own.first_order))
    return {name: tensor.detach().cpu().float().numpy() for name, tensor in known if tensor is not None}


def _arrays(properties: Properties) -> dict[str, np.ndarray]:
    def plain(tensor):
        return tensor.detach().cpu().numpy()

    tensors = properties.tensors()
    known = {name: t.double() if LABELLED[name].double else t for name, t in tensors.items() if name in LABELLED}
    known = {name: plain(t[0] if LABELLED[name].per == "molecule" else t) for name, t in known.items()}
    molecule = properties.molecules
    if molecule.charge is not None:
        known["charge"] = plain(molecule.charge[0])
    return {"numbers": plain(molecule.numbers), "positions": plain(molecule.positions.double()), **known}


class _Stored(NamedTuple):
    """Orbitals in a file: their shape, and how they are read."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]
    read_first_order: Callable[[], np.ndarray] | None


def _label(arrays: dict[str, np.ndarray], about: dict, level: dict, source: str, stored: _Stored | None) -> Label:
    molecule = Molecules.single(arrays["numbers"], torch.from_numpy(arrays["positions"]), charge=int(arrays.get("charge", 0)))
    known = {name: torch.from_numpy(np.asarray(arrays[name])) for name in LABELLED if name in arrays}
    known = {name: t[None] if LABELLED[name].per == "molecule" else t for name, t in known.items()}
    properties = Properties(molecule, **{name: t.double() if LABELLED[name].double else t for name, t in known.items()})
    if stored is not None:
        check_shape(molecule, level["basis"], stored.shape)
        whose = arrays["numbers"], arrays["positions"], int(molecule.net_charge)
        properties = properties.replace(orbitals=StoredOrbitals(*whose, stored.read, level["basis"], stored.read_first_order))
    return Label(properties, int(about["trajectory"]), float(about["temperature"]), str(about["identity"]), source, level)


def _check_version(version: int, path: Path) -> None:
    if version > FORMAT_VERSION:
        raise DatasetError(f"{path} has format {version}, this densnet reads up to {FORMAT_VERSION}; please upgrade densnet.")


def seal(labels: Dataset, path: Path, provenance: str = "", *, compact: bool = False) -> None:
    """``labels`` as one HDF5 file, all or nothing; one group for each sequence of elements and charge, compressed, with a checksum.

    ``provenance`` is a sentence on where the frames are from; ``compact`` keeps the orbitals in 16 bits, with a scale for each AO, which
    changes the density by 0.001 % of the electrons. Labels that differ in what they hold are refused with `DatasetError`.
    """
    if not len(labels):
        raise DatasetError(f"there are no labels to seal into {path}.")
    groups: dict[tuple[tuple[int, ...], int], list[int]] = {}
    for i, label in enumerate(labels):
        molecule = label.properties.molecules
        groups.setdefault((tuple(molecule.numbers.tolist()), int(molecule.net_charge)), []).append(i)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.draft(path) as part, h5py.File(part, "w") as file:
        for number, ((elements, _), indices) in enumerate(groups.items()):
            own, group = [labels[i] for i in indices], file.create_group(f"molecule_{number}")
            _write_group(group, {**_columns(own, path), "numbers": np.array(elements), "order": np.array(indices)})
            if "orbitals" in own[0].holds:
                _write_orbitals(group, own, compact=compact)
        version = FORMAT_VERSION if compact else PLAIN
        file.attrs.update(format=FORMAT, format_version=version, densnet=densnet.__version__, frames=len(labels))
        file.attrs.update(level=json.dumps(labels.level, sort_keys=True), provenance=provenance, sha256=_checksum(file))


def _columns(labels: list[Label], path: Path) -> dict[str, np.ndarray]:
    """All but the orbitals."""
    for name in (*LABELLED, "orbitals"):
        without = sum(name not in label.holds for label in labels)
        if 0 < without < len(labels):
            raise DatasetError(f"{without} of {len(labels)} frames for {path} hold no {name}; seal them apart.")
    rows = [_arrays(label.properties) for label in labels]
    columns = {name: np.stack([row[name] for row in rows]) for name in ("positions", "charge", *LABELLED) if name in rows[0]}
    columns["trajectory"] = np.array([label.trajectory for label in labels])
    columns["temperature"] = np.array([label.temperature for label in labels])
    columns["identity"] = np.array([label.identity.encode() for label in labels], dtype="S16")
    return columns


def _in_16_bits(name: str, orbitals: np.ndarray) -> dict[str, np.ndarray]:
    """``orbitals``, the array of this ``name``, as whole numbers and the scale of each AO."""
    numbers, scale = responses.whole_numbers(orbitals, LEVELS_OF_16_BITS)
    return {name: numbers, SCALES[name]: scale}


PACKED = {"compression": "gzip", "shuffle": True}
BLOCK = 2**18
"""Bytes of orbitals, whole frames, that are packed together."""


def _write_group(group: h5py.Group, columns: dict[str, np.ndarray]) -> None:
    for name, values in columns.items():
        packed = PACKED if values.nbytes >= COMPRESSED_FROM else {}
        data = group.create_dataset(name, data=values, **packed)
        data.attrs["unit"] = UNITS[name]


def _write_orbitals(group: h5py.Group, labels: Sequence[Label], *, compact: bool) -> None:
    """Block by block."""
    shapes = {name: (len(labels), *values.shape) for name, values in _orbitals(labels[0].properties).items()}
    kinds = {name: (shape, "i2" if compact else "f4") for name, shape in shapes.items()}
    kinds |= {SCALES[name]: (shape[:-1], "f4") for name, shape in shapes.items() if compact}
    for name, (size, kind) in kinds.items():
        together = max(1, min(len(labels), BLOCK // (math.prod(size[1:]) * np.dtype(kind).itemsize)))
        group.create_dataset(name, size, dtype=kind, chunks=(together, *size[1:]), **PACKED).attrs["unit"] = UNITS[name]
    for rows in _blocks(group["occupied_orbitals"]):
        several = [_orbitals(label.properties) for label in labels[rows]]
        for name in shapes:
            orbitals = np.stack([own[name] for own in several])
            for part, values in (_in_16_bits(name, orbitals) if compact else {name: orbitals}).items():
                group[part][rows] = values


def _blocks(data: h5py.Dataset) -> Iterator[slice]:
    """Rows that are packed together, as far as they are no more than a few megabytes."""
    rows = _rows_together(data)
    return (slice(start, start + rows) for start in range(0, len(data), rows))


def _rows_together(data: h5py.Dataset) -> int:
    most = max(1, 16 * BLOCK * len(data) // max(1, data.nbytes))
    return min(most, data.chunks[0]) if data.chunks else most


def _checksum(file: h5py.File) -> str:
    """Of all content, of which a block at a time is in memory."""

    def parts() -> Iterator[bytes | str]:
        for group in sorted(file):
            for name in sorted(file[group]):
                yield f"{group}/{name}"
                yield from (file[group][name][rows].tobytes() for rows in _blocks(file[group][name]))

    return files.sha256_of(parts())


def _in_file(path: Path, stamp: int, group: str, name: str, together: int, row: int) -> np.ndarray:
    """Orbitals [..., AO, occupied] of one frame; ``together`` rows of its ``group`` are read at once and the last ones kept."""
    return _block(path, stamp, group, name, together, row // together)[row % together].copy()


@lru_cache(maxsize=4)
def _block(path: Path, stamp: int, group: str, name: str, together: int, number: int) -> np.ndarray:
    """Orbitals [rows, ..., AO, occupied]. Raises `DatasetError` if the file is not the one that was changed at ``stamp`` (ns)."""
    try:
        if path.stat().st_mtime_ns != stamp:
            raise DatasetError(f"{path} has changed since its labels were listed; start again.")
        with h5py.File(path, "r") as file:
            rows, place = slice(number * together, (number + 1) * together), file[group]
            orbitals = place[name][rows]
            return orbitals * place[SCALES[name]][rows][..., None] if SCALES[name] in place else orbitals
    except OSError as error:
        raise DatasetError(f"{path} cannot be read any more ({error}); start again when it is there.") from error


def _stored(group: h5py.Group, path: Path) -> list[_Stored] | None:
    """Of each frame in a shard's group, or in a foreign file."""
    if "occupied_orbitals" not in group:
        return None
    where = path.absolute(), path.stat().st_mtime_ns, group.name
    rows = range(len(group["occupied_orbitals"]))
    first, second = (
        [partial(_in_file, *where, name, _rows_together(group[name]), row) for row in rows] if name in group else [None for _ in rows]
        for name in SCALES
    )
    return [_Stored(group["occupied_orbitals"].shape[1:], *readers) for readers in zip(first, second)]


def _read_shard(file: h5py.File, path: Path) -> list[Label]:
    _check_version(int(file.attrs["format_version"]), path)
    if _checksum(file) != file.attrs["sha256"]:
        raise DatasetError(f"{path} is damaged: its content does not match its checksum; fetch it again.")
    level = json.loads(file.attrs["level"])
    labels: dict[int, Label] = {}
    for group in file.values():
        columns = {name: data[()] for name, data in group.items() if name not in (*SCALES, *SCALES.values())}
        numbers, order, stored = columns.pop("numbers"), columns.pop("order"), _stored(group, path)
        for row, place in enumerate(order):
            values = {name: column[row] for name, column in columns.items()}
            about = {name: values.pop(name) for name in ("trajectory", "temperature", "identity")}
            about["identity"] = about["identity"].decode()
            orbitals = None if stored is None else stored[row]
            labels[int(place)] = _label({"numbers": numbers, **values}, about, level, str(path), orbitals)
    return [labels[place] for place in sorted(labels)]


def _read_foreign(file: h5py.File, path: Path) -> list[Label]:
    if missing := {"numbers", "positions"} - set(file):
        raise DatasetError(f"{path} is not a dataset: it has no {' and no '.join(sorted(missing))}; densnet needs both.")
    if "occupied_orbitals" in file and "basis" not in file.attrs:
        raise DatasetError(f'{path} contains orbitals but not the name of their basis; add the attribute `basis`, such as "aug-cc-pvdz".')
    names, stored = [name for name in LABELLED if name in file], _stored(file, path)
    other = tuple(sorted(set(file) - {"numbers", "positions", "trajectory", "temperature", "occupied_orbitals", *names}))
    if not names and stored is None:
        has = f"it has {', '.join(other)}" if other else "it has geometries alone"
        raise DatasetError(f"no label found in {path}: {has}; rename them to energy (hartree), forces (hartree/bohr), dipole (e bohr).")
    attributes = {"": dict(file.attrs)} | {name: dict(file[name].attrs) for name in foreign.QUANTITIES if name in file}
    sizes = foreign.sizes(attributes, path)
    columns = {name: file[name][()] * sizes[name] if name in sizes else file[name][()] for name in ("positions", *names)}
    numbers, positions = file["numbers"][()], columns["positions"]
    lengths = {name: len(column) for name, column in columns.items()} | ({} if stored is None else {"occupied_orbitals": len(stored)})
    if wrong := [name for name, length in lengths.items() if length != len(positions)]:
        raise DatasetError(f"{path}: {wrong[0]} has {lengths[wrong[0]]} frames, positions {len(positions)}; the file is incomplete.")
    trajectory = file["trajectory"][()] if "trajectory" in file else np.zeros(len(positions), dtype=int)
    temperature = file["temperature"][()] if "temperature" in file else np.full(len(positions), np.nan)
    level = foreign.level_of(dict(file.attrs))
    told = {key: file[key][()] for key in other if isinstance(file[key], h5py.Dataset) and file[key].dtype.kind in "iuf"}
    for i, frame in enumerate(positions):
        name = f"{path}, frame {i + 1}"
        neutral.check({key: values[i] if values.shape[:1] == (len(positions),) else values for key, values in told.items()}, {}, name)
        check_geometry(torch.from_numpy(numbers), torch.from_numpy(frame), name)
        orbitals = {} if stored is None else {"occupied_orbitals": stored[i].read()}
        values = {quantity: columns[quantity][i] for quantity in names} | orbitals
        if broken := [quantity for quantity, found in values.items() if not np.isfinite(found).all()]:
            raise DatasetError(f"{name}: {broken[0]} contains a number that is not finite; omit this frame, or compute it again.")
    neutral.check(dict(file.attrs), {}, str(path))
    labels = [
        _label({"numbers": numbers, **{n: c[i] for n, c in columns.items()}},
               {"trajectory": trajectory[i], "temperature": temperature[i], "identity": ""}, level, str(path),
               None if stored is None else stored[i])
        for i in range(len(positions))
    ]  # fmt: skip
    return [replace(label, unread=other) for label in labels]
