"""Modes in Molden format: Open Babel reads them, and a reader that accepts nothing but what the format's description says."""

import math
import re
from itertools import takewhile

import numpy as np
import pytest
import torch

from densnet import units
from densnet.artefacts.content import Analysis
from densnet.interfaces import molden
from densnet.molecules import Molecules
from densnet.observables.vibrations import Modes, modes
from densnet.reference import shipped
from densnet.reference.geometries import read

BOHR = 0.529177210903


def ethanol() -> Modes:
    analysis = Analysis.read(shipped.harmonic(read(shipped.geometries("ethanol"))[0].molecule))
    return analysis.ensemble.conformers[0].modes


def sections(text: str) -> dict[str, list[str]]:
    """Lines of each section: a bracketed title at the start of a line, then lines until the next one."""
    lines = text.splitlines()
    assert lines[0] == "[Molden Format]"
    starts = [k for k, line in enumerate(lines) if line.startswith("[")]
    return {lines[k]: list(takewhile(lambda line: not line.startswith("["), lines[k + 1 :])) for k in starts}


def strictly(text: str) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Elements, positions (bohr), wavenumbers, columns of intensities, displacements, by the description of the format."""
    found = sections(text)
    atoms = [re.fullmatch(r"([A-Z][a-z]?) +(\d+) +(\d+)((?: +-?\d+\.\d+){3})", line) for line in found["[Atoms] Angs"]]
    assert [int(row[2]) for row in atoms] == list(range(1, len(atoms) + 1))
    base = [line.split() for line in found["[FR-COORD]"]]
    assert [row[1] for row in atoms] == [row[0] for row in base]
    places = np.array([row[1:] for row in base], dtype=float)
    assert np.allclose(np.array([row[4].split() for row in atoms], dtype=float), places * BOHR, atol=1e-8)
    frequencies, count = np.array(found["[FREQ]"], dtype=float), len(atoms)
    blocks = found["[FR-NORM-COORD]"]
    assert blocks[:: count + 1] == [f"vibration {k}" for k in range(1, len(frequencies) + 1)]
    rows = [line.split() for line in blocks if not line.startswith("vibration")]
    intensities = np.array([line.split() for line in found.get("[INT]", [])], dtype=float)
    return [row[1] for row in atoms], places, frequencies, intensities, np.array(rows, dtype=float).reshape(-1, count, 3)


def test_what_the_description_of_the_format_says(tmp_path):
    known = ethanol()
    activities = torch.arange(21, dtype=torch.float64) + 0.25
    molden.write(tmp_path / "ethanol.molden", known, "ethanol [trans]", activities)
    text = (tmp_path / "ethanol.molden").read_text()
    symbols, places, frequencies, intensities, patterns = strictly(text)
    assert sections(text)["[Title]"] == [" ethanol (trans)"]
    assert "".join(symbols) == "CCOHHHHHH" and np.allclose(places, known.molecule.positions, atol=1e-9)
    assert np.allclose(frequencies, known.frequencies, atol=1e-4)
    assert np.allclose(intensities[:, 0], known.intensities, atol=1e-5) and np.array_equal(intensities[:, 1], activities)
    assert np.allclose((patterns**2).sum((1, 2)), 1, atol=1e-8)
    weighted = (patterns * known.molecule.masses.sqrt()[:, None].numpy()).reshape(21, -1)
    weighted /= np.linalg.norm(weighted, axis=1, keepdims=True)
    assert np.abs(weighted @ weighted.T - np.eye(21)).max() < 1e-6
    assert np.allclose(weighted, known.vectors.flatten(1), atol=1e-7)


@pytest.mark.parametrize("raman", [False, True])
def test_open_babel_reads_the_same(tmp_path, raman):
    from openbabel import openbabel

    known = ethanol()
    molden.write(tmp_path / "ethanol.molden", known, "ethanol", torch.ones(21) if raman else None)
    conversion, molecule = openbabel.OBConversion(), openbabel.OBMol()
    assert conversion.SetInFormat("molden") and conversion.ReadFile(molecule, str(tmp_path / "ethanol.molden"))
    atoms = list(openbabel.OBMolAtomIter(molecule))
    assert [atom.GetAtomicNum() for atom in atoms] == known.molecule.numbers.tolist() and molecule.GetFormula() == "C2H6O"
    places = np.array([[atom.GetX(), atom.GetY(), atom.GetZ()] for atom in atoms])
    assert np.allclose(places, known.molecule.positions / units.ANGSTROM, atol=1e-8)
    found = openbabel.toVibrationData(molecule.GetData(openbabel.VibrationData))
    assert np.allclose(found.GetFrequencies(), known.frequencies, atol=1e-4)
    assert np.allclose(found.GetIntensities(), known.intensities, atol=1e-5)
    patterns = np.array([[[v.GetX(), v.GetY(), v.GetZ()] for v in mode] for mode in found.GetLx()])
    along = known.displacements / known.displacements.flatten(1).norm(dim=1)[:, None, None]
    assert np.allclose(patterns, along, atol=1e-9)


def test_an_imaginary_mode_is_negative_and_what_is_not_known_is_left_out(tmp_path):
    """H2 at the top of an inverted parabola: one mode, both atoms in opposite directions by 1/sqrt(2) bohr."""
    molecule = Molecules.single([1, 1], torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.4]], dtype=torch.float64))
    along = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0, -1.0], dtype=torch.float64)
    molden.write(tmp_path / "h2.molden", modes(molecule, -0.1 * torch.outer(along, along)), activities=None)
    _, _, frequencies, intensities, patterns = strictly((tmp_path / "h2.molden").read_text())
    reduced = float(molecule.masses[0]) / 2
    assert frequencies == pytest.approx([-math.sqrt(0.1 / reduced) / units.INVERSE_CM], abs=1e-3) and not len(intensities)
    assert np.abs(patterns[0]) == pytest.approx(np.array([[0, 0, 0.5**0.5]] * 2)) and patterns[0, 0, 2] == -patterns[0, 1, 2]
