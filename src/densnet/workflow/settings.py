"""The settings file of a run: one TOML, one section a stage, the type of each beside the stage's code."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from densnet import units
from densnet.frames.smiles import embedded
from densnet.model.predictor import ModelSettings, load
from densnet.model.shipped import find as find_model
from densnet.reference import shipped
from densnet.reference.campaign import LabelSettings
from densnet.reference.geometries import SampleSettings, read
from densnet.reference.scf import ScfSettings
from densnet.settings import Added, Section, SettingsError, parse, read_toml
from densnet.simulation.run import SimulateSettings
from densnet.spectra.comparison import comparable
from densnet.spectra.measured import is_raman, read_measured, read_raman
from densnet.spectra.spectrum import SpectrumError
from densnet.spectra.timeseries import SeriesSettings, highest_wavenumber, suffices
from densnet.spectra.width import WIDTH
from densnet.training.settings import TrainSettings
from densnet.workflow.folder import Mark
from densnet.workflow.harmonic import AnharmonicSettings, ColdSettings, HarmonicSettings
from densnet.workflow.refinement import RefineSettings
from densnet.workflow.search import SearchSettings
from densnet.workflow.verification import CheckSettings


class RunSettings(Section):
    """What is not of one stage. A run uses a ``model`` as it is, or refines a ``start`` for its molecule, or else trains its own."""

    model: str | None = Field(None, description="name of a shipped model, or a model file relative to the settings file; none: train one")
    start: str | None = Field(None, description="as `model`, but refined for the molecule, by settings of [refine]")
    geometries: Path | None = Field(
        None, description="with `model` or `start`: xyz file of conformers, Angstrom, relative to the settings file; default: those shipped"
    )
    smiles: str | None = Field(None, description="the molecule, in place of a file of geometries; needs RDKit")
    name: str = Field("", description="name of the run; default: name of the settings file")
    folder: Path | None = Field(None, description="folder for the results, relative to the working directory; default: runs/NAME")
    held_out: float = Field(0.2, gt=0, lt=0.9, description="fraction of the frames held out to assess the model, in whole trajectories")
    held_out_temperature: float | None = Field(None, gt=0, description="K; hold out only trajectories at this temperature (default: any)")


class DensitySettings(Section):
    """The functions that the density is expanded in."""

    basis: Literal["small", "default", "optimised", "large"] = Field("optimised", description="density basis; see docs/density.md")
    points: int = Field(4000, ge=100, description="points per frame at which the exact density is stored for training")


class EvaluateSettings(Section):
    """Frames on which the trained model is judged."""

    density_frames: int = Field(20, gt=0, description="held-out frames whose density is integrated on a grid")


class SpectrumSettings(SeriesSettings):
    """The spectrum and what it is compared with."""

    experiment: tuple[Path, ...] = Field(
        (), description="measured spectra, infrared or Raman, JCAMP-DX or CSV, relative to the settings file"
    )
    bands: tuple[tuple[float, float], ...] = Field(
        (), description="limits of the bands in the tables, cm^-1; default: groups of harmonic lines"
    )
    width: float = Field(
        WIDTH, ge=0, description="line width (FWHM) in figures and in smoothed.csv, cm^-1; 0: no smoothing beyond the window"
    )

    laser_nm: Added[float] = Field(532.0, gt=100, le=2000, description="wavelength of the laser for Raman cross sections, nm")

    @property
    def series(self) -> SeriesSettings:
        """What concerns the spectrum alone."""
        return SeriesSettings(**self.model_dump(include=set(SeriesSettings.model_fields)))

    @field_validator("bands")
    @classmethod
    def _ascending(cls, limits):
        if any(not 0 <= lower < upper for lower, upper in limits):
            raise ValueError("must be pairs of a lower and a higher wavenumber")
        return limits


class RunFile(Section):
    """All sections; the least that must be said is `sample.geometries`, `run.smiles`, or `run.model`."""

    run: RunSettings = Field(default_factory=RunSettings)
    search: SearchSettings = Field(default_factory=SearchSettings)
    sample: SampleSettings | None = None
    label: LabelSettings = Field(default_factory=LabelSettings)
    density: DensitySettings = Field(default_factory=DensitySettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    refine: RefineSettings = Field(default_factory=RefineSettings)
    verify: CheckSettings = Field(default_factory=CheckSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    harmonic: HarmonicSettings = Field(default_factory=HarmonicSettings)
    anharmonic: AnharmonicSettings = Field(default_factory=AnharmonicSettings)
    cold: ColdSettings = Field(default_factory=ColdSettings)
    simulate: SimulateSettings = Field(default_factory=SimulateSettings)
    spectrum: SpectrumSettings = Field(default_factory=SpectrumSettings)


TRAINING = ("sample", "label", "density", "model", "train", "evaluate", "cold", "refine", "verify")
"""Sections of the stages that make and judge a new model."""

UNREFINED = ("sample", "density", "model", "train", "evaluate", "cold")
"""Those of them that have no part in refining a given one."""


def read_runfile(path: Path) -> RunFile:
    """The settings of a run with name, folder and model filled in; raises `SettingsError`, naming the nearest key for an unknown one."""
    return complete(read_toml(path), path.parent, path.stem)


def complete(values: dict[str, Any], root: Path, name: str) -> RunFile:
    """``values`` of a settings file in the folder ``root``, checked and completed; ``name`` is that of the run unless they give one."""
    settings = parse(RunFile, values, "")
    folder = settings.run.folder or Path("runs") / (settings.run.name or name)
    if settings.run.model is None and settings.run.start is None:
        values = as_begun(values, folder)
        settings = parse(RunFile, values, "")
        if "cold" not in values:
            settings = settings.model_copy(update={"cold": settings.cold.model_copy(update={"run": False})})
    for path in settings.spectrum.experiment:
        # a file that cannot be read, or compared, is better known before the work than after it
        curve = read_raman(root / path) if is_raman(root / path) else read_measured(root / path)
        comparable(curve, settings.spectrum.maximum, str(path))
    run = settings.run
    _one_molecule(settings)
    if run.model is not None and run.start is not None:
        raise SettingsError("settings `run.model` and `run.start` exclude each other: a model is used as it is, or refined.")
    given = run.model or run.start
    changes: dict[str, Any] = {}
    if given is None:
        settings = settings.model_copy(update={"sample": settings.sample or SampleSettings()})
    else:
        setting, unused = ("run.model", TRAINING) if run.model else ("run.start", UNREFINED)
        if extra := [section for section in unused if section in values]:
            told = "nothing is labelled or trained" if run.model else "what is trained is set in [refine]"
            raise SettingsError(f"`{setting}` is given, so {told}: remove [{extra[0]}], or `{setting}`.")
        changes = {setting.removeprefix("run."): str(_model(given, setting, root)), "geometries": _start(run, root)}
    if run.start is not None:
        label = _level(changes["start"], settings.label, values.get("label", {}).get("scf", {}))
        settings = settings.model_copy(update={"label": label})
    highest = _highest(settings, changes.get("geometries"), root)
    _enough("simulate", settings.simulate, settings.spectrum.series, highest)
    if given is None and settings.cold.run:
        _enough("cold", settings.cold, SeriesSettings(depth=settings.cold.depth), highest)
    changes |= {"name": run.name or name, "folder": folder}
    return settings.model_copy(update={"run": run.model_copy(update=changes)})


FORMER_DEFAULTS: dict[str, dict[tuple[str, ...], Any]] = {
    "train": {("train", "density", "steps"): 2000, ("train", "points", "steps"): 1000, ("train", "points", "learning_rate"): 1e-3},
    "validate": {("cold", "run"): True},
}
"""Stage -> settings whose default has changed since, and what it was."""


def as_begun(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """``values`` of a settings file with the defaults that the stages in the run's ``folder`` were begun with.

    Of `FORMER_DEFAULTS` only, and where the file says nothing: so a newer version does not make anew what an older one has made.
    """
    found = copy.deepcopy(values)
    for stage, former in FORMER_DEFAULTS.items():
        mark = Mark.read(folder / stage)
        for path, before in former.items() if mark else ():
            if _at(mark.settings, path, before) == before and _at(values, path) is None:
                section = found
                for key in path[:-1]:
                    section = section.setdefault(key, {})
                section[path[-1]] = before
    return found


def _at(values: Mapping[str, Any], path: Sequence[str], otherwise: Any = None) -> Any:
    """What stands in nested ``values``, else ``otherwise``."""
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return otherwise
        values = values[key]
    return values


def _one_molecule(settings: RunFile) -> None:
    """Refuses a molecule that is named not at all, or twice. Raises `SettingsError`."""
    run, sample = settings.run, settings.sample
    given = run.model or run.start
    if given is None and run.geometries is not None:
        raise SettingsError("setting `run.geometries` requires `run.model` or `run.start`; to train a model use `sample.geometries`.")
    files = [name for name, path in (("run.geometries", run.geometries), ("sample.geometries", sample and sample.geometries)) if path]
    if run.smiles is not None and files:
        raise SettingsError(f"settings `run.smiles` and `{files[0]}` exclude each other: name the molecule once.")
    if given is None and sample is None and run.smiles is None:
        raise SettingsError(
            "setting `sample` is missing: name `sample.geometries` or `run.smiles` to train a model, `run.start` to refine one, or "
            "`run.model` to use one."
        )
    if given is None and sample is not None and not files and run.smiles is None:
        raise SettingsError("setting `sample.geometries` is missing and has no default.")


def _highest(settings: RunFile, geometries: Path | None, root: Path) -> float:
    """cm^-1, above which the molecule absorbs nothing; 0 where its file is not there, which the stages tell."""
    if settings.run.smiles is not None:
        return highest_wavenumber(embedded(settings.run.smiles, 1)[0])
    start = geometries or root / settings.sample.geometries
    return highest_wavenumber(read(start)[0].molecule) if start.is_file() else 0.0


def _level(start: str, label: LabelSettings, given: Mapping[str, Any]) -> LabelSettings:
    """``label`` at the level of the model ``start``, but for what is ``given`` of it in [label.scf]. Raises `SettingsError`.

    Another functional or basis is another level, for which the model is refined: no label of its own level is among those it learns from,
    and their numerics are the defaults of today, whatever those of its own were.
    """
    level = load(start).provenance.get("level")
    if level is None:
        if given:
            return label
        raise SettingsError(f"{start} does not state the level of its labels: give it in [label.scf].")
    known = ScfSettings.of_level(level)
    own = parse(ScfSettings, {**known.model_dump(), **given}, "label.scf")
    if (own.xc, own.basis) != (known.xc, known.basis):
        own = parse(ScfSettings, {"basis": known.basis, "dispersion": known.dispersion, **given}, "label.scf")
    if own.dispersion != known.dispersion:
        told = f"`label.scf.dispersion` is {own.dispersion!r}, but {start} was trained with {known.dispersion!r}"
        raise SettingsError(f"{told}: omit it.")
    return label.model_copy(update={"scf": own})


def _enough(section: str, dynamics: SimulateSettings | ColdSettings, spectrum: SeriesSettings, highest: float) -> None:
    """Dynamics that cannot give the spectrum asked for are better known before the work than after it."""
    timestep, steps = dynamics.timestep_fs * units.FEMTOSECOND, round(1000 * dynamics.duration_ps / dynamics.timestep_fs)
    try:
        suffices(steps // dynamics.sample_every - 2, dynamics.sample_every * timestep, timestep, spectrum, highest)
    except SpectrumError as error:
        raise SettingsError(f"[{section}] is not suitable for its spectrum: {error}") from None


def _model(model: str, setting: str, root: Path) -> Path:
    try:
        return find_model(root / model if (root / model).is_file() else model)
    except FileNotFoundError as error:
        raise SettingsError(f"setting `{setting}`: {error}") from None


def _start(run: RunSettings, root: Path) -> Path | None:
    """File of the conformers of a run with a given model; None where it finds them itself."""
    if run.smiles is not None:
        return None
    if run.geometries is not None:
        return root / run.geometries
    try:
        return shipped.geometries(run.model or run.start)
    except FileNotFoundError:
        raise SettingsError("setting `run.geometries` is missing: with your own model file, give an xyz file of conformers.") from None


def read_sections(path: Path | None, kinds: dict[str, type[Section]]) -> dict[str, Section]:
    """Some sections of a settings file, each by name and type; defaults for a section, or a file, that is not given.

    Sections of other stages are allowed, unknown ones refused with `SettingsError`.
    """
    values = {} if path is None else read_toml(path)
    known = RunFile.model_fields
    for name in values.keys() - known.keys():
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean [{near[0]}]?" if near else f"known sections: {', '.join(known)}."
        raise SettingsError(f"unknown section [{name}] in {path}; {hint}")
    return {name: parse(kind, values.get(name, {}), name) for name, kind in kinds.items()}
