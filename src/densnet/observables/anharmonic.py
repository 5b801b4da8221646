"""Fundamentals of quantum nuclei in an anharmonic potential, by vibrational second-order perturbation theory (VPT2).

In dimensionless normal coordinates ``q_i = sqrt(w_i) Q_i`` (atomic units, w_i = harmonic energy of a quantum)

    V = 1/2 sum_i w_i q_i^2 + 1/6 sum_ijk phi_ijk q_i q_j q_k + 1/24 sum_ijkl phi_ijkl q_i q_j q_k q_l

and the fundamentals of an asymmetric top are

    nu_i   = w_i + 2 chi_ii + 1/2 sum_{j != i} chi_ij
    X_ij   = 1/4 phi_iijj - 1/4 sum_k phi_iik phi_jjk / w_k
             - 1/8 sum_k phi_ijk^2 [1 / (w_i + w_j + w_k) - 1 / (w_i + w_j - w_k) + 1 / (w_i - w_j + w_k) + 1 / (w_j + w_k - w_i)]
             + (w_i / w_j + w_j / w_i) sum_a B_a (zeta^a_ij)^2
    chi_ij = X_ij,  chi_ii = X_ii / 4

with rotational constants ``B_a = 1 / 2 I_a`` and Coriolis constants ``zeta^a_ij``. H. H. Nielsen, Rev. Mod. Phys. 23, 90 (1951); V. Barone,
J. Chem. Phys. 122, 014108 (2005), whose equations these are, split into partial fractions.

**Resonances.** Where ``w_k`` is near ``w_i + w_j`` a fraction is singular and the states mix instead of being shifted; such fractions are
left out ("deperturbed", see `resonances`). Mixing keeps the trace, so that the centroid of all the intensity that a fundamental shares
with a dark overtone stays where the deperturbed fundamental is.

**Soft modes** (torsions, `SOFTEST`) are no small perturbation of an oscillator: they take no part in any sum and keep their harmonic value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import torch
from torch import Tensor

from densnet import units
from densnet.molecules import LINEAR
from densnet.observables.response import ForceFunction
from densnet.observables.vibrations import Modes, VibrationError, principal_axes
from densnet.progress import Progress, silent

SOFTEST = 400.0
"""cm^-1: a mode of a lower harmonic wavenumber takes no part."""

NEAR = 200.0
"""cm^-1: a resonance is nearer than this ..."""

SHIFTED = 1.0
"""cm^-1: ... and more wrong than this in second order, by Martin's test."""


@dataclass(frozen=True)
class ForceConstants:
    """Of a potential in dimensionless normal coordinates, hartree.

    quadratic  [modes]                w_i
    cubic      [modes, modes, modes]  phi_ijk, symmetric
    quartic    [modes, modes]         phi_iijj
    """

    quadratic: Tensor
    cubic: Tensor
    quartic: Tensor


@dataclass(frozen=True)
class Resonance:
    """``w_upper`` near ``w_i + w_j``, modes numbered from 0: Fermi's first type if i = j, else the second.

    offset     cm^-1  w_i + w_j - w_upper
    coupling   cm^-1  phi_ij,upper
    """

    upper: int
    lower: tuple[int, int]
    offset: float
    coupling: float


@dataclass(frozen=True)
class Anharmonic:
    """What VPT2 says of one conformer, modes in the order of its `Modes`.

    harmonic      [modes] cm^-1
    fundamentals  [modes] cm^-1; of a soft mode the harmonic value; NaN where not worked out
    diagonal      [modes] cm^-1, 2 chi_ii, each mode's own share of its shift; of a soft mode 0; NaN where not worked out
    soft          the modes that took no part
    resonances    whose singular fractions were left out
    """

    harmonic: Tensor
    fundamentals: Tensor
    diagonal: Tensor
    soft: tuple[int, ...]
    resonances: tuple[Resonance, ...]

    @property
    def shifts(self) -> Tensor:
        """[modes] cm^-1: what the quantum fundamentals add to the harmonic wavenumbers."""
        return self.fundamentals - self.harmonic

    def to_dict(self) -> dict:
        """Plain data; None for NaN."""
        return {
            "harmonic_per_cm": _plain(self.harmonic),
            "fundamentals_per_cm": _plain(self.fundamentals),
            "diagonal_per_cm": _plain(self.diagonal),
            "soft": list(self.soft),
            "resonances": [
                {"upper": r.upper, "lower": list(r.lower), "offset_per_cm": round(r.offset, 3), "coupling_per_cm": round(r.coupling, 3)}
                for r in self.resonances
            ],
        }

    @classmethod
    def from_dict(cls, content: dict) -> Anharmonic:
        """What `to_dict` gave."""
        nothing = [None] * len(content["harmonic_per_cm"])
        harmonic, fundamentals, diagonal = (
            torch.tensor([math.nan if x is None else x for x in content.get(f"{name}_per_cm", nothing)], dtype=torch.float64)
            for name in ("harmonic", "fundamentals", "diagonal")
        )
        found = [Resonance(r["upper"], tuple(r["lower"]), r["offset_per_cm"], r["coupling_per_cm"]) for r in content["resonances"]]
        return cls(harmonic, fundamentals, diagonal, tuple(content["soft"]), tuple(found))


