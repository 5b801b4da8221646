"""`densnet benchmark`: where the time of a dynamics step goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from densnet.cli.console import JsonFile

if TYPE_CHECKING:
    from rich.table import Table

PARTS = {
    "neighbours_ms": "pairs, distances, harmonics, radial functions",
    "network_1_ms": "network 1: density, forward",
    "network_2_ms": "network 2: energy, forward",
    "dipole_ms": "dipole of the density",
    "promolecule_ms": "promolecule (its dipole is zero)",
    "backward_ms": "forces: backward through both networks",
    "integrator_ms": "integrator",
    "io_ms": "trajectory files, share of a step",
}


def benchmark(
    model: Annotated[str, typer.Option(help="Model file written by `densnet train`, or the name of a shipped model.")],
    geometry: Annotated[
        Path | None, typer.Option(help="xyz file in Angstrom, assigned to the replicas in turn; default: that of the shipped molecule.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Number of independent trajectories, run as one batch.")] = 32,
    steps: Annotated[int, typer.Option(min=50, help="Repetitions for the medians, after a warm-up.")] = 50,
    threads: Annotated[int, typer.Option(min=1, help="With more than one, wall time is measured instead of CPU time.")] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda; wall time is measured on a GPU.")] = "cpu",
    json: JsonFile = None,
    *,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the model, or use a CUDA graph on a GPU.")] = False,
) -> None:
    """Time a step of molecular dynamics and its parts on this machine: medians of CPU time in ms, for all replicas together.

    A step is one force call and the integrator at constant energy, as in `simulate`: replicas in blocks on threads or on a GPU, compiled
    if requested. The parts are timed with the uncompiled model, all replicas at once on one thread. Output files are not part of the step;
    their time (samples and restarts at the default intervals, and the final H5MD file) is listed separately, as CPU time without waiting
    for the disk. The promolecule is not evaluated during dynamics, because the dipole of neutral spheres is zero; its time is taken from
    a profile of one step.
    Floating-point operations are those of the matrix products of one uncompiled force call; compiled models skip the zeros.
    """
    import torch

    from densnet import __version__
    from densnet.cli.console import activity, say, show
    from densnet.model.predictor import load
    from densnet.molecules import Molecules
    from densnet.reference.geometries import read
    from densnet.settings import parse
    from densnet.simulation.initial import deal
    from densnet.simulation.run import SimulateSettings
    from densnet.threads import one_thread
    from densnet.workflow import timing
    from densnet.workflow.forces import force_function

    settings = parse(SimulateSettings, {"replicas": replicas, "threads": threads, "device": device, "compile": compiled}, "")
    predictor = load(model, settings.place)
    geometry = geometry or _shipped(model)
    start = deal(Molecules.concatenate([frame.molecule for frame in read(geometry)]), replicas).to(settings.place)
    forces = force_function(predictor, start, settings, say)
    clock = timing.clock(settings.cores, device)
    with activity("measuring") as progress, one_thread():
        times = timing.measure(predictor, forces, start, steps, clock, progress)
    whole = times.pop("step")
    found = {
        "ms_per_step": whole,
        "replica_steps_per_s": 1000 * replicas / whole,
        **{key: times[key.removesuffix("_ms")] for key in PARTS},
        "gflops_achieved": timing.floating_point_operations(predictor, start) / whole / 1e6,
        "gemm_gflops": timing.matrix_product_rate(steps, clock, settings.place) / 1e9,
        "hardware": timing.hardware(device),
        "device": device,
        "threads": settings.cores,
        "compiled": compiled,
        "block": settings.block_size(len(start.numbers) // replicas),
        "replicas": replicas,
        "atoms": len(start.numbers) // replicas,
        "repetitions": steps,
        "clock": "CPU time" if (device, threads) == ("cpu", 1) else "wall time",
        "precision": str(predictor.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "densnet": __version__,
    }
    show(found, json, _table(found, f"{model} on {geometry.name}"))


def _shipped(model: str) -> Path:
    from densnet.reference import shipped
    from densnet.settings import SettingsError

    if model not in shipped.names():
        raise SettingsError("`--geometry` is missing; give an xyz file in Angstrom of a molecule for which the model was trained.")
    return shipped.geometries(model)


def _table(found: dict, title: str) -> Table:
    from rich.table import Table

    caption = (
        f"Medians of {found['clock']} over {found['repetitions']} repetitions: {found['replicas']} replicas of {found['atoms']} atoms, "
        f"{found['precision']}, {found['threads']} thread(s), blocks of {found['block']}, {'' if found['compiled'] else 'not '}compiled, "
        f"torch {found['torch']}, {found['hardware']}. "
        "Each part has its own median, and files are not in the step, so the parts need not add up to the step."
    )
    table = Table(title=title, caption=caption)
    table.add_column("")
    table.add_column("ms", justify="right")
    table.add_column("% of the step", justify="right")
    for key, text in PARTS.items():
        table.add_row(text, f"{found[key]:.3f}", f"{100 * found[key] / found['ms_per_step']:.1f}")
    table.add_section()
    table.add_row("whole step", f"{found['ms_per_step']:.3f}", "100")
    table.add_section()
    table.add_row("replica steps per second", f"{found['replica_steps_per_s']:.0f}", "")
    table.add_row("Gflop/s of the step's matrix products", f"{found['gflops_achieved']:.2f}", "")
    table.add_row("Gflop/s of this machine, float32 1024 x 1024", f"{found['gemm_gflops']:.1f}", "")
    return table
