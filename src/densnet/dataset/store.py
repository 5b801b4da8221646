"""Sealed HDF5 shards of labels, and the small files of a growing campaign: written all or nothing, checked when read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import torch

import densnet
from densnet import files
from densnet.dataset import extxyz
from densnet.dataset.dataset import Dataset, DatasetError, Label
from densnet.density.orbitals import Orbitals
from densnet.molecules import Molecules, check_geometry
from densnet.properties import Dispersion, Properties
from densnet.units import ANGSTROM

FORMAT = "densnet-dataset"
FORMAT_VERSION = 2
PLAIN = 1
"""The version of files whose orbitals are numbers as they are, which older ones of this package read, too."""
LEVELS_OF_16_BITS = 32767
UNITS = {
    "numbers": "atomic number",
    "positions": "bohr",
    "energy": "hartree",
    "forces": "hartree/bohr",
    "dipole": "e bohr, about the origin",
    "dispersion_energy": "hartree, part of the energy",
    "dispersion_forces": "hartree/bohr, part of the forces",
    "occupied_orbitals": "AO coefficients in PySCF's spherical order, density = 2 sum_i |psi_i|^2",
    "orbital_scale": "what the 16-bit coefficients of an AO are multiplied by",
    "trajectory": "number of the trajectory",
    "temperature": "K",
    "identity": "hash of elements, positions and level",
    "order": "place of the frame in the file's sequence",
}
"""Atomic units: what is read is to the last bit what was calculated, except orbitals, which are float32, or 16 bits if so sealed."""

QUANTITIES = ("positions", "energy", "forces", "dipole", "dispersion_energy", "dispersion_forces", "occupied_orbitals")
"""Of a label, one row a frame."""


def read(*paths: Path) -> Dataset:
    """All labels of one or more files: shards of ours, folders of a (growing) campaign, extxyz, or foreign HDF5.

    A foreign HDF5 file has `numbers` [atoms], `positions` [frames, atoms, 3] in Angstrom and, in atomic units, any of `energy`, `forces`,
    `dipole`, `trajectory`, `occupied_orbitals` [frames, AO, occupied] (PySCF's AO order, name of the basis in the attribute `basis`).
    Raises `DatasetError` for files that are missing, empty, truncated, damaged or of a newer format.
    """
    return Dataset(label for path in paths for label in _labels(Path(path)))


def _labels(path: Path) -> list[Label]:
    if not path.exists():
        raise DatasetError(f"dataset {path} does not exist.")
    if path.is_dir():
        files = sorted((path / "frames" if (path / "frames").is_dir() else path).glob("*.npz"))
        if not files:
            raise DatasetError(f"the folder {path} holds no label; name a folder that `densnet label` wrote to, or a file of labels.")
        return [_read_label(file) for file in files]
    if path.suffix in (".xyz", ".extxyz"):
        return extxyz.read(path)
    try:
        with h5py.File(path, "r") as file:
            return _read_shard(file, path) if file.attrs.get("format") == FORMAT else _read_foreign(file, path)
    except OSError as error:
        raise DatasetError(f"{path} is not a readable HDF5 file; it is empty, truncated or of another kind ({error}).") from error


# ------------------------------------------------------------------------------------------------- one label, one small file


def save_label(path: Path, properties: Properties, about: dict) -> None:
    """One label as npz at ``path``, all or nothing; ``about`` has index, identity, trajectory, temperature and level."""
    record = {name: array for name, array in _arrays(properties).items() if array is not None}
    header = {"format": FORMAT, "format_version": PLAIN, "densnet": densnet.__version__, "units": UNITS, **about}
    with files.replacing(path, "wb") as file:
        np.savez(file, header=json.dumps(header), **record)


def _read_label(path: Path) -> Label:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"label {path} is damaged ({error}); delete it and label the frame again.") from error
    _check_version(header["format_version"], path)
    return _label(arrays, header, header["level"], str(path))


def _arrays(properties: Properties) -> dict[str, np.ndarray | None]:
    def plain(tensor):
        return None if tensor is None else tensor.detach().cpu().numpy()

    orbitals = properties.orbitals and properties.orbitals[0].coefficients.float()
    return {
        "numbers": plain(properties.molecules.numbers),
        "positions": plain(properties.molecules.positions.double()),
        "energy": None if properties.energy is None else plain(properties.energy.double())[0],
        "forces": plain(properties.forces),
        "dipole": None if properties.dipole is None else plain(properties.dipole)[0],
        "dispersion_energy": None if properties.dispersion is None else plain(properties.dispersion.energy)[0],
        "dispersion_forces": None if properties.dispersion is None else plain(properties.dispersion.forces),
        "occupied_orbitals": plain(orbitals),
    }


def _label(arrays: dict[str, np.ndarray], about: dict, level: dict, source: str) -> Label:
    molecule = Molecules.single(arrays["numbers"], torch.from_numpy(arrays["positions"]))
    values = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}
    orbitals, part = values.get("occupied_orbitals"), values.get("dispersion_energy")
    properties = Properties(
        molecule,
        energy=None if "energy" not in values else values["energy"].double()[None],
        forces=values.get("forces"),
        dipole=None if "dipole" not in values else values["dipole"][None],
        orbitals=None if orbitals is None else (Orbitals(molecule=molecule, coefficients=orbitals.float(), basis=level["basis"]),),
        dispersion=None if part is None else Dispersion(part.double()[None], values["dispersion_forces"]),
    )
    return Label(properties, int(about["trajectory"]), float(about["temperature"]), str(about["identity"]), source, level)


def _check_version(version: int, path: Path) -> None:
    if version > FORMAT_VERSION:
        raise DatasetError(f"{path} has format {version}, this densnet reads up to {FORMAT_VERSION}; please upgrade densnet.")


# --------------------------------------------------------------------------------------------------------------------- shards


def seal(labels: Dataset, path: Path, provenance: str = "", *, compact: bool = False) -> None:
    """``labels`` as one HDF5 file, all or nothing; one group for each sequence of elements, compressed, with a checksum.

    ``provenance`` is a sentence on where the frames are from; ``compact`` keeps the
    orbitals in 16 bits, with a scale for each AO, which changes the density by 0.001 % of the electrons. Labels that differ in what they hold are refused with `DatasetError`.
    """
    if not len(labels):
        raise DatasetError(f"there are no labels to seal into {path}.")
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(tuple(label.properties.molecules.numbers.tolist()), []).append(i)
    path = Path(path)
    contents = [
        _columns([labels[i] for i in indices], path, compact=compact) | {"numbers": np.array(elements), "order": np.array(indices)}
        for elements, indices in groups.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.draft(path) as part, h5py.File(part, "w") as file:
        for number, columns in enumerate(contents):
            _write_group(file.create_group(f"molecule_{number}"), columns)
        file.attrs.update(format=FORMAT, format_version=FORMAT_VERSION if compact else PLAIN, densnet=densnet.__version__, frames=len(labels))
        file.attrs.update(level=json.dumps(labels.level, sort_keys=True), provenance=provenance, sha256=_checksum(file))


def _columns(labels: list[Label], path: Path, *, compact: bool) -> dict[str, np.ndarray]:
    rows = [_arrays(label.properties) for label in labels]
    columns = {}
    for name in QUANTITIES:
        known = [row[name] for row in rows if row[name] is not None]
        if known and len(known) < len(rows):
            raise DatasetError(f"{len(rows) - len(known)} of {len(rows)} frames for {path} hold no {name}; seal them apart.")
        if known:
            columns[name] = np.stack(known)
    if compact and "occupied_orbitals" in columns:
        columns |= _in_16_bits(columns["occupied_orbitals"])
    columns["trajectory"] = np.array([label.trajectory for label in labels])
    columns["temperature"] = np.array([label.temperature for label in labels])
    columns["identity"] = np.array([label.identity.encode() for label in labels], dtype="S16")
    return columns


def _in_16_bits(orbitals: np.ndarray) -> dict[str, np.ndarray]:
    """``orbitals`` [frames, AO, occupied] as whole numbers and the scale [frames, AO] of each AO."""
    scale = np.maximum(abs(orbitals).max(axis=2), np.finfo(np.float32).tiny) / LEVELS_OF_16_BITS
    return {"occupied_orbitals": np.round(orbitals / scale[:, :, None]).astype(np.int16), "orbital_scale": scale}


def _write_group(group: h5py.Group, columns: dict[str, np.ndarray]) -> None:
    for name, values in columns.items():
        packed = {"compression": "gzip", "shuffle": True} if values.ndim > 1 else {}
        data = group.create_dataset(name, data=values, **packed)
        data.attrs["unit"] = UNITS[name]


def _checksum(file: h5py.File) -> str:
    names = ((group, name) for group in sorted(file) for name in sorted(file[group]))
    return files.sha256_of(part for group, name in names for part in (f"{group}/{name}", file[group][name][()].tobytes()))


def _read_shard(file: h5py.File, path: Path) -> list[Label]:
    _check_version(int(file.attrs["format_version"]), path)
    if _checksum(file) != file.attrs["sha256"]:
        raise DatasetError(f"{path} is damaged: its content does not match its checksum; fetch it again.")
    level = json.loads(file.attrs["level"])
    labels: dict[int, Label] = {}
    for group in file.values():
        columns = {name: data[()] for name, data in group.items()}
        numbers, order = columns.pop("numbers"), columns.pop("order")
        if "orbital_scale" in columns:
            columns["occupied_orbitals"] = columns["occupied_orbitals"] * columns.pop("orbital_scale")[:, :, None]
        for row, place in enumerate(order):
            values = {name: column[row] for name, column in columns.items()}
            about = {name: values.pop(name) for name in ("trajectory", "temperature", "identity")}
            about["identity"] = about["identity"].decode()
            labels[int(place)] = _label({"numbers": numbers, **values}, about, level, str(path))
    return [labels[place] for place in sorted(labels)]


DESCRIPTIVE = {"units", "title", "name", "description", "comment", "author", "created", "date", "source", "provenance", "license", "url"}
"""Attributes of a foreign file that are no level of theory, in lower case."""


def _read_foreign(file: h5py.File, path: Path) -> list[Label]:
    if missing := {"numbers", "positions"} - set(file):
        raise DatasetError(f"{path} is no dataset: it has no {' and no '.join(sorted(missing))}; densnet needs both.")
    if "occupied_orbitals" in file and "basis" not in file.attrs:
        raise DatasetError(f'{path} holds orbitals but not the name of their basis; add the attribute `basis`, such as "aug-cc-pvdz".')
    numbers, positions = file["numbers"][()], file["positions"][()] * ANGSTROM
    names = [name for name in ("energy", "forces", "dipole", "occupied_orbitals") if name in file]
    columns = {name: file[name][()] for name in names} | {"positions": positions}
    if wrong := [name for name, column in columns.items() if len(column) != len(positions)]:
        raise DatasetError(f"{path}: {wrong[0]} has {len(columns[wrong[0]])} frames, positions {len(positions)}; the file is incomplete.")
    trajectory = file["trajectory"][()] if "trajectory" in file else np.zeros(len(positions), dtype=int)
    temperature = file["temperature"][()] if "temperature" in file else np.full(len(positions), np.nan)
    level = _foreign_level(dict(file.attrs))
    for i, frame in enumerate(positions):
        name = f"{path}, frame {i + 1}"
        check_geometry(torch.from_numpy(numbers), torch.from_numpy(frame), name)
        if broken := [quantity for quantity in names if not np.isfinite(columns[quantity][i]).all()]:
            raise DatasetError(f"{name}: {broken[0]} holds a number that is not finite; leave this frame out, or compute it again.")
    return [
        _label({"numbers": numbers, **{n: c[i] for n, c in columns.items()}},
               {"trajectory": trajectory[i], "temperature": temperature[i], "identity": ""}, level, str(path))
        for i in range(len(positions))
    ]  # fmt: skip


def _foreign_level(attributes: dict) -> dict:
    """The attributes that are a number or a text, without those that describe the file rather than the calculation."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in attributes.items()}
    return {name: value for name, value in plain.items() if name.lower() not in DESCRIPTIVE and isinstance(value, str | int | float)}
