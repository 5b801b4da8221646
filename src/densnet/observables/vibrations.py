"""Relaxed geometry -> Hessian -> normal modes -> harmonic free energies of conformers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from densnet import units
from densnet.errors import DensnetError
from densnet.markup import shown, table
from densnet.molecules import LINEAR, Molecules, formula_of
from densnet.observables.response import ForceFunction, slopes


class VibrationError(DensnetError):
    """A relaxation, Hessian or free energy that cannot be had; the message names the value and the remedy."""


@dataclass(frozen=True)
class Modes:
    """Normal modes of one molecule, translations and rotations removed, in ascending order of eigenvalue.

    molecule          the geometry they belong to
    eigenvalues       [modes] hartree / (bohr^2 m_e): squared angular frequencies, negative for imaginary ones
    vectors           [modes, atoms, 3] orthonormal in mass-weighted coordinates
    dipole_slopes     [modes, 3] dmu/dQ in e / sqrt(m_e), or None where the dipole derivatives are unknown
    """

    molecule: Molecules
    eigenvalues: Tensor
    vectors: Tensor
    dipole_slopes: Tensor | None = None

    @property
    def frequencies(self) -> Tensor:
        """[modes] cm^-1; an imaginary frequency is given as a negative number."""
        return self.eigenvalues.sign() * self.eigenvalues.abs().sqrt() / units.INVERSE_CM

    @property
    def displacements(self) -> Tensor:
        """[modes, atoms, 3] Cartesian ``dR/dQ = vectors / sqrt(m)``, 1 / sqrt(m_e)."""
        return self.vectors / self.molecule.masses.sqrt()[None, :, None]

    @property
    def reduced_masses(self) -> Tensor:
        """[modes] electron masses: ``1 / sum |dR/dQ|^2``."""
        return 1.0 / (self.displacements**2).sum(dim=(1, 2))

    @property
    def intensities(self) -> Tensor:
        """[modes] km/mol: ``|dmu/dQ|^2``. Raises `VibrationError` where the dipole derivatives are unknown."""
        if self.dipole_slopes is None:
            raise VibrationError("these modes have no intensities: the force function gives no dipole; use one that does.")
        return (self.dipole_slopes**2).sum(dim=1) / units.KM_PER_MOL


    def _repr_html_(self) -> str:
        """In a notebook: a line for each mode, the highest wavenumber first."""
        intensities = [None] * len(self.vectors) if self.dipole_slopes is None else [f"{x:.1f}" for x in self.intensities.tolist()]
        waves, masses = [f"{x:.1f}" for x in self.frequencies.tolist()], (self.reduced_masses / units.AMU).tolist()
        rows = [[k, *row] for k, row in enumerate(zip(waves, intensities, masses), start=1)]
        titles = ["mode", "cm⁻¹", "km/mol", "reduced mass, u"]
        return shown(f"Normal modes of {formula_of(self.molecule)}", table(titles, reversed(rows)))


def relax(force_function: ForceFunction, molecule: Molecules, tolerance: float = 1e-5, max_steps: int = 500) -> Molecules:
    """The molecule at a stationary point: BFGS on the forces until none of their components exceeds ``tolerance`` (hartree/bohr).

    Only forces steer it, so rounding in a total energy of many hartree does no harm.
    Raises `VibrationError` when ``max_steps`` do not suffice.
    """
    for place, gradient in islice(descent(force_function, molecule), max_steps + 1):
        if gradient.abs().max() <= tolerance:
            return place
    raise VibrationError(
        f"the geometry did not relax in {max_steps} steps: the largest force is still {float(gradient.abs().max()):.1e} hartree/bohr "
        f"(wanted {tolerance:.1e}); start nearer to a minimum, allow more steps, or check the forces."
    )


def descent(force_function: ForceFunction, molecule: Molecules, hessian: Tensor | None = None) -> Iterator[tuple[Molecules, Tensor]]:
    """The way from ``molecule`` to a stationary point, without end: geometries, each with its gradient [3 atoms] (hartree/bohr).

    Steps follow ``-|H|^-1 g``, at most 0.2 bohr an atom; H [3 atoms, 3 atoms] begins as ``hessian`` (of another surface, for instance; by
    default 0.5 hartree/bohr^2 in every direction) and learns from the gradients (BFGS).
    """
    x = molecule.positions.detach().double().reshape(-1)
    hessian = torch.eye(len(x), dtype=torch.float64, device=x.device) * 0.5 if hessian is None else 0.5 * (hessian + hessian.T)
    gradient = _gradient(force_function, molecule, x)
    while True:
        yield molecule.at(x.reshape(-1, 3)), gradient
        values, vectors = torch.linalg.eigh(hessian)
        step = -vectors @ ((vectors.T @ gradient) / values.abs().clamp(min=1e-3))
        step = step * min(1.0, 0.2 / float(step.reshape(-1, 3).norm(dim=1).max()))
        x = x + step
        previous, gradient = gradient, _gradient(force_function, molecule, x)
        change, curved = gradient - previous, hessian @ step
        if (step @ change).abs() > 1e-12 and (step @ curved).abs() > 1e-12:
            hessian = hessian + torch.outer(change, change) / (step @ change) - torch.outer(curved, curved) / (step @ curved)


def _gradient(force_function: ForceFunction, molecule: Molecules, x: Tensor) -> Tensor:
    gradient = -force_function(molecule.at(x.reshape(-1, 3))).forces.detach().double().reshape(-1)
    if not torch.isfinite(gradient).all():
        raise VibrationError("a force is not finite during relaxation; the start geometry is outside the range of the force function.")
    return gradient


def normal_modes(force_function: ForceFunction, molecule: Molecules, step: float = 0.01, chunk: int = 64) -> Modes:
    """`modes` of a (relaxed) molecule from central differences of its forces and dipoles; ``step`` in bohr."""
    found = slopes(force_function, molecule, step, chunk)
    return modes(molecule, found.hessian, found.dipole)


def modes(molecule: Molecules, hessian: Tensor, dipole_derivatives: Tensor | None = None, tolerance: float = 1e-3) -> Modes:
    """Diagonalise ``M^-1/2 H M^-1/2`` in the space orthogonal to translations and rotations.

    hessian             [3 atoms, 3 atoms] hartree / bohr^2; refused when it differs from its transpose by more than ``tolerance``
    dipole_derivatives  [atoms, 3, 3] e: d mu_b / d R_Aa
    """
    asymmetry = float((hessian - hessian.T).abs().max())
    if not asymmetry <= tolerance:
        raise VibrationError(
            f"the Hessian is not symmetric: it differs from its transpose by {asymmetry:.1e} hartree/bohr^2 (at most {tolerance:.1e}); "
            "the forces are noisy or no gradient of an energy. Converge them tighter or use a larger step."
        )
    roots = molecule.masses.sqrt().repeat_interleave(3)
    inner = _internal(molecule)
    weighted = 0.5 * (hessian + hessian.T).double() / torch.outer(roots, roots)
    eigenvalues, vectors = torch.linalg.eigh(inner.T @ weighted @ inner)
    vectors = (inner @ vectors).T
    slopes_q = None if dipole_derivatives is None else (vectors / roots) @ dipole_derivatives.double().reshape(-1, 3)
    return Modes(molecule, eigenvalues, vectors.reshape(len(eigenvalues), len(molecule.numbers), 3), slopes_q)


def carried(modes: Modes, molecule: Molecules) -> Modes:
    """``modes`` at another geometry nearby: the orthonormal vectors nearest to theirs without translation and rotation there (Loewdin).

    Eigenvalues and dipole slopes stay.
    """
    inner = _internal(molecule)
    left, _, right = torch.linalg.svd(modes.vectors.double().flatten(1) @ inner)
    return replace(modes, molecule=molecule, vectors=(left @ right @ inner.T).reshape(modes.vectors.shape))


def _internal(molecule: Molecules) -> Tensor:
    """[3 atoms, modes] orthonormal mass-weighted directions without translation and rotation: 3 atoms - 6, or - 5 if linear."""
    roots = molecule.masses.sqrt()[:, None]
    arms = _arms(molecule)
    axes = torch.eye(3, dtype=torch.float64, device=arms.device)
    shifts = (roots[None] * axes[:, None, :]).reshape(3, -1)
    turns = (roots[None] * torch.linalg.cross(axes[:, None, :].expand(-1, len(arms), -1), arms[None])).reshape(3, -1)
    # principal axes first: the turn of a linear molecule about itself is no motion, whatever way the molecule points
    values, directions = torch.linalg.eigh(turns @ turns.T)
    turns = directions.T[values > LINEAR * values.max().clamp(min=1e-12)] @ turns
    rigid = torch.cat([shifts, turns])
    return torch.linalg.qr(rigid.T, mode="complete")[0][:, len(rigid) :]


def _arms(molecule: Molecules) -> Tensor:
    """[atoms, 3] positions from the centre of mass, bohr."""
    positions, masses = molecule.positions.detach().double(), molecule.masses[:, None]
    return positions - (masses * positions).sum(0) / masses.sum()


def principal_axes(molecule: Molecules) -> tuple[Tensor, Tensor]:
    """Moments of inertia [3], m_e bohr^2, and the principal axes in the columns of [3, 3]."""
    arms = _arms(molecule)
    spread, axes = torch.linalg.eigh(torch.einsum("n,na,nb->ab", molecule.masses, arms, arms))
    return spread.sum() - spread, axes


def free_energy(modes: Modes, energy: float, temperature: float) -> float:
    """Helmholtz energy of a conformer without its translation, hartree; ``temperature`` in K, ``energy`` at the minimum in hartree.

    Rigid rotor, harmonic oscillators with zero-point energy: ``E + sum [w/2 + kT ln(1 - exp(-w/kT))] - kT/2 sum ln(2 kT I_a)``.
    The constants that all conformers of a molecule share (symmetry number 1 included) are left out.
    """
    if (modes.eigenvalues <= 0).any():
        raise VibrationError(f"a frequency of {float(modes.frequencies.min()):.1f} cm^-1: no minimum, so no free energy; relax it further.")
    kt = temperature * units.KELVIN
    w = modes.eigenvalues.sqrt()
    vibration = (0.5 * w + kt * torch.log(-torch.expm1(-w / kt))).sum()
    moments, _ = principal_axes(modes.molecule)
    moments = moments[moments > LINEAR * moments.max()]
    return float(energy + vibration - 0.5 * kt * torch.log(2.0 * kt * moments).sum())


def populations(free_energies: Sequence[float], temperature: float, degeneracies: Sequence[float] | None = None) -> Tensor:
    """[conformers] ``g_c exp(-F_c / kT) / sum``, from `free_energy` (hartree); ``degeneracies`` g: e.g. 2 for a gauche pair."""
    values = torch.as_tensor(free_energies, dtype=torch.float64)
    counts = torch.ones_like(values) if degeneracies is None else torch.as_tensor(degeneracies, dtype=torch.float64)
    if len(counts) != len(values) or (counts <= 0).any() or not math.isfinite(temperature) or temperature <= 0:
        raise VibrationError(
            f"{len(values)} conformers at {temperature} K with degeneracies {counts.tolist()}: each needs one positive number."
        )
    return torch.softmax(-values / (temperature * units.KELVIN) + counts.log(), dim=0)
