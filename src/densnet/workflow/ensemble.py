"""The spectrum of a mixture of conformers: each from the trajectories that start in it, weighted by free energies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from densnet import units
from densnet.molecules import Molecules, isotopologue
from densnet.observables.conformers import Ensemble
from densnet.observables.coordinates import nearest_conformer
from densnet.observables.vibrations import free_energy
from densnet.simulation.trajectory import Trajectory
from densnet.spectra import infrared, raman
from densnet.spectra.raman import Raman
from densnet.spectra.spectrum import Replicas, Spectrum, SpectrumError, mixture
from densnet.spectra.timeseries import Sampling, SeriesSettings, highest_wavenumber

T = TypeVar("T")

KJ_PER_MOL = 1 / 2625.4996
"""hartree"""


def origins(found: Ensemble, replicas: int) -> NDArray:
    """[replicas] the conformer that each starts in, start geometries being dealt in turn.

    Raises `SpectrumError` if one conformer has less than two replicas, so that its scatter is unknown.
    """
    start = np.array([found.members[k % len(found.members)] for k in range(replicas)])
    for index, conformer in enumerate(found.conformers):
        if (count := int((start == index).sum())) < 2:
            raise SpectrumError(
                f"conformer {conformer.name} has {count} of the replicas, but two are needed for an error bar; raise `simulate.replicas`, "
                f"now {replicas} for {len(found.members)} start geometries."
            )
    return start


def weighted_spectrum(run: Trajectory, found: Ensemble, temperature: float, settings: SeriesSettings) -> tuple[Spectrum, list[Spectrum]]:
    """``sum_c w_c A_c`` and the A_c: A_c from the replicas that start in c, w_c from free energies at ``temperature`` (K).

    Each A_c is divided by the mean temperature of its replicas, all of which obey one thermostat. The error is the scatter of the replicas
    within each conformer, carried through the weights: ``sqrt(sum_c w_c^2 s_c^2 / n_c)``.
    """
    parts = [_asked(part, run) for part in by_conformer(run, found, run.dipole, partial(infrared.from_series, settings=settings))]
    return _whole(parts, run, found, temperature), parts


def weighted_raman(run: Trajectory, found: Ensemble, temperature: float, settings: SeriesSettings) -> Raman:
    """As `weighted_spectrum`, from polarizabilities: both invariants."""
    parts = by_conformer(run, found, run.polarizability, partial(raman.from_series, settings=settings))
    both = zip(*((part.isotropic, part.anisotropic) for part in parts))
    return Raman(*(_whole([_asked(one, run) for one in own], run, found, temperature) for own in both))


def by_conformer(run: Trajectory, found: Ensemble, series: Tensor, estimate: Callable[[NDArray, Sampling], T]) -> list[T]:
    """``estimate`` of the ``series`` [replicas, samples, ...] of those replicas that start in each conformer."""
    start, means = origins(found, len(series)), run.temperature.mean(1).numpy()
    highest, parts = max(highest_wavenumber(c.molecule) for c in found.conformers), []
    for index in range(len(found.conformers)):
        mine = start == index
        sampling = Sampling(run.sample_step, run.time_step, means[mine], highest, run.method)
        parts.append(estimate(series[torch.from_numpy(mine)].numpy(), sampling))
    return parts


def _asked(part: Spectrum, run: Trajectory) -> Spectrum:
    return replace(part, header={**part.header, "set temperature_K": run.realised.asked})


def _whole(parts: Sequence[Spectrum], run: Trajectory, found: Ensemble, temperature: float) -> Spectrum:
    """The mixture of conformers, whose header counts all replicas."""
    if len(parts) == 1:
        return parts[0]
    whole = mixture(parts, found.weights(temperature).numpy())
    counted = {"replicas": len(run.temperature), "effective replicas": round(float(1 / (whole.replicas.weights**2).sum()), 2)}
    counted |= {"temperature_K": round(run.realised.mean, 3), "temperature error_K": round(run.realised.error, 3)}
    return replace(whole, header={**whole.header, **counted})


def named_isotopes(spectrum: Spectrum, run: Trajectory) -> Spectrum:
    """``spectrum`` of a ``run``, whose header names the isotopologue ("D2O") where it is not the most abundant one."""
    name = isotopologue(Molecules.single(run.numbers, torch.zeros(len(run.numbers), 3), run.masses))
    return replace(spectrum, header={**spectrum.header, "isotopologue": name}) if name else spectrum


def account(run: Trajectory, found: Ensemble, temperature: float) -> dict:
    """Plain data about conformers: energies (kJ/mol), weights, and what the dynamics makes of them.

    spent    [start][now] share of the time that trajectories from one conformer spend nearest to each; None if torsions
             do not tell them apart
    observed [conformers] sum over starts of weight times ``spent``, with standard errors: what the weights have become on the way. Were
             they those of the dynamics at equilibrium, they would not have changed
    dipoles  mean length of the dipole (D) along the trajectories, with standard errors, beside that at the minimum
    """
    start, weights = origins(found, len(run.dipole)), found.weights(temperature).numpy()
    counts = np.bincount(start)
    replicas = Replicas(run.dipole.numpy(), weights[start] / counts[start], start)
    lengths = run.dipole.norm(dim=2).mean(1).numpy() / units.DEBYE
    free = [free_energy(c.modes, c.energy, temperature) for c in found.conformers]
    lowest = min(c.energy for c in found.conformers), min(free)
    rows = []
    for index, c in enumerate(found.conformers):
        mine = lengths[start == index]
        rows.append({
            "name": c.name, "symmetry": c.symmetry, "replicas": int(counts[index]), "weight": float(weights[index]),
            "energy_kJ_per_mol": (c.energy - lowest[0]) / KJ_PER_MOL, "free_energy_kJ_per_mol": (free[index] - lowest[1]) / KJ_PER_MOL,
            "dipole_at_minimum_D": float(c.dipole.norm()) / units.DEBYE, "dipole_D": float(mine.mean()),
            "dipole_error_D": float(mine.std(ddof=1) / math.sqrt(len(mine))),
        })  # fmt: skip
    error = replicas.standard_error(lengths)
    mean = {"dipole_D": float(replicas.mean(lengths)), "dipole_error_D": float(error)}
    return {"temperature_K": temperature, "conformers": rows, **mean, **_whereabouts(run, found, replicas, start)}


def _whereabouts(run: Trajectory, found: Ensemble, replicas: Replicas, start: NDArray) -> dict:
    """Where trajectories are, by their torsions; nothing to tell of a single conformer."""
    if len(found.conformers) == 1:
        return {}
    places = torch.stack([c.molecule.positions for c in found.conformers])
    now = nearest_conformer(found.conformers[0].molecule, places, run.positions)
    if now is None:
        return {"spent": None}
    shares = torch.nn.functional.one_hot(now, len(places)).double().mean(1).numpy()
    spent = [shares[start == index].mean(0).tolist() for index in range(len(places))]
    error = replicas.standard_error(shares)
    moved = float((now[:, -1].numpy() != start).mean())
    return {"spent": spent, "observed": replicas.mean(shares).tolist(), "observed_error": error.tolist(), "ended_elsewhere": moved}
