"""From labels to training examples: fit densities, sample points of space; side by side, and nothing is fitted twice."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from densnet.dataset.dataset import Dataset
from densnet.dataset.points import Points, sample
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.orbitals import Orbitals
from densnet.errors import DensnetError
from densnet.files import replacing, sha256
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.properties import MissingProperty, Properties
from densnet.reference import fitting, workers
from densnet.threads import one_thread
from densnet.training.examples import Example


class PreparationError(DensnetError):
    """Frames that could not be prepared; the message says why."""


Job = tuple[int, np.ndarray, np.ndarray, np.ndarray, str, int, np.ndarray | None]


def prepare(
    labels: Dataset, basis: DensityBasis, folder: Path, *, points: int, processes: int = 0,
    progress: Progress = silent, fits: int | None = None,
) -> list[Example]:  # fmt: skip
    """An `Example` for each label; fitted coefficients and ``points`` sampled points are kept in ``folder`` as one npz a frame.

    ``fits``: how many frames of each composition are fitted, spread over all; None: every frame, with its Coulomb metric, several MB. The
    file's name is a hash of geometry, orbitals, basis and number of points, and of whether there is a fit. Raises `MissingProperty` for a
    label without energy, forces, dipole or orbitals.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, label in enumerate(labels):
        try:
            label.properties.require("energy", "forces", "dipole", "orbitals")
        except MissingProperty as error:
            raise MissingProperty(f"training frame {index + 1}: {error}") from None
    jobs = [_job(index, label.properties.orbitals[0]) for index, label in enumerate(labels)]
    fitted = set(range(len(jobs))) if fits is None else _spread(jobs, fits)
    files = [_file(folder, job, basis, points, fitted=index in fitted) for index, job in enumerate(jobs)]
    missing = [(job, index in fitted) for index, job in enumerate(jobs) if not _whole(files[index])]
    done = len(jobs) - len(missing)
    with workers.Processes(processes) as local:
        for (job, _), result in workers.results(missing, partial(_work, basis=basis, points=points), local):
            if isinstance(result, workers.Died):
                raise PreparationError(
                    f"a process that prepared frame {job[0] + 1} was killed ({result}); give it more memory, or fewer cores."
                )
            if isinstance(result, Exception):
                raise result
            _save(files[job[0]], result)
            done += 1
            progress(done, len(jobs))
    known = [_known(label.properties, basis, file) for label, file in zip(labels, files)]
    metric = _metrics([k[0] for k in known], basis) if fits is None else [None] * len(known)
    return [Example(labelled, own, points) for (labelled, points), own in zip(known, metric)]


def _spread(jobs: list[Job], count: int) -> set[int]:
    """Indices of ``count`` frames of each composition, evenly over the list."""
    members: dict[bytes, list[int]] = {}
    for index, job in enumerate(jobs):
        members.setdefault(job[1].tobytes(), []).append(index)
    return {own[k * len(own) // count] for own in members.values() for k in range(count)}


def _file(folder: Path, job: Job, basis: DensityBasis, points: int, *, fitted: bool) -> Path:
    """Where a frame is kept; one with a fit does for one without, too."""
    whole = folder / f"{_identity(job, basis, points)}.npz"
    return whole if fitted or whole.exists() else whole.with_name(f"{whole.stem}-points.npz")


def _metrics(labels: list[Properties], basis: DensityBasis) -> list[Tensor]:
    """The Coulomb metric of each label, float32; in one piece of memory, since among large arrays small ones would leave holes."""
    sizes = [basis.functions(label.molecules.numbers) for label in labels]
    parts = torch.empty(sum(n * n for n in sizes)).split([n * n for n in sizes])
    return [part.view(n, n).copy_(fitting.metric(label.molecules, basis)) for label, part, n in zip(labels, parts, sizes)]


def _job(index: int, orbitals: Orbitals) -> Job:
    molecule = orbitals.molecule
    arrays = molecule.numbers.numpy(), molecule.positions.numpy(), orbitals.coefficients.numpy()
    changes = None if orbitals.first_order is None else orbitals.first_order.numpy()
    return index, *arrays, orbitals.basis, int(molecule.net_charge), changes


def _identity(job: Job, basis: DensityBasis, points: int) -> str:
    charge = f" charge {job[5]}" if job[5] else ""
    arrays = job[1:4] if job[6] is None else (*job[1:4], job[6])
    return sha256(f"{basis.fingerprint} {points} {job[4]}{charge}", *(array.tobytes() for array in arrays))[:16]


@one_thread()
def _work(job: tuple[Job, bool], *, basis: DensityBasis, points: int) -> dict[str, np.ndarray]:
    (_, numbers, positions, coefficients, name, charge, changes), fitted = job
    molecule = Molecules.single(torch.from_numpy(numbers), torch.from_numpy(positions), charge=charge)
    first_order = None if changes is None else torch.from_numpy(changes)
    orbitals = Orbitals(molecule, torch.from_numpy(coefficients), name, first_order)
    seed = int(sha256(positions.tobytes())[:12], 16)
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


def _known(properties: Properties, basis: DensityBasis, file: Path) -> tuple[Properties, Points]:
    """A label with its fitted density, if there is one, and the exact one on points."""
    with np.load(file, allow_pickle=False) as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    density = Density.of(properties.molecules, basis, tensors["coefficients"]) if "coefficients" in tensors else None
    points = Points(tensors["points"], tensors["weights"], tensors["correction"], tensors.get("response"))
    return properties.replace(density=density, orbitals=None), points
