"""Labels computed elsewhere: extended xyz with `REF_energy` (eV), `REF_forces` (eV/Angstrom), `REF_dipole` (e Angstrom)."""

from __future__ import annotations

import math
from pathlib import Path

import ase
import ase.io
import torch

from densnet.dataset.dataset import DatasetError, Label
from densnet.molecules import Molecules, check_geometry
from densnet.properties import Properties
from densnet.units import ANGSTROM, E_ANGSTROM, EV, EV_PER_ANGSTROM


def read(path: Path) -> list[Label]:
    """The labels of an extxyz file, positions in Angstrom; plain `energy`, `forces`, `dipole` count where the `REF_` ones are missing.

    Raises `DatasetError` for empty or truncated files, charged or open-shell frames; `MoleculeError` for other unusable geometries.
    """
    try:
        images = ase.io.read(path, index=":", format="extxyz")
    except KeyError as error:
        raise DatasetError(f"{path}: {error} is not the symbol of an element; check the first column.") from error
    except (ValueError, IndexError, StopIteration, ase.io.extxyz.XYZError) as error:
        raise DatasetError(f"{path} is not a complete extxyz file (truncated?): {str(error).removeprefix('ase.io.extxyz: ')}.") from error
    if not images:
        raise DatasetError(f"{path} is empty: it holds no frame.")
    return [_label(atoms, f"{path}, frame {i + 1}") for i, atoms in enumerate(images)]


def _label(atoms: ase.Atoms, name: str) -> Label:
    for key, neutral in (("charge", (0,)), ("spin", (0, 1)), ("multiplicity", (1,))):
        if (value := atoms.info.get(key, neutral[0])) not in neutral:
            raise DatasetError(f"{name}: {key} is {value}; densnet treats neutral closed-shell molecules only, ions and radicals not yet.")
    if atoms.pbc.any():
        raise DatasetError(f'{name} is periodic; densnet treats molecules in empty space: write pbc="F F F", or leave out the lattice.')
    molecule = Molecules.single(atoms.numbers, torch.from_numpy(atoms.positions) * ANGSTROM)
    check_geometry(molecule.numbers, molecule.positions, name)
    shapes = {"energy": (1,), "forces": (len(atoms), 3), "dipole": (1, 3)}
    values = {quantity: _value(atoms, quantity, shape, name) for quantity, shape in shapes.items()}
    properties = Properties(
        molecule, *(None if v is None else v * unit for v, unit in zip(values.values(), (EV, EV_PER_ANGSTROM, E_ANGSTROM)))
    )
    temperature = float(atoms.info.get("temperature", "nan"))
    return Label(properties, int(atoms.info.get("trajectory", 0)), temperature, "", name, {})


def _value(atoms: ase.Atoms, quantity: str, shape: tuple[int, ...], name: str) -> torch.Tensor | None:
    """The `REF_` value, or the plain one, which ASE keeps in a calculator; float64. `DatasetError` unless it is ``shape`` numbers."""
    plain = atoms.calc.results if atoms.calc else {}
    value = {**atoms.info, **atoms.arrays}.get(f"REF_{quantity}", plain.get(quantity))
    if value is None:
        return None
    try:
        found = torch.as_tensor(value, dtype=torch.float64).reshape(shape)
    except (TypeError, ValueError, RuntimeError):
        raise DatasetError(f"{name}: {quantity} is {value!r}, not {math.prod(shape)} finite numbers; check the file.") from None
    if not found.isfinite().all():
        raise DatasetError(f"{name}: {quantity} holds a number that is not finite; leave this frame out, or compute it again.")
    return found
