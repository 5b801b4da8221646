"""Isotopes of the elements that densnet treats: which one a mass in a file, or a symbol such as D or 13C, means."""

from __future__ import annotations

MASSES = {
    1: {1: 1.00782503, 2: 2.01410178, 3: 3.01604928},
    6: {12: 12.0, 13: 13.00335484, 14: 14.00324199},
    7: {14: 14.0030740, 15: 15.00010890},
    8: {16: 15.9949146, 17: 16.99913176, 18: 17.99915961},
    9: {19: 18.9984032},
    16: {32: 31.972071, 33: 32.97145891, 34: 33.96786701, 36: 35.96708069},
    17: {35: 34.968853, 37: 36.96590257},
}  # fmt: skip
"""Atomic number -> mass number -> u (AME2020); the most abundant isotope comes first."""

STANDARD = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998, 16: 32.06, 17: 35.45}
"""Standard atomic weights, u: of the natural mixture, which files write where no isotope is meant."""

NEAR = 0.05
"""u: a mass that is so near to an isotope's, or to its mass number, means that isotope."""

NAMES = {(1, 2): "D", (1, 3): "T"}
"""Isotopes with symbols of their own."""


def meant(number: int, mass: float) -> float | None:
    """The mass in u that a file's ``mass`` of an atom of that atomic ``number`` means; None if it can be no mass in u of such an atom.

    That of the isotope nearby; of the most abundant isotope where a standard atomic weight is written; else, as for hydrogens made heavy on
    purpose, what is written.
    """
    known = MASSES.get(number)
    if known is None:
        return mass if mass > 0 else None
    for isotope in known.values():
        if abs(mass - isotope) < NEAR:
            return isotope
    common = next(iter(known.values()))
    if abs(mass - STANDARD[number]) < NEAR:
        return common
    return mass if 0.3 * common < mass < 10 * common else None


def name(number: int, symbol: str, mass: float) -> str:
    """How an atom is written in a formula: "H", "D", "[13C]"; "[H 4.032 u]" for a mass of no isotope."""
    for count, (nucleons, isotope) in enumerate(MASSES.get(number, {}).items()):
        if abs(mass - isotope) < 1e-6:
            return symbol if count == 0 else NAMES.get((number, nucleons), f"[{nucleons}{symbol}]")
    return f"[{symbol} {mass:.4g} u]"
