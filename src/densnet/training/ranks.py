"""Processes that train together, started by `torchrun`: of every step each takes its share of the frames, and all take the same step.

Every loss is a mean over molecules or atoms, so the loss of all frames is the sum of those of the shares, each weighted by its part of the
molecules or atoms, and so is its gradient: but for rounding the training is that of one process. Alone, nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from densnet.training.checkpoint import TrainingError
from densnet.training.examples import Batch, Share
from densnet.training.gradients import Gradients
from densnet.training.sampling import Batches
from densnet.training.stages import PER_ATOM, Losses, Stage


@contextmanager
def joined(device: Literal["cpu", "cuda"]) -> Iterator[None]:
    """Inside, this process works with those that `torchrun` started with it, if it did; on GPUs each has the one of its number.

    Raises `TrainingError` where there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if device == "cuda":
        number, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= found:
            raise TrainingError(f"there are {found} GPUs for {os.environ['LOCAL_WORLD_SIZE']} processes; set `--nproc-per-node {found}`.")
        torch.cuda.set_device(number)
    _together(dist.init_process_group, "nccl" if device == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Whether this is the one that validates, writes and speaks for all."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def after_the_first() -> Iterator[None]:
    """What is inside the first process does alone; then the others do it, who find the files that it has written."""
    if not first():
        _together(dist.barrier)
    yield
    if first() and count() > 1:
        _together(dist.barrier)


def shared(stage: Stage, batches: Batches) -> Stage:
    """``stage`` as one of the processes has it: its share of the frames of every batch, and losses that add up over all processes.

    Raises `TrainingError` where a batch has fewer frames than there are processes.
    """
    if count() == 1:
        return stage
    if batches.fewest < count():
        raise TrainingError(
            f"phase {stage.name!r} has steps of {batches.fewest} frame(s), too few for {count()} processes; "
            f"raise `train.{stage.name}.batch`, or start fewer."
        )

    def batch(indices: list[int], step: int) -> Batch:
        own = indices[len(indices) * dist.get_rank() // count() : len(indices) * (dist.get_rank() + 1) // count()]
        atoms, all_atoms = (sum(len(stage.kinds[i]) for i in some) for some in (own, indices))
        return replace(stage.batch(own, step), share=Share(len(own) / len(indices), atoms / all_atoms))

    def loss(batch: Batch) -> Losses:
        parts = {True: batch.share.atoms, False: batch.share.molecules}
        return {name: parts[name in PER_ATOM] * value for name, value in stage.loss(batch).items()}

    return replace(stage, batch=batch, loss=loss)


def summed(gradients: Gradients) -> Gradients:
    """``gradients`` added up over all processes."""
    if count() == 1:
        return gradients

    def of_all(batch: Batch) -> tuple[Losses, list[Tensor | None]]:
        losses, slopes = gradients(batch)
        totals = iter(_total([slope for slope in slopes if slope is not None]))
        values = _total([loss.double() for loss in losses.values()])
        return dict(zip(losses, values)), [None if slope is None else next(totals) for slope in slopes]

    return of_all


def alike(network: nn.Module) -> None:
    """Gives ``network`` the weights that the first process has."""
    if count() > 1:
        for tensor in network.state_dict().values():
            _together(dist.broadcast, tensor, 0)


def judged(validate: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The metrics of ``validate``, done by the first process; the others are told the score."""
    if count() == 1:
        return validate()
    metrics = validate() if first() else {"score": 0.0}
    score = torch.tensor(metrics["score"], dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    _together(dist.broadcast, score, 0)
    return metrics | {"score": float(score)}


def _total(tensors: list[Tensor]) -> list[Tensor]:
    """Each of ``tensors`` added up over all processes, in one message."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    _together(dist.all_reduce, flat)
    return [part.view_as(tensor) for part, tensor in zip(flat.split([t.numel() for t in tensors]), tensors)]


def _together(operation: Callable[..., object], *arguments: object) -> None:
    """An operation that all processes take part in."""
    try:
        operation(*arguments)
    except RuntimeError as error:
        remedy = "start all of them again, and they go on from the last validation."
        raise TrainingError(f"another process of this training has ended, or cannot be reached; {remedy}") from error
