"""The verb, from a trajectory's arrays to its files; only the reader of the trajectory is stood in for."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from densnet import units
from densnet.cli.spectrum import spectrum
from densnet.settings import SettingsError
from densnet.simulation.temperature import Realised
from densnet.spectra.measured import read_measured, read_raman
from densnet.spectra.spectrum import Gaussian, Sticks
from densnet.spectra.tables import read_csv, read_table, write_csv

AXIS = np.arange(0.0, 4501.0)
FILES = ["bands.csv", "smoothed.csv", "spectrum-absorbance.jdx", "spectrum.csv", "spectrum.jdx", "spectrum.png"]


@pytest.fixture
def run():
    """6 replicas of one mode at 1600 cm^-1 of strength 1 e^2/amu, at 300 K on average."""
    t, w = np.arange(3000) * units.FEMTOSECOND, 1600 * units.INVERSE_CM
    phases, heat = np.linspace(0, 5, 6)[:, None], np.linspace(200, 400, 6)[:, None]
    q = np.sqrt(2 * heat * units.KELVIN) / w * np.cos(w * t + phases) / np.sqrt(units.AMU)
    return SimpleNamespace(
        dipole=torch.as_tensor(q[..., None] * np.array([0.0, 0.6, 0.8])),
        polarizability=None,
        time_step=0.01 * units.FEMTOSECOND,
        sample_step=units.FEMTOSECOND,
        temperature=torch.as_tensor(np.repeat(heat, 4, axis=1)),
        numbers=torch.tensor([6, 8]),
        masses=torch.tensor([12.0, 15.9949146]).double() * units.AMU,
        positions=torch.tensor([[[[0.0, 0.0, 0.0], [0.0, 0.0, 2.2]]]]).expand(6, 1, 2, 3),
        times=t,
        method="classical dynamics",
        realised=Realised(300.0, 300.0, 30.5),
        header={},
    )


@pytest.fixture
def verb(monkeypatch, run):
    """Runs the verb on that trajectory, whatever path it is given."""
    for reader in ("trajectory", "joined"):
        monkeypatch.setattr(f"densnet.simulation.{reader}.read_trajectory", lambda path, motion=True, every=1: run)
    app = typer.Typer()
    app.command()(spectrum)
    return lambda *args: CliRunner().invoke(app, [str(a) for a in args])


def test_files_and_numbers(verb, tmp_path):
    write_csv(tmp_path / "measured.csv", Sticks(np.array([1602.0]), np.array([500.0])).broaden(AXIS, Gaussian(8.0)))
    result = verb("x.h5", "--out", tmp_path / "out", "--experiment", tmp_path / "measured.csv")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == FILES
    found = read_csv(tmp_path / "out" / "spectrum.csv")
    assert found.band(1500, 1700).integral == pytest.approx(974.880, rel=2e-3)
    assert found.header["replicas"] == 6 and found.error is not None
    assert "6 replicas, temperature 300.0 +- 30.5 K (set: 300 K)" in result.output
    assert read_measured(tmp_path / "out" / "spectrum.jdx").intensity == pytest.approx(found.intensity, abs=1e-8 * found.intensity.max())
    again = read_measured(tmp_path / "out" / "spectrum-absorbance.jdx")  # on the molar scale again, less its baseline
    assert again.integral(1500, 1700) == pytest.approx(found.integral(1500, 1700), rel=1e-3) and "1000 Pa, 0.1 m" in again.header["molar"]
    assert "SIS 0.9" in result.output and "read in km/mol per cm^-1" in result.output
    assert "sigma 10" in result.output and "1600" in result.output


def test_resolution_is_depth_in_other_words(verb, tmp_path):
    for name, option in (("a", ("--resolution", 33356.41 / 1000)), ("b", ("--depth", 1000))):
        assert verb("x.h5", *option, "--out", tmp_path / name).exit_code == 0
    a, b = (read_csv(tmp_path / name / "spectrum.csv") for name in "ab")
    assert a.intensity == pytest.approx(b.intensity) and a.header["resolution_cm-1"] == pytest.approx(33.356, abs=0.01)
    assert "same setting" in str(verb("x.h5", "--depth", 1000, "--resolution", 30, "--out", tmp_path / "c").exception)


def test_help_and_bad_settings(verb, tmp_path):
    assert "km/mol" in verb("--help").output
    bad = verb("x.h5", "--depth", -1, "--out", tmp_path / "out")
    assert isinstance(bad.exception, SettingsError) and "spectrum.depth" in str(bad.exception)
    missing = verb("x.h5", "--experiment", tmp_path / "none.jdx", "--out", tmp_path / "out")
    assert isinstance(missing.exception, OSError)
    assert not (tmp_path / "out").exists()


def test_polarizabilities_give_a_raman_spectrum_too(verb, run, tmp_path):
    """alpha' = 1 A^2 / sqrt(amu) times a unit tensor: 45 A^4/amu, depolarisation 0."""
    q = run.dipole[..., 2] / 0.8 * units.AMU**0.5
    run.polarizability = 40 * torch.eye(3).double() + units.RAMAN_ACTIVITY**0.5 * q[..., None, None] * torch.eye(3).double()
    shift = np.arange(100.0, 3500.0)
    (tmp_path / "measured.csv").write_text(
        "Raman shift (cm-1),intensity\n" + "".join(f"{x:g},{np.exp(-((x - 1603) ** 2) / 200):.6f}\n" for x in shift)
    )
    result = verb("x.h5", "--out", tmp_path / "out", "--experiment", tmp_path / "measured.csv", "--laser", 488)
    assert result.exit_code == 0, result.output
    raman = [f"raman{end}" for end in ("-bands.csv", "-smoothed.csv", ".csv", ".jdx", ".png")]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([*FILES, *raman])
    found = read_table(tmp_path / "out" / "raman.csv")
    assert found["activity"].integral(1500, 1700) == pytest.approx(45.0, rel=2e-3)
    assert found["total"].header["laser_nm"] == 488.0 and found["perpendicular"].intensity.max() < 1e-6 * found["total"].intensity.max()
    again = read_raman(tmp_path / "out" / "raman.jdx")
    assert again.centroid(1500, 1700) == pytest.approx(found["total"].centroid(1500, 1700), abs=0.1)
    assert "DATA TYPE=RAMAN SPECTRUM" in (tmp_path / "out" / "raman.jdx").read_text()
    row = (tmp_path / "out" / "raman-bands.csv").read_text().splitlines()[-1].split(",")
    assert float(row[4]) == pytest.approx(45.0, rel=5e-3) and float(row[6]) == pytest.approx(0.0, abs=1e-6)
    assert "Raman bands, 488 nm, 300 K" in result.output and "read in arbitrary units" in result.output
    run.polarizability = None
    assert "no polarizabilities" in str(verb("x.h5", "--experiment", tmp_path / "measured.csv", "--out", tmp_path / "no").exception)


def test_a_trajectory_without_dipoles(verb, run, tmp_path):
    run.dipole = None
    assert "contains no dipoles" in str(verb("x.h5", "--out", tmp_path / "out").exception)
