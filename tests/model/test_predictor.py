"""Checkpoints: identical numbers in a new process, and one clear sentence for every file that cannot be used."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from densnet.density.basis import BasisError, DensityBasis
from densnet.model.density_network import DensityNetworkSettings
from densnet.model.energy_network import EnergyNetworkSettings
from densnet.model.migrations import NEWEST
from densnet.model.predictor import CheckpointError, ModelError, ModelSettings, Predictor, load
from densnet.molecules import Molecules
from densnet.settings import SettingsError
from densnet.symmetry import random_rotation
from tests.model.random_model import ETHANOL, random_predictor, scattered


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    predictor = random_predictor().float()
    predictor.save(path)
    return path, predictor


def rewritten(path, target, change):
    """A copy of a checkpoint after ``change(header, tensors)``."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["densnet"])
    change(header, tensors)
    save_file(tensors, target, metadata={"densnet": json.dumps(header)})
    return target


def test_identical_in_a_new_process(saved):
    path, predictor = saved
    molecule = scattered(ETHANOL)
    here = predictor(molecule)
    code = (
        "import sys, torch, json; from densnet.model.predictor import load; from tests.model.random_model import ETHANOL, scattered\n"
        f"p = load({str(path)!r})(scattered(ETHANOL))\n"
        "print(json.dumps([p.energy.tolist(), p.forces.tolist(), p.dipole.tolist(), p.density.coefficients.double().sum().item()]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    energy, forces, dipole, total = json.loads(run.stdout)
    assert energy == here.energy.tolist() and forces == here.forces.tolist() and dipole == here.dipole.tolist()
    assert total == here.density.coefficients.double().sum().item()
    assert load(path).provenance == {"data": "none"}


def test_single_precision_is_close_to_double(saved):
    """float32 networks with float64 geometry and sums: forces to a few 1e-6 of their size."""
    _, predictor = saved
    molecule = scattered(ETHANOL)
    single, double = predictor(molecule), random_predictor()(molecule)
    assert single.energy.dtype == torch.float64
    assert (single.forces - double.forces).norm() < 1e-5 * double.forces.norm()


def test_untrained_model_predicts_the_promolecule_and_reference_exponents(saved):
    fresh = random_predictor()
    with torch.no_grad():
        fresh.density_network.widths.weight.zero_()
        [out.weight.zero_() for out in fresh.density_network.head.out]
        fresh.density_network.mean.zero_()
        fresh.density_network.transfer.radial.zero_()
    density = fresh(scattered(ETHANOL)).density
    assert not density.coefficients.any()
    assert torch.equal(density.exponents, fresh.density_network.exponents[[1, 1, 2, 0, 0, 0, 0, 0, 0]])


def test_broken_files_are_refused(saved, tmp_path):
    path, _ = saved
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-100])
    (tmp_path / "text").write_text("not a model")
    for name in ("empty", "cut", "text"):
        with pytest.raises(CheckpointError, match="not a densnet model, or it is damaged"):
            load(tmp_path / name)
    with pytest.raises(CheckpointError, match="neither a file nor the name"):
        load(tmp_path / "nowhere")


def test_newer_formats_and_foreign_tensors_are_refused(saved, tmp_path):
    path, _ = saved
    newer = rewritten(path, tmp_path / "newer", lambda header, tensors: header.update(format=NEWEST + 1))
    with pytest.raises(CheckpointError, match="please upgrade densnet"):
        load(newer)
    missing = rewritten(path, tmp_path / "missing", lambda header, tensors: tensors.pop("density_network.embedding"))
    with pytest.raises(CheckpointError, match=r"density_network\.embedding"):
        load(missing)
    unknown = rewritten(path, tmp_path / "unknown", lambda header, tensors: header["architecture"]["density"]["settings"].update(chanels=3))
    with pytest.raises(SettingsError, match="did you mean `channels`"):
        load(unknown)
    for part, kind in (("density", "transformer"), ("response", "polarizability")):
        stranger = rewritten(path, tmp_path / kind, lambda header, tensors, new={part: {"kind": kind}}: header["architecture"].update(new))
        with pytest.raises(CheckpointError, match=f"a {part} network of a kind that this densnet does not know, '{kind}'"):
            load(stranger)


def test_another_basis_is_refused(saved, tmp_path):
    def change(header, tensors):
        header["basis"]["elements"]["H"][0][0] *= 1.5

    with pytest.raises(BasisError, match="fingerprint"):
        load(rewritten(saved[0], tmp_path / "basis", change))


def test_unknown_element_is_named(saved):
    with pytest.raises(ModelError, match="does not know element N"):
        saved[1](Molecules.single([7, 1, 1, 1], torch.randn(4, 3, dtype=torch.float64)))


@pytest.mark.parametrize("l_max", [0, 1, 3])
def test_features_of_any_order_turn_with_the_molecule(l_max):
    """Order 0 too, where only the harmonics of the neighbours' directions in the head point anywhere."""
    torch.manual_seed(1)
    order = {"channels": 6, "l_max": l_max, "l_hidden": l_max}
    settings = ModelSettings(density=DensityNetworkSettings(**order, head_channels=4), energy=EnergyNetworkSettings(**order))
    predictor = Predictor.of(settings, DensityBasis.built_in("small", ["H", "C", "O"]), neighbours=8.0).double()
    for parameter in predictor.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2)
    molecule, rotation = scattered(ETHANOL), random_rotation(torch.Generator().manual_seed(3))
    still, turned = predictor(molecule), predictor(molecule.at(molecule.positions @ rotation.T))
    assert torch.allclose(turned.energy, still.energy, atol=1e-12)
    for there, here in ((turned.dipole, still.dipole), (turned.forces, still.forces)):
        assert 0 < (there - here).norm() and (there - here @ rotation.T).norm() < 1e-9 * here.norm()
