"""Mean polarizabilities of DFT, of the shipped models and of experiment: python benchmarks/polarizabilities.py [NAMES ...] [--record]

trace(alpha) / 3 over the frames held out at 300 K, by coupled-perturbed DFT and by the model. Measured: static electronic polarizabilities
from dipole oscillator strengths, as evaluated by A. J. Thakkar and T. Wu, J. Chem. Phys. 143, 144302 (2015).
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from experiment import Table, conclude, frames, machine_line, parser
from torch import Tensor

from densnet import units
from densnet.model.predictor import load
from densnet.molecules import Molecules

MEASURED = {"water": (9.642, 0.096), "ethanol": (34.43, 0.60)}
"""bohr^3, with uncertainty."""


def mean(polarizability: Tensor) -> float:
    """Isotropic, of all molecules, bohr^3."""
    return float(polarizability.diagonal(dim1=1, dim2=2).mean())


def row(name: str) -> list:
    """Of the shipped model ``name``: frames, and bohr^3 by DFT, model, their difference in percent, and experiment."""
    labels = [label.properties for label in frames(f"{name}/heldout_300K")]
    known = [properties for properties in labels if properties.polarizability is not None]
    exact = torch.cat([properties.polarizability for properties in known])
    found = load(name).respond(Molecules.concatenate([properties.molecules for properties in known])).polarizability
    of_dft, of_model = mean(exact), mean(found)
    value, error = MEASURED.get(name, (None, None))
    measured = "" if value is None else f"{value} +- {error}"
    return [name, len(known), of_dft, of_model, 100 * (of_model / of_dft - 1), of_model / units.ANGSTROM**3, measured]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("names", nargs="*", default=["water", "ethanol", "ethanethiol", "resorcinol"])
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    columns = ["molecule", "frames", "DFT, bohr^3", "model, bohr^3", "difference, %", "model, A^3", "measured, bohr^3"]
    with torch.no_grad():
        conclude(chosen, "polarizabilities", {"means": Table(columns, [row(name) for name in chosen.names])})


if __name__ == "__main__":
    main()
