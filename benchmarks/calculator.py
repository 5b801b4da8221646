"""What ASE costs: a call of a model by itself, and the same through `atoms.get_forces()`, at geometries that change from call to call.

    python benchmarks/calculator.py [--models water ethanol resorcinol] [--calls 300]

Median CPU time on one core, one molecule, float32 networks, calls of the three kinds in turn. The rest of ASE's time is found with a
calculator that calculates nothing. `compiled`: machine code of the molecule, made beforehand where it is missing (a minute each).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import ase.io
import numpy as np
import torch
from ase.calculators.calculator import Calculator, all_changes
from experiment import Table, conclude, machine_line, parser
from measuring import WARM_UP

from densnet.interfaces.ase import calculator, molecules_of
from densnet.model.compiled import Compiled
from densnet.model.predictor import load
from densnet.reference import shipped


class Nothing(Calculator):
    """ASE's own work alone: it notices that the atoms have moved, copies them, and hands out forces."""

    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=("energy",), system_changes=tuple(all_changes)):
        """Zeros."""
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def in_turn(works: list[Callable[[int], object]], calls: int) -> list[float]:
    """Median CPU time of each, ms; called one after the other, so that what else the machine does meets all alike."""
    times: list[list[float]] = [[] for _ in works]
    for k in range(WARM_UP + calls):
        for work, own in zip(works, times):
            began = time.process_time()
            work(k)
            own.append(1000 * (time.process_time() - began))
    return [median(own[WARM_UP:]) for own in times]


def measured(name: str, calls: int, *, compiled: bool) -> list:
    """A row: model, eager or compiled, ms of the model, of ASE with it, their difference, and of ASE with nothing."""
    atoms = ase.io.read(shipped.geometries(name), index=0)
    idle, generator = atoms.copy(), np.random.default_rng(0)
    places = [atoms.positions + generator.normal(0, 0.01, atoms.positions.shape) for _ in range(8)]
    atoms.calc, idle.calc = calculator(name, compiled=compiled), Nothing()
    like = molecules_of(atoms)
    moved = [like.at(molecules_of(ase.Atoms(atoms.numbers, place)).positions) for place in places]
    model = Compiled(load(name), like) if compiled else load(name)

    def forces(of: ase.Atoms) -> Callable[[int], object]:
        def work(k: int) -> object:
            of.positions = places[k % 8]
            return of.get_forces()

        return work

    bare, through, nothing = in_turn([lambda k: model(moved[k % 8]), forces(atoms), forces(idle)], calls)
    return [name, len(atoms), "compiled" if compiled else "eager", bare, through, through - bare, nothing]


def main() -> None:
    """Measure each model, print."""
    options = parser(__doc__)
    options.add_argument("--models", nargs="+", default=["water", "ethanol", "resorcinol"])
    options.add_argument("--calls", type=int, default=300)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    print(machine_line(), flush=True)
    rows = [measured(name, chosen.calls, compiled=compiled) for name in chosen.models for compiled in (False, True)]
    columns = ["model", "atoms", "", "model alone, ms", "through ASE, ms", "difference, ms", "of which ASE by itself, ms"]
    conclude(chosen, "calculator", {"overhead": Table(columns, rows)})


if __name__ == "__main__":
    main()
