"""Labels become examples: fitted where that is wanted, on points always, and nothing twice."""

from pathlib import Path

import pytest
import torch

from densnet.dataset import store
from densnet.dataset.dataset import Dataset, Label
from densnet.density.basis import DensityBasis
from densnet.model.predictor import ModelSettings
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.training.settings import TrainSettings
from densnet.training.statistics import initialise
from densnet.workflow import fitting
from densnet.workflow.preparation import prepare

WATER = Path(__file__).resolve().parents[2] / "labels" / "water" / "heldout_300K.001.h5"


@pytest.fixture(scope="module")
def labels():
    return store.read(WATER).select(range(6))


def test_some_frames_are_fitted_and_all_have_points(labels, tmp_path):
    basis = DensityBasis.built_in("small", [1, 8])
    some = prepare(labels, basis, tmp_path, points=300, processes=1, fits=2)
    assert [e.density is not None for e in some] == [True, False, False, True, False, False]
    assert all(len(e.points.weights) == 300 and e.metric is None for e in some)
    assert initialise(some, ModelSettings(), basis).element_of[8] >= 0

    kept = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    every = prepare(labels, basis, tmp_path, points=300, processes=1)
    assert {file: file.stat().st_mtime_ns for file in kept} == kept and len(list(tmp_path.iterdir())) == 6 + 4
    for one, other in zip(some, every):
        assert other.metric is not None and torch.equal(one.points.correction, other.points.correction)
        assert one.density is None or torch.equal(one.density.coefficients, other.density.coefficients)

    known = len(list(tmp_path.iterdir()))
    prepare(labels, basis, tmp_path, points=300, processes=1, fits=0)
    assert len(list(tmp_path.iterdir())) == known  # a file with a fit does for one without


def test_a_file_cut_short_is_made_again(labels, tmp_path):
    basis, first = DensityBasis.built_in("small", [1, 8]), labels.select([0])
    (before,) = prepare(first, basis, tmp_path, points=300, processes=1, fits=0)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    (after,) = prepare(first, basis, tmp_path, points=300, processes=1, fits=0)
    assert torch.equal(before.points.correction, after.points.correction)


@pytest.mark.parametrize(("compositions", "fits"), [(1, 64), (4, 64), (50, 10), (900, 1)])
def test_of_many_compositions_fewer_frames_each_are_fitted(compositions, fits, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fitting, "prepare", lambda *given, fits, **settings: asked.append(fits))
    chains = (Molecules.single([1] * size, torch.zeros(size, 3)) for size in range(1, compositions + 1))
    labels = Dataset(Label(Properties(molecule), 0, 300.0, "", "made up", {}) for molecule in chains)
    plan = TrainSettings(density={"steps": 0})
    fitting.examples_of((labels, labels), DensityBasis.built_in("small", [1]), tmp_path, 300, plan, print)
    assert asked == [fits, 0]
