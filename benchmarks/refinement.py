"""What the settings of a refinement's training give for one molecule and its labels: docs/your-molecule.md.

    python benchmarks/refinement.py [MODEL] [--labels 2-propanol_1] [--variants "as by default" ...] [--out FOLDER] [--record]

MODEL (organic by default), which has seen no frame of the molecule, is refined on the labels of a finished run (labels/refined), all rounds
but the last, as such a run would, and judged on the frames that judged that run's last model: random ones of dynamics at 300 K. GFN2-xTB is
learned on frames of MODEL's own dynamics. One training each. One that is done is not repeated.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from functools import partial
from pathlib import Path
from time import monotonic

import torch
from experiment import LABELS, Table, conclude, frames, machine_line, markdown_row, once, parser, shards

from densnet.dataset.dataset import Dataset
from densnet.frames import xyz
from densnet.model import shipped
from densnet.progress import silent
from densnet.reference import geometries
from densnet.reference.campaign import LabelSettings
from densnet.settings import parse
from densnet.workflow.evaluation import evaluate_on
from densnet.workflow.refinement import Parts, RefineSettings, Round, start_of

VARIANTS: dict[str, dict] = {
    "as by default": {},
    "without GFN2-xTB": {"semiempirical": {"steps": 0}},
    "a third of its steps": {"semiempirical": {"steps": 400}},
    "energy: learning rate 1e-3": {"train": {"energy": {"learning_rate": 1e-3}}},
    "energy: learning rate 1e-4": {"train": {"energy": {"learning_rate": 1e-4}}},
    "energy: 2000 steps": {"train": {"energy": {"steps": 2000}}},
    "density: learning rate 3e-3": {"train": {"points": {"learning_rate": 3e-3}}},
    "density: learning rate 3e-4": {"train": {"points": {"learning_rate": 3e-4}}},
    "density: 1800 steps": {"train": {"points": {"steps": 1800}}},
    "dipole: weight 100": {"train": {"dipole_weight": 100.0}},
}
"""What of [refine] is changed."""
COLUMNS = {
    "force_mae_meV_per_A": "forces, meV/A", "energy_mae_meV": "energy, meV", "dipole_mae_D": "dipole, D",
    "density_error_percent": "density, %", "minutes": "minutes",
}  # fmt: skip


def parts_of(name: str, fraction: float) -> tuple[Parts, Dataset]:
    """Labels to train on and to validate, as in a run, and those that judge."""
    names = [frame.name for frame in geometries.read(LABELS / f"{name}.extxyz")]
    labels = frames(name)
    own = {part: labels.select(i for i, of in enumerate(names) if of == part) for part in dict.fromkeys(names)}
    *known, last = own
    judged = [own[part] for part in known if "judged" in part]
    watched = [part.select(range(max(1, round(fraction * len(part))))) for part in judged]
    learned = [part.select(range(len(some), len(part))) for part, some in zip(judged, watched)]
    learned += [own[part] for part in known if "judged" not in part]
    return (sum(learned, Dataset(())), sum(watched, Dataset(()))), own[last]


def errors(changes: dict, chosen, place: Path) -> dict:
    """Of the model refined with these changes; minutes include what it prepares."""
    plan, start = parse(RefineSettings, changes, "refine"), start_of(shipped.find(chosen.model))
    parts, judge = parts_of(f"refined/{chosen.labels}", plan.train.validation_fraction)
    one = Round(0, place, chosen.out / "conformers.xyz", plan, LabelSettings(), silent, partial(print, flush=True))
    place.mkdir(parents=True, exist_ok=True)
    if plan.semiempirical.steps:
        geometries.write(place / "frames.xyz", geometries.read(chosen.out / "frames.xyz"), {})
    began = monotonic()
    model = one.trained(start, parts)
    minutes = (monotonic() - began) / 60
    found = evaluate_on(model, [label.properties for label in judge], None, silent).summary()
    return {**{key: found[key] for key in COLUMNS if key in found}, "minutes": minutes}


def dynamics(chosen) -> None:
    """Frames of the model's dynamics from all conformers, for all variants."""
    if (chosen.out / "frames.xyz").exists():
        return
    molecule = chosen.labels.rsplit("_", 1)[0]
    conformers = [record.molecule for record in xyz.read(LABELS / "organic" / "heldout.xyz") if record.about["name"] == molecule]
    chosen.out.mkdir(parents=True, exist_ok=True)
    start = [geometries.Frame(one, 0, 300.0, f"conformer {k}") for k, one in enumerate(conformers, 1)]
    geometries.write(chosen.out / "conformers.xyz", start, {})
    one = Round(0, chosen.out, chosen.out / "conformers.xyz", RefineSettings(), LabelSettings(), silent, partial(print, flush=True))
    geometries.write(chosen.out / "frames.xyz", one.dynamics(start_of(shipped.find(chosen.model))), {})


def main() -> None:
    """Dynamics, trainings, table."""
    options = parser(__doc__, "runs/refinement")
    options.add_argument("model", nargs="?", default=shipped.GENERAL, help="file, or name of a shipped model")
    options.add_argument("--labels", default="2-propanol_1", help="list of labels/refined")
    options.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    chosen = options.parse_args()
    chosen.out = chosen.out / chosen.labels
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    if not shards(f"refined/{chosen.labels}"):
        raise SystemExit(f"--labels: {chosen.labels} is no list of {LABELS / 'refined'}.")
    dynamics(chosen)
    rows = []
    for name in chosen.variants:
        place = chosen.out / f"gfn2-xtb-{parse(RefineSettings, VARIANTS[name], 'refine').semiempirical.steps}" / name.replace(" ", "-")
        found = once(place / "result.json", partial(errors, VARIANTS[name], chosen, place))
        rows.append([name, *(float(found[key]) for key in COLUMNS)])
        print(markdown_row(rows[-1]), flush=True)
    conclude(chosen, "refinement", {chosen.labels.rsplit("_", 1)[0]: Table(["training", *COLUMNS.values()], rows)})


if __name__ == "__main__":
    main()
