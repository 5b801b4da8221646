"""From labels to training examples: fit the density, sample points of space; side by side, and nothing is fitted twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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
from densnet.molecules import Molecules
from densnet.properties import MissingProperty, Properties
from densnet.reference import fitting, workers
from densnet.training.examples import Example

Job = tuple[int, np.ndarray, np.ndarray, np.ndarray, str]


def prepare(
    labels: Dataset, basis: DensityBasis, folder: Path, *, points: int, processes: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Example]:  # fmt: skip
    """An `Example` for each label; fitted coefficients and ``points`` sampled points are kept in ``folder`` as one npz a frame.

    The file's name is a hash of geometry, orbitals, basis and number of points. Raises `MissingProperty` for a label without energy,
    forces, dipole or orbitals.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for index, label in enumerate(labels):
        try:
            label.properties.require("energy", "forces", "dipole", "orbitals")
        except MissingProperty as error:
            raise MissingProperty(f"training frame {index + 1}: {error}") from None
    jobs = [_job(index, label.properties.orbitals[0]) for index, label in enumerate(labels)]
    files = [folder / f"{_identity(job, basis, points)}.npz" for job in jobs]
    missing = [job for job, file in zip(jobs, files) if not file.exists()]
    done = len(jobs) - len(missing)
    for job, result in workers.results(missing, partial(_work, basis=basis, points=points), processes):
        if isinstance(result, Exception):
            raise result
        _save(files[job[0]], result)
        done += 1
        progress(done, len(jobs))
    known = [_known(label.properties, basis, file) for label, file in zip(labels, files)]
    return [Example(labelled, metric, points) for (labelled, points), metric in zip(known, _metrics([k[0] for k in known], basis))]


def _metrics(labels: list[Properties], basis: DensityBasis) -> list[Tensor]:
    """The Coulomb metric of each label, float32; in one piece of memory, since among large arrays small ones would leave holes."""
    sizes = [basis.functions(label.molecules.numbers) for label in labels]
    parts = torch.empty(sum(n * n for n in sizes)).split([n * n for n in sizes])
    return [part.view(n, n).copy_(fitting.metric(label.molecules, basis)) for label, part, n in zip(labels, parts, sizes)]


def _job(index: int, orbitals: Orbitals) -> Job:
    molecule = orbitals.molecule
    return index, molecule.numbers.numpy(), molecule.positions.numpy(), orbitals.coefficients.numpy(), orbitals.basis


def _identity(job: Job, basis: DensityBasis, points: int) -> str:
    digest = hashlib.sha256(f"{basis.fingerprint} {points} {job[4]}".encode())
    for array in job[1:4]:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _work(job: Job, *, basis: DensityBasis, points: int) -> dict[str, np.ndarray]:
    torch.set_num_threads(1)
    index, numbers, positions, coefficients, name = job
    molecule = Molecules.single(torch.from_numpy(numbers), torch.from_numpy(positions))
    orbitals = Orbitals(molecule=molecule, coefficients=torch.from_numpy(coefficients), basis=name)
    density = fitting.fit(orbitals, basis)
    seed = int.from_bytes(hashlib.sha256(positions.tobytes()).digest()[:6])
    sampled = sample(orbitals, points, torch.Generator().manual_seed(seed))
    arrays = {"points": sampled.positions, "weights": sampled.weights, "correction": sampled.correction}
    arrays["coefficients"] = density.coefficients
    return {key: tensor.float().numpy() for key, tensor in arrays.items()}


def _save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    part = file.with_suffix(".part")
    with open(part, "wb") as handle:
        np.savez(handle, **arrays)
    part.replace(file)


def _known(properties: Properties, basis: DensityBasis, file: Path) -> tuple[Properties, Points]:
    """A label with its fitted density, and the exact one on points."""
    with np.load(file, allow_pickle=False) as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    density = Density.of(properties.molecules, basis, tensors["coefficients"])
    points = Points(tensors["points"], tensors["weights"], tensors["correction"])
    return properties.replace(density=density, orbitals=None), points
