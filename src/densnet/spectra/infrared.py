"""Infrared spectra, absolute, from normal modes or from dipole time series of classical dynamics.

Linear response of a molar gas with classical nuclei and the harmonic (Kubo) quantum correction:

    A(nu) = N_A / (6 eps0 c kB T) Int_{-inf}^{inf} <mudot(0) . mudot(t)> exp(-2 pi i c nu t) dt

in km/mol per cm^-1. One harmonic mode then integrates to ``|dmu/dQ|^2 / KM_PER_MOL`` at any temperature, and at any time step: Langevin
dynamics by BAOAB, and velocity Verlet from there, have exact positions and exact velocities half a step from them, and what is made of
positions, of velocities and of temperatures here is what they are at half steps. T is one for all replicas: a molecule whose rotation is
slow by chance is not a cold one, so a mean over replicas of A would not be A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy import fft

from densnet import units
from densnet.molecules import Molecules, neighbours
from densnet.observables.vibrations import Modes
from densnet.settings import Section
from densnet.spectra.spectrum import Replicas, Spectrum, SpectrumError, Sticks, normalised

PREFACTOR = units.INVERSE_CM / (np.pi * units.KELVIN * units.KM_PER_MOL)
"""``N_A / (6 eps0 c kB)``: (e bohr / atomic time)^2 * atomic time, divided by K, times this is km/mol per cm^-1 (813870)."""


LINE = 33356.41
"""Full width of a line at half height, cm^-1, times the depth of the window, fs."""


class InfraredSettings(Section):
    """How a dipole time series becomes a spectrum."""

    depth: float = Field(
        2048.0, description="length of the one-sided cos^2 window on the correlation function, fs; line width 33356/depth cm^-1", gt=0
    )
    maximum: float = Field(4500.0, description="upper end of the axis, cm^-1", gt=0)
    step: float = Field(1.0, description="spacing of the axis, cm^-1; at most half a line width", gt=0)


STRETCHES = {(1, 1): 4401.0, (1, 6): 3400.0, (1, 7): 3600.0, (1, 8): 4000.0, (1, 9): 4200.0, (1, 16): 2800.0, (1, 17): 3050.0}
"""cm^-1 by atomic numbers: no stretch of such a bond lies higher (harmonic values of H2, C2H2, NH, H2O, HF, SH, HCl, rounded up)."""

OTHERS = 2450.0
"""cm^-1, of bonds without hydrogen (CO2 2397, N2 2359)."""


@dataclass(frozen=True)
class Sampling:
    """Times of a series, atomic units, and what was measured along it.

    sample_step  time between two entries of the series
    time_step    the velocity-Verlet integrator's step; 0 for a series without integration error
    temperature  kinetic temperature in K, measured at half steps: [replicas], of which the (weighted) mean is taken, or one known for all
    highest      cm^-1, above which the series holds nothing, see `highest_wavenumber`; sampling must resolve it, whatever is shown
    method       by which the series was made and what its correlation is taken for, in words
    """

    sample_step: float
    time_step: float
    temperature: float | NDArray
    highest: float = STRETCHES[1, 1]
    method: str = "classical dynamics, dipole autocorrelation, harmonic (Kubo) quantum correction"

    def __post_init__(self):
        if not 0 <= self.time_step <= self.sample_step * (1 + 1e-9) or not self.sample_step > 0:
            raise SpectrumError(
                f"sampling every {self.sample_step / units.FEMTOSECOND:.4g} fs with a time step of "
                f"{self.time_step / units.FEMTOSECOND:.4g} fs is impossible; both come from the trajectory's header."
            )
        if not (np.isfinite(self.temperature).all() and (np.asarray(self.temperature) > 0).all()):
            raise SpectrumError(
                f"a measured temperature is {float(np.min(self.temperature)):g} K, not a positive number, and a spectrum is divided by it; "
                "trajectories of an older densnet have none (it was measured on the step, off by up to 10 %): simulate again."
            )


def from_modes(modes: Modes) -> Sticks:
    """One line a mode: ``|dmu/dQ|^2``, 974.880 km/mol per e^2/amu. Broaden it with `Sticks.broaden`."""
    return Sticks(modes.frequencies.numpy(), modes.intensities.numpy(), {"method": "harmonic normal modes, double harmonic intensities"})


def from_series(
    dipole: ArrayLike, sampling: Sampling, weights: ArrayLike | None = None, settings: InfraredSettings = InfraredSettings()
) -> Spectrum:
    """Spectrum of dipoles [replicas, steps, 3] (e bohr), a mean over replicas with its standard error.

    mudot is the central difference over the sampling step dt_s, which gives ``sin(w dt_s) / dt_s`` times a position; the velocity at half
    steps is ``2 sin(w dt / 2) / dt`` times it, w as observed. The ratio, squared, is put right.
    ``weights`` [replicas]: e.g. populations of conformers; see `mixture` to keep conformers apart.
    Replicas are divided by their mean temperature; the error is that of the ratio of the two means.
    """
    dipole = _series(dipole, 3, sampling, settings)
    mudot = (dipole[:, 2:] - dipole[:, :-2]) / (2.0 * sampling.sample_step)
    w = 2.0 * np.pi * observed(axis(settings), sampling.time_step) * _CM
    # np.sinc(x) = sin(pi x) / (pi x), so that dt = 0 (exact dynamics) needs no case of its own
    transfer = (np.sinc(0.5 * w * sampling.time_step / np.pi) / np.sinc(w * sampling.sample_step / np.pi)) ** 2
    return _spectrum(mudot, transfer, sampling, weights, settings)


def from_velocities(
    mudot: ArrayLike, sampling: Sampling, weights: ArrayLike | None = None, settings: InfraredSettings = InfraredSettings()
) -> Spectrum:
    """As `from_series`, for the analytic ``mudot = sum_A (dmu/dR_A) v_A`` [replicas, steps, 3] (e bohr per atomic time)
    with the integrator's velocities on the step, which are ``cos(w dt / 2)`` times those at half steps, w as observed."""
    mudot = _series(mudot, 1, sampling, settings)
    w = 2.0 * np.pi * observed(axis(settings), sampling.time_step) * _CM
    return _spectrum(mudot, 1.0 / np.cos(0.5 * w * sampling.time_step) ** 2, sampling, weights, settings)


