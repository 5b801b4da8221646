"""Ring polymers: quantum nuclei by path integrals, at equilibrium (`Pimd`) and, approximately, in time (`Trpmd`).

Each replica is P copies of its molecule, "beads" x_j, in a ring of springs. In normal modes of the ring, ``x_j = sum_k T_jk u_k`` with u_0
the centroid and T^T T = P, the energy of a bead in the mean is

    H = sum_k m (v_k^2 + w_k^2 u_k^2) / 2 + sum_j V(x_j) / P,    w_k = 2 (P k_B T / hbar) sin(k pi / P),

and beads of the canonical ensemble of H at the temperature T have the quantum distribution of positions as P grows (Parrinello and Rahman,
J. Chem. Phys. 80, 860, 1984). Each mode obeys ``m u'' = -m w_k^2 u - sum_j T_jk dV(x_j) / P - m g_k u' + noise``. Internal modes, k > 0,
have the friction ``g_k = 2 lambda w_k`` (PILE: Ceriotti et al., J. Chem. Phys. 133, 124104, 2010). A centroid without friction is
thermostatted ring-polymer molecular dynamics (TRPMD: Rossi, Ceriotti, Manolopoulos, J. Chem. Phys. 140, 234116, 2014): correlations of
centroids and of means over beads approximate Kubo-transformed ones, exactly so in harmonic wells for what is linear in positions.

The step is BCOCB (Korol, Rosa-Raices, Bou-Rabee, Miller, J. Chem. Phys. 152, 104102, 2020): half a kick, half of the Cayley map of the free
ring, friction and noise, the other half of each. In a harmonic well of angular frequency W it is stable for W dt < 2 whatever the
number of beads, and every mode has exactly its ``<u_k^2> = k_B T / m (w_k^2 + W^2)``. The centroid moves as in `integrators`:
velocity Verlet, or BAOAB with friction, so that what is made of its half-step velocities, and the shift of its lines, is known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import pi
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from densnet import units
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.simulation import initial
from densnet.simulation.ensembles import Conditions, Ensemble
from densnet.simulation.integrators import ForceFunction, State, Step, evaluate


def transformation(beads: int) -> Tensor:
    """T [beads, modes]: ``x_j = sum_k T_jk u_k``. Mode 0 is the centroid, k and P - k (cosine and sine) have one frequency; T^T T = P."""
    j, k = torch.arange(beads, dtype=torch.float64)[:, None], torch.arange(beads, dtype=torch.float64)
    angle = 2 * pi * j * k / beads
    wave = 2**0.5 * torch.where(2 * k < beads, angle.cos(), angle.sin())
    alternating = 1 - 2 * (j % 2)
    return torch.where(k == 0, 1.0, torch.where(2 * k == beads, alternating, wave))


def frequencies(beads: int, temperature: float) -> Tensor:
    """w_k [modes] of the free ring polymer, hartree / hbar, ``temperature`` k_B T in hartree: ``2 P k_B T sin(k pi / P)``."""
    return 2 * beads * temperature * (pi * torch.arange(beads, dtype=torch.float64) / beads).sin()


def kinetic_share(beads: int, quantum: float) -> float:
    """Kinetic energy of a harmonic oscillator by so many beads over that of quantum mechanics; ``quantum`` is hbar W / k_B T.

    ``sum_k (W / P)^2 / ((w_k / P)^2 + (W / P)^2)`` half k_B T, against ``(W / 4) coth(W / 2 k_B T)``.
    """
    squares = frequencies(beads, 1.0).square()
    by_beads = float((quantum**2 / (squares + quantum**2)).sum()) / 2
    return by_beads / (quantum / 4 / float(torch.tanh(torch.tensor(quantum / 2, dtype=torch.float64))))


@dataclass(frozen=True)
class Ring:
    """The rings of all replicas, and a time step of the free ring; tensors [modes, 1, 1] go with positions [modes, atoms, 3].

    replicas     one geometry each                 beads      T [beads, modes]
    frequencies  w_k [modes, 1, 1]                 timestep   hbar / hartree
    cosine, time [modes, 1, 1] of the angle a by which half of a Cayley map turns a mode, ``tan a = w_k dt / 2``: cos a, sin a / w_k
    """

    replicas: Molecules
    beads: Tensor
    frequencies: Tensor
    timestep: float

    @classmethod
    def of(cls, beads: int, replicas: Molecules, conditions: Conditions) -> Ring:
        """So many ``beads`` for each of ``replicas``."""
        device = replicas.positions.device
        modes = frequencies(beads, conditions.temperature)[:, None, None].to(device)
        return cls(replicas, transformation(beads).to(device), modes, conditions.timestep)

    @cached_property
    def every(self) -> Molecules:
        """All beads of all replicas: first beads, second beads, ..."""
        return Molecules.concatenate([self.replicas] * len(self.beads))

    @cached_property
    def cosine(self) -> Tensor:
        """[modes, 1, 1] cos a."""
        return 1 / (1 + (self.frequencies * self.timestep / 2).square()).sqrt()

    @cached_property
    def time(self) -> Tensor:
        """[modes, 1, 1] sin a / w_k, dt / 2 of the centroid."""
        return self.cosine * self.timestep / 2

    @cached_property
    def kick(self) -> Tensor:
        """[atoms, 1] velocity per force in half a time step."""
        return self.timestep / (2 * self.replicas.masses[:, None])

    def half(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and velocities of the modes [modes, atoms, 3] after half of a free step."""
        return self.cosine * u + self.time * v, self.cosine * v - self.frequencies.square() * self.time * u

    def kinetic(self, v: Tensor) -> Tensor:
        """[molecules] hartree, of the modes with velocities ``v`` [modes, atoms, 3]."""
        return self.replicas.total(v.square().sum((0, 2)) * self.replicas.masses) / 2

    def internal(self, u: Tensor, v: Tensor) -> Tensor:
        """[molecules] hartree, kinetic energy and springs of the internal ones of all modes ``u``, ``v`` [modes, atoms, 3]."""
        return self.kinetic(v[1:]) + self.kinetic((self.frequencies * u)[1:])

    def look(self, force_function: ForceFunction, centroid: Molecules, u: Tensor) -> tuple[Properties, Tensor]:
        """Of modes at ``u``: means over the beads of what is known, and forces [modes, atoms, 3]; one call for all beads.

        Of novelty it is the largest: a replica has left what the model knows as soon as one of its beads has.
        """
        beads = len(self.beads)
        found = evaluate(force_function, self.every.at((self.beads @ u.flatten(1)).view(-1, 3)))
        values = {name: value.unflatten(0, (beads, -1)) for name, value in found.tensors().items()}
        means = {name: value.amax(0) if name == "uncertainty.novelty" else value.mean(0) for name, value in values.items()}
        forces = self.beads.T @ found.forces.view(beads, -1) / beads
        return found.with_tensors(centroid, means), forces.view_as(u)


