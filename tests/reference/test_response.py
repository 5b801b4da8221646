"""A label's response to a field: finite fields agree, orbitals may be rounded and turned, the density carries alpha."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from finite_fields import DIRECTION, dipole_slope
from pyscf import dft, gto

from densnet.dataset import responses, store
from densnet.dataset.dataset import Dataset, DatasetError, Label
from densnet.density.grids import molecular_grid
from densnet.density.orbitals import OrbitalError
from densnet.molecules import Molecules
from densnet.reference import campaign, response
from densnet.reference.campaign import CampaignError, LabelSettings, Tally
from densnet.reference.geometries import Frame, write
from densnet.reference.response import ResponseNotConverged, solve
from densnet.reference.scf import ScfSettings, calculate, respond

WATER = Molecules.single([8, 1, 1], torch.tensor([[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]], dtype=torch.float64))
COARSE = ScfSettings(radial_points=30, angular_points=110, conv_tol=1e-11, conv_tol_grad=1e-7)


@pytest.fixture(autouse=True)
def _no_files_of_pyscf(monkeypatch):
    monkeypatch.setattr("pyscf.scf.hf.MUTE_CHKFILE", True)


@pytest.fixture(scope="module")
def label():
    return respond(calculate(WATER, COARSE), COARSE)


@pytest.mark.parametrize("xc", ["PBE", "PBE0", "r2SCAN", "wB97X"])
def test_alpha_is_the_slope_of_pyscfs_dipole(xc, monkeypatch):
    """On the same grid to six digits: gradients, kinetic energy density, exact exchange of both ranges."""
    settings = COARSE.model_copy(update={"xc": xc})
    monkeypatch.setattr(response, "GRID", (30, 110))
    found = respond(calculate(WATER, settings), settings).polarizability[0].numpy()
    assert np.allclose(found @ DIRECTION, dipole_slope(WATER, settings), rtol=0, atol=1e-4)
    assert abs(found - found.T).max() < 1e-9


def test_the_small_grid_of_the_kernel_suffices():
    settings = ScfSettings()
    found = respond(calculate(WATER, settings), settings).polarizability[0].numpy()
    slope = dipole_slope(WATER, settings)
    assert abs(found @ DIRECTION - slope).max() < 1e-4 * abs(slope).max()


def test_the_density_of_the_response_holds_no_charge_and_all_of_alpha(label):
    grid = molecular_grid(WATER)
    change = label.orbitals[0].response(grid.points)
    assert change.shape == (len(grid.points), 3) and abs(grid.integral(change)).max() < 1e-3
    alpha = -torch.stack([grid.integral(grid.points[:, i, None] * change) for i in range(3)])
    assert torch.allclose(alpha, label.polarizability[0], atol=5e-3)


def test_the_response_is_the_slope_of_the_density_of_pyscfs_orbitals(label):
    """Nothing but the density is compared, so that signs and turns of orbitals do not matter."""
    mol = gto.M(atom=[(s, x) for s, x in zip("OHH", WATER.positions.tolist())], unit="Bohr", basis="aug-cc-pvdz", verbose=0)
    points, step = np.random.default_rng(1).normal(size=(50, 3)) * 2, 1e-3
    ao, densities = mol.eval_gto("GTOval_sph", points), []
    for sign in (1, -1):
        field = dft.RKS(mol, xc="PBE").density_fit(auxbasis=COARSE.coulomb_basis)
        field.grids.atom_grid, field.grids.prune, field.conv_tol = (30, 110), dft.gen_grid.nwchem_prune, 1e-12
        core = field.get_hcore()
        field.get_hcore = lambda *_, core=core, sign=sign: core + sign * step * mol.intor("int1e_r")[2]
        densities.append(np.einsum("pm,mn,pn->p", ao, field.run().make_rdm1(), ao))
    slope = (densities[0] - densities[1]) / (2 * step)
    assert np.allclose(label.orbitals[0].response(torch.from_numpy(points))[:, 2].numpy(), slope, atol=2e-3 * abs(slope).max())


def test_orbitals_may_be_rounded_and_turned(label):
    """Files hold float32; a turn of the occupied orbitals among themselves turns the first-order ones along."""
    own = label.orbitals[0]
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    turned = replace(own, coefficients=(own.coefficients @ turn).float(), first_order=None)
    again = respond(label.replace(orbitals=(turned,), polarizability=None), COARSE)
    assert torch.allclose(again.polarizability, label.polarizability, atol=1e-5)
    assert torch.allclose(again.orbitals[0].first_order @ turn.T, own.first_order, atol=1e-3)
    with pytest.raises(OrbitalError, match="--add-response"):
        turned.response(torch.zeros(1, 3))


def test_the_solver_finds_what_a_dense_one_finds():
    draw = np.random.default_rng(0)
    diagonal = draw.uniform(0.5, 3.0, size=(6, 4))
    noise = draw.normal(size=(24, 24))
    matrix = np.diag(diagonal.ravel()) + 0.01 * (noise @ noise.T)
    right = draw.normal(size=(3, 6, 4))

    def apply(x):
        return (x.reshape(len(x), -1) @ matrix).reshape(x.shape)

    found, applications = solve(apply, right, diagonal, 1e-8)
    assert np.allclose(found.reshape(3, -1), np.linalg.solve(matrix, right.reshape(3, -1).T).T, atol=1e-6) and applications < 9
    with pytest.raises(ResponseNotConverged, match="in 2 steps"):
        solve(apply, right, diagonal, 1e-8, most=2)


def campaign_of(folder, *, response: bool):
    frames = [Frame(WATER.at(WATER.positions * scale), k, 300.0) for k, scale in enumerate((1.0, 1.02))]
    write(folder / "frames.extxyz", frames, {})
    plan = LabelSettings.model_validate({"scf": {"radial_points": 20, "angular_points": 110}, "response": response})
    with ThreadPoolExecutor(1) as here:
        return campaign.label(plan, folder / "frames.extxyz", folder / "labels", store.save_label, store.load_label, execute=here)


def test_responses_come_with_labels_or_later_and_nothing_else_changes(tmp_path):
    for name in ("with", "later"):
        (tmp_path / name).mkdir()
    assert campaign_of(tmp_path / "with", response=True) == campaign_of(tmp_path / "later", response=False) == Tally(2, 2, 0)
    before = store.read(tmp_path / "later" / "labels")
    assert all(label.properties.polarizability is None for label in before)
    with ThreadPoolExecutor(1) as here:
        tallies = [campaign.respond(tmp_path / "later/labels", store.load_label, store.save_label, execute=here) for _ in range(2)]
    assert tallies == [Tally(2, 2, 0), Tally(2, 0, 0)]
    one, other = (store.read(tmp_path / name / "labels") for name in ("with", "later"))
    for a, b, was in zip(one, other, before, strict=True):
        assert a.identity == b.identity == was.identity and torch.equal(b.properties.energy, was.properties.energy)
        assert torch.allclose(a.properties.polarizability, b.properties.polarizability, atol=1e-6)
        assert torch.equal(b.properties.orbitals[0].coefficients, was.properties.orbitals[0].coefficients)
    with pytest.raises(CampaignError, match="holds no label"):
        campaign.respond(tmp_path, store.load_label, store.save_label)


def test_no_response_is_no_other_key():
    assert "response" not in LabelSettings().deciding() and LabelSettings(response=True).deciding()["response"] is True
    for level in (COARSE.level(), ScfSettings(conv_tol_grad=0).level(), ScfSettings(xc="PBE0", dispersion="d4").level()):
        assert ScfSettings.of_level(level).level() == level


def labelled(label, identity: str) -> Label:
    return Label(label, 0, 300.0, identity, "here", COARSE.level())


def test_a_shard_holds_the_response(label, tmp_path):
    for compact in (False, True):
        store.seal(Dataset([labelled(label, "a" * 16)]), tmp_path / "all.h5", compact=compact)
        again = store.read(tmp_path / "all.h5")[0].properties
        assert torch.equal(again.polarizability, label.polarizability)
        assert torch.allclose(again.orbitals[0].first_order, label.orbitals[0].first_order.float(), atol=1e-3 if compact else 0)


def test_responses_apart_go_to_their_labels(label, tmp_path):
    bare = label.replace(polarizability=None, orbitals=(replace(label.orbitals[0], first_order=None),))
    store.seal(Dataset([labelled(bare, "a" * 16), labelled(bare, "b" * 16)]), tmp_path / "labels.h5")
    responses.seal([labelled(label, "b" * 16)], tmp_path / "labels.response.h5")
    first, second = store.read(tmp_path / "labels.response.h5", tmp_path / "labels.h5")
    assert first.properties.polarizability is None and torch.equal(second.properties.polarizability, label.polarizability)
    grid = molecular_grid(WATER)
    exact, found = (own.orbitals[0].response(grid.points) for own in (label, second.properties))
    assert (grid.integral((found - exact).abs()) < 1e-3 * grid.integral(exact.abs())).all()
    store.seal(Dataset([labelled(bare, "c" * 16)]), tmp_path / "other.h5")
    with pytest.raises(DatasetError, match="of other labels"):
        store.read(tmp_path / "other.h5", tmp_path / "labels.response.h5")
    flipped = bare.replace(orbitals=(replace(bare.orbitals[0], coefficients=-bare.orbitals[0].coefficients),))
    store.seal(Dataset([labelled(flipped, "b" * 16)]), tmp_path / "flipped.h5")
    with pytest.raises(DatasetError, match="other orbitals"):
        store.read(tmp_path / "flipped.h5", tmp_path / "labels.response.h5")
