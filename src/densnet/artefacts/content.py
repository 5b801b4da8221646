"""What the JSON files of a run say, as types: conformers and modes, fundamentals, cold run, drift, bands, populations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import densnet
from densnet.artefacts.artefact import Told
from densnet.files import read_json, write_json
from densnet.molecules import formula_of
from densnet.observables.anharmonic import Anharmonic
from densnet.observables.conformers import Ensemble


@dataclass(frozen=True)
class Analysis:
    """Conformers with their normal modes.

    ensemble    conformers, and which of the start geometries is in which
    level       level of theory; empty for a model
    formula     of the molecule, with its isotopes
    anharmonic  name of a conformer -> what is known of its anharmonicity at the same level
    measured    source, conformer and fundamentals, where such ship
    """

    ensemble: Ensemble
    level: Mapping = field(default_factory=dict)
    formula: str = ""
    anharmonic: Mapping[str, Anharmonic] = field(default_factory=dict)
    measured: Mapping | None = None

    @classmethod
    def read(cls, path: Path) -> Analysis:
        """From a file."""
        content = read_json(path)
        anharmonic = {name: Anharmonic.from_dict(values) for name, values in content.get("anharmonic", {}).items()}
        return cls(Ensemble.from_dict(content), content.get("level", {}), content.get("formula", ""), anharmonic, content.get("measured"))

    @staticmethod
    def write(path: Path, value: Analysis) -> None:
        """Into a file: conformers and modes, with the level and the formula before them."""
        molecule = value.ensemble.conformers[0].molecule
        level = {"level": value.level} if value.level else {}
        write_json(path, {**level, "densnet": densnet.__version__, "formula": formula_of(molecule), **value.ensemble.to_dict()})


@dataclass(frozen=True)
class Fundamentals(Told):
    """What VPT2 says of each conformer of the model (`Anharmonic.to_dict`), or why it says nothing."""

    conformers: list[dict] = field(default_factory=list)
    skipped: str = ""

    @property
    def anharmonic(self) -> tuple[Anharmonic, ...]:
        """Of each conformer."""
        return tuple(map(Anharmonic.from_dict, self.conformers))


@dataclass(frozen=True)
class ColdRun(Told):
    """Bands of the dynamics of a cold molecule, each beside its harmonic intensity; see `spectra.sticks.band_rows`."""

    temperature_K: float
    replicas: int
    bands: list[dict]


_FIRST_ENSEMBLES = {
    "nve": {"constant_energy": True, "words": "at constant energy"},
    "svr": {"constant_energy": False, "words": "with stochastic velocity rescaling"},
    "langevin": {"constant_energy": False, "words": "with a Langevin thermostat"},
}
"""What newer runs say themselves of their ensemble."""


@dataclass(frozen=True)
class Drift(Told):
    """How the conserved energy of a simulation drifted, and how it ran; measured temperature and its standard error in K.

    ``words`` go on from "replicas are run ...". Files of before tell the name of the ensemble alone. ``nuclei`` in words; ``quantum`` is
    a sentence on their kinetic energy where they are not classical.
    """

    drift_meV_per_atom_per_ps: float
    worst_replica: float
    replicas: int
    duration_ps: float
    timestep_fs: float
    ensemble: str
    constant_energy: bool
    words: str
    measured_temperature_K: float | None = None
    measured_temperature_error_K: float | None = None
    nuclei: str = "classical nuclei"
    quantum: str | None = None

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Drift:
        """From plain data, also of before."""
        return super().of({**_FIRST_ENSEMBLES.get(content["ensemble"], {}), **content})


@dataclass(frozen=True)
class ExpectedErrors(Told):
    """What the model expects of its errors along a trajectory, means; what share of the samples is flagged, and in how many replicas."""

    energy_meV: float | None = None
    dipole_mD: float | None = None
    flagged_percent: float = 0.0
    flagged_replicas: int = 0


@dataclass(frozen=True)
class Bands(Told):
    """Bands of a spectrum (`spectra.sticks.band_rows`), and by name of a measured curve what it has between the same limits, or None."""

    temperature_K: float
    bands: list[dict]
    experiment: dict[str, list[dict | None]] = field(default_factory=dict)
    measured_temperature_K: float | None = None
    measured_temperature_error_K: float | None = None


@dataclass(frozen=True)
class RamanBands(Told):
    """Bands of a Raman spectrum (`spectra.raman.RamanBand`) in the light of a ``laser_nm``, each with what harmonic lines of the model have
    between its limits: ``harmonic`` (A^4/amu) and ``harmonic_depolarisation``."""

    temperature_K: float
    laser_nm: float
    bands: list[dict]


@dataclass(frozen=True)
class Populations(Told):
    """Conformers of an ensemble and what dynamics makes of them; see `workflow.ensemble.account`."""

    temperature_K: float
    conformers: list[dict]
    dipole_D: float
    dipole_error_D: float | None = None
    spent: list[list[float]] | None = None
    observed: list[float] | None = None
    observed_error: list[float] | None = None
    ended_elsewhere: float | None = None


@dataclass(frozen=True)
class TrackedMode(Told):
    """A mode of the model, and what the reference says along it: see `observables.modetracking`. Wavenumbers in cm^-1, strengths in km/mol.

    mode       its number, from the lowest wavenumber of the model, 1, upwards
    residual   within so much of ``reference`` the reference has a mode, strictly
    corrected  wavenumber of the reference's mode that is most like it, estimated; ``overlap``: squared, of the two vectors
    step       Angstrom that the atom which moves furthest was displaced by; ``finite``: what that changed, which is taken off
    """

    mode: int
    motion: str
    model: float
    reference: float
    residual: float
    corrected: float
    overlap: float
    model_strength: float
    reference_strength: float
    corrected_strength: float
    step: float
    finite: float


@dataclass(frozen=True)
class Verification(Told):
    """The strongest harmonic lines of a model against gradients of its reference level.

    model, level      what was judged by what; ``formula``, ``symbols`` and ``positions`` (Angstrom): at the minimum of the reference
    modes             `TrackedMode` as plain data, the strongest first
    share             of the model's whole harmonic absorption that these modes hold
    gradients         of the reference that it took
    largest_force     hartree/bohr, of the reference where the modes were tracked; ``wanted``: what was asked for
    moved             Angstrom, rms over atoms, from the model's minimum
    noise             cm^-1, what the numerical noise of the reference does to a wavenumber
    """

    modes: list[dict]
    share: float
    gradients: int
    largest_force: float
    wanted: float
    moved: float
    noise: float
    formula: str
    symbols: list[str]
    positions: list[list[float]]
    model: str = ""
    level: Mapping = field(default_factory=dict)

    @property
    def rows(self) -> tuple[TrackedMode, ...]:
        """Of each mode."""
        return tuple(map(TrackedMode.of, self.modes))

    @property
    def at_the_minimum(self) -> bool:
        """Whether the reference's forces are as small as asked for."""
        return self.largest_force <= self.wanted

    @property
    def shift(self) -> float:
        """cm^-1, mean absolute difference of the wavenumbers."""
        return sum(abs(row.model - row.reference) for row in self.rows) / len(self.modes)

    @property
    def strength(self) -> float:
        """%, mean absolute difference of the intensities, of the reference's mean."""
        rows = self.rows
        return 100 * sum(abs(r.model_strength - r.reference_strength) for r in rows) / sum(r.reference_strength for r in rows)


