"""One round of active learning at 700 K: python benchmarks/active_learning.py MODEL [--out runs/active-learning] [--examples FOLDER]

Ethanol. The model runs at 700 K; of its frames the most uncertain ones (largest expected force error) and as many random ones are labelled;
the model is trained on, with each of the two and with neither, and judged before and after on frames held out at 700, 500 and 300 K and on
the picks that it has not learned from. What was done is not repeated: pool, picks, labels (one by one) and models are kept in OUT, sealed
labels and their frame lists beside the other lists in labels/ethanol. MODEL must know of its errors (docs/uncertainty.md). Prints hardware
and settings; writes OUT/results.json.
"""

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import numpy as np
import torch
from experiment import ETHANOL_500K, LABELS, ROOT, Table, conclude, frames, machine_line, parser, training_options, write

from densnet import units
from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.reference import campaign, geometries
from densnet.reference.geometries import Frame
from densnet.settings import parse
from densnet.simulation.ensembles import Langevin
from densnet.simulation.run import SimulateSettings, read_trajectory, simulate
from densnet.training import objective
from densnet.training.settings import TrainSettings
from densnet.workflow.evaluation import calibration_rows
from densnet.workflow.fitting import train_on
from densnet.workflow.forces import force_function
from densnet.workflow.preparation import prepare
from densnet.workflow.splits import held_out

START = ROOT / "examples" / "geometries" / "ethanol.xyz"
TEMPERATURE, POINTS, FIRST_TRAJECTORY = 700.0, 4000, 400
PICKS = ("uncertain", "random")


def pool(predictor: Predictor, plan: SimulateSettings, out: Path, spacing_fs: float) -> list[Frame]:
    """Frames ``spacing_fs`` apart of the model's own trajectories, in their order; trajectories are numbered from 400."""
    start = Molecules.concatenate([frame.molecule for frame in geometries.read(START)])
    path = simulate(force_function(predictor, start, plan, print), start, plan, out / "pool", announce=print)
    found = read_trajectory(path)
    every = max(1, round(spacing_fs / (plan.timestep_fs * plan.sample_every)))
    print(f"novelty: mean {float(found.novelty.mean()):.2f}, {100 * float(found.marked.double().mean()):.1f} % of the samples are marked")
    return [
        Frame(Molecules.single(found.numbers, x.double()), FIRST_TRAJECTORY + replica, plan.temperature)
        for replica, run in enumerate(found.positions)
        for x in run[::every]
    ]


def expected(predictor: Predictor, frames: list[Frame], batch: int = 32) -> np.ndarray:
    """[frames] rms over atoms of the expected error of a force component, hartree/bohr."""
    found = []
    for start in range(0, len(frames), batch):
        chosen = Molecules.concatenate([frame.molecule for frame in frames[start : start + batch]])
        squares = predictor.with_force_uncertainty(chosen).uncertainty.forces.square()
        found.append((chosen.total(squares) / chosen.sizes).sqrt())
    return torch.cat(found).numpy()


def pick(frames: list[Frame], uncertainty: np.ndarray, count: int, apart: int, seed: int) -> dict[str, list[int]]:
    """Indices of the ``count`` most uncertain frames, those of a trajectory at least ``apart`` places from each other, and random ones."""
    kept: list[int] = []
    for index in np.argsort(-uncertainty):
        same = [k for k in kept if frames[k].trajectory == frames[index].trajectory]
        if len(kept) < count and all(abs(k - index) >= apart for k in same):
            kept.append(int(index))
    return {"uncertain": kept, "random": np.random.default_rng(seed).permutation(len(frames))[:count].tolist()}


def labelled(name: str, out: Path, folder: Path, workers: int) -> Dataset:
    """The labels of the list ``folder/NAME.extxyz``, made if need be and sealed in ``folder/NAME.001.h5``."""
    shard = folder / f"{name}.001.h5"
    if not shard.exists():
        plan = campaign.LabelSettings(workers=workers)
        tally = campaign.label(plan, folder / f"{name}.extxyz", out / "labels" / name, store.save_label, store.load_label)
        print(f"{name}: {tally}")
        store.seal(store.read(out / "labels" / name), shard, f"frames of {name}.extxyz")
    return store.read(shard)


def judge(predictor: Predictor, tests: dict[str, Dataset]) -> dict:
    """Mean absolute errors on each set, and how the expected errors agree with them."""
    predict = predictor if predictor.uncertainty is None else predictor.with_force_uncertainty
    found = {}
    for name, labels in tests.items():
        done = objective.evaluate(predict, [label.properties for label in labels], density_frames=0)
        errors = {key: value for key, value in done.summary().items() if value is not None}
        found[name] = {**errors, "calibration": calibration_rows(done)}
    return found


