"""How quant_ir.py judges: bands of a simulated spectrum beside those of a measured curve, and the rows of the tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from quant_ir_curves import Case

from densnet.artefacts import making
from densnet.artefacts.run import Run
from densnet.artefacts.using import VERIFICATION
from densnet.report.page import pm
from densnet.report.remainder import Centroids, centroids, lines_of
from densnet.settings import read_toml
from densnet.spectra.comparison import Comparison, compare
from densnet.spectra.spectrum import Band, Spectrum

FAINT = 0.1
"""Less than this share of a band's measured integral is no band, and has no centroid."""


@dataclass(frozen=True)
class Judgement:
    """Bands of a curve and of a simulation between the same limits, in pairs, and how alike the two are as a whole."""

    bands: list[tuple[Band, Band]]
    likeness: Comparison

    @property
    def shifts(self) -> list[float]:
        """cm^-1, centroids of the simulation less measured ones, where both have a band."""
        return [own.centroid - other.centroid for other, own in self.bands if own.integral > FAINT * other.integral]

    @property
    def shift(self) -> float | None:
        """cm^-1, mean of their magnitudes; None where no band is simulated."""
        return mean(map(abs, self.shifts)) if self.shifts else None

    @property
    def deviation(self) -> float:
        """Mean |integral / measured - 1|."""
        return mean(abs(own.integral / other.integral - 1) for other, own in self.bands)

    @property
    def totals(self) -> list[float]:
        """km/mol in all bands, measured and simulated."""
        return [sum(band.integral for band in side) for side in zip(*self.bands)]


def judged(curve: Spectrum, spectrum: Spectrum, windows: Iterable[tuple[float, float]]) -> Judgement:
    """A simulated ``spectrum`` against a measured ``curve``, both in km/mol per cm^-1."""
    limits = list(windows)
    return Judgement(list(zip(curve.bands(limits), spectrum.bands(limits))), compare(spectrum, curve))


def band_rows(case: Case, run: Run, found: Judgement) -> list[list]:
    """A row a band."""
    lines = lines_of(run, run.temperature) if run.anharmonic else None
    rows = []
    for other, own in found.bands:
        model = None if lines is None else centroids(lines, other.lower, other.upper)
        seen = own.integral > FAINT * other.integral
        rows.append([
            case.name, label(run), f"{other.lower:.0f}-{other.upper:.0f}", f"{other.centroid:.1f}", *_of_lines(model),
            _pm(own.centroid, own.centroid_error) if seen else None, f"{own.centroid - other.centroid:+.1f}" if seen else None,
            f"{other.integral:.1f}", _pm(own.integral, own.error), f"{own.integral / other.integral:.2f}",
        ])  # fmt: skip
    return rows


def nuclei_row(case: Case, run: Run, found: Judgement) -> list | None:
    """Centroids of the bands that dynamics and VPT2 both have: classical nuclei beside quantum ones; None without VPT2 of the molecule."""
    if not run.anharmonic:
        return None
    lines = lines_of(run, run.temperature)
    seen = [(other, own) for other, own in found.bands if own.integral > FAINT * other.integral]
    of_lines = [centroids(lines, other.lower, other.upper) for other, _ in seen]
    shifts = [(own.centroid - other.centroid, of.quantum - other.centroid) for (other, own), of in zip(seen, of_lines) if of is not None]
    if not shifts:
        return None
    classical, quantum = zip(*shifts)
    means = [mean(map(abs, classical)), mean(map(abs, quantum)), mean(classical), mean(quantum)]
    return [case.name, label(run), len(shifts), *map(float, means)]


def _pm(value: float, error: float | None) -> str:
    return pm(value, error).replace("±", "+-")


def _of_lines(found: Centroids | None) -> list[str | None]:
    return [None, None] if found is None else [f"{found.harmonic:.1f}", f"{found.quantum:.1f}"]


BANDS = [
    "molecule", "run", "band, cm^-1", "measured, cm^-1", "harmonic", "VPT2", "dynamics", "difference", "measured, km/mol",
    "dynamics, km/mol", "ratio",
]  # fmt: skip
MOLECULES = [
    "molecule", "run", "atoms", "bands", "centroids, mean difference, cm^-1", "integrals, mean error, %", "measured, km/mol",
    "dynamics, km/mol", "SIS", "r", "minutes", "labels",
]  # fmt: skip

NUCLEI = [
    "molecule", "run", "bands", "classical nuclei, mean difference, cm^-1", "VPT2, mean difference, cm^-1", "classical, mean signed",
    "VPT2, mean signed",
]  # fmt: skip


def molecule_row(case: Case, run: Run, found: Judgement) -> list:
    """One molecule, one run."""
    refined, lines, minutes = run.get(making.REFINEMENT), run.get(VERIFICATION), sum(mark["seconds"] for mark in run.marks.values()) / 60
    calculations = (refined.labels if refined else 0) + (lines.gradients if lines else 0)
    return [
        case.name, label(run), len(case.conformers[0].numbers), len(found.bands), found.shift, 100 * found.deviation, *found.totals,
        found.likeness.similarity, found.likeness.pearson, minutes, calculations,
    ]  # fmt: skip


def means(rows: list[list]) -> list[list]:
    """Over the molecules, for each kind of run."""
    found = []
    for kind in dict.fromkeys(row[1] for row in rows):
        columns = list(zip(*(row for row in rows if row[1] == kind)))
        known = [[value for value in column if value is not None] for column in columns[2:]]
        found.append([f"mean of {len(columns[0])}", kind, *(float(mean(values)) if values else None for values in known)])
    return found


def label(run: Run) -> str:
    """Model of a run, and whether it was refined, and for which functional."""
    given = read_toml(run.folder / "settings.toml")
    about, level = given.get("run", {}), given.get("label", {}).get("scf", {}).get("xc")
    name = about.get("model") or about.get("start")
    how = f"refined{f' at {level}' if level else ''}" if "start" in about else "zero-shot"
    return f"{Path(name).stem}, {how}" if name else "own model"