def ring_polymer(force_function: ForceFunction, ring: Ring, temperature: float, friction: Tensor, generator: Generator) -> Step:
    """The BCOCB step; ``friction`` [modes, 1, 1] in hartree / hbar, ``temperature`` k_B T in hartree.

    Internal modes are in `State.inner`: "positions", "velocities" and "forces" [modes - 1, atoms, 3]. What is known of a state is the mean
    over the beads. Its bath is the heat less the energy of internal modes, so that energy + kinetic - bath, of which the kinetic energy is
    the centroid's, is conserved: it fluctuates by the error of the time step, some meV an atom at 0.5 fs, and drifts in anharmonic wells.
    """
    damping = (-friction * ring.timestep).exp()
    spread = ((1 - damping.square()) * temperature / ring.replicas.masses[:, None]).sqrt()

    def step(state: State) -> State:
        u, v, f = modes_of(state)
        held = ring.internal(u, v)
        u, v = ring.half(u, v + ring.kick * f)
        noise = torch.randn(v.shape, dtype=v.dtype, device=v.device, generator=generator)
        knocked = torch.addcmul(damping * v, noise, spread)
        heat = ring.kinetic(knocked) - ring.kinetic(v)
        u, v = ring.half(u, knocked)
        molecules = state.molecules.at(u[0])
        known, f = ring.look(force_function, molecules, u)
        v = v + ring.kick * f
        bath = state.bath + heat + held - ring.internal(u, v)
        inner = internal_modes(u, v, f)
        return replace(state, molecules=molecules, velocities=v[0], known=known, bath=bath, step=state.step + 1, inner=inner)

    return step


