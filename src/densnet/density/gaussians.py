"""Integrals and values of atom-centred Gaussians, differentiable any number of times in positions and exponents.

A primitive is g_lm(r) = N_l(a) r^l exp(-a r^2) S_lm. It is a derivative of an s-Gaussian (Hobson's theorem),

    r^l S_lm exp(-a |r - A|^2) = (2 a)^-l  S_lm(grad_A) exp(-a |r - A|^2),

so every two-centre integral is a sum over L of Gaunt coefficients times S_LM(grad) (grad^2)^k f(R^2) with R = A - B and 2 k = l + l' - L,
where f(R^2) is the integral of two s-Gaussians. No recursion is needed: see `overlap_radial` and `coulomb_radial`.

Exponents are [..., slots] and coefficients [..., width] in the row layout of a `DensityBasis`. Padded slots are treated like any other:
their coefficients are zero. float32 and float64, any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from densnet.density.basis import DensityBasis
from densnet.molecules import Molecules
from densnet.symmetry import block, components, couples, gaunt, solid_harmonics

Radial = Callable[[int, int, Tensor, Tensor, Tensor], Tensor]
"""(L, k, a, b, R^2) -> S_LM(grad) (grad^2)^k f(R^2) / S_LM(R) of two s-Gaussians exp(-a r^2), exp(-b r^2)."""

_SMALLEST_POWER = -60.0
"""exp(-60) = 1e-26 stands for zero in `values`: an exponential that underflows takes ten to forty times as long."""

AtomFunction = Callable[[Tensor], Tensor]
"""Vectors from the atom to its points [atoms, points, 3] -> a value at each [atoms, points]."""

_POINTS_AT_ONCE = 1 << 15
"""Atoms x points in one block of `at_points`; with 40 slots an array of one block takes 10 MB in float64."""


def degrees(basis: DensityBasis, like: Tensor) -> Tensor:
    """[slots]: the l of each slot, as a floating-point tensor ``like`` another."""
    return torch.tensor([l for l, _ in basis.slots], dtype=like.dtype, device=like.device)


def norms(l: int | Tensor, exponents: Tensor) -> Tensor:
    """N_l(a) = sqrt(2 (2 a)^(l + 3/2) / Gamma(l + 3/2)), l a number or [slots]; makes the self-overlap of a primitive 1."""
    l = torch.as_tensor(l, dtype=exponents.dtype, device=exponents.device)
    return (2 * exponents) ** (0.5 * l + 0.75) * torch.exp(0.5 * (math.log(2.0) - torch.lgamma(l + 1.5)))


class _Boys(torch.autograd.Function):
    """F_n(x) with its derivative -F_{n+1}(x), itself a Boys function: differentiable any number of times."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, n: int) -> Tensor:
        series = torch.full_like(x, 1 / (math.factorial(15) * (2 * n + 31)))
        small, large = x.clamp(max=0.5), x.clamp(min=0.5)
        for k in reversed(range(15)):
            series = 1 / (math.factorial(k) * (2 * n + 2 * k + 1)) - small * series
        incomplete = torch.special.gammainc(torch.full_like(x, n + 0.5), large)
        return torch.where(x < 0.5, series, 0.5 * math.gamma(n + 0.5) * incomplete * large ** (-n - 0.5))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        x, ctx.order = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return -gradient * boys(ctx.order + 1, x), None


def boys(n: int, x: Tensor) -> Tensor:
    """Boys function F_n(x) = integral_0^1 t^(2 n) exp(-x t^2) dt for x >= 0; relative error 1e-13 in float64."""
    return _Boys.apply(x, n)


def laguerre(k: int, order: float, x: Tensor) -> Tensor:
    """Generalised Laguerre polynomial L_k^(order)(x), explicit sum (Abramowitz and Stegun 22.3.9)."""
    total = torch.zeros_like(x)
    for i in reversed(range(k + 1)):
        binomial = math.gamma(k + order + 1) / (math.gamma(order + i + 1) * math.factorial(k - i))
        total = total * x + (-1) ** i * binomial / math.factorial(i)
    return total


def overlap_radial(L: int, k: int, a: Tensor, b: Tensor, r2: Tensor) -> Tensor:
    """Overlap: f = (pi / (a + b))^(3/2) exp(-mu R^2), mu = a b / (a + b).

    S_LM(grad) (grad^2)^k f = (-2 mu)^L (-4 mu)^k k! L_k^(L + 1/2)(mu R^2) S_LM(R) f.
    """
    mu = a * b / (a + b)
    sign = (-1) ** (L + k) * 2**L * 4**k * math.factorial(k)
    return sign * mu ** (L + k) * (math.pi / (a + b)) ** 1.5 * laguerre(k, L + 0.5, mu * r2) * torch.exp(-mu * r2)


