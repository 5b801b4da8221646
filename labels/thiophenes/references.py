"""What models of oligothiophenes are judged by besides frames, at the level of their labels (PBE-D4/aug-cc-pVDZ):

    python labels/thiophenes/references.py torsions                     torsions.extxyz, for `labels/campaign.py`; seconds
    python labels/thiophenes/references.py harmonic FOLDER [WORKERS]    rings1.json, rings2.json; resumable, some 5 and 80 core minutes

torsions: bithiophene, S-C-C-S from 0 (syn) to 180 degrees (anti), 13 geometries relaxed on the GFN2-xTB surface with the angle held.
harmonic: the minima of thiophene and of bithiophene (twisted anti, twisted syn) with Hessian and dipole derivatives, by differences over
0.01 bohr: 54 gradients of one ring, 96 of each rotamer of two, besides those of the relaxation, which starts from GFN2-xTB's minimum.
Every gradient is kept under FOLDER.
"""

import sys
from functools import partial
from pathlib import Path

import ase
from ase.constraints import FixInternals
from ase.optimize import BFGS
from tblite.ase import TBLite

from densnet import units
from densnet.artefacts.content import Analysis
from densnet.files import read_json, write_json
from densnet.interfaces.ase import molecules_of
from densnet.molecules import Molecules
from densnet.observables.conformers import gather
from densnet.reference import geometries
from densnet.reference.campaign import LabelSettings
from densnet.reference.geometries import Frame
from densnet.reference.oligomers import thiophenes
from densnet.reference.scf import ScfSettings
from densnet.workflow.harmonic import HarmonicSettings, analyse, remembered

HERE = Path(__file__).parent
LEVEL = ScfSettings(dispersion="d4", memory_mb=6000)
STEPS = HarmonicSettings(step=0.01)
ANGLE = (0, 1, 10, 8)
"""S-C-C-S of `thiophenes(2)`."""
STARTS = {1: {"planar": []}, 2: {"anti": [147.0], "syn": [36.0]}}
"""Rings -> name of a conformer -> torsion from which it is relaxed, degrees."""
TORSION = 300
"""Number of the trajectory that the list of torsions is."""


def relaxed(start: Molecules, *, held: float | None = None) -> Molecules:
    """On the GFN2-xTB surface, with the torsion of bithiophene ``held`` at an angle (degrees) where one is given."""
    atoms = ase.Atoms(start.numbers.numpy(), start.positions.numpy() / units.ANGSTROM, calculator=TBLite(method="GFN2-xTB", verbosity=0))
    if held is not None:
        atoms.set_constraint(FixInternals(dihedrals_deg=[[held % 360, list(ANGLE)]], epsilon=1e-9))
    BFGS(atoms, logfile=None).run(fmax=2e-3, steps=500)
    return molecules_of(atoms)


def torsions() -> None:
    """The list of geometries."""
    angles = [15.0 * k for k in range(13)]
    frames = [Frame(relaxed(thiophenes(2, [angle]), held=angle), TORSION, 0.0) for angle in angles]
    about = {"made by": "labels/thiophenes/references.py torsions", "torsion": "S-C-C-S", "surface": "GFN2-xTB", "force_eV_per_A": 2e-3}
    geometries.write(HERE / "torsions.extxyz", frames, about)


def harmonic(folder: Path, workers: int) -> None:
    """Relax, displace, write."""
    for rings, starts in STARTS.items():
        tell = lambda done, total, what=None: print(f"{rings} ring(s): displaced geometry {done} of {total}", flush=True)  # noqa: B023, E731
        forces = remembered(LabelSettings(scf=LEVEL, workers=workers), folder / f"rings{rings}", tell)
        named = [(name, relaxed(thiophenes(rings, torsion))) for name, torsion in starts.items()]
        found = gather(named, partial(analyse, forces, settings=STEPS))
        file = HERE / f"rings{rings}.json"
        Analysis.write(file, Analysis(found, LEVEL.level()))
        write_json(file, {"step_bohr": STEPS.step, **read_json(file)})
        print(f"written: {file}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["torsions"]:
        torsions()
    elif sys.argv[1:2] == ["harmonic"] and len(sys.argv) in (3, 4):
        harmonic(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    else:
        sys.exit(__doc__)
