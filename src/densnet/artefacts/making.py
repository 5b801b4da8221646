"""What a run leaves while it makes its model: frames, labels, the reference's modes, examples, the model, its errors."""

from __future__ import annotations

import json
from pathlib import Path

from densnet.artefacts.artefact import Artefact, read_arrays, write_arrays
from densnet.artefacts.content import Analysis, Refinement
from densnet.dataset import store
from densnet.files import read_json, write_json
from densnet.model.predictor import load
from densnet.reference import geometries

STARTS = Artefact("search", "conformers.xyz", geometries.read)
"""Conformers of a molecule that is given as SMILES, by GFN2-xTB."""

FRAMES = Artefact("sample", "frames.xyz", geometries.read)
"""Geometries to be labelled."""

LABELS = Artefact("label", "dataset.h5", store.read)
"""Labels of all of them, sealed."""

REFERENCE = Artefact("hessian", "conformers.json", Analysis.read, Analysis.write)
"""Conformers and normal modes at the reference level."""

EXAMPLES: Artefact[None] = Artefact("fit", "")
"""A folder: of each frame the density on points, and where need be its coefficients."""

MODEL = Artefact("train", "model.safetensors", load, lambda path, model: model.save(path))
"""Both networks."""

REFINED = Artefact("refine", "model.safetensors", load, lambda path, model: model.save(path))
"""A given model, trained on for the molecule of the run."""

REFINEMENT = Artefact("refine", "refinement.json", Refinement.read, Refinement.write)
"""Targets, errors and costs of each round of that."""


def _read_log(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


TRAINING_LOG = Artefact("train", "training.jsonl", _read_log)
"""Errors on validation frames as training went on."""

EVALUATION = Artefact("evaluate", "evaluation.json", read_json, write_json)
"""Errors on held-out frames, by name and unit."""

PAIRS = Artefact("evaluate", "evaluation.npz", read_arrays, write_arrays)
"""NAME_ref, NAME_pred, NAME_deviation on held-out frames; see `workflow.evaluation.pairs`."""

