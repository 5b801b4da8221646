"""The folder of a run, as one reads it: its artefacts, and what follows from several of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch

from densnet.artefacts import making, using
from densnet.artefacts.artefact import Artefact
from densnet.artefacts.content import Analysis
from densnet.observables.anharmonic import Anharmonic
from densnet.observables.conformers import Conformer, Ensemble, counterpart
from densnet.spectra.spectrum import Spectrum

T = TypeVar("T")

_RANKS = 0.2
"""Rank correlation of predicted and found errors below which a run warns."""


@dataclass(frozen=True)
class Run:
    """The folder of a run. ``marks``: stage -> its mark (settings, versions, seconds, finished); an artefact that is not there is None."""

    name: str
    folder: Path
    marks: Mapping[str, Mapping]
    settings: Mapping

    def get(self, artefact: Artefact[T]) -> T | None:
        """The content of an artefact, None where the run has not made it."""
        return artefact.find(self.folder)

    @cached_property
    def evaluation(self) -> dict | None:
        """Errors on held-out frames."""
        return self.get(making.EVALUATION)

    @cached_property
    def spectrum(self) -> Spectrum | None:
        """Infrared spectrum of the dynamics, as the window of the correlation leaves it."""
        return self.get(using.SPECTRUM)

    @cached_property
    def smoothed(self) -> Spectrum | None:
        """The same at the `width` of the figures; the raw one where the run has no other."""
        return self.get(using.SMOOTHED) or self.spectrum

    @property
    def width(self) -> float:
        """cm^-1, full width at half height of a line of `smoothed`."""
        return 16.0 if self.smoothed is None else float(self.smoothed.header.get("resolution_cm-1", 16.0))

    @cached_property
    def temperature(self) -> float:
        """K, that was set."""
        bands = self.get(using.BANDS)
        return 300.0 if bands is None else float(bands.temperature_K)

    @cached_property
    def ensemble(self) -> str:
        """Goes on from "replicas are run ..."; without dynamics what most runs say."""
        drift = self.get(using.DRIFT)
        return "at constant energy" if drift is None else drift.words

    @cached_property
    def nuclei(self) -> str:
        """Classical, or quantum and how, in a few words."""
        drift = self.get(using.DRIFT)
        return "classical nuclei" if drift is None else drift.nuclei

    @cached_property
    def quantum(self) -> str | None:
        """A sentence on the nuclei of the dynamics where they are quantum, None where they are classical."""
        drift = self.get(using.DRIFT)
        return None if drift is None else drift.quantum

    @cached_property
    def _reference(self) -> Analysis | None:
        return self.get(making.REFERENCE) or self.shipped

    @cached_property
    def reference(self) -> Ensemble | None:
        """Conformers and harmonic lines of the reference level: calculated in this run, or shipped."""
        return None if self._reference is None else self._reference.ensemble

    @cached_property
    def _model(self) -> Analysis | None:
        return self.get(using.CONFORMERS)

    @cached_property
    def model(self) -> Ensemble | None:
        """Conformers and harmonic lines of the model."""
        return None if self._model is None else self._model.ensemble

    @cached_property
    def anharmonic(self) -> tuple[Anharmonic, ...]:
        """Quantum fundamentals of each conformer of the model; none where they were not worked out."""
        found = self.get(using.FUNDAMENTALS)
        return () if found is None else found.anharmonic

    @cached_property
    def shipped(self) -> Analysis | None:
        """What ships of this molecule."""
        return self.get(using.SHIPPED)

    def checked(self, reference: Conformer) -> Anharmonic | None:
        """What is known of the anharmonicity of a conformer of the reference level, at that very level."""
        if self.shipped is None or self._reference is None or self._reference.level != self.shipped.level:
            return None
        same = counterpart(reference, self.shipped.ensemble.conformers)
        return None if same is None else self.shipped.anharmonic.get(same.name)

    def fundamentals(self, reference: Conformer) -> tuple[str, list[dict]]:
        """Source and measured fundamentals of a conformer; empty where none ship, or for other isotopes."""
        if self.shipped is None or self.shipped.measured is None:
            return "", []
        known, same = self.shipped.measured, counterpart(reference, self.shipped.ensemble.conformers)
        if same is None or known.get("conformer", same.name) != same.name:
            return "", []
        if not torch.equal(same.molecule.masses, reference.molecule.masses):
            return "", []
        return known["source"], known["fundamentals"]

    @cached_property
    def warnings(self) -> list[str]:
        """What went otherwise than it should, in sentences."""
        told = list(self.get(using.WARNINGS) or [])
        refined = self.get(making.REFINEMENT)
        if refined is not None and not refined.reached:
            told.append(f"The model is less accurate than it was meant to be: {refined.told}")
        expected = self.get(using.EXPECTED)
        if expected is not None and expected.flagged_percent:
            replicas = "one replica" if expected.flagged_replicas == 1 else f"{expected.flagged_replicas} replicas"
            told.append(
                f"{expected.flagged_percent:.3g} % of the samples, in {replicas}, have unusually large "
                f"predicted errors; see {using.UNCERTAIN.stage}/{using.UNCERTAIN.name}."
            )
        for kind, row in ((self.evaluation or {}).get("calibration") or {}).items():
            if row.get("rank_correlation") is not None and row["rank_correlation"] < _RANKS:
                told.append(
                    f"Predicted errors of the {kind} say little about which geometries are worse (rank correlation "
                    f"{row['rank_correlation']:.2f} with the errors found); a lack of flags proves little."
                )
        return told

    @cached_property
    def trained(self) -> bool:
        """Whether the model was made in this run."""
        return making.MODEL.stage in self.marks

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
        return list(zip(self.get(using.COMPARISON) or {}, using.MEASURED.find(self.folder)))

    @cached_property
    def raman(self) -> dict[str, Spectrum] | None:
        """Raman spectrum of the dynamics at the `width` of the figures: cross sections "total", "parallel", "perpendicular", "activity"."""
        return self.get(using.RAMAN_SMOOTHED)

    @cached_property
    def raman_experiments(self) -> list[tuple[str, Spectrum]]:
        """As `experiments`, measured Raman curves."""
        return list(zip(self.get(using.RAMAN_COMPARISON) or {}, using.RAMAN_MEASURED.find(self.folder)))

    @cached_property
    def parts(self) -> list[Spectrum]:
        """The spectrum of each conformer, at the width of the figures where the run has that."""
        return using.SMOOTHED_PARTS.find(self.folder) or using.PARTS.find(self.folder)

    @cached_property
    def formula(self) -> str:
        """Of the molecule, else the name of the run."""
        known = self._model or self.get(making.REFERENCE)
        return (known.formula if known else "") or self.name

    @cached_property
    def level(self) -> str:
        """Functional / orbital basis."""
        refined = self.get(making.REFINEMENT)
        known = (self._reference.level if self._reference else None) or (refined.level if refined else None)
        return level_words(known or {"xc": "reference", "basis": "level"})


def level_words(level: Mapping) -> str:
    """Functional, with its dispersion, / orbital basis."""
    basis = re.sub(r"pv([dtq5])z", lambda found: f"pV{found[1].upper()}Z", level["basis"])
    return f"{level['xc']}{'-D4' if level.get('dispersion') == 'd4' else ''}/{basis}"