def coulomb_radial(L: int, k: int, a: Tensor, b: Tensor, r2: Tensor) -> Tensor:
    """Coulomb interaction: f = 2 pi^(5/2) / (a b sqrt(a + b)) F_0(mu R^2), with S_LM(grad) f = (-2 mu)^L F_L(mu R^2) S_LM(R) f / F_0.

    By Poisson's equation its Laplacian is -4 pi times the overlap, which settles k > 0.
    """
    if k:
        return -4 * math.pi * overlap_radial(L, k - 1, a, b, r2)
    mu = a * b / (a + b)
    return 2 * math.pi**2.5 / (a * b * torch.sqrt(a + b)) * (-2 * mu) ** L * boys(L, mu * r2)


def pair_blocks(radial: Radial, bases: tuple[DensityBasis, DensityBasis], exponents: tuple[Tensor, Tensor], vectors: Tensor) -> Tensor:
    """Two-centre integrals of pairs of atoms A, B: [pairs, width of A, width of B].

    ``exponents`` [pairs, slots] of the atoms A and B, each in its basis; ``vectors`` A - B [pairs, 3]; leading axes may be more than one.
    """
    left, right = bases
    harmonics = solid_harmonics(vectors, left.l_max + right.l_max)
    r2 = vectors.square().sum(-1)[..., None, None]
    rows = []
    for l1 in range(left.l_max + 1):
        a = exponents[0][..., left.slot_block(l1), None]
        row = []
        for l2 in range(right.l_max + 1):
            b = exponents[1][..., None, right.slot_block(l2)]
            scale = norms(l1, a) * norms(l2, b) * (2 * a) ** -l1 * (-2 * b) ** -l2
            coupled = [L for L in range(l1 + l2 + 1) if couples(l1, l2, L)]
            radials = torch.stack([scale * radial(L, (l1 + l2 - L) // 2, a, b, r2) for L in coupled], dim=-1).flatten(-3, -2)
            angular = torch.stack([_coupled(l1, l2, L, harmonics) for L in coupled], dim=-2)
            product = (radials @ angular).unflatten(-1, (2 * l1 + 1, 2 * l2 + 1)).unflatten(-3, scale.shape[-2:])
            row.append(product.transpose(-3, -2).flatten(-2).flatten(-3, -2))
        rows.append(torch.cat(row, dim=-1))
    return torch.cat(rows, dim=-2)


def _coupled(l1: int, l2: int, L: int, harmonics: Tensor) -> Tensor:
    """sum_M Gaunt(l1 m1, l2 m2, L M) S_LM: [..., (2 l1 + 1) (2 l2 + 1)]."""
    table = torch.as_tensor(gaunt(l1, l2, L), dtype=harmonics.dtype, device=harmonics.device).flatten(0, 1)
    return harmonics[..., block(L)] @ table.T


def matrix(radial: Radial, basis: DensityBasis, positions: Tensor, exponents: Tensor) -> Tensor:
    """All integrals between the functions of one molecule: [atoms * width, atoms * width], symmetric.

    ``positions`` [atoms, 3], ``exponents`` [atoms, slots]; both may carry the same leading axes, a batch of molecules of one size. Rows and
    columns of padded slots belong to functions that do not exist: select by ``basis.mask(numbers).flatten()`` before solving.
    """
    atoms, width = positions.shape[-2], basis.width
    i, j = torch.triu_indices(atoms, atoms, device=positions.device)
    vectors = (positions[..., i, :] - positions[..., j, :]).to(exponents.dtype)
    blocks = pair_blocks(radial, (basis, basis), (exponents[..., i, :], exponents[..., j, :]), vectors)
    out = blocks.new_zeros(*blocks.shape[:-3], atoms * atoms, width, width)
    out = out.index_copy(-3, i * atoms + j, blocks).index_copy(-3, j * atoms + i, blocks.transpose(-1, -2))
    return out.unflatten(-3, (atoms, atoms)).transpose(-3, -2).flatten(-2).flatten(-3, -2)


def overlap_matrix(basis: DensityBasis, positions: Tensor, exponents: Tensor) -> Tensor:
    """integral g g' dr of one molecule's functions, see `matrix`."""
    return matrix(overlap_radial, basis, positions, exponents)


def coulomb_matrix(basis: DensityBasis, positions: Tensor, exponents: Tensor) -> Tensor:
    """(g | g') = integral g(r) g'(r') / |r - r'| dr dr' of one molecule's functions, see `matrix`."""
    return matrix(coulomb_radial, basis, positions, exponents)


def own_coulomb_matrix(basis: DensityBasis, number: int, l: int) -> Tensor:
    """[n_l, n_l] Coulomb interaction of an atom's own functions of one l and m, float64; padding left out."""
    numbers = torch.tensor([number])
    whole = coulomb_matrix(basis, torch.zeros(1, 3, dtype=torch.float64), basis.exponents(numbers))
    columns = torch.arange(basis.width)[basis.block(l)][:: 2 * l + 1][basis.slot_mask(numbers)[0, basis.slot_block(l)]]
    return whole[columns][:, columns]


def moments(l: int, exponents: Tensor) -> Tensor:
    """integral r^l S_lm g_lm dr = N_l Gamma(l + 3/2) / (2 a^(l + 3/2)), the same for every m, about the function's centre."""
    gamma = math.gamma(l + 1.5)
    return 0.5 * gamma * math.sqrt(2 * 2 ** (l + 1.5) / gamma) * exponents ** (-0.5 * l - 0.75)


def charges(basis: DensityBasis, exponents: Tensor) -> Tensor:
    """[..., slots of l = 0]: electrons in one unit of each s function."""
    return math.sqrt(4 * math.pi) * moments(0, exponents[..., basis.slot_block(0)])


def dipoles(basis: DensityBasis, exponents: Tensor) -> Tensor:
    """[..., slots of l = 1]: first moment of one unit of each p function along its own axis, bohr."""
    return math.sqrt(4 * math.pi / 3) * moments(1, exponents[..., basis.slot_block(1)])


def charge_vector(basis: DensityBasis, exponents: Tensor) -> Tensor:
    """[..., width]: electrons per unit of each coefficient, so that ``(charge_vector * coefficients).sum()`` counts electrons."""
    charge = charges(basis, exponents)
    return torch.cat([charge, charge.new_zeros(*charge.shape[:-1], basis.width - charge.shape[-1])], dim=-1)


def dipole_vector(basis: DensityBasis, exponents: Tensor, positions: Tensor) -> Tensor:
    """[atoms, width, 3]: first moment (electrons times bohr, about the origin) per unit of each coefficient."""
    vector = charge_vector(basis, exponents)[..., None] * positions.to(exponents.dtype)[..., None, :]
    if basis.l_max == 0:
        return vector
    axes = torch.eye(3, dtype=exponents.dtype, device=exponents.device)[[1, 2, 0]]
    own = (dipoles(basis, exponents)[..., None, None] * axes).flatten(-3, -2)
    p = basis.block(1)
    return torch.cat([vector[..., : p.start, :], own, vector[..., p.stop :, :]], dim=-2)


def multipoles(basis: DensityBasis, coefficients: Tensor, exponents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Electron moments of each atom's functions about the atom.

    Charge [atoms]; first moment [atoms, 3]; traceless second moment 1/2 integral (3 r_i r_j - r^2 delta_ij) rho dr [atoms, 3, 3]. The last
    follows from r_i r_j - r^2 delta_ij / 3 = (4 pi / 3) sum_M Gaunt(1 i, 1 j, 2 M) r^2 S_2M.
    """
    charge, first = charge_and_dipole(basis, coefficients, exponents)
    traceless = torch.as_tensor(gaunt(1, 1, 2)[[2, 0, 1]][:, [2, 0, 1]], dtype=exponents.dtype, device=exponents.device)
    return charge, first, 2 * math.pi * torch.einsum("...m,ijm->...ij", _solid_moments(basis, 2, coefficients, exponents), traceless)


def charge_and_dipole(basis: DensityBasis, coefficients: Tensor, exponents: Tensor) -> tuple[Tensor, Tensor]:
    """The first two of `multipoles`: all that a dipole at every step of a trajectory needs."""
    charge = (charges(basis, exponents) * coefficients[..., basis.block(0)]).sum(-1)
    y_z_x = math.sqrt(4 * math.pi / 3) * _solid_moments(basis, 1, coefficients, exponents)
    return charge, y_z_x.roll(1, dims=-1)


def _solid_moments(basis: DensityBasis, l: int, coefficients: Tensor, exponents: Tensor) -> Tensor:
    """[..., 2l + 1]: integral r^l S_lm rho dr of each atom's functions."""
    if l > basis.l_max:
        return coefficients.new_zeros(*coefficients.shape[:-1], 2 * l + 1)
    rows = coefficients[..., basis.block(l)].unflatten(-1, (basis.counts[l], 2 * l + 1))
    return torch.einsum("...n,...nm->...m", moments(l, exponents[..., basis.slot_block(l)]), rows)


def values(basis: DensityBasis, coefficients: Tensor, exponents: Tensor, vectors: Tensor) -> Tensor:
    """Density of each atom's functions at its own points, [atoms, points]; ``vectors`` [atoms, points, 3] from atom to point."""
    vectors = vectors.to(coefficients.dtype)
    radial = torch.exp((-exponents[:, None, :] * vectors.square().sum(-1, keepdim=True)).clamp(min=_SMALLEST_POWER))
    scaled = coefficients * norms(degrees(basis, exponents), exponents)[:, basis.column_slots(exponents.device)]
    return _expand(basis, scaled, radial, vectors)


def several_values(basis: DensityBasis, coefficients: Tensor, exponents: Tensor, vectors: Tensor) -> Tensor:
    """`values` of several rows of ``coefficients`` [atoms, k, width] with the same exponents: [atoms, points, k]."""
    vectors = vectors.to(coefficients.dtype)
    radial = torch.exp((-exponents[:, None, :] * vectors.square().sum(-1, keepdim=True)).clamp(min=_SMALLEST_POWER))
    scaled = coefficients * norms(degrees(basis, exponents), exponents)[:, None, basis.column_slots(exponents.device)]
    return torch.stack([_expand(basis, row, radial, vectors) for row in scaled.unbind(1)], dim=2)


def potentials(basis: DensityBasis, coefficients: Tensor, exponents: Tensor, vectors: Tensor) -> Tensor:
    """integral rho_A(r') / |r - r'| dr' of each atom's functions at its own points, [atoms, points], as `values`.

    For a point charge Hobson's theorem gives (2 pi / a) F_l(a r^2) in place of the radial function exp(-a r^2).
    """
    vectors = vectors.to(coefficients.dtype)
    x = exponents[:, None, :] * vectors.square().sum(-1, keepdim=True)
    radial = torch.cat([boys(l, x[..., basis.slot_block(l)]) for l in range(basis.l_max + 1)], dim=-1)
    scale = norms(degrees(basis, exponents), exponents) * 2 * math.pi / exponents
    return _expand(basis, coefficients * scale[:, basis.column_slots(exponents.device)], radial, vectors)


def _expand(basis: DensityBasis, coefficients: Tensor, radial: Tensor, vectors: Tensor) -> Tensor:
    """sum_nlm c_nlm radial_nl S_lm: coefficients are spread to a block-diagonal [slots, (l, m)], so that one matrix product does it."""
    target = [s * components(basis.l_max) + l * l + m for s, (l, _) in enumerate(basis.slots) for m in range(2 * l + 1)]
    spread = coefficients.new_zeros(len(coefficients), len(basis.slots) * components(basis.l_max))
    spread = spread.index_copy(1, torch.tensor(target, device=coefficients.device), coefficients).unflatten(1, (len(basis.slots), -1))
    return (radial @ spread * solid_harmonics(vectors, basis.l_max)).sum(-1)


def at_points(function: AtomFunction, molecules: Molecules, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
    """Sum over the atoms of a molecule of ``function`` at the points of that molecule; in blocks along the points, so memory stays bounded.

    ``points`` [points, 3] with ``point_owner`` [points] (None: there is one molecule only) -> [points]; or, faster, the same number for
    each molecule: ``points`` [molecules, points, 3] -> [molecules, points].
    """
    if points.dim() == 3:
        size = max(1, _POINTS_AT_ONCE // max(1, len(molecules.numbers)))
        parts = [part[molecules.owner] - molecules.positions[:, None] for part in points.split(size, dim=1)]
        return torch.cat([molecules.total(function(vectors)) for vectors in parts], dim=1)
    if point_owner is None:
        if molecules.count != 1:
            raise ValueError(f"{molecules.count} molecules share {len(points)} points; say by `point_owner` which points belong to which.")
        return at_points(function, molecules, points[None])[0]
    sizes = torch.bincount(point_owner, minlength=molecules.count)
    order = torch.argsort(point_owner, stable=True)
    rank = torch.arange(len(points), device=points.device) - (sizes.cumsum(0) - sizes)[point_owner[order]]
    place = torch.empty_like(order).index_copy(0, order, rank) + point_owner * sizes.max()
    padded = points.new_zeros(molecules.count * int(sizes.max()), 3).index_copy(0, place, points)
    return at_points(function, molecules, padded.unflatten(0, (molecules.count, -1))).flatten()[place]
