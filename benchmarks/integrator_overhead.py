"""Milliseconds per step of the simulation loop itself: integrator, thermostat, watch, samples and files, without the force function.

    python benchmarks/integrator_overhead.py [--replicas 64] [--steps 4000]

Ethanol (9 atoms), a force function that costs next to nothing, default sampling and restarts. A force call of 64 replicas takes about 8 ms.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import torch

from densnet import units
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.simulation.run import SimulateSettings, simulate
from densnet.workflow.timing import processor

NUMBERS = [6, 6, 8, 1, 1, 1, 1, 1, 1]
ETHANOL = [
    [1.1879, -0.3829, 0.0], [0.0, 0.5526, 0.0], [-1.1867, -0.2472, 0.0], [-1.9237, 0.3850, 0.0], [2.0985, 0.2306, 0.0],
    [1.1184, -1.0093, 0.8869], [1.1184, -1.0093, -0.8869], [-0.0227, 1.1812, 0.8852], [-0.0227, 1.1812, -0.8852],
]  # fmt: skip


def trap(start: torch.Tensor, replicas: int):
    """Every atom held at its start by a spring, the dipole a constant: three tensor operations."""
    dipole = torch.zeros(replicas, 3, dtype=torch.float64)

    def force(molecules: Molecules) -> Properties:
        moved = molecules.positions - start
        energy = moved.view(replicas, -1).square().sum(1).mul(0.05)
        return Properties(molecules, energy, moved * -0.1, dipole)

    return force


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--replicas", type=int, default=64)
    options.add_argument("--steps", type=int, default=4000)
    chosen = options.parse_args()
    print(f"hardware: {processor()}, torch {torch.__version__}, {torch.get_num_threads()} thread(s)")
    print(f"{chosen.replicas} replicas x {len(NUMBERS)} atoms, {chosen.steps} steps, sample every 4, restart every 2000")
    start = Molecules.single(NUMBERS, torch.tensor(ETHANOL, dtype=torch.float64) * units.ANGSTROM)
    force = trap(start.positions.repeat(chosen.replicas, 1), chosen.replicas)
    for ensemble in ("nve", "svr", "langevin"):
        settings = SimulateSettings(
            ensemble=ensemble, replicas=chosen.replicas, thermalise_ps=0, duration_ps=chosen.steps * 0.5 / 1000, stretch_limit=100
        )
        with tempfile.TemporaryDirectory() as folder:
            wall, cpu = time.perf_counter(), time.process_time()
            simulate(force, start, settings, folder)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{ensemble:9s} {1000 * wall / chosen.steps:.3f} ms per step (CPU {1000 * cpu / chosen.steps:.3f} ms)")


if __name__ == "__main__":
    main()
