"""The settings file of a run: one TOML, one section a stage, the type of each beside the stage's code."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from densnet import units
from densnet.model.compiled import compiler_found
from densnet.model.predictor import ModelSettings
from densnet.model.shipped import find as find_model
from densnet.model.shipped import names as model_names
from densnet.reference import shipped
from densnet.reference.campaign import LabelSettings
from densnet.reference.geometries import SampleSettings, read
from densnet.settings import Added, Section, SettingsError, parse, read_toml
from densnet.simulation.run import SimulateSettings
from densnet.spectra.comparison import comparable
from densnet.spectra.measured import is_raman, read_measured, read_raman
from densnet.spectra.spectrum import SpectrumError
from densnet.spectra.timeseries import SeriesSettings, highest_wavenumber, suffices
from densnet.spectra.width import WIDTH
from densnet.training.settings import TrainSettings
from densnet.workflow.harmonic import AnharmonicSettings, ColdSettings, HarmonicSettings


class RunSettings(Section):
    """What is not of one stage. ``model`` is the switch between the two kinds of run: with it, nothing is labelled or trained."""

    model: str | None = Field(None, description="name of a shipped model, or a model file relative to the settings file; none: train one")
    geometries: Path | None = Field(
        None, description="with `model`: xyz file of conformers, Angstrom, relative to the settings file; default: those shipped"
    )
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
    """All sections; the least that must be said is `sample.geometries`, or `run.model`."""

    run: RunSettings = Field(default_factory=RunSettings)
    sample: SampleSettings | None = None
    label: LabelSettings = Field(default_factory=LabelSettings)
    density: DensitySettings = Field(default_factory=DensitySettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    harmonic: HarmonicSettings = Field(default_factory=HarmonicSettings)
    anharmonic: AnharmonicSettings = Field(default_factory=AnharmonicSettings)
    cold: ColdSettings = Field(default_factory=ColdSettings)
    simulate: SimulateSettings = Field(default_factory=SimulateSettings)
    spectrum: SpectrumSettings = Field(default_factory=SpectrumSettings)


TRAINING = ("sample", "label", "density", "model", "train", "evaluate", "cold")
"""Sections of the stages that make and judge a new model."""


def read_runfile(path: Path) -> RunFile:
    """The settings of a run with name, folder and model filled in; raises `SettingsError`, naming the nearest key for an unknown one."""
    return complete(read_toml(path), path.parent, path.stem)


def complete(values: dict[str, Any], root: Path, name: str) -> RunFile:
    """``values`` of a settings file in the folder ``root``, checked and completed; ``name`` is that of the run unless they give one."""
    settings = parse(RunFile, values, "")
    for path in settings.spectrum.experiment:
        # a file that cannot be read, or compared, is better known before the work than after it
        curve = read_raman(root / path) if is_raman(root / path) else read_measured(root / path)
        comparable(curve, settings.spectrum.maximum, str(path))
    run = settings.run
    if run.model is None:
        if settings.sample is None:
            raise SettingsError("setting `sample` is missing: name `sample.geometries` to train a model, or `run.model` to use one.")
        if run.geometries is not None:
            raise SettingsError("setting `run.geometries` requires `run.model`; a run that trains its model uses `sample.geometries`.")
        changes = {}
    else:
        extra = [section for section in TRAINING if section in values]
        if extra:
            raise SettingsError(f"`run.model` is given, so nothing is labelled or trained: remove [{extra[0]}], or `run.model`.")
        changes = {"model": str(_model(run.model, root)), "geometries": _start(run, root)}
    start = changes.get("geometries") or root / settings.sample.geometries
    highest = highest_wavenumber(read(start)[0].molecule) if start.is_file() else 0.0
    _enough("simulate", settings.simulate, settings.spectrum.series, highest)
    if run.model is None:
        _enough("cold", settings.cold, SeriesSettings(depth=settings.cold.depth), highest)
    name = run.name or name
    changes |= {"name": name, "folder": run.folder or Path("runs") / name}
    return settings.model_copy(update={"run": run.model_copy(update=changes)})


def _enough(section: str, dynamics: SimulateSettings | ColdSettings, spectrum: SeriesSettings, highest: float) -> None:
    """Dynamics that cannot give the spectrum asked for are better known before the work than after it."""
    timestep, steps = dynamics.timestep_fs * units.FEMTOSECOND, round(1000 * dynamics.duration_ps / dynamics.timestep_fs)
    try:
        suffices(steps // dynamics.sample_every - 2, dynamics.sample_every * timestep, timestep, spectrum, highest)
    except SpectrumError as error:
        raise SettingsError(f"[{section}] is not suitable for its spectrum: {error}") from None


def _model(model: str, root: Path) -> Path:
    try:
        return find_model(root / model if (root / model).is_file() else model)
    except FileNotFoundError as error:
        raise SettingsError(f"setting `run.model`: {error}") from None


def _start(run: RunSettings, root: Path) -> Path:
    if run.geometries is not None:
        return root / run.geometries
    try:
        return shipped.geometries(run.model)
    except FileNotFoundError:
        raise SettingsError("setting `run.geometries` is missing: with your own model file, give an xyz file of conformers.") from None


BANDS = {
    "ethanol": ((700, 960), (960, 1120), (1120, 1310), (1310, 1550), (2700, 3120), (3550, 3850)),
}
"""Limits (cm^-1) of the bands in the tables of a shipped molecule; others have groups of harmonic lines."""


MORE_REPLICAS = {"water": 192}
"""Of small molecules, whose steps are cheap and whose rotational lines need many rotational speeds to blend; also with LONG."""


@dataclass(frozen=True)
class Choice:
    """What the command line says of a run by name; None: as it comes.

    ``long``: the setting of published spectra; ``temperature`` in K; ``folder``: where results go; ``experiment``: measured curves.
    """

    long: bool = False
    replicas: int | None = None
    temperature: float | None = None
    folder: Path | None = None
    experiment: tuple[Path, ...] = ()


def next_for(geometry: Path) -> str:
    """What to do with a molecule that does not ship: the shortest settings file, in a sentence."""
    name = geometry.with_suffix("").name
    return (
        f'write {name}.toml with the lines `[sample]` and `geometries = "{name}.xyz"`, and pass it to `densnet run`: it makes labels and '
        "a model first (hours); examples/water.toml shows more settings."
    )


def by_name(molecule: str, choice: Choice) -> str:
    """The settings file (TOML) of a run that names a shipped ``molecule`` in its place.

    The default takes minutes. The model is compiled where there is a compiler. Raises `SettingsError` for a name that is not shipped.
    """
    known = [name for name in shipped.names() if name in model_names()]
    if molecule not in known:
        near = [name for name in difflib.get_close_matches(molecule, known, cutoff=0.5) if name[0] == molecule[:1].lower()]
        hint = f"did you mean {near[0]}? " if near else ""
        told = f"{molecule} is neither a settings file nor a shipped molecule; {hint}shipped are {', '.join(known) or 'none'}."
        other = "" if near else f" For another molecule: save its geometry as {molecule}.xyz, then {next_for(Path(molecule))}"
        raise SettingsError(told + other)
    lengths = LONG if choice.long else SHORT
    replicas = choice.replicas or MORE_REPLICAS.get(shipped.molecule_of(molecule), lengths["replicas"])
    chosen = {"replicas": replicas, "compile": compiler_found()}
    simulate = {**lengths, **chosen} | ({} if choice.temperature is None else {"temperature": choice.temperature})
    spectrum: dict[str, Any] = {"experiment": [str(path.absolute()) for path in choice.experiment]} if choice.experiment else {}
    spectrum["maximum"] = 4200.0
    if bands := BANDS.get(shipped.molecule_of(molecule)):
        spectrum["bands"] = bands
    warm = "" if choice.temperature is None else f"-{choice.temperature:g}K"
    run = {"name": f"{molecule}{warm}{'-long' if choice.long else ''}", "model": molecule}
    run |= {} if choice.folder is None else {"folder": str(choice.folder)}
    sections = {"run": run, "simulate": simulate, "spectrum": spectrum}
    lines = [f"# densnet run {molecule}; a copy of this file can be edited and passed to densnet run"]
    for title, section in sections.items():
        lines += ["", f"[{title}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join([*lines, ""])


SHORT = {
    "temperature": 300.0, "replicas": 48, "timestep_fs": 1.0, "thermalise_ps": 0.5, "thermalise_friction": 10.0, "duration_ps": 2.5,
    "sample_every": 2, "checkpoint_every": 250,
}  # fmt: skip
LONG = {
    "temperature": 300.0, "replicas": 64, "timestep_fs": 0.5, "thermalise_ps": 5.0, "duration_ps": 100.0,
    "sample_every": 4, "checkpoint_every": 1000,
}  # fmt: skip
"""Dynamics of a run by name: of minutes, and as published spectra are made."""


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
