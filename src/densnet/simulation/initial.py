"""Where replicas start: conformers dealt out, velocities drawn, overall motion removed, degrees of freedom counted."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from densnet import units
from densnet.errors import DensnetError
from densnet.molecules import LINEAR, Molecules

NEARLY = 0.1
"""Below this fraction a molecule may turn out to be linear, or not, at its minimum."""


class StartError(DensnetError):
    """Geometries that cannot start a simulation together; the message names them."""


def deal(conformers: Molecules, replicas: int) -> Molecules:
    """``replicas`` copies of the conformers of ONE molecule, dealt round-robin; float64 positions.

    Raises `StartError` if the conformers differ in their elements, in their isotopes, or in the order of their atoms.
    """
    molecules = conformers.split()
    for index, molecule in enumerate(molecules):
        if not torch.equal(molecule.numbers, molecules[0].numbers):
            raise StartError(
                f"geometry {index + 1} has elements {molecule.numbers.tolist()} but geometry 1 has {molecules[0].numbers.tolist()}; "
                "all start geometries must be the same molecule with its atoms in the same order."
            )
        if not torch.equal(molecule.masses, molecules[0].masses):
            masses = [[round(m, 3) for m in (one.masses / units.AMU).tolist()] for one in (molecule, molecules[0])]
            raise StartError(f"geometry {index + 1} has isotopes of {masses[0]} u but geometry 1 of {masses[1]} u; give all the same ones.")
    positions = torch.stack([molecules[i % len(molecules)].positions.double() for i in range(replicas)])
    return molecules[0].copies(positions)


def maxwell_boltzmann(molecules: Molecules, temperature: float, generator: Generator) -> Tensor:
    """[atoms, 3] velocities (bohr hartree / hbar), each component normal with variance k_B T / m; ``temperature`` k_B T in hartree."""
    masses = molecules.masses[:, None]
    noise = torch.randn(len(masses), 3, dtype=torch.float64, device=masses.device, generator=generator)
    return noise * (temperature / masses).sqrt()


def thermal(molecules: Molecules, temperature: float, generator: Generator) -> Tensor:
    """[atoms, 3] `maxwell_boltzmann` velocities for a start at rest at a minimum: vibrations at twice ``temperature``, the rest at it.

    A vibration that starts without potential energy passes half of its kinetic energy on to it. With twice k_B T / 2 it has the energy
    k_B T of equilibrium from the first step, and only the spread of energies over replicas is left to a thermostat.
    """
    velocities = maxwell_boltzmann(molecules, temperature, generator)
    return velocities + (2**0.5 - 1) * without_rotation(molecules, velocities, rotations(molecules))


def without_translation(molecules: Molecules, velocities: Tensor) -> Tensor:
    """[atoms, 3] ``velocities`` less that of each molecule's centre of mass."""
    return velocities - _centre(molecules, velocities)


def rotations(molecules: Molecules) -> Tensor:
    """[molecules] how many axes each can rotate about: 3, 2 if it is linear, 0 for an atom; to be asked of geometries at a minimum."""
    moments, _ = _principal_moments(molecules)
    return (moments > LINEAR * moments[:, -1:]).sum(1)


def nearly_linear(molecules: Molecules) -> Tensor:
    """[molecules] whether it takes the minimum to tell if they are linear."""
    smallest, largest = _principal_moments(molecules)[0][:, [0, -1]].T
    return (smallest > 1e-12 * largest) & (smallest < NEARLY * largest) & (molecules.sizes > 2)


def without_rotation(molecules: Molecules, velocities: Tensor, axes_of: Tensor) -> Tensor:
    """[atoms, 3] ``velocities`` without translation and less omega x r, omega = I^-1 L, for each molecule.

    About as many axes as ``axes_of`` [molecules] says, see `rotations`: what moves about the axis of a linear molecule is bending, and
    stays, also where the molecule is bent at the moment.
    """
    velocities = without_translation(molecules, velocities)
    arms = molecules.positions - _centre(molecules, molecules.positions)
    angular = molecules.total(molecules.masses[:, None] * torch.linalg.cross(arms, velocities))
    moments, axes = _principal_moments(molecules)
    rank = torch.arange(2, -1, -1, device=moments.device)  # moments ascend
    inverse = torch.where(rank < axes_of[:, None], 1 / moments.clamp(min=torch.finfo(moments.dtype).tiny), 0)
    omega = torch.einsum("mia,ma,mja,mj->mi", axes, inverse, axes, angular)
    return velocities - torch.linalg.cross(omega[molecules.owner], arms)


def degrees_of_freedom(molecules: Molecules, *, translation: bool, rotation: bool) -> Tensor:
    """[molecules] float64: 3N, less 3 without ``translation``, less 3 (2 if linear, 0 for an atom) without ``rotation``."""
    return (3 * molecules.sizes - 3 * (not translation) - rotations(molecules) * (not rotation)).double()


def _centre(molecules: Molecules, values: Tensor) -> Tensor:
    """[atoms, 3] the mass-weighted mean of ``values`` over the molecule that an atom belongs to."""
    masses = molecules.masses[:, None]
    return (molecules.total(masses * values) / molecules.total(masses))[molecules.owner]


def _principal_moments(molecules: Molecules) -> tuple[Tensor, Tensor]:
    """Moments of inertia [molecules, 3], ascending, and their axes [molecules, 3, axes]."""
    arms = molecules.positions - _centre(molecules, molecules.positions)
    unit = torch.eye(3, dtype=arms.dtype, device=arms.device)
    outer = arms.square().sum(1)[:, None, None] * unit - arms[:, :, None] * arms[:, None, :]
    return torch.linalg.eigh(molecules.total(molecules.masses[:, None, None] * outer))
