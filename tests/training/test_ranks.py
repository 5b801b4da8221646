"""Two processes train as one does, to rounding; if one is killed the other ends with a sentence, and one alone goes on where they were."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from densnet.model.density_network import DensityNetworkSettings
from densnet.model.energy_network import EnergyNetworkSettings
from densnet.model.predictor import ModelSettings
from densnet.training import fit, ranks
from densnet.training.checkpoint import TrainingError
from densnet.training.gradients import by_autograd
from densnet.training.sampling import Batches
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.stages import density_stage, energy_stage, joint_stage, points_stage
from densnet.training.statistics import initialise
from tests.training.labels import examples

ROOT = Path(__file__).parents[2]
SMALL = ModelSettings(
    density=DensityNetworkSettings(channels=8, inner_channels=8, head_channels=4, layers=1, l_max=1),
    energy=EnergyNetworkSettings(channels=8, inner_channels=8, density_channels=4, layers=1, l_max=1),
)


def train(folder: Path, report=lambda moment: None) -> list[dict]:
    """The log of a training on water and hydrogen peroxide, five frames a step: two processes have unequal shares of frames and of atoms.

    In double precision and down the gradient: `Soap`, from its second step on, takes directions that only rounding decides.
    """
    frames = examples(6) + examples(5, seed=1, peroxide=True)
    phase = StageSettings(steps=4, batch=5, warmup=2, validate_every=2, learning_rate=1e-4)
    none = StageSettings(steps=0)
    plan = TrainSettings(density=none, points=phase, energy=phase, joint=phase, points_per_frame=100, threads=1)
    known = frames[:5] + frames[6:10]
    torch.manual_seed(1)
    model = initialise(known, SMALL, known[0].basis).double()
    with mock.patch.object(fit, "Soap", lambda weights, lr, threads: torch.optim.SGD(weights, lr)):
        fit.train(model, known, [frames[5], frames[10]], plan, folder, report)
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


SCRIPT = """
import os, pathlib, signal, sys
from densnet.training import ranks
from tests.training.test_ranks import train

def report(now):
    if now.phase == "joint" and now.step == 2 and not ranks.first():
        os.kill(os.getpid(), signal.SIGKILL)

with ranks.joined("cpu"):
    try:
        train(pathlib.Path(sys.argv[1]), report)
    except ranks.TrainingError as error:
        sys.exit(str(error))
"""


def test_two_processes_train_as_one_and_one_goes_on_where_they_were_killed(tmp_path):
    alone = train(tmp_path / "alone")
    (tmp_path / "script.py").write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    common = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # what torchrun tells its processes
    command, pair = [sys.executable, tmp_path / "script.py", tmp_path / "pair"], []
    for rank in "01":
        environment = os.environ | common | {"RANK": rank, "LOCAL_RANK": rank}
        pair.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=240)[1] for process in pair]
    assert [process.returncode for process in pair] == [1, -signal.SIGKILL], errors
    assert errors[0].strip().startswith("another process of this training has ended, or cannot be reached; start all of them again")
    resumed = train(tmp_path / "pair")
    assert [(line["phase"], line["step"]) for line in resumed] == [(line["phase"], line["step"]) for line in alone]
    assert len(alone) == 6
    for one, two in zip(alone, resumed):
        for part in ("losses", "metrics"):
            assert two[part] == pytest.approx(one[part], rel=1e-8), (one["phase"], one["step"])


@pytest.mark.parametrize("make", [density_stage, points_stage, energy_stage, joint_stage])
def test_shares_add_up_to_the_loss_and_its_gradient(make, monkeypatch):
    """Seven frames of two sizes, shared out between three processes."""
    frames = examples(4) + examples(3, seed=1, peroxide=True)
    predictor = initialise(frames, SMALL, frames[0].basis).train().requires_grad_(True)
    stage = make(predictor, frames, frames[:1], TrainSettings(points_per_frame=50))
    weights, batches = dict(stage.network.named_parameters()), Batches(stage.kinds, 7, seed=1)
    weights = {name: weight for name, weight in weights.items() if weight.requires_grad}
    losses, slopes = by_autograd(stage, weights)(stage.batch(batches.at(0), 3))
    monkeypatch.setattr(ranks, "count", lambda: 3)
    parts = []
    for rank in range(3):
        monkeypatch.setattr(ranks.dist, "get_rank", lambda rank=rank: rank)
        own = ranks.shared(stage, batches)
        parts.append(by_autograd(own, weights)(own.batch(batches.at(0), 3)))
    for name, loss in losses.items():
        assert sum(float(part[0][name]) for part in parts) == pytest.approx(float(loss), rel=1e-6), name
    for slope, *own in zip(slopes, *(part[1] for part in parts)):
        assert slope is None or torch.allclose(sum(own), slope, rtol=1e-4, atol=1e-5 * float(slope.abs().max()))


def test_a_step_with_fewer_frames_than_processes_is_refused(monkeypatch):
    frames = examples(2)
    stage = points_stage(initialise(frames, SMALL, frames[0].basis), frames, frames, TrainSettings())
    batches = Batches(stage.kinds, 16, seed=1)
    assert ranks.shared(stage, batches) is stage
    monkeypatch.setattr(ranks, "count", lambda: 3)
    with pytest.raises(TrainingError, match="phase 'points' has steps of 2 frame.s., too few for 3 processes; raise `train.points.batch`"):
        ranks.shared(stage, batches)
