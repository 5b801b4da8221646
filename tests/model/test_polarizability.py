"""The polarizability alone is that of the whole response, to rounding."""

import pytest
import torch

from densnet.model.compiled import arithmetic, traced
from densnet.model.polarizability import Polarizability
from densnet.model.predictor import ResponseMissing
from densnet.molecules import Molecules
from densnet.properties import Properties
from tests.model.random_model import ETHANOL, random_predictor, scattered
from tests.model.test_response_network import responsive

PAIR = Molecules.concatenate([scattered(ETHANOL), scattered(ETHANOL, seed=1)])


@pytest.mark.parametrize("layers", [0, 1])
def test_it_is_that_of_the_response(layers):
    model = responsive(layers)
    found, whole = Polarizability(model)(PAIR), model.respond(PAIR)
    assert torch.allclose(found.polarizability, whole.polarizability, atol=1e-11) and float(whole.polarizability.abs().max()) > 0.1
    assert list(found.tensors()) == ["polarizability"] and not found.polarizability.requires_grad


def test_one_after_the_other_is_right():
    """What a model remembers of a network does not outlive it."""
    model = responsive()
    expected = model.respond(PAIR).polarizability
    for _ in range(3):
        assert torch.allclose(Polarizability(model)(PAIR).polarizability, expected, atol=1e-11)
    assert torch.equal(model.respond(PAIR).polarizability, expected)


def test_it_is_traced_for_machine_code():
    alpha = Polarizability(responsive())
    table = alpha.neighbours_of(PAIR)
    arguments = (PAIR.positions, table.sender, torch.zeros_like(table.sender, dtype=torch.bool))
    moved = PAIR.at(PAIR.positions + 0.1)
    (found,) = traced(arithmetic(alpha, PAIR, Polarizability.__call__), arguments)(moved.positions, *arguments[1:])
    assert torch.allclose(found, alpha(moved).polarizability, atol=1e-11)
    assert alpha.fingerprint() != alpha.predictor.fingerprint()


def test_a_model_that_has_not_learned_it_is_refused():
    with pytest.raises(ResponseMissing, match="densnet train --response"):
        Polarizability(random_predictor(basis="small"))


def test_properties_have_a_place_for_it():
    assert Properties.table()["polarizability"].outside[0] == "Angstrom^3"
