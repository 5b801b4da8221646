"""Spectrum: axis, intensity, unit, error band; sticks and their profiles; bands; mixtures of conformers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import find_peaks

from densnet.errors import DensnetError
from densnet.markup import curve, facts, folded, shown

ABSOLUTE = "km/mol per cm^-1"
"""Unit of an absolute molar spectrum: its integral over a band is that band's intensity in km/mol."""


class SpectrumError(DensnetError):
    """A spectrum that cannot be made or used; the message names the value and the remedy."""


@dataclass(frozen=True, eq=False)
class Replicas:
    """What replicas contribute to a mean, so that *any* linear figure of it gets its own standard error.

    intensity  [replicas, frequencies]
    weights    [replicas], sum 1
    groups     [replicas] int: independent samples of the same thing (one conformer) share a number
    """

    intensity: NDArray
    weights: NDArray
    groups: NDArray

    @classmethod
    def ratio(cls, numerators: NDArray, denominators: ArrayLike, weights: NDArray) -> Replicas:
        """``r = <x> / <y>`` of two means, ``x`` [replicas, frequencies] and ``y`` [replicas] or one number: one group of replicas.

        Their `intensity` is ``r + (x_i - r y_i) / <y>``: the mean of it is r, and its scatter that of r (to first order, as for any ratio).
        """
        y = np.broadcast_to(np.asarray(denominators, dtype=np.float64), len(numerators))
        middle = weights @ y
        mean = weights @ numerators / middle
        rows = mean + (numerators - np.outer(y, mean)) / middle
        return cls(rows, weights, np.zeros(len(rows), dtype=np.int64))

    def mean(self, values: NDArray) -> NDArray:
        """Weighted mean of ``values`` [replicas, ...]."""
        return np.tensordot(self.weights, values, axes=1)

    def standard_error(self, values: NDArray) -> NDArray | None:
        """Standard error of `mean`: ``sqrt(sum_g n_g / (n_g - 1) sum_i w_i^2 (x_i - <x>_g)^2)``.

        With equal weights and one group this is ``s / sqrt(n)``. None if a group has a single replica.
        """
        variance = np.zeros(values.shape[1:])
        for group in np.unique(self.groups):
            member = self.groups == group
            n, w, x = member.sum(), self.weights[member], values[member]
            if n < 2:
                return None
            deviation = x - np.tensordot(w / w.sum(), x, axes=1)
            variance += n / (n - 1) * np.tensordot(w**2, deviation**2, axes=1)
        return np.sqrt(variance)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Intensity over wavenumber.

    axis       [frequencies] cm^-1, ascending
    intensity  [frequencies] in `unit`
    unit       `ABSOLUTE`, "absorbance" (decadic, dimensionless) or "arbitrary units"
    error      [frequencies] one standard error of `intensity`, or None where unknown
    header     where it is from: name -> text or number
    replicas   the single spectra that `intensity` is the mean of, or None
    """

    axis: NDArray
    intensity: NDArray
    unit: str = ABSOLUTE
    error: NDArray | None = None
    header: Mapping[str, str | float] = field(default_factory=dict)
    replicas: Replicas | None = None

    def __post_init__(self):
        for name in ("axis", "intensity") + (() if self.error is None else ("error",)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
            if getattr(self, name).shape != (len(self.axis),):
                raise SpectrumError(f"`{name}` has the shape {getattr(self, name).shape}, but the axis has {len(self.axis)} points.")
            if not np.isfinite(getattr(self, name)).all():
                raise SpectrumError(f"`{name}` of a spectrum contains a number that is not finite; check the data it was computed from.")
        if len(self.axis) < 2 or (np.diff(self.axis) <= 0).any():
            raise SpectrumError("the axis of a spectrum must have at least two points and ascend strictly; sort it and drop doubles.")

    def _repr_html_(self) -> str:
        """In a notebook: the curve with its error, and where it is from."""
        span = f"{self.axis[0]:g} to {self.axis[-1]:g} cm^-1, {len(self.axis)} points"
        made = folded(f"{span}; how it was made", facts(self.header.items()))
        return shown("Spectrum", curve(self.axis, self.intensity, self.error, unit=self.unit), made)

    def integral(self, lower: float, upper: float) -> float:
        """``Int_lower^upper A(nu) dnu`` by trapezoids; km/mol for an absolute spectrum."""
        grid, rows = cut(self.axis, self.intensity[None], lower, upper)
        return float(np.trapezoid(rows[0], grid))

    def centroid(self, lower: float, upper: float) -> float:
        """``Int nu A dnu / Int A dnu`` between the limits, cm^-1."""
        grid, rows = cut(self.axis, self.intensity[None], lower, upper)
        return float(np.trapezoid(grid * rows[0], grid) / np.trapezoid(rows[0], grid))

    def band(self, lower: float, upper: float) -> Band:
        """What lies between two limits (cm^-1). The error is over replicas; without these the band of errors is
        integrated, which takes all points as fully correlated and so is an upper bound."""
        grid, rows = cut(self.axis, self.intensity[None], lower, upper)
        error = shift = None
        centroid, integral = self.centroid(lower, upper), self.integral(lower, upper)
        if self.replicas is not None:
            parts = cut(self.axis, self.replicas.intensity, lower, upper)[1]
            error = self.replicas.standard_error(np.trapezoid(parts, grid, axis=1))
            shift = self.replicas.standard_error(np.trapezoid((grid - centroid) * parts, grid, axis=1) / integral)
        elif self.error is not None:
            error = np.trapezoid(cut(self.axis, self.error[None], lower, upper)[1][0], grid)
        return Band(
            lower=float(grid[0]),
            upper=float(grid[-1]),
            centroid=centroid,
            maximum=float(grid[rows[0].argmax()]),
            integral=integral,
            error=None if error is None else float(error),
            centroid_error=None if shift is None else float(shift),
        )

    def above(self, lower: float) -> Spectrum:
        """What lies from ``lower`` (cm^-1) on."""
        seen = self.axis >= lower
        replicas = self.replicas and replace(self.replicas, intensity=self.replicas.intensity[:, seen])
        return replace(
            self,
            axis=self.axis[seen],
            intensity=self.intensity[seen],
            error=None if self.error is None else self.error[seen],
            replicas=replicas,
        )

    def bands(self, limits: Iterable[tuple[float, float]]) -> list[Band]:
        """A table: the `band` of each pair of limits (cm^-1)."""
        return [self.band(lower, upper) for lower, upper in limits]

    def find_bands(self, threshold: float = 0.01, width: float = 20.0) -> list[Band]:
        """Every band that stands out of the spectrum smoothed by a Gaussian of sigma ``width`` (cm^-1).

        A band is a peak above ``threshold`` times the maximum that rises by at least half its height above the valleys
        around it. It reaches to the lowest point towards its neighbour, or to 3 ``width`` beyond where it sinks below the threshold.
        """
        smooth = smoothed(self, self.axis, width)
        level = threshold * smooth.max()
        padded = np.concatenate([[0.0], smooth, [0.0]])  # so that a band cut off by the end of the axis is a peak too
        peaks, found = find_peaks(padded, height=level, prominence=0.0)
        peaks = peaks[found["prominences"] >= 0.5 * found["peak_heights"]] - 1
        valleys = [a + int(smooth[a:b].argmin()) for a, b in zip(peaks[:-1], peaks[1:])]
        limits = []
        for peak, left, right in zip(peaks, [0, *valleys], [*valleys, len(smooth) - 1]):
            below = np.flatnonzero(smooth < level)
            start = max([left, *below[below < peak]])
            stop = min([right, *below[below > peak]])
            lower, upper = self.axis[start] - 3 * width, self.axis[stop] + 3 * width
            limits.append((max(lower, self.axis[left]), min(upper, self.axis[right])))
        return self.bands(limits)


@dataclass(frozen=True)
class Band:
    """A band: limits, centroid and highest point in cm^-1; integral and its standard error in km/mol (for an absolute spectrum).

    ``centroid_error``: standard error of the centroid, of first order in the scatter of the replicas; None where unknown.
    """

    lower: float
    upper: float
    centroid: float
    maximum: float
    integral: float
    error: float | None
    centroid_error: float | None = None


def cut(axis: NDArray, rows: NDArray, lower: float, upper: float) -> tuple[NDArray, NDArray]:
    """Part of ``rows`` [rows, frequencies] over ``axis`` between two limits (cm^-1), which become points of the axis themselves."""
    first, last = max(lower, axis[0]), min(upper, axis[-1])
    if not first < last:
        raise SpectrumError(f"no band from {lower:g} to {upper:g} cm^-1: the spectrum covers {axis[0]:g} to {axis[-1]:g} cm^-1.")
    grid = np.concatenate([[first], axis[(axis > first) & (axis < last)], [last]])
    return grid, np.stack([np.interp(grid, axis, row) for row in rows])


class Profile(Protocol):
    """A line shape of unit area: distance from the line's centre (cm^-1) -> density (cm)."""

    def __call__(self, distance: NDArray) -> NDArray: ...


