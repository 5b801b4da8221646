"""Sealed HDF5 shards of labels, and the small files of a growing campaign: written all or nothing, checked when read."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch

import densnet
from densnet import files, units
from densnet.dataset import extxyz, responses, shards
from densnet.dataset.dataset import LABELLED, Dataset, DatasetError, Label
from densnet.dataset.shards import SCALES, in_16_bits
from densnet.density.orbitals import Orbitals
from densnet.frames import neutral
from densnet.frames.xyz import looks_like_one
from densnet.molecules import Molecules, check_geometry
from densnet.properties import Properties
from densnet.units import ANGSTROM

FORMAT = "densnet-dataset"
FORMAT_VERSION = 2
PLAIN = 1
"""The version of files whose orbitals are numbers as they are, which older ones of this package read, too."""
UNITS = {
    "numbers": "atomic number",
    "positions": "bohr",
    "charge": "e",
    **{name: quantity.unit for name, quantity in LABELLED.items()},
    "occupied_orbitals": "AO coefficients in PySCF's spherical order, density = 2 sum_i |psi_i|^2",
    "orbital_scale": "what the 16-bit coefficients of an AO are multiplied by",
    "first_order_orbitals": "their slopes along a field in x, y, z, atomic units, d density / d field = 4 sum_i psi_i psi1_i",
    "first_order_scale": "the same as orbital_scale",
    "trajectory": "number of the trajectory",
    "temperature": "K",
    "identity": "hash of elements, positions and level",
    "order": "place of the frame in the file's sequence",
}
"""Atomic units: what is read is to the last bit what was calculated, except orbitals, which are float32, or 16 bits if so sealed."""


def read(*paths: Path) -> Dataset:
    """All labels of one or more files: shards of ours, folders of a (growing) campaign, extxyz, or foreign HDF5.

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
    if path.is_dir():
        files = sorted((path / "frames" if (path / "frames").is_dir() else path).glob("*.npz"))
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
    with files.replacing(path, "wb") as file:
        np.savez(file, header=json.dumps(header), **_arrays(properties))


