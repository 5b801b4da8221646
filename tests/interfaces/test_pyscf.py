"""An SCF that starts from a density: exact limits against PySCF's own Fock matrix, and iterations saved."""

import numpy as np
import pytest
import torch
from pyscf import dft, gto

from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.interfaces import pyscf as interface
from densnet.molecules import MoleculeError, Molecules
from densnet.properties import Properties
from densnet.reference.fitting import fit
from densnet.reference.scf import ScfSettings, calculate

POSITIONS = torch.tensor([[0.05, 0.0, -0.12], [0.0, 1.5, 0.9], [0.1, -1.4, 1.0]], dtype=torch.float64)
WATER = Molecules.single([8, 1, 1], POSITIONS)


def mole(**changes) -> gto.Mole:
    atoms = list(zip("OHH", POSITIONS.tolist()))
    return gto.M(**{"atom": atoms, "unit": "Bohr", "basis": "aug-cc-pvdz", "verbose": 0} | changes)


@pytest.fixture(scope="module")
def fitted() -> Density:
    label = calculate(WATER, ScfSettings(radial_points=30, angular_points=194))
    return fit(label.orbitals[0], DensityBasis.built_in("large", [1, 8]))


def scf(guess: np.ndarray) -> tuple[int, float, float]:
    """Iterations, energy after the first, energy."""
    field = dft.RKS(mole(), xc="PBE").density_fit(auxbasis="def2-universal-jfit")
    field.grids.level, field.conv_tol = 1, 1e-9
    energies = []
    field.callback = lambda state: energies.append(state["e_tot"])
    field.kernel(dm0=guess)
    assert field.converged
    return len(energies), energies[0], field.e_tot


def test_the_density_as_pyscf_sees_it_is_the_density(fitted):
    widened = Density(
        WATER, fitted.basis, fitted.coefficients, fitted.exponents * torch.linspace(0.9, 1.1, 3, dtype=torch.float64)[:, None]
    )
    functions, contents = interface._functions(widened)
    points = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2
    values = functions.eval_gto("GTOval_sph", points.numpy()) @ contents
    np.testing.assert_allclose(values, widened.total(points).numpy(), rtol=0, atol=1e-11)


def test_coulomb_matrix_against_the_potential_of_the_density(fitted):
    grid = dft.Grids(mole())
    grid.level = 3
    grid.build()
    potential = mole().eval_gto("GTOval_sph", grid.coords)
    electrons = fitted.potential(torch.from_numpy(grid.coords)) - (8 / (torch.from_numpy(grid.coords) - POSITIONS[0]).norm(dim=1))
    electrons -= sum(1 / (torch.from_numpy(grid.coords) - x).norm(dim=1) for x in POSITIONS[1:])
    numerical = potential.T @ ((grid.weights * -electrons.numpy())[:, None] * potential)
    exact = interface._coulomb(mole(), *interface._functions(fitted))
    np.testing.assert_allclose(exact, numerical, rtol=0, atol=2e-4)


def test_exchange_matrix_against_pyscf_for_the_same_density():
    helium = gto.M(atom="He 0 0 0", basis={"He": [[0, [1.3, 1.0]]]}, unit="Bohr", verbose=0)
    grid = dft.Grids(helium)
    grid.level = interface.GRID_LEVEL
    grid.build()
    _, _, exact = dft.numint.NumInt().nr_rks(helium, grid, "PBE", np.array([[2.0]]))
    squared = gto.M(atom="He 0 0 0", basis={"He": [[0, [2.6, 1.0]]]}, unit="Bohr", verbose=0)
    norm = 2 * helium.eval_gto("GTOval", np.zeros((1, 3))) ** 2 / squared.eval_gto("GTOval", np.zeros((1, 3)))
    np.testing.assert_allclose(interface._exchange(helium, squared, norm[0]), exact, rtol=1e-10)


def test_a_good_density_saves_iterations(fitted):
    guess = interface.from_density(mole(), fitted)
    assert np.einsum("ij,ji", guess, mole().intor("int1e_ovlp")) == pytest.approx(10, abs=1e-10)
    ours, start, energy = scf(guess)
    theirs, other_start, same = scf(dft.RKS(mole()).get_init_guess(key="minao"))
    assert energy == pytest.approx(same, abs=1e-8)
    assert 0 <= start - energy < 1e-6 < 1e-2 < other_start - same
    assert ours <= theirs - 3, (ours, theirs)


def test_predictor_gives_the_same_guess_as_its_density(fitted):
    asked = []

    def predictor(molecules: Molecules) -> Properties:
        asked.append(molecules)
        return Properties(molecules, density=fitted)

    assert np.array_equal(interface.initial_guess(mole(), predictor), interface.from_density(mole(), fitted))
    torch.testing.assert_close(asked[0].positions, POSITIONS, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"charge": 1, "spin": 1}, "charge 1"),
        ({"atom": "ghost-O 0 0 0; H 0 0 0.7; H 0 0 1.5", "unit": "Angstrom", "basis": "sto-3g"}, "ghost"),
        ({"atom": "Si 0 0 0", "basis": "sto-3g"}, "Si is not supported"),
    ],
)
def test_what_no_model_can_treat_is_refused(changes, told):
    with pytest.raises(MoleculeError, match=told):
        interface.molecule_of(mole(**changes))
