"""What ships, and what this machine can do with it, as tables and as data."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from densnet import files
from densnet.cli.main import build
from densnet.model import shipped
from densnet.workflow.catalogue import card, catalogue

sys.path.append(str(Path(__file__).parent))
from command import densnet  # noqa: E402


@pytest.mark.parametrize("name", shipped.names())
def test_a_card_is_of_the_model_beside_it(name):
    assert card(name)["model"] == files.content_hash(shipped.find(name))


def test_catalogue_tells_elements_and_errors():
    found = {entry["name"]: entry for entry in catalogue()}
    assert found["ethanethiol"]["elements"] == ["H", "C", "S"] and found["ethanethiol"]["compositions"] == ["C2H6S"]
    for name, entry in found.items():
        hybrid, unseen = name.endswith("-pbe0") or name == shipped.GENERAL, name == shipped.GENERAL
        assert entry["level"] == ("PBE0/aug-cc-pVDZ" if hybrid else "PBE/aug-cc-pVDZ")
        assert 0 < entry["errors"]["heldout_300K"]["force_mae_meV_per_A"] < (45 if unseen else 5), name


def test_models_as_a_table_and_as_data(tmp_path):
    outcome = densnet("models", "--json", "kept.json", cwd=tmp_path)
    assert outcome.code == 0 and "resorcinol" in outcome.out and "C6H6O2" in outcome.out
    streamed = densnet("models", "--json", "-", cwd=tmp_path)
    assert json.loads(streamed.out) == json.loads((tmp_path / "kept.json").read_text())


def test_doctor_finds_this_machine_fit(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSNET_CACHE", str(tmp_path / "cache"))
    outcome = CliRunner().invoke(build(), ["doctor", "--json", "-"])
    found = {finding["subject"]: finding for finding in json.loads(outcome.output)}
    assert outcome.exit_code == 0 and all(finding["fine"] for finding in found.values())
    assert found["model water"]["found"] == "gives its recorded energy"
    assert found["compiled models"]["found"] == str(tmp_path / "cache")
    assert found["pyscf"]["found"].startswith("2.")


def test_doctor_names_what_is_broken_and_the_remedy(monkeypatch):
    monkeypatch.setenv("DENSNET_CACHE", "/proc/nothing")
    outcome = CliRunner().invoke(build(), ["doctor"])
    assert outcome.exit_code == 1
    (line,) = [line for line in outcome.output.splitlines() if line.startswith("!")]
    assert "compiled models" in line and "/proc/nothing" in line
    assert "set DENSNET_CACHE" in " ".join(outcome.output.split())
