"""The chapter about lines of the model that were verified against gradients of the reference level, and its table."""

from __future__ import annotations

from densnet.artefacts import using
from densnet.artefacts.content import Verification
from densnet.artefacts.run import Run, level_words
from densnet.report import page


def verification(run: Run) -> list[str]:
    """The chapter; none where `densnet verify` was not asked for the run."""
    found = run.get(using.VERIFICATION)
    if found is None:
        return []
    about = _ABOUT.format(level=level_words(found.level))
    parts = [page.paragraph(page.powers(told(found))), page.table(*columns(found), wide=True), page.paragraph(about)]
    return [page.section("Verified against single gradients", *parts)]


def told(found: Verification) -> str:
    """What came out, in two sentences; and whether the reference was at its minimum."""
    level = level_words(found.level)
    first = (
        f"{len(found.modes)} normal modes, {100 * found.share:.0f} % of the harmonic absorption, against {level} by {found.gradients} of "
        f"its gradients: wavenumbers differ by {found.shift:.1f} cm^-1 in the mean, intensities by {found.strength:.1f} % of their mean."
    )
    second = (
        f"The minimum of {level} is {found.moved:.4f} Å (rms) from the model's; its largest force there is {found.largest_force:.1e} "
        f"hartree/bohr. Numerical noise of a wavenumber: {found.noise:.2f} cm^-1."
    )
    third = "" if found.at_the_minimum else f" That is more than {found.wanted:.0e}: not quite at the minimum; allow more --newton steps."
    return f"{first} {second}{third}"


def columns(found: Verification) -> page.Columns:
    """The table: a mode a row, the strongest first."""
    titles = ["mode", "motion", "model", "DFT", "Δ", "residual", "DFT's own", "overlap", "I, model", "I, DFT", "I, DFT's own"]
    rows = [
        [r.mode, r.motion.replace(" %", "\u00a0%"), f"{r.model:.1f}", f"{r.reference:.1f}", f"{r.model - r.reference:+.1f}",
         f"{r.residual:.1f}", f"{r.corrected:.1f}", f"{r.overlap:.3f}",
         f"{r.model_strength:.1f}", f"{r.reference_strength:.1f}", f"{r.corrected_strength:.1f}"]
        for r in found.rows
    ]  # fmt: skip
    return titles, rows


_ABOUT = (
    "DFT: {level}, the Rayleigh quotient of its Hessian along the mode of the model, and |dμ/dQ|² along it. DFT has a normal mode within "
    "one residual of the quotient, strictly; it is mostly far nearer. DFT's own: wavenumber and intensity of the DFT mode that is most "
    "like the model's, estimated from the model's Hessian with the rows that the gradients gave, and the squared overlap of the two. "
    "Wavenumbers in cm⁻¹, harmonic, each at its own minimum; intensities I in km/mol. Modes are numbered by rising wavenumber."
)
