"""One converged Kohn-Sham calculation: energy, forces, dipole and occupied orbitals of one molecule."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field, field_validator
from pyscf import dft, gto, lib
from pyscf.data.elements import ELEMENTS
from pyscf.df.grad.rks import Gradients

from densnet.density.orbitals import Orbitals, shipped_orbital_bases
from densnet.errors import DensnetError
from densnet.molecules import Molecules, check_geometry
from densnet.properties import Properties
from densnet.reference.exchange import ExchangeCorrelation
from densnet.settings import Incidental, Section


class NotConverged(DensnetError):
    """The SCF did not reach its threshold; the message says how far it came."""


class ScfSettings(Section):
    """Level of theory of the labels: a generalised-gradient functional, Coulomb by density fitting, all electrons, closed shell."""

    xc: str = Field("PBE", description="functional, a GGA by its PySCF name")
    basis: str = Field("aug-cc-pvdz", description="orbital basis")
    coulomb_basis: str = Field("def2-universal-jfit", description="auxiliary basis of the fitted Coulomb energy")
    radial_points: int = Field(40, ge=20, description="radial grid points of every element")
    angular_points: int = Field(434, ge=110, description="largest Lebedev shell of every element (nwchem pruning)")
    conv_tol: float = Field(1e-9, gt=0, le=1e-6, description="hartree, last energy change of the SCF")
    max_cycle: int = Field(60, gt=0, description="SCF cycles before a frame is set aside")
    memory_mb: Incidental[int] = Field(2000, ge=500, description="MB for one calculation; with less, AO values are computed anew")

    @field_validator("xc")
    @classmethod
    def _is_gga(cls, name: str) -> str:
        try:
            kind = dft.libxc.xc_type(name)
        except KeyError:
            kind = "unknown"
        if kind != "GGA" or dft.libxc.is_hybrid_xc(name) or dft.libxc.is_nlc(name):
            raise ValueError(
                "must be a pure GGA functional such as PBE or BLYP; hybrids, meta-GGAs and nonlocal ones are not supported"
            )
        return name

    @field_validator("basis")
    @classmethod
    def _is_there(cls, name: str) -> str:
        if name.lower() not in shipped_orbital_bases():
            raise ValueError(f"must be an orbital basis that comes with densnet: {', '.join(shipped_orbital_bases())}")
        return name

    def level(self) -> dict:
        """Everything that decides a label's value, for headers and for telling labels of different levels apart."""
        deciding = {name: value for name, value in self.deciding().items() if name != "max_cycle"}  # it decides whether, not what
        return {**deciding, "pruning": "nwchem", "grid_response": True, "code": "pyscf"}


def calculate(molecule: Molecules, settings: ScfSettings) -> Properties:
    """Energy (hartree), forces (hartree/bohr), dipole (e bohr, about the centre of mass) and occupied orbitals of a single ``molecule``.

    The forces hold the response of the grid, so that they sum to zero. The SCF starts from superposed atoms, never from
    another frame: a label does not depend on the order of the work.
    Raises `NotConverged`, and `MoleculeError` for what is not a closed shell.
    """
    check_geometry(molecule.numbers, molecule.positions, "this molecule", charge=int(molecule.net_charge))
    field = _converged(molecule, settings)
    occupied = field.mo_coeff[:, field.mo_occ > 0]
    return Properties(
        molecule,
        energy=torch.tensor([field.e_tot], dtype=torch.float64),
        forces=torch.from_numpy(-_Gradient(field).kernel()),
        dipole=molecule.about_the_centre_of_mass(torch.from_numpy(np.asarray(field.dip_moment(unit="AU", verbose=0)))[None]),
        orbitals=(Orbitals(molecule=molecule, coefficients=torch.from_numpy(occupied.copy()), basis=settings.basis),),
    )


class _KohnSham(dft.rks.RKS):
    """PySCF's restricted Kohn-Sham with our integration of exchange and correlation."""

    _keys = {"exchange"}
    exchange: ExchangeCorrelation | None = None

    def get_veff(self, mol=None, dm=None, dm_last=None, vhf_last=None, hermi=1):
        energy, potential = self.exchange.potential(np.asarray(dm))
        coulomb = self.get_j(mol, dm)
        return lib.tag_array(potential + coulomb, ecoul=0.5 * np.einsum("ij,ji", dm, coulomb), exc=energy, vj=coulomb, vk=None)


class _Gradient(Gradients):
    """Its slope along the nuclei: PySCF's for the fitted Coulomb energy, ours (grid response included) for the rest."""

    grid_response = True

    def get_veff(self, mol=None, dm=None):
        field = self.base
        coulomb = self.get_j(mol, dm)
        return lib.tag_array(coulomb, exc1_grid=field.exchange.gradient(field.mo_coeff[:, field.mo_occ > 0]), aux=coulomb.aux.sum((0, 1)))


def _converged(molecule: Molecules, settings: ScfSettings) -> _KohnSham:
    atoms = [(ELEMENTS[z], x) for z, x in zip(molecule.numbers.tolist(), molecule.positions.tolist())]
    mol = gto.M(
        atom=atoms, unit="Bohr", basis=settings.basis, charge=int(molecule.net_charge), verbose=0, max_memory=settings.memory_mb
    )
    field = _KohnSham(mol, xc=settings.xc).density_fit(auxbasis=settings.coulomb_basis)
    field.grids.atom_grid = {ELEMENTS[z]: (settings.radial_points, settings.angular_points) for z in set(molecule.numbers.tolist())}
    field.grids.prune = dft.gen_grid.nwchem_prune
    field.grids.build()
    field.with_df.build()
    field.exchange = ExchangeCorrelation(mol, field.grids, settings.xc, 0.8 * settings.memory_mb)
    field.conv_tol, field.max_cycle = settings.conv_tol, settings.max_cycle
    field.kernel()
    if not field.converged:
        raise NotConverged(
            f"the SCF did not converge to {settings.conv_tol:g} hartree in {settings.max_cycle} cycles (energy {field.e_tot:.6f} hartree); "
            "raise `max_cycle`, or look at the geometry."
        )
    return field
