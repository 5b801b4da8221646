"""Point group of a molecule (Schoenflies) and the symmetry species of its normal modes (Mulliken), numbered as Herzberg does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from densnet.molecules import Molecules, neighbours
from densnet.observables.conformers import SAME, symmetry_operations
from densnet.observables.vibrations import Modes
from densnet.properties import Properties

_ALONG = 0.05
"""Directions whose cosine is nearer to 1 (or to 0) than this are parallel (or at right angles)."""

_MONOMIALS = {
    "C1": {"A": ""},
    "Cs": {"A'": "", "A''": "z"},
    "Ci": {"Ag": "", "Au": "z"},
    "C2": {"A": "", "B": "x"},
    "C2v": {"A1": "", "A2": "xy", "B1": "x", "B2": "y"},
    "C2h": {"Ag": "", "Bg": "xz", "Au": "z", "Bu": "x"},
    "D2": {"A": "", "B1": "z", "B2": "y", "B3": "x"},
    "D2h": {"Ag": "", "B1g": "xy", "B2g": "xz", "B3g": "yz", "Au": "xyz", "B1u": "z", "B2u": "y", "B3u": "x"},
}
"""Groups of turns by half and reflections: each species changes its sign as this product of coordinates does."""

_D3: dict[str, tuple[int, ...]] = {"A1": (1, 1, 1), "A2": (1, 1, -1), "E": (2, -1, 0)}
_CHARACTERS: dict[str, tuple[tuple[str, ...], dict[str, tuple[int, ...]]]] = {
    "C3": (("E", "C3"), {"A": (1, 1), "E": (2, -1)}),
    "C3v": (("E", "C3", "sv"), _D3),
    "D3": (("E", "C3", "C2'"), _D3),
    "D3h": (("E", "C3", "C2'", "sh", "S3", "sv"), {
        **{f"{name}'": (*x, *x) for name, x in _D3.items()}, **{f"{name}''": (*x, *(-y for y in x)) for name, x in _D3.items()}}),
    "D3d": (("E", "C3", "C2'", "i", "S6", "sv"), {
        **{f"{name}g": (*x, *x) for name, x in _D3.items()}, **{f"{name}u": (*x, *(-y for y in x)) for name, x in _D3.items()}}),
    "D2d": (("E", "S4", "C2", "C2'", "sv"), {
        "A1": (1, 1, 1, 1, 1), "A2": (1, 1, 1, -1, -1), "B1": (1, -1, 1, 1, -1), "B2": (1, -1, 1, -1, 1), "E": (2, 0, -2, 0, 0)}),
    "Td": (("E", "C3", "C2", "S4", "sv"), {
        "A1": (1, 1, 1, 1, 1), "A2": (1, 1, 1, -1, -1), "E": (2, -1, 2, 0, 0), "T1": (3, 0, -1, 1, -1), "T2": (3, 0, -1, -1, 1)}),
    "D6h": (("E", "C6", "C3", "C2", "C2'", "C2''", "i", "S3", "S6", "sh", "sd", "sv"), {
        f"{name}{side}": (*x, *(sign * y for y in x)) for side, sign in (("g", 1), ("u", -1)) for name, x in {
            "A1": (1, 1, 1, 1, 1, 1), "A2": (1, 1, 1, 1, -1, -1), "B1": (1, -1, 1, -1, 1, -1), "B2": (1, -1, 1, -1, -1, 1),
            "E1": (2, 1, -1, -2, 0, 0), "E2": (2, -1, -1, 2, 0, 0)}.items()}),
}  # fmt: skip
"""Other groups: classes as `_kind` names them, and the characters of each species in their order."""


@dataclass(frozen=True)
class PointGroup:
    """Of a single molecule.

    name        Schoenflies symbol
    turns       [operations, 3, 3] ``R``: positions from the centroid, as columns, become ``R x``
    exchanges   [operations, atoms] the atom that each is carried to
    axes        [3, 3] x, y, z in columns, after Mulliken: z is the main axis, x is normal to the plane of a planar molecule
    """

    name: str
    turns: Tensor
    exchanges: Tensor
    axes: Tensor


def point_group(molecule: Molecules, tolerance: float = SAME) -> PointGroup:
    """The group of the operations that move no atom further than ``tolerance`` (bohr) off a like one, isotopes told apart."""
    found = symmetry_operations(molecule, tolerance)
    points = molecule.positions.detach().double()
    points = points - points.mean(0)
    if not found:  # along a line
        straight = torch.linalg.svd(points).Vh.T if len(points) > 1 else torch.eye(3, dtype=torch.float64)
        flipped = torch.cdist(-points, points).argmin(1)
        even = torch.equal(molecule.masses[flipped], molecule.masses) and (points[flipped] + points).abs().max() < tolerance
        turns, moves = torch.stack([torch.eye(3).double(), -torch.eye(3).double()]), torch.stack([torch.arange(len(points)), flipped])
        return PointGroup("D∞h" if even else "C∞v", turns[: 1 + even], moves[: 1 + even], straight.flip(1))
    turns, exchanges = (torch.stack(x) for x in zip(*found))
    name, main = _name(turns)
    return PointGroup(name, turns, exchanges, _axes(name, main, turns, molecule, points))


def _axis(turn: Tensor) -> Tensor:
    """Of a turn, or the normal of a reflection: the vector that ``det(R) R`` keeps."""
    proper = turn * torch.linalg.det(turn).sign()
    values, vectors = torch.linalg.eig(proper)
    axis = vectors[:, (values - 1).abs().argmin()].real
    return axis / axis.norm()


def _order(turn: Tensor) -> int:
    """n of the rotation by 360 / n degrees (or a multiple prime to n) that is a part of ``turn``: 1 for E and reflections, 2 for i."""
    sign = torch.linalg.det(turn).sign()
    angle = math.acos(max(-1.0, min(1.0, float((turn.trace() - sign) / 2))))
    return next((n for n in range(1, 9) for k in range(n) if math.gcd(k, n) == 1 and abs(angle - 2 * math.pi * k / n) < 0.12), 0)


def _name(turns: Tensor) -> tuple[str, Tensor]:
    """Schoenflies symbol and main axis."""
    kinds = [(float(torch.linalg.det(t)) > 0, _order(t), _axis(t)) for t in turns]
    proper = [(n, axis) for right, n, axis in kinds if right]
    best = max(n for n, _ in proper)
    mirrors = [axis for right, n, axis in kinds if not right and n == 1]
    inverted = any(not right and n == 2 for right, n, _ in kinds)
    if best == 1:
        name = "Cs" if mirrors else "Ci" if inverted else "C1"
        return name, mirrors[0] if mirrors else torch.eye(3, dtype=torch.float64)[2]
    highest = [axis for n, axis in proper if n == best]
    main = next((axis for right, n, axis in kinds if not right and n == 2 * best), highest[0])
    if best > 2 and any(abs(float(axis @ main)) < 1 - _ALONG for axis in highest):
        return {24: "Td" if mirrors else "O", 48: "Oh", 12: "T", 60: "I", 120: "Ih"}.get(len(turns), f"cubic, order {len(turns)}"), main
    across = any(n == 2 and abs(float(axis @ main)) < _ALONG for n, axis in proper)
    level = any(abs(float(axis @ main)) > 1 - _ALONG for axis in mirrors)
    family = "D" if across else "C"
    if not across and not mirrors and any(not right and n == 2 * best for right, n, _ in kinds):
        return f"S{2 * best}", main
    return f"{family}{best}" + ("h" if level else "" if not mirrors else "d" if across else "v"), main


def _axes(name: str, main: Tensor, turns: Tensor, molecule: Molecules, points: Tensor) -> Tensor:
    """x, y, z in columns; see `PointGroup`. Among like axes z passes through the most atoms, then along the most bonds."""
    normal = torch.linalg.svd(points).Vh[2]
    planar = bool((points @ normal).abs().max() < SAME)
    halves = [_axis(t) for t in turns if torch.linalg.det(t) > 0 and _order(t) == 2]
    z = main
    if name in ("D2", "D2h"):
        inside = [axis for axis in halves if not planar or abs(float(axis @ normal)) < _ALONG]
        z = max(inside, key=lambda axis: (_on_axis(points, axis), -_cut(molecule, points, axis)))
    if planar and abs(float(normal @ z)) < _ALONG:
        x = normal
    elif name == "C2v":
        mirrors = [_axis(t) for t in turns if torch.linalg.det(t) < 0 and _order(t) == 1]
        x = max(mirrors, key=lambda axis: float(molecule.masses[(points @ axis).abs() < SAME].sum()))
    else:
        others = [axis for axis in halves if abs(float(axis @ z)) < _ALONG]
        x = others[0] if others else torch.eye(3, dtype=torch.float64)[int(z.abs().argmin())]
    x = x - (x @ z) * z
    x = x / x.norm()
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=1)


def _on_axis(points: Tensor, axis: Tensor) -> int:
    """How many atoms lie on an axis through the centroid."""
    return int((torch.linalg.cross(points, axis.expand_as(points)).norm(dim=1) < SAME).sum())


def _cut(molecule: Molecules, points: Tensor, axis: Tensor) -> int:
    """How many bonds an axis through the centroid does *not* cut in their middle, with the sign turned: fewer is better."""
    middles = [0.5 * (points[a] + points[b]) for a, around in enumerate(neighbours(molecule)) for b in around if a < b]
    return len(middles) - _on_axis(torch.stack(middles), axis) if middles else 0


def _kind(turn: Tensor, group: PointGroup, points: Tensor) -> str:
    """Class of an operation: E, i, C3, C2' (across z; C2'' if it meets no atom), sh (across z), sv (along it; sd normal to a C2'), S6."""
    right, n, axis = float(torch.linalg.det(turn)) > 0, _order(turn), _axis(turn)
    if group.name == "Td":
        return ("E" if n == 1 else f"C{n}") if right else "sv" if n == 1 else f"S{n}"
    along = abs(float(axis @ group.axes[:, 2])) > 1 - _ALONG
    six = group.name == "D6h"
    if right:
        return "E" if n == 1 else f"C{n}" if along else "C2''" if six and not _on_axis(points, axis) else "C2'"
    if n == 2:
        return "i"
    if n > 2:
        return f"S{n}"
    return "sh" if along else "sd" if six and _on_axis(points, axis) else "sv"


def characters(group: PointGroup, molecule: Molecules) -> dict[str, Tensor]:
    """Species -> its character for every operation; empty for a group that is not tabulated here."""
    if group.name in _MONOMIALS:
        signs = torch.einsum("ia,oij,ja->oa", group.axes, group.turns, group.axes).sign()
        return {name: signs[:, ["xyz".index(c) for c in product]].prod(1) for name, product in _MONOMIALS[group.name].items()}
    if group.name not in _CHARACTERS:
        return {}
    points = molecule.positions.detach().double()
    classes, table = _CHARACTERS[group.name]
    columns = [classes.index(_kind(turn, group, points - points.mean(0))) for turn in group.turns]
    return {name: torch.tensor([float(row[k]) for k in columns], dtype=torch.float64) for name, row in table.items()}


@dataclass(frozen=True)
class Species:
    """Symmetry of one mode: ``number`` by species and falling wavenumber, degenerate ones alike; ``name`` is empty where unknown."""

    number: int
    name: str


def species(modes: Modes) -> list[Species]:
    """Of each mode that species which holds the largest part of its motion, by projection ``d / |G| sum_R chi(R) R``."""
    molecule = modes.molecule
    group = point_group(molecule)
    if "∞" in group.name:
        return _numbered(modes, [_linear(v, group) for v in modes.vectors], {})
    table = characters(group, molecule)
    if not table:
        return _numbered(modes, [""] * len(modes.eigenvalues), {})
    vectors = modes.vectors.double()
    overlaps = []
    for turn, move in zip(group.turns, group.exchanges):
        carried = torch.empty_like(vectors)
        carried[:, move] = torch.einsum("ij,kaj->kai", turn, vectors)
        overlaps.append((carried * vectors).sum((1, 2)))
    overlap = torch.stack(overlaps, dim=1)
    sizes = {name: float(chi.max() / chi.square().mean()) for name, chi in table.items()}
    weights = torch.stack([sizes[name] * (overlap * chi).mean(1) for name, chi in table.items()], dim=1)
    names = list(table)
    return _numbered(modes, [names[k] for k in weights.argmax(1).tolist()], {name: round(float(chi.max())) for name, chi in table.items()})


def _linear(vector: Tensor, group: PointGroup) -> str:
    """Of a linear molecule: along or across the axis, even or odd."""
    along = float((vector.double() @ group.axes[:, 2]).square().sum()) > 0.5
    side = ""
    if group.name == "D∞h":
        flipped = -vector[group.exchanges[1]]
        side = "g" if float((flipped * vector).sum()) > 0 else "u"
    return f"Σ{side}+" if along else f"Π{side}"


def _numbered(modes: Modes, names: list[str], sizes: dict[str, int]) -> list[Species]:
    """Numbers by species, in the order of ``sizes`` (name -> degeneracy), else of the names, then by falling wavenumber."""
    rank = {name: k for k, name in enumerate(sizes or dict.fromkeys(sorted(names, key=lambda n: (n[:1] != "Σ", "u" in n))))}
    order = sorted(range(len(names)), key=lambda k: (rank[names[k]], -float(modes.frequencies[k])))
    found, number, left = [Species(0, "")] * len(names), 0, 0
    for position, k in enumerate(order):
        if left == 0 or names[k] != names[order[position - 1]]:
            number, left = number + 1, sizes.get(names[k], 2 if names[k].startswith("Π") else 1)
        left -= 1
        found[k] = Species(number, names[k])
    return found


def up_to_symmetry(
    polarizability: Callable[[Molecules], Tensor], molecule: Molecules, tolerance: float = 1e-3
) -> Callable[[Molecules], Properties]:
    """alpha [3, 3] of geometries displaced from ``molecule``: one that an operation of it carries into one seen before is not calculated.

    Saves most where the molecule stands along its axes and is displaced along them; of one along a line all are calculated.
    ``tolerance`` in bohr, well below the displacements.
    """
    operations, centre = symmetry_operations(molecule), molecule.positions.mean(0)
    seen: list[tuple[Tensor, Tensor]] = []

    def known(positions: Tensor) -> Tensor:
        for turn, places in operations:
            image = torch.empty_like(positions)
            image[places] = (positions - centre) @ turn.T + centre
            for other, alpha in seen:
                if (image - other).abs().max() < tolerance:
                    return turn.T @ alpha @ turn
        seen.append((positions, polarizability(molecule.at(positions))))
        return seen[-1][1]

    return lambda batch: Properties(batch, polarizability=torch.stack([known(one.positions) for one in batch.split()]))
