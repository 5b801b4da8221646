"""Anharmonic constants of the shipped molecules at the level of the labels, to judge those of a model by.

    python labels/anharmonic.py MOLECULE FOLDER [--modes 6] [--conformer NAME]

Reads src/densnet/data/molecules/MOLECULE.json (MOLECULE: also `water-pbe0`), keeps every calculation under FOLDER (so that it may be
stopped and started again) and writes what it finds into that file, under `anharmonic`, conformer by conformer: of a molecule of up to
three atoms all of VPT2 (28 calculations for water), else of its strongest infrared bands 2 chi_ii, the share of its shift that a mode has
of itself (5 calculations a mode).
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import torch

from densnet.files import write_json
from densnet.observables.anharmonic import SOFTEST, Anharmonic, diagonal, vpt2
from densnet.observables.conformers import Conformer, Ensemble
from densnet.reference.campaign import LabelSettings
from densnet.reference.scf import ScfSettings
from densnet.workflow.harmonic import remembered

TARGET = Path(__file__).parent.parent / "src" / "densnet" / "data" / "molecules"
APART = 200.0
"""cm^-1 between two groups of lines."""

STEP = 0.06
"""Displacement in dimensionless normal coordinates; with 0.12 water's shifts are the same within 6 cm^-1."""


def constants(forces, conformer: Conformer, count: int) -> Anharmonic:
    """All of a small molecule, else of the ``count`` strongest modes that are not soft, and of the strongest of each group of lines."""
    modes = conformer.modes
    if len(modes.eigenvalues) <= 3:
        return vpt2(forces, modes, step=STEP)
    strength = torch.where(modes.frequencies >= SOFTEST, modes.intensities, 0.0)
    starts = [0, *(torch.nonzero(modes.frequencies.diff() > APART)[:, 0] + 1).tolist(), len(strength)]
    leading = {first + int(strength[first:end].argmax()) for first, end in pairwise(starts) if strength[first:end].max() > 0}
    return diagonal(forces, modes, sorted(leading | set(strength.argsort(descending=True)[:count].tolist())), step=2 * STEP)


def main(name: str, folder: Path, count: int, only: str | None) -> None:
    """Displace, write, conformer by conformer."""
    path = TARGET / f"{name}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    settings = LabelSettings(workers=1, scf=ScfSettings(xc=content["level"]["xc"]))
    forces = remembered(settings, folder, lambda done, total: print(f"geometry {done} of {total}", flush=True))
    for conformer in Ensemble.from_dict(content).conformers:
        if only in (None, conformer.name):
            print(conformer.name, flush=True)
            content.setdefault("anharmonic", {})[conformer.name] = constants(forces, conformer, count).to_dict()
            write_json(path, content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("molecule")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--modes", type=int, default=6)
    parser.add_argument("--conformer")
    chosen = parser.parse_args()
    main(chosen.molecule, chosen.folder, chosen.modes, chosen.conformer)