@dataclass(frozen=True)
class Refinement(Told):
    """How a given model was refined for one molecule, round by round.

    start, level  file of the model; level of theory of its labels and of the new ones
    targets       mean absolute errors: forces (meV/A), dipole (D), density (%)
    rounds        of each model, the given one first: ``errors`` (those, and energy, meV), on so many ``frames`` of ``dynamics`` by
                  "model" or "GFN2-xTB"; how many labels it was ``trained_on``; ``worst`` ratio of an error to its target; ``seconds``
                  of wall time
    best          number of the model that is kept, the one with the smallest ``worst``
    labels        reference calculations in all
    ended         by what: "targets" reached, or a budget spent, "labels", "minutes" or "rounds"
    """

    start: str
    targets: dict[str, float]
    rounds: list[dict]
    best: int
    labels: int
    minutes: float
    ended: str
    level: Mapping = field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the model that is kept meets all targets."""
        return bool(self.rounds[self.best]["worst"] <= 1)

    @property
    def told(self) -> str:
        """What came of it, in a sentence."""
        cost = f"{self.labels} reference calculations and {self.minutes:.1f} minutes"
        if self.reached:
            return f"all targets are reached after {cost}."
        missed = [name for name, target in self.targets.items() if self.rounds[self.best]["errors"][name] > target]
        spent = {"labels": "the budget of labels", "minutes": "the budget of time", "rounds": "the number of rounds"}[self.ended]
        return f"targets missed ({', '.join(missed)}) after {cost}: {spent} is spent (`refine.{self.ended}`)."
