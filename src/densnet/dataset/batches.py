"""Splits by trajectory, never by frame, and how far test frames are from the training frames."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from densnet.dataset.dataset import Dataset, DatasetError
from densnet.molecules import Molecules

Unit = Literal["trajectory", "molecule"]
"""What a split keeps whole: a trajectory, or all frames of one formula."""


def split(dataset: Dataset, fractions: tuple[float, ...], seed: int, *, whole: Unit = "trajectory") -> list[Dataset]:
    """Parts that hold about ``fractions`` (positive, summing to 1) of the frames, no trajectory in two of them.

    Composition by composition and temperature by temperature, whole trajectories in an order drawn by ``seed`` go each to the part that
    is furthest behind its share, so that every part has its share of each. With ``whole`` = "molecule" no formula is in two of them:
    one part then tells how what was learned from another carries over to new molecules.
    Raises `DatasetError` if there are fewer trajectories, or formulas, than parts.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise DatasetError(f"`fractions` are {fractions} but must be positive and sum to 1.")
    members: dict[tuple[str, int], list[int]] = {}
    for i, name in enumerate(belongings(dataset, whole)):
        members.setdefault(name, []).append(i)
    if len(members) < len(fractions):
        raise DatasetError(_too_few(len(dataset), len(members), len(fractions), whole))
    strata: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for name in sorted(members):
        stratum = (name[0], str(dataset[members[name][0]].temperature)) if whole == "trajectory" else ("", "")
        strata.setdefault(stratum, []).append(name)
    parts: list[list[int]] = [[] for _ in fractions]
    generator = np.random.default_rng(seed)
    for own_names in strata.values():
        own = np.zeros(len(fractions))
        for index in generator.permutation(len(own_names)):
            behind = [(done / share, len(part) / share) for done, part, share in zip(own, parts, fractions)]
            target = behind.index(min(behind))
            parts[target] += members[own_names[index]]
            own[target] += len(members[own_names[index]])
    return [dataset.select(sorted(part)) for part in parts]


def belongings(dataset: Dataset, whole: Unit) -> list[tuple[str, int]]:
    """What each frame belongs to: its trajectory (formula, number), or its formula (and zero)."""
    return [name if whole == "trajectory" else (name[0], 0) for name in dataset.trajectories]


def _too_few(frames: int, units: int, parts: int, whole: Unit) -> str:
    if whole == "molecule":
        return f"{frames} frames of {units} molecules cannot be split into {parts} parts, since a molecule stays whole; label more of them."
    return (
        f"{frames} frames of {units} trajectories cannot be split into {parts} parts, since a trajectory stays whole; "
        "label frames of more trajectories, or number them (`trajectory=...` in the comment line of an extxyz file)."
    )


def hold_out(dataset: Dataset, trajectories: set[int]) -> tuple[Dataset, Dataset]:
    """``dataset`` without and with the frames of these ``trajectories`` (numbers, of whichever molecule)."""
    if unknown := trajectories - {number for _, number in dataset.trajectories}:
        raise DatasetError(f"no frame is of trajectory {min(unknown)}; there are {sorted({n for _, n in dataset.trajectories})}.")
    apart = [number in trajectories for _, number in dataset.trajectories]
    return dataset.select(np.flatnonzero(np.logical_not(apart))), dataset.select(np.flatnonzero(apart))


def nearest(test: Dataset, training: Dataset) -> Tensor:
    """[test frames] distance of each test frame to the nearest training frame of the same composition, bohr; inf if there is none.

    The distance of two frames is the rms difference of their interatomic distances, sorted within each pair of elements: the same
    for every orientation and every numbering of the atoms.
    """
    known: dict[tuple, list[Tensor]] = {}
    for label in training:
        key, distances_of = fingerprint(label.properties.molecules)
        known.setdefault(key, []).append(distances_of)
    stacked = {key: torch.stack(fingerprints) for key, fingerprints in known.items()}
    distances = torch.full((len(test),), torch.inf, dtype=torch.float64)
    for i, label in enumerate(test):
        key, distances_of = fingerprint(label.properties.molecules)
        if key in stacked:
            distances[i] = (stacked[key] - distances_of).square().mean(1).min().sqrt()
    return distances


def fingerprint(molecule: Molecules) -> tuple[tuple, Tensor]:
    """Of a single molecule: its composition, and the interatomic distances ordered by pair of elements, then by length."""
    numbers = molecule.numbers.cpu()
    i, j = torch.triu_indices(len(numbers), len(numbers), 1)
    pair = torch.minimum(numbers[i], numbers[j]) * 1000 + torch.maximum(numbers[i], numbers[j])
    lengths = torch.pdist(molecule.positions.detach().cpu().double())
    order = np.lexsort((lengths.numpy(), pair.numpy()))
    return tuple(sorted(numbers.tolist())), lengths[torch.from_numpy(order)]
