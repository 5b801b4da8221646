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
from ase.vibrations import Infrared
from ase.vibrations.placzek import PlaczekStatic
from ase.vibrations.raman import StaticRamanCalculator

from densnet import units
from densnet.errors import DensnetError
from densnet.interfaces.ase import DensnetCalculator, StaticPolarizability, calculator, molecules_of
from densnet.model import predictor
from densnet.model.predictor import load
from densnet.molecules import MoleculeError, Molecules, all_pairs, isotopologue
from densnet.observables.response import polarizability_derivatives
from densnet.observables.vibrations import normal_modes, relax
from densnet.properties import Properties, Uncertainty
from densnet.reference import shipped
from densnet.simulation.integrators import init, velocity_verlet
from densnet.spectra import raman
from tests.model.random_model import answering

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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda atoms: atoms.info.update(charge=2), "charge is 2"),
        (lambda atoms: atoms.info.update(total_charge=np.int64(-2)), "total_charge is -2"),
        (lambda atoms: atoms.info.update(spin=3), "spin is 3"),
        (lambda atoms: atoms.info.update(multiplicity="triplet"), "multiplicity is 'triplet'"),
        (lambda atoms: atoms.set_initial_charges([2, 0, 0]), "initial_charges of the atoms add up to 2"),
        (lambda atoms: atoms.set_initial_magnetic_moments([2, 0, 0]), "initial_magmoms of the atoms are not zero"),
    ],
)
def test_ions_and_open_shells_are_refused(change, told):
    atoms = water()
    atoms.info.update({"charge": True, "spin": 1, 5: "a key that is no text"})
    atoms.set_initial_charges([-0.8, 0.4, 0.4])
    assert np.isfinite(atoms.get_potential_energy())
    atoms = water()
    change(atoms)
    with pytest.raises(MoleculeError, match=told):
        atoms.get_potential_energy()


def test_no_atoms_are_no_molecule():
    with pytest.raises(MoleculeError, match="there are no atoms"):
        molecules_of(Atoms())


def test_masses_mean_isotopes():
    atoms = water()
    atoms.set_masses([15.999, 2.014, 2.014])
    assert isotopologue(molecules_of(atoms)) == "D2O" and molecules_of(water()).isotopes is None
    atoms.set_masses([1e6, 1.008, 1.008])  # an atom that is to stay where it is; forces do not depend on it
    assert np.isfinite(atoms.get_potential_energy())


def test_a_model_by_its_name():
    atoms = water()
    atoms.calc = calculator("water")
    assert atoms.get_potential_energy() == pytest.approx(-2077, abs=5)
    here = atoms.get_dipole_moment()
    atoms.positions += [1e4, -3e3, 200.0]
    assert atoms.get_dipole_moment() == pytest.approx(here, abs=1e-6)
    with pytest.raises(DensnetError, match="watr is neither a file nor the name of a shipped model"):
        DensnetCalculator("watr")
    with pytest.raises(TypeError, match="a force function or the name of a model is needed, not None"):
        DensnetCalculator(None)
    with pytest.raises(TypeError, match="a model can be compiled"):
        DensnetCalculator(springs, compiled=True)


def test_nothing_is_made_again_while_only_the_positions_change(monkeypatch):
    made = []
    monkeypatch.setattr(predictor, "all_pairs", lambda molecules: made.append(molecules) or all_pairs(molecules))
    atoms = water()
    atoms.calc = DensnetCalculator("water", compiled=False)
    for k in range(4):
        atoms.positions[1, 1] += 0.01
        atoms.info["step"] = k
        moved = atoms.get_forces()
        fresh = load("water")(molecules_of(atoms)).forces.numpy() / units.EV_PER_ANGSTROM
        assert moved == pytest.approx(fresh, abs=2e-5) and atoms.get_dipole_moment().shape == (3,)
    assert len(made) == 1 + 4  # the last four are those of the models loaded here
    atoms.info["charge"] = 1
    atoms.positions[1, 1] += 0.01
    with pytest.raises(MoleculeError, match="charge is 1"):
        atoms.get_forces()
    with pytest.raises(MoleculeError, match="charge is 1"):  # and not the forces of before
        atoms.get_forces()
    del atoms.info["charge"]
    atoms.positions[2] = atoms.positions[1] + 0.1
    with pytest.raises(MoleculeError, match="only 0.173 Angstrom apart"):
        atoms.get_forces()
    ethanol = read(shipped.geometries("ethanol"), index=0)
    atoms = Atoms("H2O", water().positions[[1, 2, 0]], calculator=atoms.calc)
    assert atoms.get_forces() == pytest.approx(moved_to(atoms), abs=2e-5)
    with pytest.raises(DensnetError, match="does not know element C"):
        atoms.calc.get_forces(ethanol)


