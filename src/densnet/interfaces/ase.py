"""ASE: any force function as a calculator (energies in eV, forces in eV/Angstrom, dipoles in e*Angstrom)."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes

from densnet import units
from densnet.frames import neutral
from densnet.frames.xyz import with_masses
from densnet.model.compiled import Compiled
from densnet.model.predictor import ALL_PAIRS_UP_TO, Predictor, load
from densnet.molecules import CLOSEST, MoleculeError, Molecules, check_geometry
from densnet.observables.response import ForceFunction
from densnet.properties import Properties
from densnet.threads import one_thread


class DensnetCalculator(Calculator):
    """Energy, forces, dipole and polarizability of an `ase.Atoms` from ``force_function``: ``Molecules`` -> ``Properties``, atomic units.

    ``atoms.calc = DensnetCalculator("ethanol")`` (the name of a shipped model, a model file, or any force function), then
    ``atoms.get_potential_energy()``, ``atoms.get_forces()``, ``atoms.get_dipole_moment()``. Where the model knows of its errors
    ``atoms.calc.results`` has ``energy_uncertainty`` (eV), ``dipole_uncertainty`` (e*Angstrom, of a component) and ``novelty``; with
    ``model.with_force_uncertainty`` as the force function also ``forces_uncertainty`` [atoms] (eV/Angstrom, of a component).
    ``atoms.calc.get_property("polarizability", atoms)`` is [3, 3] in e Angstrom^2 / V (14.3996 times smaller than in Angstrom^3), worked
    out when it is asked for, if the model predicts it; see `StaticPolarizability` for ASE's Raman spectra.

    ``compiled`` (of a model): None uses machine code of this molecule where it was made before, True makes it if it is missing (a minute,
    once for each molecule; needs a C++ compiler), False does without.

    Raises `MoleculeError` for periodic, charged, open-shell or otherwise unsupported atoms; see `molecules_of`.
    """

    implemented_properties = ["energy", "free_energy", "forces", "dipole", "polarizability"]

    def __init__(self, force_function: ForceFunction | str | Path, *, compiled: bool | None = None):
        super().__init__()
        given = load(force_function) if isinstance(force_function, str | Path) else force_function
        if not callable(given):
            raise TypeError(f"a force function or the name of a model is needed, not {given!r}.")
        self.force_function, self._respond, self._read = given, None, _Reader()
        if isinstance(given, Predictor):
            self.force_function = _OneMolecule(given, compiled)
            self._respond = None if given.response_network is None else given.respond
        elif compiled:
            raise TypeError(f"a model can be compiled, but not {given!r}; compile its energy (densnet.model.compiled) and give the result.")

    def calculate(self, atoms: Atoms | None = None, properties=("energy",), system_changes=tuple(all_changes)) -> None:
        """Fills ``results`` with all the force function knows; ASE calls this when a property is asked for and the atoms have changed."""
        if atoms is not None:
            self.atoms = atoms.copy()
        molecule = self._read(self.atoms)
        if abs(self.atoms.positions[0]).max() > FAR:
            molecule = molecule.at(molecule.positions - molecule.positions.mean(0))
        if system_changes or not self.results:
            self.results = _results(self.force_function(molecule).require("energy", "forces"))
        if "polarizability" in properties and "polarizability" not in self.results and self._respond is not None:
            with torch.no_grad():
                self.results["polarizability"] = _array(self._respond(molecule).polarizability[0], units.POLARIZABILITY)
        for name in ("dipole", "polarizability"):
            if name in properties and name not in self.results:
                raise PropertyNotImplementedError(f"this force function gives no {name}.")

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation; positions, which do at every step, are looked at first."""
        seen = self.atoms
        if seen is not None and len(seen) == len(atoms) and not np.array_equal(seen.positions, atoms.positions):
            return ["positions"]
        return super().check_state(atoms, tol)

    def get_stress(self, atoms: Atoms | None = None) -> np.ndarray:
        """Raises `PropertyNotImplementedError`."""
        raise PropertyNotImplementedError(
            "densnet treats single molecules in empty space, which have no stress; leave out cell filters and barostats."
        )


def calculator(model: str | Path, *, compiled: bool | None = None) -> DensnetCalculator:
    """The `DensnetCalculator` of a shipped model, by its name, or of a model file: ``atoms.calc = densnet.calculator("ethanol")``.

    ``compiled`` as there: None uses machine code of the molecule where it was made before, True makes it if it is missing.
    """
    return DensnetCalculator(model, compiled=compiled)


class StaticPolarizability:
    """The polarizability of a model as ASE's `ase.vibrations.raman.StaticRamanCalculator` asks for it.

        StaticRamanCalculator(atoms, StaticPolarizability, exkwargs={"model": "my.safetensors"}, name="raman").run()

    ``model`` is a name, a file, or a `DensnetCalculator`, which is then shared by all displacements.
    """

    def __init__(self, model: str | Path | DensnetCalculator):
        self.calculator = model if isinstance(model, DensnetCalculator) else DensnetCalculator(model)

    def __call__(self, atoms: Atoms) -> np.ndarray:
        """[3, 3] in e^2 Angstrom^2 / eV, ASE's unit."""
        return self.calculator.get_property("polarizability", atoms)


