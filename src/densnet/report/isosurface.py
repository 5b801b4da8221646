"""A picture of how a molecule's density differs from that of its free atoms: two isosurfaces, ray-traced, with atoms and bonds inside.

The field is sampled on a grid along the line of sight, so that a pixel is a column: rays need no interpolation but that in the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from densnet import units
from densnet.density.expansion import Density
from densnet.errors import DensnetError
from densnet.report.style import BLUE, INK, panels, save, styled

_GAIN, _LOSS, _BOND = to_rgb(BLUE), to_rgb("#e8921a"), to_rgb("#9aa3ad")
_ATOMS = {
    1: ("#f4f6f8", 0.31), 6: ("#4a525c", 0.77), 7: ("#5b6fd6", 0.71), 8: ("#d8433b", 0.66), 9: ("#8fce5a", 0.57),
    16: ("#e6c630", 1.05), 17: ("#3fae49", 1.02),
}  # fmt: skip
"""Colour and covalent radius in Angstrom, B. Cordero et al., Dalton Trans. 2832 (2008)."""
_OTHER = ("#b58ad6", 1.0)
_STICK = 0.2
_SPACING, _MARGIN = 0.2, 4.5
"""Radius of a stick; distance of the points and rim of the sampled box, bohr."""
_POINTS, _COARSEST = 1_500_000, 0.8
"""Of a larger box the points are further apart, up to so many bohr; surfaces on a coarser grid would be none."""


class PictureError(DensnetError):
    """A molecule that cannot be drawn; the message says why."""


_PIXELS, _OVERSAMPLED = 640, 2
_LIGHT = np.array([-0.42, 0.55, 0.72]) / np.linalg.norm([-0.42, 0.55, 0.72])
_HALFWAY = (_LIGHT + [0, 0, 1]) / np.linalg.norm(_LIGHT + [0, 0, 1])


@styled
def isosurface_figure(density: Density, level: float | None = None, title: str = "") -> Figure:
    """Where a single molecule has more and less electrons than its free atoms: surfaces of +-``level`` (e / bohr^3).

    Without a level, one whose surfaces hold about half of all that has moved outside the cores. Raises `PictureError` where fragments are
    so far apart that a grid about all of them is too coarse.
    """
    molecule = density.molecules
    positions = molecule.positions.detach().cpu().double().numpy()
    centre, axes = _view(positions)
    scene = _Scene((positions - centre) @ axes.T, molecule.numbers.tolist())
    first, last = scene.atoms.min(0) - _MARGIN, scene.atoms.max(0) + _MARGIN
    grid = [np.arange(low, high, _spacing(last - first)) for low, high in zip(first, last)]
    field = _sample(density, grid, centre, axes)
    level = level or _typical(field, scene, grid)
    field, grid = _cropped(field, grid, level, scene)
    image = _render(field, grid, level, scene)
    width, height = grid[0][-1] - grid[0][0], grid[1][-1] - grid[1][0]
    figure, [plot] = panels(width=5.2, height=5.2 * height / width + 0.9)
    plot.imshow(image, extent=(0, width, 0, height), interpolation="antialiased")
    plot.plot([0.1, 0.1 + units.ANGSTROM], [0.1, 0.1], color=INK, lw=1.6, solid_capstyle="butt")
    plot.text(0.1 + units.ANGSTROM / 2, 0.2, "1 Å", ha="center", va="bottom", fontsize=8)
    plot.set_axis_off()
    plot.set_title(title)
    meaning = {_GAIN: f"+{level:g}  electrons gathered", _LOSS: f"\N{MINUS SIGN}{level:g}  withdrawn"}
    figure.legend(
        handles=[Patch(color=colour, label=label) for colour, label in meaning.items()],
        title="density minus free atoms, e a$_0^{-3}$", title_fontsize=8, loc="outside lower center", ncols=2,
    )  # fmt: skip
    return figure


def draw_isosurface(path: Path, density: Density, level: float | None = None, title: str = "") -> None:
    """Writes `isosurface_figure` to ``path`` (png, svg or pdf)."""
    save(isosurface_figure(density, level, title), path)


@dataclass(frozen=True)
class _Scene:
    """Atoms in the frame of the viewer (right, up, towards the viewer), bohr."""

    atoms: NDArray
    numbers: list[int]

    def looks(self, atom: int) -> tuple[NDArray, float]:
        """Colour and radius (bohr) of the sphere of an atom."""
        colour, radius = _ATOMS.get(self.numbers[atom], _OTHER)
        return np.array(to_rgb(colour)), (0.2 + 0.22 * radius) * units.ANGSTROM

    def bonds(self) -> list[tuple[NDArray, NDArray]]:
        """Ends of the sticks: pairs nearer than 1.25 times the sum of their covalent radii."""
        reach = 1.25 * units.ANGSTROM * np.array([_ATOMS.get(z, _OTHER)[1] for z in self.numbers])
        distance = np.linalg.norm(self.atoms[:, None] - self.atoms, axis=-1)
        i, j = np.nonzero(np.triu(distance < reach[:, None] + reach, 1))
        return list(zip(self.atoms[i], self.atoms[j]))


def _spacing(lengths: NDArray) -> float:
    """bohr between the points of a box with edges of these ``lengths``."""
    spacing = max(_SPACING, float(np.prod(lengths) / _POINTS) ** (1 / 3))
    if spacing > _COARSEST:
        apart = " x ".join(f"{length / units.ANGSTROM:.0f}" for length in lengths)
        raise PictureError(f"the molecule fills a box of {apart} Angstrom, too large for a picture of its density.")
    return spacing


def _view(positions: NDArray) -> tuple[NDArray, NDArray]:
    """Centre, and the viewer's axes (rows): the longest extent to the right, the shortest in sight, then turned a little."""
    centre = 0.5 * (positions.min(0) + positions.max(0))
    _, _, axes = np.linalg.svd(positions - positions.mean(0)) if len(positions) > 1 else (0, 0, np.eye(3))
    axes[2] = np.cross(axes[0], axes[1])
    a, b = np.radians(24), np.radians(18)
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return centre, tilt @ turn @ axes