def _plain(values: Tensor) -> list[float | None]:
    return [None if math.isnan(x) else round(x, 3) for x in values.tolist()]


def vpt2(
    force_function: ForceFunction, modes: Modes, *, softest: float = SOFTEST, step: float = 0.03,
    progress: Progress = silent,
) -> Anharmonic:  # fmt: skip
    """Fundamentals of a minimum. Modes below ``softest`` (cm^-1) take no part; ``step`` as in `force_constants`.

    ``progress`` is told how many of all displaced geometries are done. Raises `VibrationError` where ``modes`` are not of a minimum, or of
    a linear molecule with bends.
    """
    if (modes.eigenvalues <= 0).any():
        raise VibrationError(
            f"a frequency of {float(modes.frequencies.min()):.1f} cm^-1: no minimum, so no fundamentals; relax it further."
        )
    stiff = torch.nonzero(modes.frequencies >= softest)[:, 0]
    taking_part = replace(modes, eigenvalues=modes.eigenvalues[stiff], vectors=modes.vectors[stiff], dipole_slopes=None)
    turning = rotation(taking_part)
    constants = force_constants(force_function, taking_part, step, progress=progress)
    found = resonances(constants)
    chi = anharmonicity(constants, turning, found)
    fundamentals, diagonal = modes.frequencies.clone(), torch.zeros_like(modes.frequencies)
    fundamentals[stiff] = levels(constants.quadratic, chi) / units.INVERSE_CM
    diagonal[stiff] = 2 * chi.diagonal() / units.INVERSE_CM
    numbers = stiff.tolist()
    renumbered = tuple(replace(r, upper=numbers[r.upper], lower=tuple(numbers[k] for k in r.lower)) for r in found)
    soft = tuple(k for k in range(len(modes.eigenvalues)) if k not in numbers)
    return Anharmonic(modes.frequencies, fundamentals, diagonal, soft, renumbered)


def diagonal(
    force_function: ForceFunction, modes: Modes, chosen: Sequence[int], *, softest: float = SOFTEST, step: float = 0.12
) -> Anharmonic:
    """Of the ``chosen`` modes alone ``2 chi_ii``, the same as that of `vpt2`, from five geometries a mode; of all others nothing (NaN).

    ``chi_ii = 1/16 [phi_iiii - sum_k phi_iik^2 (2 / w_k + 1 / 2 (2 w_i + w_k) - 1 / 2 (2 w_i - w_k))]``, the last fraction left out where
    2 w_i and w_k are in resonance. With the slopes g_k of the potential at q_i = 0, +-h, +-2h (h = ``step``)
    ``phi_iik = [16 g_k(h) + 16 g_k(-h) - g_k(2h) - g_k(-2h) - 30 g_k(0)] / 12 h^2`` and
    ``phi_iiii = [g_i(2h) - 2 g_i(h) + 2 g_i(-h) - g_i(-2h)] / 2 h^3``.
    """
    w = modes.eigenvalues.sqrt()
    moves = modes.displacements.double() / w.sqrt()[:, None, None]
    stiff = modes.frequencies >= softest
    found, dropped = torch.full_like(w, math.nan), []
    for i in chosen:
        geometries = modes.molecule.positions.double() + step * torch.arange(-2.0, 3.0, dtype=torch.float64)[:, None, None] * moves[i]
        forces = force_function(modes.molecule.copies(geometries)).forces.detach().double()
        g = -torch.einsum("pax,kax->pk", forces.reshape(geometries.shape), moves)
        cubic = ((16 * (g[3] + g[1]) - g[4] - g[0] - 30 * g[2]) / (12 * step**2)) * stiff
        quartic = (g[4, i] - 2 * g[3, i] + 2 * g[1, i] - g[0, i]) / (2 * step**3)
        mine = [r for r in _near(w, i, i, cubic) if r.upper != i]
        singular = 1 / (2 * w[i] - w)
        singular[[r.upper for r in mine]] = 0.0
        chi = (quartic - (cubic.square() * (2 / w + 0.5 / (2 * w[i] + w) - 0.5 * singular)).sum()) / 16
        found[i] = 2 * chi / units.INVERSE_CM
        dropped += mine
    soft = tuple(torch.nonzero(~stiff)[:, 0].tolist())
    return Anharmonic(modes.frequencies, torch.full_like(w, math.nan), found, soft, tuple(dropped))


