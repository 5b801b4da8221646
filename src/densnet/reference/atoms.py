"""The package's own tables, made once: `python -m densnet.reference.atoms` rewrites data/bases/*.json.

Promolecule
    Spin-free PBE atoms in aug-cc-pVDZ (the basis of the labels, so that cores cancel), open shells occupied fractionally and alike for
    every m (PySCF's `AtomSphAverageRKS`, ground-state configurations), each fitted by the fewest s-Gaussians that stay positive and
    within 9e-4 electrons (L1).

Density bases
    default   aug-cc-pVQZ-JKFIT, uncontracted (PySCF's library has the augmented set for all seven elements)
    small     aug-cc-pVDZ-JKFIT, uncontracted
    optimised l <= 5 (hydrogen l <= 4), exponents optimised on labels: `labels/optimise_basis.py` rewrites it, not this module
    large     even-tempered, ratio 2, l <= 5 (hydrogen l <= 4); no steep functions, which a correction to the promolecule hardly needs
"""

from __future__ import annotations

import json
from importlib import resources
from itertools import product
from pathlib import Path

import numpy as np
from pyscf import gto
from pyscf.data.elements import CONFIGURATION
from pyscf.scf.atom_ks import get_atm_nrks
from scipy.optimize import least_squares

from densnet.density.basis import DensityBasis
from densnet.files import write_text
from densnet.molecules import SYMBOLS

ELEMENTS = ("H", "C", "N", "O", "F", "S", "Cl")
"""The elements that the built-in bases cover."""

DATA = Path(str(resources.files("densnet"))) / "data"

_LARGE = {
    "H": [(0.08, 8.0), (0.12, 5.0), (0.18, 4.0), (0.25, 3.0), (0.4, 1.5)],
    "second row": [(0.08, 150.0), (0.12, 60.0), (0.14, 30.0), (0.2, 12.0), (0.3, 8.0), (0.5, 4.0)],
    "third row": [(0.06, 600.0), (0.08, 300.0), (0.1, 100.0), (0.14, 30.0), (0.2, 12.0), (0.4, 4.0)],
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


def large_set(ratio: float = 2.0) -> dict[str, list[tuple[int, float]]]:
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
        write_text(folder / f"{name}.json", json.dumps(DensityBasis.of(name, primitives).to_dict()).replace("]], ", "]],\n") + "\n")


def radial_grid(count: int = 800) -> tuple[np.ndarray, np.ndarray]:
    """Radii (bohr, 1e-5 to 40, logarithmic) and the volumes 4 pi r^2 dr that integrate a spherical density over space."""
    log = np.linspace(np.log(1e-5), np.log(40.0), count)
    return np.exp(log), 4 * np.pi * np.exp(3 * log) * (log[1] - log[0])


def atomic_density(symbol: str, radii: np.ndarray, basis: str = "aug-cc-pvdz") -> np.ndarray:
    """Density (electrons / bohr^3) of the spherical, spin-free PBE atom at ``radii`` [points] (bohr)."""
    atom = gto.M(atom=symbol, basis=basis, spin=None, verbose=0)
    _, _, orbitals, occupations = get_atm_nrks(atom, CONFIGURATION, "pbe")[symbol]
    points = radii[:, None] * np.array([0.36, 0.48, 0.8])
    return (atom.eval_gto("GTOval_sph", points) @ orbitals) ** 2 @ occupations


def fit_atom(density: np.ndarray, electrons: int, count: int, smallest: float = 0.08) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``count`` s-Gaussians for a ``density`` on `radial_grid`: exponents, electrons in each (their sum is exact), fitted density.

    Minimises integral (difference)^2 / (density + 1e-6), whose root bounds the L1 error, over the exponents; for given exponents the
    contents follow from linear least squares. Neighbouring exponents stay a factor 1.4 apart, which keeps contents small. The search
    starts even-tempered from ``smallest``.
    """
    radii, volumes = radial_grid()
    weights = np.sqrt(volumes / (density + 1e-6))

    def contents(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        exponents = np.exp(np.cumsum(gaps))
        shapes = (exponents / np.pi) ** 1.5 * np.exp(-np.outer(radii**2, exponents))
        others = (shapes[:, 1:] - shapes[:, :1]) * weights[:, None]
        free = np.linalg.lstsq(others, (density - electrons * shapes[:, 0]) * weights, rcond=None)[0]
        content = np.concatenate([[electrons - free.sum()], free])
        return exponents, content, shapes @ content

    largest = 20.0 if electrons <= 2 else 50.0 * electrons**2
    start = np.array([np.log(smallest), *[np.log(largest / smallest) / (count - 1)] * (count - 1)])
    lower = np.log([0.02] + [1.4] * (count - 1))
    upper = np.log([1.0] + [12.0] * (count - 1))
    start = start.clip(lower + 1e-3, upper - 1e-3)
    best = least_squares(lambda gaps: (contents(gaps)[2] - density) * weights, start, bounds=(lower, upper), max_nfev=300)
    return contents(best.x)


def promolecule_table(tolerance: float = 9e-4) -> dict[str, dict[str, list[float]]]:
    """Symbol -> ``exponents`` (1 / bohr^2) and ``electrons`` of each Gaussian, H to Cl, each within ``tolerance`` electrons (L1)."""
    radii, volumes = radial_grid()
    table = {}
    for number in range(1, 18):
        density = atomic_density(SYMBOLS[number], radii)
        fits = (fit_atom(density, number, *start) for start in product(range(6, 31), (0.08, 0.14)))
        exponents, content, _ = next(fit for fit in fits if fit[2].min() >= 0 and volumes @ np.abs(fit[2] - density) <= tolerance)
        exponents, content = [float(f"{a:.8g}") for a in exponents], [round(float(c), 10) for c in content]
        content[-1] = round(number - sum(content[:-1]), 10)
        table[SYMBOLS[number]] = {"exponents": exponents, "electrons": content}
    return table


def write_promolecule(path: Path) -> None:
    """Write `promolecule_table` as JSON to ``path``, one element a line."""
    header = "spherical spin-free PBE atoms in aug-cc-pVDZ; s-Gaussians electrons (a / pi)^(3/2) exp(-a r^2); atomic units"
    lines = [f"  {json.dumps(symbol)}: {json.dumps(row)}" for symbol, row in promolecule_table().items()]
    write_text(path, f'{{"method": {json.dumps(header)},\n"atoms": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    write_bases(DATA / "bases")
    write_promolecule(DATA / "promolecule.json")
