"""Writes the orbital bases that `densnet.density.orbitals` reads, as PySCF normalises and orders them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pyscf import gto

from densnet.files import write_text


def export(name: str, path: Path, elements: tuple[str, ...] = ("H", "C", "N", "O", "F", "S", "Cl")) -> None:
    """Write the orbital basis ``name`` of PySCF for ``elements`` to the JSON file ``path``.

    Each shell: l, exponents (1 / bohr^2) and one row of coefficients per contraction, on normalised primitives, the contraction normalised.
    """
    shells = {element: _shells(element, name) for element in elements}
    header = {"format": "densnet orbital basis 1", "name": name, "source": f"PySCF basis library, {name}"}
    text = json.dumps(header | {"elements": shells}, indent=1)
    write_text(path, _join_numbers(text) + "\n")


def _shells(element: str, name: str) -> list[dict]:
    atom = gto.M(atom=f"{element} 0 0 0", basis=name, spin=None, verbose=0)
    return [
        {"l": int(atom.bas_angular(i)), "exponents": atom.bas_exp(i).tolist(), "coefficients": atom.bas_ctr_coeff(i).T.tolist()}
        for i in range(atom.nbas)
    ]


def _join_numbers(text: str) -> str:
    """Innermost lists on one line each, so that the file reads as a table."""
    return re.sub(r"\[[^\[\]{}]+\]", lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
