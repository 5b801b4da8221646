"""Harmonic infrared lines of molecules that the general model never saw, beside those of the level of its labels:

    python benchmarks/general_harmonics.py [MODEL] [--molecules ethane acetonitrile ...] [--folder FOLDER] [--workers 2] [--record]

Of each molecule of labels/organic/heldout.csv that is named, the first conformer of heldout.xyz. The reference (finite differences of
forces and dipoles) is that of a shipped molecule or labels/organic/harmonic/NAME.json, made where it is not there, calculation by
calculation in FOLDER: some 60 gradients for ten atoms. Modes are paired by overlap: mean and largest deviation of wavenumbers, mean
deviation of intensities in percent of the strongest, and how alike the spectra are with lines of sigma 10 cm^-1 (400 to 4000 cm^-1).
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import numpy as np
import torch
from experiment import LABELS, Table, conclude, machine_line, parser

from densnet.artefacts.content import Analysis
from densnet.files import read_json
from densnet.frames import xyz
from densnet.model import shipped
from densnet.model.predictor import Predictor, load
from densnet.observables.conformers import Conformer, Ensemble, gather
from densnet.reference.campaign import LabelSettings
from densnet.reference.scf import ScfSettings
from densnet.reference.shipped import harmonic
from densnet.report.harmonic import differences
from densnet.workflow.harmonic import HarmonicSettings, analyse, remembered

ORGANIC = LABELS / "organic"
MOLECULES = ["ethane", "acetonitrile", "chloroform", "1,1-dichloroethene", "chloroethene", "2-methyloxirane", "acetone", "ethanol"]
LEVEL = {"xc": "PBE0", "basis": "aug-cc-pvdz", "dispersion": None}
HEAD = ["molecule", "wavenumbers, mean, cm^-1", "worst, cm^-1", "intensities, mean, % of the strongest", "SIS", "Pearson r"]


def reference(name: str, chosen: argparse.Namespace) -> Conformer:
    """Relaxed at the level of the labels, with its modes; made once."""
    start = next(record.molecule for record in xyz.read(ORGANIC / "heldout.xyz") if record.about["name"] == name)
    ships, file = harmonic(start, LEVEL), ORGANIC / "harmonic" / f"{name.replace(' ', '-')}.json"
    if ships is not None and read_json(ships)["level"]["xc"] == LEVEL["xc"]:
        file = ships
    elif not file.exists():
        settings, place = LabelSettings(workers=chosen.workers, scf=ScfSettings(xc=LEVEL["xc"])), chosen.folder / name.replace(" ", "-")
        forces = remembered(settings, place, lambda done, total: print(f"{name}: {done} of {total}", flush=True))
        found = gather([(name, start)], lambda name, start: analyse(forces, name, start, HarmonicSettings()))
        file.parent.mkdir(exist_ok=True)
        Analysis.write(file, Analysis(found, settings.scf.level()))
    ensemble: Ensemble = Analysis.read(file).ensemble
    return ensemble.conformers[0]


def row(name: str, model: Predictor, chosen: argparse.Namespace) -> list:
    """Of the table; the model relaxes the molecule from the reference's minimum."""
    known = reference(name, chosen)
    shift, strength, likeness = differences(analyse(model, name, known.molecule, HarmonicSettings()), known)
    intensity = 100 * float(np.abs(strength).mean()) / float(known.modes.intensities.max())
    return [name, float(np.abs(shift).mean()), float(np.abs(shift).max()), intensity, likeness.similarity, likeness.pearson]


def main() -> None:
    """Compare, print."""
    options = parser(__doc__)
    options.add_argument("model", nargs="?", default=shipped.GENERAL, help="file, or name of a shipped model")
    options.add_argument("--molecules", nargs="+", default=MOLECULES)
    options.add_argument("--folder", type=Path, default=Path("runs/general_harmonics"), help="of the reference calculations")
    options.add_argument("--workers", type=int, default=0, help="of these; 0 = all cores")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    model = load(chosen.model).double()
    rows = []
    for name in chosen.molecules:
        rows.append(row(name, model, chosen))
        print(rows[-1], flush=True)
    means = [float(np.mean([row[k] for row in rows])) for k in range(1, len(HEAD))]
    conclude(chosen, "general", {"harmonic": Table(HEAD, [*rows, ["mean", *means]])})


if __name__ == "__main__":
    main()
