"""What remains between dynamics and experiment, and the model's anharmonic constants beside the reference level's: docs/experiment.md.

    densnet run ethanol --experiment measured.jdx      # and the other molecules, without a measured curve
    python benchmarks/remainder.py runs/ethanol runs/water runs/ethanethiol runs/resorcinol [--record]

Reads the folders of finished runs; the tables are those of their pages. Of each run: its bands, what moves them from the harmonic lines,
its conformers, the division of the distance from a measured curve (the first), and its quantum shifts beside the reference level's.
"""

from __future__ import annotations

from pathlib import Path

from experiment import Table, conclude, parser

from densnet.artefacts import using
from densnet.artefacts.run import Run
from densnet.report.harmonic import conformer_table
from densnet.report.infrared import band_table
from densnet.report.page import Columns
from densnet.report.remainder import checked_shifts, division, found_in, shares
from densnet.spectra.spectrum import ABSOLUTE
from densnet.workflow import read_run

LETTERS = {"±": "+-", "–": "-", "−": "-", "⁻¹": "^-1", "χᵢᵢ": " chi_ii", "Δ": "difference ", "|μ|": "dipole", "|G|": "order of group"}


def plain(found: Columns) -> Table:
    """A table of the page in the letters of the documentation."""

    def text(cell: object) -> str | None:
        if cell is None:
            return None
        words = str(cell)
        for letter, written in LETTERS.items():
            words = words.replace(letter, written)
        return " ".join(words.split())

    titles, rows = found
    return Table([text(title) or "" for title in titles], [[text(cell) for cell in row] for row in rows])


def tables(run: Run) -> dict[str, Table]:
    """Those of one run, by its name."""
    bands = run.get(using.BANDS)
    if bands is None:
        raise SystemExit(f"{run.folder} has no spectrum; finish it with densnet run.")
    made = {"bands": band_table(run, bands)}
    if run.anharmonic:
        found = found_in(run, bands)
        made |= {"shares": shares(bands.bands, found), "shifts": checked_shifts(run)}
        for (_, curve), rows in zip(run.experiments[:1], bands.experiment.values()):
            made["division"] = division(bands.bands, found, rows, absolute=curve.unit == ABSOLUTE)
    if (told := run.get(using.POPULATIONS)) and len(told.conformers) > 1:
        made["conformers"] = conformer_table(told.conformers)
    return {f"{run.name}-{kind}": plain(table) for kind, table in made.items() if table[1]}


def main() -> None:
    """Reads the runs."""
    options = parser(__doc__)
    options.add_argument("runs", type=Path, nargs="+", help="folders of finished runs")
    chosen = options.parse_args()
    conclude(chosen, "remainder", {name: table for folder in chosen.runs for name, table in tables(read_run(folder)).items()})


if __name__ == "__main__":
    main()
