"""78 frames of one and two rings, labelled elsewhere at the same level, as a shard of ours.

    python labels/thiophenes/import_start.py SOURCE.h5

The source does not state the threshold of its orbital gradient; that it is ours (1e-5) was checked on its frames: energies to 6e-9 hartree,
forces to 0.07 meV/A. D4 is added.
"""

import sys
from dataclasses import replace
from pathlib import Path

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.reference.campaign import identity
from densnet.reference.geometries import Frame, write
from densnet.reference.scf import ScfSettings
from densnet.workflow.dispersion import with_dispersion

if __name__ == "__main__":
    source, level = store.read(Path(sys.argv[1])), ScfSettings().level()
    if source.level != ScfSettings(conv_tol_grad=0).level():
        sys.exit(f"{sys.argv[1]} is of another level: {source.level}")
    labels = [replace(label, level=level, identity=identity(label.properties.molecules, level)) for label in source]
    target = Path(__file__).parent / "start.h5"
    about = "GFN2-xTB Langevin at 300, 400 and 500 K from random torsions, one frame a trajectory, 1 fs"
    store.seal(with_dispersion(Dataset(labels), "d4"), target, about, compact=True)
    frames = [Frame(label.properties.molecules, label.trajectory, label.temperature) for label in labels]
    origin = {"made by": "labels/thiophenes/import_start.py", "taken from": "labels/thiophenes/start.h5"}
    write(target.with_suffix(".extxyz"), frames, origin)
    print(f"{target}: {len(labels)} labels")
