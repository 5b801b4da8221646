"""Conformers of a SMILES by RDKit and GFN2-xTB."""

import pytest
import torch

from densnet.observables.coordinates import torsion
from densnet.observables.response import slopes
from densnet.progress import silent
from densnet.reference.semiempirical import gfn2_xtb
from densnet.workflow.search import SearchSettings, search

pytest.importorskip("rdkit")


def test_ethanol_has_two_conformers_and_gauche_counts_twice():
    found = search("CCO", SearchSettings(), silent)
    hydroxyl = next(int(k) for k in range(3, 9) if (found[0][1].positions[k] - found[0][1].positions[2]).norm() < 2.2)
    turns = [abs(float(torsion(0, 1, 2, hydroxyl)(molecule.positions))) * 180 / torch.pi for _, molecule, _ in found]
    assert sorted(round(t / 60) for t in turns) == [1, 3]  # gauche and anti
    assert sum(share for _, _, share in found) == pytest.approx(1) and found[0][2] > found[1][2]
    assert all(gfn2_xtb(molecule).forces.abs().max() < 2e-5 for _, molecule, _ in found)


def test_a_share_too_small_is_left_out():
    settings = SearchSettings(smallest_share=0.5)
    assert [name for name, _, _ in search("CCO", settings, silent)] == ["conformer 1"]


def test_forces_of_gfn2_xtb_are_slopes_of_its_energy():
    [(_, water, share)] = search("O", SearchSettings(), silent)
    assert share == 1
    moved = water.at(water.positions + 0.05 * torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    forces, step = gfn2_xtb(moved).forces, 1e-3
    for atom, axis in ((0, 1), (1, 2)):
        shift = torch.zeros(3, 3, dtype=torch.float64)
        shift[atom, axis] = step
        up, down = (float(gfn2_xtb(moved.at(moved.positions + sign * shift)).energy) for sign in (1, -1))
        assert -(up - down) / (2 * step) == pytest.approx(float(forces[atom, axis]), abs=1e-6)
    hessian = slopes(gfn2_xtb, water, 0.01).hessian
    assert torch.allclose(hessian, hessian.T, atol=1e-4)