def force_constants(
    force_function: ForceFunction, modes: Modes, step: float = 0.03, chunk: int = 64,
    progress: Progress = silent,
) -> ForceConstants:  # fmt: skip
    """Cubic and semi-diagonal quartic force constants of real ``modes``, from forces at ``+-step`` in q along one or two of them.

    With the Hessian rows ``H_j = [g(q_j = h) - g(q_j = -h)] / 2h``: ``phi_jki = [H_ji(q_k = h) - H_ji(q_k = -h)] / 2h`` and
    ``phi_jjkk = [H_jj(q_k = h) + H_jj(q_k = -h) - 2 H_jj] / h^2``, the mean over all permutations: (2 modes + 1) (modes + 1) geometries,
    ``chunk`` of them at a time. Raises `VibrationError` where forces at rest move the minimum by more than a tenth in some q.
    """
    w, count = modes.eigenvalues.sqrt(), len(modes.eigenvalues)
    moves = modes.displacements.double() / w.sqrt()[:, None, None]
    one = torch.eye(count, dtype=torch.float64)
    steps = step * torch.cat([torch.zeros_like(one[:1]), one, -one])
    first, second = torch.triu_indices(2 * count + 1, 2 * count + 1)
    slopes = []
    for part in (steps[first] + steps[second]).split(chunk):
        geometries = modes.molecule.positions.double() + torch.einsum("pk,kax->pax", part, moves)
        forces = force_function(modes.molecule.copies(geometries)).forces.detach().double()
        slopes.append(-torch.einsum("pax,kax->pk", forces.reshape(geometries.shape), moves))
        progress(sum(map(len, slopes)), len(first))
    table = torch.zeros(2 * count + 1, 2 * count + 1, count, dtype=torch.float64)
    table[first, second] = table[second, first] = torch.cat(slopes)
    off = float((table[0, 0] / w).abs().max()) if count else 0.0
    if not off <= 0.1:
        raise VibrationError(
            f"the forces at rest move the minimum by {off:.2g} in a dimensionless coordinate (at most 0.1); relax it further."
        )
    rows = (table[1 : count + 1] - table[count + 1 :]) / (2 * step)
    rest, ahead, behind = rows[:, :1], rows[:, 1 : count + 1], rows[:, count + 1 :]
    cubic = (ahead - behind) / (2 * step)
    quartic = ((ahead + behind - 2 * rest) / step**2).diagonal(dim1=0, dim2=2)
    return ForceConstants(w, torch.stack([cubic.permute(p) for p in permutations(range(3))]).mean(0), 0.5 * (quartic + quartic.T))


def coriolis(modes: Modes) -> tuple[Tensor, Tensor]:
    """Rotational constants ``B_a = 1 / 2 I_a`` [3] in hartree and ``zeta^a_ij = sum_A (l_Ai x l_Aj)_a`` [3, modes, modes], principal axes.

    l are the mass-weighted vectors of the modes. B is zero about the axis of a linear molecule.
    """
    moments, axes = principal_axes(modes.molecule)
    turning = moments > LINEAR * moments.max()
    constants = torch.where(turning, 0.5 / moments.where(turning, torch.ones_like(moments)), 0.0)
    vectors = modes.vectors.double()
    zeta = torch.linalg.cross(vectors[:, None], vectors[None]).sum(2) @ axes
    return constants, zeta.permute(2, 0, 1)


