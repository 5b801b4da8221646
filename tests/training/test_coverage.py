"""Coverage of the training set: blind to orientation and numbering, small, and honest about what is far."""

import json

import pytest
import torch

from densnet import units
from densnet.molecules import Molecules
from densnet.symmetry import random_rotation
from densnet.training import coverage as module
from densnet.training.coverage import coverage, distance

REST = torch.tensor([[0.0, 0.0, -0.12], [0.0, 1.46, 0.95], [0.0, -1.46, 0.95]], dtype=torch.float64)


def water(x: torch.Tensor) -> Molecules:
    return Molecules.single([8, 1, 1], x)


@pytest.fixture(scope="module")
def frames() -> list[Molecules]:
    generator = torch.Generator().manual_seed(2)
    return [water(REST + 0.1 * torch.randn(3, 3, dtype=torch.float64, generator=generator)) for _ in range(300)]


def test_a_kept_frame_is_at_no_distance_however_it_is_turned(frames):
    known = json.loads(json.dumps(coverage(frames)))
    assert known["H2O"]["frames"] == 300 and len(known["H2O"]["distances"]) == module.FRAMES
    away = torch.tensor([distance(known, frame) for frame in frames]) / units.ANGSTROM
    assert int((away < 1e-3).sum()) >= module.FRAMES
    generator = torch.Generator().manual_seed(3)
    turned = [Molecules.single([1, 8, 1], (f.positions @ random_rotation(generator).T + 3.0)[[2, 0, 1]]) for f in frames]
    torch.testing.assert_close(torch.tensor([distance(known, f) for f in turned]) / units.ANGSTROM, away, rtol=0, atol=1e-12)


def test_radius_holds_the_training_frames_and_new_ones_like_them(frames):
    typical = coverage(frames)["H2O"]
    away = torch.tensor([distance({"H2O": typical}, frame) for frame in frames]) / units.ANGSTROM
    assert (away <= typical["radius"] + 1e-3).float().mean() > 0.95 and typical["radius"] < 0.1
    generator = torch.Generator().manual_seed(4)
    new = [distance({"H2O": typical}, water(REST + 0.1 * torch.randn(3, 3, dtype=torch.float64, generator=generator))) for _ in range(100)]
    assert (torch.tensor(new) / units.ANGSTROM <= typical["radius"]).float().mean() > 0.8


def test_far_is_the_rms_change_of_the_distances():
    known = coverage([water(REST)])
    assert known["H2O"] == {"frames": 1, "radius": 0.0, "distances": [[pytest.approx(x, abs=6e-4) for x in (1.545, 0.958, 0.958)]]}
    assert distance(known, water(1.3 * REST)) == pytest.approx(0.3 * float(torch.pdist(REST).square().mean().sqrt()), abs=2e-3)


def test_another_composition_is_unknown(frames):
    known = coverage(frames[:3])
    assert distance(known, Molecules.single([8], REST[:1])) is None and distance({}, frames[0]) is None
    assert distance(coverage([Molecules.single([10], REST[:1])]), Molecules.single([10], REST[1:2])) == 0.0


def test_few_frames_of_a_large_molecule_are_kept(monkeypatch, frames):
    monkeypatch.setattr(module, "NUMBERS", 12)
    assert len(coverage(frames)["H2O"]["distances"]) == 4


def test_equal_frames_are_kept_once():
    assert len(coverage([water(REST)] * 5)["H2O"]["distances"]) == 1
