"""What errors tell of labels from elsewhere: that they are in another unit, of another sign, or of another level of theory.

A model that is any good agrees with labels in its own units to a few percent, and units differ by factors of two and more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from densnet import units
from densnet.training.objective import Evaluation

READ = {
    "energy": {"eV": units.EV, "hartree": 1.0},
    "forces": {"eV/A": units.EV_PER_ANGSTROM, "hartree/bohr": 1.0},
    "dipole": {"e A": units.E_ANGSTROM, "e bohr": 1.0},
}
"""The units that labels are read in: of extended xyz, and of HDF5."""

_KCAL = units.ENERGIES["kcal"]
_KJ = units.ENERGIES["kj"]
OTHERS = {
    "energy": {
        "eV": units.EV, "hartree": 1.0, "kcal/mol": _KCAL, "kJ/mol": _KJ, "rydberg": 0.5, "meV": units.MEV, "cm^-1": units.INVERSE_CM,
    },
    "forces": {
        "eV/A": units.EV_PER_ANGSTROM, "hartree/bohr": 1.0, "hartree/A": 1 / units.ANGSTROM, "eV/bohr": units.EV, "rydberg/bohr": 0.5,
        "kcal/mol/A": _KCAL / units.ANGSTROM, "kcal/mol/bohr": _KCAL, "kJ/mol/A": _KJ / units.ANGSTROM,
        "kJ/mol/nm": _KJ / (10 * units.ANGSTROM), "meV/A": units.MEV_PER_ANGSTROM,
    },
    "dipole": {"e A": units.E_ANGSTROM, "e bohr": 1.0, "D": units.DEBYE},
}  # fmt: skip
"""The units that other programs write."""

NEAR = 0.04
"""Relative: a ratio of label and prediction that is so near to one of two units is told."""


def doubts_of(found: Evaluation) -> list[str]:
    """A sentence for each kind of label that looks wrong."""
    told = [sentence for name in READ for sentence in _unit(name, getattr(found, name))]
    energies = found.energy / units.MEV
    if not any("energies" in sentence for sentence in told) and len(energies) > 2:
        told += _level(energies[:, 0] - energies[:, 1])
    return told


def factor(pairs: NDArray) -> float | None:
    """By how much labels are larger than predictions, ``pairs`` [..., 2] of (label, prediction); None where they do not run together.

    Least squares through the origin; of total energies, which are almost constant, that is their ratio.
    """
    label, prediction = pairs.reshape(-1, 2).T
    product, own, other = prediction @ label, prediction @ prediction, label @ label
    together = product / np.sqrt(max(own * other, np.finfo(float).tiny))
    return float(product / own) if abs(together) > 0.95 else None


def _unit(name: str, pairs: NDArray) -> Iterator[str]:
    ratio = factor(pairs) if pairs.size else None
    if name == "energy" and ratio is not None and abs(ratio - 1) > NEAR and not _known(name, ratio) and len(pairs) > 2:
        ratio = factor(pairs - pairs.mean(0))  # energies of reaction or atomisation: from another zero
    if ratio is None or abs(ratio - 1) < NEAR:
        return
    noun = {"energy": "energies", "dipole": "dipoles"}.get(name, name)
    sign = " of opposite sign" + (" (gradients?)" if name == "forces" else "") if ratio < 0 else ""
    if known := _known(name, ratio):
        read_as, other = known
        unit = f" in {other}, but are read in {read_as}" if other != read_as else ""
        yield f"the {noun} of the labels are {ratio:.4g} times those of the model: they look like {noun}{sign}{unit}; convert them."
    elif ratio < 0:
        yield f"the {noun} of the labels are {ratio:.4g} times those of the model, of opposite sign; check where they are from."


def _known(name: str, ratio: float) -> tuple[str, str] | None:
    """(unit that labels are read in, unit that they are in) for a ``ratio`` of two known ones, or for one of -1."""
    distance, read_as, other = min(
        (abs(np.log(abs(ratio) * size / read)), read_as, other)
        for read_as, read in READ[name].items()
        for other, size in OTHERS[name].items()
    )
    return (read_as, other) if distance < NEAR and (other != read_as or ratio < 0) else None


def _level(differences: NDArray) -> Iterator[str]:
    """meV, label less prediction: whether one constant explains most of the error, as between two levels of theory."""
    constant = float(np.median(differences))
    before, after = np.abs(differences).mean(), np.abs(differences - constant).mean()
    if after < 0.25 * before:
        yield (
            f"the energies of the labels and of the model differ by a constant of {constant:+.5g} meV, as for another level of theory: "
            f"without it the energy MAE is {after:.4g} meV, not {before:.4g}."
        )
