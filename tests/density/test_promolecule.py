import numpy as np
import pytest
import torch
from pyscf import dft, gto

from densnet.density import gaussians
from densnet.density.basis import BasisError
from densnet.density.promolecule import shipped
from densnet.molecules import SYMBOLS, Molecules
from densnet.reference.atoms import atomic_density, radial_grid


def on_radii(symbol, radii):
    """The table's atom at distances ``radii``."""
    molecule = Molecules.single([SYMBOLS.index(symbol)], torch.zeros(1, 3, dtype=torch.float64))
    points = torch.zeros(len(radii), 3, dtype=torch.float64)
    points[:, 0] = torch.as_tensor(radii)
    return shipped().values(molecule, points).numpy()


@pytest.mark.parametrize("symbol", ["H", "C", "O"])
def test_an_atom_is_the_spherical_pbe_atom(symbol):
    radii, volumes = radial_grid()
    assert volumes @ np.abs(on_radii(symbol, radii) - atomic_density(symbol, radii)) < 1e-3


@pytest.mark.parametrize("symbol", SYMBOLS[1:18])
def test_an_atom_is_neutral_and_nowhere_negative(symbol):
    radii, volumes = radial_grid()
    density = on_radii(symbol, radii)
    assert density.min() >= 0
    assert abs(volumes @ density - SYMBOLS.index(symbol)) < 1e-8
    numbers = torch.tensor([SYMBOLS.index(symbol)])
    exponents, coefficients = shipped().as_gaussians(numbers)
    assert abs((gaussians.charges(shipped().basis, exponents) * coefficients).sum() - numbers) < 1e-12


def test_free_atoms_come_within_twelve_percent_of_water():
    mol = gto.M(atom="O 0 0 0.1173; H 0 0.7572 -0.4692; H 0 -0.7572 -0.4692", basis="aug-cc-pvdz", verbose=0)
    scf = dft.RKS(mol, xc="pbe").density_fit()
    scf.grids.level = 1
    scf.kernel()
    coords, weights = torch.as_tensor(scf.grids.coords), torch.as_tensor(scf.grids.weights)
    exact = torch.as_tensor(scf._numint.get_rho(mol, scf.make_rdm1(), scf.grids))
    molecule = Molecules.single([8, 1, 1], mol.atom_coords())
    error = (weights * (shipped().values(molecule, coords) - exact).abs()).sum() / 10
    assert 0.11 < error < 0.12
    assert shipped().electrons(molecule).item() == 10


def test_potential_screens_the_nucleus():
    molecule = Molecules.single([17], torch.zeros(1, 3, dtype=torch.float64))
    distances = torch.tensor([1e-3, 1.0, 30.0], dtype=torch.float64)
    points = torch.stack([distances, torch.zeros(3), torch.zeros(3)], dim=1)
    potential = shipped().potential(molecule, points)
    assert (potential < 0).all() and (potential.diff() > 0).all()
    assert abs(potential[2] + 17 / 30) < 1e-12
    radii, volumes = radial_grid()
    assert abs(potential[0] + volumes @ (on_radii("Cl", radii) / np.maximum(radii, 1e-3))) < 1e-4


def test_values_are_per_molecule_differentiable_and_at_any_precision():
    water = torch.tensor([[0.0, 0.0, 0.2], [0.0, 1.4, -0.9], [0.0, -1.4, -0.9]], dtype=torch.float64)
    molecules = Molecules.concatenate([Molecules.single([8, 1, 1], water), Molecules.single([6], torch.ones(1, 3, dtype=torch.float64))])
    points = torch.randn(2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = shipped().values(molecules, points)
    for value, molecule, own in zip(both, molecules.split(), points):
        torch.testing.assert_close(value, shipped().values(molecule, own))
    torch.testing.assert_close(shipped().values(molecules.to(dtype=torch.float32), points.float()), both.float(), rtol=1e-4, atol=1e-5)
    positions = water.clone().requires_grad_()
    moved = Molecules.single([8, 1, 1], positions)
    assert torch.autograd.gradcheck(lambda x: shipped().values(moved.at(x), points[0]), positions)


def test_unknown_elements_are_refused():
    with pytest.raises(BasisError, match="Ar"):
        shipped().as_gaussians(torch.tensor([18]))
