"""What follows from what stages declare: order, needs; and that no stage touches what it does not declare."""

import ast
import inspect

import pytest

from densnet.artefacts import making as made
from densnet.artefacts import using as used
from densnet.artefacts.artefact import Artefact, Series, Told
from densnet.artefacts.content import Drift
from densnet.files import read_json, write_json
from densnet.workflow import making, refining, using
from densnet.workflow.desk import Desk, Inputs, Recipe, UndeclaredArtefact
from densnet.workflow.folder import keys, walk
from densnet.workflow.settings import complete
from densnet.workflow.stages import needs, recipes, stages

RECIPES = (*making.SEARCH, *making.RECIPES, *refining.RECIPES, *using.RECIPES)
ONE_OF_THE_RUN = {"MODEL", "REFINED", "STARTS"}
"""Which of them a run has, its inputs say; what reads `desk.model` or `desk.inputs.named` reads the one that it has."""
KNOWN = {name: value for module in (made, used) for name, value in vars(module).items() if isinstance(value, Artefact | Series)}


def inputs(tmp_path, given: bool) -> Inputs:
    if given:
        return Inputs(complete({"run": {"model": "water", "folder": str(tmp_path / "run")}}, tmp_path, "w"))
    (tmp_path / "water.xyz").write_text("3\n\nO 0 0 0\nH 0 0.76 0.59\nH 0 -0.76 0.59\n")
    values = {"run": {"folder": str(tmp_path / "run")}, "sample": {"geometries": "water.xyz"}}
    return Inputs(complete(values, tmp_path, "w"), tmp_path)


def test_each_file_is_spelt_once():
    places = [(artefact.stage, artefact.name) for artefact in KNOWN.values()]
    assert len(set(places)) == len(places)
    assert {artefact for recipe in RECIPES for artefact in recipe.gives} == set(KNOWN.values())
    assert all(artefact.stage == recipe.name for recipe in RECIPES for artefact in recipe.gives)


def touched(function, seen=frozenset()) -> set[str]:
    """Names of artefacts in the source of a stage, and of the functions of its module that it uses."""
    function = inspect.unwrap(function)
    module, nodes = inspect.getmodule(function), list(ast.walk(ast.parse(inspect.getsource(function))))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in names if not isinstance(node.ctx, ast.Load)} | {function.__name__} | seen
    used_here = {node.id for node in names} - own
    others = {name: vars(module).get(name) for name in used_here}
    inner = [f for f in others.values() if inspect.isfunction(f) and inspect.getmodule(inspect.unwrap(f)) is module]
    return set().union(used_here & KNOWN.keys(), *(touched(f, own) for f in inner))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_stage_touches_what_it_declares_and_nothing_else(recipe):
    declared = {name for name, artefact in KNOWN.items() if artefact in (*recipe.takes, *recipe.checks, *recipe.gives)}
    written_along = {"SMOOTHED", "RAMAN_SMOOTHED", "UNCERTAIN"}  # by `spectra.output` and `keeping_uncertain`, beside what the stage names
    written_along |= ONE_OF_THE_RUN
    assert touched(recipe.work) - ONE_OF_THE_RUN <= declared and declared - written_along <= touched(recipe.work)


def test_what_is_not_declared_cannot_be_touched(tmp_path):
    work = Desk(inputs(tmp_path, given=True), Recipe("spectrum", "", lambda desk: None, (), takes=(used.CONFORMERS,), gives=(used.BANDS,)))
    for attempt in (lambda: work.take(used.DRIFT), lambda: work.give(used.CONFORMERS, None), lambda: work.path(used.TRAJECTORY)):
        with pytest.raises(UndeclaredArtefact, match="stage spectrum does not declare"):
            attempt()
    assert work.path(used.BANDS) == tmp_path / "run" / "spectrum" / "bands.json"


def test_order_and_needs_follow_from_what_is_taken_and_given(tmp_path):
    order = recipes(inputs(tmp_path, given=False))
    expected = ["sample", "label", "hessian", "fit", "train", "evaluate", "conformers", "validate", "simulate", "spectrum"]
    assert [recipe.name for recipe in order] == expected
    given = {made.STARTS, made.REFINED}  # of other runs
    for recipe in order:
        assert given.issuperset((*recipe.takes, *recipe.checks))
        given |= set(recipe.gives)
    # whoever needs a stage need not name those that it needs itself
    assert needs(order)["train"] == ("fit",) and needs(order)["evaluate"] == ("train",) and needs(order)["validate"] == ("conformers",)
    assert [recipe.name for recipe in recipes(inputs(tmp_path, given=True))] == ["conformers", "simulate", "spectrum"]
    refined = Inputs(complete({"run": {"start": "water", "smiles": "O"}}, tmp_path, "w"))
    order = recipes(refined)
    assert [recipe.name for recipe in order] == ["search", "refine", "conformers", "verify", "simulate", "spectrum"]
    assert needs(order) == {
        "search": (), "refine": ("search",), "conformers": ("refine",), "verify": ("conformers",), "simulate": ("refine",),
        "spectrum": ("simulate", "conformers"),
    }  # fmt: skip


def test_another_level_changes_what_is_made_from_it_and_nothing_else(tmp_path):
    one = inputs(tmp_path, given=False)
    settings = one.settings
    other = settings.model_copy(update={"simulate": settings.simulate.model_copy(update={"temperature": 400.0})})
    before, after = (keys(stages(Inputs(s, tmp_path))) for s in (settings, other))
    assert {name for name in before if before[name] != after[name]} == {"simulate", "spectrum"}


def test_a_stage_works_at_its_desk(tmp_path, monkeypatch):
    """The real machinery with recipes of its own: taken, given, skipped, resumed."""
    number: Artefact[dict] = Artefact("first", "number.json", read_json, write_json)
    double: Artefact[dict] = Artefact("second", "double.json", read_json, write_json)
    told = []

    def first(work):
        work.give(number, {"n": 21})

    def second(work):
        told.append(work.take(number)["n"])
        work.give(double, {"n": 2 * told[-1]})

    own = (
        Recipe("second", "twice", second, (), takes=(number,), gives=(double,)),
        Recipe("first", "a number", first, (), gives=(number,)),
    )
    monkeypatch.setattr("densnet.workflow.stages.USING", own)
    given = inputs(tmp_path, given=True)
    for _ in range(2):
        walk(given.folder, stages(given), lambda event: None)
    assert told == [21] and double.load(given.folder) == {"n": 42}


def test_a_file_of_before_lacks_what_came_later(tmp_path):
    old = {"drift_meV_per_atom_per_ps": 0.001, "worst_replica": 0.01, "replicas": 4, "duration_ps": 1.0, "timestep_fs": 0.5}
    found = Drift.of({**old, "ensemble": "nve", "forgotten": 1})
    assert found.measured_temperature_K is None and found.replicas == 4
    Told.write(tmp_path / "drift.json", found)
    assert Drift.read(tmp_path / "drift.json") == found