def rotation(modes: Modes) -> Tensor:
    """[modes, modes] ``sum_a B_a (zeta^a_ij)^2``, hartree. Raises `VibrationError` for a linear molecule with more than one mode, and for
    symmetric and spherical tops, known by two like moments of inertia and two like wavenumbers."""
    constants, zeta = coriolis(modes)
    if len(modes.eigenvalues) > 1 and (constants == 0).any():
        raise VibrationError(
            "a linear molecule: its bends come in pairs, for which these equations do not hold; use the harmonic analysis."
        )
    alike = constants.diff().abs() < 1e-3 * constants.max()
    if alike.any() and (modes.frequencies.diff().abs() < 1.0).any():
        raise VibrationError(
            "a symmetric top: its degenerate modes come in pairs, for which these equations do not hold; use the harmonic analysis."
        )
    return torch.einsum("a,aij->ij", constants, zeta.square())


def resonances(constants: ForceConstants, near: float = NEAR, shifted: float = SHIFTED) -> tuple[Resonance, ...]:
    """Where ``D = w_i + w_j - w_k`` is less than ``near`` and second order is wrong by more than ``shifted`` (cm^-1).

    Two states D apart that W couples are shifted by ``W^2 / D - W^4 / D^3 + ...``; Martin's test is on the second term, with
    ``W = phi_iik / 4`` for i = j, else ``phi_ijk / 2 sqrt(2)``: J. M. L. Martin et al., J. Chem. Phys. 103, 2589 (1995).
    """
    w, pairs = constants.quadratic, torch.triu_indices(len(constants.quadratic), len(constants.quadratic)).T.tolist()
    return tuple(r for i, j in pairs for r in _near(w, i, j, constants.cubic[i, j], near, shifted))


def _near(w: Tensor, i: int, j: int, cubic: Tensor, near: float = NEAR, shifted: float = SHIFTED) -> list[Resonance]:
    """The resonances of ``w_i + w_j`` with any w_k, by ``cubic`` [modes] phi_ijk; both in hartree."""
    offset, cubic = (w[i] + w[j] - w) / units.INVERSE_CM, cubic / units.INVERSE_CM
    test = cubic**4 > shifted * (256 if i == j else 64) * offset.abs() ** 3
    close = torch.nonzero(test & (offset.abs() < near))[:, 0].tolist()
    return [Resonance(k, (i, j), float(offset[k]), float(cubic[k])) for k in close if k not in (i, j)]


def anharmonicity(constants: ForceConstants, turning: Tensor, dropped: Sequence[Resonance] = ()) -> Tensor:
    """[modes, modes] chi_ij in hartree, without the fractions of ``dropped`` resonances; ``turning`` [modes, modes] from `rotation`."""
    w, cubic = constants.quadratic, constants.cubic
    offset = w[:, None, None] + w[:, None] - w  # [i, j, k]: w_i + w_j - w_k
    left_out = offset == 0
    for r in dropped:
        left_out[r.lower[0], r.lower[1], r.upper] = left_out[r.lower[1], r.lower[0], r.upper] = True
    inverse = torch.where(left_out, 0.0, 1 / offset)
    fractions = 1 / (offset + 2 * w) - inverse + inverse.transpose(1, 2) + inverse.permute(2, 1, 0)
    diagonal = cubic.diagonal(dim1=0, dim2=1).T  # [i, k]: phi_iik
    chi = 0.25 * (constants.quartic - (diagonal / w) @ diagonal.T) - 0.125 * (cubic.square() * fractions).sum(2)
    chi = chi + (w[:, None] / w + w / w[:, None]) * turning
    return chi - 0.75 * torch.diag(chi.diagonal())


def levels(quadratic: Tensor, chi: Tensor) -> Tensor:
    """[modes] fundamentals ``w_i + 2 chi_ii + 1/2 sum_{j != i} chi_ij`` in the unit of both."""
    return quadratic + 1.5 * chi.diagonal() + 0.5 * chi.sum(1)