def _sample(density: Density, grid: list[NDArray], centre: NDArray, axes: NDArray) -> NDArray:
    """The correction at all points of ``grid``, nearest plane first: [depth, height, width] float32."""
    x, y, z = (torch.from_numpy(a).float() for a in grid)
    frame, origin = torch.from_numpy(axes).float(), torch.from_numpy(centre).float()
    planes = []
    with torch.no_grad():
        for depth in z.flip(0):
            up, right = torch.meshgrid(y, x, indexing="ij")
            points = torch.stack([right, up, depth.expand_as(up)], dim=-1).flatten(0, 1) @ frame + origin
            planes.append(density.values(points.to(density.coefficients)).reshape(up.shape).cpu())
    return torch.stack(planes).float().numpy()


def _typical(field: NDArray, scene: _Scene, grid: list[NDArray]) -> float:
    """A level with one digit, whose surfaces hold half of the absolute correction further than 0.6 bohr from the nuclei."""
    z, y, x = np.meshgrid(grid[2][::-1], grid[1], grid[0], indexing="ij")
    near = np.zeros(field.shape, dtype=bool)
    for atom in scene.atoms:
        near |= (x - atom[0]) ** 2 + (y - atom[1]) ** 2 + (z - atom[2]) ** 2 < 0.36
    sizes = np.sort(abs(field[~near]))[::-1]
    held = np.cumsum(sizes)
    return float(f"{sizes[np.searchsorted(held, 0.5 * held[-1])]:.0e}")


def _cropped(field: NDArray, grid: list[NDArray], level: float, scene: _Scene) -> tuple[NDArray, list[NDArray]]:
    """The part of the box that holds the surfaces and the atoms, with a little air about it."""
    ranges = []
    for axis, (values, places) in enumerate(zip(grid, scene.atoms.T)):
        across = tuple(k for k in range(3) if k != 2 - axis)
        shown = (abs(field).max(across)[:: -1 if axis == 2 else 1] > level) | (abs(values[:, None] - places) < 1.0).any(1)
        first, last = np.flatnonzero(shown)[[0, -1]]
        ranges.append(slice(max(first - 3, 0), last + 4))
    x, y, z = ranges
    return field[::-1][z, y, x][::-1], [values[part] for values, part in zip(grid, ranges)]


