"""What the benchmarks build for themselves: whole densities for direct learning, geometries of chains."""

import pytest
import torch
from chains import alkane, thiophenes
from pyscf import dft, gto

from benchmarks.whole_density import WholeDensity, whole
from densnet import units
from densnet.dataset.dataset import formula
from densnet.dataset.points import density_error
from densnet.density.basis import DensityBasis
from densnet.density.orbitals import Orbitals
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.reference.electrostatics import potential, quadrupole
from densnet.reference.fitting import fit, metric
from densnet.training.examples import Example

pytestmark = pytest.mark.usefixtures("double_precision")
WATER = Molecules.single([8, 1, 1], [[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]])


def test_a_whole_density_says_of_the_molecule_what_the_label_says():
    atoms = [("OHH"[k], x) for k, x in enumerate(WATER.positions.tolist())]
    field = dft.RKS(gto.M(atom=atoms, unit="Bohr", basis="aug-cc-pvdz", verbose=0), xc="pbe").density_fit().run()
    orbitals = Orbitals(WATER, torch.as_tensor(field.mo_coeff[:, field.mo_occ > 0]))
    basis = DensityBasis.built_in("default", ["H", "O"])
    example = Example(Properties(WATER, density=fit(orbitals, basis)), metric(WATER, basis), None)
    density = WholeDensity(**vars(whole(example).properties.density))
    assert float(density.electrons()) == pytest.approx(10)
    assert torch.allclose(density.dipole()[0], torch.as_tensor(field.dip_moment(unit="AU", verbose=0)), atol=1e-8)
    assert torch.allclose(density.quadrupole(), quadrupole(orbitals), atol=0.03)
    far = WATER.positions + torch.tensor([6.0, 3.0, -5.0])
    assert torch.allclose(density.potential(far), potential(orbitals, far), atol=2e-4)
    assert density_error(density, orbitals).percent == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(("molecule", "name"), [(thiophenes(12), "H26C48S12"), (alkane(1), "H4C"), (alkane(30), "H62C30")])
def test_chains_are_molecules(molecule, name):
    distance = torch.cdist(molecule.positions, molecule.positions) + 99 * torch.eye(len(molecule.numbers))
    assert formula(molecule.numbers) == name
    assert 1.07 * units.ANGSTROM < distance.min() and distance.amin(1).max() < 1.72 * units.ANGSTROM
