"""The phase in which network 3 learns how the density answers a field: in real space and by its polarizability, on a frozen network 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from densnet.density.response import DensityResponse
from densnet.model.layers import calibrate
from densnet.model.predictor import Predictor
from densnet.training.checkpoint import TrainingError
from densnet.training.examples import Batch, Example, collate, compositions, with_points
from densnet.training.settings import TrainSettings
from densnet.training.stages import Losses, Stage, length, over_batches, sampled


@dataclass(frozen=True)
class Trunk:
    """What network 1 says of one example: its last features [atoms, components, channels], widths and exponents [atoms, slots]."""

    hidden: Tensor
    widths: Tensor
    exponents: Tensor


def response_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Network 3 against the exact response on sampled points and the polarizability, of the examples that hold them.

    Raises `TrainingError` if there are none among those to train on, or to validate.
    """
    network = predictor.response_network
    known, watched = ([e for e in part if "response" in e.prepared] for part in (training, validation))
    if not known or not watched:
        raise TrainingError(
            f"{len(known)} of {len(training)} frames to train on and {len(watched)} of {len(validation)} to validate hold a response to a "
            "field, and at least one of each is needed; add it by `densnet label --add-response`."
        )
    trunks = {id(e): trunk for e, trunk in zip([*known, *watched], frozen(predictor, [*known, *watched]))}

    def collated(examples: list[Example]) -> Batch:
        batch, own = collate(examples, "polarizability"), [trunks[id(e)] for e in examples]
        names = ("hidden", "widths", "exponents")
        return Batch(batch.molecules, batch.tensors | {name: torch.cat([getattr(t, name) for t in own]) for name in names})

    def predicted(batch: Batch) -> DensityResponse:
        geometry = predictor.geometry(batch.molecules)
        coefficients = network(batch["hidden"].transpose(0, 1), batch["widths"], geometry)
        return DensityResponse(batch.molecules, predictor.basis, coefficients, batch["exponents"])

    def errors(batch: Batch) -> tuple[Tensor, Tensor]:
        response = predicted(batch)
        return point_error(response, batch), tensor_error(response.polarizability(), batch["polarizability"])

    def loss(batch: Batch) -> Losses:
        space, alpha = errors(batch)
        return {"response": space.mean(), "polarizability": settings.polarizability_weight * alpha.mean()}

    def all_errors(examples: list[Example]) -> tuple[Tensor, ...]:
        batch = with_points(collated(examples), examples).to(predictor.device)
        response = predicted(batch)
        alpha = response.polarizability()
        target = batch["polarizability"].to(alpha.dtype)
        return point_error(response, batch), tensor_error(alpha, target), ((alpha + alpha.mT) / 2 - target).abs().mean((1, 2))

    def validate() -> dict[str, float]:
        space, alpha, components = over_batches(all_errors, watched, 8)
        score = float(space.mean() + settings.polarizability_weight * alpha.mean())
        return {"score": score, "response_error_percent": float(space.mean()), "polarizability_mae_au": float(components.mean())}

    def batch(indices: list[int], step: int) -> Batch:
        examples = [known[i] for i in indices]
        return sampled(collated(examples), examples, settings, step, indices).to(predictor.device)

    if not network.trained:
        some = collated(known[:32]).to(predictor.device)
        calibrate(network, lambda: predicted(some))
    return Stage("response", network, compositions(known), batch, loss, validate, compiles=False)


def frozen(predictor: Predictor, examples: list[Example], size: int = 32) -> list[Trunk]:
    """`Trunk` of each of ``examples``."""
    found = []
    with torch.no_grad():
        for start in range(0, len(examples), size):
            molecules = collate(examples[start : start + size]).molecules.to(predictor.device)
            geometry = predictor.geometry(molecules)
            hidden = predictor.density_network.hidden(geometry)
            widths = predictor.density_network.output(hidden, geometry).widths
            tensors = hidden.transpose(0, 1), widths, predictor.density_network.exponents_at(geometry, widths)
            found += [Trunk(*parts) for parts in zip(*(t.cpu().split(molecules.sizes.tolist()) for t in tensors))]
    return found


def point_error(predicted: DensityResponse, batch: Batch) -> Tensor:
    """[molecules] sum_x integral |d rho/dE_x - DFT| in percent of sum_x integral |DFT|, both on the points of a ``batch``."""
    values = predicted.values(batch["places"])
    exact, weights = batch["response"].to(values.dtype), batch["weights"].to(values.dtype).unsqueeze(2)
    return 100 * ((values - exact).abs() * weights).sum((1, 2)) / (exact.abs() * weights).sum((1, 2))


def tensor_error(predicted: Tensor, target: Tensor) -> Tensor:
    """[molecules] length of the error of a tensor [molecules, 3, 3] in percent of the length of the tensor."""
    target = target.to(predicted.dtype)
    return 100 * length((predicted - target).square().sum((1, 2)) / target.square().sum((1, 2)))
