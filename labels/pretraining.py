"""What GFN2-xTB, or a model, says of all frames of the training lists, labelled or not, for the energy to learn from before it has labels:

    python labels/pretraining.py organic FILE.extxyz
    python labels/pretraining.py thiophenes FILE.extxyz organic

Of the lists of that folder with "training" in their names; energies (eV) and forces (eV/A). Frames with a force above 20 eV/A are left out.
The 3384 frames of organic molecules take half a minute with GFN2-xTB.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import ase
import ase.io

from densnet import units
from densnet.model.predictor import Predictor, load
from densnet.properties import Properties
from densnet.reference.geometries import Frame, read
from densnet.workflow.pretraining import LARGEST_FORCE, semiempirical

HERE = Path(__file__).parent


def calculated(frame: Frame, teacher: Predictor | None) -> Iterator[Properties]:
    """Of GFN2-xTB or ``teacher``; nothing where a molecule is torn apart."""
    if teacher is None:
        yield from (label.properties for label in semiempirical([frame]))
    elif (found := teacher(frame.molecule)).forces.norm(dim=1).max() <= LARGEST_FORCE:
        yield found


def labelled(frame: Frame, teacher: Predictor | None) -> Iterator[ase.Atoms]:
    """The frame as others write it; nothing if it is torn apart."""
    for found in calculated(frame, teacher):
        atoms = ase.Atoms(frame.molecule.numbers, frame.molecule.positions / units.ANGSTROM)
        atoms.info |= {"conformer": frame.name, "trajectory": frame.trajectory, "REF_energy": float(found.energy) / units.EV}
        atoms.arrays["REF_forces"] = (found.forces * units.ANGSTROM / units.EV).numpy()
        yield atoms


def main(folder: str, out: Path, teacher: Predictor | None = None) -> None:
    """Label, write all or nothing."""
    lists = sorted((HERE / folder).glob("*training*.extxyz"))
    if not lists:
        raise SystemExit(f"{HERE / folder} has no list of training frames.")
    found = [atoms for path in lists for frame in read(path) for atoms in labelled(frame, teacher)]
    part = out.with_name(f"{out.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(part, found, format="extxyz")
    part.replace(out)
    print(f"{out}: {len(found)} frames")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(load, sys.argv[3:]))
