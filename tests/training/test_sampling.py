"""Batches are epochs of permutations, and all of one composition where that is possible."""

import pytest

from densnet.training.sampling import Batches

A, B, C = (1, 1), (8, 1, 1), (6, 1, 1, 1, 1)


def test_batches_are_epochs_of_a_permutation():
    one, other = Batches((A,) * 12, 3, seed=1), Batches((A,) * 12, 3, seed=2)
    seen = sum((one.at(step) for step in range(4)), [])
    assert sorted(seen) == list(range(12)) and seen != sum((one.at(step) for step in range(4, 8)), [])
    assert one.at(7) == one.at(7) != other.at(7)
    assert len(Batches((A,) * 12, 64, seed=1).at(0)) == 12
    assert one.alike and one.parts == 3


def test_every_batch_has_its_share_of_each_composition():
    kinds = (A, B, A, B, A, A, C, A, A, B, A, A)  # 8, 3 and 1 frames
    batches = Batches(kinds, 6, seed=3)
    assert batches.shares == [4, 1, 1] and batches.alike and batches.parts == 1
    rows = [[kinds[i] for i in batches.at(step)] for step in range(5)]
    assert rows == [[A, A, A, A, B, C]] * 5
    of_first = [i for step in range(2) for i in batches.at(step) if kinds[i] == A]
    assert sorted(of_first) == [i for i, kind in enumerate(kinds) if kind == A]  # an epoch of that composition


def test_parts_are_of_one_composition():
    kinds = (A,) * 10 + (B,) * 5
    batches = Batches(kinds, 6, seed=1)
    assert batches.shares == [4, 2] and batches.parts == 2
    assert [kinds[i] for i in batches.at(3)] == [A, A, B, A, A, B]
    assert len(set(batches.at(3))) == 6


def test_of_more_compositions_than_places_a_batch_holds_those_of_one_size():
    kinds = tuple((1,) * size for size in range(3, 24) for _ in range(7))
    batches = Batches(kinds, 5, seed=1)
    count, atoms = len(batches.cuts), sum(map(len, kinds))
    epochs = [[batches.at(step) for step in range(start, start + count)] for start in (0, count)]
    assert not batches.alike and count == len(kinds) // 5
    for epoch in epochs:
        assert sorted(sum(epoch, [])) == list(range(len(kinds)))
        for batch in epoch:
            sizes = [len(kinds[i]) for i in batch]
            assert sum(sizes) == pytest.approx(atoms / count, abs=23)
            assert max(sizes) - min(sizes) <= 4
    assert epochs[0] != epochs[1] and batches.at(3) == Batches(kinds, 5, seed=1).at(3) != Batches(kinds, 5, seed=2).at(3)


def test_a_batch_for_each_frame_is_never_empty():
    batches = Batches((A, B, (1,) * 40), 1, seed=1)
    assert sorted(sum((batches.at(step) for step in range(len(batches.cuts))), [])) == [0, 1, 2]
    assert all(batches.at(step) for step in range(6))
