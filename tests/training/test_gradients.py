"""The compiled gradient is the gradient, however many threads share it; other batches fall back on autograd."""

import pytest
import torch

from densnet.model.compiled import CompilationError
from densnet.model.density_network import DensityNetworkSettings
from densnet.model.energy_network import EnergyNetworkSettings
from densnet.model.predictor import ModelSettings
from densnet.training import fit, gradients
from densnet.training.sampling import Batches
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.stages import density_stage, energy_stage, joint_stage, points_stage
from densnet.training.statistics import initialise
from tests.training.labels import examples

SMALL = ModelSettings(
    density=DensityNetworkSettings(channels=8, inner_channels=8, head_channels=4, layers=1, l_max=1),
    energy=EnergyNetworkSettings(channels=8, inner_channels=8, density_channels=4, layers=1, l_max=1),
)


@pytest.fixture(scope="module")
def frames():
    made = examples(8)
    return made[:6], made[6:]


def stirred(frames):
    """A model whose every weight matters."""
    predictor = initialise(frames[0], SMALL, frames[0][0].basis).train().requires_grad_(True)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in predictor.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    return predictor


def test_compiled_gradient_is_the_gradient(frames, tmp_path):
    """Of batches of two molecules, cut into parts that hold both."""
    both = frames[0] + examples(6, peroxide=True)
    stage = energy_stage(stirred((both,)), both, frames[1], TrainSettings(points_per_frame=50))
    weights = {name: w for name, w in stage.network.named_parameters() if w.requires_grad}
    announced, batches = [], Batches(stage.kinds, 4, seed=1)
    compiled = gradients.Compiled(stage, weights, stage.batch(batches.at(0), 0), batches.parts, announced.append, tmp_path)
    assert compiled.parts == 2
    for step in (1, 3):
        batch = stage.batch(batches.at(step), step)
        losses, slopes = gradients.by_autograd(stage, weights)(batch)
        found, own = compiled(batch)
        assert {n: float(v) for n, v in found.items()} == pytest.approx({n: float(v) for n, v in losses.items()}, rel=1e-5)
        for name, one, other in zip(weights, slopes, own, strict=True):
            assert (one is None) == (other is None), name
            assert one is None or torch.allclose(one, other, rtol=1e-3, atol=1e-5 * float(one.abs().max())), name
        with torch.no_grad():  # the library holds no weight
            for weight in weights.values():
                weight.mul_(1.01)
    gradients.Compiled(stage, weights, stage.batch(batches.at(2), 0), 2, announced.append, tmp_path)
    assert announced == ["compiling"]  # the second time from disk, whatever the weights


@pytest.mark.parametrize("make", [density_stage, points_stage, energy_stage, joint_stage])
def test_losses_are_means_over_equal_parts(make, frames):
    """What allows to share a batch among threads."""
    stage = make(stirred(frames), *frames, TrainSettings(points_per_frame=100_000))
    whole, *parts = (
        {name: loss.item() for name, loss in stage.loss(stage.batch(indices, 0)).items()} for indices in ([0, 1, 2, 3], [0, 1], [2, 3])
    )
    for name, loss in whole.items():
        assert loss == pytest.approx(sum(part[name] for part in parts) / 2, rel=1e-4)


def test_autograd_where_compiling_does_not_pay_or_fails(frames, monkeypatch):
    settings = TrainSettings()
    stage = points_stage(stirred(frames), *frames, settings)
    weights = dict(stage.network.named_parameters())
    batch, batches = stage.batch([0, 1], 0), Batches(stage.kinds, 2, settings.seed)

    class Failing:
        def __init__(self, *_):
            raise CompilationError("no disk")

    monkeypatch.setattr(fit, "Compiled", Failing)
    said = []
    for steps, plan in ((fit.COMPILED_FROM - 1, settings), (fit.COMPILED_FROM, settings.model_copy(update={"compile": False}))):
        losses, _ = fit.gradients_of(stage, batches, weights, StageSettings(steps=steps, batch=2), plan, said.append)(batch)
        assert said == [] and float(losses["density"]) > 0
    plan = StageSettings(steps=fit.COMPILED_FROM, batch=2)
    losses, _ = fit.gradients_of(stage, batches, weights, plan, settings, said.append)(batch)
    assert said == ["no disk"] and float(losses["density"]) > 0
