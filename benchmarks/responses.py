"""Polarizabilities against the number of frames, and by a plain tensor head: python benchmarks/responses.py [--frames 50 100 200 291]

Ethanol, on the frozen features of the shipped model's network 1. `response`: network 3 as `densnet train --response` trains it. `tensor`: a
head that knows nothing of the density, alpha = sum_A a_A 1 + T_A, from a layer of messages and products and scalars (a) and l = 2 features
(T); it learns alpha alone, by four times as many steps, which takes about as long. Judged on the frames held out at 300 K. Smaller sets are
parts of larger ones; a training that is done is not repeated (OUT/NAME.json).
"""

from __future__ import annotations

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from functools import partial
from pathlib import Path

import torch
from ablations import SEED, picked
from experiment import Table, conclude, frames, machine_line, once, parser
from torch import Tensor, nn

from densnet import symmetry
from densnet.dataset.dataset import Dataset
from densnet.model.geometry import Geometry
from densnet.model.layers import Interaction, Level, Mix, Sizes, calibrate, scalars, silu
from densnet.model.predictor import Predictor, load
from densnet.model.response_network import AXES
from densnet.training import fit, objective
from densnet.training.examples import Batch, Example, collate, compositions
from densnet.training.response import Trunk, frozen, tensor_error
from densnet.training.settings import TrainSettings
from densnet.training.stages import Losses, Stage, over_batches
from densnet.workflow.preparation import prepare
from densnet.workflow.splits import parted

POINTS = 4000
TIMES = {"response": 1, "tensor": 4}
"""How many times the steps."""


class TensorHead(nn.Module):
    """alpha [molecules, 3, 3] from the last features of network 1: invariants and traceless tensors of the atoms, added up."""

    def __init__(self, predictor: Predictor, channels: int):
        super().__init__()
        density = predictor.settings.density
        sizes = Sizes(channels, density.radial_functions, len(predictor.basis.elements), predictor.density_network.neighbours)
        self.enter = Mix(density.l_max, density.channels, channels)
        self.layer = Interaction(density.l_max, density.l_max, density.l_max, channels, sizes)
        self.level = Level(density.l_max)
        self.hidden, self.mean = nn.Linear(channels, channels), nn.Linear(channels, 1)
        self.gates, self.rest = nn.Linear(channels, channels), nn.Linear(channels, 1, bias=False)
        order = list(AXES)
        table = torch.as_tensor(symmetry.coupling(1, 1, 2), dtype=torch.float32)[order][:, order]
        self.register_buffer("table", table)
        self.register_buffer("size", torch.ones(()))

    def forward(self, hidden: Tensor, geometry: Geometry, molecules) -> Tensor:
        h = self.level(self.layer(self.enter(hidden, geometry), geometry), geometry)
        known = silu(self.hidden(scalars(h)))
        of_two = self.rest(h[4:9] * torch.sigmoid(self.gates(known))).squeeze(2)
        whole = self.mean(known) * torch.eye(3).flatten() + (self.table @ of_two).permute(2, 0, 1).flatten(1)
        return self.size * molecules.total(whole).unflatten(1, (3, 3))


def tensor_stage(predictor: Predictor, head: TensorHead, training: list[Example], validation: list[Example]) -> Stage:
    """The head against alpha, in percent of it."""
    trunks = {id(e): trunk for e, trunk in zip([*training, *validation], frozen(predictor, [*training, *validation]))}

    def collated(examples: list[Example]) -> Batch:
        return with_features(collate(examples, "polarizability"), [trunks[id(e)] for e in examples])

    def predicted(batch: Batch) -> Tensor:
        return head(batch["hidden"].transpose(0, 1), predictor.geometry(batch.molecules), batch.molecules)

    def loss(batch: Batch) -> Losses:
        return {"polarizability": tensor_error(predicted(batch), batch["polarizability"]).mean()}

    def errors(examples: list[Example]) -> tuple[Tensor]:
        batch = collated(examples)
        return (tensor_error(predicted(batch), batch["polarizability"]),)

    def validate() -> dict[str, float]:
        return {"score": float(over_batches(errors, validation)[0].mean())}

    some = collated(training[:32])
    head.size.copy_(some["polarizability"].diagonal(dim1=1, dim2=2).mean() / (len(some["hidden"]) / some.molecules.count))
    calibrate(head, lambda: predicted(some))
    return Stage(
        "response", head, compositions(training), lambda indices, step: collated([training[i] for i in indices]), loss, validate, False
    )


