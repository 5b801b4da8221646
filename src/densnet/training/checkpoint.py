"""A training's folder: whose it is, and the state of an unfinished run, exact to the bit, written atomically, without pickle.

training.json       what is trained on what; another training is refused
train-PHASE.state   of the phase under way        train-PHASE.done   both networks after a phase
training.jsonl      the log, a line a validation
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.optim import Optimizer

from densnet import files
from densnet.errors import DensnetError
from densnet.model.predictor import Predictor
from densnet.training.examples import Example
from densnet.training.settings import TrainSettings

PHASES = ("density", "points", "energy", "joint", "response")


class TrainingError(DensnetError):
    """A training that cannot begin or go on; the message says what to change."""


def claim(folder: Path, predictor: Predictor, frames: tuple[list[Example], list[Example]], settings: TrainSettings) -> None:
    """Make ``folder`` that of this training; `TrainingError` if it is another's.

    The same are frames (to train on, to validate), sizes, basis, the weights that a trained model starts from, and the settings, as far as
    they have come to bear: a phase under way may be made longer or shorter, later ones changed.
    """
    new = {
        "frames": _hash(t for part in frames for e in part for t in (e.molecule.positions, e.properties.energy)),
        "validation": len(frames[1]),
        "model": {**predictor.settings.deciding(), "basis": predictor.basis.fingerprint},
        "start": _hash(predictor.state_dict().values()) if predictor.provenance else None,
        "train": settings.deciding(),
    }
    path = folder / "training.json"
    if begun := [phase for phase in PHASES if any(folder.glob(f"train-{phase}.[sd]*"))]:
        old = files.read_json(path) if path.exists() else {}
        free = {f"train.{phase}." for phase in PHASES if phase not in begun}
        free |= {f"train.{phase}.steps" for phase in begun if not (folder / f"train-{phase}.done").exists()}
        before, now = (dict(_leaves(content)) for content in (old, new))
        changed = [k for k in sorted({**before, **now}) if before.get(k) != now.get(k) and not k.startswith(tuple(free))]
        if changed:
            what = "; ".join(f"{k} was {before.get(k)!r}, is now {now.get(k)!r}" for k in changed[:3])
            raise TrainingError(f"{folder} contains another training ({what}). Choose another folder, or delete this one to start again.")
    files.write_json(path, new)


def _hash(tensors: Iterable[Tensor]) -> str:
    return files.sha256_of(tensor.detach().cpu().contiguous().numpy().tobytes() for tensor in tensors)[:16]


def _leaves(content: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


@dataclass(frozen=True)
class Run:
    """How far a phase has come: steps done, seconds spent, the best score and its averaged weights, validations since."""

    step: int = 0
    seconds: float = 0.0
    score: float = float("inf")
    stale: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    def after(self, step: int, seconds: float, score: float, average: dict[str, Tensor]) -> Run:
        """The run after a validation; its weights are kept if they are the best."""
        if score < self.score:
            return Run(step, seconds, score, 0, {name: t.clone() for name, t in average.items()})
        return Run(step, seconds, self.score, self.stale + 1, self.best)


def save(folder: Path, phase: str, run: Run, weights: dict[str, Tensor], average: dict[str, Tensor], optimiser: Optimizer) -> None:
    """Write ``train-PHASE.state``; the old one stays until the new one is whole."""
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        parts = {"weight": weight.detach(), "average": average[name], "best": run.best[name], **optimiser.state[weight]}
        tensors |= {f"{name}|{part}": torch.as_tensor(t).clone().contiguous() for part, t in parts.items()}
    header = {"step": run.step, "seconds": run.seconds, "score": run.score, "stale": run.stale}
    _write(folder / f"train-{phase}.state", tensors, header)


def resume(folder: Path, phase: str, weights: dict[str, Tensor], average: dict[str, Tensor], optimiser: Optimizer) -> Run:
    """Load what `save` wrote, if anything, into weights, average and optimiser; otherwise a fresh run."""
    path = folder / f"train-{phase}.state"
    if not path.exists():
        return Run(best={name: t.clone() for name, t in average.items()})
    tensors, header = _read(path)
    best = {}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[f"{name}|weight"])
            average[name].copy_(tensors[f"{name}|average"])
            best[name] = tensors[f"{name}|best"].to(weight.device)
            keys = (k for k in tensors if k.startswith(f"{name}|") and k.split("|")[1] not in ("weight", "average", "best"))
            optimiser.state[weight] = {k.split("|")[1]: tensors[k] for k in keys}
    return Run(header["step"], header["seconds"], header["score"], header["stale"], best)


def finish(folder: Path, phase: str, network: nn.Module) -> None:
    """Keep the network as it is after a phase; the phase's state is no longer needed."""
    _write(folder / f"train-{phase}.done", {n: t.detach().cpu().contiguous() for n, t in network.state_dict().items()}, {})
    (folder / f"train-{phase}.state").unlink(missing_ok=True)


def finished(folder: Path, phase: str, network: nn.Module) -> bool:
    """Whether the phase was finished before; its network is then loaded."""
    path = folder / f"train-{phase}.done"
    if not path.exists():
        return False
    tensors, _ = _read(path)
    network.load_state_dict(tensors)
    return True


def log(folder: Path, phase: str, run: Run, losses: dict[str, float], metrics: dict[str, float]) -> None:
    """Append one line to training.jsonl."""
    line = {"phase": phase, "step": run.step, "seconds": round(run.seconds, 2), "losses": losses, "metrics": metrics}
    with open(folder / "training.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _write(path: Path, tensors: dict[str, Tensor], header: dict) -> None:
    files.write_bytes(path, save_tensors(tensors, {"run": json.dumps(header)}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["run"])  # noqa: SIM118 (not a mapping)
