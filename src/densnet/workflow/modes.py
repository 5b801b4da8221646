"""Normal modes of a run, of a model at a geometry, or of a shipped molecule at its reference level, with what is known of their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from densnet.artefacts.content import Analysis
from densnet.artefacts.making import MODEL, REFERENCE
from densnet.artefacts.run import level_words
from densnet.artefacts.using import CONFORMERS, SHIPPED
from densnet.errors import DensnetError
from densnet.model import shipped as models
from densnet.model.predictor import Predictor, load
from densnet.molecules import Molecules, formula_of
from densnet.observables.conformers import Conformer, characterise
from densnet.observables.response import polarizability_derivatives
from densnet.observables.vibrations import Modes
from densnet.reference import shipped
from densnet.settings import read_toml
from densnet.spectra import raman
from densnet.threads import one_thread
from densnet.workflow.harmonic import named_geometries


class ModesError(DensnetError):
    """No normal modes in what was given, or no conformer of that name; the message says what there is."""


@dataclass(frozen=True)
class Lines:
    """Normal modes of one ``conformer`` of the molecule ``formula``.

    origin      what they were calculated with, in words
    activities  [modes] A^4/amu of Raman lines; None where no polarizability is known
    others      names of the conformers that are there, too
    """

    conformer: str
    formula: str
    origin: str
    modes: Modes
    activities: Tensor | None = None
    others: tuple[str, ...] = ()


@one_thread()
def lines_of(source: str, geometry: Path | None = None, conformer: str | None = None, *, reference: bool = False) -> Lines:
    """Modes of ``source``: the folder of a run, a model file, or the name of a shipped model.

    geometry   xyz file that the model relaxes; a shipped model has its own geometries
    conformer  name of the one that is wanted; by default the lowest of a run or a reference, the first of a geometry file
    reference  those of the reference level in place of those of the model

    Raises `ModesError`.
    """
    if Path(source).is_dir():
        return _of_run(Path(source), conformer, reference=reference)
    path = geometry or _shipped_geometries(source)
    starts = named_geometries(path)
    if reference:
        return _of_reference(starts[0][1], path, conformer)
    names = [name for name, _ in starts]
    name, start = starts[_place(names, conformer, str(path), default=0)]
    model = load(source).double()
    found = characterise(model, start, name)
    return _lines(found, f"{Path(source).stem}, harmonic", names, model)


def _of_run(folder: Path, conformer: str | None, *, reference: bool) -> Lines:
    sources = (REFERENCE, SHIPPED) if reference else (CONFORMERS,)
    known = next((found for artefact in sources if (found := artefact.find(folder)) is not None), None)
    if known is None:
        whose, files = "reference level" if reference else "model", " or ".join(f"{a.stage}/{a.name}" for a in sources)
        raise ModesError(f"{folder} has no normal modes of the {whose} ({files}); finish that run, or give a model and --geometry.")
    if reference:
        return _of_analysis(known, str(folder), conformer)
    return _of_analysis(known, str(folder), conformer, _model_of(folder))


def _of_reference(molecule: Molecules, path: Path, conformer: str | None) -> Lines:
    known = shipped.harmonic(molecule)
    if known is None:
        names = ", ".join(shipped.names())
        raise ModesError(f"no reference modes of the molecule in {path} come with densnet, only of {names}; leave out --reference.")
    return _of_analysis(Analysis.read(known), known.stem, conformer)


def _of_analysis(known: Analysis, where: str, conformer: str | None, model: Predictor | None = None) -> Lines:
    found = known.ensemble.conformers
    names, lowest = [c.name for c in found], min(range(len(found)), key=lambda k: found[k].energy)
    origin = f"{level_words(known.level) if known.level else f'model of {where}'}, harmonic"
    return _lines(found[_place(names, conformer, where, default=lowest)], origin, names, model)


def _lines(found: Conformer, origin: str, names: Sequence[str], model: Predictor | None) -> Lines:
    slopes, others = found.polarizability_slopes, tuple(dict.fromkeys(name for name in names if name != found.name))
    if slopes is None and model is not None and model.response_network is not None:
        slopes = polarizability_derivatives(model.respond, found.molecule)
    activities = None if slopes is None else raman.from_modes(found.modes, slopes).activities
    return Lines(found.name, formula_of(found.molecule), origin, found.modes, activities, others)


def _model_of(folder: Path) -> Predictor | None:
    """The model of a run, where it is still to be found."""
    own, settings = MODEL.path(folder), folder / "settings.toml"
    if own.is_file():
        return load(own).double()
    given = read_toml(settings).get("run", {}).get("model") if settings.is_file() else None
    return load(given).double() if given is not None and (given in models.names() or Path(given).is_file()) else None


def _place(names: Sequence[str], wanted: str | None, where: str, default: int) -> int:
    if wanted is None:
        return default
    if wanted not in names:
        raise ModesError(f"{where} has no conformer {wanted!r}; it has {', '.join(names)}.")
    return names.index(wanted)


def _shipped_geometries(source: str) -> Path:
    try:
        return shipped.geometries(source)
    except FileNotFoundError:
        models.find(source)
        raise ModesError(f"{source} is a model of its own, without geometries; name an xyz file by --geometry.") from None
