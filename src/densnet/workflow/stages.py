"""What each stage of a run does: settings and artefacts of earlier stages in, artefacts in its own folder out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from densnet import units
from densnet.dataset import store
from densnet.dataset.dataset import Dataset
from densnet.density.basis import DensityBasis
from densnet.errors import DensnetError
from densnet.files import content_hash, read_json, replacing, write_json
from densnet.model.library import LibraryError
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.observables.conformers import Conformer, Ensemble, gather
from densnet.progress import Progress
from densnet.reference import campaign, geometries, shipped
from densnet.report.harmonic import band_rows, bands_around, sticks_of
from densnet.simulation.initial import deal
from densnet.simulation.run import Trajectory, read_trajectory, simulate
from densnet.spectra.comparison import compare
from densnet.spectra.infrared import from_modes
from densnet.spectra.measured import read_measured
from densnet.spectra.output import write_spectrum
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.tables import write_csv
from densnet.spectra.width import widened
from densnet.threads import one_thread
from densnet.training.examples import Example
from densnet.workflow.dispersion import with_dispersion
from densnet.workflow.ensemble import account, named_isotopes, origins, weighted_spectrum
from densnet.workflow.evaluation import evaluate_on, overlap, write_evaluation
from densnet.workflow.fitting import examples_of, train_on, untrained
from densnet.workflow.folder import Stage
from densnet.workflow.forces import force_function
from densnet.workflow.harmonic import (
    ForceFunction,
    analyse,
    cold_run,
    fundamentals,
    named_geometries,
    remembered,
    write_conformers,
    write_reference,
    write_slices,
)
from densnet.workflow.settings import RunFile
from densnet.workflow.splits import elements_of, held_out
from densnet.workflow.uncertain import expected_errors, keeping_uncertain


class ChainError(DensnetError):
    """A stage whose input does not suffice; the message says what to change."""


@dataclass(frozen=True)
class Chain:
    """The stages of one run: with `run.model` from that model on, else from geometries to a new model first.

    ``root`` is the folder of the settings file; the stage at work tells ``progress`` (done, of how many, and maybe what), and ``tell``
    what the user should know.
    """

    settings: RunFile
    root: Path
    progress: Progress
    tell: Callable[[str], None] = lambda text: None

    @property
    def folder(self) -> Path:
        """Where the run's results are."""
        return self.settings.run.folder

    @property
    def trains(self) -> bool:
        """Whether the run makes its own model, from labels; else it is given one."""
        return self.settings.run.model is None

    def stages(self) -> list[Stage]:
        """In the order of the work."""
        return (self._making_the_model() if self.trains else []) + self._using_the_model()

    def _chosen(self, *names: str) -> dict:
        return {name: getattr(self.settings, name) for name in names}

    def _making_the_model(self) -> list[Stage]:
        start = (self.geometries,)
        apart = {name: getattr(self.settings.run, name) for name in ("held_out", "held_out_temperature")}
        level = {"scf": self.settings.label.scf}
        harmonic = {**level, **self._chosen("harmonic")}
        return [
            Stage("sample", "training geometries", self._chosen("sample"), self.sample, files=start),
            Stage("label", "reference calculations", self._chosen("label"), self.label, ("sample",)),
            Stage("hessian", "harmonic analysis at the reference level", harmonic, self.hessian, files=start),
            Stage("fit", "densities of the labels, in a basis and on points", {**apart, **self._chosen("density")}, self.fit, ("label",)),
            Stage("train", "density and energy networks", self._chosen("model", "train"), self.train, ("fit",)),
            Stage("evaluate", "errors on held-out frames", self._chosen("evaluate"), self.evaluate, ("train",)),
        ]

    def _using_the_model(self) -> list[Stage]:
        made = ("train",) if self.trains else ()
        start = (self.geometries,) if self.trains else (self.geometries, self.model_file)
        measured = tuple(self.root / path for path in self.settings.spectrum.experiment)
        known = self.known_reference()
        conformers = start if known is None else (*start, known, shipped.MEASURED)
        modes = self._chosen("harmonic", "anharmonic")
        stages = [
            Stage("conformers", "minima and modes of the model", modes, self.conformers, made, conformers),
            Stage("validate", "dynamics of the cold molecule", self._chosen("cold"), self.validate, (*made, "conformers")),
            Stage("simulate", "molecular dynamics", self._chosen("simulate"), self.simulate, made, start),
            Stage("spectrum", "infrared spectrum", self._chosen("spectrum"), self.spectrum, ("simulate", "conformers"), measured),
        ]
        return [stage for stage in stages if self.trains or stage.name != "validate"]

    def sample(self, place: Path) -> None:
        """Frames to be labelled, in ``frames.xyz``."""
        geometries.sample(self.settings.sample, place / "frames.xyz", root=self.root, progress=self.progress)

    def label(self, place: Path) -> None:
        """Labels one by one, then sealed in ``dataset.h5``."""
        frames = self.folder / "sample" / "frames.xyz"
        tally = campaign.label(self.settings.label, frames, place, store.save_label, progress=self.progress)
        if tally.labelled == 0:
            raise ChainError(f"none of the {tally.aside} frames converged; the reasons are in {place / 'aside'}.")
        store.seal(store.read(place), place / "dataset.h5", f"run {self.settings.run.name}")

    def hessian(self, place: Path) -> None:
        """Conformers and their normal modes at the reference level, in ``conformers.json``."""
        forces = remembered(self.settings.label, place, self.progress)
        level = self.settings.label.scf.level()
        write_conformers(place / "conformers.json", gather(self.named(), self._analysis(forces)), {"level": level})

    def fit(self, place: Path) -> None:
        """Labels that are not held out, on points and where need be as coefficients: one file a frame."""
        self._examples(place)

    def train(self, place: Path) -> None:
        """The model in ``model.safetensors``, the log in ``training.jsonl``."""
        plan, examples, basis = self.settings.train, *self._examples(self.folder / "fit")
        model = train_on(untrained(examples[0], self.settings.model, basis, plan.seed), examples, plan, place, self.progress)
        model.save(place / "model.safetensors")

    def _examples(self, place: Path) -> tuple[list[list[Example]], DensityBasis]:
        """Frames to train on and to validate, prepared in ``place``, and the basis of the density."""
        labels, _ = self.split()
        basis, plan = self.basis(labels), self.settings.train
        parts = held_out(labels, plan.validation_fraction, plan.seed)
        return examples_of(parts, basis, place, self.settings.density.points, plan, self.progress), basis

    def evaluate(self, place: Path) -> None:
        """Errors on held-out frames, ``evaluation.json`` and ``evaluation.npz``."""
        known, held = self.split()
        frames = [label.properties for label in held]
        limit = self.settings.evaluate.density_frames
        found = evaluate_on(self.model(), frames, limit, self.progress)
        write_evaluation(place, found, overlap(held, known))

    @one_thread()
    def conformers(self, place: Path) -> None:
        """Conformers of the model and their normal modes, in ``conformers.json``, their quantum fundamentals in ``anharmonic.json``; what
        ships of this molecule, calculated at the reference level and measured, in ``reference.json``."""
        model = self.model().double()
        found = gather(self.named(), self._analysis(model))
        write_conformers(place / "conformers.json", found, {})
        anharmonic = fundamentals(model, found, self.settings.anharmonic, self.progress)
        write_json(place / "anharmonic.json", anharmonic)
        if "skipped" in anharmonic:
            self.tell(f"no anharmonic fundamentals: {anharmonic['skipped']}")
        if known := self.known_reference():
            for name in write_reference(place / "reference.json", known, found):
                self.tell(f"no harmonic reference for {name}: none of the shipped conformers has its geometry")

    @one_thread()
    def validate(self, place: Path) -> None:
        """The cold run of the first conformer, a picture of the density: ``cold.json``, ``cold.csv``, ``slices.npz``."""
        model = self.model()
        _, held = self.split()
        label = held[0].properties
        if label.orbitals is not None:
            write_slices(place / "slices.npz", label, model(label.molecules))
        modes = self.ensemble().conformers[0].modes
        sticks = from_modes(modes)
        spectrum = cold_run(model, modes, self.settings.cold, self.progress)
        write_csv(place / "cold.csv", spectrum)
        rows = band_rows(spectrum.bands(bands_around(sticks)), sticks)
        about = {"temperature_K": self.settings.cold.temperature, "replicas": spectrum.header["replicas"]}
        write_json(place / "cold.json", {**about, "bands": rows})

    def simulate(self, place: Path) -> None:
        """``trajectory.h5``; the conserved energy in ``drift.npz`` and ``drift.json``; ``uncertain.extxyz`` where the model is unsure."""
        settings = self.settings.simulate
        provenance = {"model": content_hash(self.model_file)}
        start = Molecules.concatenate([molecule for _, molecule in self.named()])
        origins(self.ensemble(), settings.replicas)  # refuses too few replicas
        model, say = load(self.model_file, settings.place), lambda text: self.progress(0, None, text)
        try:
            forces = force_function(model, start, settings, say)
        except LibraryError as error:
            self.tell(f"warning: {error} Going on without.")
            forces = force_function(model, start, settings.model_copy(update={"compile": False}), say)
        with keeping_uncertain(place, settings, self.tell):
            simulate(forces, start, settings, place, self.progress, provenance, partial(self._warn, place))
        run = read_trajectory(place, motion=False)
        write_json(place / "expected.json", expected_errors(run))
        self.tell(str(run.realised))
        energies = (run.conserved.T / units.MEV / len(run.numbers)).numpy()
        every = max(1, len(energies) // 500)
        with replacing(place / "drift.npz", "wb") as file:
            np.savez(file, time_ps=(run.times / units.PICOSECOND).numpy()[::every], energy_meV_per_atom=energies[::every])
        numbers = {"drift_meV_per_atom_per_ps": float(run.drift.mean()), "worst_replica": float(run.drift.abs().max())}
        about = {"replicas": settings.replicas, "duration_ps": settings.duration_ps, "timestep_fs": settings.timestep_fs}
        ensemble = settings.ensemble
        kind = {"ensemble": ensemble.kind, "constant_energy": ensemble.constant_energy, "words": ensemble.words}
        write_json(place / "drift.json", {**numbers, **about, **_realised(run), **kind})

    def _warn(self, place: Path, text: str) -> None:
        """Tells a warning and keeps it in ``warnings.json`` of the stage, so that it stands on the page too."""
        path = place / "warnings.json"
        known = read_json(path) if path.exists() else []
        write_json(path, list(dict.fromkeys([*known, text])))
        self.tell(f"warning: {text}")

    def spectrum(self, place: Path) -> None:
        """What `write_spectrum` writes, ``bands.json``, ``comparison.json``; each conformer's; ``ensemble.json``."""
        run, ensemble = read_trajectory(self.folder / "simulate", motion=False), self.ensemble()
        temperature = self.settings.simulate.temperature
        width = self.settings.spectrum.width
        found, parts = weighted_spectrum(run, ensemble, temperature, self.settings.spectrum.infrared)
        found, *parts = (named_isotopes(spectrum, run) for spectrum in (found, *parts))
        for number, (conformer, part) in enumerate(zip(ensemble.conformers, parts), start=1):
            named = replace(part, header={**part.header, "conformer": conformer.name})
            write_csv(place / f"conformer-{number}.csv", named)
            write_csv(place / f"smoothed-{number}.csv", widened(named, width))
        sticks = sticks_of(ensemble, temperature)
        measured = self._measured(place)
        limits = [_side_by_side(pair, found, measured.values()) for pair in self.settings.spectrum.bands or bands_around(sticks)]
        bands = found.bands(limits)
        write_spectrum(place, found, bands, self.settings.run.name, width)
        rows = {name: [curve.band(*pair).__dict__ if _covers(curve, pair) else None for pair in limits] for name, curve in measured.items()}
        told = {"temperature_K": temperature, **_realised(run), "bands": band_rows(bands, sticks), "experiment": rows}
        write_json(place / "bands.json", told)
        write_json(place / "comparison.json", {name: f"Against {name}: {compare(found, other)}" for name, other in measured.items()})
        sparse = max(1, round(20 * units.FEMTOSECOND / run.sample_step))
        moving = read_trajectory(self.folder / "simulate", motion=len(ensemble.conformers) > 1, every=sparse)
        write_json(place / "ensemble.json", account(moving, ensemble, temperature))

    def _measured(self, place: Path) -> dict[str, Spectrum]:
        """The user's curves by file name, or path where names are equal, on the molar scale where their files allow.

        A copy of each, in the same order, is kept for the report; a file that is named twice is one curve.
        """
        paths = tuple(dict.fromkeys(self.settings.spectrum.experiment))
        found, names = {}, [path.name for path in paths]
        for number, path in enumerate(paths):
            shutil.copyfile(self.root / path, place / f"experiment-{number}{path.suffix}")
            found[path.name if names.count(path.name) == 1 else str(path)] = read_measured(self.root / path)
        return found

    @property
    def geometries(self) -> Path:
        """The xyz file of the user's conformers."""
        return self.root / self.settings.sample.geometries if self.trains else self.settings.run.geometries

    @property
    def model_file(self) -> Path:
        """The trained model, or the given one."""
        return self.folder / "train" / "model.safetensors" if self.trains else Path(self.settings.run.model)

    def named(self) -> list[tuple[str, Molecules]]:
        """The geometries given by the user, with names; raises `StartError` if they are not one molecule."""
        found = named_geometries(self.geometries)
        deal(Molecules.concatenate([molecule for _, molecule in found]), len(found))
        return found

    def model(self) -> Predictor:
        """The model at work."""
        return load(self.model_file)

    def ensemble(self) -> Ensemble:
        """The conformers of the model."""
        return Ensemble.from_dict(read_json(self.folder / "conformers" / "conformers.json"))

    def known_reference(self) -> Path | None:
        """The shipped analysis of this molecule at the reference level, if there is one."""
        return shipped.harmonic(self.named()[0][1])

    def _analysis(self, forces: ForceFunction) -> Callable[[str, Molecules], Conformer]:
        return partial(analyse, forces, settings=self.settings.harmonic)

    def split(self) -> tuple[Dataset, Dataset]:
        """Labels to train on, labels held out."""
        run, plan = self.settings.run, self.settings.train
        labels = with_dispersion(store.read(self.folder / "label" / "dataset.h5"), plan.dispersion)
        eligible = [run.held_out_temperature in (None, label.temperature) for label in labels]
        if not any(eligible):
            raise ChainError(
                f"no frame is of {run.held_out_temperature:g} K, `run.held_out_temperature`; there are {self.settings.sample.temperature}."
            )
        chosen = labels.select(np.flatnonzero(eligible))
        known, apart = held_out(chosen, min(0.5, run.held_out * len(labels) / len(chosen)), self.settings.sample.seed)
        return known + labels.select(np.flatnonzero(np.logical_not(eligible))), apart

    def basis(self, labels: Dataset) -> DensityBasis:
        """The functions for the elements of ``labels``."""
        return DensityBasis.built_in(self.settings.density.basis, elements_of(labels))


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
