"""What the folder of a run holds, as the report reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from densnet.observables.anharmonic import Anharmonic
from densnet.observables.conformers import Conformer, Ensemble, counterpart
from densnet.spectra.measured import read_measured
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.tables import read_csv

_FIRST_ENSEMBLES = {
    "nve": {"constant_energy": True, "words": "at constant energy"},
    "svr": {"constant_energy": False, "words": "with stochastic velocity rescaling"},
    "langevin": {"constant_energy": False, "words": "with a Langevin thermostat"},
}
"""What runs of these ensembles say of them since there are others."""


@dataclass(frozen=True)
class Run:
    """The folder of a run. ``marks``: stage -> its mark (settings, versions, seconds, finished); an artefact that is not there is None."""

    name: str
    folder: Path
    marks: Mapping[str, Mapping]
    settings: Mapping

    def json(self, place: str) -> dict | None:
        """Content of a JSON file of the folder."""
        path = self.folder / place
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def arrays(self, place: str) -> dict[str, np.ndarray] | None:
        """Content of an npz file of the folder."""
        path = self.folder / place
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as content:
            return dict(content)

    @cached_property
    def dynamics(self) -> dict | None:
        """How the dynamics ran and what became of the energy; a folder of before tells the name of the ensemble alone."""
        told = self.json("simulate/drift.json")
        return told and {**_FIRST_ENSEMBLES.get(told["ensemble"], {}), **told}

    @cached_property
    def evaluation(self) -> dict | None:
        """Errors on held-out frames."""
        return self.json("evaluate/evaluation.json")

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """Infrared spectrum of the dynamics."""
        path = self.folder / "spectrum" / "spectrum.csv"
        return read_csv(path) if path.exists() else None

    @cached_property
    def reference(self) -> Ensemble | None:
        """Conformers and harmonic lines of the reference level: calculated in this run, or shipped."""
        return self._ensemble("hessian/conformers.json") or self._ensemble("conformers/reference.json")

    @cached_property
    def model(self) -> Ensemble | None:
        """Conformers and harmonic lines of the model."""
        return self._ensemble("conformers/conformers.json")

    @cached_property
    def anharmonic(self) -> tuple[Anharmonic, ...]:
        """Quantum fundamentals of each conformer of the model; none where they were not worked out."""
        return tuple(map(Anharmonic.from_dict, (self.json("conformers/anharmonic.json") or {}).get("conformers", [])))

    def _ensemble(self, place: str) -> Ensemble | None:
        content = self.json(place)
        return None if content is None else Ensemble.from_dict(content)

    @cached_property
    def trained(self) -> bool:
        """Whether the model was made in this run."""
        return "train" in self.marks

    @cached_property
    def pairs(self) -> list[tuple[Conformer, Conformer]]:
        """Each conformer of the model with the same one of the reference level, where that is known."""
        if self.model is None or self.reference is None:
            return []
        found = [(c, counterpart(c, self.reference.conformers)) for c in self.model.conformers]
        return [(c, other) for c, other in found if other is not None]

    @cached_property
    def experiments(self) -> list[tuple[str, Spectrum]]:
        """The user's measured curves by file name, on the molar scale where that is known."""
        names = list(self.json("spectrum/comparison.json") or {})
        paths = sorted((self.folder / "spectrum").glob("experiment-*"), key=lambda path: int(path.stem.split("-")[1]))
        return [(name, read_measured(path)) for name, path in zip(names, paths)]

    @cached_property
    def parts(self) -> list[Spectrum]:
        """The spectrum of each conformer."""
        paths = sorted((self.folder / "spectrum").glob("conformer-*.csv"), key=lambda path: int(path.stem.split("-")[1]))
        return [read_csv(path) for path in paths]

    @cached_property
    def formula(self) -> str:
        """Of the molecule, else the name of the run."""
        return (self.json("conformers/conformers.json") or self.json("hessian/conformers.json") or {}).get("formula", self.name)

    @cached_property
    def level(self) -> str:
        """Functional / orbital basis."""
        known = self.json("hessian/conformers.json") or self.json("conformers/reference.json") or {}
        scf = known.get("level") or {"xc": "reference", "basis": "level"}
        basis = re.sub(r"pv([dtq5])z", lambda found: f"pV{found[1].upper()}Z", scf["basis"])
        return f"{scf['xc']}/{basis}"
