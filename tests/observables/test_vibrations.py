"""Normal modes of springs in closed form; relaxation; free energies; GFN2-xTB water against ASE."""

import math

import numpy as np
import pytest
import torch

from densnet import units
from densnet.molecules import MoleculeError, Molecules
from densnet.observables import response, vibrations
from densnet.observables.vibrations import Modes, VibrationError
from densnet.properties import Properties

STRETCH, BEND = 0.9, 0.05  # hartree / bohr^2
CHARGES = {1: 0.3, 6: 0.7, 8: -0.35}


def springs(bonds, charges=True):
    """A force function: bonds (i, j, length, constant) in each molecule and, unless told otherwise, fixed charges that make the dipole."""

    def force_function(molecules: Molecules) -> Properties:
        with torch.enable_grad():
            x = molecules.positions.double()
            x = x if x.requires_grad else x.detach().requires_grad_()
            geometries = x.reshape(molecules.count, -1, 3)
            energy = sum(0.5 * k * ((geometries[:, i] - geometries[:, j]).norm(dim=1) - r) ** 2 for i, j, r, k in bonds)
            forces = -torch.autograd.grad(energy.sum(), x, retain_graph=True)[0]
            table = torch.zeros(20, dtype=torch.float64)
            for number, charge in CHARGES.items():
                table[number] = charge
            dipole = molecules.total(table[molecules.numbers][:, None] * x) if charges else None
        return Properties(molecules, energy, forces, dipole)

    return force_function


HYDROGEN = springs([(0, 1, 1.4, 0.37)])
R = 2.2
LINEAR = Molecules.single([8, 6, 8], torch.tensor([[0.0, 0, -R], [0, 0, 0], [0, 0, R]], dtype=torch.float64))
CARBON_DIOXIDE = springs([(0, 1, R, STRETCH), (1, 2, R, STRETCH)])


def bonded(molecule, pairs=((0, 1, 0.5), (0, 2, 0.5), (1, 2, BEND))):
    """Springs (i, j, length, constant) at rest in this geometry."""
    return [(i, j, float((molecule.positions[i] - molecule.positions[j]).norm()), k) for i, j, k in pairs]


def bent(angle=104.5, length=1.81):
    half = math.radians(angle) / 2
    arm = [length * math.sin(half), length * math.cos(half)]
    return Molecules.single([8, 1, 1], torch.tensor([[0.0, 0, 0], [arm[0], arm[1], 0], [-arm[0], arm[1], 0]], dtype=torch.float64))


def rotated(molecule, seed=3):
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    return molecule.at(molecule.positions @ rotation.T + torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))


def wavenumber(k, mass):
    return math.sqrt(k / mass) / units.INVERSE_CM


def test_diatomic_is_one_mode_in_closed_form():
    molecule = rotated(Molecules.single([1, 1], torch.tensor([[0.0, 0, 0], [0, 0, 1.4]], dtype=torch.float64)))
    modes = vibrations.normal_modes(HYDROGEN, molecule, step=1e-3)
    mass = float(molecule.masses[0])
    assert modes.frequencies.tolist() == pytest.approx([wavenumber(0.37, mass / 2)], rel=1e-6)
    # |dR/dQ|^2 = 2 (1/sqrt(2m))^2 = 1/m
    assert modes.reduced_masses.tolist() == pytest.approx([mass], rel=1e-9)


@pytest.mark.parametrize("molecule", [LINEAR, rotated(LINEAR), rotated(LINEAR, 8)], ids=["z", "turned", "turned otherwise"])
def test_linear_springs_in_closed_form(molecule):
    # stretches of O-C-O: k/m_O and k (1/m_O + 2/m_C); no bending force; 9 - 5 modes
    modes = vibrations.normal_modes(CARBON_DIOXIDE, molecule, step=1e-4)
    oxygen, carbon = float(molecule.masses[0]), float(molecule.masses[1])
    expected = [wavenumber(STRETCH, oxygen), math.sqrt(STRETCH * (1 / oxygen + 2 / carbon)) / units.INVERSE_CM]
    assert len(modes.frequencies) == 4
    assert modes.frequencies[2:].tolist() == pytest.approx(expected, rel=1e-6)
    assert modes.frequencies[:2].abs().max() < 5.0
    # antisymmetric stretch: dR_O/dQ = -a, dR_C/dQ = 2 a m_O/m_C, norm 2 m_O a^2 (1 + 2 m_O/m_C) = 1; the charge flows along it
    a = 1 / math.sqrt(2 * oxygen * (1 + 2 * oxygen / carbon))
    slope = a * (2 * CHARGES[8] - 2 * oxygen / carbon * CHARGES[6])
    assert modes.intensities[3].item() == pytest.approx(slope**2 * 974.880 * units.AMU, rel=1e-6)
    assert modes.intensities[2].item() == pytest.approx(0.0, abs=1e-6)


