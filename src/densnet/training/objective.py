"""Losses and metrics between two Properties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from densnet import units
from densnet.dataset.points import DensityError, density_error, response_error
from densnet.density.expansion import Density
from densnet.density.grids import molecular_grid, shell
from densnet.density.orbitals import Orbitals
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.properties import Properties
from densnet.training.examples import Batch


def coulomb_error(predicted: Density, coefficients: Tensor, metrics: Tensor) -> Tensor:
    """[molecules] electrostatic self-energy (d | d) / 2, hartree, of the difference d of a density from one with the same exponents.

    ``coefficients`` [atoms, width] are the other's; ``metrics`` the Coulomb matrices of the molecules (`coulomb_metric`), flat.
    """
    keep = predicted.basis.mask(predicted.molecules.numbers)
    sizes = predicted.molecules.total(keep.sum(1, keepdim=True)).squeeze(1).tolist()
    difference = (predicted.coefficients - coefficients.to(predicted.coefficients.dtype))[keep]
    parts = zip(difference.split(sizes), metrics.split([n * n for n in sizes]), strict=True)
    return torch.stack([0.5 * d @ (metric.view(len(d), len(d)) @ d) for d, metric in parts])


def point_error(predicted: Density, batch: Batch) -> Tensor:
    """[molecules] estimate of integral |rho - rho_DFT| dr / N_e in percent, from the points of a ``batch`` with unbiased weights."""
    molecules = predicted.molecules
    values = predicted.values(batch["places"])
    absolute = (values - batch["correction"].to(values.dtype)).abs() * batch["weights"].to(values.dtype)
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


INNER, OUTER, SHELL_POINTS = 2.0 * units.ANGSTROM, 4.0 * units.ANGSTROM, 1000
"""Where potentials are compared: points whose nearest nucleus is so far away. Nuclei of other molecules come that near, from hydrogen bonds
to contacts; counted from nuclei, the region needs no table of radii."""


@dataclass(frozen=True)
class Exact:
    """What follows from the orbitals of a label, atomic units.

    quadrupole   (orbitals) -> [1, 3, 3]        as `Density.quadrupole`
    potential    (orbitals, points) -> [points] of nuclei and electrons
    """

    quadrupole: Callable[[Orbitals], Tensor]
    potential: Callable[[Orbitals, Tensor], Tensor]


@dataclass(frozen=True)
class Agreement:
    """Expected deviations against errors: root mean squares of both (atomic units), the shares of error components within one and two
    deviations (0.68 and 0.95 if errors are normal), the rms of error / deviation (1), and the rank correlation of deviation and length
    (None for a single one).
    """

    rms_error: float
    rms_deviation: float
    within_one: float
    within_two: float
    rms_ratio: float
    rank_correlation: float | None

    @classmethod
    def of(cls, deviations: np.ndarray, errors: np.ndarray) -> Agreement:
        """From ``deviations`` [n] and the components of the ``errors`` [n, components]."""
        ratios = errors / deviations[:, None]
        ranks = [np.argsort(np.argsort(values)).astype(float) for values in (deviations, np.linalg.norm(errors, axis=1))]
        return cls(
            rms_error=float(np.sqrt((errors**2).mean())),
            rms_deviation=float(np.sqrt((deviations**2).mean())),
            within_one=float((np.abs(ratios) < 1).mean()),
            within_two=float((np.abs(ratios) < 2).mean()),
            rms_ratio=float(np.sqrt((ratios**2).mean())),
            rank_correlation=float(np.corrcoef(ranks[0], ranks[1])[0, 1]) if len(errors) > 1 else None,
        )


@dataclass(frozen=True)
class Evaluation:
    """Errors of a model on frames, with the numbers behind them for parity plots.

    energy [frames, 2], forces [components, 2], dipole [frames, 3, 2], quadrupole [frames, 3, 3, 2], potential [points, 2]: (reference,
    predicted), atomic units; density [frames, 2]: percent of the electrons, percent of the promolecule's error; polarizability
    [frames, 3, 3, 2] and response [frames], percent of the integral of its modulus, of a model that knows them. An entry is empty where
    the data hold no such label; ``labelled`` says over how many frames each is. ``uncertainty``: of energy [frames], forces [atoms] and
    dipole [frames] the standard deviation of a component that the model expected, atomic units; empty where the model knows nothing of
    its errors.
    """

    frames: int
    energy: np.ndarray
    forces: np.ndarray
    dipole: np.ndarray
    density: np.ndarray
    quadrupole: np.ndarray
    potential: np.ndarray
    polarizability: np.ndarray
    response: np.ndarray
    uncertainty: dict[str, np.ndarray]
    labelled: dict[str, int]

    def summary(self) -> dict[str, float | int | None]:
        """Errors in the units of the keys; None where there is no label.

        Mean absolute errors; dipole: mean length of the error vector; quadrupole: over the nine components; potential: mean absolute and
        root mean square over the points of all frames, the latter also in percent of the potential's own root mean square.
        """

        def mean(values: np.ndarray) -> float | None:
            return float(values.mean()) if values.size else None

        def gap(pairs: np.ndarray, unit: float) -> np.ndarray:
            return (pairs[..., 1] - pairs[..., 0]) / unit

        volts = gap(self.potential, units.MILLIVOLT)
        rms = float(np.sqrt((volts**2).mean())) if volts.size else None
        own = np.sqrt((self.potential[..., 0] ** 2).mean()) / units.MILLIVOLT if volts.size else None
        return {
            "frames": self.frames,
            "energy_mae_meV": mean(np.abs(gap(self.energy, units.MEV))),
            "force_mae_meV_per_A": mean(np.abs(gap(self.forces, units.MEV_PER_ANGSTROM))),
            "dipole_mae_D": mean(np.linalg.norm(gap(self.dipole, units.DEBYE), axis=-1)),
            "density_error_percent": mean(self.density[..., 0]),
            "density_error_percent_of_promolecule": mean(self.density[..., 1]),
            "quadrupole_mae_D_A": mean(np.abs(gap(self.quadrupole, units.DEBYE_ANGSTROM))),
            "potential_mae_mV": mean(np.abs(volts)),
            "potential_rmse_mV": rms,
            "potential_rmse_percent": None if rms is None else 100 * rms / float(own),
            "polarizability_mae_au": mean(np.abs(gap(self.polarizability, 1.0))),
            "response_error_percent": mean(self.response),
        }

    def calibration(self) -> dict[str, Agreement]:
        """How the expected deviations agree with the errors: of energies, atoms' forces, dipoles; those that are known."""
        found = {}
        for name, components in (("energy", 1), ("forces", 3), ("dipole", 3)):
            errors = np.diff(getattr(self, name), axis=-1).reshape(-1, components)
            if self.uncertainty[name].size and len(errors):
                found[name] = Agreement.of(self.uncertainty[name], errors)
        return found


