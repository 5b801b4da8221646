"""Vibrations of a bent triatomic molecule by the variational method: what VPT2 and ring polymers approximate, for one and the same model.

    python benchmarks/variational.py [water water-pbe0] [--record]

The rotationless Watson Hamiltonian (Mol. Phys. 15, 479, 1968) in normal coordinates, atomic units,

    H = 1/2 sum_k P_k^2 + V(Q) + 1/2 sum_ab pi_a mu_ab(Q) pi_b - 1/8 sum_a mu_aa(Q),    pi_a = sum_kl zeta^a_kl Q_k P_l
    mu = I'^-1,    I'_ab = I_ab(Q) - sum_klm zeta^a_km zeta^b_lm Q_k Q_l

in products of harmonic oscillator functions; V, mu and the dipole are integrated by Gauss-Hermite quadrature. Exact but for the finite
basis and the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from experiment import Table, conclude, parser

from densnet import units
from densnet.model.predictor import load
from densnet.observables.anharmonic import vpt2
from densnet.observables.conformers import characterise
from densnet.observables.response import ForceFunction
from densnet.observables.vibrations import Modes
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.spectra.infrared import from_modes
from densnet.spectra.sticks import bands_around


@dataclass(frozen=True)
class Lines:
    """Transitions from the ground state: ``wavenumbers`` cm^-1 and ``intensities`` km/mol, [states]."""

    wavenumbers: np.ndarray
    intensities: np.ndarray

    def band(self, lower: float, upper: float) -> tuple[float, float]:
        """Centroid (cm^-1) and integral (km/mol) between limits."""
        inside = (self.wavenumbers > lower) & (self.wavenumbers < upper)
        return float(np.average(self.wavenumbers[inside], weights=self.intensities[inside])), float(self.intensities[inside].sum())


def hermite(count: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [points] in q and ``sqrt(weight) phi_n`` [points, count] there: harmonic oscillator functions of ``q = sqrt(w) Q``."""
    nodes, weights = np.polynomial.hermite.hermgauss(points)
    functions = [np.pi**-0.25 * np.ones(points), np.pi**-0.25 * 2**0.5 * nodes]
    for n in range(2, count):
        functions.append((2 / n) ** 0.5 * nodes * functions[-1] - ((n - 1) / n) ** 0.5 * functions[-2])
    return nodes, np.array(functions[:count]).T * weights[:, None] ** 0.5


def product(operators: list[np.ndarray]) -> np.ndarray:
    """Of one operator a mode."""
    return reduce(np.kron, operators)


