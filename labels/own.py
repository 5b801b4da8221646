"""Frames of a model's own dynamics, to be labelled: is the model as good where it goes by itself as where GFN2-xTB has been?

    python labels/own.py MODEL FOLDER [FRAMES]

FOLDER: a run of `densnet simulate` or of benchmarks/conservation.py at 300 K. Writes labels/MODEL/own_300K.extxyz: 50 frames, spread over
replicas and times; `labels/campaign.py` labels them.
"""

import sys
from pathlib import Path

import numpy as np

from densnet.molecules import Molecules
from densnet.reference.geometries import Frame, write
from densnet.simulation.run import read_trajectory

HERE = Path(__file__).parent
FIRST_TRAJECTORY, TEMPERATURE = 500, 300.0


def main(model: str, folder: Path, count: int = 50) -> None:
    """Pick and write."""
    run = read_trajectory(folder)
    replicas, samples = run.positions.shape[:2]
    places = [(number % replicas, sample) for number, sample in enumerate(np.linspace(0, samples - 1, count).round().astype(int).tolist())]
    frames = [Frame(Molecules.single(run.numbers, run.positions[r, s].double()), FIRST_TRAJECTORY + r, TEMPERATURE) for r, s in places]
    about = {"made by": "labels/own.py", "model": model, "replicas": replicas, "of": run.header["settings"]}
    write(HERE / model / "own_300K.extxyz", frames, about)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
