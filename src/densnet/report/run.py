"""What the folder of a run holds, as the report reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

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
"""What newer runs say themselves of their ensemble."""

_RANKS = 0.2
"""Rank correlation of predicted and found errors below which the page warns."""


@dataclass(frozen=True)
class Shipped:
    """What ships of a molecule: conformers at ``level``, by their names what is known of their anharmonicity, what was measured."""

    level: Mapping
    conformers: tuple[Conformer, ...]
    anharmonic: Mapping[str, Anharmonic]
    measured: Mapping | None

    @classmethod
    def of(cls, content: Mapping) -> Shipped:
        """From the content of ``reference.json``."""
        known = {name: Anharmonic.from_dict(values) for name, values in content.get("anharmonic", {}).items()}
        return cls(content["level"], Ensemble.from_dict(content).conformers, known, content.get("measured"))


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

    @property
    def ensemble(self) -> str:
        """Goes on from "replicas are run ..."; without dynamics what most runs say."""
        return (self.dynamics or _FIRST_ENSEMBLES["nve"])["words"]

    @cached_property
    def evaluation(self) -> dict | None:
        """Errors on held-out frames."""
        return self.json("evaluate/evaluation.json")

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """Infrared spectrum of the dynamics, as the window of the correlation leaves it."""
        return self._curve("spectrum/spectrum.csv")

    @cached_property
    def smoothed(self) -> Spectrum | None:
        """The same at the `width` of the figures; the raw one where the run has no other."""
        return self._curve("spectrum/smoothed.csv") or self.spectrum

    @property
    def width(self) -> float:
        """cm^-1, full width at half height of a line of `smoothed`."""
        return float(self.smoothed.header.get("resolution_cm-1", 16.0))

    def _curve(self, place: str) -> Spectrum | None:
        path = self.folder / place
        return read_csv(path) if path.exists() else None

    @cached_property
    def temperature(self) -> float:
        """K, that was set."""
        return float((self.json("spectrum/bands.json") or {}).get("temperature_K", 300.0))

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

    @cached_property
    def shipped(self) -> Shipped | None:
        """What ships of this molecule."""
        content = self.json("conformers/reference.json")
        return None if content is None else Shipped.of(content)

    def checked(self, reference: Conformer) -> Anharmonic | None:
        """What is known of the anharmonicity of a conformer of the reference level, at that very level."""
        if self.shipped is None or (self.json("hessian/conformers.json") or {"level": self.shipped.level})["level"] != self.shipped.level:
            return None
        same = counterpart(reference, self.shipped.conformers)
        return None if same is None else self.shipped.anharmonic.get(same.name)

    def fundamentals(self, reference: Conformer) -> tuple[str, list[dict]]:
        """Source and measured fundamentals of a conformer; empty where none ship, or for other isotopes."""
        known = self.shipped.measured if self.shipped else None
        same = counterpart(reference, self.shipped.conformers) if known else None
        if same is None or known.get("conformer", same.name) != same.name:
            return "", []
        if not torch.equal(same.molecule.masses, reference.molecule.masses):
            return "", []
        return known["source"], known["fundamentals"]

    @cached_property
    def warnings(self) -> list[str]:
        """What went otherwise than it should, in sentences."""
        told = list(self.json("simulate/warnings.json") or [])
        expected = self.json("simulate/expected.json") or {}
        if expected.get("flagged_percent"):
            count = expected["flagged_replicas"]
            told.append(
                f"{expected['flagged_percent']:.3g} % of the samples, in {count} {'replica' if count == 1 else 'replicas'}, have unusually large "
                "predicted errors; see simulate/uncertain.extxyz."
            )
        for kind, row in ((self.evaluation or {}).get("calibration") or {}).items():
            if row.get("rank_correlation") is not None and row["rank_correlation"] < _RANKS:
                told.append(
                    f"Predicted errors of the {kind} say little about which geometries are worse (rank correlation "
                    f"{row['rank_correlation']:.2f} with the errors found); a lack of flags proves little."
                )
        return told

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
        """The spectrum of each conformer, at the width of the figures where the run has that."""
        place = self.folder / "spectrum"
        paths = list(place.glob("smoothed-*.csv")) or list(place.glob("conformer-*.csv"))
        return [read_csv(path) for path in sorted(paths, key=lambda path: int(path.stem.split("-")[1]))]

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
