"""`densnet density`: files, figures and the line on the training set."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io.cube import read_cube_data

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "model")]

from command import densnet  # noqa: E402
from random_model import random_predictor  # noqa: E402

from densnet import units  # noqa: E402
from densnet.cli.density import nearness  # noqa: E402
from densnet.density.promolecule import shipped  # noqa: E402
from densnet.model.predictor import load  # noqa: E402
from densnet.model.response_network import ResponseNetworkSettings  # noqa: E402
from densnet.molecules import Molecules  # noqa: E402
from densnet.training.coverage import coverage  # noqa: E402

ATOMS = [[0.0, 0.0, -0.0637], [0.0, 0.7722, 0.5053], [0.0, -0.7722, 0.5053]]
FRAME = "3\nwater\n" + "".join(f"{s} {x} {y} {z}\n" for s, (x, y, z) in zip("OHH", ATOMS))
WATER = Molecules.single([8, 1, 1], torch.tensor(ATOMS, dtype=torch.float64) * units.ANGSTROM)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("density")
    (folder / "water.xyz").write_text("3\nwider\nO 0 0 0\nH 0 0.9 0.7\nH 0 -0.9 0.7\n" + FRAME)
    predictor = random_predictor(elements=("H", "O"), basis="small")
    predictor.provenance["coverage"] = coverage([WATER])
    predictor.save(folder / "known.safetensors")
    return folder


@pytest.fixture(scope="module")
def printed(place) -> str:
    options = ("--frame", 2, "--out", "out", "--spacing", 0.3, "--margin", 2.5)
    outcome = densnet("density", "known.safetensors", "water.xyz", *options, cwd=place)
    assert outcome.code == 0, outcome.err
    return outcome.out


def row(text: str, name: str) -> list[float]:
    line = next(line for line in text.splitlines() if name in line)
    return [float(x) for x in re.findall(r"[-+]?\d+\.\d+", line)]


def test_files_hold_the_fields_of_the_model(place, printed):
    density = load(place / "known.safetensors").without_forces(WATER).density
    promolecule = shipped().values
    origin = [float(x) for x in (place / "out" / "density.cube").read_text().splitlines()[2].split()[1:]]
    step = 0.3 * units.ANGSTROM
    for name, field in (("density", density.total), ("correction", density.values), ("potential", density.potential)):
        values, atoms = read_cube_data(place / "out" / f"{name}.cube")
        assert atoms.get_chemical_formula() == "H2O"
        for voxel in [(5, 9, 7), (11, 3, 12), (0, 0, 0)]:
            point = torch.tensor([o + k * step for o, k in zip(origin, voxel)], dtype=torch.float64)[None]
            assert values[voxel] == pytest.approx(float(field(point).detach()[0]), rel=1e-4, abs=1e-8)
    total, added = (read_cube_data(place / "out" / f"{name}.cube")[0] for name in ("density", "correction"))
    free = promolecule(WATER, torch.tensor([origin], dtype=torch.float64))
    assert total[0, 0, 0] - added[0, 0, 0] == pytest.approx(float(free[0]), abs=1e-6)
    for name, unit in (("density", "e/bohr^3"), ("correction", "e/bohr^3"), ("potential", "hartree/e")):
        first = (place / "out" / f"{name}.cube").read_text().splitlines()[0]
        assert unit in first and "H2O" in first and "known.safetensors" in first
    assert (place / "out" / "density.png").stat().st_size > 20_000


def test_printed_figures_are_those_of_the_model(place, printed):
    with torch.no_grad():
        density = load(place / "known.safetensors").without_forces(WATER).density
    assert row(printed, "electrons") == [10.0]
    dipole = density.dipole()[0].numpy() * 2.541746473
    np.testing.assert_allclose(row(printed, "dipole"), [np.linalg.norm(dipole), *dipole], atol=6e-5)
    quadrupole = density.quadrupole()[0].numpy() * 2.541746473 * 0.529177210903
    for axis, expected in zip("xyz", quadrupole):
        np.testing.assert_allclose(row(printed, f"quadrupole {axis}"), expected, atol=6e-5)
    charges = [float(x) for x in re.findall(r"[OH] .*?([-+]\d\.\d{4})", printed)]
    np.testing.assert_allclose(charges, -density.charges().numpy(), atol=6e-5)
    assert "not an observable" in printed and "Buckingham" in printed
    counted, _ = read_cube_data(place / "out" / "density.cube")
    assert row(printed, "sum over density.cube") == [pytest.approx(counted.sum() * (0.3 * units.ANGSTROM) ** 3, abs=1e-3)]


def test_the_distance_to_the_training_set_is_told(place, printed):
    assert row(printed, "Distance to the training set")[0] < 1e-3
    known = load(place / "known.safetensors").provenance
    far = nearness(known, WATER.at(1.2 * WATER.positions))
    rms = float(torch.pdist(WATER.positions).square().mean().sqrt()) / units.ANGSTROM
    assert row(far, "training set")[0] == pytest.approx(0.2 * rms, abs=2e-3) and "use with care" in far
    assert "contains no FH, only H2O" in nearness(known, Molecules.single([1, 9], WATER.positions[:2]))
    assert "only C2H6O" in nearness({"coverage": {"H6C2O": {}}}, WATER)
    assert "unknown, because the model file does not record" in nearness({}, WATER)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--frame", 3), "`--frame` is 3, but water.xyz has frames 1 to 2"),
        (("--frame", 0), "`--frame` is 0"),
        (("--spacing", 0), "`spacing` is 0 Angstrom"),
        (("--spacing", 0.001), "too large"),
    ],
)
def test_bad_options_are_one_sentence(place, options, told):
    outcome = densnet("density", "known.safetensors", "water.xyz", "--out", "none", *options, cwd=place)
    assert outcome.code == 1 and told in " ".join(outcome.err.split()), (outcome.out, outcome.err)
    assert not (place / "none").exists()


def test_the_density_induced_by_a_field(place):
    predictor = load(place / "known.safetensors")
    torch.manual_seed(0)
    predictor.add_response_network(ResponseNetworkSettings(channels=4, head_channels=4))
    for out in predictor.response_network.head.out:
        torch.nn.init.normal_(out.weight)
    predictor.save(place / "soft.safetensors")
    options = ("--frame", 2, "--out", "field", "--spacing", 0.3, "--margin", 2.5, "--field", "z", "--json", "field.json")
    outcome = densnet("density", "soft.safetensors", "water.xyz", *options, cwd=place)
    assert outcome.code == 0, outcome.err
    with torch.no_grad():
        found = predictor.respond(WATER)
    alpha = json.loads((place / "field.json").read_text())["polarizability_au"]
    assert np.allclose(alpha, found.polarizability[0], rtol=1e-4)
    values, _ = read_cube_data(place / "field" / "response-z.cube")
    lines = (place / "field" / "response-z.cube").read_text().splitlines()
    origin = torch.tensor([float(x) for x in lines[2].split()[1:]], dtype=torch.float64)
    voxel = (7, 8, 9)
    point = (origin + 0.3 * units.ANGSTROM * torch.tensor(voxel)).to(found.polarizability.dtype)
    assert values[voxel] == pytest.approx(float(found.response.values(point[None])[0, 2]), rel=1e-3, abs=1e-7)
    for model, axis, told in (("soft", "w", "must be x, y or z"), ("known", "x", "densnet train --response")):
        refused = densnet("density", f"{model}.safetensors", "water.xyz", "--field", axis, cwd=place)
        assert refused.code == 1 and told in refused.err
