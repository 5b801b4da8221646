"""How much of energies and forces the electrostatic energy of the density explains: python benchmarks/electrostatics.py [--frames 150]

The predicted density of a shipped model gives, in closed form, three terms of the Coulomb energy, with n the nuclei and electrons of the
free atoms (neutral spheres) and d the correction:

    atoms      sum over pairs of atoms (n_A | n_B): a pair potential, no density needed
    linear     -(d | n): the correction in the field of the free atoms
    quadratic  (d | d) / 2

Their forces, through the density's own slope along the atoms, are held against those of DFT, training frames of 500 K: how much of the
variance of the components the best multiple of each explains, and of all three together.
"""

from __future__ import annotations

import numpy as np
import torch
from ablations import picked
from experiment import ETHANOL_500K, Table, conclude, frames, machine_line, parser
from torch import Tensor

from densnet import units
from densnet.density.basis import DensityBasis
from densnet.density.gaussians import charges, coulomb_radial, pair_blocks
from densnet.density.promolecule import shipped
from densnet.model.predictor import Predictor, load
from densnet.molecules import SYMBOLS, Molecules
from densnet.training.stages import along_atoms, freeze

TERMS = ("atoms", "linear", "quadratic")
NUCLEUS = 1e6
"""Exponent of the Gaussian that stands for a nucleus, 1 / bohr^2."""


def spheres(numbers: Tensor) -> tuple[DensityBasis, Tensor, Tensor]:
    """The free atoms' charge, positive where the nuclei are: basis, exponents and coefficients [atoms, slots], float64."""
    elements = numbers.unique().tolist()
    own = shipped().basis.restrict(elements)
    table = {SYMBOLS[z]: [(0, a) for a in (NUCLEUS, *shells[0])] for z, shells in zip(own.elements, own.shells)}
    basis = DensityBasis.of("free atoms with nuclei", table)
    exponents = basis.exponents(numbers)
    electrons = shipped().as_gaussians(numbers)[1][:, : len(own.slots)]
    nuclei = numbers.double() / charges(basis, exponents)[:, 0]
    return basis, exponents, torch.cat([nuclei[:, None], -electrons], dim=1)


def terms(predictor: Predictor, molecule: Molecules) -> tuple[Tensor, Tensor]:
    """The three energies [3], hartree, and their forces [3, atoms, 3], hartree/bohr."""
    frozen, atoms = freeze(predictor, molecule), len(molecule.numbers)
    basis, steep, n = spheres(molecule.numbers)
    c, w = (t.double().requires_grad_() for t in frozen.output)
    places = molecule.positions.double().requires_grad_()
    alphas = predictor.density_network.exponents[predictor.element_of[molecule.numbers]].double() * torch.exp(w)

    def interaction(bases: tuple, exponents: tuple, values: tuple, pairs: Tensor) -> Tensor:
        i, j = pairs
        blocks = pair_blocks(coulomb_radial, bases, (exponents[0][i], exponents[1][j]), places[i] - places[j])
        return torch.einsum("pi,pij,pj->", values[0][i], blocks, values[1][j])

    apart, every = torch.triu_indices(atoms, atoms, 1), torch.cartesian_prod(torch.arange(atoms), torch.arange(atoms)).T
    own = torch.arange(atoms).expand(2, -1)
    ours = (predictor.basis, predictor.basis), (alphas, alphas), (c, c)
    energies = (
        interaction((basis, basis), (steep, steep), (n, n), apart),
        -interaction((basis, predictor.basis), (steep, alphas), (n, c), every),
        interaction(*ours, apart) + 0.5 * interaction(*ours, own),
    )
    forces = []
    for energy in energies:
        direct, *slopes = torch.autograd.grad(energy, (places, c, w), retain_graph=True, materialize_grads=True)
        forces.append(-(direct + along_atoms(frozen.jacobian.double().flatten(), torch.cat(slopes, dim=1), [atoms])))
    return torch.stack(energies).detach(), torch.stack(forces)


def explained(inputs: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Percent of the squares of ``target`` [n] that the best combination of ``inputs`` [n, terms] takes away; its factors."""
    factors = np.linalg.lstsq(inputs, target, rcond=None)[0]
    return 100 * (1 - np.square(target - inputs @ factors).sum() / np.square(target).sum()), factors


def main() -> None:
    """Compute, regress, print."""
    options = parser(__doc__)
    options.add_argument("--model", default="ethanol")
    options.add_argument("--frames", type=int, default=150)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    model = load(chosen.model).requires_grad_(False)
    labels = picked(frames(*ETHANOL_500K), chosen.frames)
    known = [label.properties for label in labels]
    found = [terms(model, own.molecules) for own in known]
    energies = np.stack([energy.numpy() for energy, _ in found])
    forces = np.concatenate([force.flatten(1).T.numpy() for _, force in found])
    target = torch.cat([own.forces.double() for own in known]).flatten().numpy()
    energy = np.array([float(own.energy) for own in known])
    print(f"`{chosen.model}`, {len(known)} frames of 500 K; {machine_line()}")
    spread, size = energy.std() / units.MEV, target.std() / units.MEV_PER_ANGSTROM
    print(f"spread of the DFT energy {spread:.0f} meV, of its force components {size:.0f} meV/A")
    rows = []
    for names in ([0], [1], [2], [1, 2], [0, 1, 2]):
        share, factors = explained(forces[:, names], target)
        own = explained(energies[:, names] - energies[:, names].mean(0), energy - energy.mean())[0]
        title = " + ".join(f"{factor:.2g} {TERMS[k]}" for factor, k in zip(factors, names))
        rows.append([title, float(energies[:, names[0]].std() / units.MEV), share, own])
    table = Table(["best combination", "spread of the first, meV", "forces explained, %", "energy explained, %"], rows)
    conclude(chosen, "electrostatics", {"terms": table})


if __name__ == "__main__":
    main()
