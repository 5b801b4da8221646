"""What a model of oligothiophenes makes of chains of every length: docs/oligothiophenes.md.

    python benchmarks/oligothiophenes.py errors MODEL [--moved] [--density-frames 4] [--record]

`errors`: on held-out labels of 1 to 6 rings at 300 K (labels/thiophenes/ringsN_heldout) and on relabelled frames of the model's own
dynamics (ringsN_own), a row a list; five rings and those above six are in no training. --moved: for a model of another level of theory,
after its reference energies are moved to the labels of all lengths.
"""

from __future__ import annotations

import argparse
import os
import re

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from experiment import LABELS, Table, conclude, frames, machine_line, markdown_row, parser, shards, spread

from densnet import units
from densnet.model.predictor import Predictor, load
from densnet.training import objective
from densnet.training.statistics import move_references
from densnet.workflow.dispersion import with_dispersion

FOLDER = LABELS / "thiophenes"
KINDS = {"heldout": "GFN2-xTB, 300 K", "own": "its own, 300 K"}
"""What frames that judge are from."""
HEAD = ["rings", "dynamics", "frames", "forces, meV/A", "energy, meV an atom", "dipole, D", "density, %"]


def lists() -> list[tuple[int, str]]:
    """Rings and kind of every list that there are labels of, by the number of rings."""
    named = (re.fullmatch(r"rings(\d+)_(\w+)", path.stem) for path in FOLDER.glob("rings*.extxyz"))
    found = sorted((int(name[1]), name[2]) for name in named if name and name[2] in KINDS)
    return [(rings, kind) for rings, kind in found if shards(f"thiophenes/rings{rings}_{kind}")]


def row(model: Predictor, rings: int, kind: str, density_frames: int) -> list:
    """Errors of ``model`` on a list, with the dispersion that it was trained with."""
    dispersion = model.provenance.get("training", {}).get("dispersion", "as labelled")
    labels = with_dispersion(frames(f"thiophenes/rings{rings}_{kind}"), dispersion)
    part = spread((label.properties for label in labels), density_frames)
    done = objective.evaluate(model, part, density_frames=density_frames)
    of, gaps = done.summary(), np.abs(np.diff(done.energy, axis=-1)) / units.MEV / len(part[0].molecules.numbers)
    errors = [of["force_mae_meV_per_A"], float(gaps.mean()), of["dipole_mae_D"], of["density_error_percent"]]
    return [rings, KINDS[kind], len(part), *errors]


def errors(chosen: argparse.Namespace) -> Table:
    """A row a list."""
    model = load(chosen.model)
    if chosen.moved:
        move_references(model, (label.properties for rings, kind in lists() for label in frames(f"thiophenes/rings{rings}_{kind}")))
    table = Table(HEAD, [])
    for rings, kind in lists():
        table.rows.append(row(model, rings, kind, chosen.density_frames))
        print(markdown_row(table.rows[-1]), flush=True)
    return table


def main() -> None:
    """Judge, print."""
    made = parser(__doc__)
    made.add_argument("what", choices=("errors",))
    made.add_argument("model", help="file, or name of a shipped model")
    made.add_argument("--moved", action="store_true", help="move the reference energies of the model to the labels")
    made.add_argument("--density-frames", type=int, default=4, help="frames of each list that the density is integrated for")
    chosen = made.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    conclude(chosen, "oligothiophenes", {"errors": errors(chosen)})


if __name__ == "__main__":
    main()
