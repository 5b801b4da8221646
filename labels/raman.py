"""Slopes of the polarizability of the shipped conformers at the level of the labels: harmonic Raman lines to judge those of a model by.

    python labels/raman.py MOLECULE FOLDER [--conformer NAME]

Reads src/densnet/data/molecules/MOLECULE.json, keeps every polarizability under FOLDER (so that it may be stopped and started again) and
writes d alpha / d R into that file, conformer by conformer: central differences of 0.01 bohr. Of displaced geometries that a symmetry of a
conformer carries into each other one is calculated.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from densnet.files import read_json, write_json
from densnet.molecules import Molecules
from densnet.observables.conformers import Ensemble
from densnet.observables.pointgroup import up_to_symmetry
from densnet.observables.response import polarizability_derivatives
from densnet.reference import campaign, scf
from densnet.reference.scf import ScfSettings

TARGET = Path(__file__).parent.parent / "src" / "densnet" / "data" / "molecules"
STEP = 0.01
"""Displacement, bohr."""


def kept(settings: ScfSettings, folder: Path) -> Callable[[Molecules], Tensor]:
    """alpha [3, 3] of a geometry, from ``folder`` if it is there."""

    def polarizability(molecule: Molecules) -> Tensor:
        path = folder / f"{campaign.identity(molecule, settings.level())}.json"
        if not path.exists():
            found = scf.respond(scf.calculate(molecule, settings), settings).polarizability[0]
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, {"polarizability_bohr3": found.tolist()})
            print(f"{len(list(folder.glob('*.json')))} geometries", flush=True)
        return torch.tensor(read_json(path)["polarizability_bohr3"], dtype=torch.float64)

    return polarizability


def main(name: str, folder: Path, only: str | None) -> None:
    """Displace, write, conformer by conformer."""
    path = TARGET / f"{name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    polarizability = kept(ScfSettings.of_level(content["level"]), folder)
    for conformer, row in zip(Ensemble.from_dict(content).conformers, content["conformers"]):
        if only in (None, conformer.name):
            print(conformer.name, flush=True)
            slopes = polarizability_derivatives(up_to_symmetry(polarizability, conformer.molecule), conformer.molecule, STEP)
            row["polarizability_slopes_bohr2"] = [round(x, 5) for x in slopes.flatten().tolist()]
            write_json(path, content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("molecule")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--conformer")
    chosen = parser.parse_args()
    main(chosen.molecule, chosen.folder, chosen.conformer)
