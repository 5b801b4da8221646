"""Settings of training: its phases, the weights of its losses."""

from __future__ import annotations

import os
from typing import Literal

import torch
from pydantic import Field

from densnet.settings import Added, Incidental, Section, SettingsError, cores


class StageSettings(Section):
    """One phase of training; zero steps leave it out."""

    steps: int = Field(2000, ge=0, description="gradient steps")
    batch: int = Field(16, ge=1, description="frames per step; with more compositions than that, as many atoms as this many average frames")
    learning_rate: float = Field(3e-3, gt=0, lt=1, description="after the warm-up; falls to 1 % along a cosine")
    warmup: int = Field(100, ge=0, description="steps over which the learning rate rises")
    average: float = Field(0.99, ge=0, lt=1, description="decay of the exponential moving average of the weights, which is saved")
    clip: float = Field(10.0, gt=0, description="largest norm of the gradient")
    validate_every: int = Field(200, ge=1, description="steps between validations (and checkpoints)")
    patience: int = Field(0, ge=0, description="validations without improvement after which the phase ends; 0 = never")


class TrainSettings(Section):
    """Phases, weights of the losses, seed and device."""

    density: StageSettings = Field(
        default_factory=lambda: StageSettings(steps=0), description="Coulomb metric on fitted coefficients; less effective than real space"
    )
    points: StageSettings = Field(default_factory=lambda: StageSettings(steps=3000), description="real space, flexible exponents")
    energy: StageSettings = Field(default_factory=lambda: StageSettings(steps=4000), description="energy and forces, density frozen")
    joint: StageSettings = Field(default_factory=lambda: StageSettings(steps=0, learning_rate=3e-4), description="both networks together")
    response: Added[StageSettings] = Field(
        default_factory=lambda: StageSettings(steps=0), description="density response to a static field, the other networks frozen"
    )
    dipole_weight: float = Field(10.0, ge=0, description="weight of the relative squared dipole error (density error: 1)")
    energy_weight: float = Field(2.0, ge=0, description="weight of the energy error per atom, 1/bohr (length of the force error: 1)")
    density_weight: float = Field(0.1, ge=0, description="weight of density and dipole in the joint phase (energy and forces: 1)")
    polarizability_weight: Added[float] = Field(
        1.0, ge=0, description="weight of the polarizability error (density response error: 1), both in percent"
    )
    points_per_frame: int = Field(600, ge=50, description="sampled points per frame and step")
    validation_fraction: float = Field(0.1, gt=0, lt=0.5, description="fraction of training frames used for validation")
    validation_by: Literal["trajectory", "molecule"] = Field(
        "trajectory", description="split by trajectory, or by molecule (all frames of a formula) for models intended for new molecules"
    )
    dispersion: Literal["as labelled", "none", "d4"] = Field(
        "as labelled", description="train on energies and forces as labelled, without dispersion, or with D4 (added if missing)"
    )
    seed: int = Field(1, ge=0, description="random seed of weights and batches")
    device: Incidental[Literal["cpu", "cuda"]] = Field("cpu", description="device for networks and batches; cuda: one GPU")
    threads: Incidental[int] = Field(0, ge=0, description="cores used for each step; 0 = all")
    compile: Incidental[bool] = Field(
        True,
        description="compile the steps of phases of 1000 steps or more: machine code (needs a C++ compiler), on a GPU a CUDA graph; "
        "for batches of the same composition, not in the density phase",
    )

    @property
    def changes_energies(self) -> bool:
        """Whether any phase changes density or energy, and so what a model knows of its errors."""
        return any(phase.steps for phase in (self.density, self.points, self.energy, self.joint))

    @property
    def learns_density(self) -> bool:
        """Whether any phase needs labelled densities, and so orbitals; energies alone are learned on the density that a model has."""
        return any(phase.steps for phase in (self.density, self.points, self.joint, self.response))

    @property
    def place(self) -> torch.device:
        """The device; raises `SettingsError` if torch does not see it."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise SettingsError("`device` is 'cuda' but torch sees no GPU here; set it to 'cpu', or install a driver and a torch for CUDA.")
        return torch.device(self.device)

    @property
    def cores(self) -> int:
        """How many cores this process works with; those that `torchrun` starts on one machine share it."""
        return self.threads or max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
