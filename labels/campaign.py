"""Labels the frame lists of this folder, in the order below, and seals what is there into numbered shards beside them.

    python labels/campaign.py label FOLDER [WHICH [WORKERS]]   resumable; small files under FOLDER/<molecule>/<list>; repeats none sealed
    python labels/campaign.py respond FOLDER [WHICH [WORKERS]] the same for the responses to a field, of the labels in RESPONSES
    python labels/campaign.py seal FOLDER [WHICH]              a new shard <list>.<number>.h5 of every label that is in no shard yet, one
                                                               <list>.response.<number>.h5 of new responses; a new manifest.toml

WHICH: lists whose name begins so, such as `thiophenes`; all by default. On a fresh machine `label` and `respond` go on from what is sealed
here.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

from manifest import MANIFEST, responses_of, shards_of, text

from densnet.dataset import responses, store
from densnet.dataset.dataset import Dataset, Label
from densnet.reference import campaign, geometries
from densnet.reference.scf import ScfSettings
from densnet.reference.workers import Processes

HERE = Path(__file__).parent
EARLIER, THIOPHENES = ScfSettings(conv_tol_grad=0), ScfSettings(dispersion="d4", memory_mb=6000)
"""Labels of the first molecules knew no threshold of the orbital gradient."""
PBE0 = ScfSettings(xc="PBE0")
"""Chosen in docs/level.md."""

ROUNDS = 10
"""In which the training lists of the thiophenes advance side by side, so that whatever is there is a fair share of all lengths."""

ORDER = [
    *((name, frames, EARLIER) for name, frames in [
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
    ]),
    *((f"{molecule}-pbe0/{name}", frames, PBE0) for molecule in ("water", "ethanol") for name, frames in [
        ("training_beads", 25),
        ("heldout_beads_300K", 0),
        ("training_beads", 100),
        ("heldout_300K", 40),
        ("training_beads", 0),
    ]),
    *((f"organic/{name}", frames, PBE0) for name, frames in [
        ("heldout_300K", 26),
        ("training_1", 469),
        ("heldout_300K", 0),
        ("training_1", 0),
        ("training_2", 1700),
        ("training_own", 0),
        ("training_2", 0),
    ]),
    *((f"thiophenes/rings{rings}_heldout", 0, THIOPHENES) for rings in (1, 2, 3)),
    ("thiophenes/torsions", 0, THIOPHENES),
    *(
        (f"thiophenes/{name}", -(-frames * done // ROUNDS), THIOPHENES)
        for done in range(1, ROUNDS + 1)
        for name, frames in [
            ("rings1_training", 200), ("rings2_training", 200), ("rings3_training", 150), ("rings4_training", 120), ("rings6_training", 50),
            ("rings4_heldout", 10), ("rings5_heldout", 8), ("rings6_heldout", 6),
        ]
    ),
]  # fmt: skip
"""Frame list, how many frames of it (0 = all) and the level: what the exponents of a basis are optimised on; then an early share of each
training list, then what it is tested on, then the rest. Of the organic molecules one frame each, then the rest."""

COMPACT = ("thiophenes", "organic", "water-pbe0", "ethanol-pbe0")
"""Folders whose orbitals are sealed in 16 bits."""

TRANS = [
    *(314, 321, 326, 367, 378, 408, 412, 424, 464, 468, 498, 547, 572, 598, 602, 617, 626, 638, 645, 654),
    *(660, 666, 669, 679, 693, 702, 718, 750, 766, 771, 775, 795, 801, 807, 811, 830, 834, 867, 881),
]
"""Frames of ethanethiol's list with a dihedral C-C-S-H above 120 degrees, behind the first 300, of which 29 have one."""

RESPONSES = [
    ("ethanol/heldout_300K", 40),
    ("ethanol/training_500K", 120),
    ("water/heldout_300K", 0),
    ("water/training_300-600K", 150),
    ("ethanol/heldout_300K", 0),
    ("ethanethiol/heldout_300K", 40),
    ("ethanethiol/training_300-500K", 120),
    ("ethanol/training_500K", 300),
    ("resorcinol/heldout_300K", 30),
    ("resorcinol/training_300-500K", 80),
    ("ethanethiol/heldout_300K", 0),
    ("ethanethiol/training_300-500K", 300),
    ("resorcinol/heldout_300K", 0),
    ("resorcinol/training_300-500K", 150),
    ("resorcinol/training_300-500K", 300),
    ("ethanethiol/training_300-500K", TRANS),
]
"""Frame list, and of how many frames of it (0 = all), or of which, the response to a field is added, in this order."""


