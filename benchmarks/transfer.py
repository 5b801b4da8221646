"""One model of several molecules beside single ones, and what each makes of molecules that it never saw: python benchmarks/transfer.py

    python benchmarks/transfer.py [--joint FILE] [--density-frames 8]

The joint model (labels/joint) and the shipped models of ethanol, ethanethiol, resorcinol and water on the frames of each
molecule held out at 300 K; then on 20 frames each of methanol, methanethiol and phenol (labels/transfer), which no model has seen, next to
the single model that knows the nearest relative. `shifted`: energy less its mean error over the frames, since reference energies of
elements, learned from four compositions, do not add up for a fifth. Writes OUT.json.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import numpy as np
import torch
from experiment import LABELS, Table, frames, machine, machine_line, markdown_row, parser, record, spread, write

from densnet import units
from densnet.model.predictor import Predictor, load
from densnet.training import objective

KNOWN = {name: f"{name}/heldout_300K" for name in ("ethanol", "ethanethiol", "resorcinol", "water")}
UNKNOWN = {
    "methanol": ("transfer/methanol_300K", "ethanol"),
    "methanethiol": ("transfer/methanethiol_300K", "ethanethiol"),
    "phenol": ("transfer/phenol_300K", "resorcinol"),
}


def errors(predictor: Predictor, name: str, density_frames: int) -> dict[str, float]:
    """Of a model on a frame list."""
    labels = (label.properties for label in frames(name))
    found = objective.evaluate(predictor, spread(labels, density_frames), density_frames=density_frames)
    gap = np.diff(found.energy, axis=-1) / units.MEV
    spread_of_energy = float(found.energy[:, 0].std()) / units.MEV
    return {**found.summary(), "energy_shifted_meV": float(np.abs(gap - gap.mean()).mean()), "energy_spread_meV": spread_of_energy}


def table(rows: list[dict]) -> Table:
    """A row a molecule and model."""
    columns = {
        "frames": "frames", "force_mae_meV_per_A": "forces, meV/A", "energy_mae_meV": "energy, meV", "energy_shifted_meV": "shifted, meV",
        "energy_spread_meV": "(spread, meV)", "dipole_mae_D": "dipole, D", "density_error_percent": "density, %",
    }  # fmt: skip
    return Table(["molecule", "model", *columns.values()], [[r["molecule"], r["model"], *(r[key] for key in columns)] for r in rows])


def main() -> None:
    """Evaluate, print, write."""
    options = parser(__doc__, "runs/transfer")
    options.add_argument("--joint", type=Path, default=LABELS / "joint" / "model.safetensors", help="the joint model's file")
    options.add_argument("--density-frames", type=int, default=8, help="frames of each list that the density is integrated for")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    pairs = [(molecule, name, model) for molecule, name in KNOWN.items() for model in (molecule, chosen.joint)]
    pairs += [(molecule, name, model) for molecule, (name, nearest) in UNKNOWN.items() for model in (nearest, chosen.joint)]
    rows = []
    for molecule, name, model in pairs:
        told = "joint" if model is chosen.joint else model
        rows.append({"molecule": molecule, "model": told, **errors(load(model), name, chosen.density_frames)})
        print(markdown_row(table(rows[-1:]).rows[0]), flush=True)
    print(f"\n{table(rows).markdown()}")
    write(chosen.out.with_suffix(".json"), {**machine(), "rows": rows})
    if chosen.record:
        split = 2 * len(KNOWN)
        record("transfer", {"known": table(rows[:split]), "unknown": table(rows[split:])}, vars(chosen))


if __name__ == "__main__":
    main()
