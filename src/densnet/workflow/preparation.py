"""From labels to training examples: fit densities, sample points of space; side by side, nothing twice, one frame at a time in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from densnet.dataset.dataset import Dataset
from densnet.dataset.points import sample
from densnet.density.basis import DensityBasis
from densnet.density.orbitals import Orbitals
from densnet.errors import DensnetError
from densnet.files import replacing, sha256
from densnet.progress import Progress, silent
from densnet.properties import MissingProperty, Properties
from densnet.reference import fitting, workers
from densnet.threads import one_thread
from densnet.training.examples import Example
from densnet.training.shelf import Shelf


class PreparationError(DensnetError):
    """Frames that could not be prepared; the message says why."""


Job = tuple[int, Sequence[Orbitals], bool]
"""The frame's index, its orbitals, whether it is fitted."""


def prepare(
    labels: Dataset, basis: DensityBasis, folder: Path, *, points: int, processes: int = 0,
    progress: Progress = silent, fits: int | None = None,
) -> list[Example]:  # fmt: skip
    """An `Example` for each label; fitted coefficients and ``points`` sampled points are kept in ``folder`` as one npz a frame.

    ``fits``: how many frames of each composition are fitted, spread over all; None: every frame, with its Coulomb metric, several MB. The
    file's name is a hash of geometry, orbitals, basis and number of points, and of whether there is a fit. In memory are energies, forces
    and dipoles; the rest is on a `Shelf` in ``folder``. Raises `MissingProperty` for a label without energy, forces, dipole or orbitals.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, label in enumerate(labels):
        try:
            label.properties.require("energy", "forces", "dipole", "orbitals")
        except MissingProperty as error:
            remedy = "energies alone can be learned from a trained model (`--start`) with `train.points.steps = 0`"
            raise MissingProperty(f"training frame {index + 1}: {error} Without orbitals and dipoles, {remedy}.") from None
    fitted = set(range(len(labels))) if fits is None else _spread(labels, fits)
    files = [_file(folder, label.properties.orbitals[0], basis, points, fitted=k in fitted) for k, label in enumerate(labels)]
    missing = [(k, label.properties.orbitals, k in fitted) for k, label in enumerate(labels) if not _whole(files[k])]
    done = len(labels) - len(missing)
    with workers.Processes(processes) as local:
        for job, result in workers.results(missing, partial(_work, basis=basis, points=points), local):
            if isinstance(result, workers.Died):
                raise PreparationError(
                    f"a process that prepared frame {job[0] + 1} was killed ({result}); give it more memory, or fewer cores."
                )
            if isinstance(result, Exception):
                raise result
            _save(files[job[0]], result)
            done += 1
            progress(done, len(labels))
    shelf, metric = Shelf(folder), fits is None
    return [_example(label.properties.replace(orbitals=None), basis, file, shelf, metric=metric) for label, file in zip(labels, files)]


def of_energies(labels: Dataset, basis: DensityBasis) -> list[Example]:
    """An `Example` for each label with nothing of its density. Raises `MissingProperty` for a label without energy or forces."""
    for index, label in enumerate(labels):
        try:
            label.properties.require("energy", "forces")
        except MissingProperty as error:
            raise MissingProperty(f"training frame {index + 1}: {error}") from None
    nothing = Shelf().put({})
    return [Example(label.properties.replace(orbitals=None), basis, nothing) for label in labels]


def _spread(labels: Dataset, count: int) -> set[int]:
    """Indices of ``count`` frames of each composition, evenly over the list."""
    members: dict[bytes, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label.properties.molecules.numbers.numpy().tobytes(), []).append(index)
    return {own[k * len(own) // count] for own in members.values() for k in range(count)}


def _file(folder: Path, orbitals: Orbitals, basis: DensityBasis, points: int, *, fitted: bool) -> Path:
    """Where a frame is kept; one with a fit does for one without, too."""
    whole = folder / f"{_identity(orbitals, basis, points)}.npz"
    return whole if fitted or whole.exists() else whole.with_name(f"{whole.stem}-points.npz")


def _identity(orbitals: Orbitals, basis: DensityBasis, points: int) -> str:
    molecule = orbitals.molecule
    charge = f" charge {int(molecule.net_charge)}" if molecule.net_charge.any() else ""
    tensors = (molecule.numbers, molecule.positions, orbitals.coefficients, orbitals.first_order)
    arrays = (tensor.numpy().tobytes() for tensor in tensors if tensor is not None)
    return sha256(f"{basis.fingerprint} {points} {orbitals.basis}{charge}", *arrays)[:16]


@one_thread()
def _work(job: Job, *, basis: DensityBasis, points: int) -> dict[str, np.ndarray]:
    _, (orbitals,), fitted = job
    seed = int(sha256(orbitals.molecule.positions.numpy().tobytes())[:12], 16)
    sampled = sample(orbitals, points, torch.Generator().manual_seed(seed))
    arrays = {"points": sampled.positions, "weights": sampled.weights, "correction": sampled.correction}
    if sampled.response is not None:
        arrays["response"] = sampled.response
    if fitted:
        arrays["coefficients"] = fitting.fit(orbitals, basis).coefficients
    return {key: tensor.float().numpy() for key, tensor in arrays.items()}


def _whole(file: Path) -> bool:
    """Whether the file is there and its list of contents, which is written last, too."""
    return file.exists() and zipfile.is_zipfile(file)


def _save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(file, "wb") as handle:
        np.savez(handle, **arrays)


def _example(properties: Properties, basis: DensityBasis, file: Path, shelf: Shelf, *, metric: bool) -> Example:
    """A label with what is known of it in its ``file``, put on the ``shelf``."""
    with np.load(file, allow_pickle=False) as arrays:
        tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    tensors["places"] = tensors.pop("points")
    if metric:
        tensors["metric"] = fitting.metric(properties.molecules, basis).float()
    return Example(properties, basis, shelf.put(tensors))
