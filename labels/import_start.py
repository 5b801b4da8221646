"""The first 435 ethanol frames, labelled elsewhere at the same level, as a shard of ours: python labels/import_start.py SOURCE.h5

The source states its settings in words; that they are ours was checked on its frames (energies to 1e-11 hartree, forces to 2e-6 meV/A).
"""

import sys
from dataclasses import replace
from pathlib import Path

import h5py

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.reference.campaign import identity
from densnet.reference.scf import ScfSettings

EXPECTED = {"xc": "pbe", "basis": "aug-cc-pvdz", "auxbasis_j": "def2-universal-jfit", "atom_grid": "(40,434) nwchem_prune",
            "conv_tol": 1e-9, "grid_response": True}  # fmt: skip

if __name__ == "__main__":
    source = Path(sys.argv[1])
    with h5py.File(source) as file:
        stated = {name: file.attrs[name] for name in EXPECTED}
    if stated != EXPECTED:
        sys.exit(f"{source} is of another level: {stated}")
    level = ScfSettings().level()
    labels = [
        replace(label, level=level, temperature=500.0, identity=identity(label.properties.molecules, level)) for label in store.read(source)
    ]
    target = Path(__file__).parent / "ethanol" / "start_500K.h5"
    store.seal(Dataset(labels), target, "24 GFN2-xTB Langevin trajectories at 500 K, 0.5 fs, a frame every 50 fs, random conformers")
    print(f"{target}: {len(labels)} labels")
