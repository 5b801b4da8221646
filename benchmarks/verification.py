"""Do a few gradients tell what a full Hessian says? `densnet verify` on shipped molecules, whose DFT Hessians are known.

    python benchmarks/verification.py [--molecules ethanol] [--modes 10] [--workers 1] [--out runs/verification]

Of each first conformer: the strongest modes of the model, DFT's quotient along them by two gradients each, the same quotient by the shipped
Hessian; then the normal mode of DFT that is estimated from these gradients, and the one of the shipped Hessian that is the same motion.
Some 25 gradients for ethanol, each kept in OUT. The shipped Hessian is of differences over 0.02 bohr, which costs it up to 1 cm^-1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from experiment import Table, conclude, machine_line, parser

from densnet.artefacts.content import Analysis, Verification
from densnet.model.predictor import load
from densnet.observables.conformers import Conformer, characterise, matched
from densnet.observables.modetracking import wavenumbers
from densnet.observables.vibrations import carried
from densnet.reference import shipped
from densnet.workflow.verification import STEP, VerifySettings, level_of, reference_of, verify

COLUMNS = [
    "mode", "motion", "model", "DFT along the mode", "+-", "the same, full Hessian", "DFT normal mode, estimated", "full Hessian",
    "intensity: model", "DFT along the mode", "DFT normal mode, estimated", "full Hessian",
]  # fmt: skip


def compared(found: Verification, own: Conformer, known: Conformer) -> list[list]:
    """A row a mode: ``found`` by gradients beside the Hessian of ``known``; ``own``: the model's conformer, whose modes they are."""
    modes, order = carried(own.modes, known.molecule), matched(own.modes, known.modes).tolist()
    roots = known.molecule.masses.sqrt().repeat_interleave(3)
    vectors = modes.vectors.flatten(1)
    quotients = wavenumbers(torch.einsum("ia,ab,ib->i", vectors, known.hessian / torch.outer(roots, roots), vectors)).tolist()
    hessian = list(zip(known.modes.frequencies.tolist(), known.modes.intensities.tolist()))
    rows = []
    for r in found.rows:
        wavenumber, strength = hessian[order[r.mode - 1]]
        waves = (r.model, r.reference, r.residual, quotients[r.mode - 1], r.corrected, wavenumber)
        strengths = (r.model_strength, r.reference_strength, r.corrected_strength, strength)
        rows.append([r.mode, r.motion, *(f"{x:.1f}" for x in (*waves, *strengths))])
    return rows


def summary(name: str, found: Verification, rows: list[list]) -> list:
    """Mean absolute differences, cm^-1, and of intensities in % of the mean."""
    values = np.array([row[2:] for row in rows], dtype=float)
    model, along, _, quotient, own, exact = values.T[:6]
    strength, exact_strength = values.T[8:]
    off = [f"{np.abs(a - b).mean():.2f}" for a, b in ((model, exact), (along, quotient), (along, exact), (own, exact))]
    strengths = 100 * np.abs(strength - exact_strength).mean() / exact_strength.mean()
    worst = f"{np.abs(own - exact).max():.1f}"
    return [name, len(rows), found.gradients, f"{100 * found.share:.0f}", *off, worst, f"{strengths:.1f}", f"{found.noise:.2f}"]


SUMMARY = [
    "molecule", "modes", "gradients", "of the absorption, %", "model - normal mode", "DFT along the mode: gradients - full Hessian",
    "DFT along the mode - normal mode", "estimate - normal mode", "estimate - normal mode, largest", "estimated intensity, %", "noise",
]  # fmt: skip


def main() -> None:
    """Verify, compare, print."""
    options = parser(__doc__, "runs/verification")
    options.add_argument("--molecules", nargs="+", default=["ethanol"])
    options.add_argument("--modes", type=int, default=10)
    options.add_argument("--workers", type=int, default=1)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    settings = VerifySettings(modes=chosen.modes, workers=chosen.workers)
    tables, totals = {}, []
    for name in chosen.molecules:
        model = load(name).double()
        known = Analysis.read(Path(shipped.geometries(name)).with_suffix(".json")).ensemble.conformers[0]
        tell = lambda text: print(text, flush=True)  # noqa: E731
        found = verify(model, known.molecule, reference_of(level_of(model, name), chosen.out / name, settings), settings, tell=tell)
        rows = compared(found, characterise(model, known.molecule, name, step=STEP), known)
        totals.append(summary(f"{name}, {known.name}", found, rows))
        tables[name] = Table(COLUMNS, rows)
    conclude(chosen, "verification", {"summary": Table(SUMMARY, totals), **tables})


if __name__ == "__main__":
    main()
