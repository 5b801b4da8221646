"""One converged Kohn-Sham calculation: energy, forces, dipole and occupied orbitals of one molecule, and their response to a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field as Setting
from pydantic import field_validator, model_validator
from pyscf import dft, grad, gto, scf
from pyscf.data.elements import ELEMENTS

from densnet.density.orbitals import Orbitals, shipped_orbital_bases
from densnet.errors import DensnetError
from densnet.molecules import Molecules, check_geometry
from densnet.properties import Properties
from densnet.reference import response
from densnet.reference.becke import Grid
from densnet.reference.coulomb import Coulomb
from densnet.reference.densitymatrix import DensityMatrix
from densnet.reference.dispersion import d4, has_parameters
from densnet.reference.exact_exchange import ExactExchange
from densnet.reference.exchange import ExchangeCorrelation
from densnet.reference.selfconsistent import Field, Functional, converge
from densnet.settings import Incidental, Section, SettingsError, parse

CHEAP_GRID = (15, 50)
"""Radial and angular points of the grid that the SCF iterates on; no label depends on it."""


class NotConverged(DensnetError):
    """The SCF did not reach its threshold; the message says how far it came."""


class ScfSettings(Section):
    """Level of theory of the labels: Kohn-Sham, Coulomb and exact exchange by density fitting, all electrons, closed shell."""

    xc: str = Setting("PBE", description="functional (PySCF name): GGA, meta-GGA, or a global or range-separated hybrid of these")
    dispersion: Literal["none", "d4"] = Setting("none", description="dispersion correction of energy and forces, stored separately")
    basis: str = Setting("aug-cc-pvdz", description="orbital basis")
    coulomb_basis: str = Setting("def2-universal-jfit", description="auxiliary basis for density fitting of the Coulomb energy")
    exchange_basis: str = Setting("def2-universal-jkfit", description="auxiliary basis for density fitting of exact exchange")
    radial_points: int = Setting(40, ge=20, description="radial grid points for every element")
    angular_points: int = Setting(434, ge=110, description="points of the largest Lebedev shell for every element (NWChem pruning)")
    conv_tol: float = Setting(1e-9, gt=0, le=1e-6, description="SCF threshold for the energy change, hartree")
    conv_tol_grad: float = Setting(1e-5, ge=0, le=1e-3, description="SCF threshold for the orbital gradient, hartree; 0: none (old labels)")
    max_cycle: int = Setting(60, gt=0, description="SCF cycles after which a frame is set aside as not converged")
    memory_mb: Incidental[int] = Setting(2000, ge=500, description="memory of one calculation, MB; if small, AO values are recomputed")

    @field_validator("xc")
    @classmethod
    def _is_semilocal_or_hybrid(cls, name: str) -> str:
        try:
            kind = dft.libxc.xc_type(name)
        except KeyError:
            kind = "unknown"
        if kind not in ("GGA", "MGGA") or dft.libxc.is_nlc(name) or dft.libxc.needs_laplacian(name):
            raise ValueError(
                "must be a GGA, a meta-GGA or a hybrid of these, such as PBE, r2SCAN, B3LYP or wB97X; "
                "local and nonlocal ones are not supported"
            )
        return name

    @model_validator(mode="after")
    def _dispersion_is_known(self):
        if self.dispersion == "d4" and not has_parameters(self.xc):
            raise ValueError(
                f"`dispersion` = 'd4' has no parameters for `xc` = {self.xc!r}; set it to 'none', or choose another functional"
            )
        return self

    @field_validator("basis")
    @classmethod
    def _is_there(cls, name: str) -> str:
        if name.lower() not in shipped_orbital_bases():
            raise ValueError(f"must be an orbital basis that comes with densnet: {', '.join(shipped_orbital_bases())}")
        return name

    def level(self) -> dict:
        """Everything that decides a label's value, for headers and for telling labels of different levels apart."""
        unused = {"conv_tol_grad": self.conv_tol_grad == 0, "dispersion": self.dispersion == "none", "exchange_basis": not self.hybrid}
        left_out = {"max_cycle"} | {name for name, is_so in unused.items() if is_so}  # the first decides whether, not what
        deciding = {name: value for name, value in self.deciding().items() if name not in left_out}
        return {**deciding, "pruning": "nwchem", "grid_response": True, "code": "pyscf"}

    @classmethod
    def of_level(cls, level: Mapping[str, Any]) -> ScfSettings:
        """The settings that calculate at this ``level``, the inverse of `level`. Raises `SettingsError` where none do."""
        settings = parse(cls, {"conv_tol_grad": 0, **{name: value for name, value in level.items() if name in cls.model_fields}}, "level")
        found = settings.level()
        if other := sorted(name for name in found.keys() | level.keys() if found.get(name) != level.get(name)):
            name = other[0]
            raise SettingsError(f"densnet does not calculate at a level with {name} = {level.get(name)!r}, only with {found.get(name)!r}.")
        return settings

    @property
    def hybrid(self) -> bool:
        """Whether the functional has exact exchange."""
        return bool(dft.libxc.is_hybrid_xc(self.xc))

    @property
    def gradient_threshold(self) -> float:
        """Of the orbital gradient; where none is asked for, what PySCF takes from that of the energy."""
        return self.conv_tol_grad or self.conv_tol**0.5


