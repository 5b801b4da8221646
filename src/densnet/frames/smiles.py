"""A molecule named by its SMILES: which one it is, and geometries of it by RDKit (ETKDG, then the MMFF94 force field).

S. Wang, J. Witek, G. A. Landrum, S. Riniker, J. Chem. Inf. Model. 60, 2044 (2020); T. A. Halgren, J. Comput. Chem. 17, 490 (1996).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from densnet import isotopes, units
from densnet.molecules import MoleculeError, Molecules, check_elements, check_geometry, hill

SEED = 1
"""Of the embedding: the same SMILES gives the same geometries."""

ROUNDS = 2000
"""Most iterations of the force field."""

_TOKEN = re.compile(
    r"(?:\[[0-9]*(?:[A-Z][a-z]?|[bcnops]|se|as)[^\]\s]*\]|Cl|Br|[BCNOPSFI]|[bcnops]|[().=#$:/\\+\-@~*]|%[0-9]{2}|[0-9])+"
)


class SmilesError(MoleculeError):
    """A SMILES that cannot be used; the message quotes it and says why."""


def is_smiles(text: str) -> bool:
    """Whether ``text`` is spelt as a SMILES: atoms of the organic subset or in brackets, bonds, branches, rings, at least one atom."""
    return _TOKEN.fullmatch(text) is not None and re.search(r"[A-Za-z]", text) is not None


@dataclass(frozen=True)
class Named:
    """A molecule by its structural formula.

    smiles   canonical, of RDKit
    name     formula and InChIKey, such as "C3H6O-CSCPPACGZOOCGX": of letters, figures and "-", another for every isomer
    rotors   number of bonds that conformers turn about, hydroxyl, thiol and amine groups included
    """

    smiles: str
    name: str
    rotors: int


def named(smiles: str) -> Named:
    """Which molecule ``smiles`` means. Raises `SmilesError` for what is no neutral closed-shell molecule, or not one only."""
    graph, chem = _graph(smiles), _rdkit().Chem
    with _rdkit().rdBase.BlockLogs():
        key = chem.MolToInchiKey(graph)
    first, second, _ = key.split("-")
    stereo = "" if second.startswith("UHFFFAOYSA") else f"-{second}"
    formula = hill(atom.GetAtomicNum() for atom in graph.GetAtoms())
    ends = len({atoms[1] for atoms in graph.GetSubstructMatches(chem.MolFromSmarts("[#1][O,S,NX3]~[*;!#1]"))})
    rotors = chem.rdMolDescriptors.CalcNumRotatableBonds(bare := chem.RemoveHs(graph)) + ends
    return Named(chem.MolToSmiles(bare), f"{formula}-{first}{stereo}", rotors)


def embedded(smiles: str, count: int) -> list[Molecules]:
    """``count`` geometries (bohr) of the molecule, some of them alike, relaxed where the force field knows its atoms, the lowest first.

    Atoms are in the order of the canonical SMILES, hydrogens last, whichever SMILES is given. Raises `SmilesError`.
    """
    chem = _rdkit().Chem
    graph = chem.AddHs(chem.MolFromSmiles(named(smiles).smiles))
    force_field, settings = chem.rdForceFieldHelpers, chem.rdDistGeom.ETKDGv3()
    settings.randomSeed, settings.numThreads = SEED, 1
    with _rdkit().rdBase.BlockLogs():
        numbers = list(chem.rdDistGeom.EmbedMultipleConfs(graph, count, settings))
        if not numbers:
            raise SmilesError(f"SMILES {smiles!r}: RDKit finds no geometry; save one in an xyz file and name that instead.")
        energies = [0.0] * len(numbers)
        if force_field.MMFFHasAllMoleculeParams(graph):
            energies = [energy for _, energy in force_field.MMFFOptimizeMoleculeConfs(graph, numThreads=1, maxIters=ROUNDS)]
    found = [_molecule(graph, number, smiles) for number in numbers]
    return [found[k] for k in sorted(range(len(found)), key=lambda k: energies[k])]


def _molecule(graph: Any, conformer: int, smiles: str) -> Molecules:
    positions = torch.tensor(graph.GetConformer(conformer).GetPositions(), dtype=torch.float64) * units.ANGSTROM
    atoms = list(graph.GetAtoms())
    numbers = [atom.GetAtomicNum() for atom in atoms]
    heavy = None
    if any(atom.GetIsotope() for atom in atoms):
        known = [isotopes.MASSES[z] for z in numbers]
        heavy = torch.tensor([m[a.GetIsotope() or next(iter(m))] for m, a in zip(known, atoms)], dtype=torch.float64) * units.AMU
    molecule = Molecules.single(numbers, positions - positions.mean(0), heavy)
    check_geometry(molecule.numbers, molecule.positions, f"SMILES {smiles!r}")
    return molecule


def _graph(smiles: str) -> Any:
    """RDKit's molecule, hydrogens included, checked."""
    kit, name = _rdkit(), f"SMILES {smiles!r}"
    with kit.rdBase.BlockLogs():
        graph = kit.Chem.MolFromSmiles(smiles)
    if graph is None or not graph.GetNumAtoms():
        raise SmilesError(f"{name} is not valid: RDKit cannot read it; check brackets, ring numbers and valences.")
    graph = kit.Chem.AddHs(graph)
    parts = len(kit.Chem.GetMolFrags(graph))
    if parts > 1:
        raise SmilesError(f"{name} has {parts} separate parts; densnet treats one molecule, no salts, mixtures or complexes.")
    check_elements([atom.GetAtomicNum() for atom in graph.GetAtoms()], name)
    if charge := kit.Chem.GetFormalCharge(graph):
        raise SmilesError(f"{name} has charge {charge:+d}; densnet supports neutral closed-shell molecules only, not ions or radicals.")
    if unpaired := sum(atom.GetNumRadicalElectrons() for atom in graph.GetAtoms()):
        raise SmilesError(
            f"{name} has {unpaired} unpaired electrons; densnet supports neutral closed-shell molecules only, not ions or radicals."
        )
    unknown = [a for a in graph.GetAtoms() if a.GetIsotope() and a.GetIsotope() not in isotopes.MASSES[a.GetAtomicNum()]]
    if unknown:
        raise SmilesError(f"{name} names the isotope {unknown[0].GetIsotope()}{unknown[0].GetSymbol()}, which densnet does not know.")
    _check_stereo(kit, graph, name)
    return graph


