"""Exponents of a density basis, optimised once on labels: per element, for least integral |fit - (rho - rho_SAD)| dr.

For given exponents the coefficients of each frame minimise sum_p w_p |d_p| over a grid, d = rho - rho_SAD - sum_k c_k g_k, by iteratively
reweighted least squares. At that minimum the slope along the exponents is that at fixed coefficients (envelope theorem), so no
derivative goes through the solution. A few frames a step take turns; the exponents follow by Adam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.density.grids import molecular_grid
from densnet.density.orbitals import Orbitals
from densnet.density.promolecule import shipped
from densnet.molecules import SYMBOLS, Molecules
from densnet.symmetry import solid_harmonics

CLOSEST_RATIO = 1.5
"""Least ratio of neighbouring exponents of one l: closer ones are almost the same function."""

RIDGE = 1e-9
"""Weight of squared coefficients in the normal equations, in units of their mean diagonal."""


@dataclass
class Frame:
    """One label on a grid: ``correction`` rho - rho_SAD at ``points``, quadrature ``weights``, and the last |residual| there."""

    molecule: Molecules
    basis: DensityBasis
    electrons: int
    points: Tensor
    weights: Tensor
    correction: Tensor
    residual: Tensor

    @classmethod
    def of(cls, orbitals: Orbitals, basis: DensityBasis, radial: int = 30, angular: int = 86) -> Frame:
        """The label of one molecule on ``radial`` shells of ``angular`` points an atom; ``basis`` is kept for its elements only."""
        grid = molecular_grid(orbitals.molecule, radial, angular)
        density = orbitals.values(grid.points)
        correction = density - shipped().values(orbitals.molecule, grid.points)
        molecule = orbitals.molecule.to(dtype=torch.float64)
        own = basis.restrict(molecule.numbers.unique().tolist())
        return cls(molecule, own, orbitals.electrons, grid.points, grid.weights, correction, (density + 1e-7).sqrt())

    def functions(self, exponents: Tensor) -> Tensor:
        """[points, functions] values of every function, padding left out; ``exponents`` [atoms, slots]."""
        vectors = self.points[None] - self.molecule.positions[:, None]
        norms = gaussians.norms(gaussians.degrees(self.basis, exponents), exponents)
        radial = torch.exp(-exponents[:, None] * vectors.square().sum(-1, keepdim=True)) * norms.unsqueeze(1)
        components = torch.tensor([l * l + m for l, _ in self.basis.slots for m in range(2 * l + 1)])
        values = radial[..., self.basis.column_slots()] * solid_harmonics(vectors, self.basis.l_max)[..., components]
        return values.transpose(0, 1).flatten(1)[:, self.basis.mask(self.molecule.numbers).flatten()]

    def solve(self, functions: Tensor) -> Tensor:
        """[functions] one step of reweighted least squares for ``functions`` [points, functions]; renews ``residual``."""
        floor = 0.05 * float((self.weights * self.residual).sum() / self.weights.sum())
        root = (self.weights / (self.residual + floor)).clamp(min=0).sqrt()
        scaled, target = functions * root[:, None], self.correction * root
        normal = scaled.T @ scaled
        ridge = RIDGE * float(normal.diagonal().mean())
        solution = torch.linalg.solve(normal + ridge * torch.eye(len(normal), dtype=normal.dtype), scaled.T @ target)
        self.residual = (self.correction - functions @ solution).abs()
        return solution

    def density(self, coefficients: Tensor, exponents: Tensor) -> Tensor:
        """[points] the fitted correction, differentiable in ``exponents`` [atoms, slots]."""
        mask = self.basis.mask(self.molecule.numbers)
        spread = torch.zeros(mask.shape, dtype=torch.float64).masked_scatter(mask, coefficients)
        return gaussians.values(self.basis, spread, exponents, self.points[None] - self.molecule.positions[:, None]).sum(0)

    def error(self) -> float:
        """integral |residual| dr in percent of the electrons."""
        return 100 * float((self.weights * self.residual).sum()) / self.electrons


class Exponents(nn.Module):
    """The exponents of a basis as free parameters: neighbours of one l stay a factor `CLOSEST_RATIO` apart."""

    def __init__(self, start: DensityBasis):
        super().__init__()
        self.basis = start
        shells = [shell for shells in start.shells for shell in shells if shell]
        self.smallest = nn.Parameter(torch.tensor([math.log(shell[-1]) for shell in shells], dtype=torch.float64))
        self.gaps = nn.ParameterList(
            torch.tensor([_inverse_softplus(math.log(a / b / CLOSEST_RATIO)) for a, b in zip(shell, shell[1:])], dtype=torch.float64)
            for shell in shells
        )

    def forward(self) -> list[list[Tensor]]:
        """Per element, per l: exponents in descending order."""
        rows = iter(zip(self.smallest, self.gaps))
        return [[self._shell(*next(rows)) if shell else torch.zeros(0).double() for shell in shells] for shells in self.basis.shells]

    def of_atoms(self, numbers: Tensor, layout: DensityBasis) -> Tensor:
        """[atoms, slots] in the ``layout`` of a part of the basis; 1 where padded."""
        shells_of = dict(zip(self.basis.elements, self()))
        rows = {}
        for number in layout.elements:
            shells = shells_of[number] + [torch.zeros(0).double()] * (layout.l_max + 1 - len(shells_of[number]))
            rows[number] = torch.cat([nn.functional.pad(a, (0, n - len(a)), value=1.0) for a, n in zip(shells, layout.counts)])
        return torch.stack([rows[number] for number in numbers.tolist()])

    def as_basis(self, name: str) -> DensityBasis:
        """The basis with the present exponents, to six digits."""
        content = {
            SYMBOLS[number]: [(l, float(f"{a:.6g}")) for l, shell in enumerate(shells) for a in shell.tolist()]
            for number, shells in zip(self.basis.elements, self())
        }
        return DensityBasis.of(name, content)

    def _shell(self, smallest: Tensor, gaps: Tensor) -> Tensor:
        steps = math.log(CLOSEST_RATIO) + nn.functional.softplus(gaps)
        return torch.exp(smallest + torch.cat([steps.flip(0).cumsum(0).flip(0), steps.new_zeros(1)]))


def _inverse_softplus(y: float) -> float:
    y = max(y, 0.02)
    return y + math.log(-math.expm1(-y))


def fit_floor(basis: DensityBasis, orbitals: Orbitals, rounds: int = 6) -> float:
    """Least integral |fit - rho| dr that fixed exponents reach on one label, percent of the electrons."""
    frame = Frame.of(orbitals, basis, 40, 194)
    functions = frame.functions(frame.basis.exponents(frame.molecule.numbers))
    for _ in range(rounds):
        frame.solve(functions)
    return frame.error()


def optimise(
    start: DensityBasis, labels: Sequence[Orbitals], *, name: str, steps: int = 200, batch: int = 6, rate: float = 0.02,
    report: Callable[[int, float], None] = lambda step, error: None,
) -> DensityBasis:  # fmt: skip
    """``start`` with exponents that fit the densities of ``labels`` best; ``report`` is told (step, mean error of all frames, percent)."""
    generator = torch.Generator().manual_seed(0)
    frames = [Frame.of(orbitals, start) for orbitals in labels]
    exponents = Exponents(start)
    optimiser = torch.optim.Adam(exponents.parameters(), lr=rate, betas=(0.9, 0.98))
    queue: list[int] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-4
        optimiser.zero_grad()
        for _ in range(batch):
            queue = queue or torch.randperm(len(frames), generator=generator).tolist()
            _slope(frames[queue.pop()], exponents, batch)
        optimiser.step()
        report(step, sum(frame.error() for frame in frames) / len(frames))
    return exponents.as_basis(name)


def _slope(frame: Frame, exponents: Exponents, batch: int) -> None:
    """Add this frame's share of the gradient along the exponents."""
    current = exponents.of_atoms(frame.molecule.numbers, frame.basis)
    functions = frame.functions(current.detach())
    frame.solve(functions)
    coefficients = frame.solve(functions)
    error = (frame.correction - frame.density(coefficients, current)).abs()
    (100 * (frame.weights * error).sum() / frame.electrons / batch).backward()
