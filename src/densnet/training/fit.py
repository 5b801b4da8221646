"""The training loop, read from top to bottom: density in its basis, density in space, then energy and forces on the frozen density."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor, nn

from densnet.model.compiled import compiler_found
from densnet.model.library import LibraryError
from densnet.model.predictor import ALL_PAIRS_UP_TO, Predictor
from densnet.threads import one_thread
from densnet.training import checkpoint, ranks
from densnet.training.checkpoint import TrainingError
from densnet.training.examples import Batch, Example
from densnet.training.gradients import Compiled, Gradients, Recorded, by_autograd
from densnet.training.optimiser import Soap
from densnet.training.response import response_stage
from densnet.training.sampling import Batches
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.stages import Stage, density_stage, energy_stage, joint_stage, points_stage


@dataclass(frozen=True)
class Moment:
    """What a step reports: the phase, the step out of how many, the losses by name, validation metrics when there are some.

    ``note``: what else is going on.
    """

    phase: str
    step: int
    steps: int
    seconds: float
    losses: dict[str, float]
    metrics: dict[str, float]
    note: str = ""


Report = Callable[[Moment], None]


@one_thread()
def train(
    predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings, folder: Path,
    report: Report = lambda moment: None,
) -> Predictor:  # fmt: skip
    """Train the networks of ``predictor``, new (`initialise`) or trained before; it gets a third one where there is a phase for it.

    ``folder``, made if missing, keeps a log (training.jsonl) and the state from which an interrupted run goes on exactly. Raises
    `TrainingError` if it is that of another training, or if a phase cannot learn from where the model is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if ranks.first():
        checkpoint.claim(folder, predictor, (training, validation), settings)
    validation = sorted(validation, key=lambda example: len(example.molecule.numbers))  # a batch costs its largest molecule
    if settings.changes_energies:
        predictor.uncertainty = None  # that of other weights
    predictor = predictor.to(settings.place).train().requires_grad_(True)
    on_frozen = partial(energy_stage, folder=folder)
    makers: dict[str, Callable[..., Stage]] = {
        "density": density_stage,
        "points": points_stage,
        "energy": on_frozen,
        "joint": joint_stage,
        "response": response_stage,
    }
    for phase, make in makers.items():
        plan: StageSettings = getattr(settings, phase)
        if phase == "response" and plan.steps and predictor.response_network is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                predictor.add_response_network(predictor.settings.response)
        if plan.steps and not checkpoint.finished(folder, phase, predictor):
            if phase == "density" and predictor.density_network.flexed:
                raise TrainingError("the model has learned exponents, which this phase takes as they were: set `train.density.steps` to 0.")
            stage = make(predictor, training, validation, settings)
            optimise(stage, plan, settings, folder, report)
            if ranks.first():
                checkpoint.finish(folder, phase, predictor)
    return predictor.eval()


def optimise(stage: Stage, plan: StageSettings, settings: TrainSettings, folder: Path, report: Report) -> None:
    """Minimise ``stage.loss`` by `Soap`, with other processes where there are some; the best averaged weights are left in its network."""
    batches = Batches(stage.kinds, plan.batch, settings.seed)
    stage = ranks.shared(stage, batches)
    weights: dict[str, Tensor] = {name: p for name, p in stage.network.named_parameters() if p.requires_grad}
    average = {name: p.detach().clone() for name, p in weights.items()}
    optimiser = Soap(weights.values(), lr=plan.learning_rate, threads=settings.cores)
    run = checkpoint.resume(folder, stage.name, weights, average, optimiser)
    ranks.alike(stage.network)

    def announce(note: str) -> None:
        report(Moment(stage.name, run.step, plan.steps, run.seconds, {}, {}, note))

    gradients = ranks.summed(gradients_of(stage, batches, weights, plan, settings, announce))
    began = time.monotonic() - run.seconds
    for step, batch in ahead(lambda step: stage.batch(batches.at(step), step), range(run.step, plan.steps)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, plan)
        losses, slopes = gradients(batch)
        for weight, slope in zip(weights.values(), slopes, strict=True):
            weight.grad = slope
        nn.utils.clip_grad_norm_(weights.values(), plan.clip)
        optimiser.step()
        decay = min(plan.average, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(average.values()), [p.detach() for p in weights.values()], 1 - decay)
        metrics: dict[str, float] = {}
        last = step + 1 == plan.steps
        if last or (step + 1) % plan.validate_every == 0:
            metrics = ranks.judged(lambda: validated(stage, weights, average))
            if not math.isfinite(metrics["score"]):
                remedy = f"lower its `learning_rate` ({plan.learning_rate:g})"
                raise TrainingError(f"phase {stage.name!r} diverged before step {step + 1}; {remedy}.")
            run = run.after(step + 1, time.monotonic() - began, metrics["score"], average)
            if ranks.first():
                checkpoint.save(folder, stage.name, run, weights, average, optimiser)
                checkpoint.log(folder, stage.name, run, {n: v.item() for n, v in losses.items()}, metrics)
        if metrics or step % 10 == 0:
            report(Moment(stage.name, step + 1, plan.steps, time.monotonic() - began, {n: v.item() for n, v in losses.items()}, metrics))
        if plan.patience and run.stale >= plan.patience:
            break
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(run.best[name])


def ahead(make: Callable[[int], Batch], steps: Sequence[int]) -> Iterator[tuple[int, Batch]]:
    """(step, its batch) for all ``steps``; a thread reads the next one meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        coming = [reader.submit(make, step) for step in steps[:1]]
        for step, following in zip_longest(steps, steps[1:]):
            batch = coming.pop().result()
            if following is not None:
                coming.append(reader.submit(make, following))
            yield step, batch


COMPILED_FROM = 1000
"""Steps of a phase for which compiling pays."""


def gradients_of(
    stage: Stage, batches: Batches, weights: dict[str, Tensor], plan: StageSettings, settings: TrainSettings,
    announce: Callable[[str], None],
) -> Gradients:  # fmt: skip
    """Compiled, on a GPU recorded, where that is wanted, possible and pays; if compiling fails, `by_autograd` does the same."""
    eager, on_gpu = by_autograd(stage, weights), settings.device == "cuda"
    own, uneven = divmod(batches.parts, ranks.count())
    possible = settings.compile and stage.compiles and batches.alike and not uneven and (on_gpu or compiler_found())
    if not possible or plan.steps < COMPILED_FROM:
        return eager
    like = stage.batch(batches.at(0), 0)
    if int(like.molecules.sizes.max()) > ALL_PAIRS_UP_TO:  # their neighbours change from frame to frame
        return eager
    if on_gpu:
        return Recorded(stage, weights, like)
    parts = max(n for n in range(1, settings.cores + 1) if own % n == 0)
    try:
        return Compiled(stage, weights, like, parts, announce)
    except LibraryError as error:
        announce(str(error))
        return eager


def learning_rate(step: int, plan: StageSettings) -> float:
    """Linear warm-up, then a cosine from the full rate to 1 % of it at the last step."""
    if step < plan.warmup:
        return plan.learning_rate * (step + 1) / plan.warmup
    progress = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def validated(stage: Stage, weights: dict[str, Tensor], average: dict[str, Tensor]) -> dict[str, float]:
    """The stage's validation metrics with the averaged weights in place of the current ones."""
    kept = {name: p.detach().clone() for name, p in weights.items()}
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(average[name])
    metrics = stage.validate()
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(kept[name])
    return metrics
