"""The terms of a label one by one: each gradient is the slope of its energy, what is left out does not matter, PySCF agrees."""

import itertools

import numpy as np
import pytest
import torch
from pyscf import dft, gto, scf
from pyscf.df.grad.rhf import Gradients
from pyscf.grad.rks import grids_response_cc

from densnet.molecules import SYMBOLS, MoleculeError
from densnet.observables.coordinates import torsion
from densnet.reference import becke, coulomb, exchange
from densnet.reference.densitymatrix import DensityMatrix
from densnet.reference.dispersion import d4
from densnet.reference.exact_exchange import ExactExchange
from densnet.reference.oligomers import TWIST, anti_thiophenes, random_thiophenes, thiophenes
from densnet.reference.selfconsistent import Field, converge
from densnet.units import ANGSTROM, MEV_PER_ANGSTROM

POSITIONS = np.array([[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]])
AUXILIARY = "def2-universal-jfit"


def water(positions=POSITIONS, basis="aug-cc-pvdz"):
    return gto.M(atom=list(zip("OHH", positions)), unit="Bohr", basis=basis, verbose=0)


@pytest.fixture(scope="module")
def mol():
    return water()


@pytest.fixture(scope="module")
def density(mol):
    return DensityMatrix.of_pairs(scf.RHF(mol).run().mo_coeff[:, :5])


def term(name, positions):
    """One term of the energy for a fixed density matrix: what its gradient is the slope of."""
    mol = water(positions)
    if name == "coulomb":
        return coulomb.Coulomb(mol, AUXILIARY, 500)
    if name == "exact":
        return ExactExchange(mol, "def2-universal-jkfit", "wB97X")
    return exchange.ExchangeCorrelation(mol, becke.Grid.around(mol, 20, 50), name, 500, 0.0)


@pytest.mark.parametrize("name", ["coulomb", "exact", "PBE", "r2SCAN"])
def test_a_gradient_is_the_slope_of_its_energy(density, name):
    direction, step = np.array([[0.3, -0.5, 0.2], [0.1, 0.8, -0.4], [-0.6, 0.2, 0.5]]), 1e-3
    up, down = (term(name, POSITIONS + sign * step * direction).potential(density)[0] for sign in (1, -1))
    gradient = term(name, POSITIONS).gradient(density)
    assert (gradient * direction).sum() == pytest.approx((up - down) / (2 * step), abs=2e-6)
    assert abs(gradient.sum(0)).max() < 1e-9, "nothing changes when the molecule moves as a whole"


@pytest.mark.parametrize("name", ["coulomb", "exact", "PBE", "r2SCAN"])
def test_a_potential_is_the_slope_of_its_energy(density, name):
    functional, step = term(name, POSITIONS), 1e-4
    change = np.random.default_rng(1).normal(size=density.matrix.shape)
    change = (change + change.T) / 20
    up, down = (functional.potential(DensityMatrix.of_matrix(density.matrix + sign * step * change))[0] for sign in (1, -1))
    energy, potential = functional.potential(density)
    assert (potential * change).sum() == pytest.approx((up - down) / (2 * step), abs=1e-6 * abs(energy))


def test_coulomb_is_pyscf(mol, density):
    field = scf.RHF(mol).density_fit(auxbasis=AUXILIARY)
    ours = coulomb.Coulomb(mol, AUXILIARY, 500)
    energy, potential = ours.potential(density)
    theirs = field.with_df.get_jk(density.matrix, with_k=False)[0]
    assert np.allclose(potential, theirs, atol=1e-10) and energy == pytest.approx((theirs * density.matrix).sum() / 2, abs=1e-10)
    slopes = Gradients(field).get_j(mol, density.matrix)
    rows = np.einsum("xmn,mn->xm", slopes, density.matrix)
    expected = np.array([2 * rows[:, a:b].sum(1) for a, b in mol.aoslice_by_atom()[:, 2:]]) + slopes.aux.sum((0, 1))
    assert np.allclose(ours.gradient(density), expected, atol=1e-3 * MEV_PER_ANGSTROM)


def test_slopes_of_exact_exchange_are_those_of_pyscf(mol, density):
    """Of 1/r, and of erf(omega r)/r, whose metric is singular."""
    ours, expected = ExactExchange(mol, "def2-universal-jkfit", "wB97X"), np.zeros((3, 3))
    assert [omega for _, omega in ours.parts] == [None, 0.3]
    for share, omega in ours.parts:
        slopes = Gradients(ours.field).get_k(mol, density.matrix, omega=omega)
        rows = np.einsum("xmn,mn->xm", slopes, density.matrix)
        expected -= share / 2 * (np.array([2 * rows[:, a:b].sum(1) for a, b in mol.aoslice_by_atom()[:, 2:]]) + slopes.aux.sum((0, 1)))
    assert np.allclose(ours.gradient(density), expected, atol=1e-3 * MEV_PER_ANGSTROM)


def test_a_small_memory_changes_nothing_but_the_speed(mol, density):
    grid = becke.Grid.around(mol, 20, 50)
    for make in (lambda mb: exchange.ExchangeCorrelation(mol, grid, "PBE", mb), lambda mb: coulomb.Coulomb(mol, AUXILIARY, mb)):
        (kept, matrix), (anew, other) = (make(mb).potential(density) for mb in (500, 0))
        assert kept == anew and (matrix == other).all()


def test_slopes_of_the_weights_are_those_of_pyscf(mol):
    grid = becke.Grid.around(mol, 15, 50)
    theirs = dft.Grids(mol)
    theirs.atom_grid, theirs.prune = {"O": (15, 50), "H": (15, 50)}, dft.gen_grid.nwchem_prune
    points, weights, slopes = zip(*grids_response_cc(theirs))
    assert np.allclose(grid.points, np.vstack(points)) and np.allclose(grid.weights, np.hstack(weights), rtol=1e-9)
    values = np.exp(-(grid.points**2).sum(1) / 4)
    ours = grid.weight_gradient(np.arange(len(values)), grid.weights * values)
    assert np.allclose(ours, np.dstack(slopes) @ values, atol=1e-9)


