"""How alike two spectra are: one number never travels without the grid, width, clip and range it was made with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from densnet.settings import Section
from densnet.spectra.spectrum import Spectrum, SpectrumError, cut, smoothed


class ComparisonSettings(Section):
    """How two spectra are brought to one footing."""

    lower: float = Field(400.0, description="lower end of the range, cm^-1", ge=0)
    upper: float = Field(4000.0, description="upper end of the range, cm^-1", gt=0)
    step: float = Field(2.0, description="spacing of the common grid, cm^-1", gt=0)
    sigma: float = Field(10.0, description="sigma of the Gaussian for smoothing both spectra, cm^-1; 0: none", ge=0)
    clip: float = Field(1e-10, description="smallest value of the normalised spectra", gt=0)


@dataclass(frozen=True)
class Comparison:
    """Likeness of two spectra, with what it was computed on (`lower`, `upper`, `step`, `sigma` in cm^-1, `clip`).

    similarity   spectral information similarity, 0..1
    pearson      linear correlation coefficient, -1..1
    wasserstein  earth mover's distance of the spectra normalised to area 1, cm^-1
    """

    similarity: float
    pearson: float
    wasserstein: float
    lower: float
    upper: float
    step: float
    sigma: float
    clip: float

    def __str__(self) -> str:
        return (
            f"SIS {self.similarity:.3f}, r {self.pearson:.3f}, Wasserstein {self.wasserstein:.1f} cm^-1 "
            f"({self.lower:g}-{self.upper:g} cm^-1, step {self.step:g}, Gaussian sigma {self.sigma:g}, clip {self.clip:g})"
        )


def compare(spectrum: Spectrum, reference: Spectrum, settings: ComparisonSettings = ComparisonSettings()) -> Comparison:
    """Compare on the part of the range that both cover; the result states that part.

    Both are cut to the range, smoothed on the common grid (after interpolation if coarse), normalised to sum 1, clipped and normalised
    again to p, q: ``SIS = 1 / (1 + sum p ln(p/q) + q ln(q/p))``. Pearson's r is taken before the clip, the Wasserstein distance
    ``step sum |P - Q|`` after it, with P, Q the cumulated p, q. Overall scale drops out of all three.
    """
    lower, upper = _shared(spectrum.axis, reference.axis, settings)
    grid = np.arange(lower, upper + 1e-9 * settings.step, settings.step)
    a, b = (_on_grid(s, grid, settings.sigma) for s in (spectrum, reference))
    p, q = (_distribution(v, settings.clip) for v in (a, b))
    divergence = np.sum((p - q) * np.log(p / q))
    return Comparison(
        similarity=float(1.0 / (1.0 + divergence)),
        pearson=float(np.corrcoef(a, b)[0, 1]),
        wasserstein=float(settings.step * np.abs(np.cumsum(p - q)).sum()),
        lower=float(lower),
        upper=float(upper),
        step=settings.step,
        sigma=settings.sigma,
        clip=settings.clip,
    )


def comparable(measured: Spectrum, maximum: float, name: str, settings: ComparisonSettings = ComparisonSettings()) -> Spectrum:
    """The ``measured`` curve itself; raises `SpectrumError`, with its ``name``, if it could not be compared with 0 .. ``maximum`` cm^-1."""
    try:
        _shared(np.array([0.0, maximum]), measured.axis, settings)
    except SpectrumError as error:
        raise SpectrumError(f"{name}: {error}") from None
    return measured


def _shared(first: NDArray, second: NDArray, settings: ComparisonSettings) -> tuple[float, float]:
    """The range that two axes and the settings share."""
    lower, upper = max(settings.lower, first[0], second[0]), min(settings.upper, first[-1], second[-1])
    if upper - lower < 10 * settings.step:
        raise SpectrumError(
            f"nothing to compare: the spectra cover {first[0]:g}-{first[-1]:g} and {second[0]:g}-{second[-1]:g} cm^-1, asked for is "
            f"{settings.lower:g}-{settings.upper:g} cm^-1."
        )
    return float(lower), float(upper)


def _on_grid(spectrum: Spectrum, grid: NDArray, sigma: float) -> NDArray:
    if sigma == 0:
        return np.interp(grid, spectrum.axis, spectrum.intensity)
    axis, (intensity,) = cut(spectrum.axis, spectrum.intensity[None], grid[0], grid[-1])
    return smoothed(Spectrum(axis, intensity), grid, sigma)


def _distribution(values: NDArray, clip: float) -> NDArray:
    positive = np.maximum(values, 0.0)
    if positive.sum() <= 0:
        raise SpectrumError("a spectrum without any intensity in the range cannot be compared; check its range and ordinate.")
    clipped = np.maximum(positive / positive.sum(), clip)
    return clipped / clipped.sum()