def lines(
    force_function: ForceFunction, modes: Modes, functions: int = 9, points: int = 14, chunk: int = 512, *, rotating: bool = True
) -> Lines:
    """All transitions from the ground state; ``functions`` and quadrature ``points`` a mode. ``force_function`` need give no forces.

    Not ``rotating``: without all terms that hold mu.
    """
    w = modes.eigenvalues.sqrt().numpy()
    count, rest = len(w), modes.molecule.positions.double()
    nodes, values = hermite(functions, points)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*[nodes] * count, indexing="ij")], 1) / w**0.5  # Q [points, modes]
    geometries = rest + torch.einsum("pk,kax->pax", torch.from_numpy(grid), modes.displacements.double())
    found = [force_function(modes.molecule.copies(part)) for part in geometries.split(chunk)]
    potential = torch.cat([part.energy.detach() for part in found]).double().numpy()
    dipole = torch.cat([part.dipole.detach() for part in found]).double().numpy()
    at_points = product([values] * count)  # [points, functions]

    def matrix(local: np.ndarray) -> np.ndarray:
        return at_points.T @ (local[:, None] * at_points)

    root = np.diag(np.sqrt(np.arange(1.0, functions) / 2), 1)
    place, slope, one = root + root.T, root - root.T, np.eye(functions)  # q; d/dq, which is i P / sqrt(w)
    kinetic = sum(product([-slope @ slope / 2 * w[k] if k == j else one for j in range(count)]) for k in range(count))

    zeta = torch.linalg.cross(modes.vectors.double()[:, None], modes.vectors.double()[None]).sum(2).numpy()  # [k, l, axis]
    masses, positions = modes.molecule.masses.numpy(), geometries.numpy()
    positions = positions - np.einsum("a,pax->px", masses, positions)[:, None] / masses.sum()
    spread = np.einsum("a,pax,pay->pxy", masses, positions, positions)
    inertia = np.trace(spread, axis1=1, axis2=2)[:, None, None] * np.eye(3) - spread
    turned = np.einsum("kma,pk->pma", zeta, grid)
    mu = np.linalg.inv(inertia - np.einsum("pma,pmb->pab", turned, turned)) * rotating
    # i pi_a: real and antisymmetric
    spin = [
        sum(
            zeta[k, l, a] * (w[l] / w[k]) ** 0.5 * product([place if j == k else slope if j == l else one for j in range(count)])
            for k in range(count)
            for l in range(count)
            if k != l
        )
        for a in range(3)
    ]
    hamiltonian = kinetic + matrix(potential - potential.min() - np.trace(mu, axis1=1, axis2=2) / 8)
    for a in range(3):
        for b in range(3):
            if abs(zeta[..., a]).max() > 1e-9 and abs(zeta[..., b]).max() > 1e-9:
                hamiltonian = hamiltonian - spin[a] @ matrix(mu[:, a, b]) @ spin[b] / 2
    energies, states = np.linalg.eigh((hamiltonian + hamiltonian.T) / 2)
    gaps = energies[1:] - energies[0]
    moments = np.stack([states[:, 1:].T @ (matrix(dipole[:, x]) @ states[:, 0]) for x in range(3)], 1)
    return Lines(gaps / units.INVERSE_CM, 2 * gaps * (moments**2).sum(1) / units.KM_PER_MOL)


def band_limits(modes: Modes) -> list[tuple[float, float]]:
    """cm^-1, of the groups of harmonic lines, up to 4200."""
    return [(lower, min(upper, 4200.0)) for lower, upper in bands_around(from_modes(modes))]


def centroid(modes: Modes, values: torch.Tensor, limits: tuple[float, float]) -> float:
    """Mean of ``values`` over the modes whose harmonic wavenumber is within ``limits``, by harmonic intensities."""
    inside = (modes.frequencies > limits[0]) & (modes.frequencies < limits[1])
    return float(np.average(values[inside].numpy(), weights=modes.intensities[inside].numpy()))


def main() -> None:
    """Bands of shipped models: harmonic, by VPT2, exact, and how much a smaller basis changes that."""
    options = parser(__doc__)
    options.add_argument("names", nargs="*", default=["water", "water-pbe0"], metavar="NAME")
    chosen, rows = options.parse_args(), []
    torch.set_num_threads(1)
    for name in chosen.names:
        model = load(name).double()
        modes = characterise(model, read(shipped.geometries(name))[0].molecule, name).modes
        second, exact = vpt2(model, modes).fundamentals, lines(model.without_forces, modes)
        fewer = lines(model.without_forces, modes, functions=8, points=12)
        for limits in band_limits(modes):
            (line, integral), (same, _) = exact.band(*limits), fewer.band(*limits)
            row = [name, "{:.0f}-{:.0f}".format(*limits), *(f"{centroid(modes, v, limits):.1f}" for v in (modes.frequencies, second))]
            harmonic = modes.intensities[(modes.frequencies > limits[0]) & (modes.frequencies < limits[1])].sum()
            rows.append([*row, f"{line:.1f}", f"{abs(line - same):.1f}", f"{float(harmonic):.1f}", f"{integral:.1f}"])
    head = ["model", "band", "harmonic", "VPT2", "exact", "a smaller basis within", "harmonic, km/mol", "exact, km/mol"]
    conclude(chosen, "nuclei", {"exact": Table(head, rows)})


if __name__ == "__main__":
    main()
