"""The compiled model: the numbers of the one it is made of, found again on disk, made anew when something differs."""

import shutil

import pytest
import torch

from densnet.density.basis import DensityBasis
from densnet.model import compiled
from densnet.model.compiled import CompilationError, Compiled
from densnet.model.density_network import DensityNetworkSettings
from densnet.model.energy_network import EnergyNetworkSettings
from densnet.model.predictor import ModelSettings, Predictor
from densnet.molecules import Molecules, Neighbours
from tests.model.random_model import scattered

WATER = [8, 1, 1]


@pytest.fixture(scope="module")
def predictor():
    torch.manual_seed(3)
    settings = ModelSettings(
        density=DensityNetworkSettings(channels=4, head_channels=2, layers=1, l_max=1),
        energy=EnergyNetworkSettings(channels=4, density_channels=2, layers=1, l_max=1),
    )
    return Predictor(settings, DensityBasis.built_in("small", ("H", "O")), neighbours=2.0).double().eval().requires_grad_(False)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_same_numbers_and_no_second_compilation(predictor, tmp_path):
    told = []
    fast = Compiled(predictor, scattered(WATER), tmp_path, told.append)
    again = Compiled(predictor, scattered(WATER, seed=2), tmp_path, told.append)
    assert len(told) == 1 and "once" in told[0]
    assert [p.suffix for p in tmp_path.iterdir()] == [".pt2"]
    for seed in (1, 2):
        molecule = scattered(WATER, seed=seed)
        slow, new = predictor(molecule), again(molecule)
        assert torch.allclose(new.energy, slow.energy, rtol=1e-12) and torch.allclose(new.forces, slow.forces, atol=1e-12)
        assert torch.allclose(new.dipole, slow.dipole, atol=1e-12)
        assert torch.allclose(new.density.coefficients, slow.density.coefficients, atol=1e-12)
        assert torch.equal(fast(molecule).forces, new.forces)


def test_the_name_of_a_library_tells_models_and_molecules_apart(predictor):
    molecule = scattered(WATER)
    name = compiled._identity(predictor, molecule, 2)
    assert name == compiled._identity(predictor, scattered(WATER, seed=9), 2)
    others = [(molecule, 3), (scattered([1, 8, 1]), 2), (Molecules.concatenate([molecule, molecule]), 2)]
    assert all(compiled._identity(predictor, other, width) != name for other, width in others)
    changed = Predictor(predictor.settings, predictor.basis, 2.0).double()
    assert compiled._identity(changed, molecule, 2) != name


def test_wider_tables_hold_the_same_neighbours():
    table = Neighbours(torch.tensor([[1], [0]]), None)
    sender, absent = compiled._widened(table, 3)
    assert sender.tolist() == [[1, 0, 0], [0, 1, 1]] and absent.tolist() == [[False, True, True]] * 2


def test_traced_arithmetic_is_the_predictor(predictor):
    molecule, other = scattered(WATER), scattered(WATER, seed=4)
    table = compiled._widened(predictor.neighbours_of(molecule), 2)
    graph = compiled.traced(compiled.arithmetic(predictor, molecule), (molecule.positions, *table))
    energy, forces, dipole, *_ = graph(other.positions, *table)
    known = predictor(other)
    assert torch.allclose(energy, known.energy, rtol=1e-13) and torch.allclose(forces, known.forces, atol=1e-13)
    assert torch.allclose(dipole, known.dipole, atol=1e-13)


def test_without_a_compiler_there_is_one_clear_error(predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompilationError, match="run without compiling"):
        Compiled(predictor, scattered(WATER), tmp_path)
    assert not list(tmp_path.iterdir())
