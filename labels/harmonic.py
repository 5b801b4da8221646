"""Conformers of a molecule at the level of the labels, with Hessian and dipole derivatives by finite differences.

    python labels/harmonic.py MOLECULE FOLDER [XC]

Starts from examples/geometries/MOLECULE.xyz, keeps every calculation under FOLDER (so that it may be stopped and started again) and writes
src/densnet/data/molecules/MOLECULE.xyz (start geometries of dynamics) and MOLECULE.json (what a model is compared with); with another
functional than PBE, such as PBE0, MOLECULE-pbe0.xyz and .json.
One calculation at a time; for ethanol some 150 of them.
"""

import sys
from functools import partial
from pathlib import Path

from densnet.artefacts.content import Analysis
from densnet.files import read_json, write_json
from densnet.observables.conformers import gather
from densnet.reference.campaign import LabelSettings
from densnet.reference.scf import ScfSettings
from densnet.workflow.harmonic import HarmonicSettings, analyse, named_geometries, remembered, write_geometries

HERE = Path(__file__).parent
TARGET = HERE.parent / "src" / "densnet" / "data" / "molecules"


def main(molecule: str, folder: Path, xc: str = "PBE") -> None:
    """Relax, displace, write."""
    settings, name = LabelSettings(workers=1, scf=ScfSettings(xc=xc)), molecule if xc == "PBE" else f"{molecule}-{xc.lower()}"
    forces = remembered(settings, folder, lambda done, total: print(f"displaced geometry {done} of {total}", flush=True))
    starts = named_geometries(HERE.parent / "examples" / "geometries" / f"{molecule}.xyz")
    found = gather(starts, partial(analyse, forces, settings=HarmonicSettings()))
    TARGET.mkdir(exist_ok=True)
    write_geometries(TARGET / f"{name}.xyz", found, f"{xc}/aug-cc-pVDZ minimum of {molecule}")
    file = TARGET / f"{name}.json"
    Analysis.write(file, Analysis(found, settings.scf.level()))
    write_json(file, {"step_bohr": HarmonicSettings().step, **read_json(file)})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
