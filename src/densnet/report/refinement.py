"""The chapter about a given model that was refined for the molecule: targets, and what each round reached and cost."""

from __future__ import annotations

from densnet.artefacts import making
from densnet.artefacts.content import Refinement
from densnet.artefacts.run import Run, level_words
from densnet.progress import duration
from densnet.report import page

QUANTITIES = {"forces": ("forces", "meV/Å"), "dipole": ("dipole", "D"), "density": ("density error, ∫|ρ − ρ_DFT| / N", "%")}
"""Of the targets: name in words, unit."""


def refinement(run: Run) -> list[str]:
    """The chapter; none where no model was refined."""
    found = run.get(making.REFINEMENT)
    if found is None:
        return []
    errors = [f"{name} / {unit}" for name, unit in QUANTITIES.values()]
    titles = ["model", "trained on", "judged on frames of", *errors, "energy / meV", "time"]
    rows = [_row(number, found) for number in range(len(found.rounds))]
    targets = ["target", "", "", *(f"{found.targets[name]:g}" for name in QUANTITIES), "", ""]
    about = page.paragraph(f"The model {found.start}, refined for this molecule at {level_words(found.level)}: {found.told}")
    return [page.section("Refinement of the model", about, page.table(titles, [*rows, targets], wide=True), page.paragraph(_ABOUT))]


def promises(found: Refinement) -> list[page.Promise]:
    """Errors of the model that is kept, beside the targets."""
    best = found.rounds[found.best]
    note = f"{best['frames']} frames of {_source(best)}, labelled afterwards; mean absolute error"
    return [page.Promise(text, best["errors"][name], found.targets[name], unit, note) for name, (text, unit) in QUANTITIES.items()]


def _row(number: int, found: Refinement) -> list[str]:
    one = found.rounds[number]
    name = "as given" if number == 0 else f"round {number}"
    errors = [f"{one['errors']['forces']:.1f}", f"{one['errors']['dipole']:.4f}", f"{one['errors']['density']:.3f}"]
    kept = " (kept)" if number == found.best else ""
    return [name + kept, f"{one['trained_on']} labels", _source(one), *errors, f"{one['errors']['energy']:.2f}", duration(one["seconds"])]


def _source(one: dict) -> str:
    return "its own dynamics" if one["dynamics"] == "model" else "GFN2-xTB dynamics"


_ABOUT = (
    "In each round the model runs dynamics; frames drawn from it at random are labelled and give the errors of this row, mean absolute "
    "errors of components. The model was trained on none of them. If a target is missed, frames of which the model is most uncertain are "
    "labelled too, and the given model is trained on all labels so far."
)
