"""One line width for spectra that are compared: each is convolved with what it lacks."""

from __future__ import annotations

from math import sqrt

import numpy as np
from scipy.ndimage import gaussian_filter1d

from densnet.spectra.spectrum import Gaussian, Replicas, Spectrum

WIDTH = 30.0
"""cm^-1, full width at half height of a line in the figures. At the width of the window alone (16 cm^-1 for 2048 fs) a band of a rotating
molecule shows a structure that belongs to the rotational speeds of the few replicas, not to the molecule."""


def widened(spectrum: Spectrum, width: float = WIDTH, own: float | None = None) -> Spectrum:
    """``A * g`` with a Gaussian of ``sqrt(width^2 - own^2)``, so that lines ``own`` wide (full width at half height, cm^-1) get ``width``.

    ``own`` is what the header tells (``resolution_cm-1``, or ``resolution`` of a measured curve), else 0. The error band is that of the
    smoothed mean, from the replicas; it is dropped where they are not at hand. Integrals of whole bands stay. The spectrum itself where it
    is as wide already.
    """
    own = _told(spectrum) if own is None else own
    if width <= own:
        return spectrum
    sigma = Gaussian.of_width(sqrt(width**2 - own**2)).sigma
    step = min(float(np.diff(spectrum.axis).max()), 0.25 * sigma)
    even = np.ptp(np.diff(spectrum.axis)) < 1e-6 * step and np.diff(spectrum.axis).max() <= step
    axis = spectrum.axis if even else np.arange(spectrum.axis[0], spectrum.axis[-1] + 0.5 * step, step)

    def smooth(rows: np.ndarray) -> np.ndarray:
        placed = rows if even else np.stack([np.interp(axis, spectrum.axis, row) for row in rows])
        return gaussian_filter1d(placed, sigma / (axis[1] - axis[0]), axis=1, mode="nearest")

    error, replicas = None, spectrum.replicas
    if replicas is not None:
        replicas = Replicas(smooth(replicas.intensity), replicas.weights, replicas.groups)
        error = replicas.standard_error(replicas.intensity)
    header = {**spectrum.header, "resolution_cm-1": round(width, 3), "smoothed": f"Gaussian sigma {sigma:.2f} cm^-1"}
    return Spectrum(axis, smooth(spectrum.intensity[None])[0], spectrum.unit, error, header, replicas)


def sparse(spectrum: Spectrum, points: int = 12) -> Spectrum:
    """Every n-th point, so that ``points`` of them still lie within a line width: for the eye, and for integrals over bands, the same."""
    every = max(1, int(_told(spectrum) / (points * np.diff(spectrum.axis).max())))
    kept = slice(None, None, every)
    error = None if spectrum.error is None else spectrum.error[kept]
    return Spectrum(spectrum.axis[kept], spectrum.intensity[kept], spectrum.unit, error, spectrum.header)


def _told(spectrum: Spectrum) -> float:
    """Resolution in the header, cm^-1; 0 where it tells none."""
    for key in ("resolution_cm-1", "resolution"):
        try:
            return float(str(spectrum.header[key]).split()[0])
        except (KeyError, ValueError, IndexError):
            continue
    return 0.0
