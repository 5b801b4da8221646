"""MACE, NequIP and densnet side by side: the same frames, the same machine, the same time to train.

    python benchmarks/peers.py --minutes 60 --threads 2 [--peers mace nequip densnet] [--densnet-settings benchmarks/peers-densnet.toml]

Trains each on the ethanol frames of 500 K (labels/ethanol), split as `densnet train` splits them, stops it when its time is over, and
judges its best checkpoint on the held-out frames of 300 and 500 K: energy, forces, time of a step. Peers get environments of their own
in runs/peers; their settings are in benchmarks/peers-*.yaml. A peer's learning rate ends with its last epoch, so a short trial on every
ninth frame first measures how many epochs fit into the time; the trial does not count. Ours counts from the first density fit.

Each step whose result is on disk is skipped (runs/peers/SETTINGS); a training that was interrupted starts anew. One line of JSON for each
peer goes to runs/peers/results.jsonl. `--frames 100` and `--minutes 2` show in a short time whether everything works.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ase
import ase.io
import numpy as np
from experiment import ETHANOL_500K, LABELS, Table, frames, machine_line, parser, record, shards
from peer_environments import HERE, RUNS, Ran, program, run

from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.training.checkpoint import PHASES
from densnet.training.settings import TrainSettings
from densnet.units import ANGSTROM, EV, EV_PER_ANGSTROM
from densnet.workflow.settings import read_sections
from densnet.workflow.splits import held_out

SHIPPED = LABELS / "ethanol" / "model.toml"
"""Settings of the shipped model, whose split of the frames everybody gets."""
TESTS = ("heldout_300K", "heldout_500K")

TRIAL_STRIDE, TRIAL_EPOCHS = 9, 12
SHARE = 0.95
"""Of the time that is left after the start, planned for epochs; the rest is for a trial that was too fast."""


@dataclass(frozen=True)
class Plan:
    """What is asked for, and the folder it goes to."""

    minutes: float
    threads: int
    frames: int
    settings: Path

    @property
    def folder(self) -> Path:
        few = f"-{self.frames}frames" if self.frames else ""
        return RUNS / f"{self.minutes:g}min-{self.threads}threads{few}"


# ------------------------------------------------------------------------------------------------------------------------ frames


def prepare(plan: Plan) -> dict:
    """Training, validation, trial and test frames as extxyz, and what was written; the labels themselves where only some are used."""
    about = plan.folder / "frames.json"
    if about.exists():
        return json.loads(about.read_text())
    labels, files = frames(*ETHANOL_500K), shards(*ETHANOL_500K)
    if plan.frames:
        labels = labels.select(np.linspace(0, len(labels) - 1, plan.frames).round().astype(int))
        files = [plan.folder / "labels.h5"]
        store.seal(labels, files[0], "some of labels/ethanol, evenly spaced")
    settings = train_settings(SHIPPED)
    known, watched = held_out(labels, settings.validation_fraction, settings.seed)
    taken_out = float(np.mean([float(label.properties.energy) for label in known])) / EV
    parts = {"train": known, "valid": watched}
    parts |= {f"trial_{name}": part.select(range(0, len(part), TRIAL_STRIDE)) for name, part in parts.items()}
    parts |= {name: frames(f"ethanol/{name}") for name in TESTS}
    for name, part in parts.items():
        write(part, plan.folder / f"{name}.extxyz", taken_out)
    found = {"files": [str(file) for file in files], "frames": {name: len(part) for name, part in parts.items()}, "taken_out_eV": taken_out}
    about.write_text(json.dumps(found))
    return found


def train_settings(file: Path) -> TrainSettings:
    return read_sections(file, {"train": TrainSettings})["train"]


def write(labels: Dataset, path: Path, taken_out: float) -> None:
    """Energies less the mean of training, or float32 would round all-electron energies to half a meV.

    The box is not periodic; without its volume the check of NequIP's compiler meets a stress that is not a number.
    """
    images = []
    for label in labels:
        known = label.properties
        image = ase.Atoms(known.molecules.numbers.numpy(), known.molecules.positions.double().numpy() / ANGSTROM, cell=[50] * 3)
        image.info = {"REF_energy": float(known.energy) / EV - taken_out, "taken_out": taken_out}
        image.arrays["REF_forces"] = known.forces.double().numpy() / EV_PER_ANGSTROM
        images.append(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    ase.io.write(path, images, format="extxyz")


# ---------------------------------------------------------------------------------------------------------------------- training


def mace_command(plan: Plan, folder: Path, epochs: int, prefix: str = "", stage_two: int | None = None) -> list:
    """The learning rate falls from 0.01 to a tenth by stage two, the last quarter of the epochs."""
    start = max(1, epochs * 3 // 4) if stage_two is None else stage_two
    return [
        program("mace", "mace_run_train"), "--config", HERE / "peers-mace.yaml", "--name", "mace", "--work_dir", folder,
        "--train_file", plan.folder / f"{prefix}train.extxyz", "--valid_file", plan.folder / f"{prefix}valid.extxyz",
        "--max_num_epochs", epochs, "--start_stage_two", start, "--lr_scheduler_gamma", f"{0.1 ** (1 / max(1, start)):.6f}",
    ]  # fmt: skip


def train_mace(plan: Plan, folder: Path) -> tuple[Ran, dict]:
    epochs = epochs_within(plan, folder, lambda trial: mace_command(plan, trial, TRIAL_EPOCHS, "trial_"))
    command = mace_command(plan, folder / "run", epochs)
    ran = run(command, folder / "train.log", plan.threads, 60 * plan.minutes, folder).checked(folder / "train.log")
    if ran.stopped:  # no more training, only the best checkpoint of each stage as a model
        second = bool([*(folder / "run").glob("checkpoints/*_swa.pt")])
        command = [*mace_command(plan, folder / "run", int(second), stage_two=0), "--restart_latest"]
        run(command, folder / "save.log", plan.threads, cwd=folder).checked(folder / "save.log")
    models = [*(folder / "run").glob("**/mace_stagetwo.model"), *(folder / "run").glob("**/mace.model"), *folder.glob("mace*.model")]
    shutil.copy(next(model for model in models if "compiled" not in model.name), folder / "best.model")
    return ran, {"planned_epochs": epochs, "stage_two_from": max(1, epochs * 3 // 4), "kept": models[0].stem}


def nequip_command(plan: Plan, folder: Path, epochs: int, prefix: str = "") -> list:
    return [
        program("nequip", "nequip-train"), "-cp", HERE, "-cn", "peers-nequip", f"epochs={epochs}", f"hydra.run.dir={folder}",
        f"train_file={plan.folder / f'{prefix}train.extxyz'}", f"valid_file={plan.folder / f'{prefix}valid.extxyz'}",
    ]  # fmt: skip


def train_nequip(plan: Plan, folder: Path) -> tuple[Ran, dict]:
    epochs = epochs_within(plan, folder, lambda trial: nequip_command(plan, trial, TRIAL_EPOCHS, "trial_"))
    command = nequip_command(plan, folder / "run", epochs)
    ran = run(command, folder / "train.log", plan.threads, 60 * plan.minutes, folder).checked(folder / "train.log")
    shutil.copy(folder / "run" / "best.ckpt", folder / "best.ckpt")
    compiled = folder / "best.nequip.pt2"
    options = ["--device", "cpu", "--mode", "aotinductor", "--target", "ase"]
    done = run([program("nequip", "nequip-compile"), folder / "best.ckpt", compiled, *options], folder / "compile.log", 1, 420, folder)
    return ran, {"planned_epochs": epochs, "compiled": compiled.exists() and not done.status, "compile_seconds": round(done.seconds)}


def epochs_within(plan: Plan, folder: Path, command: Callable[[Path], list]) -> int:
    """As many epochs as a trial on every ninth frame promises for the time."""
    trial = run(command(folder / "trial"), folder / "trial.log", plan.threads, cwd=folder).checked(folder / "trial.log")
    an_epoch = TRIAL_STRIDE * trial.seconds_an_epoch
    start = trial.epochs[0] - trial.seconds_an_epoch
    epochs = max(1, int(SHARE * (60 * plan.minutes - start) / an_epoch))
    print(f"{folder.name}: {start:.0f} s to start, {an_epoch:.1f} s an epoch: {epochs} epochs in {plan.minutes:g} minutes", flush=True)
    return epochs


def train_densnet(plan: Plan, folder: Path) -> tuple[Ran, dict]:
    """Steps in proportion to the time; if it is over too soon, the best weights so far, by the same command with no steps to go."""
    files, text = prepare(plan)["files"], plan.settings.read_text()
    scaled = re.sub(r"(?m)^steps = (\d+)", lambda m: f"steps = {round(int(m[1]) * plan.minutes / 60)}", text)
    scaled = scaled.replace("[train]\n", f"[train]\nthreads = {plan.threads}\n")
    settings = folder / "settings.toml"
    settings.write_text(scaled)
    same = [(s.validation_fraction, s.seed) for s in map(train_settings, (settings, SHIPPED))]
    if same[0] != same[1]:
        sys.exit(f"{plan.settings}: `validation_fraction` and `seed` must be those of {SHIPPED}")
    command = [sys.executable, "-m", "densnet.cli", "train", *files, "--settings", settings, "--out", folder / "run"]
    ran = run(command, folder / "train.log", plan.threads, 60 * plan.minutes).checked(folder / "train.log")
    if ran.stopped:
        settings.write_text(cut_short(scaled, folder / "run"))
        run(command, folder / "save.log", plan.threads).checked(folder / "save.log")
        settings.write_text(scaled)
    shutil.copy(folder / "run" / "model.safetensors", folder / "best.safetensors")
    return ran, {"steps": dict(zip(("density", "points", "energy"), map(int, re.findall(r"(?m)^steps = (\d+)", scaled))))}


def cut_short(settings: str, run: Path) -> str:
    """``settings`` (TOML) with no step to go: the phase under way ends, those that have not begun are left out."""
    for name in PHASES:
        if not (run / f"train-{name}.done").exists():
            steps = int((run / f"train-{name}.state").exists())
            if f"[train.{name}]" not in settings:
                settings += f"\n[train.{name}]\nsteps = 0\n"
            settings = re.sub(rf"(?ms)^(\[train\.{name}\](?:(?!^\[).)*?^steps = )\d+", rf"\g<1>{steps}", settings)
    return settings


def densnet_rate(folder: Path, batch: int = 16) -> float:
    """Frames a second in the energy phase, from its log; not a number if it was not reached."""
    log = folder / "run" / "training.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    energy = [line for line in lines if line["phase"] == "energy"]
    return batch * energy[-1]["step"] / energy[-1]["seconds"] if energy else float("nan")


TRAIN = {"mace": train_mace, "nequip": train_nequip, "densnet": train_densnet}
BEST = {"mace": "best.model", "nequip": "best.ckpt", "densnet": "best.safetensors"}


def train(peer: str, plan: Plan) -> dict:
    folder = plan.folder / peer
    record = folder / "train.json"
    if record.exists():
        return json.loads(record.read_text())
    for part in ("run", "trial"):
        shutil.rmtree(folder / part, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    ran, about = TRAIN[peer](plan, folder)
    count = prepare(plan)["frames"]["train"]
    rate = densnet_rate(folder) if peer == "densnet" else count / ran.seconds_an_epoch
    found = {"minutes_used": round(ran.seconds / 60, 2), "stopped": ran.stopped, "epochs": len(ran.epochs), **about}
    found |= {"frames_per_s": rate, "memory_mb": round(ran.memory_mb)}
    record.write_text(json.dumps(found))
    return found


# ----------------------------------------------------------------------------------------------------------------------- judging


def judge(peer: str, plan: Plan) -> dict:
    """What peers_judge.py says of the best checkpoint."""
    folder = plan.folder / peer
    trained = train(peer, plan)
    compiled = {"mace": None, "nequip": folder / "best.nequip.pt2" if trained.get("compiled") else None, "densnet": "own"}[peer]
    python = sys.executable if peer == "densnet" else program(peer, "python")
    command = [python, HERE / "peers_judge.py", peer, folder / BEST[peer], *(plan.folder / f"{name}.extxyz" for name in TESTS)]
    run([*command, *(["--compiled", compiled] if compiled else [])], folder / "judge.log", 1).checked(folder / "judge.log")
    last = (folder / "judge.log").read_text().splitlines()[-1]
    return json.loads(last[last.index("{") :])


def result(peer: str, plan: Plan) -> dict:
    """The peer's line in results.jsonl, there already or new."""
    file = RUNS / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if known := [line for line in lines if (line["peer"], line["plan"]) == (peer, plan.folder.name)]:
        return known[-1]
    print(f"{peer}: training", flush=True)
    trained = train(peer, plan)
    print(f"{peer}: judging", flush=True)
    found = {"peer": peer, "plan": plan.folder.name, "machine": machine_line(), "train": trained, "judge": judge(peer, plan)}
    with file.open("a") as out:
        out.write(json.dumps(found) + "\n")
    return found


