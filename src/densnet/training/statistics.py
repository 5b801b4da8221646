"""Constants of a training set: what brings every input and output of the networks to order one."""

from __future__ import annotations

import torch
from torch import Tensor

from densnet import units
from densnet.density.basis import DensityBasis
from densnet.model.density_network import DensityOutput
from densnet.model.layers import calibrate
from densnet.model.predictor import ModelSettings, Predictor
from densnet.molecules import all_pairs
from densnet.properties import Properties
from densnet.training.examples import Example


def initialise(training: list[Example], model: ModelSettings, basis: DensityBasis) -> Predictor:
    """An untrained predictor for these frames: their mean neighbours, spread of coefficients, reference energies and force scale."""
    labels = Properties.concatenate([e.properties for e in training])
    predictor = Predictor(model, basis, mean_neighbours(labels, model.density.cutoff * units.ANGSTROM))
    scale, mean = coefficient_spread(labels, basis)
    predictor.density_network.set_statistics(scale, mean)
    predictor.energy_network.read.set_statistics(scale, mean)
    element = predictor.element_of[labels.molecules.numbers]
    references = reference_energies(labels, element, len(basis.elements))
    force = float(labels.forces.double().square().mean().sqrt())
    predictor.energy_network.set_statistics(tuple(references.tolist()), force)
    few = Properties.concatenate([e.properties for e in training[:32]])
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


def coefficient_spread(labels: Properties, basis: DensityBasis) -> tuple[Tensor, Tensor]:
    """Per element: root mean square [elements, slots] of the coefficients (s about their mean), mean [elements, s slots]; 0 where padded."""
    coefficients = labels.density.coefficients.double()
    s_count = basis.counts[0]
    scale = torch.zeros(len(basis.elements), len(basis.slots), dtype=torch.float64)
    mean = torch.zeros(len(basis.elements), s_count, dtype=torch.float64)
    slots = torch.nn.functional.one_hot(basis.column_slots(), len(basis.slots)).double()
    for row, number in enumerate(basis.elements):
        own = coefficients[labels.molecules.numbers == number].clone()
        if not len(own):
            raise ValueError(f"no training frame holds element number {number}, which the density basis covers; restrict the basis to the data.")
        mean[row] = own[:, :s_count].mean(0)
        own[:, :s_count] -= mean[row]
        scale[row] = (own.square().mean(0) @ slots / slots.sum(0)).sqrt()
    floor = 0.02 * scale.amax(dim=1, keepdim=True) * basis.slot_mask(torch.tensor(basis.elements))
    return torch.maximum(scale, floor).float(), mean.float()


def reference_energies(labels: Properties, element: Tensor, elements: int) -> Tensor:
    """[elements] float64: energies per element that add up to the mean energy of each composition (least squares, smallest norm)."""
    counts = labels.molecules.total(torch.nn.functional.one_hot(element, elements).double())
    return torch.linalg.lstsq(counts, labels.energy.double().unsqueeze(1), driver="gelsd").solution.squeeze(1)