def moved_to(atoms: Atoms) -> np.ndarray:
    return load("water")(molecules_of(atoms)).forces.numpy() / units.EV_PER_ANGSTROM


def test_stress_is_refused_in_a_sentence():
    atoms = water()
    with pytest.raises(PropertyNotImplementedError, match="single molecules in empty space, which have no stress"):
        atoms.get_stress()
    assert np.isfinite(atoms.get_potential_energy())


def test_a_small_molecule_is_worked_on_by_one_thread():
    told, before = [], torch.get_num_threads()
    atoms = water()
    atoms.calc = DensnetCalculator("water", compiled=False)
    model = atoms.calc.force_function.model
    atoms.calc.force_function.function = atoms.calc.force_function.model = lambda m: told.append(torch.get_num_threads()) or model(m)
    atoms.calc.force_function.compiled = False
    with_threads = max(2, before)
    torch.set_num_threads(with_threads)
    try:
        atoms.get_forces()
        assert told == [1] and torch.get_num_threads() == with_threads
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def relaxed():
    """Water at the minimum of a model with a (random) polarizability, and the model, in float64."""
    model = answering(load("water").double())
    return model, relax(model, molecules_of(water()), tolerance=1e-7)


def prepared(model, molecule: Molecules) -> Atoms:
    atoms = Atoms("OH2", molecule.positions.numpy() / units.ANGSTROM, masses=molecule.masses.numpy() / units.AMU)
    atoms.calc = DensnetCalculator(model)
    return atoms


def test_infrared_of_ase_is_ours(relaxed, tmp_path):
    """With the same displacement to rounding, and with another one to the accuracy of differences."""
    model, molecule = relaxed
    infrared = Infrared(prepared(model, molecule), name=str(tmp_path / "ir"), delta=0.01)
    infrared.run()
    for step, waves, strengths in ((0.01 * units.ANGSTROM, 0.01, 3e-4), (0.01, 1.0, 1e-3)):
        ours = normal_modes(model, molecule, step=step)
        assert infrared.get_frequencies().real[6:] == pytest.approx(ours.frequencies.numpy(), abs=waves)
        assert infrared.intensities[6:] * 42.2561 == pytest.approx(ours.intensities.numpy(), rel=strengths)


def test_raman_of_ase_is_ours(relaxed, tmp_path):
    model, molecule = relaxed
    atoms, step = prepared(model, molecule), 0.01 * units.ANGSTROM
    StaticRamanCalculator(atoms, StaticPolarizability, exkwargs={"model": atoms.calc}, name=str(tmp_path / "raman")).run()
    found = PlaczekStatic(atoms, name=str(tmp_path / "raman"))
    ours = raman.from_modes(normal_modes(model, molecule, step=step), polarizability_derivatives(model.respond, molecule, step=step))
    assert found.get_energies().real[6:] / ase_units.invcm == pytest.approx(ours.frequencies.numpy(), abs=0.01)
    assert found.get_absolute_intensities()[6:] == pytest.approx(ours.activities.numpy(), rel=1e-3)


def test_polarizability_is_worked_out_when_it_is_asked_for(relaxed, monkeypatch):
    model, molecule = relaxed
    asked, respond = [], model.respond
    monkeypatch.setattr(model, "respond", lambda molecules: asked.append(molecules) or respond(molecules))
    atoms = prepared(model, molecule)
    energy = atoms.get_potential_energy()
    assert not asked
    alpha = atoms.calc.get_property("polarizability", atoms)
    assert len(asked) == 1 and atoms.get_potential_energy() == energy
    assert alpha == pytest.approx(model.with_response(molecule).polarizability[0].numpy() * 0.529177210903**3 / 14.39964548, rel=1e-7)
    bare = load("water")
    bare.response_network = None
    with pytest.raises(PropertyNotImplementedError, match="gives no polarizability"):
        DensnetCalculator(bare).get_property("polarizability", atoms)


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