ROWS: tuple[tuple[str, Callable[[dict], float | str]], ...] = (
    ("parameters, thousands", lambda r: r["judge"]["parameters"] / 1000),
    ("energy MAE 300 K, meV a molecule", lambda r: r["judge"]["errors"][TESTS[0]]["energy_mae_meV"]),
    ("energy MAE 500 K, meV a molecule", lambda r: r["judge"]["errors"][TESTS[1]]["energy_mae_meV"]),
    ("force MAE 300 K, meV/A", lambda r: r["judge"]["errors"][TESTS[0]]["force_mae_meV_per_A"]),
    ("force MAE 500 K, meV/A", lambda r: r["judge"]["errors"][TESTS[1]]["force_mae_meV_per_A"]),
    ("energy + forces, ms", lambda r: r["judge"]["model_ms"]),
    ("the same as ASE calculator, ms", lambda r: r["judge"]["ase_ms"]),
    ("compiled, ms", lambda r: r["judge"].get("compiled_model_ms", "-")),
    ("compiled, as ASE calculator, ms", lambda r: r["judge"].get("compiled_ase_ms", "-")),
    ("training, frames/s", lambda r: r["train"]["frames_per_s"]),
    ("epochs (densnet: steps)", lambda r: "+".join(map(str, r["train"].get("steps", {"": r["train"]["epochs"]}).values()))),
    ("minutes used", lambda r: f"{r['train']['minutes_used']:.1f}{' (stopped)' if r['train']['stopped'] else ''}"),
    ("memory of training, MB", lambda r: str(r["train"]["memory_mb"])),
)


