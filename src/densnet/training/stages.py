"""The phases of training: for each, which network learns, from which loss, and how it is validated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densnet import units
from densnet.density.expansion import Density
from densnet.model.density_network import DensityOutput
from densnet.model.layers import calibrate
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.training import objective
from densnet.training.examples import Batch, Example, FrozenDensity, collate
from densnet.training.settings import TrainSettings

Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """A phase: ``loss(indices, step)`` by name, ``validate()`` -> metrics with a "score" to be minimised, ``count`` training frames."""

    name: str
    network: nn.Module
    count: int
    loss: Callable[[list[int], int], Losses]
    validate: Callable[[], dict[str, float]]


def density_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Network 1 on fitted coefficients in the Coulomb metric, exponents at their reference."""
    predictor.density_network.widths.requires_grad_(False)
    scale = Scale.of(training)

    def relative_errors(density: Density, dipole: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        coulomb = objective.coulomb_error(density, batch.properties.density, batch.metrics) / scale.coulomb
        return coulomb, objective.dipole_error(dipole, batch.properties.dipole) / scale.dipole

    def loss(indices: list[int], step: int) -> Losses:
        batch = collate([training[i] for i in indices]).to(predictor.device)
        coulomb, dipole = relative_errors(*predict_density(predictor, batch), batch)
        return {"density": coulomb.mean(), "dipole": settings.dipole_weight * dipole.mean()}

    def all_errors(batch: Batch) -> tuple[Tensor, ...]:
        density, dipole = predict_density(predictor, batch)
        return (*relative_errors(density, dipole, batch), objective.point_error(density, batch))

    def validate() -> dict[str, float]:
        coulomb, dipole, error = over_batches(all_errors, validation, predictor.device)
        return {
            "score": float(coulomb.mean() + settings.dipole_weight * dipole.mean()),
            "density_relative_percent": 100 * float(coulomb.mean().sqrt()),
            "density_error_percent": float(error.mean()),
            "dipole_mae_D": scale.debye(dipole),
        }

    return Stage("density", predictor.density_network, len(training), loss, validate)


def points_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Network 1 against the exact density on sampled points of space, exponents free."""
    predictor.density_network.widths.requires_grad_(predictor.settings.density.flexible)
    scale = Scale.of(training)

    def errors(batch: Batch) -> tuple[Tensor, Tensor]:
        density, dipole = predict_density(predictor, batch)
        return objective.point_error(density, batch), objective.dipole_error(dipole, batch.properties.dipole) / scale.dipole

    def losses(error: Tensor, dipole: Tensor) -> Losses:
        return {"density": error.mean(), "dipole": settings.dipole_weight * dipole.mean().clamp(min=1e-14).sqrt()}

    def loss(indices: list[int], step: int) -> Losses:
        batch = collate([training[i] for i in indices], settings.points_per_frame, settings.seed * 7_000_003 + step)
        return losses(*errors(batch.to(predictor.device)))

    def validate() -> dict[str, float]:
        error, dipole = over_batches(errors, validation, predictor.device)
        score = float(sum(losses(error, dipole).values()))
        return {"score": score, "density_error_percent": float(error.mean()), "dipole_mae_D": scale.debye(dipole)}

    return Stage("points", predictor.density_network, len(training), loss, validate)


def energy_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Network 2 on energies and forces with network 1 frozen: its Jacobian is computed once a frame.

    The scales of an untrained one are set anew, by the density that it will read in place of the labelled one.
    """
    frozen = {id(e): freeze(predictor, e.properties.molecules) for e in [*training, *validation]}
    if not predictor.energy_network.trained:
        geometry = predictor.geometry(collate(training[:32]).to(predictor.device).properties.molecules)
        density = joined([frozen[id(e)] for e in training[:32]])
        calibrate(predictor.energy_network, lambda: predictor.energy_network(density, geometry))

    def predict(examples: list[Example], batch: Batch) -> tuple[Tensor, Tensor]:
        return energy_on_frozen(predictor, batch.properties, [frozen[id(e)] for e in examples])

    def loss(indices: list[int], step: int) -> Losses:
        examples = [training[i] for i in indices]
        batch = collate(examples).to(predictor.device)
        return energy_losses(*predict(examples, batch), batch.properties, predictor, settings)

    def validate() -> dict[str, float]:
        return energy_metrics(validation, predictor, settings, predict)

    return Stage("energy", predictor.energy_network, len(training), loss, validate)


def joint_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Both networks on energies, forces, dipoles and sampled points of the density together."""
    predictor.density_network.widths.requires_grad_(predictor.settings.density.flexible)
    scale = Scale.of(training)

    def loss(indices: list[int], step: int) -> Losses:
        batch = collate([training[i] for i in indices], settings.points_per_frame, settings.seed * 7_000_003 + step).to(predictor.device)
        predicted = predictor(batch.properties.molecules, create_graph=True)
        dipole = objective.dipole_error(predicted.dipole, batch.properties.dipole) / scale.dipole
        return energy_losses(predicted.energy, predicted.forces, batch.properties, predictor, settings) | {
            "density": settings.density_weight * objective.point_error(predicted.density, batch).mean(),
            "dipole": settings.density_weight * settings.dipole_weight * dipole.mean().clamp(min=1e-14).sqrt(),
        }

    def predict(examples: list[Example], batch: Batch) -> tuple[Tensor, Tensor]:
        predicted = predictor(batch.properties.molecules)
        return predicted.energy, predicted.forces

    def validate() -> dict[str, float]:
        return energy_metrics(validation, predictor, settings, predict)

    return Stage("joint", predictor, len(training), loss, validate)


@dataclass(frozen=True)
class Scale:
    """Mean squares of the targets, to which losses are relative: Coulomb self-energy of the correction (hartree), dipole (e bohr)^2."""

    coulomb: float
    dipole: float

    @classmethod
    def of(cls, examples: list[Example]) -> Scale:
        """Means over the training frames; the dipole's not below (0.1 e bohr)^2, for molecules that have none."""
        densities = [e.properties.density for e in examples]
        zeros = [Density.of(d.molecules, d.basis, torch.zeros_like(d.coefficients)) for d in densities]
        coulomb = [objective.coulomb_error(zero, d, (e.metric,)) for zero, d, e in zip(zeros, densities, examples)]
        dipole = torch.cat([e.properties.dipole for e in examples]).double().square().sum(-1).mean()
        return cls(float(torch.cat(coulomb).mean()), max(float(dipole), 0.01))

    def debye(self, relative: Tensor) -> float:
        """Mean length of the dipole error in debye from relative squares."""
        return float((relative * self.dipole).sqrt().mean()) / units.DEBYE


def predict_density(predictor: Predictor, batch: Batch) -> tuple[Density, Tensor]:
    """Density and dipole of a batch, differentiable in the weights."""
    molecules = batch.properties.molecules
    geometry = predictor.geometry(molecules)
    density = predictor.density(molecules, predictor.density_network(geometry), geometry)
    return density, density.dipole()


def over_batches(
    function: Callable[[Batch], tuple[Tensor, ...]], examples: list[Example], device: torch.device, size: int = 32
) -> list[Tensor]:
    """The per-molecule results of ``function`` over all examples, joined, without derivatives."""
    with torch.no_grad():
        parts = [function(collate(examples[i : i + size]).to(device)) for i in range(0, len(examples), size)]
    return [torch.cat(column) for column in zip(*parts)]


def energy_losses(energy: Tensor, forces: Tensor, target: Properties, predictor: Predictor, settings: TrainSettings) -> Losses:
    """Errors in units of the root mean squared force component of the training set; smooth below a hundred-thousandth of it."""
    unit = predictor.energy_network.scale
    per_atom = objective.energy_error(energy, target.energy, target.molecules.sizes, 1e-5 * unit)
    return {"forces": objective.force_error(forces, target.forces, 1e-5 * unit) / unit, "energy": settings.energy_weight * per_atom / unit}


def energy_metrics(
    examples: list[Example], predictor: Predictor, settings: TrainSettings,
    predict: Callable[[list[Example], Batch], tuple[Tensor, Tensor]], size: int = 32,
) -> dict[str, float]:  # fmt: skip
    """Score and mean absolute errors of energies (meV a molecule) and forces (meV/Angstrom)."""
    energies, components, losses = [], [], []
    for start in range(0, len(examples), size):
        chosen = examples[start : start + size]
        batch = collate(chosen).to(predictor.device)
        energy, forces = (t.detach() for t in predict(chosen, batch))
        energies.append((energy - batch.properties.energy).abs())
        components.append((forces - batch.properties.forces).abs().flatten())
        losses.append(sum(energy_losses(energy, forces, batch.properties, predictor, settings).values()) * len(chosen))
    return {
        "score": float(sum(losses)) / len(examples),
        "energy_mae_meV": float(torch.cat(energies).mean()) / units.MEV,
        "force_mae_meV_per_A": float(torch.cat(components).mean()) / units.MEV_PER_ANGSTROM,
    }


def freeze(predictor: Predictor, molecule: Molecules) -> FrozenDensity:
    """Output of network 1 for one molecule and its Jacobian along the atoms, by forward-mode differentiation."""

    def rows(positions: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output = predictor.density_network(predictor.geometry(molecule.at(positions)))
        return torch.cat(output, dim=1).flatten(), tuple(output)

    molecule = molecule.to(predictor.device)
    with torch.no_grad():
        jacobian, output = torch.func.jacfwd(rows, has_aux=True)(molecule.positions.to(predictor.dtype))
    return FrozenDensity(DensityOutput(*output), jacobian.flatten(1).T.contiguous())


def joined(frozen: list[FrozenDensity]) -> DensityOutput:
    """The outputs of network 1 for several molecules as one batch."""
    return DensityOutput(*(torch.cat(parts) for parts in zip(*(f.output for f in frozen))))


def energy_on_frozen(predictor: Predictor, target: Properties, frozen: list[FrozenDensity]) -> tuple[Tensor, Tensor]:
    """Energies and forces with F = -dE/dR at fixed density - (d density/dR)^T dE/d density; differentiable in network 2's weights."""
    with torch.enable_grad():
        molecules = target.molecules.at(target.molecules.positions.detach().requires_grad_())
        output = DensityOutput(*(part.requires_grad_() for part in joined(frozen)))
        geometry = predictor.geometry(molecules)
        energy = molecules.total(predictor.energy_network(output, geometry))
        training = torch.is_grad_enabled() and predictor.energy_network.training
        direct, *slopes = torch.autograd.grad(energy.sum(), (molecules.positions, *output), create_graph=training)
    through = torch.cat(slopes, dim=1).split(molecules.sizes.tolist())
    chain = torch.cat([(f.jacobian @ slope.flatten()).view(-1, 3) for f, slope in zip(frozen, through, strict=True)])
    return energy, -(direct + chain)