@dataclass(frozen=True)
class _Terms:
    """The terms of the energy of one molecule, PySCF's ``mol``; ``core`` [AO, AO] is kinetic energy and nuclei."""

    mol: gto.Mole
    core: np.ndarray
    coulomb: Coulomb
    exchange: ExactExchange
    semilocal: ExchangeCorrelation

    @classmethod
    def of(cls, molecule: Molecules, settings: ScfSettings) -> _Terms:
        """Raises `MoleculeError` for what is not a closed shell."""
        check_geometry(molecule.numbers, molecule.positions, "this molecule", charge=int(molecule.net_charge))
        atoms = [(ELEMENTS[z], x) for z, x in zip(molecule.numbers.tolist(), molecule.positions.tolist())]
        mol = gto.M(
            atom=atoms, unit="Bohr", basis=settings.basis, charge=int(molecule.net_charge), verbose=0, max_memory=settings.memory_mb
        )
        grid = Grid.around(mol, settings.radial_points, settings.angular_points)
        return cls(
            mol,
            mol.intor("int1e_kin") + mol.intor("int1e_nuc"),
            Coulomb(mol, settings.coulomb_basis, 0.5 * settings.memory_mb),
            ExactExchange(mol, settings.exchange_basis, settings.xc),
            ExchangeCorrelation(mol, grid, settings.xc, 0.3 * settings.memory_mb),
        )

    @property
    def smooth(self) -> tuple[Functional, ...]:
        """Those that need no grid."""
        return (self.coulomb.potential, self.exchange.potential) if self.exchange.parts else (self.coulomb.potential,)

    def fock(self, density: DensityMatrix) -> np.ndarray:
        """[AO, AO]"""
        return self.core + sum(functional(density)[1] for functional in (*self.smooth, self.semilocal.potential))


def calculate(molecule: Molecules, settings: ScfSettings) -> Properties:
    """Energy (hartree), forces (hartree/bohr), dipole (e bohr, about the centre of mass) and occupied orbitals of a single ``molecule``.

    The forces hold the response of the grid, so that they sum to zero. The SCF starts from superposed atoms, never from
    another frame: a label does not depend on the order of the work.
    Raises `NotConverged`, and `MoleculeError` for what is not a closed shell.
    """
    terms = _Terms.of(molecule, settings)
    mol, coulomb, exchange, fine = terms.mol, terms.coulomb, terms.exchange, terms.semilocal
    cheap = ExchangeCorrelation(mol, Grid.around(mol, *CHEAP_GRID), settings.xc, 0.2 * settings.memory_mb)
    field = Field(terms.core, mol.intor("int1e_ovlp"), mol.nelectron // 2, terms.smooth, cheap.potential, fine.potential)
    start = DensityMatrix.of_matrix(scf.hf.init_guess_by_minao(mol))
    state = converge(field, start, settings.conv_tol, settings.gradient_threshold, settings.max_cycle)
    energy, density = state.energy + mol.energy_nuc(), state.density
    if not state.converged:
        raise NotConverged(
            f"the SCF did not converge to {settings.conv_tol:g} hartree and an orbital gradient of {settings.gradient_threshold:.1e} in "
            f"{settings.max_cycle} cycles (energy {energy:.6f} hartree, gradient {state.gradient:.1e}); "
            "raise `max_cycle`, or look at the geometry."
        )
    gradient = _one_electron_gradient(mol, density.matrix, state.fock)
    gradient += coulomb.gradient(density) + exchange.gradient(density) + fine.gradient(density)
    dipole = -np.einsum("xmn,mn->x", mol.intor("int1e_r"), density.matrix) + mol.atom_charges() @ mol.atom_coords()
    label = Properties(
        molecule,
        energy=torch.tensor([energy], dtype=torch.float64),
        forces=torch.from_numpy(-gradient),
        dipole=molecule.about_the_centre_of_mass(torch.from_numpy(dipole)[None]),
        orbitals=(Orbitals(molecule=molecule, coefficients=torch.from_numpy(density.orbitals.copy()), basis=settings.basis),),
    )
    return label if settings.dispersion == "none" else label.with_dispersion(d4(molecule, settings.xc))


def respond(label: Properties, settings: ScfSettings) -> Properties:
    """A ``label`` of ``settings`` with its polarizability (bohr^3) and the first-order orbitals of its occupied ones; no SCF is done.

    Raises `ResponseNotConverged`.
    """
    terms, orbitals = _Terms.of(label.molecules, settings), label.require("orbitals").orbitals[0]
    occupied = orbitals.coefficients.double().numpy()
    fock = terms.fock(DensityMatrix.of_pairs(occupied))
    found = response.respond(occupied, fock, settings.xc, terms.coulomb, terms.exchange, 0.3 * settings.memory_mb)
    changed = replace(orbitals, first_order=torch.from_numpy(found.first_order))
    return label.replace(polarizability=torch.from_numpy(found.polarizability)[None], orbitals=(changed,))


def _one_electron_gradient(mol: gto.Mole, density: np.ndarray, fock: np.ndarray) -> np.ndarray:
    """[atoms, 3] of the nuclei's repulsion, kinetic energy, attraction, and of the orbitals' overlap: -Tr(W dS), W = D F D / 2."""
    theirs = grad.RHF(scf.RHF(mol))
    core, overlap, weighted = theirs.hcore_generator(mol), theirs.get_ovlp(mol), density @ fock @ density / 2
    slopes = 2 * np.einsum("xmn,mn->xm", overlap, weighted)
    of_atom = mol.aoslice_by_atom()[:, 2:]
    return theirs.grad_nuc() + np.array(
        [np.einsum("xmn,mn->x", core(k), density) - slopes[:, a:b].sum(1) for k, (a, b) in enumerate(of_atom)]
    )
