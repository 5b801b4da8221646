"""Constants of a training set: what brings every input and output of the networks to order one."""

from __future__ import annotations

import torch
from torch import Tensor

from densnet import units
from densnet.density.basis import DensityBasis
from densnet.density.gaussians import own_coulomb_matrix
from densnet.model.density_network import DensityOutput, NaturalFunctions
from densnet.model.layers import calibrate
from densnet.model.predictor import ModelSettings, Predictor
from densnet.molecules import all_pairs
from densnet.properties import Properties
from densnet.training.checkpoint import TrainingError
from densnet.training.examples import Example


def initialise(training: list[Example], model: ModelSettings, basis: DensityBasis) -> Predictor:
    """An untrained predictor for these frames: their mean neighbours, spread of coefficients, reference energies and force scale.

    The coefficients are those of the frames whose density is fitted; of every element at least one.
    Its energy is the reference energies alone: learning starts from no force, not from a large random one.
    """
    labels = Properties.concatenate([e.properties for e in training])
    charges = None if labels.molecules.charge is None else {"charges": labels.molecules.charge.unique().tolist()}
    predictor = Predictor.of(model, basis, mean_neighbours(labels, model.density.cutoff * units.ANGSTROM), charges)
    fitted = [e.properties for e in training if e.properties.density is not None]
    natural = natural_functions(Properties.concatenate(fitted), basis)
    predictor.density_network.set_statistics(natural)
    predictor.energy_network.read.set_statistics(natural)
    element = predictor.element_of[labels.molecules.numbers]
    references = reference_energies(labels, element, len(basis.elements))
    force = float(labels.forces.double().square().mean().sqrt())
    predictor.energy_network.set_statistics(tuple(references.tolist()), force)
    for last in predictor.energy_network.last:
        torch.nn.init.zeros_(last.weight)
    few = Properties.concatenate(fitted[:32])
    geometry = predictor.geometry(few.molecules)
    labelled = DensityOutput(few.density.coefficients.float(), torch.zeros_like(few.density.exponents, dtype=torch.float32))
    calibrate(predictor.density_network, lambda: predictor.density_network(geometry))
    calibrate(predictor.energy_network, lambda: predictor.energy_network(labelled, geometry))
    return predictor


def mean_neighbours(labels: Properties, cutoff: float) -> float:
    """Mean number of atoms within ``cutoff`` (bohr) of an atom, at least 1."""
    pairs = all_pairs(labels.molecules)
    near = pairs.vectors(labels.molecules.positions).norm(dim=1) < cutoff
    return max(1.0, float(near.sum()) / len(labels.molecules.numbers))


def natural_functions(labels: Properties, basis: DensityBasis, floor: float = 0.01) -> NaturalFunctions:
    """Principal components of the fitted coefficients of each element and l, in the Coulomb metric of the atom's own functions.

    Components that vary less than ``floor`` of the largest are given that spread, so that the network can still reach them.
    """
    numbers = labels.molecules.numbers
    coefficients = labels.density.coefficients.double()
    mean = torch.zeros(len(basis.elements), basis.counts[0], dtype=torch.float64)
    synthesis = [torch.zeros(len(basis.elements), n, n, dtype=torch.float64) for n in basis.counts]
    analysis = [torch.zeros_like(s) for s in synthesis]
    for row, number in enumerate(basis.elements):
        own = coefficients[numbers == number]
        if not len(own):
            raise TrainingError(
                f"no training frame contains element number {number}, which the density basis covers; restrict the basis to the data."
            )
        mean[row] = own[:, basis.block(0)].mean(0)
        for l, n in enumerate(basis.counts):
            rows = own[:, basis.block(l)].unflatten(1, (n, 2 * l + 1)).transpose(1, 2).flatten(0, 1)
            present = basis.slot_mask(torch.tensor([number]))[0, basis.slot_block(l)]
            count = int(present.sum())
            if not count:
                continue
            rows = rows[:, :count] - (mean[row, :count] if l == 0 else 0.0)
            values, vectors = torch.linalg.eigh(own_coulomb_matrix(basis, number, l))
            root, inverse = (vectors * values.clamp(min=1e-10) ** power @ vectors.T for power in (0.5, -0.5))
            spread, directions = torch.linalg.eigh(root @ (rows.T @ rows / len(rows)) @ root)
            spread, directions = spread.flip(0).clamp(min=0).sqrt(), directions.flip(1)
            largest = float(spread[0].clamp(min=1e-8))
            synthesis[l][row, :count, :count] = spread.clamp(min=floor * largest)[:, None] * (inverse @ directions).T
            analysis[l][row, :count, :count] = root @ directions / largest
    return NaturalFunctions(mean.float(), tuple(s.float() for s in synthesis), tuple(a.float() for a in analysis))


def reference_energies(labels: Properties, element: Tensor, elements: int) -> Tensor:
    """[elements] float64: energies per element that add up to the mean energy of each composition (least squares, smallest norm)."""
    counts = labels.molecules.total(torch.nn.functional.one_hot(element, elements).double())
    return torch.linalg.lstsq(counts, labels.energy.double().unsqueeze(1), driver="gelsd").solution.squeeze(1)
