"""`densnet spectrum` of several trajectories: the numbers of the one that has all replicas."""

import json

import pytest
from springs import WATER, Springs
from test_joined import SETTINGS, part, whole_and_parts
from typer.testing import CliRunner

from densnet.cli.main import build
from densnet.simulation.run import simulate
from densnet.simulation.trajectory import TrajectoryError
from densnet.spectra.spectrum import Spectrum
from densnet.spectra.tables import read_csv, read_table


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return whole_and_parts(tmp_path_factory.mktemp("runs"))


def spectrum(*arguments: object):
    return CliRunner().invoke(build(), ["spectrum", *map(str, arguments)])


def test_the_spectrum_of_parts_is_that_of_the_whole(runs, tmp_path):
    """Mean and error, infrared and Raman, to rounding: a replica counts alike, with others in its file or alone."""
    for name, files in (("whole", ["whole"]), ("parts", ["three.h5", "one.h5"])):
        paths, sizes = [runs / file for file in files], ("--depth", 150, "--width", 0, "--maximum", 4200)
        done = spectrum(*paths, *sizes, "--out", tmp_path / name, "--json", tmp_path / f"{name}.json")
        assert done.exit_code == 0, done.output
    assert "4 replicas of 2 trajectories, temperature" in done.output
    found, whole = (read_csv(tmp_path / name / "spectrum.csv") for name in ("parts", "whole"))
    same(found, whole)
    assert [found.header[key] for key in ("trajectories", "seeds", "replicas")] == [2, "2 1", 4]
    assert {**whole.header, "trajectories": 2, "seeds": "2 1"} == found.header
    raman, expected = (read_table(tmp_path / name / "raman.csv") for name in ("parts", "whole"))
    for column in expected:
        same(raman[column], expected[column])
    numbers, expected = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("parts", "whole"))
    for one, other in ((numbers, expected), (numbers["raman"], expected["raman"])):
        assert len(one["bands"]) == len(other["bands"]) > 0
        assert all(a == pytest.approx(b, rel=1e-9) for a, b in zip(one["bands"], other["bands"]))
    assert numbers["trajectories"] == [str(runs / "three.h5"), str(runs / "one.h5")] and numbers["replicas"] == 4


def same(one: Spectrum, other: Spectrum) -> None:
    assert other.error.max() > 0.05 * other.intensity.max()  # which a wrong count of replicas would show in
    assert one.intensity == pytest.approx(other.intensity, rel=1e-9, abs=1e-12 * other.intensity.max())
    assert one.error == pytest.approx(other.error, rel=1e-9, abs=1e-12 * other.intensity.max())


def test_what_is_left_out_is_told(runs, tmp_path):
    """Samples beyond the shortest trajectory, a Raman spectrum where not all have polarizabilities."""
    short = part(runs / "whole" / "trajectory.h5", tmp_path / "short.h5", [1, 2], samples=101, seed=3)
    other = SETTINGS.model_copy(update={"seed": 5, "polarizability": False})
    simulate(Springs(WATER), WATER, other, tmp_path / "plain", provenance={"model": "a" * 64})
    done = spectrum(runs / "one.h5", short, tmp_path / "plain", "--depth", 150, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'plain'} has no polarizability, which is left out for all." in done.stderr
    assert (tmp_path / "out" / "spectrum.csv").exists() and not (tmp_path / "out" / "raman.csv").exists()
    assert f"warning: {short} has 0.2 ps and is not finished" in done.stderr
    assert read_csv(tmp_path / "out" / "spectrum.csv").header["length_ps"] < 0.2


def test_what_does_not_belong_together_leaves_nothing_behind(runs, tmp_path):
    simulate(Springs(WATER), WATER, SETTINGS.model_copy(update={"temperature": 350, "duration_ps": 0.02}), tmp_path / "warm")
    for other, words in ((runs / "one.h5", "has the `seed` 1, as has"), (tmp_path / "warm", "`temperature` is 350.0, not 300.0")):
        done = spectrum(runs / "one.h5", other, "--out", tmp_path / "out")
        assert isinstance(done.exception, TrajectoryError) and words in str(done.exception) and str(other) in str(done.exception)
    assert not (tmp_path / "out").exists()
