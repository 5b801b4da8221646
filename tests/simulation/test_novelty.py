"""Replicas that leave what the model knows: marked, told once, maybe stopped, and kept for a label."""

import pytest
import torch
from springs import WATER, Springs

from densnet import units
from densnet.properties import Uncertainty
from densnet.reference.geometries import read
from densnet.simulation.blocks import Blocks
from densnet.simulation.initial import deal
from densnet.simulation.novelty import worth_a_label
from densnet.simulation.run import SimulateSettings, SimulationStopped, read_trajectory, simulate
from densnet.simulation.trajectory import TrajectoryError
from densnet.workflow.uncertain import keep_uncertain, keeping_uncertain

SETTINGS = SimulateSettings(replicas=4, thermalise_ps=0.01, duration_ps=0.1, sample_every=2, temperature=400, seed=2)


def unsure(molecules):
    """Springs that are the less sure of themselves the further the first bond is stretched."""
    found = Springs(WATER)(molecules)
    x = molecules.positions.view(molecules.count, -1, 3)
    rest = (WATER.positions[0] - WATER.positions[1]).norm()
    novelty = 40 * ((x[:, 0] - x[:, 1]).norm(dim=1) / rest - 1).abs()
    return found.replace(uncertainty=Uncertainty(novelty * units.MEV, 0.001 * novelty * units.DEBYE, novelty))


def settings(**changes):
    return SETTINGS.model_copy(update=changes)


def test_samples_are_recorded_and_marked_and_the_first_is_told_once(tmp_path):
    told = []
    simulate(unsure, WATER, SETTINGS, tmp_path, announce=told.append)
    found = read_trajectory(tmp_path)
    assert found.novelty.shape == found.marked.shape == found.potential.shape
    assert torch.equal(found.marked, found.novelty > 2) and found.marked.any() and not found.marked.all()
    assert torch.allclose(found.energy_uncertainty, found.novelty * units.MEV)
    assert torch.allclose(found.dipole_uncertainty, 0.001 * found.novelty * units.DEBYE)
    first = int(found.marked[:, 1:].any(0).nonzero()[0]) + 1
    replica = int(found.novelty[:, first].argmax())
    assert len(told) == 1
    assert f"replica {replica} left the range of the training data at step {2 * first} ({first:.1f} fs)" in told[0]
    assert f"{float(found.novelty[replica, first]):.1f} times" in told[0]


def test_the_run_stops_if_that_is_asked_for(tmp_path):
    with pytest.raises(SimulationStopped, match="left the range of the training data.*The trajectory until then is in"):
        simulate(unsure, WATER, settings(when_novel="stop"), tmp_path)
    found = read_trajectory(tmp_path)
    assert found.marked[:, -1].any() and not found.marked[:, 1:-1].any()


def test_a_force_function_without_uncertainty_marks_nothing(tmp_path):
    told = []
    simulate(Springs(WATER), WATER, SETTINGS, tmp_path, announce=told.append)
    found = read_trajectory(tmp_path)
    assert found.novelty is None and found.marked is None and not told and worth_a_label(found, 10, 0.0) == []


def test_frames_to_be_labelled_are_marked_apart_and_few(tmp_path):
    simulate(unsure, WATER, SETTINGS, tmp_path)
    found = read_trajectory(tmp_path)
    chosen = worth_a_label(found, 6, 10.0)
    assert 0 < len(chosen) <= 6
    novelties = [float(found.novelty[place]) for place in chosen]
    assert novelties == sorted(novelties, reverse=True) and novelties[0] == float(found.novelty.max())
    assert all(found.marked[place] for place in chosen)
    assert all(abs(s - t) >= 10 for i, (r, s) in enumerate(chosen) for q, t in chosen[:i] if q == r)


def test_the_file_is_one_that_label_reads(tmp_path):
    told = []
    simulate(unsure, WATER, SETTINGS, tmp_path)
    keep_uncertain(tmp_path, SETTINGS, told.append)
    found, frames = read_trajectory(tmp_path), read(tmp_path / "uncertain.extxyz")
    chosen = worth_a_label(found, SETTINGS.novel_frames, SETTINGS.novel_spacing_fs)
    assert len(frames) == len(chosen) and "% of the samples are flagged" in told[0]
    for frame, (replica, sample) in zip(frames, chosen):
        assert frame.trajectory == found.number(replica) > 2**16 and frame.temperature == 400
        assert torch.allclose(frame.molecule.positions, found.positions[replica, sample].double(), atol=1e-6)


def test_what_the_run_says_of_itself_counts_and_no_other_folder_is_touched(tmp_path):
    """Frames come with the temperature of the run, whatever the command now says; a refused folder keeps its file; a stale one goes."""
    simulate(unsure, WATER, SETTINGS, tmp_path)
    other, file = SETTINGS.model_copy(update={"temperature": 100.0, "novel_frames": 1}), tmp_path / "uncertain.extxyz"
    keep_uncertain(tmp_path, SETTINGS, print)
    before = file.read_bytes()
    with pytest.raises(TrajectoryError), keeping_uncertain(tmp_path, other, print):
        simulate(unsure, WATER, other, tmp_path)
    assert file.read_bytes() == before
    keep_uncertain(tmp_path, other, print)
    assert [frame.temperature for frame in read(file)] == [400]
    keep_uncertain(tmp_path, SETTINGS.model_copy(update={"novel_frames": 0}), print)
    assert not file.exists()


def test_what_is_done_with_marked_samples_may_change_on_the_way(tmp_path):
    stopping = SETTINGS.model_copy(update={"when_novel": "stop"})
    with pytest.raises(SimulationStopped), keeping_uncertain(tmp_path, stopping, print):
        simulate(unsure, WATER, stopping, tmp_path)
    assert (tmp_path / "uncertain.extxyz").exists()
    simulate(unsure, WATER, SETTINGS, tmp_path)
    assert read_trajectory(tmp_path).header["complete"]


def test_blocks_pass_it_on():
    replicas = deal(WATER, 5)
    moved = replicas.at(replicas.positions + 0.1 * torch.randn(15, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    whole, parts = unsure(moved), Blocks(unsure, replicas, 2, 1)(moved)
    for name in ("energy", "dipole", "novelty"):
        assert torch.equal(getattr(whole.uncertainty, name), getattr(parts.uncertainty, name))
