"""Ensembles are values: how settings files of any age name them, and one that densnet does not have."""

import os
import signal
from dataclasses import replace
from typing import ClassVar, Literal

import pytest
import torch
from pydantic import Field
from springs import WATER, Springs

from densnet import units
from densnet.settings import SettingsError, parse
from densnet.simulation.ensembles import Conditions, Ensemble, Langevin, Nve, Svr
from densnet.simulation.integrators import Step, kinetic_energy, velocity_verlet
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import read_trajectory
from densnet.workflow.folder import Mark, Stage, keys, pending


@pytest.mark.parametrize(
    ("first", "today", "meant"),
    [
        ({}, {"ensemble": {"kind": "nve"}}, Nve()),
        ({"ensemble": "nve", "friction": 3.0}, {"ensemble": {"kind": "nve"}}, Nve()),
        ({"ensemble": "langevin"}, {"ensemble": {"kind": "langevin"}}, Langevin(friction=1.0)),
        (
            {"ensemble": "langevin", "friction": 3.0, "time_constant_fs": 7.0},
            {"ensemble": {"kind": "langevin", "friction": 3.0}},
            Langevin(friction=3.0),
        ),
        ({"ensemble": "svr", "time_constant_fs": 7.0}, {"ensemble": {"kind": "svr", "time_constant_fs": 7.0}}, Svr(time_constant_fs=7.0)),
    ],
)
def test_both_spellings_of_an_ensemble_mean_the_same(first, today, meant):
    old, new = (parse(SimulateSettings, values, "simulate") for values in (first, today))
    assert old == new and old.ensemble == meant
    assert parse(SimulateSettings, new.model_dump(mode="json"), "simulate") == new


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"ensemble": "nvt"}, r"`simulate\.ensemble\.kind` is 'nvt': must be one of 'nve', 'langevin', 'svr'"),
        ({"ensemble": {"friction": 2.0}}, r"`simulate\.ensemble\.kind` is missing"),
        ({"ensemble": {"kind": "langevin", "frictoin": 2.0}}, r"unknown setting `simulate\.ensemble\.frictoin`; did you mean `friction`"),
        ({"ensemble": {"kind": "svr", "friction": 2.0}}, r"`simulate\.ensemble\.friction`; known keys: kind, time_constant_fs"),
        ({"ensemble": {"kind": "langevin"}, "friction": 2.0}, r"unknown setting `simulate\.friction`"),
        ({"ensemble": "langevin", "friction": -2.0}, r"`simulate\.ensemble\.friction` is -2\.0"),
    ],
)
def test_a_wrong_ensemble_is_told_by_its_key(values, sentence):
    with pytest.raises(SettingsError, match=sentence):
        parse(SimulateSettings, values, "simulate")


def test_a_mark_of_the_first_layout_says_only_what_changed(tmp_path):
    """Neither the new place of the settings nor one that has been added since is a change."""
    first = {**SimulateSettings().model_dump(mode="json"), "ensemble": "svr", "friction": 1.0, "time_constant_fs": 200.0}
    del first["record_forces"]

    def told(**changes) -> str:
        stage = Stage("simulate", "dynamics", {"simulate": parse(SimulateSettings, {"ensemble": "svr", **changes}, "simulate")}, print)
        return next(pending(tmp_path, [stage]))[1]

    stage = Stage("simulate", "dynamics", {"simulate": SimulateSettings(ensemble=Svr())}, print)
    Mark(keys([stage])["simulate"], {"simulate": first}, {}, finished=True).write(tmp_path / "simulate")
    assert told() == told(threads=3) == "done"
    assert told(temperature=310.0, threads=3) == "to be done again: simulate.temperature: 300.0 -> 310.0"
    assert told(time_constant_fs=50.0) == "to be done again: simulate.ensemble.time_constant_fs: 200.0 -> 50.0"
    assert told(record_forces=True) == "to be done again: simulate.record_forces: False -> True"


class NoseHoover(Ensemble):
    """A friction that follows the kinetic energy (Hoover, Phys. Rev. A 31, 1695, 1985), split to first order."""

    kind: Literal["nose-hoover"] = "nose-hoover"
    time_constant_fs: float = Field(20.0, gt=0, description="fs")
    conserves_momentum: ClassVar[bool] = True
    bounded: ClassVar[bool] = True
    words: ClassVar[str] = "with a Nosé-Hoover thermostat"

    def step(self, force_function, replicas, conditions: Conditions) -> Step:
        newton = velocity_verlet(force_function, replicas.masses[:, None], conditions.timestep)
        target, timestep = conditions.freedom * conditions.temperature, conditions.timestep
        inertia = target * (self.time_constant_fs * units.FEMTOSECOND) ** 2

        def step(state):
            friction = state.inner.get("friction", torch.zeros_like(state.energy))
            friction = friction + timestep * (2 * state.kinetic - target) / inertia
            slower = state.velocities * torch.exp(-timestep * friction)[replicas.owner, None]
            heat = kinetic_energy(replicas, state.masses, slower) - state.kinetic
            return replace(newton(replace(state, velocities=slower, bath=state.bath + heat)), inner={"friction": friction})

        return step


class Settings(SimulateSettings):
    """With one ensemble more."""

    ensemble: Nve | NoseHoover = Field(Nve(), discriminator="kind")


@pytest.mark.parametrize("stop", [41, 90])
def test_an_ensemble_from_outside_runs_stops_and_goes_on_to_the_bit(tmp_path, stop):
    """What its steps keep between two calls is in the restart; watch, loop and files ask nothing about its kind."""
    chosen = Settings(ensemble=NoseHoover(), replicas=3, thermalise_ps=0.02, duration_ps=0.06, checkpoint_every=25, temperature=200)
    simulate(Springs(WATER), WATER, chosen, tmp_path / "whole")
    force = Springs(WATER)

    def interrupted(molecules):
        if force.calls == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return force(molecules)

    with pytest.raises(KeyboardInterrupt):
        simulate(interrupted, WATER, chosen, tmp_path / "parts")
    simulate(Springs(WATER), WATER, chosen, tmp_path / "parts")
    one, other = read_trajectory(tmp_path / "whole"), read_trajectory(tmp_path / "parts")
    assert torch.equal(one.positions, other.positions) and torch.equal(one.velocities, other.velocities)
    assert torch.equal(one.conserved, other.conserved) and one.conserved.abs().max() < 2 * units.MEV * 3
    assert (one.total - one.total[:, :1]).abs().max() > 5 * one.conserved.abs().max()  # heat goes in and out
    assert one.settings["ensemble"] == {"kind": "nose-hoover", "time_constant_fs": 20.0}
