"""The stages that use a model: its conformers, checks of the dynamics, molecular dynamics, the spectra."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from densnet import units
from densnet.artefacts.artefact import Series
from densnet.artefacts.content import Analysis, Bands, ColdRun, Drift, ExpectedErrors, Fundamentals, Populations, RamanBands
from densnet.artefacts.making import LABELS, MODEL, REFINED, STARTS
from densnet.artefacts.using import (
    BANDS,
    COLD_RUN,
    COLD_SPECTRUM,
    COMPARISON,
    CONFORMERS,
    DRIFT,
    ENERGIES,
    EXPECTED,
    FUNDAMENTALS,
    MEASURED,
    PARTS,
    POPULATIONS,
    RAMAN,
    RAMAN_BANDS,
    RAMAN_COMPARISON,
    RAMAN_MEASURED,
    RAMAN_SMOOTHED,
    SHIPPED,
    SLICES,
    SMOOTHED,
    SMOOTHED_PARTS,
    SPECTRUM,
    TRAJECTORY,
    UNCERTAIN,
    WARNINGS,
)
from densnet.dataset.dataset import formula
from densnet.files import content_hash
from densnet.model.library import LibraryError
from densnet.model.polarizability import Polarizability
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.observables.conformers import gather
from densnet.simulation.run import Trajectory, read_trajectory
from densnet.simulation.run import simulate as run_dynamics
from densnet.spectra.comparison import compare
from densnet.spectra.infrared import from_modes
from densnet.spectra.measured import is_raman, read_measured, read_raman
from densnet.spectra.output import write_raman, write_spectrum
from densnet.spectra.raman import Light, Raman
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.sticks import band_rows, bands_around, raman_rows, sticks_of
from densnet.spectra.width import widened
from densnet.threads import one_thread
from densnet.training.coverage import distance
from densnet.workflow.desk import Desk, Recipe
from densnet.workflow.ensemble import account, named_isotopes, origins, weighted_raman, weighted_spectrum
from densnet.workflow.forces import forces
from densnet.workflow.harmonic import analyse, cold_run, fundamentals, scattering, slices, write_reference
from densnet.workflow.making import split
from densnet.workflow.uncertain import expected_errors, keeping_uncertain


@one_thread()
def conformers(desk: Desk) -> None:
    """Conformers of the model, their normal modes and quantum fundamentals; what ships of this molecule, calculated and measured."""
    model = desk.model().double()
    found = gather(desk.inputs.named, partial(analyse, model, settings=desk.settings.harmonic))
    if model.response_network is not None:
        found = scattering(Polarizability(model), found)
    desk.give(CONFORMERS, Analysis(found))
    quantum = Fundamentals.of(fundamentals(model, found, desk.settings.anharmonic, desk.progress))
    desk.give(FUNDAMENTALS, quantum)
    if quantum.skipped:
        desk.tell(f"no anharmonic fundamentals: {quantum.skipped}")
    if known := desk.inputs.reference:
        for name in write_reference(desk.path(SHIPPED), known, found):
            desk.tell(f"no harmonic reference for {name}: none of the shipped conformers has its geometry")


@one_thread()
def validate(desk: Desk) -> None:
    """A picture of the density; the cold run of the first conformer, if that is asked for."""
    model, (_, held) = desk.model(), split(desk.take(LABELS), desk.settings)
    label = held[0].properties
    if label.orbitals is not None:
        desk.give(SLICES, slices(label, model(label.molecules)))
    modes, cold = desk.take(CONFORMERS).ensemble.conformers[0].modes, desk.settings.cold
    if not cold.run:
        return
    sticks, spectrum = from_modes(modes), cold_run(model, modes, cold, desk.progress)
    desk.give(COLD_SPECTRUM, spectrum)
    rows = band_rows(spectrum.bands(bands_around(sticks)), sticks)
    desk.give(COLD_RUN, ColdRun(cold.temperature, int(spectrum.header["replicas"]), rows))


def simulate(desk: Desk) -> None:
    """Trajectories; how well energy was conserved, what the model expects of its errors, frames that it is unsure of."""
    settings, place = desk.settings.simulate, desk.path(TRAJECTORY).parent
    provenance = {"model": content_hash(desk.inputs.model_file)}
    start = Molecules.concatenate([molecule for _, molecule in desk.inputs.named])
    origins(desk.take(CONFORMERS).ensemble, settings.replicas)  # refuses too few replicas
    model = load(desk.inputs.model_file, settings.place)

    def say(text: str) -> None:
        desk.progress(0, None, text)

    if settings.ensemble.geometries > 1:
        desk.tell(settings.cost)
    if unknown := _unknown_molecule(desk, model):
        _warn(desk, unknown)
    try:
        function = forces(model, start, settings, say)
    except LibraryError as error:
        desk.tell(f"warning: {error} Continuing without it.")
        function = forces(model, start, settings.model_copy(update={"compile": False}), say)
    with keeping_uncertain(place, settings, desk.tell):
        run_dynamics(function, start, settings, place, desk.progress, provenance, partial(_warn, desk))
    run = read_trajectory(place, motion=False)
    desk.tell("; ".join(filter(None, (str(run.realised), run.quantum))))
    desk.give(EXPECTED, ExpectedErrors.of(expected_errors(run)))
    energies = (run.conserved.T / units.MEV / len(run.numbers)).numpy()
    every = max(1, len(energies) // 500)
    desk.give(ENERGIES, {"time_ps": (run.times / units.PICOSECOND).numpy()[::every], "energy_meV_per_atom": energies[::every]})
    about = (settings.replicas, settings.duration_ps, settings.timestep_fs)
    kind = (settings.ensemble.kind, settings.ensemble.constant_energy, settings.ensemble.words)
    drift = float(run.drift.mean()), float(run.drift.abs().max())
    desk.give(DRIFT, Drift(*drift, *about, *kind, **_realised(run), nuclei=run.nuclei, quantum=run.quantum))


def _unknown_molecule(desk: Desk, model: Predictor) -> str:
    """What it means that a given model was trained on no frame of this molecule; "" where it was, or does not say."""
    known, molecule = model.provenance.get("coverage"), desk.take(CONFORMERS).ensemble.conformers[0].molecule
    away = None if not known else distance(known, molecule)
    seen = away is not None and away / units.ANGSTROM <= _ALIKE * known[formula(molecule.numbers)]["radius"]
    if desk.inputs.trains or desk.inputs.refines or not known or seen:
        return ""
    return (
        "the model was trained on no geometry of this molecule, and nothing was calculated to check it here: errors of wavenumbers, "
        "intensities and conformer weights are unknown, and expected errors are those of other molecules. `run.start` in place of "
        "`run.model` refines it for this molecule and measures its errors (docs/your-molecule.md)."
    )


_ALIKE = 2.0
"""A minimum that is farther from the training frames of its formula than this many times their own spread is of another isomer."""


def _warn(desk: Desk, text: str) -> None:
    """Tells a warning and keeps it, so that it stands on the page too."""
    known = desk.path(WARNINGS).exists()
    desk.give(WARNINGS, list(dict.fromkeys([*(WARNINGS.load(desk.inputs.folder) if known else []), text])))
    desk.tell(f"warning: {text}")


def spectrum(desk: Desk) -> None:
    """The spectrum with its bands, that of each conformer, and all of it beside measured curves; what conformers the trajectories visit."""
    folder, settings = desk.path(TRAJECTORY).parent, desk.settings.spectrum
    run, ensemble = read_trajectory(folder, motion=False), desk.take(CONFORMERS).ensemble
    temperature = desk.settings.simulate.temperature
    found, parts = weighted_spectrum(run, ensemble, temperature, settings.series)
    found, *parts = (named_isotopes(one, run) for one in (found, *parts))
    for number, (conformer, part) in enumerate(zip(ensemble.conformers, parts), start=1):
        named = replace(part, header={**part.header, "conformer": conformer.name})
        desk.add(PARTS, number, named)
        desk.add(SMOOTHED_PARTS, number, widened(named, settings.width))
    sticks, measured = sticks_of(ensemble, temperature), _measured(desk)
    limits = [_side_by_side(pair, found, measured.values()) for pair in settings.bands or bands_around(sticks)]
    bands = found.bands(limits)
    write_spectrum(desk.path(SPECTRUM).parent, found, bands, desk.settings.run.name, settings.width)
    rows = {name: [curve.band(*pair).__dict__ if _covers(curve, pair) else None for pair in limits] for name, curve in measured.items()}
    desk.give(BANDS, Bands(temperature, band_rows(bands, sticks), rows, **_realised(run)))
    desk.give(COMPARISON, {name: f"Against {name}: {compare(found, other)}" for name, other in measured.items()})
    if run.polarizability is not None:
        _raman(desk, run, limits)
    sparse = max(1, round(20 * units.FEMTOSECOND / run.sample_step))
    moving = read_trajectory(folder, motion=len(ensemble.conformers) > 1, every=sparse)
    desk.give(POPULATIONS, Populations.of(account(moving, ensemble, temperature)))


def _raman(desk: Desk, run: Trajectory, limits: Sequence[tuple[float, float]]) -> None:
    """The Raman spectrum, with the same bands as the infrared one, beside measured curves."""
    settings, ensemble = desk.settings.spectrum, desk.take(CONFORMERS).ensemble
    light = Light(settings.laser_nm, desk.settings.simulate.temperature)
    found = weighted_raman(run, ensemble, light.temperature, settings.series)
    found = Raman(*(named_isotopes(one, run) for one in (found.isotropic, found.anisotropic)))
    bands = found.bands(limits, light)
    write_raman(desk.path(RAMAN).parent, found, bands, desk.settings.run.name, light, settings.width)
    desk.give(RAMAN_BANDS, RamanBands(light.temperature, light.laser, raman_rows(bands, ensemble, light.temperature)))
    against = {name: f"Against {name}: {compare(found.total(light), other)}" for name, other in _measured_raman(desk).items()}
    desk.give(RAMAN_COMPARISON, against)


def _measured(desk: Desk) -> dict[str, Spectrum]:
    """The user's infrared curves by file name, or path where names are equal, on the molar scale where that is known; copies are kept."""
    return _kept(desk, MEASURED, read_measured, raman=False)


