"""Time steps of batched molecules under any force function: velocity Verlet, Langevin, stochastic velocity rescaling.

`init` makes a `State`; `velocity_verlet`, `langevin` and `velocity_rescaling` each return a `Step`, a function State -> State.
A state is never changed in place and lives in float64, whatever the precision of the forces.

What a time step does to averages: positions are sampled as they should be, but velocities on the step, in a well of angular frequency w,
with ``<m v^2> = k_B T (1 - (w dt / 2)^2)``. At half steps it is k_B T, so thermostats act on the velocities there, and a temperature is
that of `half_step_kinetic_energy`.
Masses are in electron masses, times in hbar / hartree, temperatures as k_B T in hartree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Generator, Tensor

from densnet.molecules import Molecules
from densnet.properties import Properties, Uncertainty

ForceFunction = Callable[[Molecules], Properties]
"""Geometry (float64, bohr) -> energy, forces and, if known, dipole."""


@dataclass(frozen=True)
class Forces:
    """Two functions of the same forces.

    plain    for most steps
    sampled  for those whose state is recorded: it knows more, and may cost more
    """

    plain: ForceFunction
    sampled: ForceFunction


@dataclass(frozen=True)
class State:
    """A batch of molecules at one moment.

    molecules   geometry, positions in bohr, float64
    masses      [atoms, 1] electron masses
    velocities  [atoms, 3] bohr hartree / hbar
    known       what the force function says of ``molecules``, but for densities: energy, forces, and what else it knows; float64
    bath        [molecules] hartree, what a thermostat has given: potential + kinetic - bath is conserved
    step        number of steps done
    inner       what a step keeps for the next one and nobody else looks at (a chain of thermostats, beads); restarts hold it
    """

    molecules: Molecules
    masses: Tensor
    velocities: Tensor
    known: Properties
    bath: Tensor
    step: int
    inner: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def energy(self) -> Tensor:
        """[molecules] hartree, potential."""
        return self.known.energy

    @property
    def forces(self) -> Tensor:
        """[atoms, 3] hartree / bohr."""
        return self.known.forces

    @property
    def dipole(self) -> Tensor | None:
        """[molecules, 3] e bohr; None where the force function knows none."""
        return self.known.dipole

    @property
    def uncertainty(self) -> Uncertainty | None:
        """What the force function expects of its own errors; None where it knows nothing of them."""
        return self.known.uncertainty

    @property
    def kinetic(self) -> Tensor:
        """[molecules] hartree, sum of m v^2 / 2."""
        return kinetic_energy(self.molecules, self.masses, self.velocities)

    @property
    def conserved(self) -> Tensor:
        """[molecules] hartree, potential + kinetic - bath: constant but for the error of the time step."""
        return self.energy + self.kinetic - self.bath

    def half_step_kinetic(self, timestep: float) -> Tensor:
        """[molecules] hartree, `half_step_kinetic_energy` around this moment."""
        return half_step_kinetic_energy(self.molecules, self.masses, self.velocities, self.forces, timestep)


Step = Callable[[State], State]


def kinetic_energy(molecules: Molecules, masses: Tensor, velocities: Tensor) -> Tensor:
    """[molecules] hartree, sum of m v^2 / 2; ``masses`` [atoms, 1], ``velocities`` [atoms, 3]."""
    return molecules.total((velocities.square() * masses) @ velocities.new_full((3,), 0.5))  # a product: a sum over 3 columns is slow


def half_step_kinetic_energy(molecules: Molecules, masses: Tensor, velocities: Tensor, forces: Tensor, timestep: float) -> Tensor:
    """[molecules] hartree, the mean of the kinetic energies half a step before and after: sum of m (v^2 + (F dt / 2m)^2) / 2.

    Its canonical mean is k_B T / 2 a degree of freedom, exactly in a harmonic well, whatever the time step.
    """
    kick = forces * (timestep / (2 * masses))
    return kinetic_energy(molecules, masses, velocities) + kinetic_energy(molecules, masses, kick)


def init(force_function: ForceFunction, molecules: Molecules, velocities: Tensor, step: int = 0) -> State:
    """The state of ``molecules`` moving with ``velocities`` [atoms, 3] (bohr hartree / hbar); one call of the force function."""
    molecules = molecules.at(molecules.positions.detach().double())
    bath = torch.zeros(molecules.count, dtype=torch.float64, device=molecules.positions.device)
    masses = molecules.masses[:, None]
    return State(molecules, masses, velocities.double(), evaluate(force_function, molecules), bath, step)


def velocity_verlet(force_function: ForceFunction, masses: Tensor, timestep: float) -> Step:
    """Newton's equations, v += F dt/2m; x += v dt; v += F dt/2m: time-reversible, error O(dt^2), total energy without drift."""
    kick = timestep / (2 * masses)

    def step(state: State) -> State:
        velocities = torch.addcmul(state.velocities, state.forces, kick)
        molecules = _drift(state.molecules, velocities, timestep)
        known = evaluate(force_function, molecules)
        velocities = torch.addcmul(velocities, known.forces, kick)
        return replace(state, molecules=molecules, velocities=velocities, known=known, step=state.step + 1)

    return step


