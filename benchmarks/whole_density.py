"""Direct learning, for comparison: the network gives the whole density, with no promolecule beneath it.

rho = sum c g, integral rho = N by the same local transfers as in `DensityNetwork`, atom A holding Z_A + sum_B t_AB electrons. A
`WholeDensity` answers all that is asked of a `Density`: its values are rho - rho_SAD, its multipoles those of the molecule.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from densnet.density import gaussians
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.promolecule import shipped
from densnet.model.density_network import DensityOutput, Transfer
from densnet.model.geometry import Geometry
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.reference.fitting import RIDGE
from densnet.training.examples import Example


class WholeDensity(Density):
    """A `Density` whose coefficients expand rho itself."""

    def values(self, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        return super().values(points, point_owner) - shipped().values(self.molecules, points.to(self.coefficients.dtype), point_owner)

    def dipole(self) -> Tensor:
        nuclei = self.molecules.numbers[:, None] * self.molecules.positions
        return super().dipole() + self.molecules.total(nuclei).to(self.coefficients.dtype)

    def quadrupole(self) -> Tensor:
        molecules, masses = self.molecules, self.molecules.masses[:, None]
        arm = molecules.positions - (molecules.total(masses * molecules.positions) / molecules.total(masses))[molecules.owner]
        square = arm.square().sum(-1)[:, None, None] * torch.eye(3, dtype=arm.dtype)
        nuclei = 0.5 * molecules.numbers[:, None, None] * (3 * arm[:, :, None] * arm[:, None, :] - square)
        return super().quadrupole() + molecules.total(nuclei).to(self.coefficients.dtype)

    def potential(self, points: Tensor, point_owner: Tensor | None = None) -> Tensor:
        return super().potential(points, point_owner) - shipped().potential(self.molecules, points, point_owner)

    def to(self, device=None, dtype=None) -> Density:
        return WholeDensity(**vars(super().to(device, dtype)))


class WholeTransfer(nn.Module):
    """Electrons of an atom: its own and those that its neighbours give."""

    def __init__(self, transfer: Transfer, basis: DensityBasis):
        super().__init__()
        self.transfer = transfer
        self.register_buffer("own", torch.tensor(basis.elements, dtype=torch.float32))

    def forward(self, scalars: Tensor, geometry: Geometry) -> Tensor:
        return self.own[geometry.element] + self.transfer(scalars, geometry)


class WholePredictor(Predictor):
    """A `Predictor` whose first network gives rho itself."""

    @classmethod
    def like(cls, predictor: Predictor) -> "WholePredictor":
        """The untrained ``predictor``, made for whole densities."""
        whole = cls(predictor.density_network, predictor.energy_network)
        whole.density_network.transfer = WholeTransfer(predictor.density_network.transfer, predictor.basis)
        return whole

    def density(self, molecules: Molecules, output: DensityOutput, geometry: Geometry) -> Density:
        return WholeDensity(**vars(super().density(molecules, output, geometry)))

    def forward(self, molecules: Molecules, *, create_graph: bool = False) -> Properties:
        found = super().forward(molecules, create_graph=create_graph)
        return found.replace(density=WholeDensity(**vars(found.density)))


def whole(example: Example) -> Example:
    """The ``example`` with the whole density fitted: the fit is linear, so that of the promolecule is added to that of the correction."""
    density = example.density
    coefficients = density.coefficients + fitted_promolecule(density, example.metric).to(density.coefficients.dtype)
    return replace(example, prepared=example.prepared.replaced(coefficients=coefficients))


def fitted_promolecule(density: Density, metric: Tensor) -> Tensor:
    """Coefficients [atoms, width] of rho_SAD in the basis of ``density``, as `densnet.reference.fitting` fits rho - rho_SAD.

    Least Coulomb self-energy of the error; electrons and dipole exact; ``metric`` [functions, functions].
    """
    molecule, basis, atoms = density.molecules, density.basis, shipped()
    keep = basis.mask(molecule.numbers)
    exponents, contents = atoms.as_gaussians(molecule.numbers)
    own = basis.exponents(molecule.numbers)
    size = len(molecule.numbers)
    i, j = torch.cartesian_prod(torch.arange(size), torch.arange(size)).T
    vectors = molecule.positions[i] - molecule.positions[j]
    blocks = gaussians.pair_blocks(gaussians.coulomb_radial, (basis, atoms.basis), (own[i], exponents[j]), vectors)
    target = (blocks @ contents[j][:, :, None]).view(size, size, -1).sum(1)[keep]
    charge, moment = gaussians.charge_vector(basis, own)[..., None], gaussians.dipole_vector(basis, own, molecule.positions)
    conditions = torch.cat([charge, moment], dim=-1)[keep]
    nuclei = molecule.numbers.double()
    wanted = torch.cat([nuclei.sum()[None], nuclei @ molecule.positions])
    factor = torch.linalg.cholesky(metric.double() + RIDGE * torch.eye(len(metric), dtype=torch.float64))
    free, response = torch.cholesky_solve(torch.cat([target[:, None], conditions], dim=1), factor).split([1, 4], dim=1)
    lagrange = torch.linalg.solve(conditions.T @ response, wanted - conditions.T @ free.squeeze(1))
    return torch.zeros(keep.shape, dtype=torch.float64).masked_scatter(keep, free.squeeze(1) + response @ lagrange)