def evaluate(
    predict: Callable[[Molecules], Properties],
    frames: Sequence[Properties],
    *,
    density_frames: int | None = None,
    exact: Exact | None = None,
    respond: Callable[[Molecules], Properties] | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Compare ``predict`` with labelled single-molecule ``frames``, one by one.

    The density error is an integral over a grid, |rho - rho_DFT| against the exact DFT density of the label; it is the slow part, and
    ``density_frames`` limits it to the first so many frames that hold orbitals. On the same frames, if ``exact`` is given, quadrupole and
    electrostatic potential are compared, the latter `INNER` to `OUTER` from the nearest nucleus. ``respond`` predicts polarizability and
    response, for frames that hold them.
    """
    empty = {"energy": (0, 2), "forces": (0, 2), "dipole": (0, 3, 2), "density": (0, 2), "quadrupole": (0, 3, 3, 2), "potential": (0, 2)}
    empty |= {"polarizability": (0, 3, 3, 2), "response": (0,)}
    expected: dict[str, list[np.ndarray]] = {name: [np.zeros(0)] for name in ("energy", "forces", "dipole")}
    columns: dict[str, list[np.ndarray]] = {name: [np.zeros(shape)] for name, shape in empty.items()}
    labelled = dict.fromkeys(empty, 0)
    count = dense = 0
    for frame in frames:
        predicted = predict(frame.molecules)
        for name in ("energy", "forces", "dipole"):
            if (reference := getattr(frame, name)) is not None:
                pair = _pair(reference, getattr(predicted, name))
                columns[name].append(pair.reshape(-1, 2) if name == "forces" else pair)
                labelled[name] += 1
                if (known := getattr(predicted.uncertainty, name, None)) is not None:
                    expected[name].append(known.double().cpu().numpy())
        if frame.orbitals is not None and (density_frames is None or dense < density_frames):
            error: DensityError = density_error(predicted.density, frame.orbitals[0], molecular_grid(frame.molecules))
            columns["density"].append(np.array([[error.percent, error.percent_of_promolecule]]))
            if exact is not None:
                for name, pair in _surroundings(predicted.density, frame.orbitals[0], exact).items():
                    columns[name].append(pair)
                    labelled[name] += 1
            dense += 1
        if respond is not None and frame.polarizability is not None:
            for name, values in _in_a_field(
                respond(frame.molecules), frame, in_space=density_frames is None or count < density_frames
            ).items():
                columns[name].append(values)
                labelled[name] += 1
        count += 1
        progress(count, len(frames))
    whole, expectation = ({name: np.concatenate(parts) for name, parts in found.items()} for found in (columns, expected))
    return Evaluation(count, **whole, uncertainty=expectation, labelled={**labelled, "density": dense})


def _in_a_field(predicted: Properties, frame: Properties, *, in_space: bool) -> dict[str, np.ndarray]:
    """(reference, predicted) polarizability [1, 3, 3, 2], and if wanted the error of the response [1] in percent."""
    found = {"polarizability": _pair(frame.polarizability, predicted.polarizability)}
    if in_space and frame.orbitals is not None and frame.orbitals[0].first_order is not None:
        found["response"] = np.array([response_error(predicted.response, frame.orbitals[0])])
    return found


def _surroundings(density: Density, orbitals: Orbitals, exact: Exact) -> dict[str, np.ndarray]:
    """(reference, predicted) quadrupole [1, 3, 3, 2] and potential [points, 2] of one molecule."""
    density = density.to(device="cpu", dtype=torch.float64)
    points = shell(orbitals.molecule, INNER, OUTER, SHELL_POINTS)
    return {
        "quadrupole": _pair(exact.quadrupole(orbitals), density.quadrupole()),
        "potential": _pair(exact.potential(orbitals, points), density.potential(points)),
    }


def _pair(reference: Tensor, predicted: Tensor) -> np.ndarray:
    return torch.stack([reference.double(), predicted.detach().double().cpu()], dim=-1).numpy()
