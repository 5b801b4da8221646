"""The force function of a simulation: a model, in blocks of replicas, on several threads or on a GPU, compiled if that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from densnet.model.compiled import Compiled
from densnet.model.graphed import Graphed
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules
from densnet.simulation.blocks import Blocks
from densnet.simulation.initial import deal
from densnet.simulation.run import SimulateSettings


def force_function(predictor: Predictor, start: Molecules, settings: SimulateSettings, announce: Callable[[str], None]) -> Blocks:
    """``predictor``, which is on ``settings.device``, for the replicas that `simulate` makes of ``start``, or for all of their beads.

    ``announce`` is told when something takes minutes.
    """
    replicas = deal(start, settings.geometries).to(settings.place)
    block = settings.block_size(len(replicas.numbers) // replicas.count)
    forces = predictor
    if settings.compile:
        like = deal(start, block).to(settings.place)
        forces = Graphed(predictor, like) if settings.device == "cuda" else Compiled(predictor, like, announce=announce)
    return Blocks(forces, replicas, block, settings.cores)