def _measured_raman(desk: Desk) -> dict[str, Spectrum]:
    """As `_measured`, Raman curves."""
    return _kept(desk, RAMAN_MEASURED, read_raman, raman=True)


def _kept(desk: Desk, series: Series[Spectrum], read: Callable[[Path], Spectrum], *, raman: bool) -> dict[str, Spectrum]:
    paths, found = [path for path in desk.inputs.experiments if is_raman(desk.inputs.root / path) is raman], {}
    names = [path.name for path in paths]
    for number, path in enumerate(paths):
        shutil.copyfile(desk.inputs.root / path, series.path(desk.inputs.folder, number, path.suffix))
        found[path.name if names.count(path.name) == 1 else str(path)] = read(desk.inputs.root / path)
    return found


def _realised(run: Trajectory) -> dict[str, float | None]:
    return {"measured_temperature_K": run.realised.mean, "measured_temperature_error_K": run.realised.error}


def _side_by_side(limits: tuple[float, float], found: Spectrum, measured: Iterable[Spectrum]) -> tuple[float, float]:
    """A band, less what ``found`` and measured curves that reach over most of it do not cover: what is compared is over one range."""
    covering = [found.axis, *(curve.axis for curve in measured if _covers(curve, limits))]
    return max(limits[0], *(axis[0] for axis in covering)), min(limits[1], *(axis[-1] for axis in covering))


