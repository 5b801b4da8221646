"""Molden format: normal modes for Jmol, Avogadro, Molden and other viewers that animate them.

A vibration is written as Cartesian displacements dR/dQ of the atoms, scaled to ``sum_A |d_A|^2 = 1`` (bohr) as by most quantum chemistry
programs, in the orientation of the geometry; its sign is arbitrary. The order of the sections is one that every reader known to us follows.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from densnet import files, units
from densnet.molecules import SYMBOLS
from densnet.observables.vibrations import Modes

SUFFIXES = (".molden", ".mold", ".molf")
"""Of files in this format."""


def write(path: Path, modes: Modes, title: str = "", activities: Tensor | None = None) -> None:
    """``modes`` with their infrared intensities, where known, as the file ``path``; ``activities`` [modes] of Raman lines in A^4/amu.

    Wavenumbers in cm^-1, imaginary ones negative; geometry in Angstrom and bohr; intensities in km/mol.
    """
    files.write_text(path, "\n".join([*_lines(modes, title, activities), ""]))


def _lines(modes: Modes, title: str, activities: Tensor | None) -> Iterable[str]:
    numbers, positions = modes.molecule.numbers.tolist(), modes.molecule.positions.detach().double().cpu()
    symbols = [SYMBOLS[number] for number in numbers]
    patterns = modes.displacements.double().cpu()
    patterns = patterns / patterns.flatten(1).norm(dim=1)[:, None, None]
    yield from ("[Molden Format]", "[Title]", f" {title.translate(str.maketrans('[]', '()'))}", "[Atoms] Angs")
    rows = zip(symbols, numbers, (positions / units.ANGSTROM).tolist())
    yield from (f"{symbol:2s} {k:5d} {number:3d} {_numbers(row)}" for k, (symbol, number, row) in enumerate(rows, start=1))
    yield "[FREQ]"
    yield from (f"{value:12.4f}" for value in modes.frequencies.tolist())
    if modes.dipole_slopes is not None:
        columns = [modes.intensities.tolist(), *([] if activities is None else [activities.tolist()])]
        yield "[INT]"
        yield from (" ".join(f"{value:14.6f}" for value in row) for row in zip(*columns, strict=True))
    yield "[FR-COORD]"
    yield from (f"{symbol:2s} {_numbers(row)}" for symbol, row in zip(symbols, positions.tolist()))
    yield "[FR-NORM-COORD]"
    for k, pattern in enumerate(patterns.tolist(), start=1):
        yield f"vibration {k}"
        yield from map(_numbers, pattern)


def _numbers(row: list[float]) -> str:
    return " ".join(f"{x:z16.10f}" for x in row)
