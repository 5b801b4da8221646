"""Frames and labels of a run that refined a general model, to keep them: python labels/refined.py NAME RUN

Writes refined/NAME.extxyz, the frames of all rounds of the run folder RUN, those that judged before those that were chosen, each named
after its part ("round 0, judged"), and refined/NAME.001.h5 with their labels in that order, and a new manifest.toml; in refined-XC where
their functional is not that of the general model, in refined-loose where they know no threshold of the orbital gradient. The molecules
are held out: no model that ships learns from these frames.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from manifest import MANIFEST, text

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.reference import geometries
from densnet.simulation.run import read_trajectory

HERE, USUAL = Path(__file__).parent, "PBE0"


def parts(rounds: Path) -> Iterator[tuple[str, list[geometries.Frame], Dataset]]:
    """Name, frames and labels of each part of each round, in their order."""
    for number, place in enumerate(sorted(rounds.glob("round-*"))):
        for kind in ("judged", "chosen"):
            if (place / kind / "frames").is_dir():
                yield f"round {number}, {kind}", geometries.read(place / f"{kind}.xyz"), store.read(place / kind)


def main(name: str, run: Path) -> None:
    """List, shard, manifest; nothing is overwritten."""
    rounds = max(run.glob("rounds/*"), key=lambda folder: folder.stat().st_mtime)
    found = list(parts(rounds))
    frames = [geometries.Frame(one.molecule, one.trajectory, one.temperature, part) for part, own, _ in found for one in own]
    labels = Dataset(label for _, _, own in found for label in own)
    xc = labels.level["xc"]
    kind = f"-{xc.lower()}" if xc != USUAL else "" if "conv_tol_grad" in labels.level else "-loose"
    folder = HERE / f"refined{kind}"
    path = folder / f"{name}.extxyz"
    if path.exists():
        raise SystemExit(f"{path} is there.")
    model = read_trajectory(rounds / "round-0" / "dynamics", motion=False).header["provenance"]["model"]
    folder.mkdir(exist_ok=True)
    geometries.write(path, frames, {"made by": "labels/refined.py", "model": model})
    store.seal(labels, folder / f"{name}.001.h5", provenance=f"frames of labels/{folder.name}/{name}.extxyz", compact=True)
    MANIFEST.write_text(text(), encoding="utf-8")
    print(f"{path}: {len(frames)} frames, {len(labels)} labels")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
