"""Internal coordinates that chemists name (after Pulay's natural ones), and normal modes described in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from densnet import isotopes, units
from densnet.molecules import SYMBOLS, Molecules, neighbours
from densnet.observables.vibrations import Modes

STRAIGHT = 2.97
"""rad, 170 degrees: three atoms with a larger angle are on a line."""

Primitive = Callable[[Tensor], Tensor]
"""Positions [atoms, 3] -> a length (bohr), an angle or a torsion (rad)."""


@dataclass(frozen=True)
class Coordinate:
    """A combination of bond lengths, angles and torsions with a name; ``slopes`` [atoms, 3]: how it changes with the positions."""

    name: str
    slopes: Tensor


def coordinates(molecule: Molecules) -> list[Coordinate]:
    """Stretches, bends, torsions and out-of-plane bends of a single molecule, from its bonds.

    CH2, CH3 and the like (also NH2) are taken together: symmetric and antisymmetric stretch, scissor, rock, wag, twist, deformations.
    """
    bonded = neighbours(molecule)
    found = []
    for name, terms in _terms(molecule, bonded):
        positions = molecule.positions.detach().double().clone().requires_grad_()
        norm = sum(factor**2 for factor, _ in terms) ** 0.5
        value = sum(factor * primitive(positions) for factor, primitive in terms) / norm
        found.append(Coordinate(name, torch.autograd.grad(value, positions)[0]))
    return found


Terms = Iterator[tuple[str, list[tuple[float, Primitive]]]]


def _terms(molecule: Molecules, bonded: list[list[int]]) -> Terms:
    symbols = [SYMBOLS[n] for n in molecule.numbers.tolist()]
    letters = [_letter(molecule, [a, *around] if symbols[a] == "H" else around) for a, around in enumerate(bonded)]
    for centre, around in enumerate(bonded):
        hydrogens = [a for a in around if symbols[a] == "H"]
        others = [a for a in around if symbols[a] != "H"]
        letter = letters[centre]
        alike: dict[str, list[int]] = {}
        for hydrogen in hydrogens:
            alike.setdefault(_letter(molecule, [centre, hydrogen]), []).append(hydrogen)
        for k, (own, group) in enumerate(alike.items() or [(letter, [])]):
            yield from _written(own, _stretches(symbols, centre, group, [] if k else others))
        flat = len(around) == 3 and _planar(molecule.positions, centre, around)
        if len(around) == 2 and _straight(molecule.positions, around[0], centre, around[1]):
            yield from _written(letter, _straight_bends(symbols, molecule.positions, around[0], centre, around[1]))
            continue
        yield from _written(letter, _bends(symbols, centre, hydrogens, others, flat=flat))
        for other in others:
            if centre < other and len(around) > 1 and len(bonded[other]) > 1:
                yield from _turn(symbols, letters, bonded, molecule.positions, (centre, other))


def _letter(molecule: Molecules, atoms: list[int]) -> str:
    """D or T if all hydrogens among ``atoms`` are; else H."""
    masses = (molecule.masses[atoms] / units.AMU).tolist()
    found = {isotopes.name(1, "H", mass) for mass, z in zip(masses, molecule.numbers[atoms].tolist()) if z == 1}
    return found.pop() if found in ({"D"}, {"T"}) else "H"


def _written(letter: str, terms: Terms) -> Terms:
    """``terms`` with another letter for hydrogen in their names."""
    yield from ((name.replace("H", letter), parts) for name, parts in terms)


def _stretches(symbols: list[str], centre: int, hydrogens: list[int], others: list[int]) -> Terms:
    for other in others if symbols[centre] != "H" else ():
        if centre < other:
            yield f"{'-'.join(sorted((symbols[centre], symbols[other])))} stretch", [(1.0, length(centre, other))]
    name, count = symbols[centre], len(hydrogens)
    if name == "H" and hydrogens and centre < hydrogens[0]:
        yield "H-H stretch", [(1.0, length(centre, hydrogens[0]))]
    if name == "H" or not hydrogens:
        return
    if count == 1:
        yield f"{name}-H stretch", [(1.0, length(centre, hydrogens[0]))]
        return
    group = f"{name}H{count}" if others else f"{name}-H"
    for kind, factors in _split(count):
        yield f"{group} {kind} stretch", [(f, length(centre, h)) for f, h in zip(factors, hydrogens)]


def _split(count: int) -> list[tuple[str, list[float]]]:
    """Sums and differences of ``count`` like things: the symmetric one, then the antisymmetric ones (Helmert's)."""
    parts = [[1.0] * k + [-float(k)] + [0.0] * (count - k - 1) for k in range(1, count)]
    return [("symmetric", [1.0] * count), *(("antisymmetric", factors) for factors in parts)]


def _bends(symbols: list[str], centre: int, hydrogens: list[int], others: list[int], *, flat: bool) -> Terms:
    group = f"{symbols[centre]}H{len(hydrogens)}"
    if len(hydrogens) == 3 and len(others) == 1:
        h, (x,) = hydrogens, others
        inner = [angle(h[1], centre, h[2]), angle(h[0], centre, h[2]), angle(h[0], centre, h[1])]
        outer = [angle(a, centre, x) for a in h]
        yield f"{group} symmetric deformation", [*((1.0, p) for p in inner), *((-1.0, p) for p in outer)]
        for _, factors in _split(3)[1:]:
            yield f"{group} antisymmetric deformation", list(zip(factors, inner))
            yield f"{group} rock", list(zip(factors, outer))
    elif len(hydrogens) == 2 and len(others) == 2:
        corners = [angle(h, centre, x) for x in others for h in hydrogens]
        yield f"{group} scissor", [(1.0, angle(*_around(hydrogens, centre)))]
        yield _named_bend(symbols, others[0], centre, others[1])
        for kind, factors in (("rock", [1.0, -1, 1, -1]), ("wag", [1.0, 1, -1, -1]), ("twist", [1.0, -1, -1, 1])):
            yield f"{group} {kind}", list(zip(factors, corners))
    elif flat:
        yield from _flat_bends(symbols, centre, hydrogens, others)
    else:
        around = hydrogens + others
        for k, first in enumerate(around):
            for second in around[k + 1 :]:
                yield _named_bend(symbols, first, centre, second)


def _flat_bends(symbols: list[str], centre: int, hydrogens: list[int], others: list[int]) -> Terms:
    """Of a planar atom with three neighbours, the odd one out (a hydrogen, or the others' only one) bends against the other two."""
    lone = hydrogens if len(hydrogens) == 1 else [a for a in others if [symbols[b] for b in others].count(symbols[a]) == 1][:1]
    if len(hydrogens) == 2:
        lone = others
    single = (lone or others or hydrogens)[0]
    pair = [a for a in hydrogens + others if a != single]
    name = "-".join((symbols[centre], symbols[single])) if len(hydrogens) < 2 else f"{symbols[centre]}H{len(hydrogens)}"
    yield _named_bend(symbols, pair[0], centre, pair[1])
    yield f"{name} in-plane bend", [(1.0, angle(single, centre, pair[0])), (-1.0, angle(single, centre, pair[1]))]
    yield f"{name} out-of-plane bend", [(1.0, elevation(single, centre, *pair))]


def _named_bend(symbols: list[str], first: int, centre: int, last: int) -> tuple[str, list[tuple[float, Primitive]]]:
    return _bend_name(symbols, first, centre, last), [(1.0, angle(first, centre, last))]


def _bend_name(symbols: list[str], first: int, centre: int, last: int) -> str:
    ends = sorted((symbols[first], symbols[last]), key="CNOFSCl H".find)
    return f"{ends[0]}{symbols[centre]}{ends[1]} bend"


def _straight(positions: Tensor, first: int, centre: int, last: int) -> bool:
    """Whether three atoms are so nearly on a line that their angle, and torsions over it, have no useful slope."""
    return float(angle(first, centre, last)(positions.detach().double())) > STRAIGHT


def _straight_bends(symbols: list[str], positions: Tensor, first: int, centre: int, last: int) -> Terms:
    """Both bends of three atoms on a line, across it in two directions."""
    along = torch.nn.functional.normalize(positions[last].detach().double() - positions[first].detach().double(), dim=0)
    least = torch.eye(3, dtype=torch.float64)[int(along.abs().argmin())]
    one = torch.nn.functional.normalize(torch.linalg.cross(along, least), dim=0)
    for across in (one, torch.linalg.cross(along, one)):
        yield _bend_name(symbols, first, centre, last), [(1.0, sideways(first, centre, last, across))]


def _around(pair: list[int], centre: int) -> tuple[int, int, int]:
    return pair[0], centre, pair[1]


def _turn(symbols: list[str], letters: list[str], bonded: list[list[int]], positions: Tensor, axis: tuple[int, int]) -> Terms:
    """The torsion about a bond: the sum over all its chains, named after the end that has only hydrogens; none about a straight chain."""
    first, second = axis
    ends = {a: [x for x in bonded[a] if x not in axis] for a in axis}
    tops = [a for a, rest in ends.items() if all(symbols[x] == "H" for x in rest)]
    name = "-".join(sorted((symbols[first], symbols[second])))
    if tops:
        top = min(tops, key=lambda a: len(ends[a]))
        count = len(ends[top])
        name = f"{symbols[top]}{letters[top]}{count if count > 1 else ''}"
    bent = {a: [x for x in ends[a] if not _straight(positions, x, a, b)] for a, b in ((first, second), (second, first))}
    chains = [torsion(i, first, second, k) for i in bent[first] for k in bent[second] if i != k]
    if chains:
        yield f"{name} torsion", [(1.0, chain) for chain in chains]


def _planar(positions: Tensor, centre: int, around: list[int]) -> bool:
    arms = torch.nn.functional.normalize(positions[around].double() - positions[centre].double(), dim=1)
    return abs(float(torch.linalg.det(arms))) < 0.2


def length(i: int, j: int) -> Primitive:
    """Distance of two atoms."""
    return lambda x: (x[i] - x[j]).norm()


def angle(i: int, j: int, k: int) -> Primitive:
    """Angle i-j-k, from 0 to pi."""

    def value(x: Tensor) -> Tensor:
        a, b = x[i] - x[j], x[k] - x[j]
        return torch.atan2(torch.linalg.cross(a, b).norm(), a @ b)

    return value


def sideways(i: int, centre: int, k: int, across: Tensor) -> Primitive:
    """How far the bonds ``centre``-i and ``centre``-k, which lie on a line, both lean towards the unit vector ``across``, rad."""

    def value(x: Tensor) -> Tensor:
        a, b = (torch.nn.functional.normalize(x[n] - x[centre], dim=0) for n in (i, k))
        return (a + b) @ across

    return value


def torsion(i: int, j: int, k: int, l: int) -> Primitive:
    """Dihedral angle i-j-k-l from -pi to pi; positions may have axes in front: [..., atoms, 3] -> [...]."""

    def value(x: Tensor) -> Tensor:
        a, b, c = (x[..., n, :] - x[..., m, :] for m, n in ((i, j), (j, k), (k, l)))
        first, second = torch.linalg.cross(a, b), torch.linalg.cross(b, c)
        return torch.atan2((torch.linalg.cross(first, second) * b).sum(-1) / b.norm(dim=-1), (first * second).sum(-1))

    return value


def elevation(i: int, centre: int, j: int, k: int) -> Primitive:
    """Angle of the bond ``centre``-i with the plane through ``centre``, j and k."""

    def value(x: Tensor) -> Tensor:
        normal = torch.linalg.cross(x[j] - x[centre], x[k] - x[centre])
        arm = x[i] - x[centre]
        return torch.asin((normal @ arm / (normal.norm() * arm.norm())).clamp(-1, 1))

    return value


def shares(modes: Modes) -> list[dict[str, float]]:
    """Of each mode: name of a coordinate -> share of the potential energy, like names added, in descending order.

    ``q = B dR/dQ``, ``F = B+^T H B+``; the diagonal of F alone: ``F_ii q_i^2 / sum_j F_jj q_j^2``.
    """
    found = coordinates(modes.molecule)
    slopes = torch.stack([c.slopes.flatten() for c in found])
    weighted = (modes.vectors * modes.molecule.masses.sqrt()[None, :, None]).flatten(1).double()
    back = torch.linalg.pinv(slopes, rtol=1e-8)
    projected = weighted @ back
    stiffness = (modes.eigenvalues[:, None] * projected.square()).sum(0).clamp(min=0)
    energies = stiffness * (modes.displacements.flatten(1).double() @ slopes.T).square()
    parts = energies / energies.sum(1, keepdim=True).clamp(min=torch.finfo(energies.dtype).tiny)
    table = []
    for row in parts.tolist():
        sums: dict[str, float] = {}
        for coordinate, share in zip(found, row):
            sums[coordinate.name] = sums.get(coordinate.name, 0.0) + share
        table.append(dict(sorted(sums.items(), key=lambda item: -item[1])))
    return table


def describe(modes: Modes, least: float = 0.2) -> list[str]:
    """Each mode in words: the coordinates that hold at least the share ``least`` of its energy (at most three), with their shares."""
    texts = []
    for parts in shares(modes):
        chosen = [(name, share) for name, share in parts.items() if share >= least][:3] or [next(iter(parts.items()))]
        texts.append(chosen[0][0] if chosen[0][1] > 0.8 else ", ".join(f"{name} {100 * share:.0f} %" for name, share in chosen))
    return texts


def torsion_signature(molecule: Molecules, positions: Tensor) -> Tensor:
    """[..., classes] the mean cosine of all torsions of one kind, for ``positions`` [..., atoms, 3] of a single ``molecule``.

    A kind is a chain of four atoms up to exchange of equivalent atoms, so that mirror images, and rotors like CH3 turned by a third,
    have the same signature.
    """
    bonded = neighbours(molecule)
    kinds = _classes(molecule, bonded)
    chains: dict[tuple, list[Primitive]] = {}
    for j, k in ((j, k) for j, around in enumerate(bonded) for k in around if j < k):
        for i, l in ((i, l) for i in bonded[j] if i != k for l in bonded[k] if l not in (i, j)):
            name = (kinds[i], kinds[j], kinds[k], kinds[l])
            chains.setdefault(min(name, name[::-1]), []).append(torsion(i, j, k, l))
    means = [torch.stack([chain(positions).cos() for chain in chains[name]]).mean(0) for name in sorted(chains)]
    return torch.stack(means, dim=-1) if means else positions.new_zeros(*positions.shape[:-2], 0)


def _classes(molecule: Molecules, bonded: list[list[int]]) -> list[int]:
    """[atoms] equal numbers for atoms that neither isotope nor bonds tell apart (Morgan's refinement)."""
    masses = molecule.masses.round().tolist()
    kinds = [sorted(set(masses)).index(mass) for mass in masses]
    for _ in kinds:
        seen = [(kind, *sorted(kinds[b] for b in around)) for kind, around in zip(kinds, bonded)]
        kinds = [sorted(set(seen)).index(s) for s in seen]
    return kinds


def nearest_conformer(molecule: Molecules, conformers: Tensor, positions: Tensor) -> Tensor | None:
    """[...] which of ``conformers`` [conformers, atoms, 3] each of ``positions`` [..., atoms, 3] is nearest to, by `torsion_signature`.

    None where torsions do not tell the conformers apart.
    """
    known = torsion_signature(molecule, conformers)
    apart = torch.cdist(known, known) + torch.eye(len(known), dtype=known.dtype) * 1e3
    if apart.min() < 0.3:
        return None
    found = torsion_signature(molecule, positions)
    return (found.unsqueeze(-2) - known).square().sum(-1).argmin(-1)