_CM = units.INVERSE_CM / (2.0 * np.pi)
"""1 cm^-1 as frequency (cycles per atomic time)."""


def axis(settings: InfraredSettings) -> NDArray:
    """The even axis of a spectrum from dynamics: 0 .. maximum, cm^-1."""
    return np.arange(0.0, settings.maximum + 0.5 * settings.step, settings.step)


def observed(true: NDArray, time_step: float) -> NDArray:
    """Where velocity Verlet puts a line: ``sin(pi c nu dt) / (pi c dt) = nu_true`` solved for nu, cm^-1; ``time_step`` in au."""
    if time_step == 0:
        return true
    scale = np.pi * _CM * time_step
    if scale * true.max() >= 1.0:
        raise SpectrumError(f"velocity Verlet is unstable at {true.max():g} cm^-1 with this time step; lower `maximum` or the time step.")
    return np.arcsin(scale * true) / scale


def window(lags: int, sample_step: float, depth: float) -> NDArray:
    """One-sided ``cos^2(pi t / (2 depth))``, zero beyond ``depth``: [lags] at t = k ``sample_step`` (same unit)."""
    t = np.arange(lags) * sample_step
    return np.where(t < depth, np.cos(0.5 * np.pi * t / depth) ** 2, 0.0)


def autocorrelation(series: NDArray, lags: int) -> NDArray:
    """``C_k = 1/(N-k) sum_t x(t) . x(t+k)`` [replicas, lags] of [replicas, steps, 3], by FFT padded against wrap-around.

    Unbiased (divided by the number of products, not by N), so that the window alone shapes the lines.
    """
    steps = series.shape[1]
    size = fft.next_fast_len(steps + lags, real=True)
    power = (np.abs(fft.rfft(series, size, axis=1)) ** 2).sum(axis=2)
    return fft.irfft(power, size, axis=1)[:, :lags] / (steps - np.arange(lags))


