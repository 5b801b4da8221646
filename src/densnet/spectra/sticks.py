"""Harmonic lines of an ensemble, the bands that they fall into, and bands of a spectrum beside them."""

from __future__ import annotations

import numpy as np
import torch

from densnet.observables.conformers import Ensemble
from densnet.spectra.raman import RamanBand, lines_of
from densnet.spectra.spectrum import Band, Sticks


def sticks_of(ensemble: Ensemble, temperature: float) -> Sticks:
    """Harmonic lines of all conformers, the intensities of each times its weight at ``temperature`` (K)."""
    weights = ensemble.weights(temperature)
    lines = torch.cat([c.modes.frequencies for c in ensemble.conformers])
    strengths = torch.cat([w * c.modes.intensities for w, c in zip(weights, ensemble.conformers)])
    order = lines.argsort()
    return Sticks(lines[order].numpy(), strengths[order].numpy())


def grouped(first: Sticks, second: Sticks, gap: float = 200.0) -> list[tuple[float, float, float, float]]:
    """Lines of ``first`` nearer than ``gap`` (cm^-1) as one band: lowest line, highest line, intensity in ``first`` and in ``second``."""
    starts = np.flatnonzero(np.diff(first.frequencies, prepend=-np.inf) > gap)
    sums = (np.add.reduceat(sticks.intensities, starts) for sticks in (first, second))
    ends = np.append(starts[1:], len(first.frequencies)) - 1
    return list(zip(first.frequencies[starts], first.frequencies[ends], *sums))


def bands_around(sticks: Sticks, gap: float = 200.0, margin: float = 450.0, floor: float = 350.0) -> list[tuple[float, float]]:
    """Limits (cm^-1) of the bands of harmonic lines: groups parted by more than ``gap``, with up to ``margin`` on both sides.

    A group that lies below ``floor``, where the free molecule's rotation absorbs, is left out.
    """
    groups = [(low, high) for low, high, _, _ in grouped(sticks, sticks, gap) if high > floor]
    middles = [0.5 * (a[1] + b[0]) for a, b in zip(groups, groups[1:])]
    lower = [max(floor if k == 0 else middles[k - 1], low - margin) for k, (low, _) in enumerate(groups)]
    upper = [min(middles[k] if k < len(middles) else np.inf, high + margin) for k, (_, high) in enumerate(groups)]
    return [(float(a), float(b)) for a, b in zip(lower, upper) if a < b]


def band_rows(bands: list[Band], sticks: Sticks) -> list[dict]:
    """Bands of a spectrum as plain data, each with the harmonic intensity (km/mol) that falls between its limits."""
    inside = [(sticks.frequencies > b.lower) & (sticks.frequencies < b.upper) for b in bands]
    return [{**b.__dict__, "harmonic": float(sticks.intensities[mask].sum())} for b, mask in zip(bands, inside)]


def raman_rows(bands: list[RamanBand], ensemble: Ensemble, temperature: float) -> list[dict]:
    """Bands of a Raman spectrum as plain data, each with activity (A^4/amu) and depolarisation of the harmonic lines between its limits."""
    rows = []
    for band in bands:
        activity, ratio = raman_between(ensemble, temperature, band.lower, band.upper) or (None, None)
        rows.append({**band.__dict__, "harmonic": activity, "harmonic_depolarisation": ratio})
    return rows


def raman_between(ensemble: Ensemble, temperature: float, lower: float, upper: float) -> tuple[float, float | None] | None:
    """Activity (A^4/amu) and depolarisation of the harmonic lines between two limits (cm^-1), conformers weighted at ``temperature`` (K).

    None where a conformer does not know the slopes of its polarizability; a ratio of None where nothing scatters.
    """
    lines, weights = lines_of(ensemble), ensemble.weights(temperature).tolist()
    if len(lines) < len(ensemble.conformers):
        return None
    mean = anisotropy = 0.0
    for own, weight in zip(lines.values(), weights):
        inside = (own.frequencies > lower) & (own.frequencies < upper)
        mean += weight * float(own.isotropic[inside].sum())
        anisotropy += weight * float(own.anisotropic[inside].sum())
    polarised = 45 * mean + 4 * anisotropy
    return 45 * mean + 7 * anisotropy, 3 * anisotropy / polarised if polarised else None
