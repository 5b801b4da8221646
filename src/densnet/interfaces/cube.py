"""Gaussian cube files: a scalar field on a box of voxels, streamed plane by plane.

Positive voxel counts, so lengths are in bohr; x is the slowest index, z the fastest, six values a line, a new line for every row along z.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from densnet import units
from densnet.errors import DensnetError
from densnet.files import replacing
from densnet.molecules import Molecules

Field = Callable[[Tensor], Tensor]
"""Points [points, 3], bohr -> values [points]."""

LARGEST_BOX = 200_000_000
"""Voxels; a file of so many takes 2.6 GB."""

_POINTS_AT_ONCE = 1 << 17


class CubeError(DensnetError):
    """A box that cannot be made."""


@dataclass(frozen=True)
class Box:
    """Voxel centres origin + (i, j, k) spacing, parallel to the axes: ``origin`` (x, y, z) and ``spacing`` in bohr, ``counts`` > 0."""

    origin: tuple[float, float, float]
    counts: tuple[int, int, int]
    spacing: float

    @classmethod
    def around(cls, molecule: Molecules, spacing: float, margin: float) -> Box:
        """The box about ``molecule`` that leaves at least ``margin`` (bohr) around the nuclei.

        The counts are even and the box is centred, so that a plane of symmetry of the molecule lies between two planes of voxels: nuclei,
        where the potential is infinite, then stay away from them. Raises `CubeError`.
        """
        for name, value in (("spacing", spacing), ("margin", margin)):
            if not 0 < value < math.inf:
                raise CubeError(
                    f"`{name}` is {value / units.ANGSTROM:g} Angstrom but must be positive; 0.2 and 3 are usual for spacing and margin."
                )
        low, high = molecule.positions.detach().double().aminmax(dim=0)
        counts = tuple(2 * math.ceil((length / 2 + margin) / spacing + 0.5) for length in (high - low).tolist())
        if math.prod(counts) > LARGEST_BOX:
            raise CubeError(
                f"a box of {' x '.join(map(str, counts))} voxels is too large (at most {LARGEST_BOX:g}); raise `spacing` or lower `margin`."
            )
        centre = (0.5 * (low + high)).tolist()
        return cls(tuple(c - 0.5 * (n - 1) * spacing for c, n in zip(centre, counts)), counts, spacing)

    def blocks(self) -> Iterator[Tensor]:
        """The voxel centres in the order of the file, whole x-planes at a time: [points, 3] float64, bohr."""
        x, y, z = (o + self.spacing * torch.arange(n, dtype=torch.float64) for o, n in zip(self.origin, self.counts))
        for part in x.split(max(1, _POINTS_AT_ONCE // (len(y) * len(z)))):
            yield torch.cartesian_prod(part, y, z)


def write(path: Path, molecule: Molecules, box: Box, field: Field, comment: str) -> float:
    """Write ``field`` on ``box`` around ``molecule`` to ``path`` and give its sum over the voxels times their volume.

    ``comment`` (one line) says what it is, in which unit and whose; memory stays that of some planes. The file appears when it is complete.
    """
    total = 0.0
    with replacing(path, encoding="ascii", errors="replace") as file:
        file.write(_header(molecule, box, comment))
        for points in box.blocks():
            values = field(points).detach().double()
            total += float(values.sum())
            for row in values.reshape(-1, box.counts[2]).tolist():
                file.write(_lines(row))
    return total * box.spacing**3


def _header(molecule: Molecules, box: Box, comment: str) -> str:
    """Two lines of comment, the origin, the three edges, the nuclei."""
    edges = (torch.eye(3) * box.spacing).tolist()
    lines = [" ".join(comment.split()), "lengths in bohr; x slowest, z fastest; written by densnet"]
    lines.append(_row(len(molecule.numbers), box.origin))
    lines += [_row(count, edge) for count, edge in zip(box.counts, edges)]
    nuclei = zip(molecule.numbers.tolist(), molecule.positions.detach().tolist())
    lines += [_row(number, (float(number), *position)) for number, position in nuclei]
    return "\n".join(lines) + "\n"


def _row(integer: int, values: tuple[float, ...] | list[float]) -> str:
    return f"{integer:5d}" + "".join(f"{value:12.6f}" for value in values)


def _lines(row: list[float]) -> str:
    return "".join("".join([f"{value:13.5E}" for value in row[k : k + 6]]) + "\n" for k in range(0, len(row), 6))
