"""Batched replicas of one molecule under any force function: thermalise, produce, sample, survive."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import exp
from pathlib import Path

import torch
from torch import Generator

from densnet import units
from densnet.files import sha256
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.simulation import initial, integrators
from densnet.simulation.ensembles import Conditions, Ensemble
from densnet.simulation.integrators import ForceFunction, Forces, State, Step
from densnet.simulation.novelty import Announce, Novelty
from densnet.simulation.record import Record
from densnet.simulation.settings import SimulateSettings
from densnet.simulation.trajectory import Trajectory, read_trajectory
from densnet.simulation.watch import SimulationStopped, Watch
from densnet.threads import one_thread

__all__ = ["SimulateSettings", "SimulationStopped", "Trajectory", "read_trajectory", "simulate"]

AT_REST = 0.2 * units.EV / units.ANGSTROM
"""Force at a minimum, at most: of another level of theory it has less; thermal ones are of 1 eV/Angstrom."""

RELAXED, RELAXATION = 2e-5, 4000
"""Force (hartree / bohr) at a minimum by which it is seen whether a molecule is linear, and most steps on the way there."""


@one_thread()
def simulate(
    force_function: ForceFunction | Forces,
    start: Molecules,
    settings: SimulateSettings,
    folder: Path,
    progress: Progress = silent,
    provenance: dict | None = None,
    announce: Announce = lambda text: None,
) -> Path:
    """Runs ``settings.replicas`` replicas from the conformers ``start`` and returns the path of ``folder/trajectory.h5``.

    A folder with an interrupted run of the same settings, start and ``provenance`` (where the force function is from) is continued bit by
    bit as if it had never stopped (on a GPU, which sums in any order, to rounding); a finished one is returned as it is. Raises
    `SimulationStopped` when a molecule breaks or an energy runs away (the trajectory so far stays readable), and KeyboardInterrupt after
    writing a restart. ``announce`` is told when a replica leaves what the model knows. What is recorded of a sample is what
    ``force_function`` knows, if there are two, `Forces.sampled`.
    """
    forces = force_function if isinstance(force_function, Forces) else Forces(force_function, force_function)
    replicas = initial.deal(start, settings.replicas).to(settings.place)
    generator = Generator(replicas.positions.device).manual_seed(settings.seed)
    rest = _rest(forces.plain, replicas, settings)
    ensemble, translation = settings.ensemble, not settings.ensemble.conserves_momentum
    freedom = initial.degrees_of_freedom(rest, translation=translation, rotation=not settings.remove_rotation)
    conditions = settings.conditions(freedom, generator)
    observe = partial(ensemble.observe, conditions=conditions)
    record = Record(folder, _header(start, settings, provenance), freedom.clamp(min=1), observe)
    if record.finished:
        return record.folder / "trajectory.h5"
    state = record.resume(replicas, generator)
    if state is None:
        state = _begin(forces.sampled, replicas, settings, conditions)
        _at_rest(state, settings, announce)
    novelty = Novelty(settings.novelty_limit, settings.timestep, announce, stop=settings.when_novel == "stop")
    loop = _Loop(record, (_watch(replicas, settings), novelty), generator, settings, progress)
    try:
        with _interruptible() as loop.interrupted:
            if state.step <= 0:
                before = ensemble.thermalisation(settings.thermalise_friction)
                state = loop.advance(state, _steps(before, forces, replicas, conditions, settings.sample_every), 0)
                state = _settle(state, rest, settings)
                record.sample(state)
            state = loop.advance(state, _steps(ensemble, forces, replicas, conditions, settings.sample_every), settings.steps[1])
    except SimulationStopped as stop:
        raise SimulationStopped(f"{stop} {_salvage(record, replicas)}") from None
    except BaseException:
        _salvage(record, replicas)
        raise
    record.checkpoint(state, generator)
    return record.consolidate(replicas.masses, complete=True)


def _salvage(record: Record, replicas: Molecules) -> str:
    """Makes the samples so far readable and says where they are."""
    record.flush()
    path = record.consolidate(replicas.masses, complete=False)
    return f"The trajectory until then is in {path}." if path else "It was still thermalising: nothing has been recorded."


class _Loop:
    """Steps a state, watching and sampling every `sample_every`, writing a restart every `checkpoint_every` steps."""

    def __init__(
        self, record: Record, watches: tuple[Watch, Novelty], generator: Generator, settings: SimulateSettings, progress: Progress
    ):
        self.record, self.generator, self.settings, self.progress = record, generator, settings, progress
        self.watch, self.novelty = watches
        self.interrupted = threading.Event()

    def advance(self, state: State, step: Step, end: int) -> State:
        """The state at step ``end``; production steps, which are positive, are recorded."""
        sample, checkpoint = self.settings.sample_every, self.settings.checkpoint_every
        told = time.monotonic()
        while state.step < end:
            state = step(state)
            if state.step % sample == 0:
                self.watch(state)
                if state.step > 0:
                    self.record.sample(state)
                    self.novelty(state)
                if time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    self._tell(state)
            if state.step == 0:  # the restart at 0 would not say whether production was prepared
                continue
            stop = self.interrupted.is_set()
            if stop or state.step % checkpoint == 0:
                self.record.checkpoint(state, self.generator)
            if stop:
                raise KeyboardInterrupt(f"simulation interrupted at step {state.step}; run the same command again to continue.")
        self._tell(state)
        return state

    def _tell(self, state: State) -> None:
        before, after = self.settings.steps
        self.progress(before + state.step, before + after)


def _steps(ensemble: Ensemble, forces: Forces, replicas: Molecules, conditions: Conditions, every: int) -> Step:
    """The steps of an ``ensemble``, those that end at a sample with what is asked of samples."""
    plain, sampled = (ensemble.step(function, replicas, conditions) for function in (forces.plain, forces.sampled))
    return lambda state: plain(state) if state.step < -1 or (state.step + 1) % every else sampled(state)


def _begin(force_function: ForceFunction, replicas: Molecules, settings: SimulateSettings, conditions: Conditions) -> State:
    velocities = initial.thermal(replicas, conditions.temperature, conditions.generator)
    return replace(settings.ensemble.begin(force_function, replicas, velocities, conditions), step=-settings.steps[0])


def _at_rest(state: State, settings: SimulateSettings, announce: Announce) -> None:
    """Tells of a start that is no minimum and whose energy the thermalisation does not take away."""
    left, force = exp(-settings.thermalise_friction * settings.thermalise_ps), float(state.forces.abs().max())
    if force > AT_REST and left > exp(-5):
        announce(
            f"a start geometry is no minimum (a force of {force * units.ANGSTROM / units.EV:.2f} eV/Angstrom), and `thermalise_friction` x "
            f"`thermalise_ps` = {settings.thermalise_friction * settings.thermalise_ps:.2g} leaves {100 * left:.0f} % of its energy in the "
            "vibrations; relax it, or make the product 5 or more."
        )


def _rest(force_function: ForceFunction, replicas: Molecules, settings: SimulateSettings) -> Molecules:
    """The replicas where it is seen whether they are linear: at the minimum, if their start leaves it open and rotation is removed.

    Velocity Verlet from rest that stops a molecule whenever it goes uphill.
    """
    if not (settings.remove_rotation and initial.nearly_linear(replicas).any()):
        return replicas
    state = integrators.init(force_function, replicas, torch.zeros_like(replicas.positions))
    step = integrators.velocity_verlet(force_function, replicas.masses[:, None], settings.timestep)
    while state.forces.abs().max() > RELAXED and state.step < RELAXATION:
        state = step(state)
        downhill = replicas.total((state.forces * state.velocities).sum(1)) > 0
        state = replace(state, velocities=state.velocities * downhill[replicas.owner, None])
    return state.molecules


def _settle(state: State, rest: Molecules, settings: SimulateSettings) -> State:
    """Ready for production: overall motion removed where the ensemble conserves it, conserved energy counted from here.

    Whether a molecule is linear is seen at ``rest``, before heat has bent it.
    """
    velocities = state.velocities
    if settings.remove_rotation:
        velocities = initial.without_rotation(state.molecules, velocities, initial.rotations(rest))
    elif settings.ensemble.conserves_momentum:
        velocities = initial.without_translation(state.molecules, velocities)
    state = replace(state, velocities=velocities)
    return replace(state, bath=state.energy + state.kinetic)


def _watch(replicas: Molecules, settings: SimulateSettings) -> Watch:
    tolerance = settings.energy_tolerance * units.MEV if settings.ensemble.bounded else None
    return Watch(replicas, settings.timestep, settings.stretch_limit, tolerance)


def _header(start: Molecules, settings: SimulateSettings, provenance: dict | None) -> dict:
    """What makes a run this run: compared before a folder is continued."""
    begins = [start.positions.detach().cpu().double()] + ([] if start.isotopes is None else [start.isotopes.cpu()])
    return {
        "settings": settings.model_dump(mode="json"),
        "nuclei": settings.ensemble.nuclei,
        "provenance": provenance or {},
        "numbers": start.split()[0].numbers.tolist(),
        "start": sha256(*(part.numpy().tobytes() for part in begins)),
    }


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C or termination into an event, so that no step is left half done; a second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number, frame):
        event.set()
        restore()

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        restore()
