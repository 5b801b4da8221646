"""DensityBasis: which Gaussians sit on which element, in which order.

A primitive is g_lm(r) = N_l(a) r^l exp(-a r^2) S_lm, normalised to unit self-overlap. The coefficients of an atom form one row, its
columns ordered by l, then by radial index n (steepest first), then by m = -l..l. All elements of a basis share one row layout: the number
of radial *slots* of each l is the maximum over the elements, and what an element lacks is padding (mask False, exponent 1).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources

import torch
from torch import Tensor

from densnet.errors import DensnetError
from densnet.files import sha256
from densnet.molecules import SYMBOLS

BUILT_IN = ("small", "default", "optimised", "large")
"""Names of the sets that come with the package."""


class BasisError(DensnetError):
    """A density basis that cannot be built, or is asked for an element it lacks."""


@dataclass(frozen=True)
class DensityBasis:
    """Uncontracted Gaussians per element; equal if and only if the functions are equal, whatever the name.

    elements   atomic numbers, ascending
    shells     per element, per l = 0, 1, ...: the exponents (1 / bohr^2), descending
    """

    name: str = field(compare=False)
    elements: tuple[int, ...]
    shells: tuple[tuple[tuple[float, ...], ...], ...]

    @classmethod
    def of(cls, name: str, primitives: Mapping[str, Iterable[tuple[int, float]]]) -> DensityBasis:
        """A basis given explicitly: element symbol -> (l, exponent) pairs in any order. Raises `BasisError`."""
        table = {}
        for symbol, pairs in primitives.items():
            pairs = sorted(((int(l), float(a)) for l, a in pairs), key=lambda p: (p[0], -p[1]))
            if not pairs:
                raise BasisError(f"density basis {name!r}: element {symbol} has no function; give at least one (l, exponent).")
            for l, exponent in pairs:
                if l < 0 or not 0.0 < exponent < float("inf"):
                    raise BasisError(f"density basis {name!r}: {symbol} has (l, exponent) = ({l}, {exponent}); need l >= 0, exponent > 0.")
            if len(set(pairs)) < len(pairs):
                raise BasisError(f"density basis {name!r}: {symbol} has the same (l, exponent) twice; drop one.")
            table[_number(symbol)] = tuple(tuple(a for k, a in pairs if k == l) for l in range(pairs[-1][0] + 1))
        elements = tuple(sorted(table))
        return cls(name, elements, tuple(table[z] for z in elements))

    @classmethod
    def built_in(cls, name: str = "default", elements: Iterable[str | int] | None = None) -> DensityBasis:
        """A set shipped with the package, one of `BUILT_IN`, for ``elements`` (symbols or numbers; all if None)."""
        if name not in BUILT_IN:
            raise BasisError(f"no built-in density basis {name!r}; choose one of {', '.join(BUILT_IN)}, or give exponents explicitly.")
        text = resources.files("densnet").joinpath("data", "bases", f"{name}.json").read_text()
        basis = cls.from_dict(json.loads(text))
        return basis if elements is None else basis.restrict(elements)

    @classmethod
    def from_dict(cls, content: Mapping) -> DensityBasis:
        """The inverse of `to_dict`; a fingerprint, where given, must agree."""
        primitives = {
            symbol: [(l, a) for l, exponents in enumerate(shells) for a in exponents] for symbol, shells in content["elements"].items()
        }
        basis = cls.of(content["name"], primitives)
        if content.get("fingerprint", basis.fingerprint) != basis.fingerprint:
            raise BasisError(f"density basis {basis.name!r}: fingerprint {content['fingerprint']} belongs to other exponents; damaged?")
        return basis

    def to_dict(self) -> dict:
        """Plain data for JSON and headers: ``name``, ``fingerprint``, ``elements`` (symbol -> exponents of each l)."""
        return {"name": self.name, "fingerprint": self.fingerprint, "elements": self._content}

    def restrict(self, elements: Iterable[str | int]) -> DensityBasis:
        """The same functions for ``elements`` only: narrower rows, another fingerprint."""
        wanted = sorted({_number(e) for e in elements})
        rows = self._rows(wanted)
        return DensityBasis(self.name, tuple(wanted), tuple(self.shells[r] for r in rows))

    def up_to(self, l: int) -> DensityBasis:
        """The functions of no more than that ``l``: the rows begin as they did."""
        return DensityBasis(self.name, self.elements, tuple(shells[: l + 1] for shells in self.shells))

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that identify the functions (not the name)."""
        return sha256(json.dumps(self._content, sort_keys=True))[:16]

    @property
    def l_max(self) -> int:
        """Largest l of any element."""
        return len(self.counts) - 1

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Radial slots of each l = 0..l_max."""
        l_max = max(map(len, self.shells))
        return tuple(max(len(s[l]) if l < len(s) else 0 for s in self.shells) for l in range(l_max))

    @cached_property
    def slots(self) -> tuple[tuple[int, int], ...]:
        """(l, n) of each radial slot."""
        return tuple((l, n) for l, count in enumerate(self.counts) for n in range(count))

    @cached_property
    def width(self) -> int:
        """Coefficients of one atom, padding included: sum of 2l + 1 over the slots."""
        return sum(2 * l + 1 for l, _ in self.slots)

    def slot_block(self, l: int) -> slice:
        """Where the slots of ``l`` stand among `slots`."""
        start = sum(self.counts[:l])
        return slice(start, start + self.counts[l])

    def block(self, l: int) -> slice:
        """Where the coefficients of ``l`` stand in an atom's row; reshaped to [counts[l], 2l + 1] they read (n, m)."""
        start = sum(n * (2 * k + 1) for k, n in enumerate(self.counts[:l]))
        return slice(start, start + self.counts[l] * (2 * l + 1))

    def column_slots(self, device: torch.device | str | None = None) -> Tensor:
        """[width] int64: the slot of each column."""
        return torch.tensor([s for s, (l, _) in enumerate(self.slots) for _ in range(2 * l + 1)], device=device)

    def exponents(self, numbers: Tensor) -> Tensor:
        """[atoms, slots] float64: the reference exponents of atoms with atomic ``numbers`` [atoms]; 1 where padded."""
        return self._exponent_table.to(numbers.device)[self._row_index(numbers)]

    def slot_mask(self, numbers: Tensor) -> Tensor:
        """[atoms, slots] bool: False where padded."""
        return self._slot_table.to(numbers.device)[self._row_index(numbers)]

    def mask(self, numbers: Tensor) -> Tensor:
        """[atoms, width] bool: False where padded."""
        return self.slot_mask(numbers)[:, self.column_slots(numbers.device)]

    def functions(self, numbers: Tensor) -> int:
        """How many functions (without padding) atoms with atomic ``numbers`` carry."""
        return int(self.mask(numbers).sum())

    @cached_property
    def _content(self) -> dict[str, list[list[float]]]:
        return {SYMBOLS[z]: [list(exponents) for exponents in shells] for z, shells in zip(self.elements, self.shells)}

    @cached_property
    def _exponent_table(self) -> Tensor:
        table = torch.ones(len(self.elements), len(self.slots), dtype=torch.float64)
        for row, shells in zip(table, self.shells):
            for l, exponents in enumerate(shells):
                row[self.slot_block(l)][: len(exponents)] = torch.tensor(exponents, dtype=torch.float64)
        return table

    @cached_property
    def _slot_table(self) -> Tensor:
        return torch.tensor([[l < len(s) and n < len(s[l]) for l, n in self.slots] for s in self.shells])

    def _row_index(self, numbers: Tensor) -> Tensor:
        self._rows(torch.unique(numbers).tolist())
        return torch.searchsorted(torch.tensor(self.elements, device=numbers.device), numbers.contiguous())

    def _rows(self, numbers: Iterable[int]) -> list[int]:
        for number in numbers:
            if number not in self.elements:
                symbol = SYMBOLS[number] if 0 < number < len(SYMBOLS) else f"number {number}"
                known = ", ".join(SYMBOLS[z] for z in self.elements)
                raise BasisError(f"density basis {self.name!r} has no functions for element {symbol}; it covers {known}. Extend the basis.")
        return [self.elements.index(number) for number in numbers]


def _number(element: str | int) -> int:
    if element in SYMBOLS[1:]:
        return SYMBOLS.index(element)
    if not isinstance(element, int) or not 0 < element < len(SYMBOLS):
        raise BasisError(f"element {element!r} is not known; give a symbol or atomic number from H to Ar.")
    return element