def _series(values: ArrayLike, least: int, sampling: Sampling, settings: InfraredSettings) -> NDArray:
    """The checked series [replicas, steps, 3] in float64; ``least`` more entries than the window must be there."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 3 or values.shape[2] != 3 or len(values) == 0:
        raise SpectrumError(f"a dipole series must be [replicas, steps, 3], not {list(values.shape)}.")
    if not np.isfinite(values).all():
        raise SpectrumError("the dipole series contains a number that is not finite; the trajectory is broken.")
    suffices(values.shape[1] - least, sampling.sample_step, sampling.time_step, settings, sampling.highest)
    return values


def highest_wavenumber(molecule: Molecules) -> float:
    """cm^-1, above which a single molecule absorbs nothing, from its bonds: `STRETCHES`, of isotopes times sqrt of the reduced masses."""
    numbers, found = molecule.numbers.tolist(), [OTHERS]
    masses, common = molecule.masses.tolist(), Molecules.single(molecule.numbers, molecule.positions).masses.tolist()
    for i, bonded in enumerate(neighbours(molecule)):
        for j in bonded:
            lighter = (1 / masses[i] + 1 / masses[j]) / (1 / common[i] + 1 / common[j])
            found.append(STRETCHES.get((numbers[i], numbers[j]), OTHERS) * lighter**0.5)
    return max(found)


def suffices(entries: int, sample_step: float, time_step: float, settings: InfraredSettings, highest: float) -> None:
    """Raises `SpectrumError` unless so many ``entries``, what a derivative leaves of a series, give the spectrum of ``settings``.

    The steps and ``highest`` are those of `Sampling`.
    """
    fs = sample_step / units.FEMTOSECOND
    if entries * fs < settings.depth:
        raise SpectrumError(
            f"the series lasts {entries * fs:.4g} fs, which is shorter than the window (`depth` = {settings.depth:g} fs); "
            "simulate longer or lower `depth` (lines get wider)."
        )
    width = LINE / settings.depth
    if settings.step > 0.5 * width:
        raise SpectrumError(
            f"an axis with a `step` of {settings.step:g} cm^-1 misses lines of {width:.3g} cm^-1, the width for `depth` = "
            f"{settings.depth:g} fs; lower `step` to {0.5 * width:.2g} or less."
        )
    held, shown = observed(np.array([highest, axis(settings)[-1]]), time_step).tolist()
    resolved, needed = 0.9 * 0.5 / (sample_step * _CM), max(held, shown)
    if needed > resolved:
        often = fs * resolved / needed
        step_fs = time_step / units.FEMTOSECOND
        remedy = f"sample every {step_fs * max(1, often // step_fs) if time_step else often:.3g} fs or more often"
        problem = f"sampling every {fs:.4g} fs resolves up to {resolved:.0f} cm^-1, but "
        if held > resolved:
            problem += f"the molecule may absorb up to {held:.0f} cm^-1, which would appear in a false place; {remedy}."
        else:
            problem += f"`maximum` is {settings.maximum:g} cm^-1; lower `maximum`, or {remedy}."
        raise SpectrumError(problem)


def _spectrum(mudot: NDArray, transfer: NDArray, sampling: Sampling, weights: ArrayLike | None, settings: InfraredSettings) -> Spectrum:
    """Correlate, window, transform at the observed wavenumber of every point of the true axis.

    Evaluating the cosine sum there, instead of interpolating a zero-padded FFT, undoes the Verlet shift exactly. The Jacobian
    ``dnu / dnu_true = 1 / cos(pi c nu dt)`` keeps integrals.
    """
    depth, true = settings.depth * units.FEMTOSECOND, axis(settings)
    lags = int(np.ceil(depth / sampling.sample_step))
    correlation = autocorrelation(mudot - mudot.mean(axis=1, keepdims=True), lags)
    damped = correlation * window(lags, sampling.sample_step, depth)
    damped[:, 0] *= 0.5
    nu = observed(true, sampling.time_step)
    phase = 2.0 * np.pi * _CM * sampling.sample_step * np.arange(lags)
    pieces = np.array_split(nu, max(1, lags * len(nu) // 4_000_000))  # bounds the cosine table to 32 MB
    transform = np.concatenate([damped @ np.cos(np.outer(phase, piece)) for piece in pieces], axis=1) * 2.0 * sampling.sample_step
    scaled = PREFACTOR * transform * transfer / np.cos(np.pi * _CM * nu * sampling.time_step)

    replicas = Replicas.ratio(scaled, sampling.temperature, normalised(weights, len(scaled)))
    header = _header(mudot.shape, sampling, replicas, settings)
    found, error = replicas.mean(replicas.intensity), replicas.standard_error(replicas.intensity)
    return Spectrum(true, found, error=error, header=header, replicas=replicas)


def _header(shape: tuple[int, ...], sampling: Sampling, replicas: Replicas, settings: InfraredSettings) -> dict[str, str | float]:
    return {
        "method": sampling.method,
        "replicas": shape[0],
        "effective replicas": round(float(1.0 / (replicas.weights**2).sum()), 2),
        "length_ps": round(shape[1] * sampling.sample_step / units.PICOSECOND, 6),
        "sampling_fs": round(sampling.sample_step / units.FEMTOSECOND, 6),
        "time step_fs": round(sampling.time_step / units.FEMTOSECOND, 6),
        "temperature_K": round(float(np.sum(replicas.weights * sampling.temperature)), 3),
        **_scatter(sampling, replicas),
        "window": f"one-sided cos^2, {settings.depth:g} fs",
        "resolution_cm-1": round(LINE / settings.depth, 3),
        "Verlet shift": "undone",
        "error": "one standard error over replicas" if len(replicas.weights) > 1 else "unknown (a single replica)",
    }


def _scatter(sampling: Sampling, replicas: Replicas) -> dict[str, float]:
    """The standard error of a temperature that was measured along several replicas."""
    if np.ndim(sampling.temperature) == 0 or (error := replicas.standard_error(np.asarray(sampling.temperature))) is None:
        return {}
    return {"temperature error_K": round(float(error), 3)}
