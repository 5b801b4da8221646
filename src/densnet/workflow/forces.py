"""The force function of a simulation: a model, in blocks of replicas, on several threads or on a GPU, compiled if that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from densnet.model.compiled import Compiled
from densnet.model.forces import Ask, with_forces
from densnet.model.graphed import Graphed
from densnet.model.polarizability import Polarizability
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.simulation.blocks import Blocks
from densnet.simulation.initial import deal
from densnet.simulation.integrators import ForceFunction, Forces
from densnet.simulation.run import SimulateSettings

Announce = Callable[[str], None]


def force_function(predictor: Predictor, start: Molecules, settings: SimulateSettings, announce: Announce) -> Blocks:
    """``predictor``, which is on ``settings.device``, for the replicas that `simulate` makes of ``start``, or for all of their beads.

    ``announce`` is told when something takes minutes.
    """
    return _blocks(_prepared(predictor, start, settings, announce), start, settings)


def forces(predictor: Predictor, start: Molecules, settings: SimulateSettings, announce: Announce) -> Forces:
    """As `force_function`; at sampled steps with the polarizability, where the model has learned it and ``settings`` ask for it."""
    every = _prepared(predictor, start, settings, announce)
    plain = _blocks(every, start, settings)
    if predictor.response_network is None or not settings.polarizability:
        return Forces(plain, plain)
    alpha = _prepared(Polarizability(predictor), start, settings, announce, Polarizability.__call__)

    def sampled(molecules: Molecules) -> Properties:
        return every(molecules).replace(polarizability=alpha(molecules).polarizability)

    return Forces(plain, _blocks(sampled, start, settings))


def _prepared(
    function: Predictor | Polarizability, start: Molecules, settings: SimulateSettings, announce: Announce, ask: Ask = with_forces
) -> ForceFunction:
    """``function`` as ``settings`` want it, for blocks of replicas."""
    if not settings.compile:
        return function
    like = deal(start, _block(start, settings)).to(settings.place)
    return Graphed(function, like, ask) if settings.device == "cuda" else Compiled(function, like, announce=announce, ask=ask)


def _blocks(function: ForceFunction, start: Molecules, settings: SimulateSettings) -> Blocks:
    return Blocks(function, deal(start, settings.geometries).to(settings.place), _block(start, settings), settings.cores)


def _block(start: Molecules, settings: SimulateSettings) -> int:
    return settings.block_size(int(start.sizes[0]))
