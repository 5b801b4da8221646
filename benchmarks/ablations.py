"""What the method's claims rest on: python benchmarks/ablations.py [--lines baseline direct ...] [--examples FOLDER] [--out runs/ablations]

Ethanol, each line a whole training that differs from the baseline in one thing, judged on trajectories held out. A line that was
interrupted goes on, one that is done is not repeated (OUT/LINE/result.json; its learning curve: OUT/LINE/curve.jsonl).
Without --lines all of them, in the order of the table. `--table` prints what is there and trains nothing.
"""

import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from experiment import ETHANOL_500K, Table, frames, machine_line, once, parser, record, spread
from measuring import milliseconds
from whole_density import WholePredictor, whole

from densnet.dataset.dataset import Dataset
from densnet.dataset.points import density_error
from densnet.density.basis import DensityBasis
from densnet.density.gaussians import overlap_matrix
from densnet.model.predictor import ModelSettings, Predictor
from densnet.reference.fitting import fit as fit_density
from densnet.settings import parse
from densnet.training import fit, objective
from densnet.training.examples import Example
from densnet.training.settings import TrainSettings
from densnet.training.stages import Scale
from densnet.workflow.fitting import untrained
from densnet.workflow.preparation import prepare
from densnet.workflow.splits import elements_of, held_out

DENSITY, POINTS, ENERGY = 1500, 500, 1200
"""Steps of the phases: Coulomb metric, real space, energy and forces on the frozen density."""
PLAN = {
    phase: {"steps": steps, "batch": 8, "validate_every": 250, "average": 0.995, "learning_rate": rate}
    for phase, steps, rate in (("density", DENSITY, 3e-3), ("points", POINTS, 1e-3), ("energy", ENERGY, 3e-3))
}
COULOMB_ONLY = {"density": {"steps": DENSITY + POINTS}, "points": {"steps": 0}}
SPACE_ONLY = {"density": {"steps": 0}, "points": {"steps": DENSITY + POINTS, "learning_rate": 3e-3}}
VALIDATION, SEED, KEPT_POINTS, DENSITY_FRAMES, FLOOR_FRAMES = 30, 1, 4000, 20, 10


@dataclass(frozen=True)
class Line:
    """A training: what it is called, what is changed, what is not the default."""

    name: str
    change: str
    model: dict = field(default_factory=dict)
    train: dict = field(default_factory=dict)
    frames: int = 200
    basis: str = "optimised"
    overlap: bool = False
    whole: bool = False


def _order(l: int) -> dict:
    return {"density": {"l_max": l, "l_hidden": l}, "energy": {"l_max": l, "l_hidden": l}}


LINES = (
    Line("baseline", "Delta, `optimised`, flexible; order 2 (1 between layers); 5 A; 200 frames; Coulomb, then space"),
    Line("optimised-fixed", "exponents fixed", model={"density": {"flexible": False}}),
    Line("default", "basis `default`, exponents fixed", model={"density": {"flexible": False}}, basis="default"),
    Line("default-flexible", "basis `default`", basis="default"),
    Line("direct", "no promolecule, basis `default`", basis="default", whole=True),
    Line("coulomb-only", "loss: Coulomb metric only (exponents fixed)", train=COULOMB_ONLY),
    Line("overlap-only", "loss: overlap metric only (exponents fixed)", train=COULOMB_ONLY, overlap=True),
    Line("space-faster", "learning rate of the points phase 3e-3, not 1e-3", train={"points": {"learning_rate": 3e-3}}),
    Line("space-only", "loss: real space only, 3e-3", train=SPACE_ONLY),
    Line("default-space", "basis `default`, real space only", train=SPACE_ONLY, basis="default"),
    Line("direct-space", "no promolecule, basis `default`, real space only", train=SPACE_ONLY, basis="default", whole=True),
    *(Line(f"order-{l}", f"angular order {l}, also between layers", model=_order(l)) for l in (0, 1, 2, 3)),
    *(Line(f"cutoff-{r}", f"cut-off {r} A", model={"density": {"cutoff": float(r)}}) for r in (3, 4, 6)),
    *(Line(f"frames-{n}", f"{n} training frames", frames=n) for n in (50, 100, 500, 938)),
)


