"""`densnet models`: the models that come with the package, and how good they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densnet.cli.console import JsonFile

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = {
    "energy_mae_meV": 1, "force_mae_meV_per_A": 1, "dipole_mae_D": 1000, "density_error_percent": 1, "polarizability_mae_au": 1,
}  # fmt: skip
"""Errors in the table, and their factors: 80 columns hold no "0.00019"."""


def models(json: JsonFile = None) -> None:
    """List the models that come with densnet: molecules, reference level, size, and errors on frames that no training saw.

    Mean absolute errors of energy (per molecule) and of force components, mean length of the dipole's error, integral of the density's
    error over the number of electrons, mean absolute error of a component of the polarizability alpha (bohr^3); at 300 K.
    docs/models.md has more.
    """
    from densnet.cli.console import show
    from densnet.workflow.catalogue import catalogue

    found = catalogue()
    show(found, json, _table(found))


def _table(found: list[dict]) -> Table:
    from rich import box
    from rich.table import Table

    caption = "held-out frames at 300 K; every model gives density, dipole, energy, forces and uncertainties"
    table = Table(title="models that come with densnet", caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in ("name", "formula", "level"):
        table.add_column(title, no_wrap=True)
    for title in ("energy\nmeV", "forces\nmeV/A", "dipole\nmD", "density\n%", "alpha\nau"):
        table.add_column(title, justify="right", no_wrap=True)
    for entry in found:
        errors = entry["errors"]["heldout_300K"]
        cells = ["-" if (x := errors.get(key)) is None else f"{factor * x:.2g}" for key, factor in SHOWN.items()]
        table.add_row(entry["name"], _formulas(entry), entry["level"], *cells)
    return table


def _formulas(entry: dict) -> str:
    """Of a model of many molecules the elements."""
    few = len(entry["compositions"]) <= 4
    return ", ".join(entry["compositions"]) if few else f"of {' '.join(entry['elements'])}"
