"""Errors of the shipped models on labels that no training saw: the tables of docs/models.md, and what `densnet models` tells.

    python benchmarks/models.py [NAME ...] [--density-frames 8] [--record]

Each is what `densnet evaluate NAME labels/NAME/LIST.001.h5 --density-frames 8` prints; it is kept in OUT. `--record` also writes the
errors at 300 K beside the models (src/densnet/data/models/NAME.json), which the package ships.
"""

from __future__ import annotations

from typing import Any

from experiment import ROOT, Table, commit, conclude, frames, once, parser

from densnet.files import content_hash, write_json
from densnet.model import shipped
from densnet.model.predictor import load
from densnet.progress import silent
from densnet.reference.geometries import read
from densnet.reference.shipped import geometries
from densnet.workflow.evaluation import evaluate_on

LISTS = {
    "heldout_300K": "300 K",
    "heldout_500K": "500 K",
    "heldout_700K": "700 K",
    "own_300K": "its own dynamics, 300 K",
    "heldout_beads_300K": "quantum nuclei, 300 K",
}
"""Frame lists of a molecule's folder, and what they are of."""

COLUMNS = {
    "energy, meV": "energy_mae_meV",
    "forces, meV/A": "force_mae_meV_per_A",
    "dipole, D": "dipole_mae_D",
    "density, %": "density_error_percent",
    "density, % of free atoms' error": "density_error_percent_of_promolecule",
    "quadrupole, D A": "quadrupole_mae_D_A",
    "potential, mV": "potential_rmse_mV",
    "potential, %": "potential_rmse_percent",
    "polarizability, bohr^3": "polarizability_mae_au",
    "its density, %": "response_error_percent",
}


def lists(name: str) -> list[str]:
    """Of `LISTS`, those that there are labels of."""
    return [each for each in LISTS if any((ROOT / "labels" / name).glob(f"{each}.*h5"))]


def errors(name: str, which: str, density_frames: int) -> dict[str, float | None]:
    """`Evaluation.summary` of a model on a list."""
    labels = [label.properties for label in frames(f"{name}/{which}")]
    return evaluate_on(load(name), labels, density_frames, silent).summary()


ELSEWHERE = {shipped.GENERAL: "ethanol"}
"""Models that are of no single molecule, and of which one that ships the card has the energy."""


def card(name: str, found: dict[str, dict]) -> dict[str, Any]:
    """What ships beside a model: energy of its first conformer (hartree), errors on held-out frames and on its own dynamics at 300 K."""
    kept = {which: {key: row[key] for key in ("frames", *COLUMNS.values())} for which, row in found.items() if which.endswith("300K")}
    molecule = ELSEWHERE.get(name, name)
    energy = float(load(name).without_forces(read(geometries(molecule))[0].molecule).energy[0])
    other = {} if molecule == name else {"molecule": molecule}
    return {"model": digest(name), "commit": commit(), **other, "energy": energy, "errors": kept}


def digest(name: str) -> str:
    """Of a model's file, so that errors are those of this file and of no other."""
    return content_hash(shipped.find(name))


def main() -> None:
    """Evaluate, print, record."""
    options = parser(__doc__, "runs/models")
    options.add_argument("names", nargs="*", default=shipped.names(), metavar="NAME")
    options.add_argument("--density-frames", type=int, default=8)
    chosen = options.parse_args()
    tables = {}
    for name in chosen.names:
        found = {}
        for which in lists(name):
            path = chosen.out / f"{name}-{which}-{digest(name)[:12]}-{chosen.density_frames}.json"
            found[which] = once(path, lambda: errors(name, which, chosen.density_frames))  # noqa: B023 (called at once)
            print(f"{name} {which}: {found[which]}", flush=True)
        rows = [[f"{row['frames']} of {LISTS[which]}", *(row[key] for key in COLUMNS.values())] for which, row in found.items()]
        tables[name] = Table(["held-out frames", *COLUMNS], rows)
        if chosen.record:
            write_json(shipped.find(name).with_suffix(".json"), card(name, found))
    conclude(chosen, "models", tables)


if __name__ == "__main__":
    main()
