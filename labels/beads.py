"""Frames of quantum nuclei, to be labelled: single beads of ring polymers on the GFN2-xTB surface.

    python labels/beads.py MOLECULE FOLDER [TRAINING [HELD_OUT]]

Writes labels/FOLDER/training_beads.extxyz (TRAINING frames of trajectories at 300 and 500 K) and heldout_beads_300K.extxyz (HELD_OUT of
others at 300 K). Why not the beads of a trained model: one trained on frames of classical nuclei extrapolates where beads go, and its
own dynamics follow its errors there (docs/nuclei.md); GFN2-xTB is as good there as anywhere, and its barriers let groups rotate, which
harmonic (Wigner) distributions do not. A trajectory starts from a conformer that ships; from a snapshot two beads half a ring apart.
The order of a list is random, so that its first frames are a fair sample.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from tblite.interface import Calculator
from torch import Generator

from densnet import units
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.reference import shipped
from densnet.reference.geometries import Frame, read, write
from densnet.simulation import initial
from densnet.simulation.ensembles import Conditions
from densnet.simulation.ringpolymer import Pimd, modes_of, transformation
from densnet.threads import one_thread

HERE = Path(__file__).parent
BEADS, TIMESTEP, FRICTION = 32, 1.0, 5.0
"""Of each ring; fs; 1/ps, of the centroid."""
EQUILIBRATION, INTERVAL, SNAPSHOTS = 300, 60, 6
"""fs until the first snapshot and between two; snapshots of a trajectory, two frames each."""
LISTS = {"training_beads": ((300.0, 500.0), 0), "heldout_beads_300K": ((300.0,), 100)}
"""Temperatures (K), in turn, and number of the first trajectory."""


class Xtb:
    """GFN2-xTB energies and forces of all geometries of a batch, each from scratch."""

    def __init__(self, molecule: Molecules):
        self.calculator = Calculator("GFN2-xTB", molecule.numbers.numpy(), molecule.positions.numpy())
        self.calculator.set("verbosity", 0)

    def __call__(self, molecules: Molecules) -> Properties:
        found = [self.one(molecule.positions.numpy()) for molecule in molecules.split()]
        energies, gradients = (np.array(part) for part in zip(*found))
        return Properties(molecules, torch.from_numpy(energies), -torch.from_numpy(gradients).view(-1, 3))

    def one(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        """hartree and hartree/bohr [atoms, 3]."""
        self.calculator.update(positions)
        result = self.calculator.singlepoint()
        return result.get("energy"), result.get("gradient")


@one_thread()
def trajectory(start: Molecules, temperature: float, number: int) -> list[Frame]:
    """Beads of PIMD from ``start``, centre of mass of the ring at the origin."""
    ensemble, molecules, forces = Pimd(beads=BEADS, friction=FRICTION), initial.deal(start, 1), Xtb(start)
    kt, generator = temperature * units.KELVIN, Generator().manual_seed(number)
    freedom = initial.degrees_of_freedom(molecules, translation=True, rotation=True)
    conditions = Conditions(TIMESTEP * units.FEMTOSECOND, kt, freedom, generator)
    state = ensemble.begin(forces, molecules, initial.thermal(molecules, kt, generator), conditions)
    step, frames = ensemble.step(forces, molecules, conditions), []
    for last in range(EQUILIBRATION, EQUILIBRATION + INTERVAL * SNAPSHOTS, INTERVAL):
        while state.step < last / TIMESTEP:
            state = step(state)
        modes = modes_of(state)[0]
        modes[0] = initial.without_translation(molecules, modes[0])  # a position less that of the centre of mass
        beads = (transformation(BEADS) @ modes.flatten(1)).view_as(modes)
        frames += [Frame(start.at(beads[j]), number, temperature) for j in (0, BEADS // 2)]
    return frames


def main(molecule: str, folder: str, training: int = 200, held_out: int = 40) -> None:
    """Run the trajectories of both lists, tell how far, write each list when it is complete."""
    starts = [frame.molecule for frame in read(shipped.geometries(molecule))]
    for (name, (temperatures, first)), count in zip(LISTS.items(), (training, held_out)):
        path, frames = HERE / folder / f"{name}.extxyz", []
        if path.exists():
            continue
        for k in range(-(-count // (2 * SNAPSHOTS))):
            frames += trajectory(starts[k % len(starts)], temperatures[k // len(starts) % len(temperatures)], first + k)
            print(f"{folder}/{name}: {len(frames)} frames", flush=True)
        order = np.random.default_rng(first).permutation(len(frames))[:count]
        about = {"made by": "labels/beads.py", "molecule": molecule, "frames": [training, held_out], "surface": "GFN2-xTB",
                 "beads": BEADS, "timestep_fs": TIMESTEP, "friction_per_ps": FRICTION, "equilibration_fs": EQUILIBRATION,
                 "interval_fs": INTERVAL}  # fmt: skip
        write(path, [frames[i] for i in order], about)


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
