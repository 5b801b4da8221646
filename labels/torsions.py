"""Geometries along the two torsions of ethanol, relaxed by a model at each angle: the list that benchmarks/torsions.py needs labels of.

    python labels/torsions.py [--model ethanol] [--out labels/ethanol/torsions.extxyz]

Trajectory 300: H-O-C-C from 0 to 180 degrees; its mirror image is the other half. Trajectory 301: H-C-C-O of the trans conformer from 60
(staggered) to 120 degrees (eclipsed); the three hydrogens and a mirror make the rest of it. Only the angle is held.
"""

import argparse
from pathlib import Path

import ase
import numpy as np
import torch
from ase.constraints import FixInternals
from ase.optimize import BFGS

from densnet import units
from densnet.interfaces.ase import DensnetCalculator, molecules_of
from densnet.model.predictor import load
from densnet.reference import geometries
from densnet.reference.geometries import Frame

HERE = Path(__file__).resolve().parent
START = HERE.parent / "src" / "densnet" / "data" / "molecules" / "ethanol.xyz"
HYDROXYL, METHYL = 300, 301
ATOMS, TURNING = {HYDROXYL: (8, 2, 1, 0), METHYL: (3, 0, 1, 2)}, {HYDROXYL: [8], METHYL: [3, 4, 5]}
"""The atoms of each torsion in the order of START, and those that turn."""
ANGLES = {HYDROXYL: np.arange(180.0, -1.0, -15.0), METHYL: np.arange(60.0, 121.0, 5.0)}
"""Degrees, in the order in which one geometry starts from the last."""


def relaxed(model: str) -> list[Frame]:
    """The list; every geometry starts from the one before it."""
    calculator = DensnetCalculator(load(model).double())
    start = geometries.read(START)[0].molecule
    frames = []
    for torsion, four in ATOMS.items():
        atoms = ase.Atoms(start.numbers.numpy(), start.positions.numpy() / units.ANGSTROM, calculator=calculator)
        for wanted in ANGLES[torsion].tolist():
            atoms.set_constraint()
            atoms.set_dihedral(*four, wanted, indices=TURNING[torsion])
            atoms.set_constraint(FixInternals(dihedrals_deg=[[wanted % 360, four]], epsilon=1e-9))
            BFGS(atoms, logfile=None).run(fmax=2e-3, steps=300)
            print(f"{torsion} {atoms.get_dihedral(*four):8.3f} degrees {1000 * atoms.get_potential_energy():.2f} meV", flush=True)
            frames.append(Frame(molecules_of(atoms), torsion, 0.0))
    return frames


def main() -> None:
    """Relax and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ethanol", help="model file or shipped name that relaxes the geometries")
    parser.add_argument("--out", type=Path, default=HERE / "ethanol" / "torsions.extxyz")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    geometries.write(chosen.out, relaxed(chosen.model), {"relaxed_by": chosen.model, "held": "one torsion", "largest_force_eV_per_A": 2e-3})


if __name__ == "__main__":
    main()
