"""Harmonic analysis in a run: the reference level's, displaced geometry by displaced geometry, and the model's; and the cold run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import hadamard
from torch import Tensor

from densnet import units
from densnet.artefacts.content import Analysis
from densnet.dataset import store
from densnet.density.promolecule import shipped
from densnet.files import read_json, sha256, write_json, write_text
from densnet.molecules import SYMBOLS, Molecules
from densnet.observables.anharmonic import SOFTEST, vpt2
from densnet.observables.conformers import Conformer, Ensemble, characterise, substituted
from densnet.observables.response import polarizability_derivatives
from densnet.observables.vibrations import Modes, VibrationError
from densnet.progress import Progress
from densnet.properties import Properties
from densnet.reference import campaign, geometries, scf, workers
from densnet.reference.campaign import LabelSettings
from densnet.reference.geometries import Frame
from densnet.reference.shipped import measured
from densnet.settings import Added, Section
from densnet.simulation import integrators
from densnet.spectra.infrared import from_series
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.timeseries import Sampling, SeriesSettings

ForceFunction = Callable[[Molecules], Properties]


class HarmonicSettings(Section):
    """Finite differences of forces and dipoles at the relaxed geometry."""

    step: float = Field(0.02, gt=0, le=0.1, description="displacement of each coordinate in both directions, bohr")
    tolerance: float = Field(1e-5, gt=0, description="largest force at the relaxed geometry, hartree/bohr")


class AnharmonicSettings(Section):
    """Quantum fundamentals of the model by second-order perturbation theory."""

    atoms: int = Field(15, ge=0, description="number of atoms up to which VPT2 is done: the cost grows with the third power; 0: never")
    step: float = Field(0.03, gt=0, le=0.3, description="displacement in dimensionless normal coordinates")
    softest: float = Field(SOFTEST, gt=0, description="modes of lower harmonic wavenumber are excluded, cm^-1")


class ColdSettings(Section):
    """A check of the dynamics against the harmonic analysis of the same model."""

    run: Added[bool] = Field(True, description="do it; without a section [cold] in the file it is not done: it takes as long as a training")
    temperature: float = Field(10.0, gt=0, description="K")
    timestep_fs: float = Field(0.5, gt=0, le=2, description="time step, fs")
    duration_ps: float = Field(3.0, gt=0, description="production, ps")
    sample_every: int = Field(2, gt=0, description="steps between samples of the dipole")
    depth: float = Field(1600.0, gt=0, description="window on the correlation function, fs")


def remembered(settings: LabelSettings, folder: Path, progress: Progress, execute: Executor | None = None) -> ForceFunction:
    """The reference level as a force function that keeps every label in ``folder`` and computes none twice, whatever batch it is in.

    A batch is labelled by ``execute``, or by ``settings.workers`` processes side by side, a single molecule by this process with all cores.
    Raises `CampaignError` where ``folder`` has labels of another level.
    """
    calculate = partial(scf.calculate, settings=settings.scf)
    level = settings.scf.level()

    def force_function(molecules: Molecules) -> Properties:
        singles = molecules.split()
        names = [campaign.identity(single, level) for single in singles]
        folder.mkdir(parents=True, exist_ok=True)
        campaign.check_level(folder, level)
        kept = _kept(folder)
        missing = {name: single for name, single in zip(names, singles) if name not in kept}
        before = len(names) - len(missing)
        if len(names) == 1 and missing:
            place = folder / "relaxation" / names[0]
            place.mkdir(parents=True, exist_ok=True)
            about = {"index": 0, "identity": names[0], "trajectory": 0, "temperature": float("nan"), "level": level}
            store.save_label(place / "label.npz", calculate(singles[0]), about)
        elif missing:
            place, save = folder / f"displaced-{sha256(*missing)[:8]}", store.save_label
            frames = [Frame(single, 0, float("nan")) for single in missing.values()]
            with workers.Processes(settings.workers) as local:
                tell = lambda done, total: progress(before + done, before + total)  # noqa: E731
                tally = campaign.run(frames, calculate, save, place, level=level, execute=execute or local, progress=tell)
            if tally.aside:
                raise scf.NotConverged(f"{tally.aside} displaced geometries did not converge; the reasons are in {place / 'aside'}.")
        kept = _kept(folder)
        return store.read(*(kept[name] for name in names)).properties(require=("energy", "forces", "dipole"))

    return force_function


def _kept(folder: Path) -> dict[str, Path]:
    """Identity of a geometry -> its label, of all that `remembered` keeps in ``folder``."""
    displaced = {file.stem[7:]: file for file in folder.glob("displaced-*/frames/*.npz")}
    return displaced | {file.parent.name: file for file in folder.glob("relaxation/*/label.npz")}


def analyse(force_function: ForceFunction, name: str, start: Molecules, settings: HarmonicSettings) -> Conformer:
    """The conformer that a single molecule relaxes to, with its Hessian and dipole derivatives."""
    return characterise(force_function, start, name, tolerance=settings.tolerance, step=settings.step)


def fundamentals(force_function: ForceFunction, found: Ensemble, settings: AnharmonicSettings, progress: Progress) -> dict:
    """Plain data: under ``conformers`` what `vpt2` says of each, or under ``skipped`` why it says nothing."""
    size = len(found.conformers[0].molecule.numbers)
    if size > settings.atoms:
        return {"skipped": f"{size} atoms are more than `anharmonic.atoms`, now {settings.atoms}."}
    rows = []
    for c in found.conformers:

        def tell(done: int, total: int, name: str = c.name) -> None:
            progress(done, total, f"anharmonic force constants of {name}")

        try:
            rows.append(vpt2(force_function, c.modes, softest=settings.softest, step=settings.step, progress=tell).to_dict())
        except VibrationError as error:
            return {"skipped": f"{c.name}: {error}"}
    return {"conformers": rows}


def scattering(respond: ForceFunction, found: Ensemble) -> Ensemble:
    """The same conformers with the slopes of their polarizability, which ``respond`` tells."""
    conformers = (replace(c, polarizability_slopes=polarizability_derivatives(respond, c.molecule)) for c in found.conformers)
    return replace(found, conformers=tuple(conformers))


def named_geometries(path: Path) -> list[tuple[str, Molecules]]:
    """Every frame of an xyz file with its name (conformer=... in the comment line), or its number where it has none."""
    return [(frame.name or f"conformer {k}", frame.molecule) for k, frame in enumerate(geometries.read(path), start=1)]


def write_reference(path: Path, known: Path, found: Ensemble) -> list[str]:
    """The shipped analysis ``known`` beside that of the model, ``found``; names of the conformers that it is left out for.

    It is copied with what was measured, but for isotopologues: these have its Hessians with their own masses, so that other modes follow,
    and neither its anharmonic constants nor its measured values.
    """
    if all(c.molecule.isotopes is None for c in found.conformers):
        write_json(path, {**read_json(known), "measured": measured(known)})
        return []
    content = read_json(known)
    ordinary = Ensemble.from_dict(content).conformers
    changed = [substituted(c.molecule, ordinary) for c in found.conformers]
    kept = tuple(c for c in changed if c is not None)
    if kept:
        Analysis.write(path, Analysis(Ensemble(kept, tuple(range(len(kept)))), content["level"]))
    return [c.name for c, other in zip(found.conformers, changed) if other is None]


def write_geometries(path: Path, found: Ensemble, comment: str) -> None:
    """xyz of the conformers, Angstrom; a chiral one is followed by its mirror image."""
    lines = []
    for conformer in found.conformers:
        symbols = [SYMBOLS[n] for n in conformer.molecule.numbers.tolist()]
        for sign in (1, -1) if conformer.chiral else (1,):
            positions = conformer.molecule.positions / units.ANGSTROM * torch.tensor([1.0, 1.0, sign], dtype=torch.float64)
            rows = [f"{s:2s}" + "".join(f"{x:14.8f}" for x in row) for s, row in zip(symbols, positions.tolist())]
            lines += [str(len(symbols)), f'conformer="{conformer.name}" comment="{comment}, Angstrom"', *rows]
    write_text(path, "\n".join([*lines, ""]))


def cold_run(force_function: ForceFunction, modes: Modes, settings: ColdSettings, progress: Progress) -> Spectrum:
    """Infrared spectrum of `cold_dynamics`: in the harmonic limit each band integrates to its harmonic intensity exactly."""
    states, sampling = cold_dynamics(force_function, modes, settings, progress)
    return from_series(torch.stack([s.dipole for s in states], dim=1).numpy(), sampling, settings=SeriesSettings(depth=settings.depth))


def cold_dynamics(
    force_function: ForceFunction, modes: Modes, settings: ColdSettings, progress: Progress
) -> tuple[list[integrators.State], Sampling]:
    """Samples of dynamics in which every mode starts at the minimum with the kinetic energy k_B T, and how they were taken.

    The velocities sum_k +-sqrt(2 k_B T) cos(w dt / 2) dR/dQ_k, those on the step, carry no rotation; the signs of the replicas are
    orthogonal (Hadamard), so that cross terms between modes cancel.
    """
    timestep = settings.timestep_fs * units.FEMTOSECOND
    velocities = _kicks(modes, settings.temperature * units.KELVIN, timestep)
    still = modes.molecule
    start = still.copies(still.positions.expand(len(velocities), -1, -1))
    state = integrators.init(force_function, start, velocities.reshape(-1, 3))
    step = integrators.velocity_verlet(force_function, state.masses, timestep)
    steps = round(1000 * settings.duration_ps / settings.timestep_fs)
    samples, kinetic = [state], []
    for number in range(1, steps + 1):
        state = step(state)
        kinetic.append(state.half_step_kinetic(timestep))
        if number % settings.sample_every == 0:
            samples.append(state)
            progress(number, steps)
    temperature = 2 * torch.stack(kinetic).mean() / len(modes.eigenvalues) / units.KELVIN
    highest = float(modes.frequencies.max())
    return samples, Sampling(settings.sample_every * timestep, timestep, float(temperature), highest)


def _kicks(modes: Modes, temperature: float, timestep: float) -> Tensor:
    """[replicas, atoms, 3] velocities; the number of replicas is the power of two above that of modes."""
    count = len(modes.eigenvalues)
    signs = torch.as_tensor(hadamard(2 ** max(1, count.bit_length())), dtype=torch.float64)[:, 1 : count + 1]
    speeds = (2 * temperature * (1 - modes.eigenvalues * timestep**2 / 4)).sqrt()
    return torch.einsum("rk,kai->rai", signs * speeds, modes.displacements.double())


def slices(label: Properties, predicted: Properties, points: int = 141, margin: float = 1.4) -> dict[str, NDArray]:
    """Arrays: DFT and model density less that of free atoms (electrons / bohr^3) on a square in the plane that fits the atoms best."""
    molecule = label.molecules
    positions = molecule.positions.double()
    centre = positions.mean(0)
    axes = torch.linalg.svd(positions - centre, full_matrices=True).Vh[:2]
    places = (positions - centre) @ axes.T
    extent = float(places.abs().max()) + margin * units.ANGSTROM
    line = torch.linspace(-extent, extent, points, dtype=torch.float64)
    y, x = torch.meshgrid(line, line, indexing="ij")
    grid = centre + x.reshape(-1, 1) * axes[0] + y.reshape(-1, 1) * axes[1]
    with torch.no_grad():
        exact = label.orbitals[0].values(grid) - shipped().values(molecule, grid)
        model = predicted.density.to(dtype=torch.float64).values(grid)
    symbols = np.array([SYMBOLS[n] for n in molecule.numbers.tolist()])
    maps = {"reference": exact.reshape(points, points).numpy(), "model": model.reshape(points, points).numpy()}
    return {"extent": np.array(extent / units.ANGSTROM), "symbols": symbols, "places": (places / units.ANGSTROM).numpy(), **maps}
