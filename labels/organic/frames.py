"""The frame lists of this folder: python labels/organic/frames.py FOLDER [LIST]

469 molecules and dimers to train on (training.csv: how many frames of each; training.xyz: their conformers, relaxed by GFN2-xTB) and 26
others that no model is trained on (heldout.csv, heldout.xyz). Every conformer has its turn; trajectories run on the GFN2-xTB surface
(Langevin), start with velocities of twice the temperature, and are short: two frames each, for training, at 300 to 800 K (dimers 150 and
300 K); one each, held out, at 300 K. One in which a bond breaks is left out and the next takes its place.

Trajectory 1000 MOLECULE + N is the Nth of the molecule in that row of the csv, counted from 0, and every frame has the molecule's name.
training_1 is two frames of every molecule, its first 469 frames one each; training_2 the other frames. In both the order is random, so that
what comes first is a fair share of all molecules. FOLDER keeps the frames of each molecule, so that the work goes on after an interruption.
A list that is there is left alone.
"""

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from densnet.frames import xyz
from densnet.frames.xyz import GeometryError
from densnet.molecules import Molecules
from densnet.reference.geometries import Frame, Run, SampleSettings, langevin, read, write
from densnet.units import ANGSTROM

HERE = Path(__file__).parent
MONOMERS, DIMERS = (300.0, 400.0, 500.0, 650.0, 800.0), (150.0, 300.0)
"""K."""
ATTEMPTS = 4
"""Trajectories tried for each that is wanted, before a molecule that falls apart is given up."""


@dataclass(frozen=True)
class Molecule:
    """One row of a csv: its `number` there, `name`, `kind` ("monomer", "dimer"), frames wanted, and its conformers."""

    number: int
    name: str
    kind: str
    frames: int
    conformers: list[Molecules]


@dataclass(frozen=True)
class List:
    """A list of frames: its `name`, the csv and xyz it is `of`, how its trajectories run and how many frames each gives.

    It holds of each molecule the frames from `begin` to `end` (None: all that are wanted), behind those of the list before it.
    """

    name: str
    of: str
    settings: SampleSettings
    frames_of_trajectory: int
    begin: int
    end: int | None

    @property
    def path(self) -> Path:
        return HERE / f"{self.name}.extxyz"

    @property
    def held_out(self) -> bool:
        return self.of == "heldout"

    def molecules(self) -> list[Molecule]:
        """All rows; of those held out five frames each."""
        conformers: dict[str, list[Molecules]] = {}
        for record in xyz.read(HERE / f"{self.of}.xyz"):
            conformers.setdefault(record.about["name"], []).append(record.molecule)
        with open(HERE / f"{self.of}.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            Molecule(k, row["name"], row["kind"], 5 if self.held_out else int(row["frames"]), conformers[row["name"]])
            for k, row in enumerate(rows)
        ]

    def temperatures(self, molecule: Molecule) -> tuple[float, ...]:
        """K, of which the trajectories of a molecule take turns."""
        return (300.0,) if self.held_out else DIMERS if molecule.kind == "dimer" else MONOMERS


def settings(of: str, **steps: float) -> SampleSettings:
    """Steps of 1 fs; a friction low enough for soft modes, too, to share their kinetic energy with the potential."""
    return SampleSettings(geometries=Path(f"{of}.xyz"), timestep_fs=1.0, friction_per_ps=5.0, seed=int(of == "heldout"), **steps)


LISTS = [
    List("heldout_300K", "heldout", settings("heldout", equilibration_fs=250.0, interval_fs=50.0), 1, 0, None),
    List("training_1", "training", settings("training", equilibration_fs=60.0, interval_fs=60.0), 2, 0, 2),
    List("training_2", "training", settings("training", equilibration_fs=60.0, interval_fs=60.0), 2, 2, None),
]


def run(wanted: List, molecule: Molecule, before: list[Frame]) -> list[Frame]:
    """The frames of one molecule, on from ``before``; conformers and temperatures take turns, both in random order."""
    rng = np.random.default_rng([wanted.settings.seed, 4, molecule.number])
    conformers = rng.permutation(len(molecule.conformers))
    temperatures = rng.permutation(wanted.temperatures(molecule))
    frames: list[Frame] = []
    first = max((frame.trajectory % 1000 + 1 for frame in before), default=0)
    missing = (wanted.end or molecule.frames) - wanted.begin
    for n in range(first, first + ATTEMPTS * -(-missing // wanted.frames_of_trajectory)):
        count = min(wanted.frames_of_trajectory, missing - len(frames))
        start = molecule.conformers[conformers[n % len(conformers)]]
        temperature, number = float(temperatures[n % len(temperatures)]), 1000 * molecule.number + n
        plan = Run(start.numbers.numpy(), start.positions.numpy() / ANGSTROM, None, temperature, number, count, heat=2.0)
        try:
            found = langevin(plan, wanted.settings)
        except GeometryError as error:
            print(f"{molecule.name}, trajectory {number}: {error}", flush=True)
            continue
        frames += [Frame(Molecules.single(plan.numbers, torch.from_numpy(x) * ANGSTROM), number, temperature, molecule.name) for x in found]
        if len(frames) == missing:
            break
    return frames


def in_order(frames: list[list[Frame]], wanted: List) -> list[Frame]:
    """One frame of every molecule in random order, then the others in random order; all alike where a list goes on from another."""
    rng = np.random.default_rng([wanted.settings.seed, 5, wanted.begin])
    shuffled = [[own[i] for i in rng.permutation(len(own))] for own in frames]
    leading = 0 if wanted.begin else 1
    groups = [frame for own in shuffled for frame in own[:leading]], [frame for own in shuffled for frame in own[leading:]]
    return [group[i] for group in groups for i in rng.permutation(len(group))]


def make(wanted: List, before: List | None, folder: Path) -> None:
    """Molecule by molecule, then the list."""
    collected = []
    for molecule in wanted.molecules():
        part = folder / wanted.name / f"{molecule.number:03d}.extxyz"
        if not part.exists():
            write(part, run(wanted, molecule, [] if before is None else read(folder / before.name / part.name)), {})
        collected.append(read(part))
    about = {"made by": "labels/organic/frames.py", "of": f"{wanted.of}.xyz", "heat": 2.0, **wanted.settings.deciding()}
    about |= {"temperature": [300.0] if wanted.held_out else sorted({*MONOMERS, *DIMERS})}
    chosen = in_order(collected, wanted)
    write(wanted.path, chosen, {key: value for key, value in about.items() if key not in ("frames", "trajectories", "first_trajectory")})
    print(f"{wanted.path}: {len(chosen)} frames", flush=True)


if __name__ == "__main__":
    folder, *which = sys.argv[1:]
    for before, wanted in zip([None, None, LISTS[1]], LISTS):
        if not wanted.path.exists() and wanted.name in (which or [wanted.name]):
            make(wanted, before, Path(folder))