def load_label(path: Path) -> tuple[Properties, dict]:
    """What `save_label` was given. Raises `DatasetError` for a damaged file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"label {path} is damaged ({error}); delete it and label the frame again.") from error
    _check_version(header["format_version"], path)
    about = {name: value for name, value in header.items() if name not in ("format", "format_version", "densnet", "units")}
    return _properties(arrays, about["level"]), about


def _read_label(path: Path) -> Label:
    properties, about = load_label(path)
    return _of(properties, about, about["level"], str(path))


def _arrays(properties: Properties) -> dict[str, np.ndarray]:
    def plain(tensor):
        return tensor.detach().cpu().numpy()

    tensors = properties.tensors()
    known = {name: t.double() if LABELLED[name].double else t for name, t in tensors.items() if name in LABELLED}
    known = {name: plain(t[0] if LABELLED[name].per == "molecule" else t) for name, t in known.items()}
    if properties.orbitals is not None:
        known["occupied_orbitals"] = plain(properties.orbitals[0].coefficients.float())
        if properties.orbitals[0].first_order is not None:
            known["first_order_orbitals"] = plain(properties.orbitals[0].first_order.float())
    molecule = properties.molecules
    if molecule.charge is not None:
        known["charge"] = plain(molecule.charge[0])
    return {"numbers": plain(molecule.numbers), "positions": plain(molecule.positions.double()), **known}


def _label(arrays: dict[str, np.ndarray], about: dict, level: dict, source: str) -> Label:
    return _of(_properties(arrays, level), about, level, source)


def _of(properties: Properties, about: dict, level: dict, source: str) -> Label:
    return Label(properties, int(about["trajectory"]), float(about["temperature"]), str(about["identity"]), source, level)


def _properties(arrays: dict[str, np.ndarray], level: dict) -> Properties:
    molecule = Molecules.single(arrays["numbers"], torch.from_numpy(arrays["positions"]), charge=int(arrays.get("charge", 0)))
    known = {name: torch.from_numpy(np.asarray(arrays[name])) for name in LABELLED if name in arrays}
    known = {name: t[None] if LABELLED[name].per == "molecule" else t for name, t in known.items()}
    properties = Properties(molecule, **{name: t.double() if LABELLED[name].double else t for name, t in known.items()})
    if "occupied_orbitals" in arrays:
        coefficients = torch.from_numpy(arrays["occupied_orbitals"])
        changes = torch.from_numpy(arrays["first_order_orbitals"]) if "first_order_orbitals" in arrays else None
        properties = properties.replace(orbitals=(Orbitals(molecule, coefficients, level["basis"], changes),))
    return properties


def _check_version(version: int, path: Path) -> None:
    if version > FORMAT_VERSION:
        raise DatasetError(f"{path} has format {version}, this densnet reads up to {FORMAT_VERSION}; please upgrade densnet.")


# --------------------------------------------------------------------------------------------------------------------- shards


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
    contents = [
        {**_columns([labels[i] for i in indices], path, compact=compact), "numbers": np.array(elements), "order": np.array(indices)}
        for (elements, _), indices in groups.items()
    ]
    about = {"format": FORMAT, "format_version": FORMAT_VERSION if compact else PLAIN, "frames": len(labels), "provenance": provenance}
    shards.write(path, contents, UNITS, {**about, "level": json.dumps(labels.level, sort_keys=True)})


def _columns(labels: list[Label], path: Path, *, compact: bool) -> dict[str, np.ndarray]:
    rows = [_arrays(label.properties) for label in labels]
    columns = {}
    for name in ("positions", "charge", *LABELLED, "occupied_orbitals", "first_order_orbitals"):
        known = [row[name] for row in rows if name in row]
        if known and len(known) < len(rows):
            raise DatasetError(f"{len(rows) - len(known)} of {len(rows)} frames for {path} hold no {name}; seal them apart.")
        if known:
            columns[name] = np.stack(known)
    if compact:
        columns |= {name: packed for key in SCALES if key in columns for name, packed in in_16_bits(key, columns[key]).items()}
    columns["trajectory"] = np.array([label.trajectory for label in labels])
    columns["temperature"] = np.array([label.temperature for label in labels])
    columns["identity"] = np.array([label.identity.encode() for label in labels], dtype="S16")
    return columns


def _read_shard(file: h5py.File, path: Path) -> list[Label]:
    _check_version(int(file.attrs["format_version"]), path)
    level = json.loads(file.attrs["level"])
    labels: dict[int, Label] = {}
    for columns in shards.contents(file, path):
        numbers, order = columns.pop("numbers"), columns.pop("order")
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
        raise DatasetError(f"{path} is not a dataset: it has no {' and no '.join(sorted(missing))}; densnet needs both.")
    if "occupied_orbitals" in file and "basis" not in file.attrs:
        raise DatasetError(f'{path} contains orbitals but not the name of their basis; add the attribute `basis`, such as "aug-cc-pvdz".')
    names = [name for name in (*LABELLED, "occupied_orbitals") if name in file]
    other = tuple(sorted(set(file) - {"numbers", "positions", "trajectory", "temperature", *names}))
    if not names:
        has = f"it has {', '.join(other)}" if other else "it has geometries alone"
        raise DatasetError(f"no label found in {path}: {has}; rename them to energy (hartree), forces (hartree/bohr), dipole (e bohr).")
    sizes = foreign_units(file, path)
    columns = {name: file[name][()] * sizes[name] if name in sizes else file[name][()] for name in ("positions", *names)}
    numbers, positions = file["numbers"][()], columns["positions"]
    if wrong := [name for name, column in columns.items() if len(column) != len(positions)]:
        raise DatasetError(f"{path}: {wrong[0]} has {len(columns[wrong[0]])} frames, positions {len(positions)}; the file is incomplete.")
    trajectory = file["trajectory"][()] if "trajectory" in file else np.zeros(len(positions), dtype=int)
    temperature = file["temperature"][()] if "temperature" in file else np.full(len(positions), np.nan)
    level = _foreign_level(dict(file.attrs))
    told = {key: file[key][()] for key in other if isinstance(file[key], h5py.Dataset) and file[key].dtype.kind in "iuf"}
    for i, frame in enumerate(positions):
        name = f"{path}, frame {i + 1}"
        neutral.check({key: values[i] if values.shape[:1] == (len(positions),) else values for key, values in told.items()}, {}, name)
        check_geometry(torch.from_numpy(numbers), torch.from_numpy(frame), name)
        if broken := [quantity for quantity in names if not np.isfinite(columns[quantity][i]).all()]:
            raise DatasetError(f"{name}: {broken[0]} contains a number that is not finite; omit this frame, or compute it again.")
    neutral.check(dict(file.attrs), {}, str(path))
    labels = [
        _label({"numbers": numbers, **{n: c[i] for n, c in columns.items()}},
               {"trajectory": trajectory[i], "temperature": temperature[i], "identity": ""}, level, str(path))
        for i in range(len(positions))
    ]  # fmt: skip
    return [replace(label, unread=other) for label in labels]


def _foreign_level(attributes: dict) -> dict:
    """The attributes that are a number or a text, without those that describe the file rather than the calculation."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in attributes.items()}
    told = {name: value for name, value in plain.items() if name.lower() not in DESCRIPTIVE and "unit" not in name.lower()}
    return {name: value for name, value in told.items() if isinstance(value, str | int | float)}


QUANTITIES = {"positions": "position|coordinate|geometr|length", "energy": "energ", "forces": "force|gradient", "dipole": "dipole"}
"""What an attribute that names a unit may call each quantity."""


def foreign_units(file: h5py.File, path: Path) -> dict[str, float]:
    """quantity -> size in atomic units of what a foreign file holds, where it is another than one: Angstrom for positions unless told.

    Told by the attributes `unit` or `units` of a dataset or, where it has none, of the file. Raises `DatasetError` for others than
    `units.size` knows.
    """
    found = {"positions": ANGSTROM}
    for place, attributes in (("", file.attrs), *((name, file[name].attrs) for name in QUANTITIES if name in file)):
        for key, value in attributes.items():
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
