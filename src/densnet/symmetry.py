"""Real spherical harmonics, their coupling coefficients and rotations: one order, one sign, one norm.

S_lm is real and orthonormal on the sphere, without the Condon-Shortley sign, m = -l..l (p: y, z, x; d: xy, yz, z2, xz, x2-y2).
The *solid* harmonic r^l S_lm(r_hat) is a homogeneous polynomial, so everything here is smooth at r = 0.
"""

from __future__ import annotations

import math
from functools import lru_cache, reduce

import numpy as np
import torch
from torch import Tensor


def components(l_max: int) -> int:
    """Number of (l, m) pairs with l <= l_max: (l_max + 1)^2."""
    return (l_max + 1) ** 2


def block(l: int) -> slice:
    """Where the components of ``l`` stand in a packed axis (l, m)."""
    return slice(l * l, (l + 1) ** 2)


def by_order(x: Tensor, sizes: list[int]) -> list[Tensor]:
    """The first blocks of ``x`` [components, ...], of these ``sizes``; one operation, whose derivative is one too."""
    rest = len(x) - sum(sizes)
    return list(x.split([*sizes, rest] if rest else sizes)[: len(sizes)])


@lru_cache
def degrees(l_max: int) -> tuple[int, ...]:
    """The l of each packed component."""
    return tuple(l for l in range(l_max + 1) for _ in range(2 * l + 1))


@lru_cache
def _monomial_powers(l_max: int) -> np.ndarray:
    """[monomials, 3] exponents (a, b, c) of x^a y^b z^c with a + b + c <= l_max."""
    degrees = ((a, b, d - a - b) for d in range(l_max + 1) for a in range(d, -1, -1) for b in range(d - a, -1, -1))
    return np.array(list(degrees))


