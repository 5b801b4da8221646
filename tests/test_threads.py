"""Library calls leave the settings of the process as they were."""

import sys
from pathlib import Path

import pytest
import torch

from densnet.molecules import Molecules
from densnet.simulation.blocks import Blocks
from densnet.simulation.run import SimulateSettings, simulate
from densnet.threads import one_thread

sys.path.insert(0, str(Path(__file__).parent / "simulation"))

from springs import WATER, Springs, replicas  # noqa: E402


@pytest.fixture
def three():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_thread_for_a_while(three):
    with one_thread():
        assert torch.get_num_threads() == 1
    with pytest.raises(ZeroDivisionError), one_thread():
        1 / 0  # noqa: B018 (raises)
    assert torch.get_num_threads() == 3


def test_a_simulation_leaves_the_threads_of_the_process_alone(three, tmp_path):
    seen = set()

    def watched(molecules: Molecules):
        seen.add(torch.get_num_threads())
        return Springs(WATER)(molecules)

    blocks = Blocks(watched, replicas(WATER, 4), block=2, threads=2)
    settings = SimulateSettings(replicas=4, thermalise_ps=0.002, duration_ps=0.002, temperature=100)
    simulate(blocks, WATER, settings, tmp_path)
    assert seen == {1} and torch.get_num_threads() == 3
