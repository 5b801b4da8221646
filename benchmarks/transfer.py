"""One model of several molecules beside single ones, and what each makes of molecules that it never saw: python benchmarks/transfer.py

    python benchmarks/transfer.py [--joint FILE] [--density-frames 8]

The joint model (labels/joint) and the shipped models of ethanol, ethanethiol, resorcinol and water on the frames of each
molecule held out at 300 K; then on 20 frames each of methanol, methanethiol and phenol (labels/transfer), which no model has seen, next to
the single model that knows the nearest relative. `shifted`: energy less its mean error over the frames, since reference energies of
elements, learned from four compositions, do not add up for a fifth. Writes OUT.json.
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import numpy as np
import torch
from measuring import machine, machine_line, markdown, write

from densnet import units
from densnet.dataset import store
from densnet.model.predictor import Predictor, load
from densnet.properties import Properties
from densnet.training import objective

LABELS = Path(__file__).resolve().parent.parent / "labels"
KNOWN = {name: f"{name}/heldout_300K" for name in ("ethanol", "ethanethiol", "resorcinol", "water")}
UNKNOWN = {
    "methanol": ("transfer/methanol_300K", "ethanol"),
    "methanethiol": ("transfer/methanethiol_300K", "ethanethiol"),
    "phenol": ("transfer/phenol_300K", "resorcinol"),
}


def spread(frames: list[Properties], count: int) -> list[Properties]:
    """The frames in an order in which the first ``count`` are spread over all."""
    every = max(1, len(frames) // max(1, count))
    return [frame for start in range(every) for frame in frames[start::every]]


def errors(predictor: Predictor, name: str, density_frames: int) -> dict[str, float]:
    """Of a model on a frame list."""
    frames = [label.properties for label in store.read(*sorted(LABELS.glob(f"{name}.*.h5")))]
    found = objective.evaluate(predictor, spread(frames, density_frames), density_frames=density_frames)
    gap = np.diff(found.energy, axis=-1) / units.MEV
    spread_of_energy = float(found.energy[:, 0].std()) / units.MEV
    return {**found.summary(), "energy_shifted_meV": float(np.abs(gap - gap.mean()).mean()), "energy_spread_meV": spread_of_energy}


def table(rows: list[dict]) -> str:
    """As Markdown."""
    columns = {
        "frames": "frames", "force_mae_meV_per_A": "forces, meV/A", "energy_mae_meV": "energy, meV", "energy_shifted_meV": "shifted, meV",
        "energy_spread_meV": "(spread, meV)", "dipole_mae_D": "dipole, D", "density_error_percent": "density, %",
    }  # fmt: skip
    return markdown(["molecule", "model", *columns.values()], [[r["molecule"], r["model"], *(r[key] for key in columns)] for r in rows])


def main() -> None:
    """Evaluate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--joint", type=Path, default=LABELS / "joint" / "model.safetensors", help="the joint model's file")
    parser.add_argument("--density-frames", type=int, default=8, help="frames of each list that the density is integrated for")
    parser.add_argument("--out", type=Path, default=Path("runs/transfer"), help="stem of the file written")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    pairs = [(molecule, name, model) for molecule, name in KNOWN.items() for model in (molecule, chosen.joint)]
    pairs += [(molecule, name, model) for molecule, (name, nearest) in UNKNOWN.items() for model in (nearest, chosen.joint)]
    rows = []
    for molecule, name, model in pairs:
        told = "joint" if model is chosen.joint else model
        rows.append({"molecule": molecule, "model": told, **errors(load(model), name, chosen.density_frames)})
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(f"\n{table(rows)}")
    write(chosen.out.with_suffix(".json"), {**machine(), "rows": rows})


if __name__ == "__main__":
    main()
