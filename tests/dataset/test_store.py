"""What is sealed comes back bit for bit, damaged or foreign files are refused with a sentence, units are converted at the door."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from densnet.dataset import store
from densnet.dataset.dataset import Dataset, DatasetError, Label, formula
from densnet.density.orbitals import Orbitals
from densnet.errors import DensnetError
from densnet.frames.xyz import GeometryError
from densnet.molecules import MoleculeError, Molecules
from densnet.properties import MissingProperty, Properties
from densnet.units import ANGSTROM, E_ANGSTROM, EV, EV_PER_ANGSTROM

LEVEL = {"basis": "aug-cc-pvdz", "xc": "PBE"}
WATER = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.43, 1.11], [0.0, -1.43, 1.11]], dtype=torch.float64)
HF = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.74]], dtype=torch.float64)


def label(numbers, positions, index: int, *, orbitals: bool = True) -> Label:
    generator = torch.Generator().manual_seed(index)
    molecule = Molecules.single(numbers, positions + 0.05 * torch.randn(positions.shape, generator=generator, dtype=torch.float64))
    width = 23 + 9 * (len(numbers) - 1)
    known = Orbitals(molecule=molecule, coefficients=torch.randn(width, 5, generator=generator), basis="aug-cc-pvdz")
    properties = Properties(
        molecule,
        energy=torch.randn(1, generator=generator, dtype=torch.float64),
        forces=torch.randn(positions.shape, generator=generator, dtype=torch.float64),
        dipole=torch.randn(1, 3, generator=generator, dtype=torch.float64),
        orbitals=(known,) if orbitals else None,
    )
    return Label(properties, index // 3, 300.0, f"{index:016x}", "made here", LEVEL)


@pytest.fixture
def mixed() -> Dataset:
    """Two molecules, by turns."""
    return Dataset(label([8, 1, 1], WATER, i) if i % 3 else label([9, 1], HF, i) for i in range(9))


def same(one: Dataset, other: Dataset) -> bool:
    a, b = one.properties(), other.properties()
    tensors = [(getattr(a, name), getattr(b, name)) for name in ("energy", "forces", "dipole")]
    tensors += [(a.molecules.positions, b.molecules.positions), (a.molecules.numbers, b.molecules.numbers)]
    tensors += [(x.coefficients, y.coefficients) for x, y in zip(a.orbitals, b.orbitals, strict=True)]
    about = [[(x.trajectory, x.temperature, x.identity, x.level) for x in data] for data in (one, other)]
    return about[0] == about[1] and all(torch.equal(x, y) for x, y in tensors)


def test_a_shard_gives_back_every_bit_in_the_same_order(mixed, tmp_path):
    store.seal(mixed, tmp_path / "deep" / "data.h5", "made here")
    assert same(mixed, store.read(tmp_path / "deep" / "data.h5"))
    assert not list((tmp_path / "deep").glob("*.part"))


def test_a_shard_states_units_level_version_and_provenance(mixed, tmp_path):
    store.seal(mixed, tmp_path / "data.h5", "a sentence")
    with h5py.File(tmp_path / "data.h5") as file:
        assert file.attrs["format_version"] == store.PLAIN and file.attrs["frames"] == 9
        assert '"xc": "PBE"' in file.attrs["level"] and file.attrs["provenance"] == "a sentence"
        for group in file.values():
            assert group["forces"].attrs["unit"] == "hartree/bohr" and group["occupied_orbitals"].dtype == np.float32
            assert all(data.attrs["unit"] for data in group.values())


def test_16_bits_change_the_orbitals_by_little_and_nothing_else(mixed, tmp_path):
    store.seal(mixed, tmp_path / "compact.h5", compact=True)
    found = store.read(tmp_path / "compact.h5")
    for one, other in zip(mixed, found, strict=True):
        exact, near = (label.properties.orbitals[0].coefficients for label in (one, other))
        assert near.dtype == torch.float32 and ((near - exact).abs() <= 1.6e-5 * exact.abs().amax(1, keepdim=True)).all()
        assert torch.equal(one.properties.energy, other.properties.energy) and one.identity == other.identity
    with h5py.File(tmp_path / "compact.h5") as file:
        assert file.attrs["format_version"] == store.FORMAT_VERSION > store.PLAIN, "older ones must not take whole numbers for orbitals"
        assert all(group["occupied_orbitals"].dtype == np.int16 for group in file.values())


def test_dispersion_stays_apart(mixed, tmp_path):
    energy, forces = torch.tensor([-0.01], dtype=torch.float64), torch.full((3, 3), 1e-3, dtype=torch.float64)
    parts = [Properties(x.properties.molecules, energy=energy, forces=forces) for x in mixed]
    level, chosen = {**LEVEL, "dispersion": "d4"}, list(zip(mixed, parts))[1:3]
    with_it = [replace(x, properties=x.properties.with_dispersion(part), level=level) for x, part in chosen]
    store.seal(Dataset(with_it), tmp_path / "data.h5")
    for before, after in zip(list(mixed)[1:3], store.read(tmp_path / "data.h5"), strict=True):
        assert torch.equal(after.properties.dispersion_forces, forces)
        assert torch.equal(after.properties.energy, before.properties.energy + energy)
        assert torch.allclose(after.properties.with_dispersion(None).forces, before.properties.forces, atol=1e-14)
    with pytest.raises(DatasetError, match="dispersion = None .* has 'd4'|dispersion = 'd4'"):
        Dataset([*mixed, *with_it])


def test_labels_with_and_without_a_gradient_threshold_are_of_one_level(mixed):
    tighter = [replace(x, level={**LEVEL, "conv_tol_grad": 1e-5}) for x in mixed]
    assert Dataset(tighter).level == {**LEVEL, "conv_tol_grad": 1e-5}
    assert Dataset([*mixed, *tighter]).level == Dataset([*tighter, *mixed]).level == LEVEL
    looser = [replace(x, level={**LEVEL, "conv_tol_grad": 1e-4}) for x in mixed]
    with pytest.raises(DatasetError, match="conv_tol_grad = 1e-05"):
        Dataset([*tighter, *looser])


def test_small_files_of_a_campaign_read_the_same_and_can_be_sealed(mixed, tmp_path):
    (tmp_path / "frames").mkdir()
    for i, one in enumerate(mixed):
        about = {"index": i, "identity": one.identity, "trajectory": one.trajectory, "temperature": 300.0, "level": LEVEL}
        store.save_label(tmp_path / "frames" / f"{i:06d}-{one.identity}.npz", one.properties, about)
    (tmp_path / "frames" / "000009-00.npz.part").write_bytes(b"being written")
    assert same(mixed, store.read(tmp_path))
    store.seal(store.read(tmp_path), tmp_path / "data.h5")
    assert same(mixed, store.read(tmp_path / "data.h5"))


def test_several_files_become_one_dataset(mixed, tmp_path):
    store.seal(mixed.select(range(4)), tmp_path / "a.h5")
    store.seal(mixed.select(range(4, 9)), tmp_path / "b.h5")
    assert same(mixed, store.read(tmp_path / "a.h5", tmp_path / "b.h5"))


def test_levels_of_theory_are_not_mixed(mixed):
    other = Label(**{**mixed[0].__dict__, "level": LEVEL | {"xc": "BLYP"}, "source": "elsewhere"})
    with pytest.raises(DatasetError, match="elsewhere has 'BLYP'"):
        mixed + Dataset([other])


def test_properties_batch_what_every_frame_knows_and_name_what_is_missing(mixed, tmp_path):
    batch = mixed.properties([4, 0])
    assert batch.molecules.sizes.tolist() == [3, 2] and batch.energy.shape == (2,) and batch.forces.shape == (5, 3)
    assert torch.equal(batch.dipole[1], mixed[0].properties.dipole[0]) and len(batch.orbitals) == 2
    partly = mixed + Dataset([label([8, 1, 1], WATER, 20, orbitals=False)])
    assert partly.properties().orbitals is None
    with pytest.raises(MissingProperty, match="1 of 10 frames hold no orbitals"):
        partly.properties(require=("energy", "orbitals"))
    with pytest.raises(DatasetError, match="hold no orbitals"):
        store.seal(partly, tmp_path / "data.h5")
    assert not list(tmp_path.iterdir()), "a refused seal leaves nothing behind"


def test_damage_is_noticed(mixed, tmp_path):
    path = tmp_path / "data.h5"
    store.seal(mixed, path)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"not HDF5" * 100):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="not a readable HDF5"):
            store.read(path)
    path.write_bytes(whole)
    with h5py.File(path, "a") as file:
        file["molecule_0/energy"][0] += 1e-9
    with pytest.raises(DatasetError, match="checksum"):
        store.read(path)


def test_a_newer_format_asks_for_an_upgrade(mixed, tmp_path):
    store.seal(mixed, tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5", "a") as file:
        file.attrs["format_version"] = store.FORMAT_VERSION + 1
    with pytest.raises(DatasetError, match="please upgrade densnet"):
        store.read(tmp_path / "data.h5")


def test_missing_and_empty_things_are_named(tmp_path):
    with pytest.raises(DatasetError, match="nothing.h5 does not exist"):
        store.read(tmp_path / "nothing.h5")
    with pytest.raises(DatasetError, match="no labels to seal"):
        store.seal(Dataset([]), tmp_path / "data.h5")
    (tmp_path / "000000-00.npz").write_bytes(b"half")
    with pytest.raises(DatasetError, match="is damaged"):
        store.read(tmp_path)


def foreign(path, **changes) -> None:
    rng = np.random.default_rng(1)
    content = {
        "numbers": np.array([8, 1, 1]),
        "positions": WATER.numpy() / ANGSTROM + rng.normal(0, 0.02, (4, 3, 3)),
        "energy": rng.normal(size=4),
        "forces": rng.normal(size=(4, 3, 3)),
        "trajectory": np.array([0, 0, 1, 1]),
        "occupied_orbitals": rng.normal(size=(4, 41, 5)).astype("f4"),
    }
    with h5py.File(path, "w") as file:
        for name, values in (content | changes).items():
            if values is not None:
                file[name] = values
        file.attrs.update(basis="aug-cc-pvdz", conv_tol=1e-9, units="positions Angstrom")


def test_foreign_hdf5_is_read_with_positions_in_angstrom(tmp_path):
    foreign(tmp_path / "foreign.h5")
    labels = store.read(tmp_path / "foreign.h5")
    with h5py.File(tmp_path / "foreign.h5") as file:
        properties = labels.properties()
        assert np.array_equal(properties.molecules.positions.reshape(4, 3, 3), file["positions"][()] * ANGSTROM)
        assert np.array_equal(properties.forces.reshape(4, 3, 3), file["forces"][()])
        assert np.array_equal(properties.orbitals[2].coefficients, file["occupied_orbitals"][2])
    assert [x.trajectory for x in labels] == [0, 0, 1, 1]
    assert properties.dipole is None
    with pytest.raises(MissingProperty, match="hold no dipole"):
        labels.properties(require=("dipole",))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"numbers": None}, "it has no numbers"),
        ({"energy": np.zeros(3)}, "energy has 3 frames, positions 4"),
        ({"energy": np.array([0.0, 1.0, np.nan, 0.0])}, "frame 3: energy contains a number that is not finite"),
        ({"numbers": np.array([8, 1, 6])}, "frame 1: 15 electrons, an odd number"),
    ],
)
def test_foreign_hdf5_that_is_incomplete_is_refused(tmp_path, changes, words):
    foreign(tmp_path / "foreign.h5", **changes)
    with pytest.raises(DensnetError, match=words):
        store.read(tmp_path / "foreign.h5")


OTHER_UNITS = {
    "positions": {"bohr": 1.0, "Angstrom": ANGSTROM, "a0": 1.0, "nm": 10 * ANGSTROM, "\u212b": ANGSTROM, "pm": ANGSTROM / 100},
    "energy": {
        "eV": EV, "Hartree": 1.0, "kcal/mol": 1 / 627.5094740631, "kJ mol^-1": 1 / 2625.4996394799, "Ry": 0.5, "a.u.": 1.0,
        "kcal_per_mol": 1 / 627.5094740631,
    },
    "forces": {"eV/Ang": EV_PER_ANGSTROM, "hartree / bohr": 1.0, "Ha*Bohr^-1": 1.0, "kcal/(mol*A)": ANGSTROM**-1 / 627.5094740631},
}  # fmt: skip


@pytest.mark.parametrize(("quantity", "unit"), [(quantity, unit) for quantity, units in OTHER_UNITS.items() for unit in units])
@pytest.mark.parametrize("attribute", ["unit", "units"])
def test_units_of_foreign_hdf5_are_obeyed(tmp_path, quantity, unit, attribute):
    size = OTHER_UNITS[quantity][unit]
    foreign(tmp_path / "plain.h5")
    foreign(tmp_path / "foreign.h5")
    with h5py.File(tmp_path / "foreign.h5", "a") as file:
        file[quantity][...] *= (ANGSTROM if quantity == "positions" else 1.0) / size
        file[quantity].attrs[attribute] = unit
    plain, found = (store.read(tmp_path / name).properties() for name in ("plain.h5", "foreign.h5"))
    for a, b in ((plain.molecules.positions, found.molecules.positions), (plain.energy, found.energy), (plain.forces, found.forces)):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("attributes", "sizes"),
    [
        ({"units": "eV, Angstrom"}, (ANGSTROM, EV, EV_PER_ANGSTROM)),
        ({"units": "atomic units"}, (1.0, 1.0, 1.0)),
        ({"units": "positions: bohr; energy: eV; forces: eV/A"}, (1.0, EV, EV_PER_ANGSTROM)),
        ({"units": np.array(["eV, Angstrom"], dtype=object)}, (ANGSTROM, EV, EV_PER_ANGSTROM)),
        ({"units": ""}, (ANGSTROM, 1.0, 1.0)),
        ({"energy_units": "kcal/mol", "unit_of_positions": b"bohr"}, (1.0, 1 / 627.5094740631, 1 / 627.5094740631)),
        ({"title": "units are a matter of taste"}, (ANGSTROM, 1.0, 1.0)),
    ],
)
def test_units_of_a_whole_foreign_file(tmp_path, attributes, sizes):
    foreign(tmp_path / "foreign.h5")
    with h5py.File(tmp_path / "foreign.h5", "a") as file:
        content = [file[name][0] for name in ("positions", "energy", "forces")]
        file["positions"][...] *= ANGSTROM / sizes[0]
        del file.attrs["units"]
        file.attrs.update(attributes)
    found = store.read(tmp_path / "foreign.h5")
    first = found[0].properties
    assert np.allclose(first.molecules.positions, content[0] * ANGSTROM, rtol=1e-12)
    assert float(first.energy) == pytest.approx(content[1] * sizes[1], rel=1e-9)
    assert not any("unit" in key for key in found.level)
    if "energy_units" not in attributes:
        assert np.allclose(first.forces, content[2] * sizes[2], rtol=1e-9)


@pytest.mark.parametrize(
    ("place", "unit", "told"),
    [
        ("energy", "furlong", "foreign.h5, energy: the attribute `unit` is 'furlong', and 'furlong' is not a known unit"),
        ("positions", "eV", "'eV' is not a known unit for positions"),
        ("forces", "hartree", "not a known unit for forces"),
        ("energy", "eV/atom", "not a known unit for energy"),
        ("", "parsec", "not a known unit for positions, energy, forces or dipole"),
    ],
)
def test_units_that_nobody_knows_are_refused(tmp_path, place, unit, told):
    foreign(tmp_path / "foreign.h5")
    with h5py.File(tmp_path / "foreign.h5", "a") as file:
        (file[place] if place else file).attrs["unit"] = unit
    with pytest.raises(DatasetError, match=told):
        store.read(tmp_path / "foreign.h5")


def test_a_foreign_file_of_ions_or_without_labels_is_refused(tmp_path):
    foreign(tmp_path / "foreign.h5", total_charge=np.array([0, 0, 2, 0]))
    with pytest.raises(MoleculeError, match="frame 3: total_charge is 2"):
        store.read(tmp_path / "foreign.h5")
    foreign(tmp_path / "other.h5", energy=None, forces=None, occupied_orbitals=None, E=np.zeros(4), grads=np.zeros((4, 3, 3)))
    with pytest.raises(DatasetError, match="no label found in .*other.h5: it has E, grads; rename them to energy"):
        store.read(tmp_path / "other.h5")


def test_what_describes_a_foreign_file_is_no_level_of_theory(tmp_path):
    for name, title in (("a", "first"), ("b", "second")):
        foreign(tmp_path / f"{name}.h5")
        with h5py.File(tmp_path / f"{name}.h5", "a") as file:
            file.attrs.update(Title=title, created=title, grid=np.array([40, 434]))
    assert store.read(tmp_path / "a.h5", tmp_path / "b.h5").level == {"basis": "aug-cc-pvdz", "conv_tol": 1e-9}


def test_a_folder_without_labels_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="contains no label; give a folder that `densnet label` wrote to"):
        store.read(tmp_path)


FRAME = """3
Properties=species:S:1:pos:R:3:REF_forces:R:3 REF_energy=-10.0 REF_dipole="0.1 0.2 0.3" trajectory=4
O 0.0 0.0 0.0 0.1 0.2 0.3
H 0.0 0.76 0.59 0.0 0.0 1.0
H 0.0 -0.76 0.59 -0.1 -0.2 -1.3
"""


def test_extxyz_comes_in_as_electronvolts_and_angstroms(tmp_path):
    (tmp_path / "ref.extxyz").write_text(FRAME + FRAME.replace("REF_", ""))
    labels = store.read(tmp_path / "ref.extxyz")
    for one in labels:
        assert one.trajectory == 4
        assert float(one.properties.energy) == pytest.approx(-10.0 * EV, rel=1e-15)
        assert one.properties.forces[1].tolist() == pytest.approx([0, 0, EV_PER_ANGSTROM], rel=1e-15)
        assert one.properties.dipole[0].tolist() == pytest.approx([0.1 * E_ANGSTROM, 0.2 * E_ANGSTROM, 0.3 * E_ANGSTROM], rel=1e-15)
        assert float(one.properties.molecules.positions[1, 1]) == pytest.approx(0.76 * ANGSTROM, rel=1e-15)
    with pytest.raises(MissingProperty, match="hold no orbitals, the first in .*frame 1"):
        labels.properties(require=("orbitals",))


def test_labels_under_other_names_are_listed(tmp_path):
    for prefix in ("dft_", "DFT_", "MACE_", "REF"):
        (tmp_path / "a.extxyz").write_text(FRAME.replace("REF_", prefix))
        told = f"a.extxyz: it has {prefix}dipole, {prefix}energy, {prefix}forces; rename them to REF_energy"
        with pytest.raises(DatasetError, match=told):
            store.read(tmp_path / "a.extxyz")
    (tmp_path / "a.extxyz").write_text(FRAME.replace("REF_energy=", "energy ").replace("REF_", "my_"))
    with pytest.raises(DatasetError, match="it has my_dipole, my_forces"):
        store.read(tmp_path / "a.extxyz")
    (tmp_path / "a.extxyz").write_text(FRAME.replace("REF_energy", "Energy"))
    (label,) = store.read(tmp_path / "a.extxyz")
    assert label.holds == ("forces", "dipole") and label.unread == ("Energy",)


@pytest.mark.parametrize("name", ["A.XYZ", "a.EXTXYZ", "a.txt", "a.allxyz", "a"])
def test_the_content_tells_what_a_file_is_not_its_name(tmp_path, name):
    (tmp_path / name).write_text(FRAME)
    assert store.read(tmp_path / name)[0].holds == ("energy", "forces", "dipole")


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("", GeometryError, "is empty"),
        (FRAME[:-30], GeometryError, "truncated"),
        (FRAME.replace("O ", "Xq "), GeometryError, "'Xq' is not the symbol"),
        (FRAME.replace("O ", "N "), MoleculeError, "odd number"),
        (FRAME.replace("trajectory=4", "charge=1"), MoleculeError, "frame 1: charge is 1"),
    ],
)
def test_bad_extxyz_is_refused(tmp_path, text, error, words):
    (tmp_path / "bad.extxyz").write_text(text)
    with pytest.raises(error, match=words):
        store.read(tmp_path / "bad.extxyz")


def test_formulas_name_what_belongs_together(mixed):
    assert formula(torch.tensor([6, 6, 8, 1, 1, 1, 1, 1, 1])) == "H6C2O"
    assert set(mixed.trajectories) == {(name, number) for name in ("H2O", "HF") for number in range(3)}
