"""Harmonic Raman lines of a model and of DFT: python benchmarks/raman.py MODEL [--molecule water] [--conformers NAME ...] [--record]

Slopes of the polarizability by central differences (0.01 bohr) of the model, and those of its level that ship (labels/raman.py), at the
shipped minima, along the shipped modes of the reference level, so that nothing but the polarizability differs.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from experiment import Table, conclude, machine_line, parser
from torch import Tensor

from densnet.artefacts.content import Analysis
from densnet.model.predictor import load
from densnet.observables.conformers import Conformer
from densnet.observables.response import polarizability_derivatives
from densnet.reference import shipped
from densnet.spectra import raman

WEAK = 0.05
"""Of the strongest activity; depolarisation ratios of weaker lines are not compared."""


def compared(conformer: Conformer, of_model: Tensor) -> tuple[list[list], list]:
    """A row for each mode, and what sums them up."""
    exact, found = (raman.from_modes(conformer.modes, own) for own in (conformer.polarizability_slopes, of_model))
    strongest = float(exact.activities.max())
    gaps = 100 * (found.activities - exact.activities).abs() / strongest
    strong = exact.activities > WEAK * strongest
    ratio = (found.depolarisation - exact.depolarisation).abs()[strong]
    columns = exact.frequencies, exact.activities, found.activities, exact.depolarisation, found.depolarisation
    rows = [[conformer.name, *map(float, row)] for row in zip(*columns)]
    return rows, [conformer.name, len(rows), strongest, float(gaps.mean()), float(gaps.max()), int(strong.sum()), float(ratio.max())]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("model")
    options.add_argument("--molecule", default="water", choices=shipped.names())
    options.add_argument("--conformers", nargs="*", default=[], help="names; all by default")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    analysis = Analysis.read(shipped.geometries(chosen.molecule).with_suffix(".json"))
    model = load(chosen.model)
    lines = Table(["conformer", "line, cm^-1", "DFT, A^4/amu", "model", "depolarisation, DFT", "model"], [])
    columns = ["conformer", "modes", "strongest, A^4/amu", "mean error, % of it", "largest, %", "lines compared", "depolarisation within"]
    errors = Table(columns, [])
    for conformer in analysis.ensemble.conformers:
        if chosen.conformers and conformer.name not in chosen.conformers:
            continue
        rows, summed = compared(conformer, polarizability_derivatives(model.respond, conformer.molecule))
        lines.rows.extend(rows)
        errors.rows.append(summed)
    conclude(chosen, "raman", {f"{chosen.molecule}-lines": lines, f"{chosen.molecule}-errors": errors})


if __name__ == "__main__":
    main()
