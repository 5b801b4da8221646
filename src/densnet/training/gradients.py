"""The gradient of a phase's loss: by autograd; for batches that are all alike as machine code shared by several threads, or as one
recording on a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from densnet.files import sha256
from densnet.model.compiled import build, library_folder, surroundings, traced
from densnet.model.graphed import WARM_UP
from densnet.model.library import Library
from densnet.training.examples import Batch
from densnet.training.stages import Losses, Stage

Gradients = Callable[[Batch], tuple[Losses, list[Tensor | None]]]
"""batch -> losses by name, and the slope of their sum along each weight (None: along which it does not change)."""


def by_autograd(stage: Stage, weights: dict[str, Tensor]) -> Gradients:
    """For any batch."""

    def gradients(batch: Batch) -> tuple[Losses, list[Tensor | None]]:
        losses = stage.loss(batch)
        slopes = torch.autograd.grad(cast(Tensor, sum(losses.values())), list(weights.values()), allow_unused=True)
        return {name: loss.detach() for name, loss in losses.items()}, list(slopes)

    return gradients


class Compiled:
    """`Gradients` as machine code, for batches of the composition of ``like``, cut into ``parts`` that as many threads work on.

    The parts are of one composition, too, and every loss is a mean over molecules or atoms, so the mean over the parts is the whole.
    Forward pass, forces, and the derivatives of both along the weights are one straight list of operations, compiled once (about a
    minute, told by ``announce``) and kept on disk under a hash of that list. Raises `CompilationError`.
    """

    def __init__(
        self, stage: Stage, weights: dict[str, Tensor], like: Batch, parts: int, announce: Callable[[str], None],
        folder: Path | None = None,
    ):  # fmt: skip
        self.weights, self.parts = weights, parts
        part = self._cut(like)[0]
        losses, slopes = by_autograd(stage, weights)(part)
        self.names, self.used = list(losses), [slope is not None for slope in slopes]
        arguments = self._arguments(part)
        with torch.no_grad():
            graph = traced(_arithmetic(stage, list(weights), part, self.used), arguments)
        path = (folder or library_folder()) / f"{_identity(graph)}.so"
        if not os.path.exists(path):
            announce("compiling")
            build(graph, arguments, path)
        self.library = Library(path, runners=parts)
        self.pool = ThreadPoolExecutor(parts)

    def __call__(self, batch: Batch) -> tuple[Losses, list[Tensor | None]]:
        found = list(self.pool.map(lambda part: self.library(*self._arguments(part)), self._cut(batch)))
        means = [sum(values) / self.parts for values in zip(*found)]
        slopes = iter(means[len(self.names) :])
        return dict(zip(self.names, means)), [next(slopes) if used else None for used in self.used]

    def _arguments(self, part: Batch) -> tuple[Tensor, ...]:
        return (*(w.detach() for w in self.weights.values()), part.molecules.positions, *part.tensors.values())

    def _cut(self, batch: Batch) -> list[Batch]:
        """The batch in equal parts."""
        molecules = batch.molecules.cut(self.parts)
        columns = zip(*(tensor.chunk(self.parts) for tensor in batch.tensors.values()))
        return [replace(batch, molecules=some, tensors=dict(zip(batch.tensors, column))) for some, column in zip(molecules, columns)]


class Recorded:
    """`Gradients` on a GPU as one CUDA graph, for batches of the composition of ``like``.

    The list of operations is that of `Compiled`; its kernels, thousands of them and each of little work, are launched together
    (https://docs.pytorch.org/docs/stable/notes/cuda.html). They read the weights where they are, and a copy of the batch.
    """

    def __init__(self, stage: Stage, weights: dict[str, Tensor], like: Batch):
        losses, slopes = by_autograd(stage, weights)(like)
        self.names, self.used = list(losses), [slope is not None for slope in slopes]
        self.given = [tensor.clone() for tensor in (like.molecules.positions, *like.tensors.values())]
        arguments = (*(w.detach() for w in weights.values()), *self.given)
        self.graph = torch.cuda.CUDAGraph()
        with torch.no_grad():
            operations = traced(_arithmetic(stage, list(weights), like, self.used), arguments)
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    operations(*arguments)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(self.graph):
                self.found = operations(*arguments)

    def __call__(self, batch: Batch) -> tuple[Losses, list[Tensor | None]]:
        for into, tensor in zip(self.given, (batch.molecules.positions, *batch.tensors.values()), strict=True):
            into.copy_(tensor)
        self.graph.replay()
        slopes = iter(self.found[len(self.names) :])
        losses = {name: loss.clone() for name, loss in zip(self.names, self.found)}
        return losses, [next(slopes).clone() if used else None for used in self.used]


def _arithmetic(stage: Stage, names: list[str], like: Batch, used: list[bool]) -> Callable[..., tuple[Tensor, ...]]:
    """(weights, positions, tensors of a batch) -> losses, slopes along those weights that are used: what is traced."""
    holder, molecules = _Loss(stage), like.molecules
    _ = molecules.sizes  # a number for each molecule, not part of what is traced

    def run(*given: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            weights = [w.detach().requires_grad_() for w in given[: len(names)]]
            positions, *tensors = given[len(names) :]
            batch = replace(like, molecules=molecules.at(positions), tensors=dict(zip(like.tensors, tensors)))
            losses = torch.func.functional_call(holder, {f"network.{name}": w for name, w in zip(names, weights)}, (batch,))
            learning = [w for w, known in zip(weights, used) if known]
            slopes = torch.autograd.grad(sum(losses.values()), learning)
        return tuple(t.detach() for t in (*losses.values(), *slopes))

    return run


class _Loss(nn.Module):
    """A phase's loss as a module, so that its network's weights can be exchanged for a call."""

    def __init__(self, stage: Stage):
        super().__init__()
        self.network, self.loss = stage.network, stage.loss

    def forward(self, batch: Batch) -> Losses:
        return self.loss(batch)


def _identity(graph: torch.fx.GraphModule) -> str:
    """Hash of the operations, of the constants in them, and of what turns them into machine code."""
    constants = (getattr(graph, node.target) for node in graph.graph.nodes if node.op == "get_attr")
    return sha256(f"{graph.code}{surroundings()}", *(t.detach().cpu().contiguous().numpy().tobytes() for t in constants))[:24]