def test_bent_triatomic_against_the_plain_eigenvalues():
    molecule = bent()
    bonds = bonded(molecule)
    modes = vibrations.normal_modes(springs(bonds), rotated(molecule), step=1e-3)
    b = torch.zeros(3, 9, dtype=torch.float64)  # Wilson's G F with B rows of the three distances
    for row, (i, j, _, _) in enumerate(bonds):
        unit = (molecule.positions[i] - molecule.positions[j]) / (molecule.positions[i] - molecule.positions[j]).norm()
        b[row, 3 * i : 3 * i + 3], b[row, 3 * j : 3 * j + 3] = unit, -unit
    g = b @ torch.diag(1 / molecule.masses.repeat_interleave(3)) @ b.T
    f = torch.diag(torch.tensor([k for *_, k in bonds], dtype=torch.float64))
    expected = torch.linalg.eigvals(g @ f).real.sort().values.sqrt() / units.INVERSE_CM
    assert modes.frequencies.tolist() == pytest.approx(expected.tolist(), rel=1e-6)
    # orthonormal, no translation, no rotation; completeness gives the sum of intensities
    flat = modes.vectors.reshape(3, 9)
    assert flat @ flat.T == pytest.approx(torch.eye(3).numpy(), abs=1e-10)
    masses = modes.molecule.masses[:, None]
    assert (masses * modes.displacements).sum(1).abs().max() < 1e-8
    turning = torch.linalg.cross(modes.molecule.positions.expand(3, -1, -1), masses * modes.displacements).sum(1)
    assert turning.abs().max() < 1e-6


def test_one_atom_has_no_mode_and_a_saddle_has_an_imaginary_one():
    assert len(vibrations.modes(Molecules.single([8], torch.zeros(1, 3).double()), torch.zeros(3, 3).double()).frequencies) == 0
    upside_down = vibrations.modes(LINEAR, -response.slopes(CARBON_DIOXIDE, LINEAR).hessian)
    assert upside_down.frequencies[0] < -1000
    with pytest.raises(VibrationError, match="no minimum"):
        vibrations.free_energy(upside_down, 0.0, 300.0)


def test_dipole_derivatives_by_differences_equal_autograd():
    differences = response.dipole_derivatives(CARBON_DIOXIDE, LINEAR)
    expected = torch.tensor([CHARGES[8], CHARGES[6], CHARGES[8]], dtype=torch.float64)[:, None, None] * torch.eye(3).double()
    assert differences.numpy() == pytest.approx(expected.numpy(), abs=1e-11)
    assert response.dipole_derivatives_autograd(CARBON_DIOXIDE, LINEAR).numpy() == pytest.approx(expected.numpy(), abs=1e-12)


def test_chunks_do_not_matter():
    one, many = (response.slopes(CARBON_DIOXIDE, LINEAR, chunk=chunk) for chunk in (1, 64))
    assert torch.equal(one.hessian, many.hessian) and torch.equal(one.dipole, many.dipole)


def test_what_is_not_known_is_refused():
    mute = springs([(0, 1, R, STRETCH), (1, 2, R, STRETCH)], charges=False)
    with pytest.raises(VibrationError, match="no intensities"):
        _ = vibrations.normal_modes(mute, LINEAR).intensities
    with pytest.raises(MoleculeError, match="no dipole"):
        response.dipole_derivatives(mute, LINEAR)
    with pytest.raises(MoleculeError, match="contains 2"):
        response.slopes(CARBON_DIOXIDE, Molecules.concatenate([LINEAR, LINEAR]))
    crooked = response.slopes(CARBON_DIOXIDE, LINEAR).hessian
    crooked[0, 4] += 0.01
    with pytest.raises(VibrationError, match="not symmetric"):
        vibrations.modes(LINEAR, crooked)


def test_relaxation_reaches_the_minimum():
    target = bent()
    bonds = bonded(target)
    noise = 0.25 * torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    relaxed = vibrations.relax(springs(bonds), target.at(target.positions + noise), tolerance=1e-7)
    assert springs(bonds)(relaxed).forces.abs().max() <= 1e-7
    assert torch.pdist(relaxed.positions).numpy() == pytest.approx(torch.pdist(target.positions).numpy(), abs=1e-5)
    with pytest.raises(VibrationError, match="did not relax in 2 steps"):
        vibrations.relax(springs(bonds), target.at(target.positions + noise), max_steps=2)


