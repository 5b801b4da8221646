"""The exact density of a label: occupied orbitals in contracted Gaussians, evaluated on points without a quantum-chemistry package.

chi = S_lm(r_hat) r^l sum_k c_k N_l(alpha_k) exp(-alpha_k r^2); the order of the functions is that of PySCF's spherical AOs:
atom by atom, shells by l, contractions before m, and p as x, y, z.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from importlib.resources import files
from operator import getitem
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from densnet.errors import DensnetError
from densnet.molecules import SYMBOLS, Molecules
from densnet.symmetry import solid_harmonics

_SHIPPED = files("densnet") / "data" / "orbital_bases"
_CHUNK = 1024
"""Points at a time: keeps the table of orbitals on points small and in the cache."""


class OrbitalError(DensnetError):
    """Orbitals that cannot be used: an unknown basis, an element that it lacks, or coefficients of another shape."""


def radial_norm(l: int, exponents: Tensor) -> Tensor:
    """N_l(alpha) = sqrt(2 (2 alpha)^(l + 3/2) / Gamma(l + 3/2)), so that r^l exp(-alpha r^2) S_lm N_l has unit overlap with itself."""
    return torch.sqrt(2 * (2 * exponents) ** (l + 1.5) / math.gamma(l + 1.5))


@dataclass(frozen=True)
class Shells:
    """The contracted shells of one element.

    exponents    [primitives] float64, 1 / bohr^2
    contraction  [contractions, primitives] float64, norms of the primitives included
    angular      the l of each contraction, ascending
    """

    exponents: Tensor
    contraction: Tensor
    angular: tuple[int, ...]

    @property
    def width(self) -> int:
        """Number of AOs of an atom of this element."""
        return sum(2 * l + 1 for l in self.angular)

    def values(self, vectors: Tensor) -> Tensor:
        """AOs [atoms, AO, points] at ``vectors`` [atoms, points, 3] (bohr) from the nuclei; points last, which is what makes it fast."""
        square = vectors.square().sum(-1)[:, None]
        radial = self.contraction.to(vectors) @ torch.exp(-square * self.exponents.to(vectors)[:, None])
        harmonics = solid_harmonics(vectors, max(self.angular)).transpose(1, 2).contiguous()
        parts = []
        for l in sorted(set(self.angular)):
            start, count = self.angular.index(l), self.angular.count(l)
            order = [3, 1, 2] if l == 1 else list(range(l * l, (l + 1) ** 2))
            parts.append((radial[:, start : start + count, None] * harmonics[:, None, order]).flatten(1, 2))
        return torch.cat(parts, dim=1)


def shipped_orbital_bases() -> list[str]:
    """Names of the orbital bases that come with the package."""
    return sorted(path.name.removesuffix(".json") for path in _SHIPPED.iterdir() if path.name.endswith(".json"))


@lru_cache
def orbital_basis(name: str) -> dict[int, Shells]:
    """The shells by atomic number of a shipped basis, or of a JSON file (``name`` ends in .json), see `reference.orbital_bases`."""
    path = Path(name) if name.endswith(".json") else _SHIPPED / f"{name.lower()}.json"
    if not path.is_file():
        raise OrbitalError(
            f"orbital basis `{name}` is not known; densnet ships {', '.join(shipped_orbital_bases())}. "
            "Export another one with densnet.reference.orbital_bases.export and name its file."
        )
    elements = json.loads(path.read_text(encoding="utf-8"))["elements"]
    return {SYMBOLS.index(symbol): _shells(shells) for symbol, shells in elements.items()}


def _shells(shells: list[dict]) -> Shells:
    exponents, blocks, angular = [], [], []
    for shell in shells:
        alpha = torch.tensor(shell["exponents"], dtype=torch.float64)
        contractions = torch.tensor(shell["coefficients"], dtype=torch.float64)
        exponents.append(alpha)
        blocks.append(contractions * radial_norm(shell["l"], alpha))
        angular += [shell["l"]] * len(contractions)
    return Shells(torch.cat(exponents), torch.block_diag(*blocks), tuple(angular))


@dataclass(frozen=True)
class Orbitals:
    """Doubly occupied orbitals of one molecule: psi_i = sum_mu coefficients[mu, i] chi_mu, rho = 2 sum_i |psi_i|^2.

    molecule      a batch of one geometry
    coefficients  [AO, occupied]
    basis         name of the orbital basis
    first_order   [3, AO, occupied] d psi_i / d E along x, y, z, orthogonal to all occupied ones, per atomic unit of field; None: unknown
    """

    molecule: Molecules
    coefficients: Tensor
    basis: str = "aug-cc-pvdz"
    first_order: Tensor | None = None

    def __post_init__(self) -> None:
        check_shape(self.molecule, self.basis, tuple(self.coefficients.shape))
        if self.first_order is not None and self.first_order.shape != (3, *self.coefficients.shape):
            raise OrbitalError(
                f"`first_order` is of shape {tuple(self.first_order.shape)}, not three times {tuple(self.coefficients.shape)}; "
                "it belongs to other orbitals."
            )

    def __reduce__(self) -> tuple:
        """To another process as numpy arrays: a tensor would go as a file that both hold open."""
        tensors = self.molecule.numbers, self.molecule.positions, self.coefficients
        numbers, positions, coefficients = (tensor.detach().cpu().numpy() for tensor in tensors)
        whose = numbers, positions, int(self.molecule.net_charge)
        changes = None if self.first_order is None else partial(np.asarray, self.first_order.detach().cpu().numpy())
        return getitem, (StoredOrbitals(*whose, partial(np.asarray, coefficients), self.basis, changes), 0)

    @property
    def electrons(self) -> int:
        """Two for each orbital."""
        return 2 * self.coefficients.shape[1]

    def amplitudes(self, points: Tensor) -> Tensor:
        """psi_i [points, occupied] at ``points`` [points, 3], bohr; differentiable in the points."""
        parts = [self._amplitudes(chunk) for chunk in points.split(_CHUNK)]
        return torch.cat(parts) if parts else points.new_zeros(0, self.coefficients.shape[1])

    def values(self, points: Tensor) -> Tensor:
        """rho = 2 sum_i |psi_i|^2 [points], electrons / bohr^3, at ``points`` [points, 3], bohr."""
        parts = [2 * self._amplitudes(chunk).square().sum(-1) for chunk in points.split(_CHUNK)]
        return torch.cat(parts) if parts else points.new_zeros(0)

    def response(self, points: Tensor) -> Tensor:
        """d rho / d E = 4 sum_i psi_i psi1_i [points, 3] at ``points`` [points, 3], bohr. Raises `OrbitalError` if it is unknown."""
        if self.first_order is None:
            raise OrbitalError("these orbitals come without their response to a field; add it by `densnet label --add-response`.")
        columns = torch.cat([self.coefficients, *self.first_order.to(self.coefficients)], dim=1)
        everything = Orbitals(self.molecule, columns, self.basis)
        parts = [everything._amplitudes(chunk).unflatten(1, (4, -1)) for chunk in points.split(_CHUNK)]
        parts = [4 * (psi[:, 1:] * psi[:, :1]).sum(-1) for psi in parts]
        return torch.cat(parts) if parts else points.new_zeros(0, 3)

    @cached_property
    def _groups(self) -> list[tuple[Shells, Tensor, Tensor]]:
        """Per element: its shells, its atoms, and the coefficient rows [atoms * AO, occupied] of these atoms."""
        numbers = self.molecule.numbers
        rows = self.coefficients.split([_shells_of(self.basis, number).width for number in numbers.tolist()])
        groups = []
        for number in numbers.unique().tolist():
            atoms = (numbers == number).nonzero()[:, 0]
            groups.append((_shells_of(self.basis, number), atoms, torch.cat([rows[a] for a in atoms.tolist()])))
        return groups

    def _amplitudes(self, points: Tensor) -> Tensor:
        positions = self.molecule.positions.to(points)
        total = points.new_zeros(len(points), self.coefficients.shape[1])
        for shells, atoms, coefficients in self._groups:
            functions = shells.values(points - positions[atoms][:, None]).flatten(0, 1)
            total = total + functions.T @ coefficients.to(points)
        return total


@dataclass(frozen=True, eq=False)
class StoredOrbitals(Sequence[Orbitals]):
    """The `Orbitals` of one label, read anew at every use: most of what a label weighs, and needed once. Travels to other processes.

    numbers, positions, charge   the molecule, as `Molecules.single` takes them, numpy
    coefficients                 () -> [AO, occupied], importable, or a partial of such
    first_order                  the same of [3, AO, occupied]; None: unknown
    """

    numbers: NDArray
    positions: NDArray
    charge: int
    coefficients: Callable[[], NDArray]
    basis: str
    first_order: Callable[[], NDArray] | None = None

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Orbitals:  # type: ignore[override]  # there is but one
        if index not in (0, -1):
            raise IndexError(index)
        molecule = Molecules.single(self.numbers, torch.from_numpy(self.positions), charge=self.charge)
        changes = None if self.first_order is None else torch.from_numpy(self.first_order())
        return Orbitals(molecule, torch.from_numpy(self.coefficients()), self.basis, changes)


def check_shape(molecule: Molecules, basis: str, shape: tuple[int, ...]) -> None:
    """`OrbitalError` unless coefficients of this ``shape`` can be orbitals of ``molecule`` in this ``basis``."""
    if molecule.count != 1:
        raise OrbitalError(f"orbitals belong to one molecule, not to a batch of {molecule.count}; split the batch first.")
    width = sum(_shells_of(basis, number).width for number in molecule.numbers.tolist())
    if len(shape) != 2 or shape[0] != width:
        raise OrbitalError(
            f"`coefficients` is of shape {shape}, but {basis} has {width} functions on this molecule; "
            "check the basis and the order of the atoms."
        )


def _shells_of(basis: str, number: int) -> Shells:
    shells = orbital_basis(basis)
    if number not in shells:
        known = ", ".join(SYMBOLS[n] for n in shells)
        raise OrbitalError(f"orbital basis {basis} has no functions for {SYMBOLS[number]}; its file contains {known}.")
    return shells[number]
