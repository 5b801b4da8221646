"""Which stages a run has, and in which order: as their recipes say, by what each takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from densnet.artefacts.artefact import Artefact
from densnet.artefacts.making import MODEL, REFINED, STARTS
from densnet.progress import Progress, silent
from densnet.workflow.desk import Desk, Inputs, Recipe
from densnet.workflow.folder import Stage
from densnet.workflow.making import RECIPES as MAKING
from densnet.workflow.making import SEARCH
from densnet.workflow.refining import RECIPES as REFINING
from densnet.workflow.using import RECIPES as USING


def recipes(inputs: Inputs) -> list[Recipe]:
    """Those that the run has, in an order in which nothing is taken before it is given.

    A run that is given a model has those that can do without labels; one that refines it makes labels for that. A run has one model, and
    one file of conformers: what of `MODEL`, `REFINED` and `STARTS` it does not make itself counts as given.
    """
    making = MAKING if inputs.trains else REFINING if inputs.refines else ()
    left = [*(SEARCH if inputs.searches else ()), *making, *USING]
    given: set[Artefact[Any]] = {MODEL, REFINED, STARTS}.difference(*(recipe.gives for recipe in left))
    order: list[Recipe] = []
    while ready := next((recipe for recipe in left if given.issuperset((*recipe.takes, *recipe.checks))), None):
        left.remove(ready)
        order.append(ready)
        given.update(artefact for artefact in ready.gives if isinstance(artefact, Artefact))
    return order


def needs(order: Sequence[Recipe]) -> dict[str, tuple[str, ...]]:
    """Name of a stage -> the stages that it takes something of, less those that these need themselves."""
    names = [recipe.name for recipe in order]
    found: dict[str, tuple[str, ...]] = {}
    behind: dict[str, set[str]] = {}
    for recipe in order:
        direct = [name for name in dict.fromkeys(artefact.stage for artefact in recipe.takes) if name in names]
        implied = set().union(*(behind[name] for name in direct))
        found[recipe.name] = tuple(name for name in direct if name not in implied)
        behind[recipe.name] = {*direct, *implied}
    return found


def stages(inputs: Inputs, progress: Progress = silent, tell: Callable[[str], None] = lambda text: None) -> list[Stage]:
    """What `folder.walk` does, one after the other."""
    order = recipes(inputs)
    known = needs(order)
    return [_stage(recipe, known[recipe.name], inputs, progress, tell) for recipe in order]


def _stage(recipe: Recipe, needed: tuple[str, ...], inputs: Inputs, progress: Progress, tell: Callable[[str], None]) -> Stage:
    desk = Desk(inputs, recipe, progress, tell)
    files = tuple(path for name in recipe.inputs for path in inputs.files(name))

    def work(place: Path) -> None:
        recipe.work(desk)

    return Stage(recipe.name, recipe.about, recipe.chosen(inputs.settings), work, needed, files)
