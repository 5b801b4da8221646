"""The settings of `simulate`: the section [simulate] of a settings file, the header of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, model_validator

from densnet import units
from densnet.settings import Incidental, Section, SettingsError, cores
from densnet.simulation.ensembles import Conditions, Langevin, Nve, Svr
from densnet.simulation.ringpolymer import Pimd, Trpmd

BLOCK, COMPILED_BLOCK = 192, 72
"""Atoms in a block: with fewer, operators cost more than arithmetic; with more, features leave the cache and threads share less."""

GPU_BLOCK = 40_000
"""Atoms in a block on a GPU, which wants large ones: at 0.3 MB an atom (shipped ethanol, measured on the CPU) some 12 GB."""

ONCE_BESIDE = {"friction": 1.0, "time_constant_fs": 200.0}
"""Settings of an ensemble that stood beside it in the first layout, whichever it was, and their defaults."""

OWN = {"langevin": ("friction",), "svr": ("time_constant_fs",)}
"""Which of them an ensemble has."""

SINCE = {"record_forces": False, "polarizability": True}
"""Settings that there are since then, and their defaults, with which a run is what it was without them."""


def first_layout(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were first written, by which runs are known for ever: keys of folders, numbers of trajectories."""
    ensemble, younger = dict(settings["ensemble"]), {name for name, usual in SINCE.items() if settings.get(name) == usual}
    first = {**settings, **ONCE_BESIDE, "ensemble": ensemble.pop("kind"), **ensemble}
    return {name: value for name, value in first.items() if name not in younger}


class SimulateSettings(Section):
    """Settings of `simulate`; every replica is thermalised by Langevin dynamics, then sampled in `ensemble`.

    A start geometry is taken for a minimum: vibrations begin with twice the kinetic energy of `temperature`, see `initial.thermal`.
    """

    temperature: float = Field(300.0, gt=0, description="K")
    replicas: int = Field(32, gt=0, description="number of independent trajectories, run as one batch")
    timestep_fs: float = Field(0.5, gt=0, le=5, description="time step, fs")
    thermalise_ps: float = Field(2.0, ge=0, description="Langevin dynamics before production, ps; not recorded")
    thermalise_friction: float = Field(5.0, gt=0, description="friction of the thermalisation, 1/ps")
    duration_ps: float = Field(10.0, gt=0, description="production, ps")
    ensemble: Nve | Langevin | Svr | Trpmd | Pimd = Field(
        Nve(), discriminator="kind", description="ensemble of the production: kind (nve, langevin, svr, trpmd or pimd) and its settings"
    )
    sample_every: int = Field(4, gt=0, description="steps between samples")
    record_forces: bool = Field(False, description="record the forces of every sample; files grow by half")
    polarizability: bool = Field(
        True, description="record the polarizability of every sample if the model has learned it, for Raman spectra (docs/raman.md)"
    )
    checkpoint_every: Incidental[int] = Field(2000, gt=0, description="steps between restarts")
    device: Incidental[Literal["cpu", "cuda"]] = Field("cpu", description="device for model, replicas and thermostats; cuda: one GPU")
    threads: Incidental[int] = Field(
        0, ge=0, description="threads, each working on one block of replicas at a time; 0 = all cores; a GPU needs one"
    )
    block: Incidental[int] = Field(
        0, ge=0, description="maximum number of geometries per block; blocks are equal; 0 = some 200 atoms, compiled 72, on a GPU 40,000"
    )
    compile: Incidental[bool] = Field(
        False,
        description="compile the model for this molecule first: machine code (a few minutes, once; needs g++; kept for later runs); with "
        "device = 'cuda' a CUDA graph (seconds, every run; up to 24 atoms)",
    )
    seed: int = Field(0, ge=0, description="random seed of initial velocities and thermostats")
    remove_rotation: bool = Field(False, description="start production without overall rotation")
    stretch_limit: float = Field(1.6, gt=1, description="a bond longer than this multiple of its initial length stops the run")
    energy_tolerance: float = Field(20.0, gt=0, description="deviation of the conserved energy that stops the run, meV/atom")
    novelty_limit: float = Field(
        2.0, gt=0, description="a sample is marked if its novelty exceeds this value"
    )
    when_novel: Incidental[Literal["mark", "stop"]] = Field(
        "mark", description="above the limit: warn once and mark the samples, or stop the run"
    )
    novel_frames: Incidental[int] = Field(40, ge=0, description="largest number of marked frames written for labelling")
    novel_spacing_fs: Incidental[float] = Field(50.0, ge=0, description="shortest time between two such frames of a replica, fs")

    @model_validator(mode="before")
    @classmethod
    def _of_any_age(cls, values):
        return cls.upgraded(values) if isinstance(values, Mapping) else values

    @model_validator(mode="after")
    def _rotation_stays_removed(self):
        if self.remove_rotation and not self.ensemble.conserves_angular_momentum:
            kind = self.ensemble.kind
            raise ValueError(f"`remove_rotation` makes no sense with ensemble = {kind!r}, which excites rotation; use 'nve' or 'svr'")
        return self

    @classmethod
    def upgraded(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``ensemble = "langevin"`` with its ``friction`` beside it, as it was written first, in the layout of today."""
        values = {**SINCE, **values}
        if not isinstance(kind := values.get("ensemble", "nve"), str):
            return values
        own = {name: values[name] for name in OWN.get(kind, ()) if name in values}
        return {name: value for name, value in values.items() if name not in ONCE_BESIDE} | {"ensemble": {"kind": kind, **own}}

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the result, in `first_layout`."""
        return first_layout(super().deciding())

    def conditions(self, freedom: torch.Tensor, generator: torch.Generator) -> Conditions:
        """What the steps of a run depend on, for replicas with so many degrees of ``freedom``."""
        return Conditions(self.timestep, self.temperature * units.KELVIN, freedom, generator)

    @property
    def timestep(self) -> float:
        """hbar / hartree."""
        return self.timestep_fs * units.FEMTOSECOND

    @property
    def place(self) -> torch.device:
        """The device; raises `SettingsError` if torch does not see it."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise SettingsError("`device` is 'cuda' but torch sees no GPU here; set it to 'cpu', or install a driver and a torch for CUDA.")
        return torch.device(self.device)

    @property
    def cores(self) -> int:
        """Threads at work."""
        return 1 if self.device == "cuda" else self.threads or cores()

    def block_size(self, atoms: int) -> int:
        """Geometries of ``atoms`` atoms in a block: as few equal blocks as the size wished for allows, hardly a place in them empty.

        Whatever the number of threads: results do not depend on the machine's cores.
        """
        together = GPU_BLOCK if self.device == "cuda" else COMPILED_BLOCK if self.compile else BLOCK
        most = self.block or max(1, round(together / atoms))
        return -(-self.geometries // -(-self.geometries // most))

    @property
    def geometries(self) -> int:
        """That a step asks the force function for: replicas times their beads."""
        return self.replicas * self.ensemble.geometries

    @property
    def cost(self) -> str:
        """What a run costs, in a sentence, before it starts."""
        steps = sum(self.steps)
        return (
            f"{self.ensemble.promise(self.temperature)}: {self.geometries} geometries a step ({self.replicas} replicas x "
            f"{self.ensemble.geometries}), {steps * self.geometries:,} in {steps:,} steps"
        )

    @property
    def steps(self) -> tuple[int, int]:
        """Steps of thermalisation and of production."""
        return tuple(round(1000 * ps / self.timestep_fs) for ps in (self.thermalise_ps, self.duration_ps))
