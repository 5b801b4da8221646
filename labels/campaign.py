"""Labels the frame lists of this folder, in the order below, and seals what is there into numbered shards beside them.

    python labels/campaign.py label FOLDER   one process, resumable; small files under FOLDER/<molecule>/<list>; repeats no sealed frame
    python labels/campaign.py seal FOLDER    a new shard <list>.<number>.h5 of every label that is in no shard yet; a new manifest.toml
"""

import sys
import time
from pathlib import Path

from manifest import MANIFEST, shards_of, text

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.reference import campaign, geometries
from densnet.reference.scf import ScfSettings

HERE = Path(__file__).parent
ORDER = [
    ("small/training_500K", 0),
    ("ethanol/training_500K", 200),
    ("ethanol/heldout_300K", 0),
    ("ethanol/heldout_500K", 0),
    ("ethanol/training_500K", 0),
    ("ethanol/torsions", 0),
    ("ethanol/heldout_700K", 0),
    ("ethanol/uncertain_700K", 0),
    ("ethanol/random_700K", 0),
    ("ethanethiol/training_300-500K", 300),
    ("ethanethiol/heldout_300K", 0),
    ("ethanethiol/training_300-500K", 0),
    ("ethanol/own_300K", 0),
    ("ethanethiol/own_300K", 0),
    ("water/training_300-600K", 0),
    ("water/heldout_300K", 0),
    ("water/own_300K", 0),
    ("resorcinol/training_300-500K", 100),
    ("resorcinol/heldout_300K", 0),
    ("resorcinol/training_300-500K", 0),
    ("resorcinol/own_300K", 0),
    ("resorcinol/dynamics_300K", 0),
    ("resorcinol/dynamics_350K", 0),
    ("resorcinol/more_300-400K", 0),
    ("transfer/methanol_300K", 0),
    ("transfer/methanethiol_300K", 0),
    ("transfer/phenol_300K", 0),
]
"""Frame list and how many frames of it (0 = all): what the exponents of a basis are optimised on; then an early share of each training
list, then what it is tested on, then the rest."""


def label(folder: Path) -> None:
    """Go through the order until every list is there and done."""
    missing = True
    while missing:
        missing = False
        for name, frames in ORDER:
            frames_file = HERE / f"{name}.extxyz"
            if not frames_file.exists():
                missing = True
                continue
            unseal(name, folder / name)
            settings = campaign.LabelSettings(workers=1, frames=frames)
            tally = campaign.label(settings, frames_file, folder / name, store.save_label)
            print(time.strftime("%F %T"), name, tally, flush=True)
        if missing:
            time.sleep(60)


def unseal(name: str, folder: Path) -> None:
    """Put the sealed labels of a list back into ``folder`` as small files, so that a campaign on a fresh machine knows them."""
    sealed = {label.identity: label for label in store.read(*shards_of(name))}
    level = ScfSettings().level()
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(geometries.read(HERE / f"{name}.extxyz")):
        identity = campaign.identity(frame.molecule, level)
        path = folder / "frames" / f"{index:06d}-{identity}.npz"
        if identity in sealed and not path.exists():
            label = sealed[identity]
            about = {"index": index, "identity": identity, "trajectory": label.trajectory, "temperature": label.temperature, "level": level}
            store.save_label(path, label.properties, about)


def seal(folder: Path) -> None:
    """What no shard holds yet becomes one more shard."""
    for name in sorted({name for name, _ in ORDER}):
        if not (folder / name).is_dir():
            continue
        target, shards = HERE / name, shards_of(name)
        sealed = {label.identity for label in store.read(*shards)}
        new = Dataset(label for label in store.read(folder / name) if label.identity not in sealed)
        if len(new):
            path = target.parent / f"{target.name}.{len(shards) + 1:03d}.h5"
            store.seal(new, path, provenance=f"frames of labels/{name}.extxyz")
            print(f"{path}: {len(new)} labels, {len(sealed) + len(new)} in all")
    MANIFEST.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    {"label": label, "seal": seal}[sys.argv[1]](Path(sys.argv[2]))