def test_free_energy_and_populations():
    modes = vibrations.normal_modes(HYDROGEN, Molecules.single([1, 1], torch.tensor([[0.0, 0, 0], [0, 0, 1.4]], dtype=torch.float64)))
    w, kt = float(modes.eigenvalues.sqrt()), 300.0 * units.KELVIN
    moment = float(modes.molecule.masses[0]) * 1.4**2 / 2
    expected = -1.0 + w / 2 + kt * math.log(1 - math.exp(-w / kt)) - kt * math.log(2 * kt * moment)
    assert vibrations.free_energy(modes, -1.0, 300.0) == pytest.approx(expected, rel=1e-12)
    kcal = units.EV / 23.0605
    # a pair of gauche conformers 0.12 kcal/mol above trans
    assert vibrations.populations([0.0, 0.12 * kcal], 298.15, [1, 2]).tolist() == pytest.approx([0.3797, 0.6203], abs=2e-4)
    with pytest.raises(VibrationError, match="degeneracies"):
        vibrations.populations([0.0, 1.0], 300.0, [1])


def test_free_energy_against_ase():
    from ase import Atoms
    from ase.thermochemistry import IdealGasThermo

    def ours(molecule, eigenvalues):
        return vibrations.free_energy(Modes(molecule, eigenvalues, torch.zeros(3, 3, 3)), -76.0, 300.0)

    def theirs(molecule, eigenvalues):
        energies = (eigenvalues.sqrt() / units.EV).tolist()
        atoms = Atoms(molecule.numbers.numpy(), molecule.positions.numpy() / units.ANGSTROM, masses=molecule.masses.numpy() / units.AMU)
        thermo = IdealGasThermo(
            vib_energies=energies, geometry="nonlinear", potentialenergy=-76.0 / units.EV, atoms=atoms, symmetrynumber=1, spin=0
        )
        return thermo.get_gibbs_energy(300.0, 101325.0, verbose=False) * units.EV

    a, b = bent(), bent(95.0, 2.0)
    first = (torch.tensor([300.0, 1600.0, 3700.0], dtype=torch.float64) * units.INVERSE_CM) ** 2
    second = (torch.tensor([200.0, 1500.0, 3600.0], dtype=torch.float64) * units.INVERSE_CM) ** 2
    assert ours(a, first) - ours(b, second) == pytest.approx(theirs(a, first) - theirs(b, second), rel=1e-5)


def test_xtb_water_against_ase(tmp_path):
    from ase import Atoms
    from ase.vibrations import Infrared
    from tblite.ase import TBLite

    def xtb(molecules: Molecules) -> Properties:
        energies, forces, dipoles = [], [], []
        for molecule in molecules.split():
            atoms = Atoms(molecule.numbers.numpy(), molecule.positions.numpy() / units.ANGSTROM, calculator=calculator)
            energies.append(atoms.get_potential_energy() * units.EV)
            forces.append(atoms.get_forces() * units.EV_PER_ANGSTROM)
            dipoles.append(atoms.get_dipole_moment() * units.E_ANGSTROM)
        energy, force, dipole = (torch.as_tensor(np.array(v)) for v in (energies, forces, dipoles))
        return Properties(molecules, energy, force.reshape(-1, 3), dipole)

    calculator = TBLite(method="GFN2-xTB", accuracy=0.01, verbosity=0)
    relaxed = vibrations.relax(xtb, rotated(bent()), tolerance=1e-6)
    modes = vibrations.normal_modes(xtb, relaxed)
    atoms = Atoms(
        relaxed.numbers.numpy(),
        relaxed.positions.numpy() / units.ANGSTROM,
        masses=relaxed.masses.numpy() / units.AMU,
        calculator=calculator,
    )
    infrared = Infrared(atoms, name=str(tmp_path / "ir"), delta=0.01 / units.ANGSTROM)
    infrared.run()
    theirs = infrared.get_frequencies().real[-3:]
    assert modes.frequencies.tolist() == pytest.approx(theirs.tolist(), abs=0.1)
    # ASE: (D/A)^2/amu
    strengths = infrared.intensities[-3:] * 42.2561
    assert modes.intensities.tolist() == pytest.approx(strengths.tolist(), rel=2e-3, abs=1e-2)
