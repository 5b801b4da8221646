"""What GFN2-xTB says of a molecule, for the energy network to learn before it learns from labels, of which there are few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from densnet.dataset.dataset import Dataset, Label
from densnet.model.predictor import Predictor
from densnet.progress import Progress
from densnet.reference.geometries import Frame
from densnet.reference.semiempirical import SemiempiricalError, gfn2_xtb
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.statistics import move_references
from densnet.units import ANGSTROM, EV
from densnet.workflow.fitting import examples_of, train_on
from densnet.workflow.splits import held_out

LARGEST_FORCE = 20 * EV / ANGSTROM
"""Of frames to learn from: beyond it a molecule is torn apart."""


def semiempirical(frames: Iterable[Frame]) -> Dataset:
    """``frames`` with their energies and forces by GFN2-xTB; those with a force above 20 eV/A, and those without an SCF, are left out.

    Each counts as a trajectory of its own.
    """
    return Dataset(_labelled(frames))


def _labelled(frames: Iterable[Frame]) -> Iterator[Label]:
    for number, frame in enumerate(frames):
        try:
            found = gfn2_xtb(frame.molecule)
        except SemiempiricalError:
            continue
        if float(found.forces.norm(dim=1).max()) <= LARGEST_FORCE:
            yield Label(found.replace(dipole=None), number, frame.temperature, identity="", source="GFN2-xTB", level={})


def pretrained(model: Predictor, frames: Iterable[Frame], plan: TrainSettings, folder: Path, progress: Progress) -> Predictor:
    """``model`` with the energies of GFN2-xTB, learned from ``frames`` in the energy phase of ``plan``; its density is as it was.

    One frame of ten validates. The energies are a start to learn others from: what the model tells of itself stays as it was.
    """
    none, told = StageSettings(steps=0), model.provenance
    plan = plan.model_copy(update={"density": none, "points": none, "joint": none, "response": none})
    labels = semiempirical(frames)
    parts = held_out(labels, 0.1, plan.seed)
    move_references(model, (label.properties for label in labels))
    model = train_on(model, examples_of(parts, model.basis, folder, 0, plan, progress), plan, folder, progress)
    model.provenance = told
    return model
