"""Another reading of the density: what an atom sees of the whole correction, its neighbours' tails too.

The correction around atom A is expanded in a few functions p of A alone, so that the expansion is nearest to it in the overlap metric:

    d_A = (p | p)^-1  sum_B (p_A | g_B) c_B

Other than the coefficients c, which an over-complete basis shares out between neighbours in many ways, d depends on the density only.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.gaussians import overlap_radial, pair_blocks
from densnet.model.density_network import DensityOutput
from densnet.model.energy_network import EnergyNetwork
from densnet.model.predictor import Predictor
from densnet.molecules import SYMBOLS, Molecules
from densnet.training.examples import Example, FrozenDensity
from densnet.training.stages import freeze
from densnet.training.statistics import natural_functions

EXPONENTS = (4.0, 1.6, 0.64, 0.26, 0.1)
ORDERS = 3
"""Functions of l = 0, 1, 2 with each of the exponents (1 / bohr^2) on every atom: 45 of them."""

SAMPLE = 64
"""Frames that set the scales of what is read."""


def probes(predictor: Predictor) -> DensityBasis:
    """The functions p, the same on every element."""
    functions = [(l, a) for l in range(ORDERS) for a in EXPONENTS]
    return DensityBasis.of("probes", {SYMBOLS[z]: functions for z in predictor.basis.elements})


def expanded(predictor: Predictor, molecule: Molecules) -> FrozenDensity:
    """d [atoms, 45], what network 1 predicts seen by each atom, and its Jacobian along the atoms, both float32."""
    frozen, basis, atoms = freeze(predictor, molecule), probes(predictor), len(molecule.numbers)
    coefficients, widths = (t.double() for t in frozen.output)
    of_c, of_w = frozen.jacobian.double().unflatten(1, (atoms, -1)).split([coefficients.shape[1], widths.shape[1]], dim=2)
    i, j = torch.cartesian_prod(torch.arange(atoms), torch.arange(atoms)).T
    places = molecule.positions.double()
    vectors, own = places[i] - places[j], basis.exponents(molecule.numbers)
    alphas = (predictor.density_network.exponents[predictor.element_of[molecule.numbers]] * torch.exp(frozen.output.widths)).double()

    def overlaps(vectors: Tensor, exponents: Tensor) -> Tensor:
        return pair_blocks(overlap_radial, (basis, predictor.basis), (own[i], exponents), vectors)

    square = partial(torch.unflatten, dim=0, sizes=(atoms, atoms))
    along = [torch.func.jvp(lambda v: overlaps(v, alphas[j]), (vectors,), (axis.expand_as(vectors),))[1] for axis in torch.eye(3).double()]
    values, by_width = (square(t) for t in torch.func.jvp(lambda b: overlaps(vectors, b), (alphas[j],), (alphas[j],)))
    moved = torch.stack([torch.einsum("abkw,bw->abk", square(t), coefficients) for t in along])  # [x, a, b, k], along R_a - R_b
    one = torch.eye(atoms, dtype=torch.float64)
    slopes = torch.einsum("abkw,ybw->yak", values, of_c)
    slopes += torch.einsum("abkw,bw,ybw->yak", by_width, coefficients, of_w[:, :, predictor.basis.column_slots()])
    explicit = torch.einsum("xabk,ac->cxak", moved, one) - torch.einsum("xack->cxak", moved)
    inverse = torch.linalg.inv(pair_blocks(overlap_radial, (basis, basis), (own, own), torch.zeros_like(places)))
    d = torch.einsum("akp,ap->ak", inverse, torch.einsum("abkw,bw->ak", values, coefficients))
    jacobian = torch.einsum("akp,yap->yak", inverse, slopes + explicit.flatten(0, 1))
    none = d.new_zeros(atoms, len(basis.slots))  # exponents of the probes stay what they are
    whole = torch.cat([jacobian, none.expand(len(jacobian), -1, -1)], dim=2)
    return FrozenDensity(DensityOutput(d.float(), none.float()), whole.flatten(1).float())


def with_probes(predictor: Predictor, training: list[Example]) -> Predictor:
    """``predictor`` with a new network 2 that reads d, at the scales that d has in some of the ``training`` frames."""
    basis, settings, old = probes(predictor), predictor.settings, predictor.energy_network
    molecules = [example.molecule for example in training[:: max(1, len(training) // SAMPLE)]]
    seen = [Density.of(m.to(dtype=torch.float64), basis, expanded(predictor, m).output.coefficients.double()) for m in molecules]
    network = EnergyNetwork(settings.energy, basis, settings.density.radial_functions, predictor.neighbours)
    network.read.set_statistics(natural_functions(seen, basis))
    network.set_statistics(old.reference, old.scale)
    for last in network.last:
        torch.nn.init.zeros_(last.weight)
    predictor.energy_network = network
    return predictor
