"""`densnet benchmark`: the figures hang together; bad input is one sentence."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "model")]

from command import densnet  # noqa: E402
from random_model import random_predictor  # noqa: E402

PARTS = ("neighbours", "network_1", "network_2", "dipole", "backward", "integrator", "io")
RATES = ("ms_per_step", "replica_steps_per_s", "gflops_achieved", "gemm_gflops")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "water.xyz").write_text("3\nwater\nO 0 0 -0.0637\nH 0 0.7722 0.5053\nH 0 -0.7722 0.5053\n")
    random_predictor(elements=("H", "O"), basis="small").save(folder / "random.safetensors")
    return folder


def test_figures_hang_together(place):
    options = ("--geometry", "water.xyz", "--replicas", 4, "--json", "figures.json")
    outcome = densnet("benchmark", "--model", "random.safetensors", *options, cwd=place)
    assert outcome.code == 0, outcome.err
    found = json.loads((place / "figures.json").read_text())
    parts = [found[f"{name}_ms"] for name in PARTS]
    assert all(value > 0 for value in parts + [found[name] for name in RATES])
    assert found["promolecule_ms"] == 0
    assert found["ms_per_step"] / 2 < sum(parts) < 2 * found["ms_per_step"]
    assert found["replica_steps_per_s"] == pytest.approx(4000 / found["ms_per_step"])
    assert (found["threads"], found["replicas"], found["atoms"], found["repetitions"]) == (1, 4, 3, 50)
    assert (found["precision"], found["clock"], found["device"]) == ("float64", "CPU time", "cpu") and found["hardware"] and found["torch"]
    printed = " ".join(outcome.out.split())
    assert "need not add up" in printed and f"{found['ms_per_step']:.3f}" in printed


def test_a_shipped_molecule_needs_no_geometry(place):
    outcome = densnet("benchmark", "--model", "water", "--replicas", 1, cwd=place)
    assert outcome.code == 0 and "water on water.xyz" in outcome.out, outcome.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "nothing.safetensors", "--geometry", "water.xyz"), "nothing.safetensors is neither a file nor"),
        (("--model", "random.safetensors"), "`--geometry` is missing"),
        (("--model", "random.safetensors", "--geometry", "nowhere.xyz"), "nowhere.xyz does not exist"),
        (("--model", "random.safetensors", "--device", "gpu"), "setting `device` is 'gpu'"),
        pytest.param(
            ("--model", "random.safetensors", "--device", "cuda"),
            "`device` is 'cuda' but torch sees no GPU here; set it to 'cpu'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)
def test_missing_input_is_one_sentence(place, arguments, told):
    outcome = densnet("benchmark", *arguments, cwd=place)
    assert outcome.code == 1 and told in outcome.err, (outcome.code, outcome.out, outcome.err)
    assert outcome.err.startswith("error: ") and len(outcome.err.splitlines()) == 1
