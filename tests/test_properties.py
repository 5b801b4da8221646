"""The table of properties: what moves, joins, splits and is written follows from one line each."""

from dataclasses import field, make_dataclass

import pytest
import torch
from torch import Tensor

from densnet.dataset import store
from densnet.dataset.dataset import Dataset, Label
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.response import DensityResponse
from densnet.molecules import Molecules
from densnet.properties import MissingProperty, Properties, Quantity, Uncertainty
from densnet.simulation.blocks import Blocks

BASIS = DensityBasis.built_in("small", ["H", "O"])
NUMBERS = ([8, 1, 1], [8, 8, 1, 1], [8, 1, 1])


def drawn(numbers: list[int], seed: int, *, forces: bool = True) -> Properties:
    """Everything that can be known of one molecule, at random."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, dtype=torch.float32) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    molecule = Molecules.single(numbers, normal(len(numbers), 3, dtype=torch.float64))
    density = Density.of(molecule, BASIS, normal(len(numbers), BASIS.width))
    doubts = Uncertainty(*(normal(1, dtype=torch.float64) for _ in range(3)), normal(len(numbers), dtype=torch.float64) if forces else None)
    dispersion = {"dispersion_energy": normal(1, dtype=torch.float64), "dispersion_forces": normal(len(numbers), 3)}
    energy, pull, dipole = normal(1, dtype=torch.float64), normal(len(numbers), 3), normal(1, 3)
    answer = DensityResponse(molecule, BASIS, normal(len(numbers), 3, BASIS.width), density.exponents)
    field = {"polarizability": normal(1, 3, 3), "response": answer}
    return Properties(molecule, energy, pull, dipole, density, uncertainty=doubts, **dispersion, **field)


def same(one: Properties, other: Properties) -> bool:
    a, b = one.tensors(), other.tensors()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a)


def test_every_quantity_has_the_first_axis_and_shape_that_the_table_says():
    found = Properties.concatenate([drawn(z, k) for k, z in enumerate(NUMBERS)])
    assert found.tensors().keys() == Properties.table().keys()
    for name, quantity in Properties.table().items():
        value = found.tensors()[name]
        assert len(value) == {"molecule": 3, "atom": 10}[quantity.per]
        assert name.startswith(("density.", "response.")) or value.shape[1:] == quantity.shape
        assert (value.dtype == torch.float64) == quantity.double or name.endswith(".exponents")


def test_splitting_undoes_joining():
    parts = [drawn(z, k) for k, z in enumerate(NUMBERS)]
    whole = Properties.concatenate(parts)
    assert whole.density.molecules is whole.molecules
    for part, again in zip(parts, whole.split(), strict=True):
        assert same(part, again) and torch.equal(part.molecules.positions, again.molecules.positions)
    assert same(Properties.concatenate(whole.split()), whole)


def test_what_one_does_not_know_the_batch_does_not_know():
    parts = [drawn(NUMBERS[0], 0), drawn(NUMBERS[1], 1, forces=False).replace(dipole=None)]
    whole = Properties.concatenate(parts)
    assert Properties.table().keys() - whole.tensors().keys() == {"dipole", "uncertainty.forces"}
    with pytest.raises(MissingProperty, match="no dipole"):
        whole.require("energy", "dipole")


def test_precision_and_derivatives():
    one = drawn(NUMBERS[0], 0)
    whole = one.replace(dipole=one.dipole.clone().requires_grad_())
    assert not whole.detach().dipole.requires_grad and same(whole.detach(), one)
    double, single = one.to(dtype=torch.float64), one.to(dtype=torch.float32)
    assert {t.dtype for t in double.tensors().values()} == {torch.float64}
    assert single.energy.dtype == single.uncertainty.energy.dtype == torch.float64 and single.forces.dtype == torch.float32
    assert single.density.molecules.positions.dtype == torch.float32


def test_a_further_property_is_one_line():
    """Quadrupoles of a made-up kind of properties are moved, joined, split and cut into blocks like all others."""
    line = field(default=None, metadata={"table": {"": Quantity("molecule", (3, 3), "e bohr^2")}})
    Wider = make_dataclass("Wider", [("quadrupole", Tensor | None, line)], bases=(Properties,), frozen=True)
    parts = [Wider(*vars(drawn(z, k)).values(), quadrupole=torch.randn(1, 3, 3)) for k, z in enumerate(NUMBERS)]
    whole = Wider.concatenate(parts)
    assert whole.quadrupole.shape == (3, 3, 3) and whole.to(dtype=torch.float64).quadrupole.dtype == torch.float64
    assert torch.equal(whole.split()[1].quadrupole, parts[1].quadrupole)

    def charged(molecules: Molecules) -> Wider:
        x = molecules.positions.view(molecules.count, 3, 3)
        return Wider(molecules, molecules.total(molecules.positions[:, 0]), quadrupole=x @ x.mT)

    five = Molecules.replicas(NUMBERS[0], torch.randn(5, 3, 3, dtype=torch.float64))
    assert same(Blocks(charged, five, 2, 1)(five), charged(five))


def test_a_further_property_is_stored(monkeypatch, tmp_path):
    """A line more in the table: files of labels hold it, bit for bit."""
    line = field(default=None, metadata={"table": {"": Quantity("molecule", (3, 3), "e bohr^2")}})
    Wider = make_dataclass("Wider", [("quadrupole", Tensor | None, line)], bases=(Properties,), frozen=True)
    monkeypatch.setattr(store, "Properties", Wider)
    monkeypatch.setattr(store, "LABELLED", {name: q for name, q in Wider.table().items() if "." not in name})
    monkeypatch.setitem(store.UNITS, "quadrupole", "e bohr^2")
    known = [drawn(NUMBERS[0], k) for k in range(3)]
    labels = [Wider(p.molecules, p.energy, quadrupole=torch.randn(1, 3, 3)) for p in known]
    store.seal(Dataset(Label(p, k, 300.0, "", "here", {}) for k, p in enumerate(labels)), tmp_path / "a.h5")
    again = store.read(tmp_path / "a.h5").properties()
    assert torch.equal(again.quadrupole, torch.cat([p.quadrupole for p in labels])) and again.forces is None
