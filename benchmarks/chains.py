"""Molecules of any size to measure on, and models with weights that nobody trained, for which the time is the same."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from densnet import units
from densnet.density.basis import DensityBasis
from densnet.model.predictor import ModelSettings, Predictor, load
from densnet.molecules import Molecules
from densnet.reference.geometries import read

GEOMETRIES = Path(__file__).resolve().parent.parent / "examples" / "geometries"
DEFAULT = "defaults"
"""In place of the name of a model: the sizes that a new training gets unless told otherwise."""
NEIGHBOURS = 10.0
"""Of an atom on average; a constant that a training would set."""


def known(name: str) -> Molecules:
    """The first geometry of examples/geometries/NAME.xyz."""
    return read(GEOMETRIES / f"{name}.xyz")[0].molecule


def copies(molecule: Molecules, count: int) -> Molecules:
    """So many of the same, in one batch."""
    return Molecules.replicas(molecule.numbers, molecule.positions.repeat(count, 1, 1))


def alkane(carbons: int) -> Molecules:
    """A straight chain: C-C 1.53, C-H 1.09 Angstrom, 112 and 109.5 degrees."""
    half = math.radians(112.0) / 2
    step, rise, spread, reach = 1.53 * math.sin(half), 1.53 * math.cos(half) / 2, 1.09 * math.sin(0.9555), 1.09 * math.cos(0.9555)
    atoms = []
    for k in range(carbons):
        x, side = k * step, (-1.0) ** k
        atoms += [(6, [x, side * rise, 0.0])] + [(1, [x, side * (rise + reach), z]) for z in (spread, -spread)]
    for k, away in ((0, -1.0), (carbons - 1, 1.0)):
        side = (-1.0) ** k
        atoms.append((1, [k * step + 1.09 * away * math.sin(half), side * (rise - 1.09 * math.cos(half)), 0.0]))
    return Molecules.single([z for z, _ in atoms], np.array([x for _, x in atoms]) * units.ANGSTROM)


def untrained(molecules: Molecules, like: str = DEFAULT) -> Predictor:
    """A model for these elements, of the sizes of the model ``like`` or of a new one; basis `optimised` if new."""
    torch.manual_seed(1)
    elements = molecules.numbers.unique().tolist()
    if like == DEFAULT:
        predictor = Predictor.of(ModelSettings(), DensityBasis.built_in("optimised", elements), NEIGHBOURS)
    else:
        former = load(like)
        predictor = Predictor.of(former.settings, DensityBasis.built_in(former.basis.name, elements), former.neighbours)
    return predictor.float().eval().requires_grad_(False)
