"""The ASE calculator: units, dipoles, and ASE's own integrator as a second opinion on ours."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase import units as ase_units
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces
from ase.io import read, write
from ase.md.verlet import VelocityVerlet

from densnet import units
from densnet.interfaces.ase import DensnetCalculator
from densnet.molecules import MoleculeError, Molecules
from densnet.properties import Properties, Uncertainty
from densnet.simulation.integrators import init, velocity_verlet

REST = torch.tensor([[0.0, 0.0, 0.22], [0.0, 1.43, -0.88], [0.0, -1.43, -0.88]], dtype=torch.float64)


def springs(molecules: Molecules) -> Properties:
    """Three springs of 0.4 hartree/bohr^2 and charges -0.8, 0.4, 0.4."""
    x = molecules.positions.detach().clone().requires_grad_()
    stretch = torch.pdist(x) - torch.pdist(REST)
    energy = 0.2 * stretch.square().sum()
    dipole = (torch.tensor([[-0.8], [0.4], [0.4]], dtype=x.dtype) * x).sum(0)
    return Properties(molecules, energy[None], -torch.autograd.grad(energy, x)[0], dipole[None]).detach()


def water() -> Atoms:
    atoms = Atoms("OH2", positions=REST.numpy() / units.ANGSTROM + np.array([[0.05, 0, 0.02], [0, 0.03, 0], [0, 0, -0.04]]))
    atoms.calc = DensnetCalculator(springs)
    return atoms


def test_energy_forces_and_dipole_are_in_the_units_of_ase():
    atoms = water()
    exact = springs(Molecules.single([8, 1, 1], torch.as_tensor(atoms.positions) * units.ANGSTROM))
    assert atoms.get_potential_energy() == pytest.approx(float(exact.energy) * 27.211386245988, rel=1e-12)
    assert atoms.get_dipole_moment() == pytest.approx(exact.dipole[0].detach().numpy() * 0.529177210903, rel=1e-12)
    assert np.allclose(atoms.get_forces(), calculate_numerical_forces(atoms, eps=1e-4), rtol=0, atol=1e-6)


def test_what_is_not_known_is_not_invented():
    atoms = water()
    atoms.calc = DensnetCalculator(lambda molecules: springs(molecules).replace(dipole=None))
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_dipole_moment()


def test_uncertainty_is_among_the_results_and_survives_a_file(tmp_path):
    def unsure(molecules):
        one = torch.ones(1, dtype=torch.float64)
        known = Uncertainty(units.MEV * one, units.DEBYE * one, 0.5 * one, units.MEV_PER_ANGSTROM * torch.ones(3))
        return springs(molecules).replace(uncertainty=known)

    atoms = water()
    atoms.calc = DensnetCalculator(unsure)
    energy = atoms.get_potential_energy()
    found = atoms.calc.results
    assert found["energy_uncertainty"] == pytest.approx(0.001) and found["novelty"] == 0.5
    assert found["dipole_uncertainty"] == pytest.approx(0.2081943, rel=1e-6)
    assert found["forces_uncertainty"] == pytest.approx([0.001] * 3)
    write(tmp_path / "water.xyz", atoms, format="extxyz")
    assert read(tmp_path / "water.xyz").get_potential_energy() == pytest.approx(energy)


def test_atoms_that_no_model_can_treat_are_refused():
    radical = Atoms("OH", [[0, 0, 0], [0, 0, 1]])
    for atoms, problem in [(radical, "odd number"), (Atoms("Fe"), "not supported"), (Atoms("He2", pbc=True), "periodic")]:
        atoms.calc = DensnetCalculator(springs)
        with pytest.raises(MoleculeError, match=problem):
            atoms.get_potential_energy()


def test_ase_runs_the_same_trajectory_as_we_do():
    atoms = water()
    molecule = Molecules.single([8, 1, 1], torch.as_tensor(atoms.positions) * units.ANGSTROM)
    atoms.set_masses(molecule.masses.numpy() / units.AMU)
    VelocityVerlet(atoms, timestep=0.5 * ase_units.fs).run(100)
    state = init(springs, molecule, torch.zeros(3, 3))
    step = velocity_verlet(springs, state.masses, 0.5 * units.FEMTOSECOND)
    for _ in range(100):
        state = step(state)
    assert (state.molecules.positions - molecule.positions).abs().max() > 0.05
    assert np.allclose(atoms.positions, state.molecules.positions.numpy() / units.ANGSTROM, rtol=0, atol=1e-6)
