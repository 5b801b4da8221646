"""State of an unfinished training run on disk: exact to the bit, written atomically, without pickle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer


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
    tensors = {}
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
    temporary = path.with_suffix(".part")
    save_file(tensors, temporary, metadata={"run": json.dumps(header)})
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read(path: Path) -> tuple[dict[str, Tensor], dict]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["run"])  # noqa: SIM118 (not a mapping)
