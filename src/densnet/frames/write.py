"""Frames of extended xyz as densnet writes them: Angstrom, and masses in u where a molecule has other isotopes than the most abundant."""

from __future__ import annotations

from torch import Tensor

from densnet.molecules import SYMBOLS, Molecules
from densnet.units import AMU, ANGSTROM


def frame(molecule: Molecules, about: str, forces: Tensor | None = None) -> list[str]:
    """The lines of one frame; ``about`` is the comment line behind `Properties`, ``forces`` [atoms, 3] are in eV/Angstrom."""
    columns = "species:S:1:pos:R:3"
    symbols, positions = [SYMBOLS[n] for n in molecule.numbers.tolist()], (molecule.positions / ANGSTROM).tolist()
    rows = [f"{symbol:2s} {_numbers(row, 15, 10)}" for symbol, row in zip(symbols, positions)]
    if molecule.isotopes is not None:
        columns += ":masses:R:1"
        rows = [f"{row} {mass:14.8f}" for row, mass in zip(rows, (molecule.isotopes / AMU).tolist())]
    if forces is not None:
        columns += ":forces:R:3"
        rows = [f"{row} {_numbers(own, 14, 8)}" for row, own in zip(rows, forces.tolist())]
    return [str(len(rows)), f'Properties={columns} {about} pbc="F F F"', *rows]


def _numbers(values: list[float], width: int, decimals: int) -> str:
    return " ".join(f"{x:{width}.{decimals}f}" for x in values)
