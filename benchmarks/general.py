"""What a model makes of small organic molecules that it never saw, and how that improves with the number of molecules that it did see:

    python benchmarks/general.py judge MODEL [LABELS ...]
    python benchmarks/general.py curve [--frames 117 234 469 938] [--points-steps 2000] [--energy-steps 3000]

`judge`: errors for each molecule of labels/organic/heldout_300K (or of other LABELS of that list: shards, folders of a campaign). The
energy is that of the whole molecule, by atom: reference energies of elements have to add up for a new composition. Mean over molecules
last. `curve`: models of the sizes of labels/organic/density.toml trained on the first frames of the lists, each of the first 469 another
molecule, with as many steps each and without GFN2-xTB, and judged so. A training that was interrupted goes on, one that is done is not
repeated (OUT/N/result.json).
"""

from __future__ import annotations

import argparse
import csv
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

from functools import partial
from pathlib import Path

import numpy as np
import torch
from experiment import LABELS, Table, conclude, machine_line, markdown_row, once, parser, shards, spread, training_options

from densnet import units
from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.density.basis import DensityBasis
from densnet.model.predictor import ModelSettings, Predictor, load
from densnet.progress import silent
from densnet.reference import campaign, geometries
from densnet.settings import parse
from densnet.training import objective
from densnet.training.settings import TrainSettings
from densnet.workflow.fitting import examples_of, train_on, untrained
from densnet.workflow.settings import DensitySettings, read_sections
from densnet.workflow.splits import elements_of, parted

ORGANIC = LABELS / "organic"
COLUMNS = {
    "frames": "frames", "force_mae_meV_per_A": "forces, meV/A", "energy_meV_per_atom": "energy, meV an atom", "dipole_mae_D": "dipole, D",
    "density_error_percent": "density, %",
}  # fmt: skip


def by_molecule(labels: Dataset) -> dict[str, Dataset]:
    """Held-out labels by the name of their molecule, in the order of heldout.csv; its row is what their trajectories count by thousands."""
    with open(ORGANIC / "heldout.csv", encoding="utf-8") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    members = {name: [i for i, label in enumerate(labels) if label.trajectory // 1000 == row] for row, name in enumerate(names)}
    return {name: labels.select(own) for name, own in members.items() if own}


def judged(predictor: Predictor, labels: Dataset, density_frames: int) -> dict[str, dict]:
    """Errors by molecule, and "mean": over molecules."""
    found: dict[str, dict] = {}
    for name, own in by_molecule(labels).items():
        done = objective.evaluate(predictor, spread((label.properties for label in own), density_frames), density_frames=density_frames)
        gap = np.diff(done.energy, axis=-1) / units.MEV / len(own[0].properties.molecules.numbers)
        found[name] = {**done.summary(), "energy_meV_per_atom": float(np.abs(gap).mean())}
        print(markdown_row([name, *(found[name][key] for key in COLUMNS)]), flush=True)
    columns = {key: [row[key] for row in found.values() if row[key] is not None] for key in COLUMNS}
    return found | {"mean": {key: float(np.mean(values)) if values else None for key, values in columns.items()}}


def in_order(labels: Dataset) -> Dataset:
    """Training labels in the order of their lists."""
    lists = (path for name in ("training_1", "training_2") if (path := ORGANIC / f"{name}.extxyz").exists())
    names = (campaign.identity(frame.molecule, labels.level) for path in lists for frame in geometries.read(path))
    place = {name: index for index, name in enumerate(names)}
    return labels.select(sorted(range(len(labels)), key=lambda i: place[labels[i].identity]))


def result(count: int, chosen: argparse.Namespace) -> dict:
    """Of a model trained on the first ``count`` labels."""
    sections = read_sections(ORGANIC / "density.toml", {"density": DensitySettings, "model": ModelSettings, "train": TrainSettings})
    given = sections["train"].model_dump()
    changes = {phase: {**given["points"], "steps": getattr(chosen, f"{phase}_steps")} for phase in ("points", "energy")}
    plan = parse(TrainSettings, {**given, **changes, "device": chosen.device, "threads": chosen.threads}, "training")
    labels = in_order(store.read(*(chosen.training or shards("organic/training_1", "organic/training_2")))).select(range(count))
    folder, basis = chosen.out / str(count), DensityBasis.built_in(sections["density"].basis, elements_of(labels))
    parts = examples_of(parted(labels, plan, None, print), basis, chosen.examples, sections["density"].points, plan, silent)
    predictor = train_on(untrained(parts[0], sections["model"], basis, plan.seed), parts, plan, folder, silent)
    predictor.save(folder / "model.safetensors")
    seen = {label.trajectory // 1000 for label in labels}
    return {"molecules": len(seen), **judged(predictor.to("cpu"), held_out_labels(chosen.heldout), chosen.density_frames)["mean"]}


def held_out_labels(paths: list[Path]) -> Dataset:
    """Those at ``paths``, or the sealed ones."""
    return store.read(*(paths or shards("organic/heldout_300K")))


def arguments() -> argparse.Namespace:
    """Of the command line."""
    made = parser(__doc__, "runs/general")
    training_options(made, "runs/organic-examples")
    made.add_argument("what", choices=("judge", "curve"))
    made.add_argument("model", nargs="?", help="of `judge`: a file or the name of a shipped model")
    made.add_argument("heldout", nargs="*", type=Path, help="held-out labels in place of the sealed ones")
    made.add_argument("--training", nargs="*", type=Path, help="training labels in place of the sealed ones")
    made.add_argument("--density-frames", type=int, default=1, help="frames of each molecule that the density is integrated for")
    made.add_argument("--frames", nargs="*", type=int, default=[117, 234, 469, 938])
    made.add_argument("--points-steps", type=int, default=2000)
    made.add_argument("--energy-steps", type=int, default=3000)
    return made.parse_args()


def main() -> None:
    """Judge one model, or train and judge several."""
    chosen = arguments()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    if chosen.what == "judge":
        rows = judged(load(chosen.model), held_out_labels(chosen.heldout), chosen.density_frames)
        table = Table(["molecule", *COLUMNS.values()], [[name, *(row[key] for key in COLUMNS)] for name, row in rows.items()])
        return conclude(chosen, "general", {"molecules": table})
    rows = {}
    for count in chosen.frames:
        rows[count] = once(chosen.out / str(count) / "result.json", partial(result, count, chosen))
        print(count, json.dumps(rows[count]), flush=True)
    shown = {key: title for key, title in COLUMNS.items() if key != "frames"}
    lines = [[n, row["molecules"], *(row[key] for key in shown)] for n, row in rows.items()]
    return conclude(chosen, "general", {"curve": Table(["frames", "molecules", *shown.values()], lines)})


if __name__ == "__main__":
    main()
