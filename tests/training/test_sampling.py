"""Batches are epochs of permutations, and all of one composition where that is possible."""

from densnet.training.sampling import Batches


def test_batches_are_epochs_of_a_permutation():
    one, other = Batches((0,) * 12, 3, seed=1), Batches((0,) * 12, 3, seed=2)
    seen = sum((one.at(step) for step in range(4)), [])
    assert sorted(seen) == list(range(12)) and seen != sum((one.at(step) for step in range(4, 8)), [])
    assert one.at(7) == one.at(7) != other.at(7)
    assert len(Batches((0,) * 12, 64, seed=1).at(0)) == 12
    assert one.alike and one.parts == 3


def test_every_batch_has_its_share_of_each_composition():
    kinds = (0, 1, 0, 1, 0, 0, 2, 0, 0, 1, 0, 0)  # 8, 3 and 1 frames
    batches = Batches(kinds, 6, seed=3)
    assert batches.shares == [4, 1, 1] and batches.alike and batches.parts == 1
    rows = [[kinds[i] for i in batches.at(step)] for step in range(5)]
    assert rows == [[0, 0, 0, 0, 1, 2]] * 5
    of_first = [i for step in range(2) for i in batches.at(step) if kinds[i] == 0]
    assert sorted(of_first) == [i for i, kind in enumerate(kinds) if kind == 0]  # an epoch of that composition


def test_parts_are_of_one_composition():
    kinds = (0,) * 10 + (1,) * 5
    batches = Batches(kinds, 6, seed=1)
    assert batches.shares == [4, 2] and batches.parts == 2
    assert [kinds[i] for i in batches.at(3)] == [0, 0, 1, 0, 0, 1]
    assert len(set(batches.at(3))) == 6


def test_more_compositions_than_places():
    batches = Batches((0, 1, 2, 3, 0), 2, seed=1)
    assert not batches.alike
    assert sorted(batches.at(0) + batches.at(1)) != [] and len(set(batches.at(0))) == 2
