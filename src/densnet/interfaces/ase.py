"""ASE: any force function as a calculator (energies in eV, forces in eV/Angstrom, dipoles in e*Angstrom)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from densnet import units
from densnet.frames import neutral
from densnet.frames.xyz import with_masses
from densnet.model.predictor import load
from densnet.molecules import MoleculeError, Molecules, check_geometry
from densnet.properties import Properties


class DensnetCalculator(Calculator):
    """Energy, forces and dipole of an `ase.Atoms` from ``force_function``: ``Molecules`` -> ``Properties``, in atomic units.

    ``atoms.calc = DensnetCalculator("ethanol")`` (the name of a shipped model, a model file, or any force function), then
    ``atoms.get_potential_energy()``, ``atoms.get_forces()``, ``atoms.get_dipole_moment()``. Where the model knows of its errors
    ``atoms.calc.results`` has ``energy_uncertainty`` (eV), ``dipole_uncertainty`` (e*Angstrom, of a component) and ``novelty``; with
    ``model.with_force_uncertainty`` as the force function also ``forces_uncertainty`` [atoms] (eV/Angstrom, of a component).
    ``model.with_response`` adds ``polarizability`` [3, 3] in e Angstrom^2 / V (14.3996 times smaller than in Angstrom^3).
    Raises `MoleculeError` for periodic, charged, open-shell or otherwise unsupported atoms; see `molecules_of`.
    """

    implemented_properties = ["energy", "free_energy", "forces", "dipole"]

    def __init__(self, force_function: Callable[[Molecules], Properties] | str | Path):
        super().__init__()
        self.force_function = load(force_function) if isinstance(force_function, str | Path) else force_function
        if not callable(self.force_function):
            raise TypeError(f"a force function or the name of a model is needed, not {force_function!r}.")

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=tuple(all_changes)) -> None:
        """Fills ``results`` with all the force function knows; ASE calls this when a property is asked for and the atoms have changed."""
        super().calculate(atoms, properties, system_changes)
        found = self.force_function(_near_origin(_geometry(self.atoms))).require("energy", "forces").detach()
        energy = float(found.energy[0]) / units.EV
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": found.forces.cpu().double().numpy() / units.EV_PER_ANGSTROM,
        }
        if found.dipole is not None:
            self.results["dipole"] = found.dipole[0].cpu().double().numpy() / units.E_ANGSTROM
        if found.polarizability is not None:
            self.results["polarizability"] = found.polarizability[0].cpu().double().numpy() / units.POLARIZABILITY
        if (known := found.uncertainty) is not None:
            self.results |= {
                "energy_uncertainty": float(known.energy[0]) / units.EV,
                "dipole_uncertainty": float(known.dipole[0]) / units.E_ANGSTROM,
                "novelty": float(known.novelty[0]),
            }
            if known.forces is not None:
                self.results["forces_uncertainty"] = known.forces.cpu().double().numpy() / units.EV_PER_ANGSTROM
        if found.dipole is None and "dipole" in properties:
            raise PropertyNotImplementedError("this force function gives no dipole.")


FAR = 100 * units.ANGSTROM
"""From the origin, where networks in float32 round the dipole of a molecule by more than it matters."""


def _near_origin(molecule: Molecules) -> Molecules:
    """``molecule`` itself, or moved to the origin from `FAR` away: a neutral molecule has the same properties there."""
    centre = molecule.positions.mean(0)
    return molecule if centre.norm() < FAR else molecule.at(molecule.positions - centre)


def molecules_of(atoms: Atoms) -> Molecules:
    """One molecule out of ``atoms``, positions in bohr, float64, with the isotopes that their masses mean.

    Charge and spin are read from ``atoms.info`` (charge, total_charge, spin, multiplicity, ...), initial charges and magnetic moments.
    Raises `MoleculeError` for what no stage can treat.
    """
    molecule = _geometry(atoms)
    return with_masses(molecule, atoms.get_masses().tolist(), str(atoms.symbols)) if atoms.has("masses") else molecule


def _geometry(atoms: Atoms) -> Molecules:
    """As `molecules_of`, whatever the masses, on which energies and forces do not depend."""
    name = atoms.get_chemical_formula() or "these atoms"
    if atoms.pbc.any():
        raise MoleculeError(f"{name}: periodic boundary conditions {atoms.pbc.tolist()} are not supported; set atoms.pbc = False.")
    molecule = Molecules.single(atoms.numbers, torch.as_tensor(atoms.positions, dtype=torch.float64) * units.ANGSTROM)
    about = {key: value for key, value in atoms.info.items() if isinstance(key, str)}
    named = ("species", "numbers", "positions", "masses")
    neutral.check(about, {key: values for key, values in atoms.arrays.items() if key not in named}, name)
    check_geometry(molecule.numbers, molecule.positions, name)
    return molecule
