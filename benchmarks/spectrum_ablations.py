"""What Delta learning and the angular order are worth in a spectrum: python benchmarks/spectrum_ablations.py [--lines delta direct ...]

Ethanol, all 938 training frames; each line a whole training (density in space, then energies and forces) that differs from `delta` in one
thing: all have the basis `default`, and the sizes of the shipped model. Judged on frames held out at 300 K and by the harmonic infrared
spectra of both conformers against DFT of the same level (finite differences, data/molecules/ethanol.json): wavenumbers paired by motion,
intensities in percent of the strongest line, spectral information similarity and Pearson r at a Gaussian sigma of 10 cm^-1. A line that
was interrupted goes on, one that is done is not repeated (OUT/LINE/result.json).
"""

from __future__ import annotations

import argparse
import json
import os

os.environ["OMP_NUM_THREADS"] = "1"

import time
from functools import partial

import numpy as np
import torch
from ablations import SEED, Line, trained
from experiment import ETHANOL_500K, Table, conclude, frames, machine_line, once, parser, spread, training_options

from densnet.density.basis import DensityBasis
from densnet.model.predictor import Predictor
from densnet.observables.conformers import Ensemble
from densnet.observables.vibrations import VibrationError
from densnet.reference import shipped
from densnet.report.harmonic import differences
from densnet.training import objective
from densnet.workflow.fitting import FITTED
from densnet.workflow.harmonic import HarmonicSettings, analyse
from densnet.workflow.preparation import prepare
from densnet.workflow.splits import elements_of, held_out

POINTS = 4000
PHASES = {
    "density": {"steps": 0},
    "points": {"steps": 2500, "batch": 16, "learning_rate": 3e-3, "average": 0.995, "validate_every": 500},
    "energy": {"steps": 4000, "batch": 16, "learning_rate": 2e-3, "average": 0.995, "validate_every": 500},
}
MEASURES = ("mean_per_cm", "worst_per_cm", "intensity_percent", "similarity", "pearson")
SIZES = {"channels": 64, "inner_channels": 48}


def line(name: str, change: str, order: int = 2, *, whole: bool = False) -> Line:
    """All frames, the basis `default`."""
    orders = {"l_max": order, "l_hidden": order}
    return Line(name, change, {"density": orders, "energy": orders | SIZES}, PHASES, frames=938, basis="default", whole=whole)


LINES = (
    line("delta", "Delta learning, angular order 2"),
    line("direct", "no promolecule", whole=True),
    *(line(f"order-{l}", f"angular order {l}", l) for l in (0, 1, 3)),
)


def harmonic(predictor: Predictor) -> dict[str, dict[str, float]]:
    """Of each conformer of the reference data: how far the model's harmonic spectrum is from DFT's."""
    found = {}
    dft = json.loads(shipped.geometries("ethanol").with_suffix(".json").read_text(encoding="utf-8"))
    for reference in Ensemble.from_dict(dft).conformers:
        try:
            model = analyse(predictor.double(), reference.name, reference.molecule, HarmonicSettings())
            shift, strength, likeness = differences(model, reference)
        except VibrationError as error:  # a model this bad has no spectrum to compare
            print(f"{reference.name}: {error}", flush=True)
            found[reference.name] = dict.fromkeys(MEASURES, float("nan"))
            continue
        percent = 100 * float(np.abs(strength).mean()) / float(reference.modes.intensities.max())
        values = (float(np.abs(shift).mean()), float(np.abs(shift).max()), percent, likeness.similarity, likeness.pearson)
        found[reference.name] = dict(zip(MEASURES, values))
    return found


def result(some: Line, chosen: argparse.Namespace) -> dict:
    """Errors of a line after its training."""
    folder = chosen.out / some.name
    folder.mkdir(parents=True, exist_ok=True)
    known = held_out(frames(*ETHANOL_500K), 0.06, SEED)
    basis = DensityBasis.built_in(some.basis, elements_of(known[0]))
    fits = (None, None) if some.whole else (FITTED, 0)  # what the promolecule is made of in the basis takes every frame's metric
    parts = [
        prepare(labels, basis, chosen.examples, points=POINTS, processes=chosen.workers, fits=count) for labels, count in zip(known, fits)
    ]
    began = time.monotonic()
    predictor = trained(some, parts, basis, folder).to("cpu").requires_grad_(False)
    seconds = time.monotonic() - began
    judge = spread((label.properties for label in frames("ethanol/heldout_300K")), 20)
    errors = objective.evaluate(predictor, judge, density_frames=20).summary()
    return {"change": some.change, "seconds": round(seconds), "errors": errors, "harmonic": harmonic(predictor)}


def table(results: dict[str, dict]) -> Table:
    """A row a line; the conformers one after the other."""
    head = ["line", "what is different", "density, %", "dipole, mD", "forces, meV/A", "wavenumbers, mean / worst, cm^-1",
            "intensities, % of strongest", "SIS", "r", "training, s"]  # fmt: skip
    rows = []
    for name, row in results.items():
        errors, each = row["errors"], row["harmonic"].values()
        intensity, similarity, pearson = (
            ", ".join(f"{c[key]:.3g}" for c in each) for key in ("intensity_percent", "similarity", "pearson")
        )
        waves = ", ".join(f"{c['mean_per_cm']:.1f} / {c['worst_per_cm']:.1f}" for c in each)
        rows.append([name, row["change"], errors["density_error_percent"], 1000 * errors["dipole_mae_D"], errors["force_mae_meV_per_A"],
                     waves, intensity, similarity, pearson, row["seconds"]])  # fmt: skip
    return Table(head, rows)


def main() -> None:
    """Train, judge, print."""
    names = [some.name for some in LINES]
    options = parser(__doc__, "runs/spectrum_ablations")
    training_options(options, "runs/spectrum_ablations/examples")
    options.add_argument("--lines", nargs="*", choices=names, default=names)
    options.add_argument("--steps", type=float, default=1.0, help="share of the steps of each phase (a quick look)")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(f"{machine_line()}, {chosen.device}", flush=True)
    for phase in PHASES.values():
        phase["steps"] = round(chosen.steps * phase["steps"])
    PHASES.update(device=chosen.device, threads=chosen.threads)
    results = {}
    for some in LINES:
        if some.name in chosen.lines:
            results[some.name] = once(chosen.out / some.name / "result.json", partial(result, some, chosen))
            print(some.name, json.dumps(results[some.name]), flush=True)
    conclude(chosen, "spectrum_ablations", {"lines": table(results)})


if __name__ == "__main__":
    main()
