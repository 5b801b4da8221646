"""Which labels a model learns from and which judge it: whole trajectories apart, known frames on the side that they were on."""

from __future__ import annotations

from collections.abc import Callable

from densnet.dataset.batches import Unit, belongings, split
from densnet.dataset.dataset import Dataset
from densnet.model.predictor import Predictor
from densnet.training.coverage import names
from densnet.training.settings import TrainSettings


def elements_of(labels: Dataset) -> list[int]:
    """Atomic numbers of all elements in ``labels``, ascending."""
    return sorted({z for label in labels for z in label.properties.molecules.numbers.tolist()})


def parted(labels: Dataset, plan: TrainSettings, former: Predictor | None, tell: Callable[[str], None]) -> tuple[Dataset, Dataset]:
    """``labels`` to train on and to validate; trajectories (or formulas) that ``former`` knows stay on the side that they were on.

    Validated on frames that it has learned from, a model would seem better than it is; ``tell`` says so if it kept no record of them.
    """
    record = None if former is None else former.provenance.get("frames")
    if record is None:
        if former is not None:
            tell("note: the model has no record of its training frames; some may be validation frames and make errors look smaller")
        return held_out(labels, plan.validation_fraction, plan.seed, plan.validation_by)
    keys = names(label.properties.molecules for label in labels)
    owners = belongings(labels, plan.validation_by)
    side = dict.fromkeys(owners, "")
    for owner, key in zip(owners, keys):
        for known in ("validation", "training"):  # the latter has the last word
            if key in record[known] and side[owner] != "training":
                side[owner] = known
    parts = {name: [i for i, owner in enumerate(owners) if side[owner] == name] for name in ("training", "validation", "")}
    old, watched, rest = (labels.select(part) for part in parts.values())
    if not len(watched) or len(set(belongings(rest, plan.validation_by))) > 1:
        new = held_out(rest if len(rest) else labels, plan.validation_fraction, plan.seed, plan.validation_by)
    else:
        new = rest, labels.select([])
    return old + new[0], watched + new[1]


def held_out(labels: Dataset, fraction: float, seed: int, whole: Unit = "trajectory") -> tuple[Dataset, Dataset]:
    """``labels`` without and with whole trajectories (or molecules) of about ``fraction`` of the frames; see `dataset.batches.split`."""
    known, apart = split(labels, (1 - fraction, fraction), seed, whole=whole)
    return known, apart