def with_features(batch: Batch, trunks: list[Trunk]) -> Batch:
    """And the last features of network 1."""
    return Batch(batch.molecules, batch.tensors | {"hidden": torch.cat([trunk.hidden for trunk in trunks])})


def of_head(head: TensorHead, predictor: Predictor, test: Dataset) -> list[Tensor]:
    """alpha of each frame."""
    found = []
    with torch.no_grad():
        for label in test:
            geometry = predictor.geometry(label.properties.molecules)
            found.append(head(predictor.density_network.hidden(geometry), geometry, label.properties.molecules)[0])
    return found


def component_error(found: list[Tensor], test: Dataset) -> float:
    """Mean absolute error of a component, bohr^3."""
    return float(torch.stack([(a - label.properties.polarizability[0]).abs().mean() for a, label in zip(found, test)]).mean())


def result(reads: str, count: int, chosen: argparse.Namespace) -> dict:
    """Of one training."""
    predictor, test = load("ethanol"), frames("ethanol/heldout_300K")
    predictor.response_network = None  # one that ships is not gone on with
    test = test.select([k for k, label in enumerate(test) if label.properties.polarizability is not None])
    plan = TrainSettings.model_validate(
        {phase: {"steps": 0} for phase in ("density", "points", "energy", "joint")}
        | {"response": {"steps": chosen.steps * TIMES[reads], "average": 0.995}, "points_per_frame": 300, "threads": 1, "seed": SEED}
    )
    labels = frames("ethanol/training_500K")
    labels = labels.select([k for k, label in enumerate(labels) if label.properties.polarizability is not None])
    training, validation = parted(labels, plan, predictor, print)
    parts = [prepare(p, predictor.basis, chosen.examples, points=POINTS, fits=0) for p in (picked(training, count), validation)]
    folder = chosen.out / f"{reads}-{count}"
    began = time.process_time()
    if reads == "response":
        predictor = fit.train(predictor, *parts, plan, folder)
        seconds, known = time.process_time() - began, [label.properties for label in test]
        found = objective.evaluate(predictor, known, density_frames=chosen.density_frames, respond=predictor.respond).summary()
        return {"alpha": found["polarizability_mae_au"], "response": found["response_error_percent"], "seconds": seconds}
    torch.manual_seed(SEED)
    head = TensorHead(predictor, chosen.channels)
    folder.mkdir(parents=True, exist_ok=True)
    fit.optimise(tensor_stage(predictor, head, *parts), plan.response, plan, folder, lambda moment: None)
    return {"alpha": component_error(of_head(head, predictor, test), test), "response": None, "seconds": time.process_time() - began}


def main() -> None:
    """Train, judge, print."""
    options = parser(__doc__, "runs/responses")
    options.add_argument("--examples", type=Path, default=Path("runs/ethanol-response-examples"))
    options.add_argument("--frames", nargs="*", type=int, default=[50, 100, 200, 291])
    options.add_argument("--steps", type=int, default=1500)
    options.add_argument("--channels", type=int, default=48, help="of the tensor head")
    options.add_argument("--density-frames", type=int, default=10, help="frames on which the response is integrated")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    table = Table(["frames", "network 3: alpha, bohr^3", "response, %", "CPU min", "tensor head: alpha, bohr^3", "CPU min"], [])
    for count in chosen.frames:
        both = {name: once(chosen.out / f"{name}-{count}.json", partial(result, name, count, chosen)) for name in ("response", "tensor")}
        print(count, json.dumps(both), flush=True)
        own, head = both.values()
        table.rows.append([count, own["alpha"], own["response"], own["seconds"] / 60, head["alpha"], head["seconds"] / 60])
    conclude(chosen, "responses", {"frames": table})


if __name__ == "__main__":
    main()
