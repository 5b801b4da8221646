"""What a stage works with: the user's inputs, and a desk on which lie the artefacts that it declares, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from densnet.artefacts.artefact import Artefact, Series
from densnet.artefacts.making import MODEL, REFINED, STARTS
from densnet.frames.smiles import embedded
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.reference import shipped
from densnet.simulation.initial import deal
from densnet.workflow.harmonic import named_geometries
from densnet.workflow.settings import RunFile

T = TypeVar("T")


class UndeclaredArtefact(AssertionError):
    """A stage touches what its recipe does not name: a mistake in the program."""


@dataclass(frozen=True)
class Inputs:
    """What the user gives a run: settings, and files named in them relative to the folder ``root``."""

    settings: RunFile
    root: Path = Path(".")

    @property
    def folder(self) -> Path:
        """Where the run's results are."""
        assert self.settings.run.folder is not None
        return self.settings.run.folder

    @property
    def trains(self) -> bool:
        """Whether the run makes its own model, from labels alone; else it is given one, to use or to refine."""
        return self.settings.run.model is None and self.settings.run.start is None

    @property
    def refines(self) -> bool:
        """Whether the run is given a model that it trains on for its molecule."""
        return self.settings.run.start is not None

    @property
    def searches(self) -> bool:
        """Whether the molecule is given as SMILES, so that the run finds its conformers."""
        return self.settings.run.smiles is not None

    @property
    def geometries(self) -> Path:
        """The xyz file of the conformers, the user's or those found."""
        if self.searches:
            return STARTS.path(self.folder)
        return self.root / self.settings.sample.geometries if self.trains else self.settings.run.geometries

    @property
    def model_file(self) -> Path:
        """The trained model, the refined one, or the given one."""
        if self.trains or self.refines:
            return (MODEL if self.trains else REFINED).path(self.folder)
        return Path(self.settings.run.model)

    @property
    def experiments(self) -> tuple[Path, ...]:
        """Measured curves, as the settings name them, relative to ``root``; a file that is named twice is one."""
        return tuple(dict.fromkeys(self.settings.spectrum.experiment))

    @cached_property
    def named(self) -> list[tuple[str, Molecules]]:
        """The geometries given by the user, with names. Raises `StartError` if they are not one molecule."""
        found = named_geometries(self.geometries)
        deal(Molecules.concatenate([molecule for _, molecule in found]), len(found))
        return found

    @cached_property
    def reference(self) -> Path | None:
        """The shipped analysis of this molecule, at the level of the labels if there is one of it."""
        made, smiles = self.trains or self.refines, self.settings.run.smiles
        level = self.settings.label.scf.level() if made else load(self.model_file).provenance.get("level")
        return shipped.harmonic(self.named[0][1] if smiles is None else embedded(smiles, 1)[0], level)

    def files(self, name: str) -> tuple[Path, ...]:
        """Files whose content decides what a stage gives: those called geometries, model, start, reference or experiment in its recipe.

        What the run makes itself is not among them: it is an artefact.
        """
        known = {
            "geometries": lambda: () if self.searches else (self.geometries,),
            "model": lambda: () if self.trains or self.refines else (self.model_file,),
            "start": lambda: (Path(self.settings.run.start),),
            "reference": lambda: () if self.reference is None else (self.reference, shipped.MEASURED),
            "experiment": lambda: tuple(self.root / path for path in self.experiments),
        }
        return known[name]()


@dataclass(frozen=True)
class Recipe:
    """A stage as it is declared: order, skipping, resuming and "made from what" follow from it.

    settings  dotted names of the sections, or settings, that decide its result
    inputs    the user's files that it reads, see `Inputs.files`
    takes     artefacts of earlier stages that it is made from       gives     artefacts that it leaves
    checks    artefacts that it only looks at, to refuse what cannot work: they decide nothing in what it gives
    """

    name: str
    about: str
    work: Callable[[Desk], None]
    settings: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    takes: tuple[Artefact[Any], ...] = ()
    gives: tuple[Artefact[Any] | Series[Any], ...] = ()
    checks: tuple[Artefact[Any], ...] = ()

    def chosen(self, settings: RunFile) -> Mapping[str, Any]:
        """The settings that it names."""
        found = {}
        for dotted in self.settings:
            value: Any = settings
            for name in dotted.split("."):
                value = getattr(value, name)
            found[dotted.split(".")[-1]] = value
        return found


@dataclass(frozen=True)
class Desk:
    """Where a stage works. It tells ``progress`` how far it is, and ``tell`` what the user should know."""

    inputs: Inputs
    recipe: Recipe
    progress: Progress = silent
    tell: Callable[[str], None] = lambda text: None

    @property
    def settings(self) -> RunFile:
        """All settings of the run."""
        return self.inputs.settings

    @property
    def place(self) -> Path:
        """The stage's own folder, for what it needs to go on after an interruption."""
        return self.inputs.folder / self.recipe.name

    def take(self, artefact: Artefact[T]) -> T:
        """What an earlier stage has left."""
        return artefact.load(self._declared(artefact, (*self.recipe.takes, *self.recipe.checks)))

    def give(self, artefact: Artefact[T], value: T) -> None:
        """Leaves ``value`` for later stages."""
        artefact.save(self._declared(artefact, self.recipe.gives), value)

    def add(self, series: Series[T], number: int, value: T) -> None:
        """Leaves one of a series."""
        series.save(self._declared(series, self.recipe.gives), number, value)

    def path(self, artefact: Artefact[Any]) -> Path:
        """Where it lies, for work that reads or writes it in parts."""
        return artefact.path(self._declared(artefact, (*self.recipe.takes, *self.recipe.gives)))

    def model(self) -> Predictor:
        """The model at work: the run's own, or the given one."""
        if self.inputs.trains or self.inputs.refines:
            return self.take(MODEL if self.inputs.trains else REFINED)
        return load(self.inputs.model_file)

    def _declared(self, artefact: Artefact[Any] | Series[Any], among: tuple[Artefact[Any] | Series[Any], ...]) -> Path:
        if artefact not in among:
            raise UndeclaredArtefact(f"stage {self.recipe.name} does not declare {artefact.stage}/{artefact.name}.")
        return self.inputs.folder
