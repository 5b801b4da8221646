"""How right is the infrared spectrum of a molecule that is too large for a Hessian of the reference level? A few of its gradients tell.

    from densnet.workflow.verification import VerifySettings, level_of, reference_of, verify

    model, settings = densnet.load("ethanol").double(), VerifySettings(modes=10)
    reference = reference_of(level_of(model, "ethanol"), Path("verify"), settings)   # or any force function
    found = verify(model, molecule, reference, settings)
    print(found.shift, found.rows[0].reference, found.rows[0].residual)
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from pydantic import Field
from torch import Tensor

from densnet import units
from densnet.artefacts.content import TrackedMode, Verification
from densnet.errors import DensnetError
from densnet.files import write_text
from densnet.model.predictor import Predictor
from densnet.molecules import SYMBOLS, Molecules, formula_of
from densnet.observables.conformers import Conformer, characterise
from densnet.observables.coordinates import describe
from densnet.observables.modetracking import Tracked, steps, strongest, track
from densnet.observables.vibrations import carried, descent
from densnet.progress import Progress, duration, silent
from densnet.reference.campaign import LabelSettings
from densnet.reference.scf import ScfSettings
from densnet.settings import Incidental, Section, cores
from densnet.threads import one_thread
from densnet.workflow.harmonic import ForceFunction, remembered

ROUNDED = 8
"""Decimals (bohr) of the geometries that the reference is asked for, so that the last bits of another machine ask for no new gradient."""

STEP = 0.002
"""bohr, of the model's own differences: its forces have no noise, and a longer step would shift its wavenumbers (water's bend by 0.9 cm^-1
at 0.02 bohr), which those of the reference are to be compared with."""

SHORTEST, LONGEST = 0.005, 0.05
"""bohr that the atom which moves furthest is displaced by."""


class VerifyError(DensnetError):
    """A model that cannot be verified; the message says what to give."""


class VerifySettings(Section):
    """How many modes are verified, and how."""

    modes: int = Field(10, gt=0, description="of the model, those with the largest infrared intensities; two gradients each")
    newton: int = Field(3, ge=0, description="steps at most, from the model's minimum to the reference's, by the model's Hessian")
    tolerance: float = Field(1e-5, gt=0, description="hartree/bohr, largest force of the reference at its minimum")
    anharmonic: float = Field(0.1, gt=0, description="cm^-1 by which a finite step may change a wavenumber (by the model, then taken off)")
    workers: Incidental[int] = Field(0, ge=0, description="gradients side by side, one core each; 0 = all cores")


class CheckSettings(VerifySettings):
    """As a run does it that refines its model: ten gradients or so. `densnet verify` does more."""

    modes: int = Field(4, ge=0, description="of the refined model, those with the largest intensities; two gradients each; 0: no check")
    newton: int = Field(1, ge=0, description="steps at most, from the model's minimum to the reference's, by the model's Hessian")


def level_of(predictor: Predictor, name: str) -> ScfSettings:
    """The level of the labels that a model has learned from, as its file states it. Raises `VerifyError` where it does not."""
    level = predictor.provenance.get("level")
    if not level:
        raise VerifyError(f"{name} does not state the level of its labels; name a settings file with [label.scf] by --settings.")
    return ScfSettings.of_level(level)


def reference_of(
    scf: ScfSettings, folder: Path, settings: VerifySettings, progress: Progress = silent, execute: Executor | None = None
) -> ForceFunction:
    """The reference level, every gradient kept in ``folder``; with a threshold of the orbital gradient also where the labels had none.

    ``execute`` takes the gradients along the modes, such as a cluster's executor; by default local processes do.
    """
    if scf.conv_tol_grad == 0:
        scf = scf.model_copy(update={"conv_tol_grad": ScfSettings.model_fields["conv_tol_grad"].default})
    kept = remembered(LabelSettings(scf=scf, workers=settings.workers), folder, progress, execute)
    return lambda molecules: kept(molecules.at(molecules.positions.double().round(decimals=ROUNDED)))


def verify(
    model: ForceFunction,
    molecule: Molecules,
    reference: ForceFunction,
    settings: VerifySettings = VerifySettings(),
    *,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda text: None,
) -> Verification:
    """The strongest lines of ``model`` (in float64) at the minimum that a single ``molecule`` relaxes to, by gradients of ``reference``.

    First a few steps lead from there to the reference's minimum, then two gradients are taken along each mode; ``tell`` hears how many,
    and after the first one how long. Raises `VibrationError`, and whatever ``reference`` raises.
    """
    with one_thread():
        found = characterise(model, molecule, "this geometry", step=STEP)
    chosen = strongest(found.modes, settings.modes)
    share = float(found.modes.intensities[chosen].sum() / found.modes.intensities.sum())
    count = len(chosen)
    tell(
        f"{count} of {len(found.modes.intensities)} modes with {100 * share:.0f} % of the absorption of the model: {2 * count} gradients "
        f"along them, and before these 1 to {settings.newton + 1} to reach the minimum of the reference"
    )
    place, gradient, used = _minimum(reference, found, settings, 2 * count, progress, tell)
    with one_thread():
        modes = carried(found.modes, place)
        sizes = steps(model, modes, chosen, settings.anharmonic, SHORTEST, LONGEST)
        tracked = track(model, reference, modes, chosen, sizes)
    moved = float((place.positions - found.molecule.positions).square().sum(1).mean().sqrt()) / units.ANGSTROM
    return Verification(
        [asdict(row) for row in _rows(tracked)],
        share, used + 2 * count, float(gradient.abs().max()), settings.tolerance, moved, tracked.noise,
        formula_of(molecule),
        [SYMBOLS[n] for n in molecule.numbers.tolist()],
        (place.positions / units.ANGSTROM).tolist(),
    )  # fmt: skip


def _minimum(
    reference: ForceFunction, found: Conformer, settings: VerifySettings, later: int, progress: Progress, tell: Callable[[str], None]
) -> tuple[Molecules, Tensor, int]:
    """Where the reference's forces are small enough, or the last of the steps that may be taken; gradient there; gradients used.

    ``later`` gradients come after these.
    """
    begun = time.process_time()
    progress(0, settings.newton + 1, "gradients to the minimum")
    way = islice(descent(reference, found.molecule, found.hessian), settings.newton + 1)
    for used, (place, gradient) in enumerate(way, start=1):  # noqa: B007
        largest = float(gradient.abs().max())
        progress(used, settings.newton + 1, "gradients to the minimum")
        tell(f"gradient {used}: largest force {largest:.1e} hartree/bohr (wanted {settings.tolerance:.0e})")
        if used == 1 and (seconds := time.process_time() - begun) > 1.0:
            workers = settings.workers or cores()
            left = settings.newton + later
            about = f"at most {left} more will take about {duration(left * seconds / workers)} on {workers} core(s)"
            tell(f"the first gradient took {duration(seconds)} of CPU time; {about}; interrupting loses no finished gradient")
        if largest <= settings.tolerance:
            break
    return place, gradient, used


def _rows(tracked: Tracked) -> list[TrackedMode]:
    modes, chosen = tracked.modes, tracked.chosen
    corrected, places, overlaps = tracked.corrected()
    furthest = tracked.steps * modes.displacements[chosen].norm(dim=2).amax(1) / units.ANGSTROM
    finite = tracked.finite / (2 * tracked.eigenvalues.abs().sqrt()) / units.INVERSE_CM
    words = describe(modes)
    columns = (
        modes.frequencies[chosen], tracked.frequencies, tracked.bounds, corrected.frequencies[places], overlaps,
        modes.intensities[chosen], tracked.intensities, corrected.intensities[places], furthest, finite,
    )  # fmt: skip
    numbers = zip(*(column.tolist() for column in columns))
    return [TrackedMode(k + 1, words[k], *values) for k, values in zip(chosen.tolist(), numbers)]


COLUMNS: Mapping[str, str] = {
    "mode": "mode", "motion": "motion", "model": "model_cm-1", "reference": "reference_cm-1", "residual": "residual_cm-1",
    "corrected": "corrected_cm-1", "overlap": "overlap", "model_strength": "model_km_per_mol", "reference_strength": "reference_km_per_mol",
    "corrected_strength": "corrected_km_per_mol", "step": "step_Angstrom", "finite": "finite_cm-1",
}  # fmt: skip
"""Of the CSV file, in order; see `TrackedMode`."""


def write_csv(path: Path, found: Verification) -> None:
    """The table, one mode a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS.values())
    writer.writerows([getattr(row, name) for name in COLUMNS] for row in found.rows)
    write_text(path, text.getvalue())
