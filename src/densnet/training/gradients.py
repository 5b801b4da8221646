"""The gradient of a phase's loss: by autograd, or as machine code for batches of one composition, shared by several threads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor, nn

from densnet.model.compiled import build, library_folder, surroundings, traced
from densnet.model.library import Library
from densnet.training.examples import Batch
from densnet.training.stages import Losses, Stage

Gradients = Callable[[Batch], tuple[Losses, list[Tensor | None]]]
"""batch -> losses by name, and the slope of their sum along each weight (None: along which it does not change)."""


def by_autograd(stage: Stage, weights: dict[str, Tensor]) -> Gradients:
    """For any batch."""

    def gradients(batch: Batch) -> tuple[Losses, list[Tensor | None]]:
        losses = stage.loss(batch)
        slopes = torch.autograd.grad(sum(losses.values()), list(weights.values()), allow_unused=True)
        return {name: loss.detach() for name, loss in losses.items()}, list(slopes)

    return gradients


class Compiled:
    """`Gradients` as machine code, for batches of the composition of ``like``, cut into ``parts`` that as many threads work on.

    Every loss is a mean over molecules of the same composition, so the mean over equal parts is the whole. Forward pass, forces, and the
    derivatives of both along the weights are one straight list of operations, compiled once (about a minute, told by ``announce``) and
    kept on disk under a hash of that list. Raises `CompilationError`.
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
        if not path.exists():
            announce("compiling")
            build(graph, arguments, path)
        self.library = Library(path, runners=parts)
        self.pool = ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(1,))

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
        return [Batch(some, dict(zip(batch.tensors, column))) for some, column in zip(molecules, columns)]


def one_composition(batches: list[Batch]) -> bool:
    """Whether all molecules have the same atoms in the same order."""
    rows = [numbers for batch in batches for numbers in batch.molecules.numbers.split(batch.molecules.sizes.tolist())]
    return all(torch.equal(row, rows[0]) for row in rows)


def _arithmetic(stage: Stage, names: list[str], like: Batch, used: list[bool]) -> Callable[..., tuple[Tensor, ...]]:
    """(weights, positions, tensors of a batch) -> losses, slopes along those weights that are used: what is traced."""
    holder, molecules = _Loss(stage), like.molecules
    _ = molecules.sizes  # a number for each molecule, not part of what is traced

    def run(*given: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            weights = [w.detach().requires_grad_() for w in given[: len(names)]]
            positions, *tensors = given[len(names) :]
            batch = Batch(molecules.at(positions), dict(zip(like.tensors, tensors)))
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
    digest = hashlib.sha256(f"{graph.code}{surroundings()}".encode())
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            digest.update(getattr(graph, node.target).detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
