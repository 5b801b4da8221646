"""Optimised exponents: the slope is that of the least error, a search lowers it, and the shipped set is better than its size suggests."""

from pathlib import Path

import pytest
import torch

from densnet.dataset import store
from densnet.dataset.points import density_error
from densnet.density.basis import DensityBasis
from densnet.reference import basis_fit, fitting
from densnet.reference.basis_fit import Exponents, Frame

LABELS = Path(__file__).parents[2] / "labels" / "small" / "training_500K.001.h5"


@pytest.fixture(scope="module")
def water():
    """Exact densities of two thermal geometries of water."""
    labels = store.read(LABELS)
    return [label.properties.orbitals[0] for label in labels if label.properties.molecules.numbers.tolist() == [8, 1, 1]][:2]


@pytest.fixture
def coarse():
    oxygen = [(0, 20.0), (0, 2.0), (0, 0.2), (1, 4.0), (1, 0.4), (2, 1.0)]
    return DensityBasis.of("coarse", {"O": oxygen, "H": [(0, 2.0), (0, 0.3), (1, 0.5)]})


def converged(frame: Frame, exponents: torch.Tensor) -> float:
    functions = frame.functions(exponents)
    for _ in range(40):
        frame.solve(functions)
    return frame.error()


def test_slope_is_that_of_the_least_error(water, coarse):
    exponents, frame = Exponents(coarse), Frame.of(water[0], coarse, 20, 50)
    numbers = frame.molecule.numbers
    converged(frame, exponents.of_atoms(numbers, frame.basis).detach())
    basis_fit._slope(frame, exponents, 1)
    for row in (0, 3):  # smallest exponents of the s functions of H and of the p functions of O
        ends = []
        for step in (-0.01, 0.01):
            with torch.no_grad():
                exponents.smallest[row] += step
                ends.append(converged(frame, exponents.of_atoms(numbers, frame.basis)))
                exponents.smallest[row] -= step
        assert float(exponents.smallest.grad[row]) == pytest.approx((ends[1] - ends[0]) / 0.02, rel=0.08)


def test_search_lowers_the_error_on_a_frame_it_does_not_see(water, coarse):
    better = basis_fit.optimise(coarse, water[:1], name="better", steps=30, batch=1, rate=0.05)
    assert better.counts == coarse.counts and better != coarse
    assert basis_fit.fit_floor(better, water[1]) < 0.85 * basis_fit.fit_floor(coarse, water[1])


def test_exponents_start_where_they_are_told(coarse):
    assert Exponents(coarse).as_basis("same") == coarse


def test_no_fit_in_the_coulomb_metric_goes_below_the_floor(water):
    basis = DensityBasis.built_in("optimised", ["H", "O"])
    assert basis_fit.fit_floor(basis, water[0]) < density_error(fitting.fit(water[0], basis), water[0]).percent


def test_shipped_set_is_well_below_the_default_one(water):
    """On water, with seven per cent more functions."""
    floors = [basis_fit.fit_floor(DensityBasis.built_in(name, ["H", "O"]), water[1]) for name in ("optimised", "default")]
    assert floors[0] < 0.14 and floors[0] < 0.75 * floors[1]
