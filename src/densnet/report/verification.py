"""The chapter about lines of the model that were checked with single gradients of the reference level, and its table."""

from __future__ import annotations

from densnet.artefacts import using
from densnet.artefacts.content import Verification
from densnet.artefacts.run import Run, level_words
from densnet.report import page


def verification(run: Run) -> list[str]:
    """The chapter; none where nothing was verified."""
    found = run.get(using.VERIFICATION)
    if found is None:
        return []
    about = _ABOUT.format(level=level_words(found.level))
    parts = [page.paragraph(page.powers(told(found))), page.table(*columns(found), wide=True), page.paragraph(about)]
    return [page.section("Verification with single gradients", *parts)]


def told(found: Verification) -> str:
    """What came out, in two sentences; and whether the reference was at its minimum."""
    level = level_words(found.level)
    first = (
        f"{len(found.modes)} normal modes with {100 * found.share:.0f} % of the harmonic absorption, compared with {found.gradients} "
        f"gradients of {level}: mean absolute difference of the wavenumbers {found.shift:.1f} cm^-1, of the intensities "
        f"{found.strength:.1f} % of their mean."
    )
    second = (
        f"The minimum of {level} is {found.moved:.4f} Å (rms) from that of the model; largest force there {found.largest_force:.1e} "
        f"hartree/bohr. Numerical noise in the wavenumbers: {found.noise:.2f} cm^-1."
    )
    third = "" if found.at_the_minimum else f" The force exceeds {found.wanted:.0e}, so this is not yet the minimum: increase --newton."
    return f"{first} {second}{third}"


def columns(found: Verification) -> page.Columns:
    """The table: a mode a row, the strongest first."""
    titles = ["mode", "motion", "model", "DFT", "Δ", "residual", "DFT normal mode", "overlap", "I, model", "I, DFT", "I, DFT normal mode"]
    rows = [
        [r.mode, r.motion.replace(" %", "\u00a0%"), f"{r.model:.1f}", f"{r.reference:.1f}", f"{r.model - r.reference:+.1f}",
         f"{r.residual:.1f}", f"{r.corrected:.1f}", f"{r.overlap:.3f}",
         f"{r.model_strength:.1f}", f"{r.reference_strength:.1f}", f"{r.corrected_strength:.1f}"]
        for r in found.rows
    ]  # fmt: skip
    return titles, rows


_ABOUT = (
    "DFT: {level}, Rayleigh quotient of its Hessian and |dμ/dQ|² along the mode of the model. A DFT normal mode lies within one residual "
    "of this wavenumber (a strict bound; usually it is much closer). DFT normal mode: wavenumber and intensity of the DFT mode most "
    "similar to that of the model, estimated from the model Hessian with the rows known from the gradients, and the squared overlap of "
    "the two. Harmonic wavenumbers in cm⁻¹, each at its own minimum; intensities I in km/mol. Modes are numbered by increasing wavenumber."
)