def table(results: list[dict]) -> Table:
    """A column for each peer."""
    return Table(["", *(r["peer"] for r in results)], [[title, *(value(r) for r in results)] for title, value in ROWS])


def report(results: list[dict], plan: Plan) -> str:
    """Hardware, settings, versions, table."""
    counts = prepare(plan)["frames"]
    tests = " and ".join(f"{counts[name]} of {name}" for name in TESTS)
    lines = [
        f"{results[0]['machine']}; {plan.minutes:g} minutes on {plan.threads} threads to train;",
        f"{counts['train']} training, {counts['valid']} validation frames of 500 K; test frames: {tests}; float32;",
        "times: median CPU ms of 100 calls, one ethanol, one thread; settings: benchmarks/peers-mace.yaml, peers-nequip.yaml,",
        f"{plan.settings.name}; " + "; ".join(f"{r['peer']}: {r['judge']['versions']}" for r in results),
        "",
        table(results).markdown(),
    ]
    return "\n".join(lines)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--peers", nargs="+", choices=tuple(TRAIN), default=list(TRAIN))
    options.add_argument("--minutes", type=float, default=60, help="wall time of each training")
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--frames", type=int, default=0, help="use only so many frames to train and validate; 0 = all")
    options.add_argument("--densnet-settings", type=Path, default=HERE / "peers-densnet.toml", help="its steps are for 60 minutes")
    chosen = options.parse_args()
    plan = Plan(chosen.minutes, chosen.threads, chosen.frames, chosen.densnet_settings.resolve())
    prepare(plan)
    results = [result(peer, plan) for peer in chosen.peers]
    print(report(results, plan))
    if chosen.record:
        record("peers", {plan.folder.name: table(results)}, vars(chosen))


if __name__ == "__main__":
    main()
