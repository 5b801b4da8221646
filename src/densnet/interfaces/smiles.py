"""RDKit: a geometry to start from, out of SMILES. Needs the extra ``densnet[smiles]``."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from densnet import units
from densnet.errors import DensnetError
from densnet.frames import neutral
from densnet.molecules import Molecules, check_geometry


class SmilesError(DensnetError):
    """SMILES that name no molecule which can be treated, or no RDKit; the message says which."""


def available() -> bool:
    """Whether RDKit is installed."""
    return find_spec("rdkit") is not None


def molecule(text: str, seed: int = 0) -> Molecules:
    """One conformer of the molecule with the SMILES ``text``: distance geometry (ETKDG), then the force field MMFF94.

    A start for a relaxation by a model, no result: which of the conformers it is depends on ``seed``. Raises `SmilesError`, and
    `MoleculeError` for what densnet cannot treat.
    """
    if not available():
        raise SmilesError("SMILES are read by RDKit, which is not installed: pip install 'densnet[smiles]', or give an xyz file.")
    from rdkit import Chem, rdBase
    from rdkit.Chem.rdDistGeom import EmbedMolecule
    from rdkit.Chem.rdForceFieldHelpers import MMFFHasAllMoleculeParams, MMFFOptimizeMolecule

    with rdBase.BlockLogs():  # its complaints go to the terminal; ours are below
        known = Chem.MolFromSmiles(text)
    if known is None or not known.GetNumAtoms():
        raise SmilesError(f"{text!r} is not valid SMILES; ethanol, for instance, is CCO.")
    whole = Chem.AddHs(known)
    radicals = sum(atom.GetNumRadicalElectrons() for atom in whole.GetAtoms())
    neutral.check({"charge": Chem.GetFormalCharge(whole), "multiplicity": 1 + radicals}, {}, f"SMILES {text}")
    if EmbedMolecule(whole, randomSeed=seed) != 0:
        raise SmilesError(f"RDKit finds no geometry for {text!r}; give an xyz file.")
    if MMFFHasAllMoleculeParams(whole):
        MMFFOptimizeMolecule(whole, maxIters=2000)
    numbers = [atom.GetAtomicNum() for atom in whole.GetAtoms()]
    found = Molecules.single(numbers, torch.as_tensor(whole.GetConformer().GetPositions(), dtype=torch.float64) * units.ANGSTROM)
    check_geometry(found.numbers, found.positions, f"SMILES {text}")
    return found
