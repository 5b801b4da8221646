"""Geometries of oligothiophenes of any length, from ideal rings and given torsions between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from densnet.molecules import MoleculeError, Molecules
from densnet.units import ANGSTROM

CROWDED = 2.2
"""Angstrom; rings that are no neighbours and come closer than this are not a molecule anyone would start from."""

TWIST = 147.0
"""degrees, S-C-C-S of anti bithiophene at its minimum; 180 is a barrier."""

_BOND, _HYDROGEN = 1.45 * np.array([0.979, -0.2045]), 1.08 * np.array([0.979, -0.2045])
_OUTER, _INNER, _TIP = np.array([1.235, 1.189]), np.array([0.7115, 2.455]), np.array([1.3595, 3.319])
_MIRROR = np.array([-1.0, 1.0])


def thiophenes(rings: int, torsions: Sequence[float] | None = None) -> Molecules:
    """A chain of alpha-linked thiophenes: C-S 1.71, C-C 1.37 and 1.42, between rings 1.45 Angstrom.

    ``torsions`` [rings - 1]: S-C-C-S in degrees, 180 (anti, the default) or 0 (syn) where two neighbours are coplanar.
    Raises `MoleculeError` unless there is a ring, and a torsion between any two.
    """
    if rings < 1 or (torsions is not None and len(torsions) != rings - 1):
        given = "none" if torsions is None else len(torsions)
        raise MoleculeError(f"a chain of {rings} rings with {given} torsions: at least one ring, and a torsion between any two neighbours.")
    numbers, owner, positions, origin = [], [], [], np.zeros(2)
    for ring in range(rings):
        up = np.array([1.0, (-1.0) ** ring])
        own = [(16, np.zeros(2))] + [(z, x * side) for z, x in ((6, _OUTER), (6, _INNER), (1, _TIP)) for side in (1, _MIRROR)]
        own += [(1, (_OUTER + _HYDROGEN) * side) for side, end in ((_MIRROR, 0), (1, rings - 1)) if ring == end]
        numbers += [z for z, _ in own]
        owner += [ring] * len(own)
        positions += [[*(origin + up * x), 0.0] for _, x in own]
        origin = origin + up * (2 * _OUTER + _BOND)
    chain, rings_of = np.array(positions), np.array(owner)
    for ring, torsion in enumerate(torsions if torsions is not None else []):
        right, left = np.flatnonzero(rings_of == ring)[1], np.flatnonzero(rings_of == ring + 1)[2]
        chain[rings_of > ring] = _turned(chain[rings_of > ring], chain[right], chain[left], np.radians(torsion - 180.0))
    return Molecules.single(numbers, chain * ANGSTROM)


def anti_thiophenes(rings: int) -> Molecules:
    """The stretched chain near its lowest minimum: every pair of neighbours anti, twisted by `TWIST` to one side and the other in turn."""
    return thiophenes(rings, [TWIST * (-1) ** k for k in range(rings - 1)])


def random_thiophenes(rings: int, rng: np.random.Generator) -> Molecules:
    """One with torsions drawn evenly from -180 to 180 degrees, drawn again where the chain runs into itself."""
    while True:
        molecule = thiophenes(rings, rng.uniform(-180.0, 180.0, rings - 1))
        ring = np.repeat(np.arange(rings), np.diff([*np.flatnonzero(molecule.numbers.numpy() == 16), len(molecule.numbers)]))
        apart = abs(ring[:, None] - ring) > 1
        distances = np.linalg.norm(molecule.positions.numpy()[:, None] - molecule.positions.numpy(), axis=2) / ANGSTROM
        if not (distances[apart] < CROWDED).any():
            return molecule


def _turned(points: np.ndarray, start: np.ndarray, end: np.ndarray, angle: float) -> np.ndarray:
    """``points`` turned about the axis from ``start`` to ``end`` (Rodrigues)."""
    axis, arms = (end - start) / np.linalg.norm(end - start), points - end
    along = (arms @ axis)[:, None] * axis
    return end + along + np.cos(angle) * (arms - along) + np.sin(angle) * np.cross(axis, arms)
