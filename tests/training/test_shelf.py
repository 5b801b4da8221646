"""Rows come back bit for bit, weigh nothing in memory, and leave no file behind; scales do not mind how they are gathered."""

import gc
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from densnet.model.predictor import ModelSettings
from densnet.training import fit, statistics
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.shelf import Shelf, joined
from densnet.training.stages import points_stage
from densnet.training.statistics import initialise
from tests.training.labels import examples

MODEL = ModelSettings.model_validate({"density": {"channels": 8, "head_channels": 4}, "energy": {"channels": 8, "density_channels": 4}})


def own_megabytes() -> float:
    """Anonymous memory of this process: what the system cannot take back from it."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def test_rows_come_back_bit_for_bit_and_leave_no_file(tmp_path):
    shelf = Shelf(tmp_path)
    first = {"a": torch.randn(3, 4, dtype=torch.float64).T, "none": torch.zeros(0, 3)}
    second = {"a": torch.randn(4, 3, dtype=torch.float64), "none": torch.zeros(0, 3)}
    third = {"numbers": torch.arange(5)}
    rows = [shelf.put(tensors) for tensors in (first, second, third)]
    for row, tensors in zip(rows, (first, second, third), strict=True):
        assert list(row) == list(tensors) and len(row) == len(tensors) and "other" not in row and row.get("other") is None
        assert all(torch.equal(row[name], tensor) and row[name].dtype == tensor.dtype for name, tensor in tensors.items())
    assert torch.equal(joined(rows[:2], "a"), torch.cat([first["a"].flatten(), second["a"].flatten()]))
    assert rows[2].replaced(numbers=torch.ones(2))["numbers"].tolist() == [1, 1] and rows[2]["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert rows[0].layout is rows[1].layout and not list(tmp_path.iterdir())


def test_means_of_frames_in_parts_are_those_of_all_at_once(monkeypatch):
    frames, found = [*examples(9), *examples(4, peroxide=True)], []
    for together in (256, 5):
        monkeypatch.setattr(statistics, "TOGETHER", together)
        found.append(statistics.Means.of(frames, frames[0].basis, 4.0))
    one, other = found
    assert one.neighbours == other.neighbours and one.charges is other.charges is None
    assert one.force == pytest.approx(other.force, rel=1e-14) and torch.equal(one.references, other.references)


@pytest.mark.parametrize("centred", [True, False])
def test_moments_in_parts_are_those_of_all_rows(centred):
    rows = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 1000
    found = statistics.Moments(centred)
    for part in rows.split([20, 1, 29]):
        found.add(part)
    mean = rows.mean(0) if centred else torch.zeros(4, dtype=torch.float64)
    assert found.count == 50 and torch.allclose(found.mean, mean, rtol=1e-14)
    assert torch.allclose(found.squares, (rows - mean).T @ (rows - mean), rtol=1e-11)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_four_times_the_frames_need_no_more_memory(tmp_path):
    """Scales, a training and its validation on frames of 2 MB: in memory the long one would need 190 MB more than the short one."""
    few, grown = examples(8), {}
    phase = StageSettings(steps=2, batch=4, validate_every=1)
    plan = TrainSettings(points=phase, points_per_frame=50)
    for count in (32, 32, 128):  # the first one fills what is kept from then on
        before = own_megabytes()
        frames = [replace(e, prepared=e.prepared.replaced(more=torch.zeros(2 * 2**18))) for e in count // 8 * few]
        predictor = initialise(frames, MODEL, frames[0].basis).train().requires_grad_(True)
        (folder := tmp_path / f"{count}-{len(grown)}").mkdir()
        fit.optimise(points_stage(predictor, frames, frames, plan), phase, plan, folder, lambda now: None)
        grown[count] = own_megabytes() - before
    assert sum(t.nbytes for t in frames[0].prepared.values()) > 2 * 2**20
    assert grown[128] < grown[32] + 20


def test_the_next_batch_is_read_ahead_and_its_errors_are_told():
    made = []

    def make(step):
        made.append(step)
        if step == 5:
            raise OSError("gone")
        return step

    steps = fit.ahead(make, range(2, 7))
    assert next(steps) == (2, 2) and next(steps) == (3, 3) and next(steps) == (4, 4)
    with pytest.raises(OSError, match="gone"):
        next(steps)
    assert made == [2, 3, 4, 5] and list(fit.ahead(make, range(0))) == []