def _render(field: NDArray, grid: list[NDArray], level: float, scene: _Scene) -> NDArray:
    """[height, width, 3] image; surfaces are blended front to back until an atom or a stick stops the ray."""
    columns = _PIXELS * _OVERSAMPLED
    rows = round(columns * len(grid[1]) / len(grid[0]) / _OVERSAMPLED) * _OVERSAMPLED
    x, y = np.linspace(grid[0][0], grid[0][-1], columns), np.linspace(grid[1][-1], grid[1][0], rows)
    along, down = (CubicSpline(g, np.eye(len(g)))(p).astype("f4") for g, p in ((grid[0], x), (grid[1], y)))
    solid, behind = _solids(scene, x, y)
    depths = np.linspace(grid[2][-1], grid[2][0], 2 * len(field) - 1)
    step = depths[0] - depths[1]
    field = CubicSpline(grid[2], field[::-1])(depths).astype("f4")
    towards, up, right = np.gradient(field, -step, *(float(axis[1] - axis[0]) for axis in (grid[1], grid[0])))
    planes = np.stack([field, right, up, towards], axis=1)
    light, clear = np.zeros((rows, columns, 3), "f4"), np.ones((rows, columns), "f4")
    front = down @ planes[0] @ along.T
    for k in range(1, len(field)):
        back = down @ planes[k] @ along.T
        for sign, colour in ((1, _GAIN), (-1, _LOSS)):
            i, j = np.nonzero((sign * front[0] > level) != (sign * back[0] > level))
            share = (sign * level - front[0, i, j]) / (back[0, i, j] - front[0, i, j])
            seen = depths[k - 1] - share * step > behind[i, j]
            i, j, share = i[seen], j[seen], share[seen]
            slope = (1 - share) * front[1:, i, j] + share * back[1:, i, j]
            normal = slope.T / np.linalg.norm(slope, axis=0)[:, None].clip(1e-12)
            normal *= np.where(normal[:, 2:] < 0, -1, 1)
            opaque = 0.32 + 0.5 * (1 - normal[:, 2]) ** 2.5
            light[i, j] += (clear[i, j] * opaque)[:, None] * _shaded(normal, np.array(colour), shine=0.5)
            clear[i, j] *= 1 - opaque
        front = back
    image = light + clear[..., None] * solid
    return image.reshape(rows // _OVERSAMPLED, _OVERSAMPLED, -1, _OVERSAMPLED, 3).mean((1, 3)).clip(0, 1)


def _solids(scene: _Scene, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Colour and depth of the nearest atom or stick in each pixel; white at minus infinity where there is none."""
    image, depth = np.ones((len(y), len(x), 3), "f4"), np.full((len(y), len(x)), -np.inf)

    def window(low: NDArray, high: NDArray) -> tuple[tuple[slice, slice], NDArray]:
        across = slice(*np.searchsorted(x, (low[0], high[0])))
        down = slice(*np.searchsorted(-y, (-high[1], -low[1])))
        right, up = np.meshgrid(x[across], y[down])
        return (down, across), np.stack([right, up, np.zeros_like(up)], axis=-1)

    def paint(part: tuple[slice, slice], seen: NDArray, height: NDArray, normal: NDArray, colour: NDArray) -> None:
        seen = seen & (height > depth[part])
        depth[part][seen] = height[seen]
        image[part][seen] = _shaded(normal[seen], colour, shine=0.35)

    for begin, end in scene.bonds():
        part, plane = window(np.minimum(begin, end) - _STICK, np.maximum(begin, end) + _STICK)
        axis = (end - begin) / (length := np.linalg.norm(end - begin))
        start, ray = plane - begin * [1, 1, 0], np.array([0, 0, 1.0])
        across, slope = start - (start @ axis)[..., None] * axis, ray - axis[2] * axis
        a, b, c = slope @ slope, across @ slope, (across**2).sum(-1) - _STICK**2
        height = (np.sqrt((b**2 - a * c).clip(0)) - b) / max(a, 1e-9)
        place = (start + height[..., None] * ray) @ axis
        seen = (b**2 > a * c) & (place > 0) & (place < length)
        paint(part, seen, height + begin[2], (across + height[..., None] * slope) / _STICK, np.array(_BOND))
    for k, atom in enumerate(scene.atoms):
        colour, radius = scene.looks(k)
        part, plane = window(atom - radius, atom + radius)
        offset = plane[..., :2] - atom[:2]
        rise = np.sqrt((radius**2 - (offset**2).sum(-1)).clip(0))
        paint(part, rise > 0, atom[2] + rise, np.concatenate([offset, rise[..., None]], axis=-1) / radius, colour)
    return image, depth


def _shaded(normal: NDArray, colour: NDArray, shine: float) -> NDArray:
    """Blinn and Phong: ambient, diffuse and a highlight; ``normal`` [points, 3] towards the viewer."""
    diffuse, highlight = (normal @ _LIGHT).clip(0), (normal @ _HALFWAY).clip(0) ** 40
    return (0.45 + 0.6 * diffuse)[:, None] * colour + shine * highlight[:, None]
