"""The picture of a density: its colours are where the density says."""

import matplotlib.image
import numpy as np
import pytest
import torch

from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.molecules import Molecules
from densnet.report import isosurface

NUMBERS, PLACES = [1, 1], [[0.0, 0.0, 0.0], [6.0, 0.0, 0.0]]


@pytest.fixture
def polar() -> Density:
    """One electron's cloud more on the first atom, one less on the second; both round."""
    basis = DensityBasis.of("round", {"H": [(0, 0.4)]})
    molecule = Molecules.single(NUMBERS, torch.tensor(PLACES, dtype=torch.float64))
    one = 1 / float((2 * 0.4 / torch.pi) ** 0.75 * (torch.pi / 0.4) ** 1.5)
    return Density.of(molecule, basis, one * torch.tensor([[1.0], [-1.0]], dtype=torch.float64))


def extent(mask: np.ndarray, axis: int) -> int:
    found = np.flatnonzero(mask.any(1 - axis))
    return found[-1] - found[0] + 1


def test_two_round_lobes_of_the_right_colour_and_size(polar):
    figure = isosurface.isosurface_figure(polar, level=0.02)
    image = figure.axes[0].images[0].get_array()
    bluer = image[..., 2] - image[..., 0]
    blue, orange = bluer > 0.15, bluer < -0.15
    width = figure.axes[0].images[0].get_extent()[1]
    radius = np.sqrt(np.log((0.4 / np.pi) ** 1.5 / 0.02) / 0.4)
    for mask in (blue, orange):
        assert mask.any()
        for axis in (0, 1):
            assert extent(mask, axis) * width / image.shape[1] == pytest.approx(2 * radius, rel=0.03)
    left, right = sorted([np.nonzero(blue)[1].mean(), np.nonzero(orange)[1].mean()])
    assert (right - left) * width / image.shape[1] == pytest.approx(6.0 * np.cos(np.radians(24)), rel=0.03)
    assert image[0].min() == 1.0  # white above


def test_the_nearer_lobe_covers_what_is_behind():
    scene = isosurface._Scene(np.array([[0.0, 0.0, 2.0], [0.0, 0.0, -2.0]]), [6, 8])
    axis = np.linspace(-2, 2, 81)
    image, depth = isosurface._solids(scene, axis, axis[::-1])
    assert depth[40, 40] == pytest.approx(2.0 + scene.looks(0)[1], abs=1e-9)
    assert np.ptp(image[45, 40]) < 0.2 and np.isneginf(depth[0, 0]) and (image[0, 0] == 1).all()


def test_level_is_chosen_and_the_file_is_a_picture(polar, tmp_path):
    isosurface.draw_isosurface(tmp_path / "density.png", polar, title="polar")
    image = matplotlib.image.imread(tmp_path / "density.png")
    assert image.shape[1] == 1040 and image[..., :3].std() > 0.02


def test_far_fragments_are_drawn_on_a_coarser_grid_or_not_at_all(polar, monkeypatch):
    def apart(distance: float) -> Density:
        molecule = Molecules.single(NUMBERS, torch.tensor([[0.0, 0.0, 0.0], [distance, 0.5 * distance, 0.0]], dtype=torch.float64))
        return Density.of(molecule, polar.basis, polar.coefficients)

    monkeypatch.setattr(isosurface, "_PIXELS", 64)
    monkeypatch.setattr(isosurface, "_POINTS", 60_000)
    sampled = []
    sample = isosurface._sample
    monkeypatch.setattr(isosurface, "_sample", lambda density, grid, *place: sampled.append(grid) or sample(density, grid, *place))
    isosurface.isosurface_figure(apart(30.0), level=0.01)
    (grid,) = sampled
    assert 40_000 < np.prod([len(axis) for axis in grid]) < 80_000 and 0.3 < grid[0][1] - grid[0][0] < 0.8
    with pytest.raises(isosurface.PictureError, match="the molecule fills a box of .* Angstrom, too large for a picture"):
        isosurface.isosurface_figure(apart(3000.0), level=0.01)
