"""The stages that refine a given model for one molecule, round by round, until targets hold or a budget is spent, and check its lines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from densnet.artefacts.content import Refinement
from densnet.artefacts.making import REFINED, REFINEMENT, STARTS
from densnet.artefacts.using import CONFORMERS, VERIFICATION
from densnet.dataset.dataset import Dataset
from densnet.files import content_hash, sha256
from densnet.model.predictor import Predictor, load
from densnet.progress import duration
from densnet.report.verification import told
from densnet.workflow.desk import Desk, Recipe
from densnet.workflow.refinement import BUDGETS, RefinementError, RefineSettings, Round, of_another_level, start_of
from densnet.workflow.verification import reference_of, write_csv
from densnet.workflow.verification import verify as verified


def refine(desk: Desk) -> None:
    """The best model of all rounds; targets, errors and costs of each. A start of another level of theory is none of them."""
    plan, file = desk.settings.refine, Path(desk.settings.run.start)
    models, rounds, labels, ended = [file], [], (Dataset(()), Dataset(())), ""
    first = int(of_another_level(start_of(file), desk.settings.label))
    while not ended:
        one = _round(desk, len(rounds))
        judged = one.judge(_model(models[-1], file))
        known = sum(map(len, labels))
        used = known + judged["frames"]
        worst = plan.targets.worst(judged["errors"])
        rounds.append({**judged, "trained_on": known, "worst": worst, "seconds": one.seconds})
        desk.tell(_told(plan, rounds))
        ended = _ended(plan, rounds, used, further=one.model_file.exists(), fit=len(rounds) > first)
        if not ended:
            labels = one.train(start_of(file), labels)
            rounds[-1]["seconds"] = one.seconds
            models.append(one.model_file)
    if len(rounds) == first:
        raise RefinementError(f"`refine.{ended}` is spent before the first training, and {file.stem} is of another level: raise it.")
    best = min(range(first, len(rounds)), key=lambda k: rounds[k]["worst"])
    report = Refinement(
        start=file.stem, level=desk.settings.label.scf.level(), targets=dict(plan.targets), rounds=rounds, best=best, labels=used,
        minutes=round(sum(r["seconds"] for r in rounds) / 60, 2), ended=ended,
    )  # fmt: skip
    desk.tell(report.told)
    desk.give(REFINEMENT, report)
    desk.give(REFINED, _with_provenance(_model(models[best], file), report, content_hash(file)))


def verify(desk: Desk) -> None:
    """The strongest lines of the lowest conformer against gradients of the reference level, each of which is kept beside the stage."""
    settings, scf = desk.settings.verify, desk.settings.label.scf
    if not settings.modes:
        return
    lowest = min(desk.take(CONFORMERS).ensemble.conformers, key=lambda conformer: conformer.energy)
    reference = reference_of(scf, desk.inputs.folder / "gradients", settings, desk.progress)
    found = verified(desk.model().double(), lowest.molecule, reference, settings, progress=desk.progress, tell=desk.tell)
    found = replace(found, model=f"refined {Path(desk.settings.run.start).stem}", level=scf.level())
    desk.give(VERIFICATION, found)
    write_csv(desk.path(VERIFICATION).with_name("verify.csv"), found)
    desk.tell(told(found))


def _round(desk: Desk, number: int) -> Round:
    place = _rounds(desk) / f"round-{number}"
    return Round(number, place, desk.inputs.geometries, desk.settings.refine, desk.settings.label, desk.progress, desk.tell)


def _rounds(desk: Desk) -> Path:
    """Where rounds are kept: beside the stage, so that other targets or a larger budget go on from them. Any other change begins anew."""
    plan = {name: value for name, value in desk.settings.refine.deciding().items() if name not in BUDGETS}
    made_from = [plan, desk.settings.label.scf.level(), content_hash(Path(desk.settings.run.start)), content_hash(desk.inputs.geometries)]
    return desk.inputs.folder / "rounds" / sha256(json.dumps(made_from, sort_keys=True))[:8]


def _model(file: Path, start: Path) -> Predictor:
    return start_of(file) if file == start else load(file)


def _with_provenance(model: Predictor, report: Refinement, start: str) -> Predictor:
    """``model`` with what was done to it, and how well."""
    best = report.rounds[report.best]
    model.provenance = {**model.provenance, "refined": {"start": start, "labels": best["trained_on"], "errors": best["errors"]}}
    return model


def _ended(plan: RefineSettings, rounds: list[dict], used: int, *, further: bool, fit: bool = True) -> str:
    """Why no further round is begun; "" where one is, or there is a ``further`` model already, whose budget is spent.

    A model that is not ``fit``, because it is of another level, is never good enough.
    """
    spent, last = sum(r["seconds"] for r in rounds), rounds[-1]["seconds"]
    if fit and rounds[-1]["worst"] <= 1:
        return "targets"
    if further:
        return ""
    if len(rounds) > plan.rounds:
        return "rounds"
    if used + plan.frames + plan.judged > plan.labels:
        return "labels"
    return "minutes" if spent + last > 60 * plan.minutes else ""


def _told(plan: RefineSettings, rounds: list[dict]) -> str:
    """Errors of the round beside the targets, and what may still come."""
    last, spent = rounds[-1], sum(r["seconds"] for r in rounds)
    shown = ", ".join(f"{name} {last['errors'][name]:.{digits}f} {unit} ({getattr(plan.targets, name):g})" for name, unit, digits in _SHOWN)
    left = max(0.0, 60 * plan.minutes - spent)
    return f"round {len(rounds) - 1}, {last['trained_on']} labels: {shown}; {duration(spent)} so far, at most {duration(left)} more"


_SHOWN = (("forces", "meV/A", 1), ("dipole", "D", 4), ("density", "%", 3))

RECIPES = (
    Recipe(
        "refine", "model refined for the molecule", refine, ("refine", "label.scf"), ("geometries", "start"),
        takes=(STARTS,), gives=(REFINED, REFINEMENT),
    ),
    Recipe(
        "verify", "strongest lines against gradients", verify, ("verify", "label.scf"),
        takes=(REFINED, CONFORMERS), gives=(VERIFICATION,),
    ),
)  # fmt: skip
"""Of a run that refines a given model."""
