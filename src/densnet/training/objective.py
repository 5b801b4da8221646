"""Losses and metrics between two Properties."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from densnet import units
from densnet.dataset.points import DensityError, density_error
from densnet.density.expansion import Density
from densnet.density.grids import molecular_grid
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.training.examples import Batch


def coulomb_error(predicted: Density, target: Density, metrics: tuple[Tensor, ...]) -> Tensor:
    """[molecules] electrostatic self-energy (d | d) / 2 of the difference d of two densities with the same exponents, hartree."""
    keep = target.basis.mask(target.molecules.numbers)
    difference = predicted.coefficients - target.coefficients.to(predicted.coefficients.dtype)
    sizes = target.molecules.total(keep.sum(1, keepdim=True)).squeeze(1).tolist()
    parts = difference[keep].split(sizes)
    return torch.stack([0.5 * d @ (metric @ d) for d, metric in zip(parts, metrics, strict=True)])


def point_error(predicted: Density, batch: Batch) -> Tensor:
    """[molecules] estimate of integral |rho - rho_DFT| dr / N_e in percent, from sampled points with unbiased weights."""
    molecules = predicted.molecules
    values = predicted.values(batch.points.positions)
    absolute = (values - batch.points.correction.to(values.dtype)).abs() * batch.points.weights.to(values.dtype)
    return 100 * absolute.sum(1) / molecules.total(molecules.numbers.to(values.dtype))


def dipole_error(predicted: Tensor, target: Tensor) -> Tensor:
    """[molecules] |mu - mu_DFT|^2, (e bohr)^2."""
    return (predicted - target.to(predicted.dtype)).square().sum(-1)


def force_error(predicted: Tensor, target: Tensor, floor: float) -> Tensor:
    """Mean over atoms of sqrt(|F - F_DFT|^2 + floor^2), hartree/bohr; a length, so that a few bad frames do not rule the training."""
    return ((predicted - target.to(predicted.dtype)).square().sum(-1) + floor**2).sqrt().mean()


def energy_error(predicted: Tensor, target: Tensor, sizes: Tensor, floor: float) -> Tensor:
    """Mean over molecules of sqrt((error per atom)^2 + floor^2), hartree."""
    return (((predicted - target) / sizes).square() + floor**2).sqrt().mean()


@dataclass(frozen=True)
class Evaluation:
    """Errors of a model on frames, with the numbers behind them for parity plots.

    energy [frames, 2], forces [components, 2], dipole [frames, 3, 2]: (reference, predicted), atomic units; density [frames, 2]: percent of
    the electrons, percent of the promolecule's error. An entry is empty where the data hold no such label.
    """

    frames: int
    energy: np.ndarray
    forces: np.ndarray
    dipole: np.ndarray
    density: np.ndarray

    def summary(self) -> dict[str, float | int | None]:
        """Mean absolute errors in the units of the keys; dipole: mean length of the error vector; None where there is no label."""

        def mean(values: np.ndarray) -> float | None:
            return float(values.mean()) if values.size else None

        def gap(pairs: np.ndarray, unit: float) -> np.ndarray:
            return (pairs[..., 1] - pairs[..., 0]) / unit

        return {
            "frames": self.frames,
            "energy_mae_meV": mean(np.abs(gap(self.energy, units.MEV))),
            "force_mae_meV_per_A": mean(np.abs(gap(self.forces, units.MEV_PER_ANGSTROM))),
            "dipole_mae_D": mean(np.linalg.norm(gap(self.dipole, units.DEBYE), axis=-1)),
            "density_error_percent": mean(self.density[..., 0]),
            "density_error_percent_of_promolecule": mean(self.density[..., 1]),
        }


def evaluate(
    predict: Callable[[Molecules], Properties],
    frames: Iterable[Properties],
    *,
    density_frames: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Compare ``predict`` with labelled single-molecule ``frames``, one by one.

    The density error is an integral over a grid, |rho - rho_DFT| against the exact DFT density of the label; it is the slow part, and
    ``density_frames`` limits it to the first so many frames that hold orbitals.
    """
    columns: dict[str, list[np.ndarray]] = {"energy": [], "forces": [], "dipole": [], "density": []}
    count = 0
    for frame in frames:
        predicted = predict(frame.molecules)
        for name in ("energy", "forces", "dipole"):
            reference = getattr(frame, name)
            if reference is not None:
                pair = torch.stack([reference.double(), getattr(predicted, name).double().cpu()], dim=-1).numpy()
                columns[name].append(pair.reshape(-1, 2) if name == "forces" else pair)
        if frame.orbitals is not None and (density_frames is None or len(columns["density"]) < density_frames):
            error: DensityError = density_error(predicted.density, frame.orbitals[0], molecular_grid(frame.molecules))
            columns["density"].append(np.array([[error.percent, error.percent_of_promolecule]]))
        count += 1
        progress(count)
    empty = {"energy": (0, 2), "forces": (0, 2), "dipole": (0, 3, 2), "density": (0, 2)}
    return Evaluation(count, **{n: np.concatenate(v) if v else np.zeros(empty[n]) for n, v in columns.items()})
