"""Where the time of a dynamics step goes: medians of the step and of its parts, and what the machine could do at best."""

from __future__ import annotations

import cProfile
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Generator, Tensor
from torch.utils.flop_counter import FlopCounterMode

from densnet import units
from densnet.density import promolecule
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules
from densnet.progress import Progress
from densnet.simulation import initial
from densnet.simulation.integrators import ForceFunction, State, Step, init, velocity_verlet
from densnet.simulation.record import Record
from densnet.simulation.run import SimulateSettings

WARM_UP = 10
"""Repetitions before the first that counts."""

Clock = Callable[[], float]
"""Seconds since some moment."""


def processor() -> str:
    """Name of the processor; what Python knows of it where there is no /proc/cpuinfo."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def hardware(device: str) -> str:
    """Name of the processor, or of the GPU for ``cuda``."""
    return torch.cuda.get_device_name() if device == "cuda" else processor()


def clock(threads: int, device: str = "cpu") -> Clock:
    """CPU time of the process, which other programs hardly disturb; with several threads, whose CPU times add up, wall time.

    For ``cuda`` wall time when the GPU has done all its work.
    """
    if device == "cuda":
        return _when_done
    return time.process_time if threads == 1 else time.perf_counter


def _when_done() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(
    predictor: Predictor, forces: ForceFunction, replicas: Molecules, repetitions: int, clock: Clock, progress: Progress
) -> dict[str, float]:
    """Median ms of a step of velocity Verlet (``step``, files not included) and of each of its parts, by name; ``io`` is per step.

    The step is that of ``forces``, the parts are those of ``predictor``, which it was computed from.

    Step and parts are measured in turn, always from the same geometry, so that a change of the processor's speed meets them alike; a step
    that is not measured goes before, because in dynamics steps find what they need in the caches.
    ``promolecule`` is the time spent in `densnet.density.promolecule` during one step, by Python's profiler.
    """
    settings = SimulateSettings(replicas=replicas.count)
    generator = Generator(replicas.positions.device).manual_seed(settings.seed)
    velocities = initial.maxwell_boltzmann(replicas, settings.temperature * units.KELVIN, generator)
    state = init(forces, replicas, velocities)
    known = predictor(replicas)
    step = velocity_verlet(forces, state.masses, settings.timestep)
    free = velocity_verlet(lambda molecules: known, state.masses, settings.timestep)
    rows, total = [], WARM_UP + repetitions
    for done in range(total):
        step(state)
        row = {"step": _seconds(lambda: step(state), clock), **_force_parts(predictor, replicas, clock)}
        rows.append(row | {"integrator": _seconds(lambda: free(state), clock)})
        progress(done + 1, 2 * total)
    for done in range(total):  # a loop of its own, because so much writing at once would leave the steps with cold caches
        rows[done]["io"] = _writing(state, settings, clock)
        progress(total + done + 1, 2 * total)
    found = {name: 1000 * median(row[name] for row in rows[WARM_UP:]) for name in rows[0]}
    return found | {"promolecule": 1000 * _in_promolecule(step, state)}


def floating_point_operations(predictor: Predictor, replicas: Molecules) -> int:
    """Of energy, forces and dipole of ``replicas``; matrix products only, two for each multiply-add."""
    with FlopCounterMode(display=False) as counter:
        predictor(replicas)
    return counter.get_total_flops()


def matrix_product_rate(repetitions: int, clock: Clock, device: torch.device, size: int = 1024) -> float:
    """Floating-point operations per second of a float32 product of two ``size`` x ``size`` matrices."""
    a, b = torch.randn(2, size, size, generator=Generator().manual_seed(0)).to(device)
    seconds = [_seconds(lambda: a @ b, clock) for _ in range(WARM_UP + repetitions)]
    return 2 * size**3 / median(seconds[WARM_UP:])


def _seconds(work: Callable[[], object], clock: Clock) -> float:
    begun = clock()
    work()
    return clock() - begun


def _force_parts(predictor: Predictor, molecules: Molecules, clock: Clock) -> dict[str, float]:
    """Seconds of the stations of `Predictor.forward`, passed in its order."""
    moments = [clock()]
    with torch.enable_grad():
        molecules = molecules.at(molecules.positions.detach().requires_grad_())
        geometry = predictor.geometry(molecules)
        moments.append(clock())
        output = predictor.density_network(geometry)
        moments.append(clock())
        energy: Tensor = molecules.total(predictor.energy_network(output, geometry))
        moments.append(clock())
        dipole = predictor.density(molecules, output, geometry).dipole()
        moments.append(clock())
        slope = torch.autograd.grad(energy.sum(), molecules.positions)
        moments.append(clock())
    del dipole, slope  # alive until here, as in the predictor
    names = ("neighbours", "network_1", "network_2", "dipole", "backward")
    return {name: after - before for name, before, after in zip(names, moments, moments[1:])}


def _writing(state: State, settings: SimulateSettings, clock: Clock) -> float:
    """Seconds per step of samples, one restart and the H5MD file of as many steps as lie between two restarts."""
    molecules, steps = state.molecules, settings.checkpoint_every
    numbers = molecules.numbers[molecules.owner == 0].tolist()
    header = {"settings": settings.model_dump(mode="json"), "provenance": {}, "numbers": numbers, "start": ""}
    freedom = initial.degrees_of_freedom(molecules, translation=False, rotation=True).clamp(min=1)
    with tempfile.TemporaryDirectory() as folder:
        begun = clock()
        record = Record(Path(folder), header, freedom)
        for _ in range(steps // settings.sample_every):
            record.sample(state)
        record.checkpoint(state, Generator())
        record.consolidate(molecules.masses, complete=True)
        return (clock() - begun) / steps


def _in_promolecule(step: Step, state: State) -> float:
    profile = cProfile.Profile()
    profile.runcall(step, state)
    calls = [entry for entry in profile.getstats() if not isinstance(entry.code, str)]
    return float(sum(call.totaltime for call in calls if call.code.co_filename == promolecule.__file__))
