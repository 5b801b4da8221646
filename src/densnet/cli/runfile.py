"""The settings file of a run: one TOML, one section a stage, the type of each beside the stage's code."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Literal

from pydantic import Field

from densnet.cli.harmonic import ColdSettings, HarmonicSettings
from densnet.model.predictor import ModelSettings
from densnet.reference.campaign import LabelSettings
from densnet.reference.geometries import SampleSettings
from densnet.settings import Section, SettingsError, parse, read_toml
from densnet.simulation.run import SimulateSettings
from densnet.spectra.infrared import InfraredSettings
from densnet.training.settings import TrainSettings


class RunSettings(Section):
    """What is not of one stage."""

    name: str = Field("", description="of the run; the name of the file by default")
    folder: Path | None = Field(None, description="where results go, relative to where the command is given; runs/NAME by default")
    held_out: float = Field(0.2, gt=0, lt=0.9, description="share of the frames kept to judge the model, by whole trajectories")
    held_out_temperature: float | None = Field(None, gt=0, description="K; hold out trajectories of this temperature only (any by default)")


class DensitySettings(Section):
    """The functions that the density is expanded in."""

    basis: Literal["small", "default", "optimised", "large"] = Field("optimised", description="Gaussians of each atom; see docs/density.md")
    points: int = Field(4000, ge=100, description="points a frame, in space, at which the exact density is kept for training")


class EvaluateSettings(Section):
    """Frames on which the trained model is judged."""

    density_frames: int = Field(20, gt=0, description="held-out frames whose density is integrated on a grid")


class SpectrumSettings(InfraredSettings):
    """The spectrum and what it is compared with."""

    experiment: tuple[Path, ...] = Field((), description="measured spectra, JCAMP-DX or CSV, relative to the settings file")


class RunFile(Section):
    """All sections; only `sample.geometries` has no default."""

    run: RunSettings = Field(default_factory=RunSettings)
    sample: SampleSettings
    label: LabelSettings = Field(default_factory=LabelSettings)
    density: DensitySettings = Field(default_factory=DensitySettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    harmonic: HarmonicSettings = Field(default_factory=HarmonicSettings)
    cold: ColdSettings = Field(default_factory=ColdSettings)
    simulate: SimulateSettings = Field(default_factory=SimulateSettings)
    spectrum: SpectrumSettings = Field(default_factory=SpectrumSettings)


def read_runfile(path: Path) -> RunFile:
    """The settings of a run with name and folder filled in; raises `SettingsError`, naming the nearest key for an unknown one."""
    settings = parse(RunFile, read_toml(path), "")
    name = settings.run.name or path.stem
    folder = settings.run.folder or Path("runs") / name
    return settings.model_copy(update={"run": settings.run.model_copy(update={"name": name, "folder": folder})})


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
