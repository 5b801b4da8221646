"""The force function of a simulation: a model, in blocks of replicas on several threads, compiled if that is asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch

from densnet.model.compiled import Compiled
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules
from densnet.simulation.blocks import Blocks
from densnet.simulation.initial import deal
from densnet.simulation.run import SimulateSettings


def force_function(predictor: Predictor, start: Molecules, settings: SimulateSettings, announce: Callable[[str], None]) -> Blocks:
    """``predictor`` for the replicas that `simulate` makes of ``start``; ``announce`` is told when something takes minutes."""
    torch.set_num_threads(1)
    replicas = deal(start, settings.replicas)
    block = settings.block_size(len(replicas.numbers) // replicas.count)
    forces = Compiled(predictor, deal(start, block), announce=announce) if settings.compile else predictor
    return Blocks(forces, replicas, block, settings.cores)
