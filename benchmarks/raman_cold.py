"""Raman activities of a cold molecule's dynamics beside harmonic ones: python benchmarks/raman_cold.py MODEL [--molecule water] [--record]

Every mode of the first conformer has k_B T, there is no rotation (as in the cold run of `densnet run`), and bands are integrals of the
spectrum that `densnet.spectra.raman.from_series` makes; harmonic lines are those of the same model at its own minimum.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import torch
from experiment import Table, conclude, machine_line, once, parser

from densnet.model.polarizability import Polarizability
from densnet.model.predictor import load
from densnet.observables.conformers import Ensemble
from densnet.progress import silent
from densnet.reference import shipped
from densnet.spectra import raman
from densnet.spectra.sticks import bands_around, raman_rows, sticks_of
from densnet.spectra.timeseries import SeriesSettings
from densnet.workflow.harmonic import ColdSettings, HarmonicSettings, analyse, cold_dynamics, named_geometries, scattering

GAP, MARGIN = 60.0, 100.0
"""cm^-1, between two bands, and beside the lines of one: without rotation and heat lines are narrow."""


def measured(model: Path, molecule: str, settings: ColdSettings) -> dict:
    """Bands as plain data, `raman_rows`."""
    predictor = load(model).double()
    name, start = named_geometries(shipped.geometries(molecule))[0]
    conformer = analyse(predictor, name, start, HarmonicSettings())
    respond = Polarizability(predictor)
    found = scattering(respond, Ensemble((conformer,), (0,)))
    states, sampling = cold_dynamics(predictor, conformer.modes, settings, silent)
    alpha = torch.stack([respond(state.molecules).polarizability for state in states], dim=1)
    spectrum = raman.from_series(alpha.numpy(), sampling, settings=SeriesSettings(depth=settings.depth))
    bands = spectrum.bands(bands_around(sticks_of(found, settings.temperature), GAP, MARGIN), raman.Light(532.0, 300.0))
    return {"bands": raman_rows(bands, found, settings.temperature)}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, out="runs/raman-cold")
    options.add_argument("model", type=Path)
    options.add_argument("--molecule", default="water", choices=shipped.names())
    options.add_argument("--temperature", type=float, default=2.0, help="K")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    settings = ColdSettings(temperature=chosen.temperature)
    path = chosen.out / f"{chosen.molecule}-{chosen.temperature:g}.json"
    found = once(path, lambda: measured(chosen.model, chosen.molecule, settings))
    rows = [
        [f"{b['lower']:.0f}-{b['upper']:.0f}", b["integral"], b["harmonic"], 100 * (b["integral"] / b["harmonic"] - 1),
         b["depolarisation"], b["harmonic_depolarisation"]]
        for b in found["bands"]
    ]  # fmt: skip
    titles = ["band, cm^-1", "dynamics, A^4/amu", "harmonic", "difference, %", "depolarisation, dynamics", "harmonic"]
    conclude(chosen, "raman_cold", {chosen.molecule: Table(titles, rows)})


if __name__ == "__main__":
    main()
