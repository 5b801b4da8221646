"""Milliseconds per step of the simulation loop itself: integrator, thermostat, watch, samples and files, without the force function.

    python benchmarks/integrator_overhead.py [--replicas 64] [--steps 4000]

Ethanol (9 atoms), a force function that costs next to nothing, default sampling and restarts. A force call of 64 replicas takes about 8 ms.
"""

from __future__ import annotations

import tempfile
import time

import torch
from chains import known
from experiment import Table, conclude, machine_line, parser

from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.simulation.ensembles import Langevin, Nve, Svr
from densnet.simulation.run import SimulateSettings, simulate


def trap(start: torch.Tensor, replicas: int):
    """Every atom held at its start by a spring, the dipole a constant: three tensor operations."""
    dipole = torch.zeros(replicas, 3, dtype=torch.float64)

    def force(molecules: Molecules) -> Properties:
        moved = molecules.positions - start
        energy = moved.view(replicas, -1).square().sum(1).mul(0.05)
        return Properties(molecules, energy, moved * -0.1, dipole)

    return force


def main() -> None:
    """Run each ensemble, print."""
    options = parser(__doc__)
    options.add_argument("--replicas", type=int, default=64)
    options.add_argument("--steps", type=int, default=4000)
    chosen = options.parse_args()
    start, rows = known("ethanol"), []
    size = f"{chosen.replicas} replicas x {len(start.numbers)} atoms, {chosen.steps} steps"
    print(f"{machine_line()}; {size}, sample every 4, restart every 2000")
    force = trap(start.positions.repeat(chosen.replicas, 1), chosen.replicas)
    for ensemble in (Nve(), Svr(), Langevin()):
        settings = SimulateSettings(
            ensemble=ensemble, replicas=chosen.replicas, thermalise_ps=0, duration_ps=chosen.steps * 0.5 / 1000, stretch_limit=100
        )
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu = time.perf_counter(), time.process_time()
            simulate(force, start, settings, folder)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rows.append([ensemble.kind, 1000 * wall / chosen.steps, 1000 * cpu / chosen.steps])
    table = Table(["ensemble", "ms a step", "CPU ms a step"], rows)
    conclude(chosen, "integrator_overhead", {"ensembles": table})


if __name__ == "__main__":
    main()
