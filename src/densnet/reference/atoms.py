"""The package's own tables, made once: `python -m densnet.reference.atoms` rewrites data/bases/*.json.

Density bases
    default   aug-cc-pVQZ-JKFIT, uncontracted (PySCF's library has the augmented set for all seven elements)
    small     aug-cc-pVDZ-JKFIT, uncontracted
    large     even-tempered, ratio 1.8, l <= 5 (hydrogen l <= 4)
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from pyscf import gto

from densnet.density.basis import DensityBasis

ELEMENTS = ("H", "C", "N", "O", "F", "S", "Cl")
"""The elements that the built-in bases cover."""

DATA = Path(str(resources.files("densnet"))) / "data"

_LARGE = {
    "H": [(0.08, 20.0), (0.12, 8.0), (0.18, 6.0), (0.25, 4.0), (0.4, 2.5)],
    "second row": [(0.08, 3000.0), (0.12, 150.0), (0.14, 60.0), (0.2, 25.0), (0.3, 12.0), (0.5, 6.0)],
    "third row": [(0.06, 10000.0), (0.08, 600.0), (0.1, 150.0), (0.14, 40.0), (0.2, 12.0), (0.4, 5.0)],
}
"""Smallest and largest exponent of each l = 0, 1, ... (1 / bohr^2)."""


def fitting_set(name: str) -> dict[str, list[tuple[int, float]]]:
    """A density-fitting set of PySCF's library for `ELEMENTS`, uncontracted: symbol -> (l, exponent)."""
    library = {symbol: gto.basis.load(name, symbol) for symbol in ELEMENTS}
    return {symbol: [(l, primitive[0]) for l, *primitives in shells for primitive in primitives] for symbol, shells in library.items()}


def even_tempered(smallest: float, largest: float, ratio: float) -> list[float]:
    """Exponents smallest * ratio^k up to the first that is at least ``largest``."""
    exponents = [smallest]
    while exponents[-1] < largest:
        exponents.append(exponents[-1] * ratio)
    return [float(f"{a:.6g}") for a in exponents]


def large_set(ratio: float = 1.8) -> dict[str, list[tuple[int, float]]]:
    """Even-tempered Gaussians over the ranges of `_LARGE`: symbol -> (l, exponent)."""
    rows = {"H": "H", "S": "third row", "Cl": "third row"}
    return {
        symbol: [(l, a) for l, limits in enumerate(_LARGE[rows.get(symbol, "second row")]) for a in even_tempered(*limits, ratio)]
        for symbol in ELEMENTS
    }


def write_bases(folder: Path) -> None:
    """Write the built-in bases as JSON into ``folder``."""
    sets = {"default": fitting_set("aug-cc-pvqz-jkfit"), "small": fitting_set("aug-cc-pvdz-jkfit"), "large": large_set()}
    for name, primitives in sets.items():
        (folder / f"{name}.json").write_text(json.dumps(DensityBasis.of(name, primitives).to_dict()).replace("]], ", "]],\n") + "\n")


if __name__ == "__main__":
    write_bases(DATA / "bases")
