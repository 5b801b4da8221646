"""What every committed label file is: python labels/manifest.py [--check]

Writes labels/manifest.toml: the level of theory, and for each frame list its molecules, the command that made it, its shards and those
of its labels' responses to a field, with labels and SHA-256. `--check` writes nothing and fails where the manifest and the files differ.
"""

import hashlib
import json
import sys
from pathlib import Path

import h5py
import numpy as np

from densnet.dataset import responses
from densnet.dataset.dataset import formula
from densnet.reference import geometries

HERE = Path(__file__).resolve().parent
MANIFEST = HERE / "manifest.toml"
LEVEL = "PBE/aug-cc-pVDZ"
"""Name of the level of theory of the first molecules."""
LEVELS = {
    "thiophenes": "PBE-D4/aug-cc-pVDZ",
    "refined-pbe": "PBE/aug-cc-pVDZ, orbital gradient 1e-5",
    "refined-loose": "PBE0/aug-cc-pVDZ, any orbital gradient",
    **dict.fromkeys(("organic", "refined", "water-pbe0", "ethanol-pbe0"), "PBE0/aug-cc-pVDZ"),
}
"""Folders of another level, with a threshold of the orbital gradient besides."""
FRAMES = {"thiophenes": "python labels/thiophenes/frames.py", "organic": "python labels/organic/frames.py FOLDER"}
"""Folders whose lists one script makes."""
CAMPAIGN, RUN = "python labels/campaign.py label FOLDER && python labels/campaign.py seal FOLDER", "densnet run SMILES"
"""What labels; the latter those of the folders `refined...`."""
ELSEWHERE = {
    "ethanol/start_500K": "python labels/import_start.py SOURCE.h5",
    "thiophenes/start": "python labels/thiophenes/import_start.py SOURCE.h5",
    "water/training_300-600K": "densnet run examples/water.toml",
    "water/heldout_300K": "densnet run examples/water.toml",
}
"""Lists whose frames were read back from their labels (to the last bit), and the command that made those labels."""

COPIED = {f"{name}-pbe0/heldout_300K": f"cp labels/{name}/heldout_300K.extxyz labels/{name}-pbe0/" for name in ("water", "ethanol")}
"""Lists that are labelled at another level, too."""


def names() -> list[str]:
    """Every frame list that has labels, as `molecule/list`."""
    return sorted({str(p.relative_to(HERE)).split(".")[0] for p in HERE.glob("*/*.h5")})


def shards_of(name: str) -> list[Path]:
    """The label files of a frame list, in the order of their numbers."""
    return sorted(set((HERE / name).parent.glob(f"{Path(name).name}.*h5")) - set(responses_of(name)))


def responses_of(name: str) -> list[Path]:
    """The files of the responses of its labels, in the order of their numbers."""
    return sorted((HERE / name).parent.glob(f"{Path(name).name}.response.*.h5"))


def made_by(name: str, frames: list[geometries.Frame]) -> str:
    """The command that made a frame list; the settings of the dynamics, where there was one, are in the header of the list."""
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if name in COPIED:
        return COPIED[name]
    if name == "thiophenes/torsions":
        return "python labels/thiophenes/references.py torsions"
    if (folder := name.split("/")[0]) in FRAMES and not name.endswith("_own"):
        return FRAMES[folder]
    if (HERE / f"{name}.toml").exists():
        return f"densnet sample labels/{name}.toml"
    with open(HERE / f"{name}.extxyz", encoding="utf-8") as file:
        comment = [next(file), next(file)][1]
    stated = json.JSONDecoder().raw_decode(comment.split("'_JSON ")[1])[0]["settings"]
    if "held" in stated:
        return f"python labels/torsions.py --model {stated['relaxed_by']}"
    if stated["made by"] == "labels/beads.py":
        return f"python labels/beads.py {stated['molecule']} {Path(name).parent} {' '.join(map(str, stated['frames']))}"
    if stated["made by"] == "labels/own.py":
        first = min(frame.trajectory for frame in frames)
        return f"python labels/own.py {stated['model']} FOLDER {len(frames)} {Path(name).name} {first}"
    if stated["made by"] == "labels/organic/own.py":
        return f"python labels/organic/own.py {stated['model']} FOLDER {len(frames)} {stated['molecules']}"
    if stated["made by"] == "labels/refined.py":
        return f"{RUN} && python labels/refined.py {Path(name).name} RUN"
    return f"python {stated['made by']} MODEL"


def sha256(path: Path) -> str:
    """Of the bytes of a file, as `sha256sum` prints it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def level(path: Path) -> dict:
    """The level of theory that a shard states."""
    with h5py.File(path) as file:
        return json.loads(file.attrs["level"])


def level_of(name: str) -> str:
    """Name of the level of a list."""
    return LEVELS.get(name.split("/")[0], LEVEL)


def positions(path: Path) -> dict[tuple, np.ndarray]:
    """Positions (bohr) [frames, atoms, 3] of a shard by sequence of elements."""
    with h5py.File(path) as file:
        return {tuple(group["numbers"][()].tolist()): group["positions"][()] for group in file.values()}


def text() -> str:
    """The manifest of the files as they are. Raises ValueError where files of one level state different ones."""
    stated: dict[str, dict] = {}
    for name in names():
        for path in shards_of(name):
            if level(path) != stated.setdefault(level_of(name), level(path)):
                raise ValueError(f"{path.relative_to(HERE)}: not of the level {level_of(name)} of the files before it.")
    lines = ["# Every committed label file; written by `python labels/manifest.py`. Paths are relative to this file.", ""]
    for title, keys in sorted(stated.items()):
        lines += [f'[levels."{title}"]', *(f"{key} = {json.dumps(value)}" for key, value in sorted(keys.items())), ""]
    for name in names():
        frames = geometries.read(HERE / f"{name}.extxyz")
        molecules = sorted({formula(frame.molecule.numbers) for frame in frames})
        by = RUN if name.startswith("refined") else CAMPAIGN
        lines += [
            f'[lists."{name}"]',
            f"molecules = {json.dumps(molecules)}",
            f'frame_list = "{name}.extxyz"',
            f"frames = {len(frames)}",
            f'sha256 = "{sha256(HERE / f"{name}.extxyz")}"',
            f"made_by = {json.dumps(made_by(name, frames))}",
            f"labelled_by = {json.dumps(ELSEWHERE.get(name, by))}",
            f'level = "{level_of(name)}"',
            "",
        ]
        for path in shards_of(name):
            count = sum(map(len, positions(path).values()))
            relative = path.relative_to(HERE)
            lines += [f'[[lists."{name}".shards]]', f'file = "{relative}"', f"labels = {count}", f'sha256 = "{sha256(path)}"', ""]
        for path in responses_of(name):
            count, relative = len(responses.identities(path)), path.relative_to(HERE)
            lines += [f'[[lists."{name}".responses]]', f'file = "{relative}"', f"labels = {count}", f'sha256 = "{sha256(path)}"', ""]
    return "\n".join(lines)


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        MANIFEST.write_text(text(), encoding="utf-8")
    elif MANIFEST.read_text(encoding="utf-8") != text():
        sys.exit("labels/manifest.toml and the label files differ; run python labels/manifest.py and look at what changed")
