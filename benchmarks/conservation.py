"""Is the energy of a model's dynamics conserved? Trajectories at constant energy, and the forces against the energy itself.

    python benchmarks/conservation.py [--model ethanol] [--replicas 4] [--picoseconds 100] [--compile]
    python benchmarks/conservation.py [--model ethanol] --replicas 64 --picoseconds 10 [--compile]

Thermalised at 300 K as `densnet simulate` does it, then velocity Verlet with 0.5 fs, networks in float32, positions and energies in
float64. A run that was interrupted goes on, one that is done is only judged (its folder in OUT is named after its settings). Drift:
straight line through the conserved energy of each replica; fluctuation: what is left about that line. Then, at geometries of the
trajectory, forces against central differences of the energy, and the Hessian against its transpose. Writes a JSON file beside the folder.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import torch
from experiment import Table, machine, machine_line, parser, record, write
from torch import Tensor

from densnet import units
from densnet.model import shipped as shipped_models
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.observables.response import slopes
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.simulation.run import SimulateSettings, SimulationStopped, Trajectory, read_trajectory, simulate
from densnet.workflow.forces import force_function
from densnet.workflow.process import keep_memory

STEPS = {torch.float64: 1e-4, torch.float32: 4e-3}
"""bohr, of the central differences: where the error of the step and that of rounding are both small."""


def conserved(trajectory: Trajectory) -> dict:
    """Of the recorded part: drift (meV/atom/ps), fluctuation and largest excursion from the start (meV/atom), K."""
    per_atom = trajectory.conserved / units.MEV / len(trajectory.numbers)
    times = (trajectory.times - trajectory.times.mean()) / units.PICOSECOND
    line = per_atom.mean(1, keepdim=True) + trajectory.drift[:, None] * times
    replicas = len(per_atom)
    return {
        "replicas": replicas,
        "picoseconds": float(trajectory.times[-1]) / units.PICOSECOND,
        "temperature_K": float(trajectory.temperature.mean()),
        "drift_mean": float(trajectory.drift.mean()),
        "drift_error": float(trajectory.drift.std()) / replicas**0.5 if replicas > 1 else None,
        "drift_worst": float(trajectory.drift[trajectory.drift.abs().argmax()]),
        "drift_of_each": trajectory.drift.tolist(),
        "fluctuation": float((per_atom - line).square().mean().sqrt()),
        "excursion": float(per_atom.abs().max()),
    }


def difference_errors(predictor: Predictor, geometries: list[Molecules]) -> dict:
    """Forces against central differences of the energy, meV/A: root mean square and largest component; and the forces' own rms."""
    step, errors, forces = STEPS[predictor.dtype], [], []
    for molecule in geometries:
        moves = step * torch.eye(molecule.positions.numel(), dtype=torch.float64).reshape(-1, *molecule.positions.shape)
        energies = [predictor(Molecules.replicas(molecule.numbers, molecule.positions + s * moves)).energy for s in (1, -1)]
        forces.append(predictor(molecule).forces.double())
        errors.append(forces[-1].flatten() + (energies[0] - energies[1]) / (2 * step))
    error, force = (torch.cat([t.flatten() for t in tensors]) / units.MEV_PER_ANGSTROM for tensors in (errors, forces))
    return {"rms": rms(error), "largest": float(error.abs().max()), "forces_rms": rms(force), "step_bohr": step}


def asymmetry(predictor: Predictor, geometries: list[Molecules]) -> float:
    """Largest |H - H^T| of the Hessian by central differences of the forces, as a share of its largest element."""
    found = [slopes(predictor, molecule, STEPS[predictor.dtype] / 2).hessian for molecule in geometries]
    return max(float((h - h.T).abs().max() / h.abs().max()) for h in found)


def rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def checks(model: str, trajectory: Trajectory, count: int) -> dict:
    """Both precisions at ``count`` geometries, spread over replicas and times."""
    replicas, samples = trajectory.potential.shape
    picked = [(k % replicas, (k + 1) * (samples - 1) // count) for k in range(count)]
    geometries = [Molecules.single(trajectory.numbers, trajectory.positions[replica, sample]) for replica, sample in picked]
    single, double = load(model), load(model).double()
    rounding = torch.cat([(single(m).forces.double() - double(m).forces).flatten() for m in geometries]) / units.MEV_PER_ANGSTROM
    found = {"geometries": count, "rounding_rms": rms(rounding), "rounding_largest": float(rounding.abs().max())}
    for predictor in (single, double):
        name = str(predictor.dtype).removeprefix("torch.")
        found[name] = {**difference_errors(predictor, geometries), "hessian_asymmetry": asymmetry(predictor, geometries[:2])}
    return found


def run(model: str, geometry: Path, settings: SimulateSettings, precision: torch.dtype, folder: Path) -> tuple[Path, str]:
    """The trajectory, and what stopped it before its end; nothing if all replicas stayed whole."""
    start = Molecules.concatenate([frame.molecule for frame in read(geometry)])
    forces = force_function(load(model).to(precision), start, settings, print)
    content = hashlib.sha256(Path(shipped_models.find(model)).read_bytes()).hexdigest()
    began, told = time.monotonic(), [time.monotonic()]

    def progress(done: int, total: int) -> None:
        if time.monotonic() - told[0] > 20 or done == total:
            told[0] = time.monotonic()
            print(f"step {done} of {total}, {told[0] - began:.0f} s", flush=True)

    try:
        return simulate(forces, start, settings, folder, progress, {"model": content, "precision": str(precision)}), ""
    except SimulationStopped as stop:
        return folder / "trajectory.h5", str(stop)


def report(found: dict) -> tuple[dict[str, Table], str]:
    """Two tables, and what else is to be said."""
    kept, checked = found["conserved"], found["checks"]
    error = "" if kept["drift_error"] is None else f" +- {kept['drift_error']:.4f}"
    first = [
        ["mean temperature, K", f"{kept['temperature_K']:.0f}"],
        ["drift, mean of the replicas, meV/atom/ps", f"{kept['drift_mean']:+.5f}{error}"],
        ["drift, worst replica, meV/atom/ps", f"{kept['drift_worst']:+.5f}"],
        ["fluctuation about the line, rms, meV/atom", f"{kept['fluctuation']:.4f}"],
        ["largest excursion from the start, meV/atom", f"{kept['excursion']:.4f}"],
        ["bonds broken, energies run away", found["stopped"] or "none"],
    ]
    second = [
        [name, checked[name]["rms"], checked[name]["largest"], checked[name]["step_bohr"], checked[name]["hessian_asymmetry"]]
        for name in ("float32", "float64")
    ]
    head = ["networks", "forces - differences, rms, meV/A", "largest", "step, bohr", "Hessian asymmetry, share of its largest element"]
    tail = (
        f"{checked['geometries']} geometries of the trajectory, forces of {checked['float64']['forces_rms']:.0f} meV/A rms; "
        f"float32 against float64 forces: rms {checked['rounding_rms']:.2g}, largest {checked['rounding_largest']:.2g} meV/A"
    )
    return {"energy": Table(["", f"{kept['replicas']} x {kept['picoseconds']:.4g} ps"], first), "forces": Table(head, second)}, tail


def main() -> None:
    """Run, judge, print."""
    options = parser(__doc__, "runs/conservation")
    options.add_argument("--model", default="ethanol", help="model file or shipped name")
    options.add_argument("--geometry", type=Path, help="xyz file of the conformers; those of the shipped molecule by default")
    options.add_argument("--replicas", type=int, default=4)
    options.add_argument("--picoseconds", type=float, default=100.0)
    options.add_argument("--thermalise", type=float, default=2.0, help="ps of Langevin dynamics before")
    options.add_argument("--timestep", type=float, default=0.5, help="fs")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--precision", choices=("float32", "float64"), default="float32", help="of the networks")
    options.add_argument("--compile", action="store_true")
    options.add_argument("--geometries", type=int, default=10, help="at which the forces are checked")
    chosen = options.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    settings = SimulateSettings(
        replicas=chosen.replicas, duration_ps=chosen.picoseconds, thermalise_ps=chosen.thermalise, timestep_fs=chosen.timestep,
        sample_every=4, threads=chosen.threads, compile=chosen.compile,
    )  # fmt: skip
    form = f"{chosen.precision}{'-compiled' if chosen.compile else ''}-{chosen.timestep:g}fs"
    name = f"{Path(chosen.model).stem}-{chosen.replicas}x{chosen.picoseconds:g}ps-{form}"
    geometry = chosen.geometry or shipped.geometries(chosen.model)
    print(f"model `{chosen.model}`, {name}; {machine_line()}", flush=True)
    path, stopped = run(chosen.model, geometry, settings, getattr(torch, chosen.precision), chosen.out / name)
    found = {"model": chosen.model, **machine(), "settings": settings.model_dump(mode="json"), "precision": chosen.precision}
    trajectory = read_trajectory(path)
    found |= {"stopped": stopped, "conserved": conserved(trajectory), "checks": checks(chosen.model, trajectory, chosen.geometries)}
    tables, tail = report(found)
    print("\n\n".join([*(table.markdown() for table in tables.values()), tail]))
    write(chosen.out / f"{name}.json", found)
    if chosen.record:
        size = f"{chosen.replicas}x{chosen.picoseconds:g}ps"
        record("conservation", {f"{kind}-{size}": table for kind, table in tables.items()}, vars(chosen))


if __name__ == "__main__":
    main()