def plan_of(arguments: argparse.Namespace, former: dict) -> TrainSettings:
    """Phases on the true density and on energies, short, beside the weights of the losses that the model was trained with."""
    phase = {"batch": 16, "average": 0.995, "validate_every": max(1, arguments.steps // 8)}
    phases = {
        "density": {"steps": 0},
        "points": {**phase, "steps": arguments.steps // 4, "learning_rate": 3e-4},
        "energy": {**phase, "steps": arguments.steps, "learning_rate": arguments.learning_rate},
        "joint": {"steps": 0},
    }
    return parse(TrainSettings, {**former, **phases, "device": arguments.device, "threads": arguments.threads}, "train")


def retrained(arguments: argparse.Namespace, name: str, extra: Dataset, parts: list[Dataset]) -> Predictor:
    """The model trained on with ``extra`` frames beside its training frames, validated on the same frames as before."""
    folder = arguments.out / name
    if (folder / "model.safetensors").exists():
        return load(folder / "model.safetensors")
    folder.mkdir(parents=True, exist_ok=True)
    predictor = load(arguments.model)
    plan = plan_of(arguments, predictor.provenance.get("training", {}))
    examples = [
        prepare(part, predictor.basis, arguments.examples, points=POINTS, processes=arguments.workers, fits=0)
        for part in (parts[0] + extra, parts[1])
    ]
    predictor = train_on(predictor, examples, plan, folder, lambda done, total, text="": None).to("cpu")
    predictor.save(folder / "model.safetensors")
    return predictor


def table(results: dict) -> Table:
    """A row a model and test set."""
    rows = []
    for name, sets in results.items():
        for test, row in sets.items():
            known = row["calibration"].get("forces")
            ratio = "-" if known is None else f"{known['rms_deviation']:.1f} / {known['rms_error']:.1f}"
            rows.append(
                [name, f"{row['frames']} of {test}", row["energy_mae_meV"], row["force_mae_meV_per_A"], 1000 * row["dipole_mae_D"], ratio]
            )
    return Table(["model", "frames", "energy, meV", "forces, meV/A", "dipole, mD", "expected forces rms / found"], rows)


def arguments_of() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__, "runs/active-learning")
    training_options(options, "runs/ethanol-model/examples")
    options.set_defaults(threads=1, workers=1)
    options.add_argument("model")
    options.add_argument("--training", type=Path, nargs="*", help="labels the model was trained on; those of labels/ethanol by default")
    options.add_argument("--lists", type=Path, default=LABELS / "ethanol", help="where frame lists and sealed labels of the picks go")
    options.add_argument("--tests", nargs="*", default=["heldout_700K", "heldout_500K", "heldout_300K"])
    options.add_argument("--count", type=int, default=40)
    options.add_argument("--replicas", type=int, default=16)
    options.add_argument("--duration-ps", type=float, default=2.0)
    options.add_argument("--steps", type=int, default=3000)
    options.add_argument("--learning-rate", type=float, default=1e-3)
    options.add_argument("--limit", type=int, default=0, help="use only so many frames of each set (a quick look)")
    options.add_argument("--seed", type=int, default=1)
    return options.parse_args()


def main() -> None:
    chosen = arguments_of()
    chosen.out.mkdir(parents=True, exist_ok=True)
    predictor, spacing = load(chosen.model), 25.0
    print(f"{machine_line()}; {vars(chosen)}")
    lists = {name: chosen.lists / f"{name}_700K.extxyz" for name in PICKS}
    if not all(path.exists() for path in lists.values()):
        motion = SimulateSettings(
            temperature=TEMPERATURE, replicas=chosen.replicas, duration_ps=chosen.duration_ps, thermalise_ps=0.5, thermalise_friction=10.0,
            ensemble=Langevin(friction=5.0), sample_every=10, checkpoint_every=1000, threads=1, seed=chosen.seed,
        )  # fmt: skip
        visited = pool(predictor, motion, chosen.out, spacing)
        uncertainty = expected(predictor, visited)
        picks = pick(visited, uncertainty, chosen.count, round(100 / spacing), chosen.seed)
        for name, indices in picks.items():
            about = {"made by": "benchmarks/active_learning.py", "pick": name, "pool": len(visited), **motion.model_dump(mode="json")}
            geometries.write(lists[name], [visited[i] for i in indices], about)
            print(f"{name}: expected force error {uncertainty[indices].mean() / units.MEV_PER_ANGSTROM:.1f} meV/A")
    picked = {name: labelled(f"{name}_700K", chosen.out, chosen.lists, chosen.workers) for name in PICKS}
    tests = {name: frames(f"ethanol/{name}") for name in chosen.tests}
    former = plan_of(chosen, predictor.provenance.get("training", {}))
    given = store.read(*chosen.training) if chosen.training else frames(*ETHANOL_500K)
    known, watched = held_out(given, former.validation_fraction, former.seed)
    if chosen.limit:
        known, watched = (part.select(range(min(chosen.limit, len(part)))) for part in (known, watched))
        tests = {name: labels.select(range(min(chosen.limit, len(labels)))) for name, labels in tests.items()}
    results = {"before": judge(predictor, {**tests, **picked})}
    print(table(results).markdown(), flush=True)
    for name, extra in {"no new frames": Dataset([]), **{f"{name} frames": picked[name] for name in PICKS}}.items():
        unseen = {pick: labels for pick, labels in picked.items() if labels is not extra}
        results[name] = judge(retrained(chosen, name.replace(" ", "-"), extra, [known, watched]), {**tests, **unseen})
        print(table({name: results[name]}).markdown(), flush=True)
        settings = {key: str(value) for key, value in vars(chosen).items()}
        write(chosen.out / "results.json", {"settings": settings, **results})
    conclude(chosen, "active_learning", {"all": table(results)})


if __name__ == "__main__":
    main()
