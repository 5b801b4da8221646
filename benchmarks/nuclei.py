"""Classical and quantum nuclei on one model: bands of TRPMD beside those of classical dynamics, VPT2 and harmonic lines; what it costs.

    python benchmarks/nuclei.py [--model water] [--beads 1 16 32] [--replicas 24] [--picoseconds 2] [--compile]

Each run is thermalised (0.3 ps, friction 20/ps), then recorded at every step; one bead means classical nuclei at constant energy, with four
times the replicas. A run that was interrupted goes on, one that is done is only judged (its folder in OUT is named after its settings).
Of a bent triatomic molecule the bands of the variational method (variational.py) stand beside them: exact quantum nuclei on this model.
Kinetic energies are of the nuclei without the translation of the molecule; harmonic ones are exact for the model's normal modes,
with kT/2 for each rotation. CPU time is that of the whole run, forces and integrator, on one thread.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from experiment import Table, conclude, machine, machine_line, parser, write
from variational import Lines, band_limits, centroid, lines

from densnet import units
from densnet.files import read_json
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.observables.anharmonic import Anharmonic, vpt2
from densnet.observables.conformers import Conformer, characterise
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.simulation.ensembles import Nve
from densnet.simulation.ringpolymer import Trpmd, frequencies
from densnet.simulation.run import SimulateSettings, Trajectory, read_trajectory, simulate
from densnet.spectra.infrared import from_series
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.timeseries import Sampling, SeriesSettings, highest_wavenumber
from densnet.workflow.forces import force_function
from densnet.workflow.process import keep_memory

MORE = 4
"""Times as many replicas of classical nuclei, which cost a bead each."""


def settings_of(beads: int, chosen) -> SimulateSettings:
    """Of a run; one bead is classical."""
    ensemble = Trpmd(beads=beads) if beads > 1 else Nve()
    replicas = chosen.replicas * (1 if beads > 1 else MORE)
    return SimulateSettings(
        ensemble=ensemble, replicas=replicas, temperature=chosen.temperature, timestep_fs=chosen.timestep, seed=chosen.seed,
        thermalise_ps=0.3, thermalise_friction=20.0, duration_ps=chosen.picoseconds, sample_every=1,
        checkpoint_every=100, threads=1, compile=chosen.compile,
    )  # fmt: skip


def run(model: str, settings: SimulateSettings, folder: Path) -> None:
    """A trajectory in ``folder``; CPU seconds and geometries of this process are added up in ``cost.json`` there."""
    start = Molecules.concatenate([frame.molecule for frame in read(shipped.geometries(model))])
    forces = force_function(load(model), start, settings, print)
    begun, told, geometries = time.process_time(), [time.monotonic()], [0]

    def counted(molecules: Molecules):
        geometries[0] += molecules.count
        return forces(molecules)

    def progress(done: int, total: int) -> None:
        if time.monotonic() - told[0] > 30:
            told[0] = time.monotonic()
            print(f"{folder.name}: step {done} of {total}, {time.process_time() - begun:.0f} s of CPU", flush=True)

    try:
        simulate(counted, start, settings, folder, progress, {"model": model})
    finally:
        place = folder / "cost.json"
        before = read_json(place) if place.exists() else {"seconds": 0.0, "geometries": 0}
        if geometries[0]:
            spent = {"seconds": time.process_time() - begun, "geometries": geometries[0]}
            write(place, {name: before[name] + spent[name] for name in before})


def spectrum_of(found: Trajectory, highest: float, depth: float, every: int = 1) -> Spectrum:
    """Of all replicas; ``every`` as many samples."""
    sampling = Sampling(every * found.sample_step, found.time_step, found.temperature.mean(1).numpy(), highest, found.method)
    return from_series(found.dipole[:, ::every].numpy(), sampling, settings=SeriesSettings(depth=depth, maximum=4200.0))


def harmonic_kinetic(conformer: Conformer, temperature: float, beads: int) -> float:
    """meV, of the normal modes by so many beads (0: exact, 1: classical), with kT/2 for each of three rotations."""
    kt = temperature * units.KELVIN
    squares, w = (frequencies(max(beads, 1), kt) / kt).square().numpy(), conformer.modes.frequencies.numpy() * units.INVERSE_CM / kt
    exact = w / 4 / np.tanh(w / 2)
    modes = exact if beads == 0 else (w[:, None] ** 2 / (squares + w[:, None] ** 2)).sum(1) / 2
    return float(kt * (modes.sum() + 1.5) / units.MEV)


def pm(value: float, error: float | None, digits: int = 1) -> str:
    return f"{value:.{digits}f}" if error is None else f"{value:.{digits}f} +- {error:.{digits}f}"


def judged(
    conformer: Conformer, anharmonic: Anharmonic, exact: Lines | None, runs: dict[int, Trajectory], chosen
) -> dict[str, Table]:
    """Bands, and averages with the cost; ``exact`` lines where they are known."""
    highest, limits = highest_wavenumber(conformer.molecule), band_limits(conformer.modes)
    spectra = {beads: spectrum_of(found, highest, chosen.depth) for beads, found in runs.items()}
    names = {beads: "classical" if beads == 1 else f"TRPMD, {beads} beads" for beads in runs}
    bands = []
    for lower, upper in limits:
        harmonic, quantum = (centroid(conformer.modes, v, (lower, upper)) for v in (conformer.modes.frequencies, anharmonic.fundamentals))
        inside = (conformer.modes.frequencies > lower) & (conformer.modes.frequencies < upper)
        true = (None, None) if exact is None else [f"{value:.1f}" for value in exact.band(lower, upper)]
        for beads, found in spectra.items():
            b = found.band(lower, upper)
            row = [f"{lower:.0f}-{upper:.0f}", names[beads], f"{harmonic:.1f}", f"{quantum:.1f}", true[0]]
            row += [pm(b.centroid, b.centroid_error), f"{float(conformer.modes.intensities[inside].sum()):.1f}"]
            bands.append([*row, true[1], pm(b.integral, b.error)])
    head = ["band", "nuclei", "harmonic", "VPT2", "exact", "dynamics", "harmonic, km/mol", "exact, km/mol", "dynamics, km/mol"]
    averages = []
    for beads, found in runs.items():
        spent = read_json(chosen.out / folder_name(beads, chosen) / "cost.json")
        per_step = 1000 * spent["seconds"] / spent["geometries"]
        per_ps = spent["seconds"] / spent["geometries"] * beads * 1000 / chosen.timestep
        drift = pm(float(found.drift.mean()), float(found.drift.std()) / len(found.drift) ** 0.5, 2)
        kinetic, inner = None, None
        if found.quantum_kinetic is not None:
            kinetic = mean_error(found.quantum_kinetic / units.MEV)
            inner = mean_error(found.internal_temperature)
        size = f"{len(found.dipole)} x {float(found.times[-1]) / units.PICOSECOND:.2f}"
        row = [names[beads], size, pm(found.realised.mean, found.realised.error), inner, kinetic]
        row += [f"{harmonic_kinetic(conformer, chosen.temperature, beads):.1f}", drift, f"{100 * float(found.marked.double().mean()):.2g}"]
        row += [f"{per_step:.3f}", f"{per_ps:.1f}"]
        averages.append(row)
    infinite = f"{harmonic_kinetic(conformer, chosen.temperature, 0):.1f}"
    averages.append(["infinitely many beads", None, None, None, None, infinite, *[None] * 4])
    titles = ["nuclei", "replicas x ps", "T of centroid, K", "T of internal modes, K", "kinetic energy, meV", "the same, harmonic, meV"]
    titles += ["drift, meV/atom/ps", "marked as novel, %", "CPU, ms a geometry", "CPU, s a ps and replica"]
    return {f"{chosen.model}-bands": Table(head, bands), f"{chosen.model}-averages": Table(titles, averages)}


def mean_error(values: torch.Tensor) -> str:
    """Of [replicas, samples], with the standard error over replicas."""
    means = values.mean(1)
    return pm(float(means.mean()), float(means.std()) / len(means) ** 0.5, 2)


def folder_name(beads: int, chosen) -> str:
    """Of a run in OUT."""
    form = f"{chosen.temperature:g}K-{chosen.replicas}x{chosen.picoseconds:g}ps-{chosen.timestep:g}fs-seed{chosen.seed}"
    return f"{chosen.model}-{beads}beads-{form}{'-compiled' if chosen.compile else ''}"


def main() -> None:
    """Run, judge, print."""
    options = parser(__doc__, "runs/nuclei")
    options.add_argument("--model", default="water", help="shipped name")
    options.add_argument("--beads", type=int, nargs="+", default=[1, 16, 32])
    options.add_argument("--replicas", type=int, default=24, help="of ring polymers")
    options.add_argument("--picoseconds", type=float, default=2.0)
    options.add_argument("--timestep", type=float, default=1.0, help="fs")
    options.add_argument("--temperature", type=float, default=300.0, help="K")
    options.add_argument("--depth", type=float, default=1024.0, help="fs, window on the correlation")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--compile", action="store_true")
    options.add_argument("--judge", action="store_true", help="run nothing; what there is of runs that were interrupted counts")
    chosen = options.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    places = {beads: chosen.out / folder_name(beads, chosen) for beads in chosen.beads}
    if not chosen.judge:
        for beads, place in places.items():
            run(chosen.model, settings_of(beads, chosen), place)
    runs = {beads: read_trajectory(place, motion=False) for beads, place in places.items()}
    model = load(chosen.model).double()
    start = read(shipped.geometries(chosen.model))[0].molecule
    conformer = characterise(model, start, chosen.model)
    exact = lines(model.without_forces, conformer.modes) if len(start.numbers) == 3 else None
    tables = judged(conformer, vpt2(model, conformer.modes), exact, runs, chosen)
    write(chosen.out / f"{chosen.model}.json", {**machine(), **{name: table.rows for name, table in tables.items()}})
    conclude(chosen, "nuclei", tables)


if __name__ == "__main__":
    main()