def label(folder: Path, which: str = "", workers: int = 1) -> None:
    """Go through the order until every list is there and done."""
    order, missing = [entry for entry in ORDER if entry[0].startswith(which)], True
    for name, level in {name: scf.level() for name, _, scf in order}.items():
        unseal(name, folder / name, level)
    while missing:
        missing = False
        for name, frames, scf in order:
            frames_file = HERE / f"{name}.extxyz"
            if not frames_file.exists():
                missing = True
                continue
            settings = campaign.LabelSettings(scf=scf, workers=workers, frames=frames)
            tally = campaign.label(settings, frames_file, folder / name, store.save_label, store.load_label)
            if tally.new:
                print(time.strftime("%F %T"), name, tally, flush=True)
        if missing:
            time.sleep(60)


def respond(folder: Path, which: str = "", workers: int = 1) -> None:
    """Go once through the order of the responses; labels that are not sealed yet are left out."""
    order, levels = [entry for entry in RESPONSES if entry[0].startswith(which)], {name: scf.level() for name, _, scf in ORDER}
    for name in {name for name, _ in order}:
        unseal(name, folder / name, levels[name])
    with Processes(workers) as local:
        for name, frames in order:
            chosen = frames if isinstance(frames, list) else range(frames) if frames else None
            tally = campaign.respond(folder / name, store.load_label, store.save_label, frames=chosen, execute=local)
            if tally.new:
                print(time.strftime("%F %T"), name, "responses", tally, flush=True)


def unseal(name: str, folder: Path, level: dict) -> None:
    """Put the sealed labels of a list back into ``folder`` as small files, so that a campaign on a fresh machine knows them."""
    if not shards_of(name):
        return
    sealed = {label.identity: label for label in store.read(*shards_of(name), *responses_of(name))}
    (folder / "frames").mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(geometries.read(HERE / f"{name}.extxyz")):
        identity = campaign.identity(frame.molecule, level)
        path = folder / "frames" / f"{index:06d}-{identity}.npz"
        if identity in sealed and not path.exists():
            label = sealed[identity]
            about = {"index": index, "identity": identity, "trajectory": label.trajectory, "temperature": label.temperature, "level": level}
            store.save_label(path, label.properties, about)


def seal(folder: Path, which: str = "") -> None:
    """What no shard holds yet becomes one more shard; responses have shards of their own."""
    for name in sorted({name for name, _, _ in ORDER if name.startswith(which)}):
        if not any((folder / name / "frames").glob("*.npz")):
            continue
        target, shards = HERE / name, shards_of(name)
        sealed = {label.identity for label in store.read(*shards)}
        known = store.read(folder / name)
        new = Dataset(without_response(label) for label in known if label.identity not in sealed)
        if len(new):
            path = target.parent / f"{target.name}.{len(shards) + 1:03d}.h5"
            store.seal(new, path, provenance=f"frames of labels/{name}.extxyz", compact=name.startswith(COMPACT))
            print(f"{path}: {len(new)} labels, {len(sealed) + len(new)} in all")
        seal_responses(name, known)
    MANIFEST.write_text(text(), encoding="utf-8")


def without_response(label: Label) -> Label:
    """A label as it was before `respond`."""
    alone = tuple(replace(own, first_order=None) for own in label.properties.orbitals)
    return replace(label, properties=label.properties.replace(polarizability=None, orbitals=alone))


def seal_responses(name: str, known: Dataset) -> None:
    """The responses among the ``known`` labels that no shard holds yet."""
    there = responses_of(name)
    sealed = {identity for path in there for identity in responses.identities(path)}
    new = [label for label in known if label.properties.polarizability is not None and label.identity not in sealed]
    if new:
        path = HERE / f"{name}.response.{len(there) + 1:03d}.h5"
        responses.seal(new, path, provenance=f"labels of labels/{name}.extxyz")
        print(f"{path}: {len(new)} responses, {len(sealed) + len(new)} in all")


if __name__ == "__main__":
    verb, folder, *rest = sys.argv[1:]
    if verb in ("label", "respond"):
        {"label": label, "respond": respond}[verb](Path(folder), *rest[:1], *map(int, rest[1:]))
    else:
        seal(Path(folder), *rest[:1])
