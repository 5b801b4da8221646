"""Frames of a model's own dynamics, to be labelled: is the model as good where it goes by itself as where GFN2-xTB has been?

    python labels/own.py MODEL FOLDER [FRAMES [LIST [FIRST_TRAJECTORY]]]

FOLDER: a run of `densnet simulate` or of benchmarks/conservation.py. Writes labels/MODEL/LIST.extxyz (own_300K), by default 50 frames,
spread over replicas and times, for a test; another list, from another run, is for training. `labels/campaign.py` labels them.
"""

import sys
from pathlib import Path

import numpy as np

from densnet.molecules import Molecules
from densnet.reference.geometries import Frame, write
from densnet.simulation.run import read_trajectory

HERE = Path(__file__).parent


def main(model: str, folder: Path, count: int = 50, name: str = "own_300K", first: int = 500) -> None:
    """Pick and write."""
    run = read_trajectory(folder)
    temperature = float(run.header["settings"]["temperature"])
    replicas, samples = run.positions.shape[:2]
    places = [(number % replicas, sample) for number, sample in enumerate(np.linspace(0, samples - 1, count).round().astype(int).tolist())]
    frames = [Frame(Molecules.single(run.numbers, run.positions[r, s].double()), first + r, temperature) for r, s in places]
    about = {"made by": "labels/own.py", "model": model, "replicas": replicas, "of": run.header["settings"]}
    write(HERE / model / f"{name}.extxyz", frames, about)


if __name__ == "__main__":
    model, folder, count, name, first = sys.argv[1:] + ["50", "own_300K", "500"][len(sys.argv) - 3 :]
    main(model, Path(folder), int(count), name, int(first))