def _covers(spectrum: Spectrum, limits: tuple[float, float]) -> bool:
    """Whether a measured curve reaches over most of a band and absorbs there: without an integral above its baseline it has no centroid."""
    lower, upper = limits
    reach = min(upper, spectrum.axis[-1]) - max(lower, spectrum.axis[0])
    return bool(reach > 0.7 * (upper - lower) and spectrum.integral(lower, upper) > 0)


RECIPES = (
    Recipe(
        "conformers", "minima and modes of the model", conformers, ("harmonic", "anharmonic"), ("geometries", "model", "reference"),
        takes=(MODEL, REFINED, STARTS), gives=(CONFORMERS, FUNDAMENTALS, SHIPPED),
    ),
    Recipe(
        "validate", "checks of density and dynamics", validate, ("cold",),
        takes=(LABELS, MODEL, CONFORMERS), gives=(SLICES, COLD_SPECTRUM, COLD_RUN),
    ),
    Recipe(
        "simulate", "molecular dynamics", simulate, ("simulate",), ("geometries", "model"),
        takes=(MODEL, REFINED, STARTS), checks=(CONFORMERS,), gives=(TRAJECTORY, EXPECTED, ENERGIES, DRIFT, WARNINGS, UNCERTAIN),
    ),
    Recipe(
        "spectrum", "infrared and Raman spectrum", spectrum, ("spectrum",), ("experiment",),
        takes=(TRAJECTORY, CONFORMERS),
        gives=(
            SPECTRUM, SMOOTHED, PARTS, SMOOTHED_PARTS, BANDS, COMPARISON, MEASURED, POPULATIONS,
            RAMAN, RAMAN_SMOOTHED, RAMAN_BANDS, RAMAN_COMPARISON, RAMAN_MEASURED,
        ),
    ),
)  # fmt: skip
"""In the order of the work."""
