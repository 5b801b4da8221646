"""What a trained model knows of its errors, from its training frames (what determines its last weights) and its validation frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from densnet.errors import DensnetError
from densnet.model.predictor import Predictor
from densnet.model.uncertainty import Calibration, Features, Rigidity, inverse_root, root_variance, slopes
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.properties import Properties

T = TypeVar("T")

FORCE_FRAMES = 256
"""Training frames, evenly spread, whose forces enter; a quarter of 938 gave the same uncertainties as all of them."""

BATCH = 32
"""Frames at once."""

POWERS = np.linspace(0.5, 4.0, 351)
"""Where the power of a calibration is looked for."""

ENOUGH = 20
"""Fewer validation frames than this do not determine a power; it is then 1."""

MARGIN = 0.99
"""Share of the validation frames that are within the limits."""


class CalibrationError(DensnetError):
    """Frames that no uncertainty can be had from; the message says what is missing."""


def assess(
    predictor: Predictor, training: list[Molecules], validation: list[Properties], progress: Progress = silent
) -> Rigidity:
    """The `Rigidity` of ``predictor``, which was trained on ``training`` and not on ``validation`` (energies, forces, dipoles).

    Needs two passes for the features and 3 x atoms for their slopes, for at most `FORCE_FRAMES` training frames and for all others.
    Raises `CalibrationError` without frames, `MissingProperty` without labels.
    """
    if not training or not validation:
        raise CalibrationError("an uncertainty needs training frames and validation frames; there are none of one of them.")
    labelled = Properties.concatenate([p.replace(orbitals=None) for p in validation]).require("energy", "forces", "dipole")
    few = [training[i] for i in np.unique(np.linspace(0, len(training) - 1, min(FORCE_FRAMES, len(training))).round().astype(int))]
    total, done = len(training) + len(few) + 3 * len(validation), 0

    def over(frames: list[Molecules], function: Callable[[Molecules], T]) -> Iterator[T]:
        nonlocal done
        for start in range(0, len(frames), BATCH):
            chosen = frames[start : start + BATCH]
            with torch.no_grad():
                yield function(Molecules.concatenate(chosen).to(predictor.device))
            done += len(chosen)
            progress(done, total)

    def labels(molecules: Molecules) -> Properties:
        return predictor(molecules).replace(density=None).to("cpu")

    def along(molecules: Molecules) -> Tensor:
        return slopes(lambda moved: predictor.features(moved).energy, molecules).double()

    predictor.uncertainty = None
    frames = [p.molecules for p in validation]
    errors = Errors.of(Properties.concatenate(list(over(frames, labels))), labelled)
    known = _joined(over(training, predictor.features))
    energy = _outer(known.energy) / errors.mean_square("energy")
    energy += _outer(torch.cat(list(over(few, along)))) * (len(training) / len(few)) / errors.mean_square("forces")
    roots = inverse_root(energy), inverse_root(_outer(known.dipole) / errors.mean_square("dipole"))
    watched = _joined(over(frames, predictor.features))
    variances = {
        "energy": root_variance(watched.energy, roots[0]),
        "forces": torch.cat([root_variance(moved, roots[0], vectors=True) for moved in over(frames, along)]),
        "dipole": root_variance(watched.dipole, roots[1], vectors=True),
    }
    found = {name: calibrate(v.cpu().numpy(), getattr(errors, name).numpy()) for name, v in variances.items()}
    limits = [float(torch.quantile(found[name](variances[name]), MARGIN)) for name in ("energy", "dipole")]
    whole = Rigidity(*roots, found, (limits[0], limits[1]))
    return whole.to(predictor.device, predictor.dtype)


class Errors:
    """Root mean squares over the components of each error of some frames, atomic units: ``energy`` [frames], ``forces`` [atoms], ``dipole``
    [frames].
    """

    def __init__(self, energy: Tensor, forces: Tensor, dipole: Tensor):
        self.energy, self.forces, self.dipole = energy, forces, dipole

    @classmethod
    def of(cls, said: Properties, labelled: Properties) -> Errors:
        """Of what a model ``said`` of ``labelled`` frames."""
        forces, dipole = said.forces.double() - labelled.forces.double(), said.dipole.double() - labelled.dipole.double()
        return cls((said.energy - labelled.energy).abs(), *(x.square().mean(1).sqrt() for x in (forces, dipole)))

    def mean_square(self, name: str) -> float:
        """Of one component; never zero."""
        return max(float(getattr(self, name).square().mean()), 1e-24)


def calibrate(root_variance: NDArray, error: NDArray) -> Calibration:
    """The `Calibration` that makes ``error`` (rms over components, [n]) most likely as normal errors with these deviations.

    With r = root_variance / its geometric mean, deviation(p)^2 = mean (error / r^p)^2 for each power p; the p with the smallest deviation
    has the largest likelihood.
    """
    root_variance = np.maximum(root_variance, np.finfo(np.float64).tiny)
    typical = float(np.exp(np.log(root_variance).mean()))
    powers = POWERS if len(error) >= ENOUGH else np.ones(1)
    deviations = np.sqrt(((error[:, None] / (root_variance[:, None] / typical) ** powers) ** 2).mean(0))
    best = int(deviations.argmin())
    return Calibration(typical, max(float(deviations[best]), 1e-12), float(powers[best]))


def _joined(parts: Iterable[Features]) -> Features:
    return Features(*(torch.cat(column).double() for column in zip(*parts)))


def _outer(features: Tensor) -> Tensor:
    """[K, K] sum of f f^T over everything but the last axis of ``features`` [..., K]."""
    rows = features.flatten(0, -2)
    return rows.T @ rows