class _OneMolecule:
    """A model as the force function of one molecule after another: its machine code where there is some, small molecules on one thread.

    Operations on a small molecule are too short to be shared among threads, which would mostly wait for each other.
    """

    def __init__(self, model: Predictor, compiled: bool | None):
        self.model, self.compiled = model, compiled
        self.made: dict[tuple[int, ...], ForceFunction] = {}
        self.numbers: torch.Tensor | None = None
        self.function: ForceFunction = model

    def __call__(self, molecule: Molecules) -> Properties:
        with one_thread() if len(molecule.numbers) <= ALL_PAIRS_UP_TO else nullcontext():
            if molecule.numbers is not self.numbers:
                self.function, self.numbers = self._function(molecule), molecule.numbers
            return self.function(molecule)

    def _function(self, molecule: Molecules) -> ForceFunction:
        key = tuple(molecule.numbers.tolist())
        if key not in self.made:
            found = Compiled(self.model, molecule) if self.compiled else None
            if self.compiled is None:
                found = Compiled.made_before(self.model, molecule)
            self.made[key] = found or self.model
        return self.made[key]


def _results(found: Properties) -> dict[str, float | np.ndarray]:
    """What is known of one molecule, by ASE's names and in its units."""
    energy = found.energy.item() / units.EV
    forces = _array(found.forces, units.EV_PER_ANGSTROM)
    results: dict[str, float | np.ndarray] = {"energy": energy, "free_energy": energy, "forces": forces}
    if found.dipole is not None:
        results["dipole"] = _array(found.dipole[0], units.E_ANGSTROM)
    if found.polarizability is not None:
        results["polarizability"] = _array(found.polarizability[0], units.POLARIZABILITY)
    if (known := found.uncertainty) is not None:
        results |= {
            "energy_uncertainty": known.energy.item() / units.EV,
            "dipole_uncertainty": known.dipole.item() / units.E_ANGSTROM,
            "novelty": known.novelty.item(),
        }
        if known.forces is not None:
            results["forces_uncertainty"] = _array(known.forces, units.EV_PER_ANGSTROM)
    return results


def _array(values: torch.Tensor, unit: float) -> np.ndarray:
    return np.divide(values.numpy(force=True), unit, dtype=np.float64)


FAR = 100.0
"""Angstrom from the origin, where networks in float32 round the dipole of a molecule by more than it matters; a neutral molecule has the
same properties at the origin."""


def molecules_of(atoms: Atoms) -> Molecules:
    """One molecule out of ``atoms``, positions in bohr, float64, with the isotopes that their masses mean.

    Charge and spin are read from ``atoms.info`` (charge, total_charge, spin, multiplicity, ...), initial charges and magnetic moments.
    Raises `MoleculeError` for what no stage can treat.
    """
    molecule = _Reader()(atoms)
    return with_masses(molecule, atoms.get_masses().tolist(), str(atoms.symbols)) if atoms.has("masses") else molecule


class _Reader:
    """As `molecules_of`, whatever the masses, on which energies and forces do not depend.

    As long as the elements stay, all but the positions is the molecule of before, so that nothing else is made again from it; what says
    nothing of charges and is the very same object as before is not looked at again.
    """

    def __init__(self) -> None:
        self.like: Molecules | None = None
        self.about: dict = {}
        self.name, self.numbers = "these atoms", np.zeros(0)

    def __call__(self, atoms: Atoms) -> Molecules:
        positions = torch.from_numpy(atoms.positions * units.ANGSTROM)
        if self.like is None or not np.array_equal(atoms.numbers, self.numbers):
            self.like, self.name, self.about = None, atoms.get_chemical_formula() or "these atoms", {}
        if atoms.pbc.any():
            raise MoleculeError(f"{self.name}: periodic boundary conditions {atoms.pbc.tolist()} are not supported; set atoms.pbc = False.")
        columns = {key: values for key, values in atoms.arrays.items() if key not in ("numbers", "positions", "masses")}
        if columns or not _same(atoms.info, self.about):
            neutral.check({key: value for key, value in atoms.info.items() if isinstance(key, str)}, columns, self.name)
            self.about = dict(atoms.info)
        if self.like is None:
            molecule = Molecules.single(atoms.numbers, positions)
            check_geometry(molecule.numbers, positions, self.name)
            self.like, self.numbers = molecule, atoms.numbers.copy()
        elif len(positions) > 1 and not torch.pdist(positions).min() > CLOSEST:  # also where one of them is no number
            check_geometry(self.like.numbers, positions, self.name)
        return self.like.at(positions)


def _same(one: dict, other: dict) -> bool:
    """Whether they hold the very same objects."""
    return one.keys() == other.keys() and all(one[key] is other[key] for key in one)
