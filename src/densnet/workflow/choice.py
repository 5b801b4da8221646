"""What a command line says of a run, as the settings file that says the same: a molecule by its name, its SMILES or its geometry."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densnet.frames import smiles
from densnet.model.compiled import compiler_found
from densnet.model.predictor import load
from densnet.model.shipped import GENERAL, find
from densnet.model.shipped import names as model_names
from densnet.molecules import Molecules
from densnet.reference import shipped
from densnet.reference.geometries import read
from densnet.settings import SettingsError

BANDS = {
    "ethanol": ((700, 960), (960, 1120), (1120, 1310), (1310, 1550), (2700, 3120), (3550, 3850)),
}
"""Limits (cm^-1) of the bands in the tables of a shipped molecule; others have groups of harmonic lines."""


SMALL, MORE_REPLICAS = 3, 192
"""Of molecules of up to so many atoms, whose steps are cheap and whose rotational lines need many rotational speeds to blend; also with
LONG."""


@dataclass(frozen=True)
class Choice:
    """What the command line says of a run by name, SMILES or geometry; None: as it comes.

    ``long``: the setting of published spectra; ``temperature`` in K; ``folder``: where results go; ``experiment``: measured curves;
    ``start``: model file, or name of a shipped model, that is refined for the molecule, or with ``zero_shot`` used as it is; by default
    the general one. ``level``: of theory, FUNCTIONAL or FUNCTIONAL/BASIS, for which a model of another one is refined; by default that of
    the model.
    """

    long: bool = False
    replicas: int | None = None
    temperature: float | None = None
    folder: Path | None = None
    experiment: tuple[Path, ...] = ()
    start: str | None = None
    zero_shot: bool = False
    level: str | None = None


GEOMETRIES = (".xyz", ".extxyz")


def settings_text(what: str, choice: Choice) -> str:
    """The settings file (TOML) of a run of the molecule ``what``: the name of a shipped one, a file of conformers, or a SMILES.

    Dynamics takes minutes by default. The model is compiled where there is a compiler. Raises `SettingsError` for what is none of these,
    `MoleculeError` for a molecule that cannot be treated.
    """
    known = what if what in shipped.names() and what in model_names() else None
    if known:
        molecule = read(shipped.geometries(what))[0].molecule
        run = {"name": what}
    elif Path(what).suffix.lower() in GEOMETRIES:
        molecule = read(Path(what))[0].molecule
        run = {"name": Path(what).stem, "geometries": str(Path(what).absolute())}
    elif smiles.is_smiles(what):
        named, molecule = smiles.named(what), smiles.embedded(what, 1)[0]
        run = {"name": named.smiles, "smiles": named.smiles, "folder": str(Path("runs") / (named.name + _kind(choice)))}
    else:
        raise SettingsError(_unknown(what))
    known = _at_level(known or _known(molecule), choice)
    start, own = choice.start or known or GENERAL, known is not None and choice.start is None
    other = _another_level(start, choice)
    run |= _model_of(start, choice, used=not other and (own or choice.zero_shot))
    run |= {} if choice.folder is None else {"folder": str(choice.folder)}
    run["name"] += _kind(choice)
    sections = {"run": run, **_labels(other, own=own), "simulate": _dynamics(molecule, choice), "spectrum": _spectrum(known, choice)}
    return f"# densnet run {json.dumps(what)}; a copy of this file can be edited and passed to densnet run\n{toml(sections)}"


def toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a settings file with these ``sections``, whose values are numbers, words, and lists of them."""
    lines = []
    for title, section in sections.items():
        lines += ["", f"[{title}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join([*lines, ""])


def _model_of(start: str, choice: Choice, *, used: bool) -> dict[str, str]:
    """The model ``start`` as one that a run uses (`run.model`) or refines (`run.start`). Raises `SettingsError`."""
    if choice.zero_shot and not used:
        raise SettingsError(f"--level {choice.level} and --zero-shot exclude each other: {start} is of another level, and must be refined.")
    return {"model" if used else "start": str(Path(start).absolute()) if Path(start).is_file() else start}


def _at_level(known: str | None, choice: Choice) -> str | None:
    """The shipped model of the same molecule as ``known`` that is of the level asked for; else ``known``."""
    if known is None or choice.level is None:
        return known
    same = [name for name in model_names() if shipped.molecule_of(name) == shipped.molecule_of(known)]
    return next((name for name in same if not _another_level(name, choice)), known)


SPELT = {name.lower(): name for name in ("PBE", "PBE0", "B3LYP", "r2SCAN", "r2SCAN0", "wB97X")}
"""Functionals as the levels of shipped models, and of the documentation, spell them."""


def _another_level(model: str, choice: Choice) -> dict[str, str]:
    """Functional and basis asked for, where they are not those of ``model``, a file or a shipped one that exists."""
    if choice.level is None:
        return {}
    try:
        own = load(find(model)).provenance.get("level") or {}
    except FileNotFoundError as error:
        raise SettingsError(f"--start: {error}") from None
    xc, _, basis = choice.level.partition("/")
    wanted = {"xc": SPELT.get(xc.lower(), xc), "basis": (basis or own.get("basis", "aug-cc-pvdz")).lower()}
    return {} if wanted == {key: own.get(key) for key in wanted} else wanted


def _labels(level: Mapping[str, str], *, own: bool) -> dict[str, dict[str, Any]]:
    """Sections of a refinement for another ``level``: a model of the molecule itself (``own``) has better shapes than GFN2-xTB."""
    return ({"label.scf": dict(level)} if level else {}) | ({"refine.semiempirical": {"steps": 0}} if level and own else {})


def _known(molecule: Molecules) -> str | None:
    """Name of the shipped model of this very molecule."""
    path = shipped.harmonic(molecule)
    return None if path is None or path.stem not in model_names() else path.stem


def _kind(choice: Choice) -> str:
    """What tells the folder of this run from that of another run of the molecule."""
    warm = "" if choice.temperature is None else f"-{choice.temperature:g}K"
    level = "" if choice.level is None else f"-{choice.level.replace('/', '-')}"
    return f"{level}{warm}{'-long' if choice.long else ''}{'-zero-shot' if choice.zero_shot else ''}"


def _dynamics(molecule: Molecules, choice: Choice) -> dict[str, Any]:
    lengths = LONG if choice.long else SHORT
    usual = MORE_REPLICAS if len(molecule.numbers) <= SMALL else lengths["replicas"]
    chosen = {"replicas": choice.replicas or usual, "compile": compiler_found()}
    return {**lengths, **chosen} | ({} if choice.temperature is None else {"temperature": choice.temperature})


def _spectrum(known: str | None, choice: Choice) -> dict[str, Any]:
    molecule = known and shipped.molecule_of(known)
    found: dict[str, Any] = {"experiment": [str(path.absolute()) for path in choice.experiment]} if choice.experiment else {}
    return {**found, "maximum": 4200.0, **({"bands": BANDS[molecule]} if molecule in BANDS else {})}


def _unknown(what: str) -> str:
    known = [name for name in shipped.names() if name in model_names()]
    near = [name for name in difflib.get_close_matches(what, known, cutoff=0.5) if name[0] == what[:1].lower()]
    hint = f"did you mean {near[0]}? " if near else ""
    told = f"{what} is neither a settings file nor a shipped molecule; {hint}shipped are {', '.join(known) or 'none'}."
    other = " For another molecule: give its SMILES in quotes, or an xyz file of its conformers."
    return told + ("" if near else other)


SHORT = {
    "temperature": 300.0, "replicas": 48, "timestep_fs": 1.0, "thermalise_ps": 0.5, "thermalise_friction": 10.0, "duration_ps": 2.5,
    "sample_every": 2, "checkpoint_every": 250,
}  # fmt: skip
LONG = {
    "temperature": 300.0, "replicas": 64, "timestep_fs": 0.5, "thermalise_ps": 5.0, "duration_ps": 100.0,
    "sample_every": 4, "checkpoint_every": 1000,
}  # fmt: skip
"""Dynamics of a run by name: of minutes, and as published spectra are made."""
