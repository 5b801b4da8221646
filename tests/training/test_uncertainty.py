"""Calibration: recovers what made the errors, and says so of the frames it was not made from."""

import numpy as np
import pytest
import torch

from densnet.properties import MissingProperty
from densnet.training.objective import Agreement, evaluate
from densnet.training.uncertainty import CalibrationError, assess, calibrate
from tests.model.random_model import random_predictor
from tests.model.test_uncertainty import labelled, waters


def test_a_power_law_is_found_again():
    generator = np.random.default_rng(0)
    variances = np.exp(generator.normal(0, 0.4, 20000))
    errors = np.abs(generator.normal(size=20000)) * 0.02 * variances**1.7
    found = calibrate(variances, errors)
    assert found.power == pytest.approx(1.7, abs=0.05)
    assert found(variances) == pytest.approx(0.02 * variances**1.7, rel=0.05)


def test_few_frames_determine_no_power():
    assert calibrate(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])).power == 1


def test_agreement_of_normal_errors():
    generator = np.random.default_rng(1)
    deviations = np.exp(generator.normal(0, 0.5, 5000))
    found = Agreement.of(deviations, deviations[:, None] * generator.normal(size=(5000, 3)))
    assert found.within_one == pytest.approx(0.683, abs=0.01) and found.within_two == pytest.approx(0.954, abs=0.01)
    assert found.rms_ratio == pytest.approx(1, abs=0.02) and found.rank_correlation > 0.5
    assert found.rms_error == pytest.approx(found.rms_deviation, rel=0.05)


def test_a_single_error_has_no_rank_correlation():
    assert Agreement.of(np.ones(1), np.ones((1, 3))).rank_correlation is None


def test_progress_ends_at_its_total():
    predictor, told = random_predictor(("H", "O"), basis="small", cutoff=5.0), []
    assess(predictor, waters(3, 1), labelled(predictor, waters(2, 2)), lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12) and max(done for done, _ in told) == 12


def test_errors_on_other_frames_are_as_large_as_expected():
    predictor = random_predictor(("H", "O"), basis="small", cutoff=5.0)
    predictor.uncertainty = assess(predictor, waters(40, 1), labelled(predictor, waters(40, 2)))
    found = evaluate(predictor.with_force_uncertainty, labelled(predictor, waters(25, 4), seed=5), density_frames=0).calibration()
    assert set(found) == {"energy", "forces", "dipole"}
    assert all(row.rms_ratio == pytest.approx(1, abs=0.35) for row in found.values())


def test_a_model_without_it_has_no_calibration():
    predictor = random_predictor(("H", "O"), basis="small", cutoff=5.0)
    assert evaluate(predictor, labelled(predictor, waters(2, 4)), density_frames=0).calibration() == {}


def test_what_is_missing_is_said():
    predictor = random_predictor(("H", "O"), basis="small", cutoff=5.0)
    frames = labelled(predictor, waters(2, 2))
    with pytest.raises(CalibrationError, match="none"):
        assess(predictor, [], frames)
    with pytest.raises(MissingProperty, match="dipole"):
        assess(predictor, waters(2, 1), [f.replace(dipole=None) for f in frames])


def test_the_limits_hold_most_validation_frames():
    predictor = random_predictor(("H", "O"), basis="small", cutoff=5.0)
    frames = labelled(predictor, waters(40, 2))
    predictor.uncertainty = assess(predictor, waters(40, 1), frames)
    novelty = torch.cat([predictor(f.molecules).uncertainty.novelty for f in frames])
    assert (novelty > 1).double().mean() < 0.06 and novelty.max() > 0.95
