"""Raman spectra, absolute, from normal modes or from polarizability time series of classical dynamics.

With alpha' = d alpha / dQ of a mode, a' = trace(alpha') / 3 and the anisotropy g'^2 = (3 sum_ij alpha'_ij^2 - trace(alpha')^2) / 2:
activity 45 a'^2 + 7 g'^2, and depolarisation 3 g'^2 / (45 a'^2 + 4 g'^2) for polarised light at right angles (D. A. Long, The Raman Effect,
2002). Both are those of a freely turning molecule and do not depend on its orientation. From dynamics, with b = alpha - a 1,

    a'^2 per cm^-1:  2 c S_a / k_B T,  S_a of adot;        g'^2 per cm^-1:  2 c S_g / k_B T,  S_g = 3/2 that of bdot, bdot : bdot

which integrate over a mode to its a'^2 and g'^2 (`timeseries`). Of one molecule in light of wavenumber nu_0, polarised across the
plane of scattering, per power that falls on an area, the powers scattered at right angles into the two polarisations are

    d sigma_par / d Omega = K (a'^2 + 4/45 g'^2),  d sigma_perp / d Omega = K g'^2 / 15
    K = (2 pi)^4 (nu_0 - nu)^4 h / (8 pi^2 c nu (1 - exp(-h c nu / k_B T)))

for the Stokes side, with polarizabilities as volumes (Schroetter and Kloeckner, in Raman Spectroscopy of Gases and Liquids, 1979).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import pi, sqrt

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from densnet import units
from densnet.observables.conformers import Ensemble
from densnet.observables.vibrations import Modes
from densnet.spectra.spectrum import Band, Spectrum, Sticks, cut, mixture
from densnet.spectra.timeseries import Rates, Sampling, SeriesSettings, checked, spectrum_of

ACTIVITY = "A^4/amu per cm^-1"
CROSS_SECTION = "1e-36 m^2/sr per cm^-1"
"""Units of the two ways to write a spectrum."""

_SQUARE_METRE = 1e-20 / units.ANGSTROM**2
"""1 bohr^2 in m^2."""


@dataclass(frozen=True)
class Lines:
    """One line a mode: ``frequencies`` cm^-1, the invariants a'^2 (``isotropic``) and g'^2 (``anisotropic``) in A^4/amu, all [modes]."""

    frequencies: Tensor
    isotropic: Tensor
    anisotropic: Tensor

    @property
    def activities(self) -> Tensor:
        """``45 a'^2 + 7 g'^2``, A^4/amu."""
        return 45 * self.isotropic + 7 * self.anisotropic

    @property
    def depolarisation(self) -> Tensor:
        """Ratios 0 to 3/4; NaN of a silent mode."""
        return 3 * self.anisotropic / (45 * self.isotropic + 4 * self.anisotropic)


def from_modes(modes: Modes, polarizability_derivatives: Tensor) -> Lines:
    """From d alpha / d R [atoms, 3, 3, 3], bohr^2; see `densnet.observables.response.polarizability_derivatives`."""
    slopes = torch.einsum("kax,axij->kij", modes.displacements, polarizability_derivatives)
    mean, anisotropy = invariants(slopes)
    return Lines(modes.frequencies, mean / units.RAMAN_ACTIVITY, anisotropy / units.RAMAN_ACTIVITY)


def lines_of(ensemble: Ensemble) -> dict[str, Lines]:
    """Of the conformers that know slopes of the polarizability, by name."""
    known = (c for c in ensemble.conformers if c.polarizability_slopes is not None)
    return {c.name: from_modes(c.modes, c.polarizability_slopes) for c in known}


def invariants(slopes: Tensor) -> tuple[Tensor, Tensor]:
    """a'^2 and g'^2 of symmetric ``slopes`` [..., 3, 3], in their unit squared."""
    trace = slopes.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (trace / 3) ** 2, (3 * slopes.square().sum((-2, -1)) - trace**2) / 2


@dataclass(frozen=True)
class Light:
    """What falls on the molecules: ``laser``, its wavelength in nm; and their ``temperature``, K."""

    laser: float
    temperature: float

    def cross_section(self, wavenumbers: NDArray) -> NDArray:
        """K at Raman shifts in cm^-1, > 0: 1e-36 m^2/sr per A^4/amu; 0 beyond the laser's own wavenumber."""
        shift = wavenumbers * units.INVERSE_CM
        scattered = 2 * pi * np.maximum(1e7 / self.laser - wavenumbers, 0.0) * 1e-8 / units.ANGSTROM  # 1/bohr
        populated = 2 * shift * -np.expm1(-shift / (self.temperature * units.KELVIN))
        return scattered**4 / populated * units.RAMAN_ACTIVITY * _SQUARE_METRE / 1e-36

    def __str__(self) -> str:
        return f"{self.laser:g} nm, {self.temperature:g} K"