@dataclass(frozen=True)
class Gaussian:
    """``exp(-x^2 / 2 sigma^2) / (sigma sqrt(2 pi))``; ``sigma`` in cm^-1."""

    sigma: float

    @classmethod
    def of_width(cls, fwhm: float) -> Gaussian:
        """The one of full width ``fwhm`` (cm^-1) at half height."""
        return cls(fwhm / np.sqrt(8 * np.log(2)))

    def __call__(self, distance: NDArray) -> NDArray:
        return np.exp(-0.5 * (distance / self.sigma) ** 2) / (self.sigma * np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class Lorentzian:
    """``(w / 2 pi) / (x^2 + w^2 / 4)``; ``fwhm`` = w in cm^-1."""

    fwhm: float

    def __call__(self, distance: NDArray) -> NDArray:
        return self.fwhm / (2 * np.pi) / (distance**2 + 0.25 * self.fwhm**2)


@dataclass(frozen=True, eq=False)
class Sticks:
    """Lines without width: ``frequencies`` [modes] cm^-1 (imaginary ones negative), ``intensities`` [modes] km/mol."""

    frequencies: NDArray
    intensities: NDArray
    header: Mapping[str, str | float] = field(default_factory=dict)

    def broaden(self, axis: ArrayLike, profile: Profile = Gaussian(10.0)) -> Spectrum:
        """``A(nu) = sum_k I_k g(nu - nu_k)`` on ``axis`` (cm^-1); each line integrates to its intensity."""
        axis = np.asarray(axis, dtype=np.float64)
        lines = profile(axis[:, None] - np.asarray(self.frequencies)) @ np.asarray(self.intensities)
        return Spectrum(axis, lines, header={**self.header, "profile": f"{profile} cm^-1"})


def smoothed(spectrum: Spectrum, grid: NDArray, sigma: float) -> NDArray:
    """``Int A(nu') g(nu - nu') dnu'`` [grid] with a Gaussian of ``sigma`` cm^-1, over the spectrum's own axis (trapezoids, so
    that axis may be uneven; where it is coarser than ``sigma`` it is interpolated first, or each of its points would become a peak).
    ``grid`` ascends; what is farther than 8 sigma (1e-14 of the peak) is left out."""
    axis = spectrum.axis
    if np.diff(axis).max() > sigma:
        axis = np.union1d(axis, np.arange(axis[0], axis[-1], 0.25 * sigma))
    weights = np.gradient(axis)
    weights[[0, -1]] *= 0.5
    weighted, profile, pieces = weights * np.interp(axis, spectrum.axis, spectrum.intensity), Gaussian(sigma), []
    for piece in np.array_split(grid, max(1, len(grid) // 64)):
        near = slice(*np.searchsorted(axis, [piece[0] - 8 * sigma, piece[-1] + 8 * sigma]))
        pieces.append(profile(piece[:, None] - axis[near]) @ weighted[near])
    return np.concatenate(pieces)


def mixture(spectra: Sequence[Spectrum], weights: ArrayLike) -> Spectrum:
    """``sum_c w_c A_c`` of the spectra of conformers, the ``weights`` normalised to 1; errors of conformers are independent.

    Raises `SpectrumError` when axes or units differ.
    """
    weights = normalised(weights, len(spectra))
    first = spectra[0]
    for other in spectra[1:]:
        if other.unit != first.unit or not np.array_equal(other.axis, first.axis):
            raise SpectrumError("spectra of a mixture must share one axis and one unit; compute them with the same settings.")
    error, replicas = None, None
    if all(s.error is not None for s in spectra):
        error = np.sqrt(sum((w * s.error) ** 2 for w, s in zip(weights, spectra)))
    if all(s.replicas is not None for s in spectra):
        parts = [s.replicas for s in spectra]
        shifts = np.cumsum([0] + [p.groups.max() + 1 for p in parts])
        replicas = Replicas(
            np.concatenate([p.intensity for p in parts]),
            np.concatenate([w * p.weights for w, p in zip(weights, parts)]),
            np.concatenate([p.groups + s for p, s in zip(parts, shifts)]),
        )
    header = {**first.header, "mixture": " + ".join(f"{w:.4f}" for w in weights)}
    return Spectrum(first.axis, weights @ np.stack([s.intensity for s in spectra]), first.unit, error, header, replicas)


def normalised(weights: ArrayLike | None, count: int) -> NDArray:
    """``count`` weights of sum 1, equal ones where none are given; negative or wrongly many are refused."""
    if weights is None:
        return np.full(count, 1.0 / count)
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (count,) or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise SpectrumError(f"weights {weights.tolist()} do not fit: {count} numbers, none negative and not all zero, are needed.")
    return weights / weights.sum()
