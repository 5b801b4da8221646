"""What each stage of a run does: settings and artefacts of earlier stages in, artefacts in its own folder out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from densnet import units
from densnet.cli.evaluate import evaluate_on, write_evaluation
from densnet.cli.fitting import examples_of, train_on, untrained
from densnet.cli.harmonic import analyse, cold_run, remembered, write_modes, write_slices
from densnet.cli.runfile import RunFile
from densnet.cli.runfolder import Stage, write_json
from densnet.cli.train import elements_of, held_out
from densnet.dataset import store
from densnet.dataset.batches import nearest
from densnet.dataset.dataset import Dataset
from densnet.density.basis import DensityBasis
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.reference import campaign, geometries
from densnet.report.content import band_rows, bands_around, read_sticks
from densnet.report.figures import draw_spectrum
from densnet.simulation.run import read_trajectory, simulate
from densnet.spectra.comparison import compare
from densnet.spectra.infrared import InfraredSettings, Sampling, from_series
from densnet.spectra.jcamp import write_jcamp
from densnet.spectra.spectrum import Sticks
from densnet.spectra.tables import read_experiment, write_bands, write_csv

Progress = Callable[..., None]


class ChainError(ValueError):
    """A stage whose input does not suffice; the message says what to change."""


@dataclass(frozen=True)
class Chain:
    """The stages of one run.

    ``root`` is the folder of the settings file; the stage at work tells ``progress`` (done, of how many, and maybe what).
    """

    settings: RunFile
    root: Path
    progress: Progress

    @property
    def folder(self) -> Path:
        """Where the run's results are."""
        return self.settings.run.folder

    def stages(self) -> list[Stage]:
        """In the order of the work."""
        sections = self.settings.model_dump(mode="json")

        def chosen(*names: str) -> dict:
            return {name: sections[name] for name in names}

        start = (self.root / self.settings.sample.geometries,)
        measured = tuple(self.root / path for path in self.settings.spectrum.experiment)
        apart = {name: sections["run"][name] for name in ("held_out", "held_out_temperature")}
        level = {"scf": sections["label"]["scf"]}
        return [
            Stage("sample", "geometries worth a calculation", chosen("sample"), self.sample, files=start),
            Stage("label", "reference calculations", chosen("label"), self.label, ("sample",)),
            Stage("hessian", "harmonic analysis at the reference level", {**level, **chosen("harmonic")}, self.hessian, files=start),
            Stage("fit", "densities of the labels, in a basis and on points", {**apart, **chosen("density")}, self.fit, ("label",)),
            Stage("train", "density and energy networks", chosen("model", "train"), self.train, ("fit",)),
            Stage("evaluate", "errors on held-out frames", chosen("evaluate"), self.evaluate, ("train",)),
            Stage("validate", "harmonic analysis and cold run", chosen("harmonic", "cold"), self.validate, ("train", "hessian")),
            Stage("simulate", "molecular dynamics", chosen("simulate"), self.simulate, ("train",), start),
            Stage("spectrum", "infrared spectrum", chosen("spectrum"), self.spectrum, ("simulate", "validate"), measured),
        ]

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
        """Normal modes of the first geometry at the reference level, in ``modes.json``."""
        forces = remembered(self.settings.label, place, self.progress)
        level = self.settings.label.scf.level()
        write_modes(place / "modes.json", analyse(forces, self.start().split()[0], self.settings.harmonic), {"level": level})

    def fit(self, place: Path) -> None:
        """Densities of the labels that are not held out, as coefficients and on points: one file a frame."""
        labels, _ = self.split()
        examples_of(labels, self.basis(labels), place, self.settings.density.points, self.progress)

    def train(self, place: Path) -> None:
        """The model in ``model.safetensors``, the log in ``training.jsonl``."""
        labels, _ = self.split()
        basis, plan = self.basis(labels), self.settings.train
        parts = held_out(labels, plan.validation_fraction, plan.seed)
        examples = [examples_of(part, basis, self.folder / "fit", self.settings.density.points, self.progress) for part in parts]
        model = train_on(untrained(examples[0], self.settings.model, basis, plan.seed), examples, plan, place, self.progress)
        model.save(place / "model.safetensors")

    def evaluate(self, place: Path) -> None:
        """Errors on held-out frames, ``evaluation.json`` and ``evaluation.npz``."""
        known, held = self.split()
        frames = [label.properties for label in held]
        limit = self.settings.evaluate.density_frames
        found = evaluate_on(self.model(), frames, limit, lambda done: self.progress(done, len(frames)))
        write_evaluation(place, found, {"nearest_training_frame_A": float(nearest(held, known).median()) / units.ANGSTROM})

    def validate(self, place: Path) -> None:
        """Normal modes of the model, the cold run, a picture of the density: ``modes.json``, ``cold.json``, ``slices.npz``."""
        torch.set_num_threads(self.settings.simulate.threads)
        model = self.model()
        _, held = self.split()
        label = held[0].properties
        if label.orbitals is not None:
            write_slices(place / "slices.npz", label, model(label.molecules))
        modes = analyse(self.model().double(), self.start().split()[0], self.settings.harmonic)
        write_modes(place / "modes.json", modes, {})
        sticks = Sticks(modes.frequencies.numpy(), modes.intensities.numpy())
        spectrum = cold_run(model, modes, self.settings.cold, self.progress)
        write_csv(place / "cold.csv", spectrum)
        rows = band_rows(spectrum.bands(bands_around(sticks)), sticks)
        about = {"temperature_K": self.settings.cold.temperature, "replicas": spectrum.header["replicas"]}
        write_json(place / "cold.json", {**about, "bands": rows})

    def simulate(self, place: Path) -> None:
        """``trajectory.h5``; the conserved energy in ``drift.npz`` and ``drift.json``."""
        settings, path = self.settings.simulate, self.folder / "train" / "model.safetensors"
        torch.set_num_threads(settings.threads)
        provenance = {"model": hashlib.sha256(path.read_bytes()).hexdigest()}
        simulate(self.model(), self.start(), settings, place, self.progress, provenance)
        run = read_trajectory(place, motion=False)
        energies = (run.conserved.T / units.MEV / len(run.numbers)).numpy()
        every = max(1, len(energies) // 500)
        np.savez(place / "drift.npz", time_ps=(run.times / units.PICOSECOND).numpy()[::every], energy_meV_per_atom=energies[::every])
        numbers = {"drift_meV_per_atom_per_ps": float(run.drift.mean()), "worst_replica": float(run.drift.abs().max())}
        about = {"replicas": settings.replicas, "duration_ps": settings.duration_ps, "timestep_fs": settings.timestep_fs}
        write_json(place / "drift.json", {**numbers, **about, "ensemble": settings.ensemble})

    def spectrum(self, place: Path) -> None:
        """``spectrum.csv``, ``.jdx``, ``.png``, ``bands.csv``, ``bands.json``, ``comparison.json``."""
        run = read_trajectory(self.folder / "simulate", motion=False)
        sampling = Sampling(run.sample_step, run.time_step, run.temperature.mean(1).numpy())
        settings = InfraredSettings(**self.settings.spectrum.model_dump(exclude={"experiment"}))
        found = from_series(run.dipole.numpy(), sampling, settings=settings)
        modes = read_sticks(self.folder / "validate" / "modes.json")
        bands = found.bands(bands_around(modes))
        write_csv(place / "spectrum.csv", found)
        write_jcamp(place / "spectrum.jdx", found, f"{self.settings.run.name}, infrared from dynamics")
        write_bands(place / "bands.csv", bands, dict(found.header))
        write_json(place / "bands.json", {"temperature_K": self.settings.simulate.temperature, "bands": band_rows(bands, modes)})
        measured = {}
        for number, path in enumerate(self.settings.spectrum.experiment):
            shutil.copyfile(self.root / path, place / f"experiment-{number}{path.suffix}")
            measured[path.name] = read_experiment(self.root / path)
        write_json(place / "comparison.json", {name: f"Against {name}: {compare(found, other)}" for name, other in measured.items()})
        draw_spectrum(place / "spectrum.png", found, list(measured.values()))

    def start(self) -> Molecules:
        """The geometries given by the user, as one batch."""
        return Molecules.concatenate([frame.molecule for frame in geometries.read(self.root / self.settings.sample.geometries)])

    def model(self) -> Predictor:
        """The trained model."""
        return load(self.folder / "train" / "model.safetensors")

    def split(self) -> tuple[Dataset, Dataset]:
        """Labels to train on, labels held out."""
        labels, run = store.read(self.folder / "label" / "dataset.h5"), self.settings.run
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
