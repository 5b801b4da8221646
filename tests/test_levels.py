"""benchmarks/levels.py: force constants of a polynomial, mixing in closed form, symmetry, and forces against PySCF's own."""

from itertools import permutations

import numpy as np
import pytest
import torch
from levels import GRID, Reference, force_constants, operations
from levels_judge import keys, lines, mixed, transferred
from pyscf import dft, gto

from densnet import units
from densnet.molecules import Molecules
from densnet.observables.vibrations import Modes
from densnet.properties import Properties

WATER = np.array([[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692]]) * units.ANGSTROM
NUMBERS = np.array([8, 1, 1])


def test_half_the_geometries_give_the_constants_of_a_quartic_polynomial():
    generator = np.random.default_rng(3)
    tensors = [generator.normal(size=(9,) * rank) * scale for rank, scale in ((2, 0.1), (3, 0.1), (4, 0.1))]
    tensors = [sum(np.transpose(t, p) for p in permutations(range(t.ndim))) for t in tensors]

    def polynomial(molecules: Molecules) -> Properties:
        x = molecules.positions.reshape(molecules.count, 9).numpy() - WATER.ravel()
        quadratic, cubic, quartic = tensors
        slope = x @ quadratic + np.einsum("ijk,pj,pk->pi", cubic, x, x) / 2 + np.einsum("ijkl,pj,pk,pl->pi", quartic, x, x, x) / 6
        return Properties(molecules, forces=torch.from_numpy(-slope.reshape(-1, 3)))

    vectors = torch.from_numpy(np.linalg.qr(generator.normal(size=(9, 4)))[0].T.reshape(4, 3, 3).copy())
    modes = Modes(Molecules.single(NUMBERS, torch.from_numpy(WATER)), torch.tensor([1.0, 2.0, 3.0, 4.0]).double() * 1e-4, vectors)
    found = force_constants(polynomial, modes, 0.08)
    q = (modes.displacements / modes.eigenvalues.sqrt().sqrt()[:, None, None]).reshape(4, 9).numpy()
    cubic = np.einsum("abc,ia,jb,kc->ijk", tensors[1], q, q, q)
    quartic = np.einsum("abcd,ia,ib,jc,jd->ij", tensors[2], q, q, q, q)
    assert np.allclose(found.cubic.numpy(), cubic, atol=1e-9 * abs(cubic).max() + 1e-13)
    assert np.allclose(found.quartic.numpy(), quartic, atol=1e-7 * abs(quartic).max() + 1e-12)


def test_two_states_mix_as_two_states_do():
    found = [{"upper": 1, "lower": [0, 0], "coupling_per_cm": 160.0, "chi_per_cm": -5.0}]
    below, above, coupling = 2 * 1500.0 - 10.0, 3000.0, 40.0
    half = np.hypot((above - below) / 2, coupling)
    assert mixed(np.array([1500.0, above]), found) == pytest.approx([1500.0, (above + below) / 2 + half])
    assert mixed(np.array([1500.0, above]), []) == pytest.approx([1500.0, above])


def test_a_geometry_and_its_image_cost_one_calculation(tmp_path):
    group = operations(NUMBERS, WATER)
    assert len(group) == 4
    reference = Reference("PBE0/sto-3g", tmp_path / "kept.jsonl", group)
    bent = WATER.copy()
    bent[1] += [0.0, 0.05, 0.02]
    image = (bent * [1, -1, 1])[[0, 2, 1]]
    found = reference(Molecules.replicas(NUMBERS, np.array([bent, image, bent])))
    assert len(reference.known) == len(Reference("PBE0/sto-3g", tmp_path / "kept.jsonl", group).known) == 1
    forces = found.forces.reshape(3, 3, 3)
    assert torch.equal(forces[0], forces[2])
    assert torch.allclose(forces[1], forces[0][[0, 2, 1]] * torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64))
    mol = gto.M(atom=[("OHH"[k], x) for k, x in enumerate(bent)], unit="Bohr", basis="sto-3g", verbose=0)
    field = dft.RKS(mol, xc="PBE0").density_fit()
    field.grids.atom_grid, field.grids.prune = {"O": GRID, "H": GRID}, dft.gen_grid.nwchem_prune
    field.conv_tol, field.conv_tol_grad = 1e-11, 3e-7
    slope = field.run().nuc_grad_method()
    slope.grid_response = True
    assert float(found.energy[0]) == pytest.approx(field.e_tot, abs=1e-8)
    assert np.allclose(forces[0].numpy(), -slope.kernel(), atol=1e-6)


def test_lines_go_to_their_species_and_shifts_to_their_motions():
    row = {
        "level": "a", "characters": [(1, 1), (1, -1), (1, 1)], "harmonic_per_cm": [1600.0, 3800.0, 3900.0], "soft": [],
        "fundamentals_per_cm": [1550.0, 3640.0, 3700.0], "resonances": [], "km_per_mol": [60.0, 5.0, 40.0],
    }  # fmt: skip
    other = {"characters": [(1, 1), (1, 1), (1, -1)], "harmonic_per_cm": [1500.0, 3700.0, 3750.0], "km_per_mol": [1.0, 2.0, 3.0]}
    assert [key[1] for key in keys(row)] == [0, 0, 1]
    moved = transferred(other, row)
    assert moved["fundamentals_per_cm"] == pytest.approx([1450.0, 3500.0, 3590.0])
    molecule = {"fundamentals": {"A1": [1595, 3657], "B2": [3756]}, "intensities": {"A1": [62.5, 2.9], "B2": [41.7]}}
    assert [(x["species"], x["vpt2"]) for x in lines(row, molecule)] == [("A1", 1550.0), ("A1", 3700.0), ("B2", 3640.0)]
    assert [x["km_per_mol"] for x in lines(moved, molecule)] == [1.0, 2.0, 3.0]
