"""Constants of a training set: what brings every input and output of the networks to order one; gathered in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from densnet import units
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.gaussians import own_coulomb_matrix
from densnet.model.density_network import DensityOutput, NaturalFunctions
from densnet.model.layers import calibrate
from densnet.model.predictor import ModelSettings, Predictor
from densnet.molecules import Molecules, all_pairs
from densnet.properties import Properties
from densnet.training.checkpoint import TrainingError
from densnet.training.examples import Example


def initialise(training: list[Example], model: ModelSettings, basis: DensityBasis) -> Predictor:
    """An untrained predictor for these frames: their mean neighbours, spread of coefficients, reference energies and force scale.

    The coefficients are those of the frames whose density is fitted; of every element at least one.
    Its energy is the reference energies alone: learning starts from no force, not from a large random one.
    """
    means, fitted = Means.of(training, basis, model.density.cutoff * units.ANGSTROM), [e for e in training if "coefficients" in e.prepared]
    predictor = Predictor.of(model, basis, means.neighbours, means.charges)
    natural = natural_functions((e.density for e in fitted), basis)
    predictor.density_network.set_statistics(natural)
    predictor.energy_network.read.set_statistics(natural)
    predictor.energy_network.set_statistics(tuple(means.references.tolist()), means.force)
    for last in predictor.energy_network.last:
        torch.nn.init.zeros_(last.weight)
    few = [e.density for e in fitted[:32]]
    geometry = predictor.geometry(Molecules.concatenate([density.molecules for density in few]))
    coefficients, exponents = (torch.cat([getattr(density, name) for density in few]) for name in ("coefficients", "exponents"))
    labelled = DensityOutput(coefficients.float(), torch.zeros_like(exponents, dtype=torch.float32))
    calibrate(predictor.density_network, lambda: predictor.density_network(geometry))
    calibrate(predictor.energy_network, lambda: predictor.energy_network(labelled, geometry))
    return predictor


TOGETHER = 256
"""Frames whose sums are taken at once; those of more are added up."""


@dataclass(frozen=True)
class Means:
    """What a new predictor has to know of its training frames.

    neighbours   mean number of atoms within the cutoff of an atom, at least 1
    charges      what the provenance says of the charges; None if all are neutral
    references   [elements] float64, `reference_energies`
    force        root mean square of a component, hartree / bohr
    """

    neighbours: float
    charges: dict | None
    references: Tensor
    force: float

    @classmethod
    def of(cls, training: Iterable[Example], basis: DensityBasis, cutoff: float) -> Means:
        """Of all frames, ``cutoff`` in bohr."""
        near = atoms = 0
        squares, charges, counts, energies, charged = 0.0, set(), [], [], False
        elements = torch.tensor(basis.elements)
        for some in _parts(training):
            labels = Properties.concatenate([e.properties for e in some])
            molecules = labels.molecules
            near += int((all_pairs(molecules).vectors(molecules.positions).norm(dim=1) < cutoff).sum())
            atoms += len(molecules.numbers)
            squares += float(labels.forces.double().square().sum())
            charges |= set(molecules.net_charge.tolist())
            charged |= molecules.charge is not None
            counts.append(_counts(molecules, elements))
            energies.append(labels.energy.double())
        references = reference_energies(torch.cat(counts), torch.cat(energies), basis.elements)
        return cls(max(1.0, near / atoms), {"charges": sorted(charges)} if charged else None, references, (squares / (3 * atoms)) ** 0.5)


def _parts(items: Iterable) -> Iterator[list]:
    rest = iter(items)
    while some := list(islice(rest, TOGETHER)):
        yield some


@dataclass
class Moments:
    """Of rows that come in parts: how many, their mean (zero unless ``centred``), the sum of (row - mean)(row - mean)^T.

    T. F. Chan, G. H. Golub, R. J. LeVeque, Am. Stat. 37, 242 (1983).
    """

    centred: bool
    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, rows: Tensor) -> None:
        """Further ``rows`` [rows, columns], at least one."""
        self.count += len(rows)
        own = rows.mean(0) if self.centred else torch.zeros_like(rows[0])
        gap, share = own - self.mean, len(rows) / self.count
        self.squares = self.squares + (rows - own).T @ (rows - own) + (self.count - len(rows)) * share * torch.outer(gap, gap)
        self.mean = self.mean + share * gap


def natural_functions(densities: Iterable[Density], basis: DensityBasis, floor: float = 0.01) -> NaturalFunctions:
    """Principal components of the fitted coefficients of each element and l, in the Coulomb metric of the atom's own functions.

    Components that vary less than ``floor`` of the largest are given that spread, so that the network can still reach them.
    """
    moments = {(z, l): Moments(centred=l == 0) for z in basis.elements for l in range(len(basis.counts))}
    for some in _parts(densities):
        coefficients = torch.cat([density.coefficients for density in some]).double()
        numbers = torch.cat([density.molecules.numbers for density in some])
        for (z, l), known in moments.items():
            count = _present(basis, z, l)
            rows = coefficients[numbers == z][:, basis.block(l)].unflatten(1, (basis.counts[l], 2 * l + 1)).transpose(1, 2).flatten(0, 1)
            if count and len(rows):
                known.add(rows[:, :count])
    mean = torch.zeros(len(basis.elements), basis.counts[0], dtype=torch.float64)
    synthesis = [torch.zeros(len(basis.elements), n, n, dtype=torch.float64) for n in basis.counts]
    analysis = [torch.zeros_like(s) for s in synthesis]
    for row, number in enumerate(basis.elements):
        if not any(moments[number, l].count for l in range(len(basis.counts))):
            raise TrainingError(
                f"no training frame contains element number {number}, which the density basis covers; restrict the basis to the data."
            )
        for l in range(len(basis.counts)):
            known, count = moments[number, l], _present(basis, number, l)
            if not count:
                continue
            if l == 0:
                mean[row, :count] = known.mean
            values, vectors = torch.linalg.eigh(own_coulomb_matrix(basis, number, l))
            root, inverse = (vectors * values.clamp(min=1e-10) ** power @ vectors.T for power in (0.5, -0.5))
            spread, directions = torch.linalg.eigh(root @ (known.squares / known.count) @ root)
            spread, directions = spread.flip(0).clamp(min=0).sqrt(), directions.flip(1)
            largest = float(spread[0].clamp(min=1e-8))
            synthesis[l][row, :count, :count] = spread.clamp(min=floor * largest)[:, None] * (inverse @ directions).T
            analysis[l][row, :count, :count] = root @ directions / largest
    return NaturalFunctions(mean.float(), tuple(s.float() for s in synthesis), tuple(a.float() for a in analysis))


def _present(basis: DensityBasis, number: int, l: int) -> int:
    """How many functions of each m the basis has on an element; they come first."""
    return int(basis.slot_mask(torch.tensor([number]))[0, basis.slot_block(l)].sum())


FREE_ATOMS = {1: -0.5, 6: -37.8450, 7: -54.5892, 8: -75.0673, 9: -99.7339, 16: -398.110, 17: -460.148}
"""Energies of neutral atoms by atomic number, hartree, nonrelativistic: S. J. Chakravorty et al., Phys. Rev. A 47, 3649 (1993). They are
near enough for any level of theory, because they only say what the labels leave open."""


def reference_energies(counts: Tensor, energies: Tensor, elements: tuple[int, ...]) -> Tensor:
    """[elements] float64, hartree: energies per element (atomic numbers ``elements``) that add up to the ``energies`` [molecules].

    ``counts`` [molecules, elements] of atoms. Least squares of the error per atom. What the compositions leave open, such as how the
    binding energy of a single molecule is shared among its elements, stays as near as can be to free atoms (smallest norm): so the energy
    of another composition has a meaning, too.
    """
    free = torch.tensor([FREE_ATOMS[z] for z in elements], dtype=torch.float64)
    return free + _shared(counts, energies - counts @ free)


def _shared(counts: Tensor, energies: Tensor) -> Tensor:
    """[elements] that add up to the ``energies`` [molecules] with the least squares per atom and the smallest norm."""
    sizes = counts.sum(1, keepdim=True)
    return torch.linalg.lstsq(counts / sizes, energies.unsqueeze(1) / sizes, driver="gelsd").solution.squeeze(1)


def move_references(predictor: Predictor, labels: Iterable[Properties]) -> float:
    """Adds to the reference energies of a trained ``predictor`` what these ``labels``, of another level of theory, have more.

    Total energies of two levels differ by tenths of a hartree, shapes of their surfaces little: so that a network that knows one learns
    the other from few frames. Gives the mean change of a molecule's energy, hartree.
    """
    counts, gaps, elements = [], [], torch.tensor(predictor.basis.elements)
    for some in _parts(labels):
        part = Properties.concatenate([one.replace(orbitals=None) for one in some])
        with torch.no_grad():
            known = predictor.without_forces(part.molecules).energy
        counts.append(_counts(part.molecules, elements))
        gaps.append(part.energy.double() - known)
    network, change = predictor.energy_network, _shared(torch.cat(counts), torch.cat(gaps))
    network.set_statistics(tuple((torch.tensor(network.reference, dtype=torch.float64) + change).tolist()), network.scale)
    return float((torch.cat(counts) @ change).mean())


def _counts(molecules: Molecules, elements: Tensor) -> Tensor:
    """[molecules, elements] float64, how many atoms of each."""
    return molecules.total((molecules.numbers[:, None] == elements).double())
