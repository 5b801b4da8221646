"""Errors and speed of one trained potential, in whichever environment it lives: peers_judge.py NAME MODEL TEST.extxyz ... [--compiled FILE]

NAME is mace, nequip or densnet. Prints one line of JSON: mean absolute errors of energy (meV a molecule) and of force components (meV/A)
on each file, parameters, and median CPU ms of energy and forces of one molecule, one thread: the model alone, and as a calculator of ASE.
The files hold REF_energy (eV, less the constant `taken_out`) and REF_forces (eV/A).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from measuring import milliseconds

CALLS = 100


@dataclass(frozen=True)
class Potential:
    """A calculator, its model alone as a call on prepared input, its parameters; whether its energies hold what was `taken_out`."""

    calculator: Calculator
    call: Callable[[Atoms], Callable[[], object]]
    parameters: int
    absolute: bool = False


def mace(model: str) -> Potential:
    from mace.calculators import MACECalculator

    calculator = MACECalculator(model_paths=model, device="cpu", default_dtype="float32")
    network = calculator.models[0]

    def call(atoms: Atoms) -> Callable[[], object]:
        batch = calculator._atoms_to_batch(atoms).to_dict()
        return lambda: network(batch, compute_stress=False)

    return Potential(calculator, call, trainable(network))


def nequip(model: str) -> Potential:
    from nequip.integrations.ase import NequIPCalculator

    compiled = model.endswith(".pt2")
    calculator = (NequIPCalculator.from_compiled_model if compiled else NequIPCalculator._from_saved_model)(
        model, device="cpu", chemical_species_to_atom_type_map=True
    )

    def call(atoms: Atoms) -> Callable[[], object]:
        data = calculator.atoms_to_data(atoms)
        return lambda: calculator.call_model(dict(data))

    return Potential(calculator, call, 0 if compiled else trainable(calculator.model))


def densnet(model: str, compiled_for: Path | None = None) -> Potential:
    from densnet.interfaces.ase import DensnetCalculator, molecules_of
    from densnet.model.compiled import Compiled
    from densnet.model.predictor import load

    predictor = load(model)
    like = compiled_for and molecules_of(ase.io.read(compiled_for))
    function: Callable = Compiled(predictor, like, folder=Path(model).parent) if like else predictor

    def call(atoms: Atoms) -> Callable[[], object]:
        molecules = molecules_of(atoms)
        return lambda: function(molecules)

    return Potential(DensnetCalculator(function), call, sum(p.numel() for p in predictor.parameters()), absolute=True)


def trainable(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def errors(potential: Potential, frames: list[Atoms]) -> dict[str, float]:
    energy, forces = [], []
    for frame in frames:
        atoms = Atoms(frame.numbers, frame.positions, calculator=potential.calculator)
        offset = frame.info["taken_out"] if potential.absolute else 0.0
        energy.append(atoms.get_potential_energy() - offset - frame.info["REF_energy"])
        forces.append(atoms.get_forces() - frame.arrays["REF_forces"])
    return {"energy_mae_meV": 1000 * float(np.abs(energy).mean()), "force_mae_meV_per_A": 1000 * float(np.abs(forces).mean())}


def speed(potential: Potential, molecule: Atoms) -> dict[str, float]:
    """Every call in ASE meets moved atoms, since it remembers the last answer."""
    call = potential.call(molecule)
    atoms = Atoms(molecule.numbers, molecule.positions, calculator=potential.calculator)
    random = np.random.default_rng(0)

    def step() -> None:
        atoms.positions = molecule.positions + random.normal(scale=1e-3, size=atoms.positions.shape)
        atoms.get_forces()

    return {"model_ms": milliseconds(call, CALLS), "ase_ms": milliseconds(step, CALLS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("mace", "nequip", "densnet"))
    parser.add_argument("model")
    parser.add_argument("tests", nargs="+", type=Path)
    parser.add_argument("--compiled", help="the same model compiled (nequip), or `own` (densnet)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    potential = {"mace": mace, "nequip": nequip, "densnet": densnet}[chosen.name](chosen.model)
    sets = {path.stem: ase.io.read(path, index=":") for path in chosen.tests}
    molecule = next(iter(sets.values()))[0]
    found = {"parameters": potential.parameters, **speed(potential, molecule)}
    found["errors"] = {name: {"frames": len(frames), **errors(potential, frames)} for name, frames in sets.items()}
    if chosen.compiled:
        fast = densnet(chosen.model, chosen.tests[0]) if chosen.name == "densnet" else nequip(chosen.compiled)
        found |= {f"compiled_{name}": value for name, value in speed(fast, molecule).items()}
        found["compiled_errors"] = {name: errors(fast, frames) for name, frames in sets.items()}
    package = {"mace": "mace-torch"}.get(chosen.name, chosen.name)
    print(json.dumps(found | {"versions": {package: version(package), "torch": torch.__version__, "ase": ase.__version__}}))


if __name__ == "__main__":
    main()
