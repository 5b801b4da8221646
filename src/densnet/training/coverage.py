"""Which geometries a model has seen: a few typical ones of each composition, small enough to travel with the model.

Two geometries differ by the rms difference of their interatomic distances, sorted within each pair of elements: the same measure as in
`dataset.batches.nearest`, blind to orientation and numbering.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from densnet import units
from densnet.dataset.batches import fingerprint
from densnet.dataset.dataset import formula
from densnet.files import sha256
from densnet.molecules import Molecules

FRAMES, NUMBERS = 64, 20_000
"""At most so many geometries, and so many distances in all, are kept of a composition."""


def names(frames: Iterable[Molecules]) -> list[str]:
    """Eight hexadecimal digits for each geometry (single molecules), the same to 1e-6 bohr."""
    places = (np.rint(1e6 * molecule.positions.detach().cpu().double().numpy()).astype(np.int64) for molecule in frames)
    return [sha256(array.tobytes())[:8] for array in places]


def coverage(frames: Iterable[Molecules]) -> dict:
    """Plain data for the provenance of a model: formula -> typical geometries of the training ``frames`` (single molecules).

    ``frames``: how many there were; ``distances`` [kept][pairs] in Angstrom, to 0.001; ``radius``, Angstrom: 95 % of the frames are that
    near to a kept one other than themselves. Each one kept is farthest from all before it; the first is the nearest to the mean.
    """
    seen: dict[str, list[NDArray]] = {}
    for molecule in frames:
        seen.setdefault(formula(molecule.numbers), []).append(_sorted_distances(molecule))
    return {name: _typical(np.stack(rows)) for name, rows in sorted(seen.items())}


def distance(known: dict, molecule: Molecules) -> float | None:
    """From ``molecule`` to the nearest geometry in ``known`` (of `coverage`), bohr; None if no molecule of its composition is there.

    Up to ``radius`` a geometry is as near to those kept as the training frames are.
    """
    if (typical := known.get(formula(molecule.numbers))) is None:
        return None
    away = np.array(typical["distances"]) * units.ANGSTROM - _sorted_distances(molecule)
    return float(_rms(away).min())


def _typical(rows: NDArray) -> dict:
    """The entry of one composition from the distances [frames, pairs] of all its frames, bohr."""
    most = min(FRAMES, len(rows), max(1, NUMBERS // max(1, rows.shape[1])))
    kept = [int(_rms(rows - rows.mean(0)).argmin())]
    away = _rms(rows - rows[kept[0]])
    while len(kept) < most and away.max() > 0:
        kept.append(int(away.argmax()))
        away = np.minimum(away, _rms(rows - rows[kept[-1]]))
    if len(kept) > 1:
        away[kept] = [_rms(np.delete(rows[kept], k, axis=0) - rows[frame]).min() for k, frame in enumerate(kept)]
    rounded = [[round(x, 3) for x in row] for row in (rows[kept] / units.ANGSTROM).tolist()]
    return {"frames": len(rows), "radius": round(float(np.quantile(away, 0.95)) / units.ANGSTROM, 4), "distances": rounded}


def _sorted_distances(molecule: Molecules) -> NDArray:
    """[pairs] interatomic distances, bohr, by pair of elements, then by length."""
    return fingerprint(molecule)[1].numpy()


def _rms(rows: NDArray) -> NDArray:
    """Root of the mean square over the last axis; zero where there is nothing to differ, as for an atom."""
    return np.sqrt((rows**2).sum(-1) / max(1, rows.shape[-1]))
