"""Labels whose orbitals stay in their file: the same to the bit, in whatever process, and light."""

import pickle
import tracemalloc
from pathlib import Path

import h5py
import pytest
import torch

from densnet.dataset import store
from densnet.dataset.dataset import Dataset, DatasetError, Label
from densnet.density.orbitals import Orbitals
from densnet.molecules import Molecules
from densnet.properties import Properties

LEVEL = {"basis": "aug-cc-pvdz", "xc": "PBE"}
WATER = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.43, 1.11], [0.0, -1.43, 1.11]], dtype=torch.float64)


def label(index: int, occupied: int = 5) -> Label:
    generator = torch.Generator().manual_seed(index)
    molecule = Molecules.single([8, 1, 1], WATER + 0.05 * torch.randn(3, 3, generator=generator, dtype=torch.float64))
    known = Orbitals(molecule=molecule, coefficients=torch.randn(41, occupied, generator=generator), basis="aug-cc-pvdz")
    energy = torch.randn(1, generator=generator, dtype=torch.float64)
    return Label(Properties(molecule, energy, orbitals=(known,)), index // 3, 300.0, f"{index:016x}", "made here", LEVEL)


def campaign(folder: Path, count: int) -> None:
    folder.mkdir()
    about = {"index": 0, "trajectory": 0, "temperature": 300.0, "level": LEVEL}
    for i in range(count):
        store.save_label(folder / f"{i:06d}.npz", label(i, occupied=400).properties, about | {"identity": str(i)})


def test_orbitals_stay_in_the_file_until_they_are_used(tmp_path):
    """Rows beyond the first block, in another process, and of a file that is another by then."""
    labels = Dataset(label(i, occupied=200) for i in range(40))
    store.seal(labels, tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5") as file:
        assert len(file["molecule_0/occupied_orbitals"]) > file["molecule_0/occupied_orbitals"].chunks[0]
    found = store.read(tmp_path / "data.h5")
    for k in (39, 0, 21):
        stored, exact = found[k].properties.orbitals, labels[k].properties.orbitals[0]
        sent = pickle.loads(pickle.dumps((stored, exact)))
        assert len(pickle.dumps(stored)) < 2000
        for orbitals in (stored[0], sent[0][0], sent[1]):
            assert torch.equal(orbitals.coefficients, exact.coefficients) and orbitals.basis == exact.basis
            assert torch.equal(orbitals.molecule.positions, exact.molecule.positions)
    store.seal(labels.select([3]), tmp_path / "data.h5")
    store._block.cache_clear()
    with pytest.raises(DatasetError, match="has changed"):
        found[0].properties.orbitals[0]
    (tmp_path / "data.h5").unlink()
    with pytest.raises(DatasetError, match="cannot be read any more"):
        found[0].properties.orbitals[0]


def test_reading_and_sealing_need_no_more_memory_for_four_times_the_frames(tmp_path):
    """Orbitals of 64 kB a frame, of which a few are in memory at a time."""
    peaks = []
    for count in (25, 100):
        campaign(tmp_path / str(count), count)
        tracemalloc.start()
        store.seal(store.read(tmp_path / str(count)), tmp_path / f"{count}.h5", compact=True)
        found = store.read(tmp_path / f"{count}.h5")
        assert all(one.properties.orbitals[0].electrons == 800 for one in found)
        peaks.append(tracemalloc.get_traced_memory()[1] / 1024)
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 75 * 12, peaks  # kB