@dataclass(frozen=True, eq=False)
class Raman:
    """A Raman spectrum by its two invariants, from which every other follows.

    isotropic    a'^2, A^4/amu per cm^-1          anisotropic  g'^2, the same unit and axis
    """

    isotropic: Spectrum
    anisotropic: Spectrum

    @property
    def activity(self) -> Spectrum:
        """``45 a'^2 + 7 g'^2``, A^4/amu per cm^-1, at any laser."""
        return self._combined(45.0, 7.0)

    def parallel(self, light: Light) -> Spectrum:
        """Differential cross section ``K (a'^2 + 4/45 g'^2)`` from one line width on."""
        return self._scattered(light, 1.0, 4 / 45)

    def perpendicular(self, light: Light) -> Spectrum:
        """Differential cross section ``K g'^2 / 15`` from one line width on."""
        return self._scattered(light, 0.0, 1 / 15)

    def total(self, light: Light) -> Spectrum:
        """Differential cross section of both polarisations together, ``K (45 a'^2 + 7 g'^2) / 45``, from one line width on."""
        return self._scattered(light, 1.0, 7 / 45)

    def band(self, lower: float, upper: float, light: Light) -> RamanBand:
        """What lies between two limits, cm^-1; the depolarisation is the ratio of the integrals of 3 g'^2 and 45 a'^2 + 4 g'^2, NaN of
        nothing."""
        crossed, along = self._combined(0.0, 3.0), self._combined(45.0, 4.0)
        polarised = along.integral(lower, upper)
        ratio, error = crossed.integral(lower, upper) / polarised if polarised else float("nan"), None
        if crossed.replicas is not None and polarised:
            rows = crossed.replicas.intensity - ratio * along.replicas.intensity
            grid, parts = cut(crossed.axis, rows, lower, upper)
            error = crossed.replicas.standard_error(np.trapezoid(parts, grid, axis=1) / polarised)
        scattered = self.total(light).band(lower, upper)
        return RamanBand(
            **self.activity.band(lower, upper).__dict__,
            depolarisation=ratio,
            depolarisation_error=None if error is None else float(error),
            cross_section=scattered.integral,
            cross_section_error=scattered.error,
        )

    def bands(self, limits: Iterable[tuple[float, float]], light: Light) -> list[RamanBand]:
        """A table: the `band` of each pair of limits (cm^-1)."""
        return [self.band(lower, upper, light) for lower, upper in limits]

    def _scattered(self, light: Light, mean: float, anisotropy: float) -> Spectrum:
        """K times a sum of the invariants. Below one line width K, which grows as 1/nu^2, would show what the window has smeared."""
        whole = self._combined(mean, anisotropy)
        whole = whole.above(float(whole.header["resolution_cm-1"]))
        factor = light.cross_section(whole.axis)
        error = None if whole.error is None else factor * whole.error
        rows = whole.replicas and replace(whole.replicas, intensity=factor * whole.replicas.intensity)
        header = {**whole.header, "laser_nm": light.laser, "scattering temperature_K": light.temperature}
        return Spectrum(whole.axis, factor * whole.intensity, CROSS_SECTION, error, header, rows)

    def _combined(self, mean: float, anisotropy: float) -> Spectrum:
        a, g = self.isotropic, self.anisotropic
        found, error, rows = mean * a.intensity + anisotropy * g.intensity, None, None
        if a.replicas is not None and g.replicas is not None:
            rows = replace(a.replicas, intensity=mean * a.replicas.intensity + anisotropy * g.replicas.intensity)
            error = rows.standard_error(rows.intensity)
        return Spectrum(a.axis, found, ACTIVITY, error, a.header, rows)


@dataclass(frozen=True)
class RamanBand(Band):
    """A band of the activity (integral in A^4/amu), its depolarisation ratio and differential cross section (1e-36 m^2/sr)."""

    depolarisation: float = 0.0
    depolarisation_error: float | None = None
    cross_section: float = 0.0
    cross_section_error: float | None = None


def sticks(lines: Lines, light: Light) -> Sticks:
    """Cross sections (1e-36 m^2/sr) of both polarisations together; none of modes that are no vibration."""
    real = lines.frequencies > 0
    nu, mean, anisotropy = (x[real].numpy() for x in (lines.frequencies, lines.isotropic, lines.anisotropic))
    return Sticks(nu, light.cross_section(nu) * (mean + 7 / 45 * anisotropy))


def from_series(
    polarizability: ArrayLike, sampling: Sampling, weights: ArrayLike | None = None, settings: SeriesSettings = SeriesSettings()
) -> Raman:
    """Spectrum of polarizabilities [replicas, steps, 3, 3] (bohr^3), a mean over replicas with its standard error.

    Estimators are those of the infrared, see `Rates.of_series`. ``weights`` [replicas]: e.g. populations of conformers; see `mixed` to
    keep conformers apart.
    """
    alpha = checked(polarizability, (3, 3), "polarizability")
    mean = np.trace(alpha, axis1=2, axis2=3)[..., None] / 3
    traceless = sqrt(1.5) * (alpha.reshape(*alpha.shape[:2], 9) - mean * np.eye(3).ravel())
    both = (
        spectrum_of(Rates.of_series(x, sampling, settings), sampling, weights, settings, (units.RAMAN_ACTIVITY, ACTIVITY), "polarizability")
        for x in (mean, traceless)
    )
    return Raman(*both)


def mixed(spectra: list[Raman], weights: ArrayLike) -> Raman:
    """Those of conformers, by their ``weights``; see `mixture`."""
    if len(spectra) == 1:
        return spectra[0]
    return Raman(mixture([s.isotropic for s in spectra], weights), mixture([s.anisotropic for s in spectra], weights))