def langevin(
    force_function: ForceFunction, masses: Tensor, timestep: float, temperature: float, friction: float, generator: Generator
) -> Step:
    """Langevin dynamics by the BAOAB splitting (Leimkuhler and Matthews, Appl. Math. Res. Express 2013, 34).

    The middle O step is exact: v <- c v + sqrt((1 - c^2) k_B T / m) N(0, 1), c = exp(-friction dt), for every one of the 3N momenta.
    ``temperature`` k_B T in hartree; ``friction`` in hartree / hbar (1/ps is ``1 / units.PICOSECOND``).
    """
    damping = float(torch.tensor(-friction * timestep, dtype=torch.float64).exp())
    spread = ((1 - damping**2) * temperature / masses).sqrt()

    def knock(molecules: Molecules, velocities: Tensor) -> Tensor:
        noise = torch.randn(velocities.shape, dtype=velocities.dtype, device=velocities.device, generator=generator)
        return torch.addcmul(velocities * damping, noise, spread)

    return _middle(force_function, masses, timestep, knock)


def _middle(force_function: ForceFunction, masses: Tensor, timestep: float, thermostat: Callable[[Molecules, Tensor], Tensor]) -> Step:
    """Velocity Verlet with a ``thermostat`` in the middle of the drift, where velocities are canonical; the bath gets the heat."""
    kick = timestep / (2 * masses)

    def step(state: State) -> State:
        before = torch.addcmul(state.velocities, state.forces, kick)
        molecules = _drift(state.molecules, before, timestep / 2)
        velocities = thermostat(molecules, before)
        bath = state.bath + kinetic_energy(molecules, masses, velocities) - kinetic_energy(molecules, masses, before)
        molecules = _drift(molecules, velocities, timestep / 2)
        known = evaluate(force_function, molecules)
        velocities = torch.addcmul(velocities, known.forces, kick)
        return replace(state, molecules=molecules, velocities=velocities, known=known, bath=bath, step=state.step + 1)

    return step


@dataclass(frozen=True)
class Rescaling:
    """The canonical rescaling of one kinetic energy a molecule (Bussi, Donadio, Parrinello, J. Chem. Phys. 126, 014101, 2007, eq. A7).

    freedom       [molecules] degrees of freedom that carry kinetic energy
    temperature   k_B T, hartree
    memory        exp(-t / time constant), t the time between two rescalings
    """

    freedom: Tensor
    temperature: float
    memory: float
    generator: Generator

    @cached_property
    def _live(self) -> Tensor:
        """[molecules, most] which of the normal numbers drawn belong to a degree of freedom."""
        return torch.arange(max(1, int(self.freedom.max())), device=self.freedom.device) < self.freedom[:, None]

    def factors(self, kinetic: Tensor) -> Tensor:
        """[molecules] the factor of all velocities of a molecule whose kinetic energy is ``kinetic`` (hartree); 1 if none can move."""
        noise = torch.randn(self._live.shape, dtype=kinetic.dtype, device=kinetic.device, generator=self.generator) * self._live
        first, chi = noise[:, 0], noise.square().sum(1)
        # half k_B T per degree of freedom, in units of the kinetic energy at hand
        share = (1 - self.memory) * self.temperature / (2 * kinetic)
        squared = self.memory + share * chi + 2 * first * (self.memory * share).sqrt()
        factors = squared.clamp(min=0).sqrt() * torch.sign(first + (self.memory / share).sqrt())
        return torch.where(self.freedom > 0, factors, 1.0)


def velocity_rescaling(force_function: ForceFunction, masses: Tensor, timestep: float, rescaling: Rescaling, every: int = 1) -> Step:
    """Velocity Verlet and, in the middle of each ``every``-th step, one global `Rescaling` a molecule: canonical, gentle on line shapes.

    The memory of ``rescaling`` is that over ``every`` steps. Momentum and angular momentum that are zero stay zero.
    """

    def rescale(molecules: Molecules, velocities: Tensor) -> Tensor:
        return velocities * rescaling.factors(kinetic_energy(molecules, masses, velocities))[molecules.owner, None]

    newton, rescaled = velocity_verlet(force_function, masses, timestep), _middle(force_function, masses, timestep, rescale)
    return lambda state: newton(state) if (state.step + 1) % every else rescaled(state)


def _drift(molecules: Molecules, velocities: Tensor, time: float) -> Molecules:
    return molecules.at(torch.add(molecules.positions, velocities, alpha=time))


def evaluate(force_function: ForceFunction, molecules: Molecules) -> Properties:
    """What a `State` keeps of ``molecules``: all that ``force_function`` knows but densities and orbitals, in float64."""
    found = force_function(molecules).require("energy", "forces")
    kept = {name: values.detach().double() for name, values in found.tensors().items() if not name.startswith(("density.", "response."))}
    return found.with_tensors(molecules, kept)
