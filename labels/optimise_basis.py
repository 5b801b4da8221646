"""The exponents of the built-in basis `optimised`: python labels/optimise_basis.py OUT.json [STEPS]

Prints the fit floor on frames that the optimisation did not see, next to that of the other built-in sets.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from densnet.dataset import store
from densnet.dataset.dataset import formula
from densnet.density.basis import DensityBasis
from densnet.density.orbitals import Orbitals
from densnet.reference import basis_fit

HERE = Path(__file__).parent

START = {
    "H": [(0.1, 8.0, 5), (0.15, 4.0, 4), (0.2, 3.0, 4), (0.3, 2.0, 3), (0.5, 1.2, 2)],
    "second row": [(0.1, 100.0, 9), (0.12, 30.0, 7), (0.15, 16.0, 6), (0.2, 6.0, 5), (0.35, 4.0, 4), (0.6, 3.0, 3)],
    "third row": [(0.08, 300.0, 11), (0.1, 100.0, 9), (0.12, 40.0, 7), (0.15, 10.0, 5), (0.25, 4.0, 4), (0.5, 2.0, 3)],
}
"""Smallest and largest exponent (1 / bohr^2) and how many, of each l = 0, 1, ...; even-tempered to begin with."""

ROWS = {"H": "H", "S": "third row", "Cl": "third row"}


def start() -> DensityBasis:
    """The even-tempered set from which the search begins."""
    table = {}
    for symbol in ("H", "C", "N", "O", "F", "S", "Cl"):
        shells = START[ROWS.get(symbol, "second row")]
        table[symbol] = [(l, float(a)) for l, (low, high, count) in enumerate(shells) for a in np.geomspace(low, high, count)]
    return DensityBasis.of("start", table)


def chosen() -> tuple[list[Orbitals], list[Orbitals]]:
    """The first frame of each small molecule and the first two of ethanol, to optimise on; the last two of each list, to judge by."""
    small, ethanol = store.read(HERE / "small" / "training_500K.001.h5"), store.read(HERE / "ethanol" / "start_500K.h5")
    first = {formula(label.properties.molecules.numbers): label for label in reversed(small)}
    known = [first[name] for name in dict.fromkeys(formula(label.properties.molecules.numbers) for label in small)] + list(ethanol)[:2]
    unseen = [*list(small)[-2:], *list(ethanol)[-2:]]
    return [label.properties.orbitals[0] for label in known], [label.properties.orbitals[0] for label in unseen]


def main(out: Path, steps: int) -> None:
    """Optimise, write, compare."""
    torch.set_num_threads(1)
    seen, unseen = chosen()

    def report(step: int, error: float) -> None:
        if step % 10 == 9:
            print(f"step {step + 1}: mean error {error:.4f} %", flush=True)

    basis = basis_fit.optimise(start(), seen, name="optimised", steps=steps, report=report)
    out.write_text(json.dumps(basis.to_dict()).replace("]], ", "]],\n") + "\n")
    for candidate in (DensityBasis.built_in("default"), start(), basis, DensityBasis.built_in("large")):
        floors = [basis_fit.fit_floor(candidate, frame) for frame in unseen]
        functions = [int(candidate.mask(frame.molecule.numbers).sum()) for frame in unseen]
        print(candidate.name, "functions", functions, "floor %", " ".join(f"{floor:.4f}" for floor in floors), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 160)
