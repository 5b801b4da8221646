"""What `densnet run SMILES` costs and reaches for molecules that the general model never saw: docs/your-molecule.md.

    python benchmarks/loop.py [--molecules acetone 2-propanol acetonitrile tetrahydrofuran] [--harmonic] [--out FOLDER] [--record]

Each molecule of labels/organic/heldout.csv that is named is run as a user would, in a folder of its own in OUT: an interrupted run goes on,
one that is done is only read. Errors are those that the run itself measured, on frames of the dynamics of the model at hand, which it was
not trained on. With --harmonic the lines of the refined model are compared with a full Hessian of the level, as by general_harmonics.py,
which the run itself does not need: made once, before or after it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import csv
from functools import partial
from pathlib import Path

import torch
from experiment import Table, conclude, machine_line, parser
from general_harmonics import ORGANIC
from general_harmonics import row as harmonic_row

from densnet.artefacts import making, using
from densnet.artefacts.run import Run
from densnet.model.predictor import load
from densnet.progress import duration
from densnet.workflow import Choice, run

MOLECULES = ["acetone", "2-propanol", "acetonitrile", "tetrahydrofuran"]
ROUNDS = ["molecule", "labels trained on", "forces, meV/A", "dipole, D", "density, %", "energy, meV", "minutes of the round"]
WHOLE = [
    "molecule", "atoms", "minutes", "of these refinement", "dynamics", "DFT calculations", "verified lines", "of the absorption, %",
    "wavenumbers, mean, cm^-1", "intensities, mean, % of their mean",
]  # fmt: skip
HARMONIC = ["molecule", "modes: wavenumbers, mean, cm^-1", "worst, cm^-1", "intensities, mean, % of the strongest", "SIS", "Pearson r"]


def smiles() -> dict[str, str]:
    """Name of a molecule -> SMILES."""
    with open(ORGANIC / "heldout.csv", encoding="utf-8") as file:
        return {row["name"]: row["smiles"] for row in csv.DictReader(file)}


def of_rounds(name: str, found: Run) -> list[list]:
    """A row a model: errors on frames that it has not seen."""
    rows = []
    for one in found.get(making.REFINEMENT).rounds:
        errors = [float(one["errors"][key]) for key in ("forces", "dipole", "density", "energy")]
        rows.append([name, one["trained_on"], *errors, one["seconds"] / 60])
    return rows


def of_run(name: str, found: Run) -> list:
    """Time and calculations of all stages, and what the check of the strongest lines said."""
    seconds = {stage: mark["seconds"] for stage, mark in found.marks.items()}
    refinement, lines = found.get(making.REFINEMENT), found.get(using.VERIFICATION)
    atoms = len(found.model.conformers[0].molecule.numbers)
    minutes = [sum(seconds.values()) / 60, seconds["refine"] / 60, seconds["simulate"] / 60]
    return [
        name, atoms, *minutes, refinement.labels + lines.gradients, len(lines.rows), 100 * lines.share, lines.shift, lines.strength
    ]  # fmt: skip


def main() -> None:
    """Run, compare, print."""
    options = parser(__doc__, "runs/loop")
    options.add_argument("--molecules", nargs="+", default=MOLECULES)
    options.add_argument("--harmonic", action="store_true", help="also compare with full Hessians of the level")
    options.add_argument("--folder", type=Path, default=Path("runs/general_harmonics"), help="of the calculations of these")
    options.add_argument("--workers", type=int, default=0, help="of these; 0 = all cores")
    chosen: argparse.Namespace = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    known = smiles()
    if missing := [name for name in chosen.molecules if name not in known]:
        raise SystemExit(f"--molecules: {', '.join(missing)} is not in {ORGANIC / 'heldout.csv'}.")
    rounds, whole, harmonic = [], [], []
    for name in chosen.molecules:
        folder = chosen.out / name.replace(" ", "-")
        say = partial(print, f"{name}:", flush=True)
        found = run(known[name], Choice(folder=folder), tell=say, watch=say)
        rounds += of_rounds(name, found)
        whole.append(of_run(name, found))
        say(f"done in {duration(60 * whole[-1][2])}")
        if chosen.harmonic:
            harmonic.append(harmonic_row(name, load(making.REFINED.path(folder)).double(), chosen))
    tables = {"rounds": Table(ROUNDS, rounds), "whole": Table(WHOLE, whole)}
    conclude(chosen, "loop", tables | ({"harmonic": Table(HARMONIC, harmonic)} if harmonic else {}))


if __name__ == "__main__":
    main()
