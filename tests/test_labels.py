"""The committed labels are what labels/manifest.toml says, and every labelled frame stands in the list it is said to come from."""

import csv
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from densnet.dataset import responses, store
from densnet.reference import geometries
from densnet.reference.scf import ScfSettings

LABELS = Path(__file__).resolve().parent.parent / "labels"


@pytest.fixture(scope="module")
def manifest(request):
    """The module labels/manifest.py."""
    sys.path.insert(0, str(LABELS))
    request.addfinalizer(lambda: sys.path.remove(str(LABELS)))
    import manifest

    return manifest


def test_the_manifest_agrees_with_the_files(manifest):
    assert manifest.MANIFEST.read_text(encoding="utf-8") == manifest.text()
    stated = tomllib.loads(manifest.text())
    listed = {file["file"] for one in stated["lists"].values() for file in (*one["shards"], *one.get("responses", ()))}
    assert listed == {str(path.relative_to(LABELS)) for path in LABELS.rglob("*.h5")}
    expected = {
        manifest.LEVEL: ScfSettings(conv_tol_grad=0),
        "PBE/aug-cc-pVDZ, orbital gradient 1e-5": ScfSettings(),
        "PBE0/aug-cc-pVDZ, any orbital gradient": ScfSettings(xc="PBE0", conv_tol_grad=0),
        "PBE-D4/aug-cc-pVDZ": ScfSettings(dispersion="d4"),
        "PBE0/aug-cc-pVDZ": ScfSettings(xc="PBE0"),
    }
    assert stated["levels"].items() <= {name: of.level() for name, of in expected.items()}.items()
    assert stated["levels"].keys() == {one["level"] for one in stated["lists"].values()}


def test_a_changed_label_file_is_noticed(manifest, tmp_path, monkeypatch):
    (tmp_path / "water").mkdir()
    for name in ("own_300K.001.h5", "own_300K.extxyz"):
        (tmp_path / "water" / name).write_bytes((LABELS / "water" / name).read_bytes())
    monkeypatch.setattr(manifest, "HERE", tmp_path)
    before = manifest.text()
    with h5py.File(tmp_path / "water" / "own_300K.001.h5", "a") as file:
        file["molecule_0"]["energy"][0] += 1e-9
    assert manifest.text() != before


def test_no_label_without_its_frame(manifest):
    for name in manifest.names():
        listed: dict[tuple, set[bytes]] = {}
        for frame in geometries.read(LABELS / f"{name}.extxyz"):
            molecule = frame.molecule
            listed.setdefault(tuple(molecule.numbers.tolist()), set()).add(molecule.positions.double().numpy().tobytes())
        for shard in manifest.shards_of(name):
            for elements, positions in manifest.positions(shard).items():
                missing = [i for i, frame in enumerate(np.ascontiguousarray(positions)) if frame.tobytes() not in listed[elements]]
                assert not missing, f"{shard.name}: frames {missing} are not in {name}.extxyz"


def test_every_response_belongs_to_a_sealed_label(manifest):
    """Reading refuses responses of other orbitals; a polarizability is a symmetric, positive tensor."""
    for name in manifest.names():
        if not manifest.responses_of(name):
            continue
        identities = [identity for path in manifest.responses_of(name) for identity in responses.identities(path)]
        labels = {label.identity: label for label in store.read(*manifest.shards_of(name), *manifest.responses_of(name))}
        assert len(identities) == len(set(identities)) and set(identities) <= labels.keys()
        alpha = torch.cat([labels[identity].properties.polarizability for identity in identities])
        assert (alpha - alpha.mT).abs().max() < 1e-6 and (torch.linalg.eigvalsh(alpha) > 0).all()


def test_no_organic_molecule_is_both_trained_on_and_held_out():
    texts = {name: (LABELS / "organic" / f"{name}.csv").read_text(encoding="utf-8") for name in ("training", "heldout")}
    rows = {name: list(csv.DictReader(text.splitlines())) for name, text in texts.items()}
    for key in ("name", "smiles"):
        assert not {row[key] for row in rows["training"]} & {row[key] for row in rows["heldout"]}
    for part, of, frames in (("training_1", "training", 2), ("heldout_300K", "heldout", 5)):
        names = re.findall(r'conformer="([^"]*)"', (LABELS / "organic" / f"{part}.extxyz").read_text(encoding="utf-8"))
        assert Counter(names) == {row["name"]: frames for row in rows[of]}
        assert len(set(names[: len(rows[of])])) == len(rows[of]), "one frame of every molecule comes first"
