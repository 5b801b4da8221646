import json

import pytest
import torch

from densnet.density.basis import BUILT_IN, BasisError, DensityBasis

METHANOL = torch.tensor([6, 8, 1, 1, 1, 1])


@pytest.fixture
def basis():
    return DensityBasis.of("mine", {"H": [(1, 0.5), (0, 0.3), (0, 2.0)], "C": [(0, 9.0), (2, 1.0), (2, 0.4)]})


def test_rows_run_by_l_then_steepest_first_and_are_padded(basis):
    assert basis.counts == (2, 1, 2)
    assert basis.slots == ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1))
    assert basis.width == 2 + 3 + 10 and basis.l_max == 2
    exponents = basis.exponents(torch.tensor([6, 1]))
    assert exponents.dtype == torch.float64
    assert exponents.tolist() == [[9.0, 1.0, 1.0, 1.0, 0.4], [2.0, 0.3, 0.5, 1.0, 1.0]]
    assert basis.slot_mask(torch.tensor([6, 1])).tolist() == [[True, False, False, True, True], [True, True, True, False, False]]
    assert basis.mask(torch.tensor([6, 1])).sum(1).tolist() == [11, 5]
    assert basis.mask(torch.tensor([1]))[0, basis.block(1)].all()
    assert basis.column_slots().tolist() == [0, 1] + [2] * 3 + [3] * 5 + [4] * 5


def test_built_in_sets_grow():
    sizes = [DensityBasis.built_in(name, ["H", "C", "O"]).functions(torch.tensor([6, 6, 8] + [1] * 6)) for name in BUILT_IN]
    assert sizes[1] == 882 and sizes[0] < 0.7 * sizes[1] and 1.0 < sizes[2] / sizes[1] < 1.1 and sizes[3] > 1.2 * sizes[1]
    for name in BUILT_IN:
        assert set(DensityBasis.built_in(name).elements) == {1, 6, 7, 8, 9, 16, 17}


def test_restriction_keeps_the_functions():
    every, some = DensityBasis.built_in("default"), DensityBasis.built_in("default", ["O", 1, "C"])
    assert some.elements == (1, 6, 8) and some.width < every.width
    assert some.functions(METHANOL) == every.functions(METHANOL)
    assert some == every.restrict([8, 6, 1]) and some.fingerprint != every.fingerprint


def test_equality_and_fingerprint_see_functions_not_names(basis):
    twin = DensityBasis.of("another name", {"C": [(2, 0.4), (0, 9.0), (2, 1.0)], "H": [(0, 2.0), (0, 0.3), (1, 0.5)]})
    changed = DensityBasis.of("mine", {"H": [(1, 0.5), (0, 0.3), (0, 2.0)], "C": [(0, 9.0), (2, 1.0), (2, 0.4000001)]})
    assert twin == basis and twin.fingerprint == basis.fingerprint
    assert changed != basis and changed.fingerprint != basis.fingerprint


def test_plain_data_survive_json(basis):
    content = json.loads(json.dumps(basis.to_dict()))
    assert DensityBasis.from_dict(content) == basis
    content["elements"]["H"][0][0] *= 1.01
    with pytest.raises(BasisError, match="damaged"):
        DensityBasis.from_dict(content)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DensityBasis.built_in("huge"), "huge.*small, default, optimised, large"),
        (lambda: DensityBasis.built_in("small", ["Si"]), "Si.*covers H, C, N, O, F, S, Cl"),
        (lambda: DensityBasis.built_in("small", ["Xx"]), "Xx"),
        (lambda: DensityBasis.built_in("small", ["H"]).exponents(torch.tensor([1, 8])), "element O"),
        (lambda: DensityBasis.of("b", {"H": []}), "no function"),
        (lambda: DensityBasis.of("b", {"H": [(0, -1.0)]}), "exponent > 0"),
        (lambda: DensityBasis.of("b", {"H": [(0, 1.0), (0, 1.0)]}), "twice"),
    ],
)
def test_errors_name_the_culprit(build, message):
    with pytest.raises(BasisError, match=message):
        build()
