"""Cube files: read back by ASE and by PySCF, right integral, streamed, and nothing half-written."""

import math

import numpy as np
import pytest
import torch
from ase.io.cube import read_cube, read_cube_data
from pyscf import gto
from pyscf.tools.cubegen import Cube

from densnet import units
from densnet.interfaces import cube
from densnet.molecules import Molecules

WATER = Molecules.single([8, 1, 1], torch.tensor([[0.1, 0.0, -0.12], [0.1, 1.46, 0.95], [0.1, -1.46, 0.95]], dtype=torch.float64))
CENTRE = torch.tensor([0.3, 0.2, 0.1], dtype=torch.float64)


def cloud(points):
    """One electron of exponent 0.5 bohr^-2, off-centre and of different extent along x, y and z, and a constant slope."""
    stretch = torch.tensor([1.0, 0.8, 1.2], dtype=torch.float64)
    r2 = (stretch * (points - CENTRE)).square().sum(-1)
    return float(stretch.prod()) * (0.5 / math.pi) ** 1.5 * torch.exp(-0.5 * r2)


@pytest.fixture
def written(tmp_path):
    box = cube.Box.around(WATER, 0.4, 7.0)
    total = cube.write(tmp_path / "cloud.cube", WATER, box, cloud, "a cloud, e/bohr^3")
    return tmp_path / "cloud.cube", box, total


def test_ase_reads_values_atoms_and_box(written):
    path, box, total = written
    values, atoms = read_cube_data(path)
    assert values.shape == box.counts
    expected = torch.cat([cloud(points) for points in box.blocks()]).reshape(box.counts).numpy()
    np.testing.assert_allclose(values, expected, rtol=6e-6, atol=1e-90)
    assert atoms.numbers.tolist() == [8, 1, 1]
    bohr = 1 / units.ANGSTROM
    np.testing.assert_allclose(atoms.positions, WATER.positions.numpy() * bohr, atol=2e-6)
    with path.open() as file:
        np.testing.assert_allclose(read_cube(file)["origin"], np.array(box.origin) * bohr, atol=2e-6)
    np.testing.assert_allclose(atoms.cell.lengths(), np.array(box.counts) * box.spacing * bohr, atol=1e-4)
    assert total == pytest.approx(1.0, abs=1e-6)
    assert values.sum() * box.spacing**3 == pytest.approx(total, rel=1e-6)


def test_pyscf_reads_the_same(written):
    path, box, _ = written
    mol = gto.M(atom="O 0 0 0; H 0 0 1; H 0 1 0", verbose=0)
    assert np.array_equal(Cube(mol).read(str(path)), read_cube_data(path)[0])


def test_header_tells_what_it_is_with_positive_counts(written):
    lines = written[0].read_text().splitlines()
    assert lines[0] == "a cloud, e/bohr^3" and "bohr" in lines[1]
    assert [int(line.split()[0]) for line in lines[2:6]] == [3, *written[1].counts]


def test_box_is_centred_and_keeps_its_margin():
    box = cube.Box.around(WATER, 0.35, 4.0)
    ends = np.array(box.origin) + box.spacing * (np.array(box.counts) - 1)
    positions = WATER.positions.numpy()
    assert (positions.min(0) - box.origin >= 4.0 - 1e-12).all() and (ends - positions.max(0) >= 4.0 - 1e-12).all()
    np.testing.assert_allclose(np.array(box.origin) + ends, positions.min(0) + positions.max(0), atol=1e-12)
    nearest = min((points[:, None] - WATER.positions).norm(dim=-1).min() for points in box.blocks())
    assert nearest > 0.17  # half a voxel, because the molecule's plane lies between two planes of voxels


def test_blocks_are_small_and_complete():
    box = cube.Box((0.0, 0.0, 0.0), (50, 60, 70), 0.1)
    blocks = list(box.blocks())
    assert len(blocks) > 1 and sum(map(len, blocks)) == 50 * 60 * 70
    assert torch.equal(blocks[0][:2], torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.1]], dtype=torch.float64))
    torch.testing.assert_close(blocks[-1][-1], torch.tensor([4.9, 5.9, 6.9], dtype=torch.float64))


def test_a_failure_leaves_neither_part_nor_file(tmp_path):
    def broken(points):
        raise RuntimeError("out of electrons")

    with pytest.raises(RuntimeError, match="out of electrons"):
        cube.write(tmp_path / "x.cube", WATER, cube.Box.around(WATER, 1.0, 2.0), broken, "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spacing", "margin", "told"), [(0.0, 5.0, "`spacing` is 0"), (0.3, -1.0, "`margin` is"), (0.001, 5.0, "too large")]
)
def test_impossible_boxes_are_refused(spacing, margin, told):
    with pytest.raises(cube.CubeError, match=told):
        cube.Box.around(WATER, spacing, margin)
