"""The compiled model: the numbers of the one it is made of, found again on disk, made anew when something differs."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from ase import Atoms

from densnet import units
from densnet.density.basis import DensityBasis
from densnet.interfaces.ase import DensnetCalculator
from densnet.model import compiled, products
from densnet.model.compiled import CompilationError, Compiled
from densnet.model.density_network import DensityNetworkSettings
from densnet.model.energy_network import EnergyNetworkSettings
from densnet.model.library import Library, LibraryError
from densnet.model.predictor import ModelError, ModelSettings, Predictor
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
    return Predictor.of(settings, DensityBasis.built_in("small", ("H", "O")), neighbours=2.0).eval().requires_grad_(False)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_same_numbers_and_no_second_compilation(predictor, tmp_path, monkeypatch):
    told = []
    assert Compiled.made_before(predictor, scattered(WATER), tmp_path) is None
    fast = Compiled(predictor, scattered(WATER), tmp_path, told.append)
    again = Compiled(predictor, scattered(WATER, seed=2), tmp_path, told.append)
    assert len(told) == 1 and "once" in told[0]
    assert [p.suffix for p in tmp_path.iterdir()] == [".so"] * (1 + products.available())
    for seed in (1, 2):
        molecule = scattered(WATER, seed=seed)
        slow, new = predictor(molecule), again(molecule)
        assert torch.allclose(new.energy, slow.energy, rtol=1e-6) and torch.allclose(new.forces, slow.forces, atol=1e-6)
        assert torch.allclose(new.dipole, slow.dipole, atol=1e-6)
        assert torch.allclose(new.density.coefficients, slow.density.coefficients, atol=1e-6)
        assert torch.equal(fast(molecule).forces, new.forces)
    assert torch.equal(Compiled.made_before(predictor, scattered(WATER), tmp_path)(molecule).forces, new.forces)
    monkeypatch.setenv("DENSNET_CACHE", str(tmp_path))
    atoms = Atoms("OH2", (molecule.positions / units.ANGSTROM).numpy())
    for chosen, function in ((None, Compiled), (True, Compiled), (False, Predictor)):  # found again, not made again
        atoms.calc = DensnetCalculator(predictor, compiled=chosen)
        assert torch.allclose(torch.as_tensor(atoms.get_forces()) * units.EV_PER_ANGSTROM, slow.forces.double(), atol=1e-6)
        assert isinstance(atoms.calc.force_function.function, function)
    with ThreadPoolExecutor(4) as pool:  # more threads than calls can be at work at once
        known = [again(scattered(WATER, seed=seed)).forces for seed in range(40)]
        assert all(map(torch.equal, pool.map(lambda seed: fast(scattered(WATER, seed=seed)).forces, range(40)), known))
    with pytest.raises(ModelError, match="compiled for 1 molecules of 3 atoms together, not for 1 of 3"):
        fast(scattered([1, 8, 1]))


def test_a_file_that_is_no_library_is_told(tmp_path):
    (tmp_path / "model.so").write_text("no machine code")
    with pytest.raises(LibraryError, match="model.so is not a compiled model .* delete it"):
        Library(tmp_path / "model.so", runners=1)


def test_products_that_cannot_be_had_are_not_the_librarys_fault(tmp_path, monkeypatch):
    def load(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(products, "load", load)
    with pytest.raises(LibraryError, match="products.cpp could not be compiled or loaded .*Permission denied.*; run without compiling"):
        Library(tmp_path / "model.so", runners=1)


def test_the_name_of_a_library_tells_models_and_molecules_apart(predictor):
    molecule = scattered(WATER)
    name = compiled._identity(predictor, molecule, 2)
    assert name == compiled._identity(predictor, scattered(WATER, seed=9), 2)
    others = [(molecule, 3), (scattered([1, 8, 1]), 2), (Molecules.concatenate([molecule, molecule]), 2)]
    assert all(compiled._identity(predictor, other, width) != name for other, width in others)
    changed = Predictor.of(predictor.settings, predictor.basis, 2.0).double()
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


def test_what_no_argument_reaches_is_worked_out_when_tracing():
    weight, table = torch.randn(3, 4), {}

    def function(x):
        if not table:  # remembered from call to call
            table["scale"] = torch.zeros(4)
            table["scale"][1:] = 2.0
        return x @ (weight.T * table["scale"].unsqueeze(1)).index_select(1, torch.tensor([0, 2])) + torch.ones(2)

    x, other = torch.randn(2, 5, 4)
    graph = compiled.traced(function, (x,))
    assert torch.equal(graph(other), function(other))
    names = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    assert names == ["aten.mm.default", "aten.ones.default", "aten.add.Tensor"]


def test_a_function_that_writes_into_its_tensors_is_not_folded():
    def function(x):
        sums = torch.zeros(2)
        sums[0] = 1.0
        sums.index_add_(0, torch.tensor([1]), x)
        return sums * 1.0

    graph = compiled.traced(function, (torch.ones(1),))
    assert [graph(torch.full((1,), 3.0)).tolist() for _ in range(2)] == [[1.0, 3.0]] * 2


def test_without_a_compiler_there_is_one_clear_error(predictor, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CompilationError, match="run without compiling"):
        Compiled(predictor, scattered(WATER), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_clear_error(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "compiler_found", lambda: True)
    monkeypatch.setattr(compiled, "traced", lambda *_: torch.fx.symbolic_trace(torch.nn.Identity()))
    (tmp_path / "file").write_text("")
    with pytest.raises(CompilationError, match="compiling the model failed .*; run without compiling"):
        Compiled(predictor, scattered(WATER), tmp_path / "file" / "cache")


def test_a_folder_that_may_not_be_looked_into_is_one_clear_error(predictor, tmp_path, monkeypatch):
    def refuse(path, *rest, known=os.stat, **options):
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(13, "Permission denied")
        return known(path, *rest, **options)

    monkeypatch.setattr(compiled, "compiler_found", lambda: True)
    monkeypatch.setattr(compiled, "traced", lambda *_: torch.fx.symbolic_trace(torch.nn.Identity()))
    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(CompilationError, match="Permission denied"):
        Compiled(predictor, scattered(WATER), tmp_path / "cache")


def test_without_a_home_there_is_one_clear_error(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("DENSNET_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(compiled.Path, "home", home)
    with pytest.raises(CompilationError, match="set DENSNET_CACHE, or run without compiling"):
        compiled.library_folder()


def test_a_wider_library_that_cannot_be_had_leaves_the_narrow_one(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    monkeypatch.setattr(compiled, "Library", lambda path, runners: "narrow")
    model = Compiled(predictor, scattered(WATER), tmp_path)
    width = model.width

    def fail(path, runners):
        raise LibraryError("no")

    monkeypatch.setattr(compiled, "Library", fail)
    with pytest.raises(LibraryError):
        model._prepare(Neighbours(*compiled._widened(predictor.neighbours_of(scattered(WATER)), width + 5)))
    assert (model.width, model.library) == (width, "narrow")
