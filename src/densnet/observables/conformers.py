"""Conformers: minima of one molecule, each with its harmonic analysis; which are the same, and how often each one counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from densnet import units
from densnet.molecules import LINEAR, SYMBOLS, Molecules
from densnet.observables.response import ForceFunction, slopes
from densnet.observables.vibrations import Modes, VibrationError, free_energy, modes, populations, principal_axes, relax

SAME = 0.05 * units.ANGSTROM
"""Two geometries that can be laid on each other so that no atom is further off than this are one conformer."""

POLARIZABILITY_SLOPES = "polarizability_slopes_bohr2"
"""Of a conformer as plain data, where they are known."""

DESCENTS = 3
"""How often a relaxation may end at a stationary point that is no minimum."""


@dataclass(frozen=True)
class Conformer:
    """A minimum of one molecule.

    name           what it is called
    molecule       its geometry
    energy         hartree
    dipole         [3] e bohr
    hessian        [3 atoms, 3 atoms] hartree / bohr^2
    dipole_slopes  [atoms, 3, 3] e: d mu_b / d R_Aa
    polarizability_slopes  [atoms, 3, 3, 3] bohr^2: d alpha_ij / d R_Aa; None where unknown
    """

    name: str
    molecule: Molecules
    energy: float
    dipole: Tensor
    hessian: Tensor
    dipole_slopes: Tensor
    polarizability_slopes: Tensor | None = None

    @cached_property
    def modes(self) -> Modes:
        """Normal modes with infrared intensities."""
        return modes(self.molecule, self.hessian, self.dipole_slopes)

    @cached_property
    def symmetry(self) -> int:
        """Order of the point group (of a linear molecule, without turns about its axis)."""
        return len(superpositions(self.molecule, self.molecule))

    @cached_property
    def chiral(self) -> bool:
        """Whether its mirror image is another geometry."""
        return -1 not in superpositions(self.molecule, self.molecule)

    def to_dict(self) -> dict:
        """Plain data: wavenumbers and intensities to read, the lower triangle of the Hessian to compute with."""
        size = len(self.hessian)
        lower = (0.5 * (self.hessian + self.hessian.T))[tuple(torch.tril_indices(size, size))]
        isotopes, alpha = self.molecule.isotopes, self.polarizability_slopes
        return {
            "name": self.name,
            "energy_hartree": self.energy,
            "dipole_e_bohr": [round(x, 8) for x in self.dipole.tolist()],
            "frequencies_per_cm": [round(x, 3) for x in self.modes.frequencies.tolist()],
            "intensities_km_per_mol": [round(x, 4) for x in self.modes.intensities.tolist()],
            "symbols": [SYMBOLS[n] for n in self.molecule.numbers.tolist()],
            **({} if isotopes is None else {"masses_u": (isotopes / units.AMU).tolist()}),
            "positions_Angstrom": [[round(x, 8) for x in row] for row in (self.molecule.positions / units.ANGSTROM).tolist()],
            "hessian_hartree_per_bohr2": [round(x, 8) for x in lower.tolist()],
            "dipole_slopes_e": [round(x, 7) for x in self.dipole_slopes.flatten().tolist()],
            **({} if alpha is None else {POLARIZABILITY_SLOPES: [round(x, 5) for x in alpha.flatten().tolist()]}),
        }

    @classmethod
    def from_dict(cls, content: dict) -> Conformer:
        """What `to_dict` gave."""
        numbers = [SYMBOLS.index(s) for s in content["symbols"]]
        isotopes = torch.tensor(content["masses_u"], dtype=torch.float64) * units.AMU if "masses_u" in content else None
        molecule = Molecules.single(numbers, torch.tensor(content["positions_Angstrom"], dtype=torch.float64) * units.ANGSTROM, isotopes)
        size = 3 * len(numbers)
        hessian = torch.zeros(size, size, dtype=torch.float64)
        rows, columns = torch.tril_indices(size, size)
        hessian[rows, columns] = hessian[columns, rows] = torch.tensor(content["hessian_hartree_per_bohr2"], dtype=torch.float64)
        slopes_r = torch.tensor(content["dipole_slopes_e"], dtype=torch.float64).reshape(-1, 3, 3)
        dipole = torch.tensor(content["dipole_e_bohr"], dtype=torch.float64)
        alpha = torch.tensor(content[POLARIZABILITY_SLOPES], dtype=torch.float64) if POLARIZABILITY_SLOPES in content else None
        slopes_a = None if alpha is None else alpha.reshape(-1, 3, 3, 3)
        return cls(content["name"], molecule, content["energy_hartree"], dipole, hessian, slopes_r, slopes_a)


def characterise(force_function: ForceFunction, start: Molecules, name: str, *, tolerance: float = 1e-5, step: float = 0.01) -> Conformer:
    """The conformer that a single molecule relaxes to: forces below ``tolerance`` (hartree/bohr), slopes with ``step`` (bohr).

    A stationary point that is no minimum, such as a symmetric start relaxes to, is left along its softest mode. Raises `VibrationError`
    where that leads to none either.
    """
    for _ in range(DESCENTS):
        relaxed = relax(force_function, start, tolerance)
        rest = force_function(relaxed)
        if rest.dipole is None:
            raise VibrationError("this force function gives no dipole, so there are no infrared intensities; use one that does.")
        found = slopes(force_function, relaxed, step)
        conformer = Conformer(name, relaxed, float(rest.energy[0]), rest.dipole[0].detach().double(), found.hessian, found.dipole)
        if (conformer.modes.eigenvalues > 0).all():
            return conformer
        way = conformer.modes.vectors[0].double() / relaxed.masses.sqrt()[:, None]
        start = relaxed.at(relaxed.positions + 0.2 * way / way.norm(dim=1).max())
    raise VibrationError(
        f"{name} relaxes to a stationary point with a frequency of {float(conformer.modes.frequencies.min()):.1f} cm^-1, no minimum, also "
        "when pushed off it; start from another geometry, or train on more of what lies around it."
    )


def superpositions(first: Molecules, second: Molecules, tolerance: float = SAME) -> list[int]:
    """The rotations that lay ``first`` on ``second`` atom on like atom, none further off than ``tolerance`` (bohr), by their determinants.

    1 for a proper one, -1 for one with a reflection. Like atoms, of the same isotope, may change places. None: another conformer; only -1:
    mirror images. Those of a molecule with itself are its point group (a linear molecule: turns about its axis not counted).
    """
    return [determinant for determinant, _ in _laid(first, second, tolerance)]


def correspondence(first: Molecules, second: Molecules, tolerance: float = SAME) -> Tensor | None:
    """[atoms] for each atom of ``first`` the one of ``second`` that lies on it in one of the `superpositions`; None if there is none."""
    return next((places for _, places in _laid(first, second, tolerance)), None)


def _laid(first: Molecules, second: Molecules, tolerance: float) -> list[tuple[int, Tensor]]:
    """Each superposition: its determinant, and for each atom of ``first`` the one of ``second`` below it."""
    if len(first.numbers) != len(second.numbers) or not _alike(first.masses.sort()[0], second.masses.sort()[0]).all():
        return []
    a, b = (m.positions.double() - m.positions.double().mean(0) for m in (first, second))
    if _on_a_line(first):
        return _reversals(first, second, a, b, tolerance)
    return [(determinant, places) for determinant, _, places in _turns(first, second, tolerance)]


def symmetry_operations(molecule: Molecules, tolerance: float = SAME) -> list[tuple[Tensor, Tensor]]:
    """Of a molecule with itself, as in `superpositions`: each ``R`` [3, 3], ``R x`` of positions from the centroid, and to which atom it
    carries each [atoms]. None of a molecule along a line."""
    return [] if _on_a_line(molecule) else [(turn.T, places) for _, turn, places in _turns(molecule, molecule, tolerance)]


def _on_a_line(molecule: Molecules) -> bool:
    moments, _ = principal_axes(molecule)
    return bool(moments.min() <= LINEAR * moments.max())


def _turns(first: Molecules, second: Molecules, tolerance: float) -> list[tuple[int, Tensor, Tensor]]:
    """Not of atoms along a line: determinant, rotation ``a @ turn = b``, and for each atom of ``first`` the one of ``second`` below it."""
    a, b = (m.positions.detach().double() - m.positions.detach().double().mean(0) for m in (first, second))
    far = int(a.norm(dim=1).argmax())
    areas = torch.linalg.cross(a[far].expand_as(a), a).norm(dim=1)
    side = int(areas.argmax())
    frame = _frame(a[far], a[side])
    like = _alike(first.masses[:, None], second.masses)
    near = (a.norm(dim=1)[:, None] - b.norm(dim=1)).abs() < tolerance
    found: list[tuple[int, Tensor, Tensor]] = []
    for i in torch.nonzero(like[far] & near[far])[:, 0].tolist():
        for j in torch.nonzero(like[side] & near[side])[:, 0].tolist():
            if i == j or abs(float((b[i] - b[j]).norm() - (a[far] - a[side]).norm())) > 2 * tolerance:
                continue
            target = _frame(b[i], b[j])
            for mirrored in (1, -1):
                turn = frame @ torch.diag(torch.tensor([1, 1, mirrored], dtype=torch.float64)) @ target.T
                off = torch.cdist(a @ turn, b).masked_fill(~like, torch.inf)
                nearest = off.argmin(1)
                if (off.amin(1) < tolerance).all() and len(nearest.unique()) == len(a):
                    found.append((mirrored, turn, nearest))
    return found


def _alike(a: Tensor, b: Tensor) -> Tensor:
    """Whether masses (m_e) are of the same isotope, and so of the same element."""
    return (a - b).abs() < 0.1


def _frame(first: Tensor, second: Tensor) -> Tensor:
    """[3, 3] right-handed axes in columns: along ``first``, in the plane of both, normal to it."""
    x = first / first.norm()
    y = second - (second @ x) * x
    y = y / y.norm()
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=1)


def _reversals(first: Molecules, second: Molecules, a: Tensor, b: Tensor, tolerance: float) -> list[tuple[int, Tensor]]:
    """As `_laid`, for positions ``a`` and ``b`` along a line or at one point."""
    if float(torch.linalg.cross(b[b.norm(dim=1).argmax()].expand_as(b), b).norm(dim=1).max()) > tolerance * b.norm():
        return []
    below, found = _places(b), []
    order = below.argsort()
    for sign in (1, -1) if len(a) > 1 else (1,):
        above = sign * _places(a)
        own = above.argsort()
        if _alike(first.masses[own], second.masses[order]).all() and (above[own] - below[order]).abs().max() < tolerance:
            places = order[own.argsort()]
            found += [(1, places), (-1, places)]
    return found


def _places(points: Tensor) -> Tensor:
    """Coordinates along the line that the points are on."""
    end = points[points.norm(dim=1).argmax()]
    return points @ end / end.norm().clamp(min=1e-12)


@dataclass(frozen=True)
class Ensemble:
    """The conformers that a set of start geometries relaxes to.

    conformers  different ones, in the order of their first appearance
    members     [geometries] the index of the conformer that each start geometry relaxes to, itself or its mirror image
    """

    conformers: tuple[Conformer, ...]
    members: tuple[int, ...]

    def weights(self, temperature: float) -> Tensor:
        """[conformers] share of each at ``temperature`` (K): ``exp(-F_c / kT) / |G_c|``, normalised.

        F: `free_energy`, rigid rotor and harmonic oscillators with zero-point energy. A conformer with a point group of order ``|G|``
        has ``1 / |G|`` as many versions (turned, mirrored, like atoms exchanged) as one without symmetry: this is rotational symmetry
        number and mirror images in one (gauche ethanol, C1, counts twice trans, Cs).
        """
        if len(self.conformers) == 1:
            return torch.ones(1, dtype=torch.float64)
        energies = [free_energy(c.modes, c.energy, temperature) for c in self.conformers]
        order = max(c.symmetry for c in self.conformers)
        return populations(energies, temperature, [order / c.symmetry for c in self.conformers])

    def to_dict(self) -> dict:
        """Plain data, see `Conformer.to_dict`."""
        return {"members": list(self.members), "conformers": [c.to_dict() for c in self.conformers]}

    @classmethod
    def from_dict(cls, content: dict) -> Ensemble:
        """What `to_dict` gave."""
        return cls(tuple(map(Conformer.from_dict, content["conformers"])), tuple(content["members"]))


def gather(starts: Sequence[tuple[str, Molecules]], describe: Callable[[str, Molecules], Conformer]) -> Ensemble:
    """The different conformers among named ``starts``; ``describe`` (such as `characterise`) is asked once for each geometry."""
    conformers: list[Conformer] = []
    members: list[int] = []
    originals: list[tuple[Molecules, int]] = []
    for name, start in starts:
        known = next((index for other, index in originals if superpositions(start, other, 0.01 * SAME)), None)
        if known is None:
            new = describe(name, start)
            known = next((k for k, c in enumerate(conformers) if superpositions(new.molecule, c.molecule)), None)
            if known is None:
                known = len(conformers)
                conformers.append(new)
            originals.append((start, known))
        members.append(known)
    return Ensemble(tuple(conformers), tuple(members))


def counterpart(conformer: Conformer, among: Sequence[Conformer], tolerance: float = 4 * SAME) -> Conformer | None:
    """The one ``among`` the conformers of another level of theory that has the same geometry, or nearly (``tolerance``, bohr)."""
    return next((c for c in among if superpositions(conformer.molecule, c.molecule, tolerance)), None)


def substituted(molecule: Molecules, among: Sequence[Conformer], tolerance: float = 4 * SAME) -> Conformer | None:
    """The one ``among`` conformers that has the geometry of ``molecule``, or nearly, with the isotopes of that.

    Energy, dipole, Hessian and slopes do not change (Born and Oppenheimer); modes, and all that follows from them, do.
    """
    for conformer in among:
        plain = replace(conformer.molecule, isotopes=None)
        places = correspondence(plain, replace(molecule, isotopes=None), tolerance)
        if places is not None:
            return replace(conformer, molecule=replace(plain, isotopes=molecule.masses[places]))
    return None


def matched(first: Modes, second: Modes) -> Tensor:
    """[modes] for each mode of ``first`` the one of ``second`` that is the same motion: overlaps of the vectors, best sum of squares.

    In the order of wavenumbers where atoms come in another order or no rotation lays one geometry on the other.
    """
    same = torch.arange(len(second.eigenvalues))
    if not torch.equal(first.molecule.numbers, second.molecule.numbers):
        return same
    a, b = (m.molecule.positions.double() - m.molecule.positions.double().mean(0) for m in (first, second))
    left, _, right = torch.linalg.svd(a.T @ b)
    turn = left @ right
    if (a @ turn - b).norm(dim=1).max() > 4 * SAME:
        return same
    overlap = torch.einsum("iax,xy,jay->ij", first.vectors.double(), turn, second.vectors.double()).square()
    return torch.as_tensor(linear_sum_assignment(-overlap.numpy())[1])
