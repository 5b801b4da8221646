"""Batched replicas of one molecule under any force function: thermalise, produce, sample, survive."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import exp
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Generator

from densnet import units
from densnet.files import sha256
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.settings import Incidental, Section, SettingsError, cores
from densnet.simulation import initial, integrators
from densnet.simulation.integrators import ForceFunction, Rescaling, State, Step
from densnet.simulation.novelty import Announce, Novelty
from densnet.simulation.trajectory import Record, Trajectory, read_trajectory
from densnet.simulation.watch import SimulationStopped, Watch
from densnet.threads import one_thread

__all__ = ["SimulateSettings", "SimulationStopped", "Trajectory", "read_trajectory", "simulate"]

RESCALE_EVERY = 10
"""Steps between two rescalings with ensemble = "svr": canonical at any interval, and cheaper than every step."""

BLOCK, COMPILED_BLOCK = 192, 72
"""Atoms in a block: with fewer, operators cost more than arithmetic; with more, features leave the cache and threads share less."""

AT_REST = 0.2 * units.EV / units.ANGSTROM
"""Force at a minimum, at most: of another level of theory it has less; thermal ones are of 1 eV/Angstrom."""

RELAXED, RELAXATION = 2e-5, 4000
"""Force (hartree / bohr) at a minimum by which it is seen whether a molecule is linear, and most steps on the way there."""

GPU_BLOCK = 40_000
"""Atoms in a block on a GPU, which wants large ones: at 0.3 MB an atom (shipped ethanol, measured on the CPU) some 12 GB."""


class SimulateSettings(Section):
    """Settings of `simulate`; every replica is thermalised by Langevin dynamics, then sampled in `ensemble`.

    A start geometry is taken for a minimum: vibrations begin with twice the kinetic energy of `temperature`, see `initial.thermal`.
    """

    temperature: float = Field(300.0, gt=0, description="K")
    replicas: int = Field(32, gt=0, description="independent trajectories, run as one batch")
    timestep_fs: float = Field(0.5, gt=0, le=5, description="fs")
    thermalise_ps: float = Field(2.0, ge=0, description="ps of Langevin dynamics before production; not recorded")
    thermalise_friction: float = Field(5.0, gt=0, description="1/ps, friction of the thermalisation")
    duration_ps: float = Field(10.0, gt=0, description="ps of production")
    ensemble: Literal["nve", "langevin", "svr"] = Field("nve", description="production: constant energy, Langevin, velocity rescaling")
    friction: float = Field(1.0, gt=0, description="1/ps, friction of production with ensemble = 'langevin'")
    time_constant_fs: float = Field(200.0, gt=0, description="fs, of the thermostat with ensemble = 'svr'")
    sample_every: int = Field(4, gt=0, description="steps between samples")
    checkpoint_every: Incidental[int] = Field(2000, gt=0, description="steps between restarts")
    device: Incidental[Literal["cpu", "cuda"]] = Field("cpu", description="where model, replicas and thermostats are; cuda: one GPU")
    threads: Incidental[int] = Field(
        0, ge=0, description="threads that share the replicas, a block each at a time; 0 = all cores; a GPU needs one"
    )
    block: Incidental[int] = Field(
        0, ge=0, description="replicas computed at once, at most: blocks are equal; 0 = some 200 atoms, compiled 72, on a GPU 40,000"
    )
    compile: Incidental[bool] = Field(
        False,
        description="prepare the model for this molecule first: machine code (a few minutes, once; needs g++; kept for the next run); with "
        "device = 'cuda' a recording of all its kernels, launched at once (seconds, every run; up to 24 atoms)",
    )
    seed: int = Field(0, ge=0, description="of initial velocities and thermostats")
    remove_rotation: bool = Field(False, description="start production without overall rotation")
    stretch_limit: float = Field(1.6, gt=1, description="a bond longer than this times its start length stops the run")
    energy_tolerance: float = Field(20.0, gt=0, description="meV/atom by which the conserved energy may stray before the run stops")
    novelty_limit: float = Field(
        2.0, gt=0, description="a sample is marked if its expected error exceeds so many times what validation frames reach"
    )
    when_novel: Incidental[Literal["mark", "stop"]] = Field(
        "mark", description="beyond that: warn once and mark the samples, or stop the run"
    )
    novel_frames: Incidental[int] = Field(40, ge=0, description="most marked frames that are written to be labelled")
    novel_spacing_fs: Incidental[float] = Field(50.0, ge=0, description="fs between two such frames of a replica")

    @model_validator(mode="after")
    def _rotation_stays_removed(self):
        if self.remove_rotation and self.ensemble == "langevin":
            raise ValueError("`remove_rotation` makes no sense with ensemble = 'langevin', which excites rotation; use 'nve' or 'svr'")
        return self

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
        """Replicas of ``atoms`` atoms in a block: as few equal blocks as the size wished for allows, hardly a place in them empty.

        Whatever the number of threads: results do not depend on the machine's cores.
        """
        together = GPU_BLOCK if self.device == "cuda" else COMPILED_BLOCK if self.compile else BLOCK
        most = self.block or max(1, round(together / atoms))
        return -(-self.replicas // -(-self.replicas // most))

    @property
    def steps(self) -> tuple[int, int]:
        """Steps of thermalisation and of production."""
        return tuple(round(1000 * ps / self.timestep_fs) for ps in (self.thermalise_ps, self.duration_ps))


@one_thread()
def simulate(
    force_function: ForceFunction,
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
    writing a restart. ``announce`` is told when a replica leaves what the model knows.
    """
    replicas = initial.deal(start, settings.replicas).to(settings.place)
    generator = Generator(replicas.positions.device).manual_seed(settings.seed)
    rest = _rest(force_function, replicas, settings)
    free = settings.ensemble == "langevin"
    freedom = initial.degrees_of_freedom(rest, translation=free, rotation=not settings.remove_rotation)
    record = Record(folder, _header(start, settings, provenance), freedom.clamp(min=1))
    if record.finished:
        return record.folder / "trajectory.h5"
    state = record.resume(replicas, generator)
    if state is None:
        state = _begin(force_function, replicas, settings, generator)
        _at_rest(state, settings, announce)
    novelty = Novelty(settings.novelty_limit, settings.timestep, announce, stop=settings.when_novel == "stop")
    loop = _Loop(record, (_watch(replicas, settings), novelty), generator, settings, progress)
    try:
        with _interruptible() as loop.interrupted:
            if state.step <= 0:
                state = loop.advance(state, _thermalise(force_function, replicas, settings, generator), 0)
                state = _settle(state, rest, settings)
                record.sample(state)
            produce = _produce(force_function, replicas, settings, generator, freedom)
            state = loop.advance(state, produce, settings.steps[1])
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


