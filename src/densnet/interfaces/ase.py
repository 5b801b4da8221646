"""ASE: any force function as a calculator (energies in eV, forces in eV/Angstrom, dipoles in e*Angstrom)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from densnet import units
from densnet.molecules import MoleculeError, Molecules, check_geometry
from densnet.properties import Properties


class DensnetCalculator(Calculator):
    """Energy, forces and dipole of an `ase.Atoms` from ``force_function``: ``Molecules`` -> ``Properties``, in atomic units.

    ``atoms.calc = DensnetCalculator(load("model.safetensors"))``, then ``atoms.get_potential_energy()``, ``atoms.get_forces()``,
    ``atoms.get_dipole_moment()``. Where the model knows of its errors ``atoms.calc.results`` has ``energy_uncertainty`` (eV),
    ``dipole_uncertainty`` (e*Angstrom, of a component) and ``novelty``; with ``model.with_force_uncertainty`` as the force function also
    ``forces_uncertainty`` [atoms] (eV/Angstrom, of a component).
    Raises `MoleculeError` for periodic, charged, open-shell or otherwise unsupported atoms.
    """

    implemented_properties = ["energy", "free_energy", "forces", "dipole"]

    def __init__(self, force_function: Callable[[Molecules], Properties]):
        super().__init__()
        self.force_function = force_function

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=tuple(all_changes)) -> None:
        """Fills ``results`` with all the force function knows; ASE calls this when a property is asked for and the atoms have changed."""
        super().calculate(atoms, properties, system_changes)
        found = self.force_function(molecules_of(self.atoms)).require("energy", "forces").detach()
        energy = float(found.energy[0]) / units.EV
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": found.forces.cpu().double().numpy() / units.EV_PER_ANGSTROM,
        }
        if found.dipole is not None:
            self.results["dipole"] = found.dipole[0].cpu().double().numpy() / units.E_ANGSTROM
        if (known := found.uncertainty) is not None:
            self.results |= {
                "energy_uncertainty": float(known.energy[0]) / units.EV,
                "dipole_uncertainty": float(known.dipole[0]) / units.E_ANGSTROM,
                "novelty": float(known.novelty[0]),
            }
            if known.forces is not None:
                self.results["forces_uncertainty"] = known.forces.cpu().double().numpy() / units.EV_PER_ANGSTROM
        if found.dipole is None and "dipole" in properties:
            raise PropertyNotImplementedError("this force function knows no dipole.")


def molecules_of(atoms: Atoms) -> Molecules:
    """One molecule out of ``atoms``, positions in bohr, float64. Raises `MoleculeError` for what no stage can treat."""
    name = atoms.get_chemical_formula() or "these atoms"
    if atoms.pbc.any():
        raise MoleculeError(f"{name}: periodic boundary conditions {atoms.pbc.tolist()} are not supported; set atoms.pbc = False.")
    molecule = Molecules.single(atoms.numbers, torch.as_tensor(atoms.positions, dtype=torch.float64) * units.ANGSTROM)
    check_geometry(molecule.numbers, molecule.positions, name)
    return molecule
