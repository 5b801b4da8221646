"""What GFN2-xTB says of all frames of the training lists, labelled or not, for the energy to learn before it learns from labels:

    python labels/pretraining.py organic FILE.extxyz

Of the lists of that folder with "training" in their names; energies (eV) and forces (eV/A). Frames with a force above 20 eV/A are left out.
The 3384 frames of organic molecules take half a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import ase
import ase.io

from densnet import units
from densnet.reference.geometries import Frame, read
from densnet.workflow.pretraining import semiempirical

HERE = Path(__file__).parent


def labelled(frame: Frame) -> Iterator[ase.Atoms]:
    """The frame as others write it; nothing if it is torn apart."""
    for label in semiempirical([frame]):
        found = label.properties
        atoms = ase.Atoms(frame.molecule.numbers, frame.molecule.positions / units.ANGSTROM)
        atoms.info |= {"conformer": frame.name, "trajectory": frame.trajectory, "REF_energy": float(found.energy) / units.EV}
        atoms.arrays["REF_forces"] = (found.forces * units.ANGSTROM / units.EV).numpy()
        yield atoms


def main(folder: str, out: Path) -> None:
    """Label, write all or nothing."""
    lists = sorted((HERE / folder).glob("*training*.extxyz"))
    if not lists:
        raise SystemExit(f"{HERE / folder} has no list of training frames.")
    found = [atoms for path in lists for frame in read(path) for atoms in labelled(frame)]
    part = out.with_name(f"{out.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(part, found, format="extxyz")
    part.replace(out)
    print(f"{out}: {len(found)} frames")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
