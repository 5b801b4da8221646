"""Raman lines of molecules whose polarizability is known in closed form: bonds that are softer along than across."""

import math

import pytest
import torch

from densnet import units
from densnet.molecules import MoleculeError, Molecules
from densnet.observables.response import polarizability_derivatives, slopes
from densnet.observables.vibrations import modes
from densnet.properties import Properties
from densnet.spectra import raman
from densnet.symmetry import random_rotation

ALONG, ACROSS = 1.3, 0.4
"""Slopes of a bond's polarizability with its length, bohr^2."""

HYDROGEN = Molecules.single([1, 1], torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.4]], dtype=torch.float64))
CORNERS = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64) * 2.06 / math.sqrt(3)
METHANE = Molecules.single([6, 1, 1, 1, 1], torch.cat([torch.zeros(1, 3, dtype=torch.float64), CORNERS]))


def bonds(molecules: Molecules) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengths and directions [molecules, bonds(, 3)] from the first atom to each of the others."""
    x = molecules.positions.view(molecules.count, -1, 3)
    arms = x[:, 1:] - x[:, :1]
    lengths = arms.norm(dim=2)
    return lengths, arms / lengths[..., None]


def springs(molecules: Molecules) -> Properties:
    """Bonds with springs and with a polarizability; angles between bonds with springs, too."""
    x = molecules.positions.detach().requires_grad_()
    lengths, directions = bonds(molecules.at(x))
    energy = 0.2 * (lengths - lengths.mean().detach()).square().sum(1)
    energy = energy + 0.05 * ((directions @ directions.mT + 1 / 3).square().sum((1, 2)))
    (slope,) = torch.autograd.grad(energy.sum(), x)
    length, e = lengths.detach(), directions.detach()
    outer = e[..., :, None] * e[..., None, :]
    alpha = length[..., None, None] * (ACROSS * torch.eye(3, dtype=x.dtype) + (ALONG - ACROSS) * outer)
    return Properties(molecules, energy=energy.detach(), forces=-slope, polarizability=alpha.sum(1))


def lines(molecule: Molecules) -> raman.Lines:
    return raman.from_modes(modes(molecule, slopes(springs, molecule).hessian), polarizability_derivatives(springs, molecule))


def test_a_diatomic_in_closed_form():
    """a' = (along + 2 across) / 3, g' = along - across, each times dr/dQ = 1 / sqrt(reduced mass)."""
    found = lines(HYDROGEN)
    reduced = float(HYDROGEN.masses[0]) / 2
    mean, anisotropy = ((ALONG + 2 * ACROSS) / 3) ** 2 / reduced, (ALONG - ACROSS) ** 2 / reduced
    angstrom = 0.529177210903
    expected = (45 * mean + 7 * anisotropy) * angstrom**4 * units.AMU
    assert found.activities.tolist() == pytest.approx([expected], rel=1e-5)
    assert found.depolarisation.tolist() == pytest.approx([3 * anisotropy / (45 * mean + 4 * anisotropy)], rel=1e-5)


def test_methane_breathes_polarised_and_its_other_modes_do_not():
    found = lines(METHANE)
    strong = found.activities > 1e-4 * found.activities.max()
    ratios = found.depolarisation[strong]
    breathing = ratios < 0.5
    assert int(breathing.sum()) == 1 and float(ratios[breathing]) == pytest.approx(0.0, abs=1e-6)
    assert ratios[~breathing].tolist() == pytest.approx([0.75] * int((~breathing).sum()), abs=1e-5) and len(ratios) > 3


def test_lines_do_not_depend_on_the_orientation():
    bent = METHANE.at(METHANE.positions + 0.1 * torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    turned = bent.at(bent.positions @ random_rotation(torch.Generator().manual_seed(1)).T)
    derivatives = [polarizability_derivatives(springs, m, 1e-3) for m in (bent, turned)]
    found = [raman.from_modes(modes(m, slopes(springs, m, 1e-3).hessian), d) for m, d in zip((bent, turned), derivatives)]
    assert torch.allclose(found[0].activities, found[1].activities, rtol=1e-4, atol=1e-5 * float(found[0].activities.max()))


def test_a_function_without_polarizability_is_refused():
    with pytest.raises(MoleculeError, match="Predictor.respond"):
        polarizability_derivatives(lambda m: springs(m).replace(polarizability=None), METHANE)
