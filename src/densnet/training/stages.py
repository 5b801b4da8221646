"""The phases of training: for each, which network learns, from which loss, and how it is validated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from densnet import units
from densnet.density.expansion import Density
from densnet.model.density_network import DensityOutput
from densnet.model.layers import calibrate
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules
from densnet.training import objective
from densnet.training.examples import Batch, Example, FrozenDensity, collate, compositions, with_fits, with_frozen, with_points
from densnet.training.settings import TrainSettings
from densnet.training.shelf import Shelf

Losses = dict[str, Tensor]

PER_ATOM = ("forces",)
"""Losses that are means over the atoms of a batch; all others are means over its molecules."""


@dataclass(frozen=True)
class Stage:
    """A phase of training.

    network     whose weights learn
    kinds       the composition of each training frame
    batch       (indices of frames, step) -> what the loss is made of
    loss        batch -> losses by name, differentiable in the weights
    validate    () -> metrics with a "score" to be minimised
    compiles    whether the loss is arithmetic alone, the same for all molecules of one composition
    """

    name: str
    network: nn.Module
    kinds: tuple[tuple[int, ...], ...]
    batch: Callable[[list[int], int], Batch]
    loss: Callable[[Batch], Losses]
    validate: Callable[[], dict[str, float]]
    compiles: bool = True


def density_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Network 1 on fitted coefficients in the Coulomb metric, exponents at their reference."""
    predictor.density_network.widths.requires_grad_(False)
    scale = Scale.of(training)

    def fitted(examples: list[Example]) -> Batch:
        return with_fits(collate(examples, "dipole"), examples).to(predictor.device)

    def relative_errors(density: Density, dipole: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        coulomb = objective.coulomb_error(density, batch["coefficients"], batch["metrics"]) / scale.coulomb
        return coulomb, objective.dipole_error(dipole, batch["dipole"]) / scale.dipole

    def loss(batch: Batch) -> Losses:
        coulomb, dipole = relative_errors(*predict_density(predictor, batch.molecules), batch)
        return {"density": coulomb.mean(), "dipole": settings.dipole_weight * dipole.mean()}

    def all_errors(examples: list[Example]) -> tuple[Tensor, ...]:
        batch = with_points(fitted(examples), examples).to(predictor.device)
        density, dipole = predict_density(predictor, batch.molecules)
        return (*relative_errors(density, dipole, batch), objective.point_error(density, batch))

    def validate() -> dict[str, float]:
        coulomb, dipole, error = over_batches(all_errors, validation)
        return {
            "score": float(coulomb.mean() + settings.dipole_weight * dipole.mean()),
            "density_relative_percent": 100 * float(coulomb.mean().sqrt()),
            "density_error_percent": float(error.mean()),
            "dipole_mae_D": scale.debye(dipole),
        }

    def batch(indices: list[int], step: int) -> Batch:
        return fitted([training[i] for i in indices])

    return Stage("density", predictor.density_network, compositions(training), batch, loss, validate, compiles=False)


def points_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Network 1 against the exact density on sampled points of space, exponents free."""
    predictor.density_network.widths.requires_grad_(predictor.settings.density.flexible)
    scale = Scale.of(training)

    def batch(indices: list[int], step: int) -> Batch:
        examples = [training[i] for i in indices]
        return sampled(collate(examples, "dipole"), examples, settings, step, indices).to(predictor.device)

    def loss(batch: Batch) -> Losses:
        return space_losses(*space_errors(*predict_density(predictor, batch.molecules), batch, scale), settings)

    kinds = compositions(training)
    return Stage("points", predictor.density_network, kinds, batch, loss, lambda: space_metrics(predictor, validation, scale, settings))


def energy_stage(
    predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings,
    *, folder: Path | None = None, read: Callable[[Predictor, Molecules], FrozenDensity] | None = None,
) -> Stage:  # fmt: skip
    """Network 2 on energies and forces with network 1 frozen: its Jacobian is computed once a frame and kept on a `Shelf` in ``folder``.

    The scales of an untrained one are set anew, by the density that it will read in place of the labelled one. ``read`` another density
    than network 1's (`freeze`), if given.
    """
    every, shelf = [*training, *validation], Shelf(folder)
    molecules = [e.molecule for e in every]
    densities = enumerate(read(predictor, m) for m in molecules) if read else freeze_all(predictor, molecules)
    frozen = {id(every[k]): shelf.put(density.tensors()) for k, density in densities}

    def on_frozen(examples: list[Example]) -> Batch:
        return with_frozen(collate(examples, "energy", "forces"), [frozen[id(e)] for e in examples]).to(predictor.device)

    if not predictor.energy_network.trained:
        some = on_frozen(training[:32])
        geometry, density = predictor.geometry(some.molecules), DensityOutput(some["coefficients"], some["widths"])
        calibrate(predictor.energy_network, lambda: predictor.energy_network(density, geometry))

    def loss(batch: Batch) -> Losses:
        return energy_losses(*energy_on_frozen(predictor, batch, create_graph=True), batch, predictor, settings)

    def validate() -> dict[str, float]:
        return energy_metrics(validation, on_frozen, lambda batch: energy_on_frozen(predictor, batch), predictor, settings)

    def batch(indices: list[int], step: int) -> Batch:
        return on_frozen([training[i] for i in indices])

    return Stage("energy", predictor.energy_network, compositions(training), batch, loss, validate)


def joint_stage(predictor: Predictor, training: list[Example], validation: list[Example], settings: TrainSettings) -> Stage:
    """Both networks on energies, forces, dipoles and sampled points of the density together."""
    predictor.density_network.widths.requires_grad_(predictor.settings.density.flexible)
    scale = Scale.of(training)

    def labelled(examples: list[Example]) -> Batch:
        return collate(examples, "energy", "forces", "dipole").to(predictor.device)

    def batch(indices: list[int], step: int) -> Batch:
        examples = [training[i] for i in indices]
        return sampled(labelled(examples), examples, settings, step, indices).to(predictor.device)

    def loss(batch: Batch) -> Losses:
        predicted = predictor(batch.molecules, create_graph=True)
        in_space = space_losses(*space_errors(predicted.density, predicted.dipole, batch, scale), settings)
        weighted = {name: settings.density_weight * loss for name, loss in in_space.items()}
        return energy_losses(predicted.energy, predicted.forces, batch, predictor, settings) | weighted

    def predict(batch: Batch) -> tuple[Tensor, Tensor]:
        predicted = predictor(batch.molecules)
        return predicted.energy, predicted.forces

    def validate() -> dict[str, float]:
        energies = energy_metrics(validation, labelled, predict, predictor, settings)
        density = space_metrics(predictor, validation, scale, settings)
        return density | energies | {"score": energies["score"] + settings.density_weight * density["score"]}

    return Stage("joint", predictor, compositions(training), batch, loss, validate)


@dataclass(frozen=True)
class Scale:
    """Mean squares of the targets, to which losses are relative: Coulomb self-energy of the correction (hartree), dipole (e bohr)^2.

    The first is not a number where examples hold no metric.
    """

    coulomb: float
    dipole: float

    @classmethod
    def of(cls, examples: list[Example]) -> Scale:
        """Means over the training frames; the dipole's not below (0.1 e bohr)^2, for molecules that have none."""
        dipole = torch.cat([e.properties.dipole for e in examples]).double().square().sum(-1).mean()
        known = [e for e in examples if "metric" in e.prepared]
        coulomb = torch.cat([_self_energy(e) for e in known]).mean() if known else torch.nan
        return cls(float(coulomb), max(float(dipole), 0.01))

    def debye(self, relative: Tensor) -> float:
        """Mean length of the dipole error in debye from relative squares."""
        return float((relative * self.dipole).sqrt().mean()) / units.DEBYE


def _self_energy(example: Example) -> Tensor:
    density = example.density
    zero = Density.of(density.molecules, density.basis, torch.zeros_like(density.coefficients))
    return objective.coulomb_error(zero, density.coefficients, example.metric.flatten())


def sampled(batch: Batch, examples: list[Example], settings: TrainSettings, step: int, indices: list[int]) -> Batch:
    """The batch with points of its ``examples``, others at every step; which, does not depend on what else is in the batch."""
    seeds = [((settings.seed * 7_000_003 + step) * 1_000_003 + index) % 2**63 for index in indices]
    return with_points(batch, examples, settings.points_per_frame, seeds)


def length(squares: Tensor) -> Tensor:
    """Square root with a slope at zero."""
    return (squares + 1e-14).sqrt()


def predict_density(predictor: Predictor, molecules: Molecules) -> tuple[Density, Tensor]:
    """Density and dipole of a batch, differentiable in the weights."""
    geometry = predictor.geometry(molecules)
    density = predictor.density(molecules, predictor.density_network(geometry), geometry)
    return density, density.dipole()


def space_errors(density: Density, dipole: Tensor, batch: Batch, scale: Scale) -> tuple[Tensor, Tensor]:
    """[molecules] density error on the points of the batch, percent, and squared dipole error relative to ``scale``."""
    return objective.point_error(density, batch), objective.dipole_error(dipole, batch["dipole"]) / scale.dipole


def space_losses(error: Tensor, dipole: Tensor, settings: TrainSettings) -> Losses:
    """What both add to the loss."""
    return {"density": error.mean(), "dipole": settings.dipole_weight * length(dipole).mean()}


def space_metrics(predictor: Predictor, examples: list[Example], scale: Scale, settings: TrainSettings) -> dict[str, float]:
    """Score and mean errors of density (on all points) and dipole."""

    def errors(some: list[Example]) -> tuple[Tensor, Tensor]:
        batch = with_points(collate(some, "dipole"), some).to(predictor.device)
        return space_errors(*predict_density(predictor, batch.molecules), batch, scale)

    error, dipole = over_batches(errors, examples)
    score = float(sum(space_losses(error, dipole, settings).values()))
    return {"score": score, "density_error_percent": float(error.mean()), "dipole_mae_D": scale.debye(dipole)}


def over_batches(function: Callable[[list[Example]], tuple[Tensor, ...]], examples: list[Example], size: int = 32) -> list[Tensor]:
    """The per-molecule results of ``function`` over all examples, joined, without derivatives."""
    with torch.no_grad():
        parts = [function(examples[i : i + size]) for i in range(0, len(examples), size)]
    return [torch.cat(column) for column in zip(*parts)]


def energy_losses(energy: Tensor, forces: Tensor, target: Batch, predictor: Predictor, settings: TrainSettings) -> Losses:
    """Errors in units of the root mean squared force component of the training set; smooth below a hundred-thousandth of it."""
    unit = predictor.energy_network.scale
    per_atom = objective.energy_error(energy, target["energy"], target.molecules.sizes, 1e-5 * unit)
    per_component = objective.force_error(forces, target["forces"], 1e-5 * unit)
    return {"forces": per_component / unit, "energy": settings.energy_weight * per_atom / unit}


def energy_metrics(
    examples: list[Example], collated: Callable[[list[Example]], Batch], predict: Callable[[Batch], tuple[Tensor, Tensor]],
    predictor: Predictor, settings: TrainSettings, size: int = 32,
) -> dict[str, float]:  # fmt: skip
    """Score and mean absolute errors of energies (meV a molecule) and forces (meV/Angstrom)."""
    energies, components, losses = [], [], []
    for start in range(0, len(examples), size):
        batch = collated(examples[start : start + size])
        energy, forces = (t.detach() for t in predict(batch))
        energies.append((energy - batch["energy"]).abs())
        components.append((forces - batch["forces"]).abs().flatten())
        losses.append(sum(energy_losses(energy, forces, batch, predictor, settings).values()) * batch.molecules.count)
    return {
        "score": float(sum(losses)) / len(examples),
        "energy_mae_meV": float(torch.cat(energies).mean()) / units.MEV,
        "force_mae_meV_per_A": float(torch.cat(components).mean()) / units.MEV_PER_ANGSTROM,
    }


def freeze(predictor: Predictor, molecule: Molecules) -> FrozenDensity:
    """Output of network 1 for one molecule and its Jacobian along the atoms, by forward-mode differentiation."""
    return next(freeze_all(predictor, [molecule]))[1]


def freeze_all(predictor: Predictor, molecules: list[Molecules]) -> Iterator[tuple[int, FrozenDensity]]:
    """(index, `freeze`) of each, those of one size together.

    An atom moves in all molecules of a batch at once: each has its own density, so the slope along that is the slope along its own
    atom. So many go together that all atoms of all shifted copies fill the cache of a core, or the GPU.
    """
    rows = 512 if predictor.device.type == "cpu" else 32768
    by_size: dict[int, list[int]] = {}
    for index, molecule in enumerate(molecules):
        by_size.setdefault(len(molecule.numbers), []).append(index)
    for size, indices in by_size.items():
        count = max(1, rows // (3 * size * size))
        for start in range(0, len(indices), count):
            some = indices[start : start + count]
            yield from zip(some, _freeze_batch(predictor, Molecules.concatenate([molecules[i] for i in some])))


def _freeze_batch(predictor: Predictor, molecules: Molecules) -> list[FrozenDensity]:
    """Of molecules of one size."""

    def outputs(shift: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        positions = (start.view(molecules.count, -1, 3) + shift).view(-1, 3)
        output = predictor.density_network(predictor.geometry(molecules.at(positions), neighbours))
        return torch.cat(output, dim=1).view(molecules.count, -1), tuple(output)

    molecules = molecules.to(predictor.device)
    start = molecules.positions.to(predictor.dtype)
    size, neighbours = len(start) // molecules.count, predictor.neighbours_of(molecules)
    with torch.no_grad():
        jacobian, output = torch.func.jacfwd(outputs, has_aux=True)(start.new_zeros(size, 3))
    each = zip(*(part.split(size) for part in output), jacobian.flatten(2).mT.contiguous())
    return [FrozenDensity(DensityOutput(coefficients, widths), slopes) for coefficients, widths, slopes in each]


def energy_on_frozen(predictor: Predictor, batch: Batch, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Energies and forces with F = -dE/dR at fixed density - (d density/dR)^T dE/d density, of a batch made by `with_frozen`.

    With ``create_graph`` differentiable in network 2's weights. Network 2 may read the density alone, or the geometry.
    """
    with torch.enable_grad():
        molecules = batch.molecules.at(batch.molecules.positions.detach().requires_grad_())
        output = DensityOutput(*(batch[name].detach().requires_grad_() for name in ("coefficients", "widths")))
        energy = molecules.total(predictor.energy_network(output, predictor.geometry(molecules)))
        read = (molecules.positions, *output)
        direct, *slopes = torch.autograd.grad(energy.sum(), read, create_graph=create_graph, materialize_grads=True)
    return energy, -(direct + along_atoms(batch["jacobian"], torch.cat(slopes, dim=1), molecules.sizes.tolist()))


def along_atoms(jacobian: Tensor, slopes: Tensor, sizes: list[int]) -> Tensor:
    """[atoms, 3] chain rule: ``jacobian`` [3 atoms, atoms x width] of each molecule of ``sizes``, flat, times ``slopes`` [atoms, width]."""
    if len(set(sizes)) == 1:
        own = slopes.view(len(sizes), -1, 1)
        return torch.bmm(jacobian.view(len(sizes), 3 * sizes[0], -1), own).view(-1, 3)
    parts = zip(jacobian.split([3 * n * n * slopes.shape[1] for n in sizes]), slopes.split(sizes))
    return torch.cat([(j.view(3 * len(s), -1) @ s.flatten()).view(-1, 3) for j, s in parts])
