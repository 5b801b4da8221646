"""Errors of a model on labelled frames, and how well it expected them: what `evaluate` prints and a run keeps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densnet import units
from densnet.dataset.batches import nearest
from densnet.dataset.dataset import Dataset
from densnet.model.predictor import Predictor
from densnet.model.uncertainty import UncertaintyMissing
from densnet.progress import Progress
from densnet.properties import Properties
from densnet.reference import electrostatics
from densnet.report.figures import draw_calibration
from densnet.training.label_units import doubts_of
from densnet.training.objective import Evaluation, Exact, evaluate

UNITS = {"energy": "meV", "forces": "meV/A", "dipole": "mD"}


_SIZES = {"energy": units.MEV, "forces": units.MEV_PER_ANGSTROM, "dipole": units.DEBYE / 1000}


def overlap(test: Dataset, training: Dataset) -> dict[str, float | None]:
    """How near test frames are to the nearest training frame of their composition, Angstrom; None where there is none."""
    distances = nearest(test, training) / units.ANGSTROM
    found = {"nearest_training_frame_A": distances.median(), "nearest_training_frame_least_A": distances.min()}
    return {key: float(value) if value.isfinite() else None for key, value in found.items()}


ALIKE = {"energy": "energ", "forces": "forc|grad", "dipole": "dip|mu$"}
"""What a key that holds a label under another name has in it."""


def doubts(labels: Dataset, found: Evaluation) -> list[str]:
    """Sentences: labels that the file seems to hold under other names, labels that only some frames hold, and those of `label_units`."""
    unread = sorted({key for label in labels for key in label.unread})
    told = []
    for name, words in ALIKE.items():
        number, other = found.labelled[name], [key for key in unread if re.search(words, key, re.I)]
        if number == 0 and other:
            told.append(f"no frame has a field {name}, but there is {', '.join(other)}; rename it to REF_{name} to compare it.")
        elif 0 < number < found.frames:
            told.append(f"{number} of {found.frames} frames have {name}; the error refers to these.")
    return told + doubts_of(found)


def evaluate_on(predictor: Predictor, frames: list[Properties], density_frames: int | None, progress: Progress) -> Evaluation:
    """Errors on ``frames``, of quadrupole, potential and, if known, response, too; see `densnet.training.objective.evaluate`."""
    exact = Exact(electrostatics.quadrupole, electrostatics.potential)
    predict = predictor if predictor.uncertainty is None else predictor.with_force_uncertainty
    respond = None if predictor.response_network is None else predictor.respond
    return evaluate(predict, frames, density_frames=density_frames, exact=exact, respond=respond, progress=progress)


def calibration_rows(found: Evaluation) -> dict[str, dict[str, float | None]]:
    """By kind of error: rms error and expected deviation of a component in `UNITS`, the rest as in `Agreement`; empty if not expected."""
    return {
        name: {**vars(row), "rms_error": row.rms_error / size, "rms_deviation": row.rms_deviation / size}
        for (name, row), size in ((item, _SIZES[item[0]]) for item in found.calibration().items())
    }


def draw(found: Evaluation, path: Path) -> None:
    """A picture of found against expected errors. Raises `UncertaintyMissing` if none were expected."""
    kinds = []
    for name, size in _SIZES.items():
        if (deviation := found.uncertainty[name]).size and (pairs := getattr(found, name)).size:
            kinds.append((name, UNITS[name], deviation / size, np.diff(pairs, axis=-1).reshape(len(deviation), -1) / size))
    if not kinds:
        raise UncertaintyMissing("nothing to plot: the model has no uncertainties, or the data contain no labels.")
    draw_calibration(path, kinds)


def pairs(found: Evaluation) -> dict[str, NDArray]:
    """NAME_ref and NAME_pred of energy (meV from the mean), forces (eV/A) and dipole (D), as far as there are labels; and NAME_deviation,
    what the model expected (of forces an entry an atom)."""
    known = {"energy": (found.energy, units.MEV), "forces": (found.forces, units.EV_PER_ANGSTROM), "dipole": (found.dipole, units.DEBYE)}
    arrays = {}
    for name, (values, unit) in known.items():
        if values.size:
            origin = values[..., 0].mean() if name == "energy" else 0.0
            arrays |= {f"{name}_ref": (values[..., 0] - origin) / unit, f"{name}_pred": (values[..., 1] - origin) / unit}
        if found.uncertainty[name].size:
            arrays[f"{name}_deviation"] = found.uncertainty[name] / unit
    return arrays


def summary(found: Evaluation, extra: dict) -> dict:
    """Plain data: errors by name and unit, ``extra``, over how many frames each is, and how well the model expected them."""
    return {**found.summary(), **extra, "frames_with": found.labelled, "calibration": calibration_rows(found)}
