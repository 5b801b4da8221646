"""A recorded model says what the model says; its handling of tensors is tested on the CPU with a recording that computes anew."""

from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch

from densnet.model.graphed import Graphed
from densnet.model.predictor import ModelError, load
from densnet.molecules import Molecules
from tests.model.random_model import ETHANOL, random_predictor, scattered


def properties(found):
    known, density = found.uncertainty, found.density
    return found.energy, found.forces, found.dipole, density.coefficients, density.exponents, known.energy, known.dipole, known.novelty


def same(found, expected, tolerance):
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(properties(found), properties(expected), strict=True))


def pair(seed: int) -> Molecules:
    one, other = (scattered(ETHANOL, seed=seed + k).positions for k in (0, 1))
    return Molecules.replicas(ETHANOL, torch.stack([one, other]))


@pytest.fixture
def anew(monkeypatch):
    """`Graphed` on the CPU: replaying is calling the model that was recorded."""
    for name, stand_in in (("graph", lambda graph: nullcontext()), ("stream", lambda stream: nullcontext())):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    for name in ("Stream", "current_stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, MagicMock())

    def make(predictor, like):
        graphed = Graphed(predictor, like)

        def replay():
            for target, value in zip(properties(graphed.found), properties(graphed.energy(graphed.like)), strict=True):
                target.copy_(value)

        graphed.graph.replay = replay
        return graphed

    return make


def test_results_are_those_of_the_molecules_asked_for_and_stay(anew):
    predictor, graphed = load("ethanol"), anew(load("ethanol"), pair(0))
    first, second = pair(2), pair(4)
    found = [graphed(molecules) for molecules in (first, second)]
    assert same(found[0], predictor(first), 1e-5) and same(found[1], predictor(second), 1e-5)
    assert found[0].molecules is first and found[0].density.molecules is first


def test_other_molecules_are_refused(anew):
    graphed = anew(load("ethanol"), pair(0))
    with pytest.raises(ModelError, match="recorded for 2 molecules of 18 atoms together, not for 1 of 9"):
        graphed(scattered(ETHANOL))


def test_large_molecules_are_refused():
    with pytest.raises(ModelError, match="up to 24 atoms, not 27; run without"):
        Graphed(random_predictor(), scattered(ETHANOL * 3, spread=6.0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_is_the_model():
    predictor = load("ethanol", "cuda")
    graphed = Graphed(predictor, pair(0).to("cuda"))
    for seed in (0, 2, 4):
        molecules = pair(seed).to("cuda")
        assert same(graphed(molecules), predictor(molecules), 1e-5)