def _begin(force_function: ForceFunction, replicas: Molecules, settings: SimulateSettings, generator: Generator) -> State:
    velocities = initial.thermal(replicas, settings.temperature * units.KELVIN, generator)
    return integrators.init(force_function, replicas, velocities, step=-settings.steps[0])


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
    elif settings.ensemble != "langevin":
        velocities = initial.without_translation(state.molecules, velocities)
    state = replace(state, velocities=velocities)
    return replace(state, bath=state.energy + state.kinetic)


def _thermalise(force_function: ForceFunction, replicas: Molecules, settings: SimulateSettings, generator: Generator) -> Step:
    friction = settings.thermalise_friction / units.PICOSECOND
    masses, temperature = replicas.masses[:, None], settings.temperature * units.KELVIN
    return integrators.langevin(force_function, masses, settings.timestep, temperature, friction, generator)


def _produce(
    force_function: ForceFunction, replicas: Molecules, settings: SimulateSettings, generator: Generator, freedom: torch.Tensor
) -> Step:
    masses, temperature = replicas.masses[:, None], settings.temperature * units.KELVIN
    if settings.ensemble == "nve":
        return integrators.velocity_verlet(force_function, masses, settings.timestep)
    if settings.ensemble == "langevin":
        return integrators.langevin(force_function, masses, settings.timestep, temperature, settings.friction / units.PICOSECOND, generator)
    memory = exp(-RESCALE_EVERY * settings.timestep_fs / settings.time_constant_fs)
    rescaling = Rescaling(freedom, temperature, memory, generator)
    return integrators.velocity_rescaling(force_function, masses, settings.timestep, rescaling, RESCALE_EVERY)


def _watch(replicas: Molecules, settings: SimulateSettings) -> Watch:
    tolerance = None if settings.ensemble == "langevin" else settings.energy_tolerance * units.MEV
    return Watch(replicas, settings.timestep, settings.stretch_limit, tolerance)


def _header(start: Molecules, settings: SimulateSettings, provenance: dict | None) -> dict:
    """What makes a run this run: compared before a folder is continued."""
    begins = [start.positions.detach().cpu().double()] + ([] if start.isotopes is None else [start.isotopes.cpu()])
    return {
        "settings": settings.model_dump(mode="json"),
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