def picked(labels: Dataset, count: int, seed: int = SEED) -> Dataset:
    """The first ``count`` of a shuffled set; smaller picks are parts of larger ones."""
    return labels.select(np.random.default_rng(seed).permutation(len(labels))[:count])


def settings_of(line: Line) -> tuple[ModelSettings, TrainSettings]:
    """The settings of both networks and of the training."""
    phases = {phase: PLAN[phase] | line.train.get(phase, {}) for phase in PLAN}
    return parse(ModelSettings, line.model, "model"), parse(TrainSettings, {"seed": SEED, **line.train, **phases}, "train")


def overlap_metric(example: Example) -> Example:
    """The ``example`` with overlaps in place of Coulomb interactions."""
    molecule, basis = example.molecule, example.basis
    keep = basis.mask(molecule.numbers).flatten()
    matrix = overlap_matrix(basis, molecule.positions, basis.exponents(molecule.numbers))
    return replace(example, prepared=example.prepared.replaced(metric=matrix[keep][:, keep].float()))


def trained(line: Line, parts: list[list[Example]], basis: DensityBasis, folder: Path) -> Predictor:
    """The model of a line after all phases."""
    model, plan = settings_of(line)
    plans, curve = [plan], folder / "curve.jsonl"
    if line.overlap:
        parts = [[overlap_metric(e) for e in part] for part in parts]
    scale = Scale.of(parts[0])
    if line.whole:
        parts = [[whole(e) for e in part] for part in parts]
        weight = plan.dipole_weight * scale.coulomb / Scale.of(parts[0]).coulomb  # a dipole as loud beside the density as in Delta learning
        rest = plan.model_copy(update={"steps": 0})
        first = plan.model_copy(update={"dipole_weight": weight, "points": rest.points.model_copy(update={"steps": 0}),
                                        "energy": rest.energy.model_copy(update={"steps": 0})})  # fmt: skip
        plans = [first, plan]
    predictor = untrained(parts[0], model, basis, SEED)
    predictor = WholePredictor.like(predictor) if line.whole else predictor
    before = json.loads(curve.read_text().splitlines()[-1])["cpu_s"] if curve.exists() else 0.0
    began = time.process_time()

    def report(now: fit.Moment) -> None:
        if now.metrics:
            row = {"phase": now.phase, "step": now.step, "cpu_s": round(before + time.process_time() - began, 1), **now.metrics}
            with open(curve, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    for plan in plans:
        predictor = fit.train(predictor, *parts, plan, folder, report)
    return predictor


def fit_floor(labels: list, basis: DensityBasis) -> float:
    """Percent of the electrons that a fit in the Coulomb metric misses, mean over ``labels``."""
    return float(np.mean([density_error(fit_density(f.orbitals[0], basis), f.orbitals[0]).percent for f in labels]))


def judged(line: Line, predictor: Predictor, labels: list) -> dict:
    """The errors of a trained line on held-out frames, its size and its cost."""
    molecule, network = labels[0].molecules, predictor.density_network

    def density_and_dipole() -> None:
        with torch.no_grad():
            geometry = predictor.geometry(molecule)
            predictor.density(molecule, network(geometry), geometry).dipole()

    errors = objective.evaluate(predictor, labels, density_frames=DENSITY_FRAMES).summary()
    floor = fit_floor(labels[:FLOOR_FRAMES], predictor.basis) if line.name in ("baseline", "default") else None
    cost = {"density_ms": milliseconds(density_and_dipole, 50), "forces_ms": milliseconds(lambda: predictor(molecule), 50)}
    return {"functions": predictor.basis.functions(molecule.numbers), "fit_floor_percent": floor, **cost, **errors}


def run(line: Line, known: tuple[Dataset, Dataset], judge: list, out: Path, examples: Path) -> dict:
    """One line from labels to errors; CPU seconds of everything but the fits of the densities."""
    folder = out / line.name
    folder.mkdir(parents=True, exist_ok=True)
    basis = DensityBasis.built_in(line.basis, elements_of(known[0]))
    chosen = picked(known[0], line.frames), picked(known[1], VALIDATION)
    parts = [prepare(labels, basis, examples, points=KEPT_POINTS, processes=1) for labels in chosen]
    began = time.process_time()
    predictor = trained(line, parts, basis, folder)
    errors = judged(line, predictor, judge)
    model, plan = settings_of(line)
    about = {"hardware": machine_line(), "cpu_s": round(time.process_time() - began)}
    settings = {"model": model.model_dump(), "train": plan.model_dump(mode="json"), "frames": line.frames, "basis": line.basis}
    return {"line": line.name, "change": line.change, **errors, **about, "settings": settings}


def table(results: list[dict]) -> Table:
    """Errors and costs, a row a line."""
    columns = {
        "line": "line", "change": "what is different", "density_error_percent": "density, %", "dipole_mae_D": "dipole, D",
        "force_mae_meV_per_A": "forces, meV/A", "energy_mae_meV": "energy, meV", "density_ms": "density, ms", "cpu_s": "CPU, s",
    }  # fmt: skip
    return Table(list(columns.values()), [[r[key] for key in columns] for r in results])


def curves(out: Path, names: list[str]) -> Table:
    """Density error on validation frames, in percent, against steps and CPU seconds."""
    found = {}
    for name in names:
        file = out / name / "curve.jsonl"
        rows = [json.loads(row) for row in file.read_text().splitlines()] if file.exists() else []
        before = {"density": 0, "points": settings_of(_line(name))[1].density.steps}
        rows = [row for row in rows if row["phase"] in before]
        found[name] = {before[r["phase"]] + r["step"]: f"{r['density_error_percent']:.3f} ({r['cpu_s']:.0f} s)" for r in rows}
    steps = sorted({step for row in found.values() for step in row})
    return Table(["line", *map(str, steps)], [[name, *(row.get(step, "") for step in steps)] for name, row in found.items() if row])


def _line(name: str) -> Line:
    return next(line for line in LINES if line.name == name)


def main() -> None:
    """Train what is missing, judge, print."""
    names = [line.name for line in LINES]
    options = parser(__doc__, "runs/ablations")
    options.add_argument("--lines", nargs="*", choices=names, default=names, metavar="LINE", help=", ".join(names))
    options.add_argument("--examples", type=Path, help="folder of fitted densities; OUT/examples by default")
    options.add_argument("--table", action="store_true")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    done = {name: chosen.out / name / "result.json" for name in names}
    lines = [name for name in names if (done[name].exists() if chosen.table else name in chosen.lines)]
    known = held_out(frames(*ETHANOL_500K), 0.06, SEED)
    judge = spread((label.properties for label in frames("ethanol/heldout_500K")), DENSITY_FRAMES)
    results = []
    for name in lines:
        work = partial(run, _line(name), known, judge, chosen.out, chosen.examples or chosen.out / "examples")
        results.append(once(done[name], work))
        print(json.dumps({k: v for k, v in results[-1].items() if k != "settings"}), flush=True)
    if results:
        print(f"{results[0]['hardware']}; steps {DENSITY} + {POINTS} + {ENERGY}, 8 frames a step; {DENSITY_FRAMES} frames for the density")
        tables = {"lines": table(results), "curves": curves(chosen.out, lines)}
        print(tables["lines"].markdown())
        print(f"density error on the validation frames, %, after so many steps (and CPU seconds)\n{tables['curves'].markdown()}")
        if chosen.record:
            record("ablations", tables, {"steps": (DENSITY, POINTS, ENERGY), "density_frames": DENSITY_FRAMES})


if __name__ == "__main__":
    main()