def test_cells_that_do_not_reach_do_not_matter(monkeypatch):
    """The slopes of a chain's weights, far cells left out or not."""
    chain = thiophenes(4, [40.0, 150.0, 90.0])
    mol = gto.M(atom=[(SYMBOLS[z], x) for z, x in zip(chain.numbers.tolist(), chain.positions.tolist())], unit="Bohr", basis="sto-3g")
    grid = becke.Grid.around(mol, 12, 26)
    values = grid.weights * np.exp(-np.linalg.norm(grid.points[:, None] - grid.atoms, axis=2).min(1))
    kept = np.concatenate(grid.neighbourhoods(1000))
    few = grid.weight_gradient(kept, values[kept])
    monkeypatch.setattr(becke, "NEAR", len(chain.numbers))
    assert np.allclose(few, grid.weight_gradient(kept, values[kept]), atol=1e-10)
    assert abs(few.sum(0)).max() < 1e-10


def test_neighbourhoods_hold_every_point_once(mol):
    grid = becke.Grid.around(mol, 20, 50)
    parts = grid.neighbourhoods(100)
    assert max(map(len, parts)) <= 100 and sorted(np.concatenate(parts)) == np.flatnonzero(abs(grid.weights) > 1e-14).tolist()


def test_what_is_left_out_does_not_matter():
    chain = thiophenes(2, [40.0])
    atoms = [(SYMBOLS[z], x) for z, x in zip(chain.numbers.tolist(), chain.positions.tolist())]
    mol = gto.M(atom=atoms, unit="Bohr", basis="def2-svp", verbose=0)
    density = DensityMatrix.of_matrix(scf.hf.init_guess_by_minao(mol))
    grid = becke.Grid.around(mol, 20, 86)
    whole, few = (exchange.ExchangeCorrelation(mol, grid, "PBE", 2000, cut) for cut in (0.0, exchange.NEGLIGIBLE))
    reached = sum(block.ao[0].size for block in few._blocks(1)) / sum(block.ao[0].size for block in whole._blocks(1))
    assert reached < 0.75
    assert few.potential(density)[0] == pytest.approx(whole.potential(density)[0], abs=1e-8)


def test_two_grids_give_what_the_fine_one_alone_gives(mol):
    grids = [becke.Grid.around(mol, *shape) for shape in ((15, 50), (30, 110))]
    cheap, fine = (exchange.ExchangeCorrelation(mol, grid, "PBE", 500).potential for grid in grids)
    core, overlap = mol.intor("int1e_kin") + mol.intor("int1e_nuc"), mol.intor("int1e_ovlp")
    smooth, start = (coulomb.Coulomb(mol, AUXILIARY, 500).potential,), DensityMatrix.of_matrix(scf.hf.init_guess_by_minao(mol))
    two, one = (converge(Field(core, overlap, 5, smooth, low, fine), start, 1e-10, 1e-6, 40) for low in (cheap, fine))
    assert two.converged and one.converged and two.gradient < 1e-6
    assert two.energy == pytest.approx(one.energy, abs=1e-10) and np.allclose(two.density.matrix, one.density.matrix, atol=1e-5)
    assert two.looks <= 4 and two.cycles <= one.cycles + 3


def test_d4_forces_are_the_slope_of_its_energy():
    molecule, step = thiophenes(2, [40.0]), 1e-4
    direction = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 3)))
    up, down = (d4(molecule.at(molecule.positions + sign * step * direction), "PBE").energy for sign in (1, -1))
    found = d4(molecule, "PBE")
    assert found.energy.item() < -0.01
    assert (found.forces * direction).sum().item() == pytest.approx(float(down - up) / (2 * step), abs=1e-8)


def test_a_stretched_chain_is_anti_all_along():
    for rings in (1, 2, 12):
        chain = anti_thiophenes(rings)
        starts = np.flatnonzero(chain.numbers.numpy() == 16).tolist()
        found = [np.degrees(float(torsion(a, a + 1, b + 2, b)(chain.positions))) for a, b in itertools.pairwise(starts)]
        assert len(starts) == rings and np.allclose(np.abs(found), TWIST, atol=1e-6)
        assert (np.diff(np.sign(found)) != 0).all()
        length = float((chain.positions[starts[-1]] - chain.positions[0]).norm()) / ANGSTROM
        assert length >= 3.5 * (rings - 1)
    for wrong in ((0, None), (3, [180.0])):
        with pytest.raises(MoleculeError, match="a torsion between any two neighbours"):
            thiophenes(*wrong)


def test_chains_have_the_torsions_asked_for_and_do_not_run_into_themselves():
    chain = thiophenes(3, [40.0, 150.0])
    sulphur = np.flatnonzero(chain.numbers.numpy() == 16)
    positions = chain.positions.numpy()
    found = []
    for first, second in zip(sulphur, sulphur[1:]):
        a, b, c = np.diff(positions[[first, first + 1, second + 2, second]], axis=0)
        found.append(np.degrees(np.arctan2(np.linalg.norm(b) * a @ np.cross(b, c), np.cross(a, b) @ np.cross(b, c))))
        assert np.linalg.norm(b) / ANGSTROM == pytest.approx(1.45, abs=0.01)
    assert np.allclose(found, [40.0, 150.0], atol=1e-6)
    random = random_thiophenes(6, np.random.default_rng(0))
    assert len(random.numbers) == 44 and torch.pdist(random.positions).min() / ANGSTROM > 1.0