def _check_stereo(kit: ModuleType, graph: Any, name: str) -> None:
    """A SMILES that leaves open which of several diastereomers it means names no single molecule; mirror images have one spectrum."""
    places = list(kit.Chem.FindPotentialStereo(graph))
    unspecified = kit.Chem.StereoSpecified.Unspecified
    open_bonds = [p for p in places if p.type == kit.Chem.StereoType.Bond_Double and p.specified == unspecified]
    centres = [p for p in places if p.type == kit.Chem.StereoType.Atom_Tetrahedral]
    if open_bonds:
        raise SmilesError(f"{name} does not say whether a double bond is cis or trans; write it with / and \\, such as C/C=C/C.")
    if len(centres) > 1 and any(p.specified == unspecified for p in centres):
        raise SmilesError(f"{name} leaves {len(centres)} stereocentres open, so it means several molecules; write them with @ and @@.")


def _rdkit() -> ModuleType:
    try:
        import rdkit
        import rdkit.Chem
        import rdkit.Chem.rdDistGeom
        import rdkit.Chem.rdForceFieldHelpers
        import rdkit.Chem.rdMolDescriptors
        import rdkit.rdBase
    except ImportError:
        raise SmilesError("a SMILES needs RDKit: pip install 'densnet[smiles]'; or name an xyz file instead.") from None
    return rdkit
