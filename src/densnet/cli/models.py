"""`densnet models`: the models that come with the package, and how good they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densnet.cli.console import JsonFile

if TYPE_CHECKING:
    from rich.table import Table


def models(json: JsonFile = None) -> None:
    """List the models that come with densnet: molecules, reference level, size, and errors on frames that no training saw.

    Mean absolute errors of energy (per molecule) and of force components, mean length of the dipole's error, integral of the density's
    error over the number of electrons; at 300 K. docs/models.md has more.
    """
    from densnet.cli.console import show
    from densnet.workflow.catalogue import catalogue

    found = catalogue()
    show(found, json, _table(found))


def _table(found: list[dict]) -> Table:
    from rich.table import Table

    caption = "held-out frames at 300 K; every model gives density, dipole, energy, forces and uncertainties"
    table = Table(title="models that come with densnet", caption=caption)
    for title in ("name", "molecules", "level"):
        table.add_column(title)
    for title in ("MB", "training frames", "energy, meV", "forces, meV/A", "dipole, D", "density, %"):
        table.add_column(title, justify="right")
    for entry in found:
        errors = entry["errors"]["heldout_300K"]
        numbers = [errors[key] for key in ("energy_mae_meV", "force_mae_meV_per_A", "dipole_mae_D", "density_error_percent")]
        row = (entry["name"], ", ".join(entry["compositions"]), entry["level"], f"{entry['megabytes']:.1f}")
        table.add_row(*row, str(entry["training_frames"]), *(f"{x:.2g}" for x in numbers))
    return table
