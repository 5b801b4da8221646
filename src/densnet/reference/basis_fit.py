"""Exponents of a density basis, optimised once on labels: per element, for least integral |fit - (rho - rho_SAD)| dr.

For given exponents the coefficients of each frame minimise sum_p w_p |d_p| over a grid, d = rho - rho_SAD - sum_k c_k g_k, by iteratively
reweighted least squares. At that minimum the slope along the exponents is that at fixed coefficients (envelope theorem), so no
derivative goes through the solution. Frames take turns; the exponents follow by Adam.
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
from densnet.symmetry import degrees, solid_harmonics

CLOSEST_RATIO = 1.5
"""Least ratio of neighbouring exponents of one l: closer ones are almost the same function."""

RIDGE = 1e-9
"""Weight of squared coefficients in the normal equations, in units of their mean diagonal."""


@dataclass
class Frame:
    """One label on a grid: ``correction`` rho - rho_SAD at ``points``, quadrature ``weights``, and the last |residual| there."""

    molecule: Molecules
    electrons: int
    points: Tensor
    weights: Tensor
    correction: Tensor
    residual: Tensor

    @classmethod
    def of(cls, orbitals: Orbitals, radial: int = 30, angular: int = 110) -> Frame:
        """The label of one molecule on ``radial`` shells of ``angular`` points an atom."""
        grid = molecular_grid(orbitals.molecule, radial, angular)
        density = orbitals.values(grid.points)
        correction = density - shipped().values(orbitals.molecule, grid.points)
        molecule = orbitals.molecule.to(dtype=torch.float64)
        return cls(molecule, orbitals.electrons, grid.points, grid.weights, correction, (density + 1e-7).sqrt())

    def coefficients(self, functions: Tensor) -> Tensor:
        """[functions] one step of reweighted least squares for ``functions`` [points, functions]; renews ``residual``."""
        floor = 0.05 * float((self.weights * self.residual).sum() / self.weights.sum())
        scaled = functions * (self.weights / (self.residual + floor)).clamp(min=0).sqrt()[:, None]
        target = self.correction * (self.weights / (self.residual + floor)).clamp(min=0).sqrt()
        normal = scaled.T @ scaled
        ridge = RIDGE * float(normal.diagonal().mean())
        solution = torch.linalg.solve(normal + ridge * torch.eye(len(normal), dtype=normal.dtype), scaled.T @ target)
        self.residual = (self.correction - functions @ solution).abs()
        return solution

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

    def of_atoms(self, numbers: Tensor) -> Tensor:
        """[atoms, slots] in the layout of the basis; 1 where padded."""
        table = []
        for shells in self():
            parts = [nn.functional.pad(a, (0, n - len(a)), value=1.0) for a, n in zip(shells, self.basis.counts)]
            parts += [torch.ones(n, dtype=torch.float64) for n in self.basis.counts[len(shells) :]]
            table.append(torch.cat(parts))
        return torch.stack(table)[torch.searchsorted(torch.tensor(self.basis.elements), numbers)]

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


def functions_at(basis: DensityBasis, molecule: Molecules, exponents: Tensor, points: Tensor) -> Tensor:
    """[points, functions] values of every function of one ``molecule``, padding left out; ``exponents`` [atoms, slots]."""
    vectors = points[None] - molecule.positions[:, None]
    radial = torch.exp(-exponents[:, None] * vectors.square().sum(-1, keepdim=True)) * gaussians.norms(
        gaussians.degrees(basis, exponents), exponents
    ).unsqueeze(1)
    components = torch.tensor([l * l + m for l, _ in basis.slots for m in range(2 * l + 1)])
    values = radial[..., basis.column_slots()] * solid_harmonics(vectors, len(set(degrees(basis.l_max))) - 1)[..., components]
    return values.transpose(0, 1).flatten(1)[:, basis.mask(molecule.numbers).flatten()]


def fit_floor(basis: DensityBasis, orbitals: Orbitals, rounds: int = 5) -> float:
    """Least integral |fit - rho| dr that fixed exponents reach on one label, percent of the electrons, on a fine grid."""
    frame, basis = Frame.of(orbitals, 40, 194), basis.restrict(orbitals.molecule.numbers.unique().tolist())
    functions = functions_at(basis, frame.molecule, basis.exponents(frame.molecule.numbers), frame.points)
    for _ in range(rounds):
        frame.coefficients(functions)
    return frame.error()


def optimise(
    start: DensityBasis, labels: Sequence[Orbitals], *, name: str, steps: int = 600, rate: float = 0.03, seed: int = 0,
    report: Callable[[int, float], None] = lambda step, error: None,
) -> DensityBasis:  # fmt: skip
    """``start`` with exponents that fit the densities of ``labels`` best; ``report`` is told (step, running error in percent)."""
    generator = torch.Generator().manual_seed(seed)
    frames = [Frame.of(orbitals) for orbitals in labels]
    exponents = Exponents(start)
    optimiser = torch.optim.Adam(exponents.parameters(), lr=rate, betas=(0.9, 0.99))
    running = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-4
        frame = frames[int(torch.randint(len(frames), (1,), generator=generator))]
        basis, numbers = start, frame.molecule.numbers
        with torch.no_grad():
            functions = functions_at(basis, frame.molecule, exponents.of_atoms(numbers), frame.points)
            coefficients = frame.coefficients(functions)
            coefficients = frame.coefficients(functions)
        mask = basis.mask(numbers)
        spread = torch.zeros(mask.shape, dtype=torch.float64).masked_scatter(mask, coefficients)
        vectors = frame.points[None] - frame.molecule.positions[:, None]
        density = gaussians.values(basis, spread, exponents.of_atoms(numbers), vectors).sum(0)
        loss = 100 * (frame.weights * (frame.correction - density).abs()).sum() / frame.electrons
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        running = frame.error() if step == 0 else 0.98 * running + 0.02 * frame.error()
        report(step, running)
    return exponents.as_basis(name)
