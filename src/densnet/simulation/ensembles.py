"""Ensembles: settings sections that build the steps of production, and say what these conserve.

A further ensemble is a section here or in a file of its own, and one more member of the union at `SimulateSettings.ensemble`: neither the
loop nor its restarts, the watch or the report ask which one they have.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from math import exp
from typing import ClassVar, Literal

from pydantic import Field
from torch import Generator, Tensor

from densnet import units
from densnet.molecules import Molecules
from densnet.settings import Section
from densnet.simulation import integrators
from densnet.simulation.integrators import ForceFunction, Rescaling, State, Step, langevin, velocity_rescaling, velocity_verlet

RESCALE_EVERY = 10
"""Steps between two rescalings of `Svr`: canonical at any interval, and cheaper than every step."""

CLASSICAL = "classical nuclei"
"""Of every ensemble that says nothing else."""


@dataclass(frozen=True)
class Conditions:
    """What a step depends on besides forces and the settings of its ensemble.

    timestep     hbar / hartree
    temperature  k_B T, hartree
    freedom      [molecules] degrees of freedom that carry kinetic energy
    generator    of all random numbers
    """

    timestep: float
    temperature: float
    freedom: Tensor
    generator: Generator


class Ensemble(Section):
    """How production runs; every kind has a ``kind``, the name by which settings choose it.

    conserves_momentum          whether total momentum stays what it is at the start of production
    conserves_angular_momentum  whether that does, too
    bounded                     whether potential + kinetic energy - heat strays by no more than the bounded error of the time step
    constant_energy             whether that holds without any thermostat
    words                       goes on from "replicas are run ..."
    """

    kind: str
    conserves_momentum: ClassVar[bool]
    conserves_angular_momentum: ClassVar[bool] = True
    bounded: ClassVar[bool]
    constant_energy: ClassVar[bool] = False
    words: ClassVar[str]

    @property
    def geometries(self) -> int:
        """Geometries of each replica that a step asks the force function for, in one call for all."""
        return 1

    @property
    def nuclei(self) -> str:
        """What nuclei are, in a few words."""
        return CLASSICAL

    def promise(self, temperature: float) -> str:
        """`nuclei`, and how good they are at a ``temperature`` in K."""
        return self.nuclei

    def begin(self, force_function: ForceFunction, molecules: Molecules, velocities: Tensor, conditions: Conditions) -> State:
        """The first state of ``molecules`` [molecules] that are at a minimum and have ``velocities`` [atoms, 3], at step 0."""
        return integrators.init(force_function, molecules, velocities)

    @abstractmethod
    def step(self, force_function: ForceFunction, replicas: Molecules, conditions: Conditions) -> Step:
        """The time step of production for ``replicas``."""

    def thermalisation(self, friction: float) -> Ensemble:
        """What runs before production, with ``friction`` in 1/ps: Langevin dynamics."""
        return Langevin(friction=friction)

    def observe(self, state: State, conditions: Conditions) -> dict[str, Tensor]:
        """What this ensemble measures besides what every one has, [molecules] each, by columns of `h5md.OBSERVABLES`."""
        return {}


class Nve(Ensemble):
    """Newton's equations: constant energy."""

    kind: Literal["nve"] = "nve"
    conserves_momentum: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    constant_energy: ClassVar[bool] = True
    words: ClassVar[str] = "at constant energy"

    def step(self, force_function: ForceFunction, replicas: Molecules, conditions: Conditions) -> Step:
        """Velocity Verlet."""
        return velocity_verlet(force_function, replicas.masses[:, None], conditions.timestep)


class Langevin(Ensemble):
    """Friction and noise on every momentum: canonical, also for translation and rotation."""

    kind: Literal["langevin"] = "langevin"
    friction: float = Field(1.0, gt=0, description="friction, 1/ps")
    conserves_momentum: ClassVar[bool] = False
    conserves_angular_momentum: ClassVar[bool] = False
    bounded: ClassVar[bool] = False
    words: ClassVar[str] = "with a Langevin thermostat"

    def step(self, force_function: ForceFunction, replicas: Molecules, conditions: Conditions) -> Step:
        """`langevin` (BAOAB)."""
        friction, masses = self.friction / units.PICOSECOND, replicas.masses[:, None]
        return langevin(force_function, masses, conditions.timestep, conditions.temperature, friction, conditions.generator)


class Svr(Ensemble):
    """Stochastic velocity rescaling: canonical kinetic energy, momenta stay zero, gentle on line shapes."""

    kind: Literal["svr"] = "svr"
    time_constant_fs: float = Field(200.0, gt=0, description="relaxation time of the kinetic energy, fs")
    conserves_momentum: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    words: ClassVar[str] = "with stochastic velocity rescaling"

    def step(self, force_function: ForceFunction, replicas: Molecules, conditions: Conditions) -> Step:
        """`velocity_rescaling`, every `RESCALE_EVERY` steps."""
        memory = exp(-RESCALE_EVERY * (conditions.timestep / units.FEMTOSECOND) / self.time_constant_fs)
        rescaling = Rescaling(conditions.freedom, conditions.temperature, memory, conditions.generator)
        return velocity_rescaling(force_function, replicas.masses[:, None], conditions.timestep, rescaling, RESCALE_EVERY)
