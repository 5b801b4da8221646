"""What GFN2-xTB says of all frames of the training lists, labelled or not, for the energy to learn before it learns from labels:

    python labels/organic/pretraining.py FILE.extxyz

Energies (eV) and forces (eV/A), half a minute. Frames with a force above 20 eV/A are left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ase
import ase.io

from densnet import units
from densnet.reference.geometries import Frame, read
from densnet.reference.semiempirical import gfn2_xtb

HERE = Path(__file__).parent
LISTS = ("training_1", "training_2")
LARGEST_FORCE = 20 * units.EV / units.ANGSTROM


def labelled(frame: Frame) -> list[ase.Atoms]:
    """The frame as others write it; none if it is torn apart."""
    found = gfn2_xtb(frame.molecule)
    if float(found.forces.norm(dim=1).max()) > LARGEST_FORCE:
        return []
    atoms = ase.Atoms(frame.molecule.numbers, frame.molecule.positions / units.ANGSTROM)
    atoms.info |= {"conformer": frame.name, "trajectory": frame.trajectory, "REF_energy": float(found.energy) / units.EV}
    atoms.arrays["REF_forces"] = (found.forces * units.ANGSTROM / units.EV).numpy()
    return [atoms]


def main(out: Path) -> None:
    """Label, write all or nothing."""
    found = [atoms for name in LISTS for frame in read(HERE / f"{name}.extxyz") for atoms in labelled(frame)]
    part = out.with_name(f"{out.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(part, found, format="extxyz")
    part.replace(out)
    print(f"{out}: {len(found)} frames")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
