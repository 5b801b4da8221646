"""The card of the molecule: isotopes, point group, rotational constants, dipole, zero-point energy, and its geometry."""

from __future__ import annotations

import math

from densnet import units
from densnet.artefacts.run import Run
from densnet.molecules import SYMBOLS, Molecules, isotopologue, neighbours
from densnet.observables.conformers import Conformer
from densnet.observables.coordinates import angle, length
from densnet.observables.pointgroup import point_group
from densnet.observables.vibrations import principal_axes
from densnet.report import page
from densnet.spectra.rotation import rotational_intensity

_GHZ = units.INVERSE_CM / 29.9792458
"""hartree, as h nu."""


def rotational_constants(molecule: Molecules) -> list[float]:
    """A, B, C in GHz, falling; one B of a linear molecule."""
    moments = principal_axes(molecule)[0]
    constants = [float(0.5 / moment) / _GHZ for moment in moments if moment > 1e-6 * moments.max()]
    return sorted(constants, reverse=True)[: 1 if len(constants) == 2 else 3]


def card(run: Run) -> list[str]:
    """The chapter; none without conformers of the model."""
    if run.model is None:
        return []
    partners = {model.name: reference for model, reference in run.pairs}
    rows = []
    for conformer in run.model.conformers:
        for source, c in (("model", conformer), (run.level.split("/")[0], partners.get(conformer.name))):
            if c is not None:
                rows.append([conformer.name if c is conformer else "", source, *_row(c)])
    titles = ["", "source", "point group", "A, B, C / GHz", "|μ| / D", "zero-point energy / kJ mol⁻¹", "rotational absorption / km mol⁻¹"]
    molecule = run.model.conformers[0].molecule
    isotopes = isotopologue(molecule) or f"{page.formula(run.formula)}, the most abundant isotopes"
    parts = [
        page.paragraph(f"{isotopes}. Values at the minima, rigid rotor and harmonic oscillator."),
        page.table(titles, rows),
        page.paragraph(_ROTATION),
    ]
    for conformer in run.model.conformers:
        parts.append(page.folded(f"geometry of {conformer.name}", _geometry(conformer, partners.get(conformer.name))))
    return [page.section("The molecule", *parts)]


_ROTATION = (
    "Rotational absorption: integral of the pure rotational spectrum, (μ² − μₐ²) / Iₐ summed over the principal axes. It lies in the "
    "microwave and far infrared, below the range of the figures."
)


def _row(c: Conformer) -> list[str]:
    zero = 0.5 * float(c.modes.eigenvalues.clamp(min=0).sqrt().sum()) * 2625.4996
    constants = ",\u00a0".join(f"{x:.3f}" for x in rotational_constants(c.molecule))
    dipole = float(c.dipole.norm()) / units.DEBYE
    return [point_group(c.molecule).name, constants, f"{dipole:.3f}", f"{zero:.2f}", f"{rotational_intensity(c.molecule, c.dipole):.0f}"]


def _geometry(model: Conformer, reference: Conformer | None) -> str:
    """Text: bonds (Angstrom) and angles (degrees) of the model, and of the reference where its atoms come in the same order; xyz."""
    molecule, bonded = model.molecule, neighbours(model.molecule)
    symbols = [f"{SYMBOLS[n]}{k}" for k, n in enumerate(molecule.numbers.tolist(), start=1)]
    both = reference is not None and reference.molecule.numbers.equal(molecule.numbers)
    places = [m.positions.double() for m in (molecule, *([reference.molecule] if both else []))]
    lines = ["bonds / Å and angles / degrees: model" + (", reference level" if both else "")]
    for a, around in enumerate(bonded):
        for b in (b for b in around if a < b):
            values = "".join(f"{float(length(a, b)(x)) / units.ANGSTROM:10.4f}" for x in places)
            lines.append(f"{symbols[a] + '-' + symbols[b]:14s}{values}")
    for b, around in enumerate(bonded):
        for a, c in ((a, c) for a in around for c in around if a < c):
            values = "".join(f"{math.degrees(float(angle(a, b, c)(x))):10.2f}" for x in places)
            lines.append(f"{'-'.join((symbols[a], symbols[b], symbols[c])):14s}{values}")
    rows = [f"{s:4s}" + "".join(f"{x:12.6f}" for x in row) for s, row in zip(symbols, (places[0] / units.ANGSTROM).tolist())]
    return "\n".join([*lines, "", "model, Cartesian / Å", *rows])
