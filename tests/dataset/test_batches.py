"""No trajectory is in two parts; distances to the training frames ignore orientation and numbering."""

from collections import Counter

import numpy as np
import pytest
import torch

from densnet.dataset.batches import hold_out, nearest, split
from densnet.dataset.dataset import Dataset, DatasetError, Label
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.workflow.evaluation import overlap

WATER = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.43, 1.11], [0.0, -1.43, 1.11]], dtype=torch.float64)


def label(trajectory: int, positions=WATER, numbers=(8, 1, 1)) -> Label:
    return Label(Properties(Molecules.single(list(numbers), positions)), trajectory, 300.0, "", "made here", {})


@pytest.fixture
def hundred() -> Dataset:
    return Dataset(label(int(t)) for t in np.random.default_rng(2).permutation(np.repeat(np.arange(20), 5)))


@pytest.mark.parametrize("seed", range(5))
def test_a_trajectory_is_in_one_part_only_and_every_frame_in_one(hundred, seed):
    parts = split(hundred, (0.7, 0.2, 0.1), seed)
    sets = [set(part.trajectories) for part in parts]
    assert sum(map(len, sets)) == 20 == len(set.union(*sets))
    assert [len(part) for part in parts] == pytest.approx([70, 20, 10], abs=5) and sum(map(len, parts)) == 100


def test_the_seed_decides(hundred):
    once, again, other = (split(hundred, (0.5, 0.5), seed)[0].trajectories for seed in (1, 1, 2))
    assert once == again != other


def test_trajectories_of_different_molecules_are_different():
    other = Dataset([label(0), label(0, WATER[:2], (9, 1))])
    assert len(set(other.trajectories)) == 2
    assert sorted(len(part) for part in split(other, (0.5, 0.5), 1)) == [1, 1]


def test_a_molecule_is_in_one_part_only_if_that_is_asked_for():
    many = Dataset(label(t, WATER[:2].repeat(size, 1), [1] * 2 * size) for size in range(1, 31) for t in range(4))
    parts = split(many, (0.9, 0.1), 3, whole="molecule")
    formulas = [{name for name, _ in part.trajectories} for part in parts]
    assert not set.intersection(*formulas) and len(set.union(*formulas)) == 30
    assert [len(part) for part in parts] == [108, 12]
    with pytest.raises(DatasetError, match="4 frames of 1 molecules cannot be split into 2"):
        split(many.select(range(4)), (0.5, 0.5), 1, whole="molecule")


def test_what_cannot_be_split_is_refused(hundred):
    with pytest.raises(DatasetError, match="of 1 trajectories cannot be split into 2"):
        split(Dataset([label(3)] * 10), (0.5, 0.5), 1)
    with pytest.raises(DatasetError, match="must be positive and sum to 1"):
        split(hundred, (0.5, 0.6), 1)
    with pytest.raises(DatasetError, match="no frame is of trajectory 77"):
        hold_out(hundred, {3, 77})


def test_trajectories_are_held_out_by_number(hundred):
    rest, apart = hold_out(hundred, {3, 7})
    assert Counter(label.trajectory for label in apart) == {3: 5, 7: 5} and len(rest) == 90


def test_distance_ignores_orientation_and_numbering_and_measures_bonds():
    turn = torch.linalg.qr(torch.from_numpy(np.random.default_rng(1).normal(size=(3, 3))))[0]
    turned = label(1, WATER[[2, 0, 1]] @ turn.T - 4.0, (1, 8, 1))
    longer = WATER.clone()
    longer[1] *= 1.1
    bond = WATER[1].norm()
    spread = (longer[1] - longer[2]).norm() - (WATER[1] - WATER[2]).norm()
    test = Dataset([turned, label(1, longer), label(1, WATER[:2], (9, 1))])
    expected = [0.0, float(((0.1 * bond) ** 2 + spread**2).div(3).sqrt()), torch.inf]
    assert nearest(test, Dataset([label(0)])).tolist() == pytest.approx(expected, abs=1e-12)


def test_where_there_is_no_nearest_nothing_is_told():
    assert set(overlap(Dataset([label(1, WATER[:2], (9, 1))]), Dataset([label(0)])).values()) == {None}
    assert set(overlap(Dataset([label(1)]), Dataset([label(0)])).values()) == {0.0}


def test_the_nearest_of_several_counts():
    known = Dataset([label(0, WATER * scale) for scale in (0.9, 1.02, 1.3)])
    assert torch.allclose(nearest(Dataset([label(1)]), known), nearest(Dataset([label(1)]), known.select([1])))