@lru_cache
def _harmonic_polynomials(l_max: int) -> np.ndarray:
    """[monomials, components] coefficients of the solid harmonics, from the closed form of Helgaker et al. (2000), eq. 6.4.47.

    There the cosine-like polynomial of (l, |m|) is sum_tuv C_tuv x^(2t+|m|-2(u+v)) y^(2(u+v)) z^(l-2t-|m|); normalised here on the sphere.
    """
    powers = _monomial_powers(l_max)
    index = {tuple(p): i for i, p in enumerate(powers.tolist())}
    table = np.zeros((len(powers), components(l_max)))
    for l in range(l_max + 1):
        for m in range(-l, l + 1):
            am, shift = abs(m), 0.5 if m < 0 else 0.0
            norm = math.sqrt(2 * math.factorial(l + am) * math.factorial(l - am) / (2.0 if m == 0 else 1.0))
            norm /= 2**am * math.factorial(l)
            for t in range((l - am) // 2 + 1):
                for u in range(t + 1):
                    for k in range(int(am / 2 - shift) + 1):
                        v = k + shift
                        coefficient = (-1) ** (t + k) * 0.25**t * math.comb(l, t) * math.comb(l - t, am + t)
                        coefficient *= math.comb(t, u) * math.comb(am, round(2 * v))
                        power = (round(2 * t + am - 2 * (u + v)), round(2 * (u + v)), l - 2 * t - am)
                        table[index[power], l * l + l + m] += coefficient * norm
            table[:, l * l + l + m] *= math.sqrt((2 * l + 1) / (4 * math.pi))
    return table


@lru_cache
def _harmonic_tables(l_max: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Factors of each monomial, [4, l_max x monomials] of (x, y, z, 1); the harmonics' coefficients, [monomials, components]."""
    powers = _monomial_powers(l_max)
    factors = np.zeros((4, max(l_max, 1), len(powers)))
    for place, (a, b, c) in enumerate(powers):
        for number, factor in enumerate([0] * a + [1] * b + [2] * c + [3] * (max(l_max, 1) - a - b - c)):
            factors[factor, number, place] = 1.0
    tables = factors.reshape(4, -1), _harmonic_polynomials(l_max)
    factor_table, polynomials = (torch.as_tensor(table, dtype=dtype, device=device) for table in tables)
    return factor_table, polynomials


def solid_harmonics(vectors: Tensor, l_max: int, *, at_once: bool = False) -> Tensor:
    """r^l S_lm(r_hat): ``vectors`` [..., 3] -> [..., (l_max + 1)^2]; polynomial, hence differentiable any number of times.

    ``at_once``: by a third of the operations, which need several times the memory; for few vectors.
    """
    factors, table = _harmonic_tables(l_max, vectors.dtype, vectors.device)
    return (_monomials_at_once(vectors, factors, l_max) if at_once else _monomials(vectors, l_max)) @ table


def _monomials(vectors: Tensor, l_max: int) -> Tensor:
    """[..., monomials] in the order of `_monomial_powers`: the last ``degree`` before have no x, the last one no y."""
    x, y, z = vectors.split(1, dim=-1)
    monomials = [torch.ones_like(x)]
    for degree in range(1, l_max + 1):
        lower = monomials[-1]
        monomials.append(torch.cat([x * lower, y * lower[..., -degree:], z * lower[..., -1:]], dim=-1))
    return torch.cat(monomials, dim=-1)


def _monomials_at_once(vectors: Tensor, factors: Tensor, l_max: int) -> Tensor:
    """The same as products of l_max factors, each of them x, y, z or 1."""
    known = torch.nn.functional.pad(vectors, (0, 1), value=1.0)
    return reduce(torch.mul, (known @ factors).chunk(max(l_max, 1), dim=-1))


@lru_cache
def _sphere_quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 3] and weights [n] that integrate polynomials up to ``degree`` exactly over the unit sphere."""
    cosines, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    angles = 2 * math.pi * np.arange(degree + 1) / (degree + 1)
    sines = np.sqrt(1 - cosines**2)
    points = np.stack(
        [np.outer(sines, np.cos(angles)), np.outer(sines, np.sin(angles)), np.outer(cosines, np.ones_like(angles))], axis=-1
    )
    return points.reshape(-1, 3), np.repeat(weights, len(angles)) * 2 * math.pi / len(angles)


def _harmonics_on(points: np.ndarray, l_max: int) -> np.ndarray:
    powers = _monomial_powers(l_max)
    return np.prod(points[:, None, :] ** powers, axis=-1) @ _harmonic_polynomials(l_max)


@lru_cache
def gaunt(l1: int, l2: int, l3: int) -> np.ndarray:
    """Real Gaunt coefficients, integral of S_l1m1 S_l2m2 S_l3m3 over the sphere: [2 l1 + 1, 2 l2 + 1, 2 l3 + 1] float64.

    Exact quadrature, no table and no sign to choose. Non-zero only for l1 + l2 + l3 even and |l1 - l2| <= l3 <= l1 + l2.
    Up to a factor it is the coupling coefficient of a true tensor product (even parity paths).
    """
    points, weights = _sphere_quadrature(l1 + l2 + l3)
    s1, s2, s3 = (_harmonics_on(points, l)[:, block(l)] for l in (l1, l2, l3))
    table = np.einsum("p,pa,pb,pc->abc", weights, s1, s2, s3, optimize=True)
    table[np.abs(table) < 1e-14] = 0.0
    return table


def couples(l1: int, l2: int, l3: int) -> bool:
    """Whether S_l1 S_l2 contains S_l3: triangle rule and even sum."""
    return abs(l1 - l2) <= l3 <= l1 + l2 and (l1 + l2 + l3) % 2 == 0


def coupling(l1: int, l2: int, l3: int) -> np.ndarray:
    """Coupling coefficients [2 l1 + 1, 2 l2 + 1, 2 l3 + 1] proportional to `gaunt`, each output component of unit norm.

    With independent inputs of unit variance each output component has unit variance. The sign is that of the Gaunt integral.
    """
    table = gaunt(l1, l2, l3)
    return table / np.linalg.norm(table[:, :, 0])


def rotation_matrix(l: int, rotation: Tensor) -> Tensor:
    """D_l [2l + 1, 2l + 1] with S_l(R r) = D_l S_l(r), for a proper or improper ``rotation`` R [3, 3] (float64)."""
    points, weights = map(torch.as_tensor, _sphere_quadrature(2 * l))
    rotated = solid_harmonics(points @ rotation.double().T, l)[:, block(l)]
    return (rotated * weights[:, None]).T @ solid_harmonics(points, l)[:, block(l)]


def random_rotation(generator: torch.Generator | None = None) -> Tensor:
    """A proper rotation [3, 3], float64, uniform (QR of a Gaussian matrix)."""
    q, r = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))
    q = q * torch.sign(torch.diagonal(r))
    return q * torch.sign(torch.linalg.det(q))
