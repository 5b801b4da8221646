"""The frame lists of this folder: python labels/thiophenes/frames.py [WORKERS]

Oligothiophenes of 1 to 6 rings; every trajectory starts from torsions of its own, drawn evenly from -180 to 180 degrees, and runs on the
GFN2-xTB surface (Langevin). Training at 300, 400 and 500 K in turn, from trajectory 100 on (those below are of `start`); held out at 300 K,
from 1000 on. Five rings are held out only. Lists that are there are left alone.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densnet.reference.geometries import Frame, SampleSettings, sample, write
from densnet.reference.oligomers import random_thiophenes

HERE = Path(__file__).parent


@dataclass(frozen=True)
class List:
    """Frames of chains of so many `rings`, two of each trajectory or one."""

    rings: int
    purpose: str
    frames: int
    trajectories: int

    @property
    def path(self) -> Path:
        return HERE / f"rings{self.rings}_{self.purpose}.extxyz"


LISTS = [
    List(1, "heldout", 20, 20), List(2, "heldout", 20, 20), List(3, "heldout", 15, 15),
    List(1, "training", 200, 100), List(2, "training", 200, 100), List(3, "training", 150, 75),
    List(4, "heldout", 10, 10), List(4, "training", 120, 60),
    List(6, "heldout", 6, 6), List(6, "training", 50, 25), List(5, "heldout", 8, 8),
]  # fmt: skip


def make(wanted: List, workers: int) -> None:
    """Starts, trajectories, list."""
    held_out = wanted.purpose == "heldout"
    seed = 100 * wanted.rings + held_out
    rng = np.random.default_rng([seed, 3])
    starts = [Frame(random_thiophenes(wanted.rings, rng), k, float("nan")) for k in range(wanted.trajectories)]
    settings = SampleSettings(
        geometries=Path(f"{wanted.rings}_rings_random_torsions.xyz"),
        temperature=(300.0,) if held_out else (300.0, 400.0, 500.0),
        frames=wanted.frames,
        trajectories=wanted.trajectories,
        first_trajectory=1000 if held_out else 100,
        interval_fs=100.0,
        equilibration_fs=300.0,
        timestep_fs=1.0,
        seed=seed,
        workers=workers,
    )
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / settings.geometries, starts, {"made by": "labels/thiophenes/frames.py", "seed": seed})
        frames = sample(settings, wanted.path, root=Path(folder))
    print(f"{wanted.path}: {len(frames)} frames", flush=True)


if __name__ == "__main__":
    for wanted in LISTS:
        if not wanted.path.exists():
            make(wanted, int(sys.argv[1]) if len(sys.argv) > 1 else 1)
