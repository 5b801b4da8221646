"""Infrared spectra, absolute, from normal modes or from dipole time series of classical dynamics.

Linear response of a molar gas with classical nuclei and the harmonic (Kubo) quantum correction:

    A(nu) = N_A / (6 eps0 c kB T) Int_{-inf}^{inf} <mudot(0) . mudot(t)> exp(-2 pi i c nu t) dt

in km/mol per cm^-1. One harmonic mode then integrates to ``|dmu/dQ|^2 / KM_PER_MOL`` at any temperature and time step, see `timeseries`.
"""

from __future__ import annotations

from numpy.typing import ArrayLike

from densnet import units
from densnet.observables.vibrations import Modes
from densnet.spectra.spectrum import ABSOLUTE, Spectrum, Sticks
from densnet.spectra.timeseries import SLOPES, Rates, Sampling, SeriesSettings, checked, spectrum_of

PREFACTOR = SLOPES / units.KM_PER_MOL
"""``N_A / (6 eps0 c kB)``: (e bohr / atomic time)^2 * atomic time, divided by K, times this is km/mol per cm^-1 (813870)."""

_SCALE = (units.KM_PER_MOL, ABSOLUTE)


def from_modes(modes: Modes) -> Sticks:
    """One line a mode: ``|dmu/dQ|^2``, 974.880 km/mol per e^2/amu. Broaden it with `Sticks.broaden`."""
    return Sticks(modes.frequencies.numpy(), modes.intensities.numpy(), {"method": "harmonic normal modes, double harmonic intensities"})


def from_series(
    dipole: ArrayLike, sampling: Sampling, weights: ArrayLike | None = None, settings: SeriesSettings = SeriesSettings()
) -> Spectrum:
    """Spectrum of dipoles [replicas, steps, 3] (e bohr), a mean over replicas with its standard error.

    mudot is the central difference over the sampling step, see `Rates.of_series`. ``weights`` [replicas]: e.g. populations of conformers;
    see `mixture` to keep conformers apart.
    """
    rates = Rates.of_series(checked(dipole, (3,), "dipole"), sampling, settings)
    return spectrum_of(rates, sampling, weights, settings, _SCALE, "dipole")


def from_velocities(
    mudot: ArrayLike, sampling: Sampling, weights: ArrayLike | None = None, settings: SeriesSettings = SeriesSettings()
) -> Spectrum:
    """As `from_series`, for the analytic ``mudot = sum_A (dmu/dR_A) v_A`` [replicas, steps, 3] (e bohr per atomic time)
    with the integrator's velocities on the step."""
    rates = Rates.of_velocities(checked(mudot, (3,), "dipole"), sampling, settings)
    return spectrum_of(rates, sampling, weights, settings, _SCALE, "dipole")
