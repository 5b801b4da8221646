"""Frames of a general model's own dynamics that it is most uncertain of, to be labelled and trained on.

    python labels/organic/own.py MODEL FOLDER [FRAMES [MOLECULES]]

MOLECULES of the training list, drawn at random (all by default), each run a short trajectory on MODEL's surface (Langevin, 500 K; dimers
300 K) from one of their conformers. Of the frames in which every bond is still whole the one of each half whose forces are most uncertain
(mean over atoms) is a candidate. Of all candidates the FRAMES (300) most uncertain ones are written to training_own.extxyz, in random
order. FOLDER keeps the candidates of each molecule, so that the work goes on after an interruption.
"""

import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from frames import HERE, LISTS, Molecule

from densnet import units
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules, bonds
from densnet.reference.geometries import Frame, read, write
from densnet.simulation import initial
from densnet.simulation.ensembles import Conditions, Langevin
from densnet.threads import one_thread

TEMPERATURES = {"monomer": 500.0, "dimer": 300.0}
"""K."""
STEPS, BEGIN, EVERY = 150, 60, 15
"""fs: length of a trajectory, first frame looked at, time between two."""
FRICTION, NUMBER = 10.0, 500
"""1/ps; number of the trajectory of a molecule: those below are of GFN2-xTB."""


@one_thread()
def candidates(model: Predictor, molecule: Molecule) -> list[Frame]:
    """Two frames at most."""
    start = molecule.conformers[np.random.default_rng([6, molecule.number]).integers(len(molecule.conformers))]
    temperature, number = TEMPERATURES[molecule.kind], 1000 * molecule.number + NUMBER
    looked = trajectory(model, start, temperature, number)
    middle = -(-len(looked) // 2)
    halves = [half for half in (looked[:middle], looked[middle:]) if half]
    return [Frame(max(half, key=partial(uncertainty, model)), number, temperature, molecule.name) for half in halves]


def trajectory(model: Predictor, start: Molecules, temperature: float, number: int) -> list[Molecules]:
    """Frames until a bond breaks or forms."""
    molecules, whole, ensemble = initial.deal(start, 1), bonds(start), Langevin(friction=FRICTION)
    kt, generator = 2 * temperature * units.KELVIN, torch.Generator().manual_seed(number)
    freedom = initial.degrees_of_freedom(molecules, translation=True, rotation=True)
    conditions = Conditions(units.FEMTOSECOND, kt / 2, freedom, generator)
    state = ensemble.begin(model, molecules, initial.thermal(molecules, kt, generator), conditions)
    step, frames = ensemble.step(model, molecules, conditions), []
    while state.step < STEPS:
        state = step(state)
        if state.step >= BEGIN and state.step % EVERY == 0:
            now = state.molecules.to(dtype=torch.float64)
            if not torch.isfinite(now.positions).all() or not torch.equal(bonds(now), whole):
                break
            frames.append(now)
    return frames


def uncertainty(model: Predictor, molecule: Molecules) -> float:
    """Expected error of a force component, mean over atoms, meV/Angstrom."""
    return float(model.with_force_uncertainty(molecule).uncertainty.forces.mean()) / units.MEV_PER_ANGSTROM


def main(file: str, folder: Path, count: int = 300, molecules: int | None = None) -> None:
    """Molecule by molecule, then the list."""
    model, training, began = load(file), LISTS[1].molecules(), time.monotonic()
    drawn = [training[i] for i in np.random.default_rng(8).permutation(len(training))[:molecules]]
    found: list[tuple[float, Frame]] = []
    for done, molecule in enumerate(drawn, start=1):
        part = folder / f"{molecule.number:03d}.extxyz"
        if not part.exists():
            write(part, candidates(model, molecule), {"model": model.fingerprint()})
            print(f"{done} of {len(drawn)}, {time.monotonic() - began:.0f} s: {molecule.name}", flush=True)
        found += [(uncertainty(model, frame.molecule), frame) for frame in read(part)]
    best = sorted(found, key=lambda pair: -pair[0])[:count]
    expected = np.array([value for value, _ in found])
    print(f"expected errors of forces: median {np.median(expected):.0f}, of those chosen {best[-1][0]:.0f} to {best[0][0]:.0f} meV/A")
    about = {"made by": "labels/organic/own.py", "of": "training.xyz", "molecules": len(drawn), "model": model.fingerprint()}
    about |= {"steps": STEPS, "friction": FRICTION}
    write(HERE / "training_own.extxyz", [best[i][1] for i in np.random.default_rng(7).permutation(len(best))], about)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
