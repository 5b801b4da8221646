"""Labels frames of a dataset anew and compares: python benchmarks/labels.py labels/ethanol/start_500K.h5 [FRAMES]

Prints hardware, settings, seconds a frame on one core, and the largest differences, which must be below 1e-6 hartree and 0.3 meV/A.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import resource
import sys
import time

import numpy as np
import pyscf
import torch
from experiment import machine_line

from densnet.dataset import store
from densnet.reference.scf import ScfSettings, calculate
from densnet.units import MEV_PER_ANGSTROM


def main() -> None:
    labels = store.read(sys.argv[1])
    chosen = np.linspace(0, len(labels) - 1, int(sys.argv[2]) if len(sys.argv) > 2 else 3).round().astype(int)
    settings = ScfSettings()
    torch.set_num_threads(1)
    print(f"{machine_line()}; pyscf {pyscf.__version__}; {settings}")
    worst = np.zeros(3)
    for index in chosen:
        known = labels[index].properties
        wall, cpu = time.perf_counter(), time.process_time()
        new = calculate(known.molecules, settings)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        difference = [
            abs(float(new.energy - known.energy)),
            float((new.forces - known.forces).abs().max()) / MEV_PER_ANGSTROM,
            float((new.dipole - known.dipole).abs().max()),
        ]
        worst = np.maximum(worst, difference)
        print(f"frame {index:4d}: {wall:6.2f} s wall, {cpu:6.2f} s CPU; dE {difference[0]:.1e} hartree, dF {difference[1]:.1e} meV/A, "
              f"d(dipole) {difference[2]:.1e} e bohr")  # fmt: skip
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if worst[0] > 1e-6 or worst[1] > 0.3:
        sys.exit("these labels are not reproduced")


if __name__ == "__main__":
    main()
