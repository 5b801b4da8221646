"""D4 is added to labels made without it and taken off those made with it; nothing else changes."""

from pathlib import Path

import pytest
import torch

from densnet.dataset import store
from densnet.dataset.dataset import Dataset, DatasetError
from densnet.reference.dispersion import d4
from densnet.workflow.dispersion import with_dispersion

LABELS = Path(__file__).resolve().parent.parent.parent / "labels"


@pytest.fixture(scope="module")
def water() -> Dataset:
    return store.read(LABELS / "water" / "own_300K.001.h5").select(range(3))


def test_added_and_taken_off_again(water):
    added = with_dispersion(water, "d4")
    assert added.level == {**water.level, "dispersion": "d4"}
    for before, after in zip(water, added, strict=True):
        known = d4(before.properties.molecules, "PBE")
        assert torch.equal(after.properties.energy, before.properties.energy + known.energy)
        assert torch.equal(after.properties.forces, before.properties.forces + known.forces)
        assert after.identity == before.identity and after.properties.orbitals is before.properties.orbitals
    back = with_dispersion(added, "none")
    assert back.level == water.level and all(label.properties.dispersion_energy is None for label in back)
    assert torch.allclose(back.properties().forces, water.properties().forces, rtol=0, atol=1e-14)


def test_as_labelled_changes_nothing(water):
    assert with_dispersion(water, "as labelled") is water


def test_an_unknown_word_or_an_unknown_functional_is_refused(water):
    with pytest.raises(DatasetError, match="'d3' is unknown; it must be one of 'as labelled', 'none', 'd4'"):
        with_dispersion(water, "d3")
    foreign = store.read(LABELS / "ethanol" / "start_500K.h5").select([0])
    for label in foreign:
        label.level["xc"] = "nonsense"
    with pytest.raises(DatasetError, match="no parameters for the functional 'nonsense'"):
        with_dispersion(foreign, "d4")


def test_committed_chains_hold_dft_and_d4_apart():
    (label, *_) = store.read(LABELS / "thiophenes" / "rings1_heldout.001.h5")
    known = d4(label.properties.molecules, "PBE")
    assert torch.allclose(label.properties.dispersion_energy, known.energy, atol=1e-10)
    assert torch.allclose(label.properties.dispersion_forces, known.forces, atol=1e-10)