def modes_of(state: State) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, velocities and forces of all modes [modes, atoms, 3]: the centroid, which is the ``state``, and its inner ones."""
    centroid = (state.molecules.positions, state.velocities, state.forces)
    u, v, f = (torch.cat([own[None], state.inner[name]]) for own, name in zip(centroid, ("positions", "velocities", "forces")))
    return u, v, f


def internal_modes(u: Tensor, v: Tensor, f: Tensor) -> dict[str, Tensor]:
    """What a state keeps in ``inner`` of all modes [modes, atoms, 3]."""
    return {"positions": u[1:], "velocities": v[1:], "forces": f[1:]}


class RingPolymer(Ensemble):
    """Replicas of ``beads`` beads; the kinds of it differ in what their centroids feel."""

    beads: int = Field(32, ge=2, description="copies of each replica; 32 for bonds to hydrogen at 300 K, more in the cold")
    internal_friction: float = Field(0.5, ge=0, description="lambda: internal modes have the friction 2 lambda w_k; 0: none (RPMD)")
    bounded: ClassVar[bool] = False

    @property
    def geometries(self) -> int:
        """A force function is asked for every bead."""
        return self.beads

    @property
    def nuclei(self) -> str:
        """In a few words."""
        return f"quantum nuclei ({self.beads} beads)"

    @property
    def centroid_friction(self) -> float:
        """1/ps"""
        return 0.0

    def promise(self, temperature: float) -> str:
        """Which share of the kinetic energy of a stretch and of a bend so many beads have."""
        quantum = units.INVERSE_CM / (temperature * units.KELVIN)
        shares = [f"{100 * kinetic_share(self.beads, nu * quantum):.0f} % at {nu} cm^-1" for nu in (3500, 1500)]
        return f"{self.nuclei} have, of the kinetic energy of an oscillator at {temperature:g} K, {' and '.join(shares)}"

    def begin(self, force_function: ForceFunction, molecules: Molecules, velocities: Tensor, conditions: Conditions) -> State:
        """All beads in one place, internal modes with twice the kinetic energy of equilibrium, as vibrations have at a minimum.

        Half of it goes to springs and bonds, see `initial.thermal`. Their friction makes them canonical within some 10 fs.
        """
        ring, still = Ring.of(self.beads, molecules, conditions), molecules.positions
        drawn = [initial.maxwell_boltzmann(molecules, 2 * conditions.temperature, conditions.generator) for _ in range(self.beads - 1)]
        u, v = torch.stack([still, *[torch.zeros_like(still)] * (self.beads - 1)]), torch.stack([velocities, *drawn])
        known, f = ring.look(force_function, molecules, u)
        return State(molecules, molecules.masses[:, None], velocities, known, -ring.internal(u, v), 0, internal_modes(u, v, f))

    def step(self, force_function: ForceFunction, replicas: Molecules, conditions: Conditions) -> Step:
        """`ring_polymer`."""
        ring = Ring.of(self.beads, replicas, conditions)
        friction = 2 * self.internal_friction * ring.frequencies
        friction[0] = self.centroid_friction / units.PICOSECOND
        return ring_polymer(force_function, ring, conditions.temperature, friction, conditions.generator)

    def thermalisation(self, friction: float) -> Ensemble:
        """The same beads, and friction on the centroid too (PILE-L)."""
        return Pimd(beads=self.beads, internal_friction=self.internal_friction, friction=friction)

    def observe(self, state: State, conditions: Conditions) -> dict[str, Tensor]:
        """Kinetic energy of the quantum nuclei and temperature of the internal modes (hartree), [molecules] each.

        The kinetic energy is the centroid virial estimator, of the degrees of ``freedom`` of the centroid that move:
        ``freedom k_B T / 2 - sum_j (x_j - x_c) . F_j / 2 P`` (Herman, Bruskin, Berne, J. Chem. Phys. 76, 5150, 1982). The temperature is
        of velocities where the noise acts, of the mean before and after this moment: canonical in a harmonic well at any time step.
        """
        ring, (u, v, f) = Ring.of(self.beads, state.molecules, conditions), modes_of(state)
        turned = ring.cosine * ring.kick * f - ring.frequencies.square() * ring.time * u
        kinetic = ring.kinetic((ring.cosine * v)[1:]) + ring.kinetic(turned[1:])
        virial = -state.molecules.total((u * f)[1:].sum((0, 2))) / 2
        return {
            "quantum_kinetic_energy": conditions.freedom * conditions.temperature / 2 + virial,
            "internal_temperature": 2 * kinetic / (3 * state.molecules.sizes * (self.beads - 1)),
        }


class Trpmd(RingPolymer):
    """Thermostatted ring-polymer molecular dynamics: the centroid is free, internal modes have friction and noise."""

    kind: Literal["trpmd"] = "trpmd"
    conserves_momentum: ClassVar[bool] = True
    conserves_angular_momentum: ClassVar[bool] = False
    words: ClassVar[str] = "as ring polymers, thermostats on their internal modes (TRPMD)"


class Pimd(RingPolymer):
    """Path-integral molecular dynamics: a Langevin thermostat on every mode (PILE-L), for averages at equilibrium, not for spectra."""

    kind: Literal["pimd"] = "pimd"
    friction: float = Field(5.0, gt=0, description="1/ps, of the centroid")
    conserves_momentum: ClassVar[bool] = False
    conserves_angular_momentum: ClassVar[bool] = False
    words: ClassVar[str] = "as ring polymers with a Langevin thermostat"

    @property
    def centroid_friction(self) -> float:
        """1/ps"""
        return self.friction
