"""From a time series of classical dynamics to the spectrum of its rate of change: what infrared and Raman have in common.

With x a series and ``S_x(nu) = Int_{-inf}^{inf} <xdot(0) . xdot(t)> exp(-2 pi i c nu t) dt``, ``2 c S_x / k_B T`` over one harmonic mode
integrates to ``|dx/dQ|^2`` at any temperature, and at any time step: Langevin dynamics by BAOAB, and velocity Verlet from there, have exact
positions and exact velocities half a step from them, and what is made of positions, of velocities and of temperatures here is what they
are at half steps. T is one for all replicas: a molecule whose rotation is slow by chance is not a cold one, so a mean over replicas of
S / T would not be that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy import fft

from densnet import units
from densnet.molecules import Molecules, neighbours
from densnet.settings import Section
from densnet.spectra.spectrum import Replicas, Spectrum, SpectrumError, normalised

SLOPES = units.INVERSE_CM / (np.pi * units.KELVIN)
"""``2 c / k_B``: (unit of x / atomic time)^2 * atomic time, divided by K, times this is (unit of x)^2 / electron mass per cm^-1."""

LINE = 33356.41
"""Full width of a line at half height, cm^-1, times the depth of the window, fs."""


class SeriesSettings(Section):
    """How a time series becomes a spectrum."""

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
    method       by which the series was made and what its correlation is taken for, in words; braces stand for what is correlated
    """

    sample_step: float
    time_step: float
    temperature: float | NDArray
    highest: float = STRETCHES[1, 1]
    method: str = "classical dynamics, {} autocorrelation, harmonic (Kubo) quantum correction"

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


@dataclass(frozen=True, eq=False)
class Rates:
    """The rate of change of a series, and what makes its power that at half steps.

    values    [replicas, steps, components] unit of the series per atomic time
    transfer  [frequencies] factor of the power
    """

    values: NDArray
    transfer: NDArray

    @classmethod
    def of_series(cls, series: NDArray, sampling: Sampling, settings: SeriesSettings) -> Rates:
        """Central differences over the sampling step dt_s, which give ``sin(w dt_s) / dt_s`` times a position.

        The velocity at half steps is ``2 sin(w dt / 2) / dt`` times it, w as observed. The ratio, squared, is put right.
        """
        values = (series[:, 2:] - series[:, :-2]) / (2.0 * sampling.sample_step)
        w = _angular(sampling, settings)
        # np.sinc(x) = sin(pi x) / (pi x), so that dt = 0 (exact dynamics) needs no case of its own
        return cls(values, (np.sinc(0.5 * w * sampling.time_step / np.pi) / np.sinc(w * sampling.sample_step / np.pi)) ** 2)

    @classmethod
    def of_velocities(cls, values: NDArray, sampling: Sampling, settings: SeriesSettings) -> Rates:
        """What is linear in velocities on the step, which are ``cos(w dt / 2)`` times those at half steps, w as observed."""
        return cls(values, 1.0 / np.cos(0.5 * _angular(sampling, settings) * sampling.time_step) ** 2)


def _angular(sampling: Sampling, settings: SeriesSettings) -> NDArray:
    """Angular frequency, per atomic time, at which each point of the axis is observed."""
    return 2.0 * np.pi * observed(axis(settings), sampling.time_step) * _CM


_CM = units.INVERSE_CM / (2.0 * np.pi)
"""1 cm^-1 as frequency (cycles per atomic time)."""


def axis(settings: SeriesSettings) -> NDArray:
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
    """``C_k = 1/(N-k) sum_t x(t) . x(t+k)`` [replicas, lags] of [replicas, steps, components], by FFT padded against wrap-around.

    Unbiased (divided by the number of products, not by N), so that the window alone shapes the lines.
    """
    steps = series.shape[1]
    size = fft.next_fast_len(steps + lags, real=True)
    power = sum(np.abs(fft.rfft(component, size, axis=1)) ** 2 for component in np.moveaxis(series, 2, 0))
    return fft.irfft(power, size, axis=1)[:, :lags] / (steps - np.arange(lags))


def checked(values: ArrayLike, shape: tuple[int, ...], name: str) -> NDArray:
    """The series of ``name`` [replicas, steps, *shape] in float64; raises `SpectrumError` if it has another shape, or holes."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 + len(shape) or values.shape[2:] != shape or len(values) == 0:
        sizes = ", ".join(["replicas", "steps", *map(str, shape)])
        raise SpectrumError(f"a {name} series must be [{sizes}], not {list(values.shape)}.")
    if not np.isfinite(values).all():
        raise SpectrumError(f"the {name} series contains a number that is not finite; the trajectory is broken.")
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


def suffices(entries: int, sample_step: float, time_step: float, settings: SeriesSettings, highest: float) -> None:
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


def spectrum_of(
    rates: Rates, sampling: Sampling, weights: ArrayLike | None, settings: SeriesSettings, scale: tuple[float, str], correlated: str
) -> Spectrum:
    """``scale 2 c S(nu) / k_B T``, a mean over replicas with its standard error; ``scale``: the size of its unit, and the unit's name.

    Correlate, window, transform at the observed wavenumber of every point of the true axis: evaluating the cosine sum there, instead of
    interpolating a zero-padded FFT, undoes the Verlet shift exactly. The Jacobian ``dnu / dnu_true = 1 / cos(pi c nu dt)`` keeps integrals.
    ``weights`` [replicas] are e.g. populations of conformers. Replicas are divided by their mean temperature; the error is that of the
    ratio of the two means. ``correlated``: what the series is, in a word.
    """
    suffices(rates.values.shape[1] - 1, sampling.sample_step, sampling.time_step, settings, sampling.highest)
    depth, true = settings.depth * units.FEMTOSECOND, axis(settings)
    lags = int(np.ceil(depth / sampling.sample_step))
    correlation = autocorrelation(rates.values - rates.values.mean(axis=1, keepdims=True), lags)
    damped = correlation * window(lags, sampling.sample_step, depth)
    damped[:, 0] *= 0.5
    nu = observed(true, sampling.time_step)
    phase = 2.0 * np.pi * _CM * sampling.sample_step * np.arange(lags)
    pieces = np.array_split(nu, max(1, lags * len(nu) // 4_000_000))  # bounds the cosine table to 32 MB
    transform = np.concatenate([damped @ np.cos(np.outer(phase, piece)) for piece in pieces], axis=1) * 2.0 * sampling.sample_step
    scaled = SLOPES / scale[0] * transform * rates.transfer / np.cos(np.pi * _CM * nu * sampling.time_step)

    replicas = Replicas.ratio(scaled, sampling.temperature, normalised(weights, len(scaled)))
    header = _header(rates.values.shape, sampling, replicas, settings, correlated)
    found, error = replicas.mean(replicas.intensity), replicas.standard_error(replicas.intensity)
    return Spectrum(true, found, scale[1], error, header, replicas)


def _header(
    shape: tuple[int, ...], sampling: Sampling, replicas: Replicas, settings: SeriesSettings, correlated: str
) -> dict[str, str | float]:
    return {
        "method": sampling.method.format(correlated),
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
