"""Weighted spectra of conformers: error bands, dipoles and populations on synthetic series."""

import numpy as np
import pytest
import torch

from densnet import units
from densnet.observables import conformers
from densnet.observables.conformers import Conformer, Ensemble
from densnet.reference import geometries
from densnet.simulation.trajectory import Trajectory
from densnet.spectra.spectrum import SpectrumError
from densnet.spectra.timeseries import SeriesSettings
from densnet.workflow import ensemble
from densnet.workflow.ensemble import account, origins, weighted_spectrum

SETTINGS = SeriesSettings(depth=500.0, maximum=3000.0, step=5.0)
STEP = 2.0 * units.FEMTOSECOND
TEMPERATURE = 300.0


def conformer(frame, energy: float) -> Conformer:
    size = 3 * len(frame.molecule.numbers)
    hessian = torch.zeros(size, size, dtype=torch.float64)
    return Conformer(frame.name, frame.molecule, energy, torch.tensor([0.6, 0.0, 0.0]), hessian, torch.zeros(size // 3, 3, 3))


@pytest.fixture
def found(monkeypatch, request) -> Ensemble:
    """Ethanol: trans, gauche and its mirror image, of equal free energy, so that the weights are 1/3 and 2/3."""
    for module in (conformers, ensemble):
        monkeypatch.setattr(module, "free_energy", lambda modes, energy, temperature: energy)
    frames = geometries.read(request.config.rootpath / "examples" / "geometries" / "ethanol.xyz")
    return Ensemble((conformer(frames[0], 0.0), conformer(frames[1], 0.0)), (0, 1, 1))


def trajectory(found: Ensemble, replicas: int, seed: int = 0) -> Trajectory:
    """Dipoles that swing at 1000 cm^-1 (trans) or 2000 (gauche) with an energy of its own for each replica; nothing else moves."""
    generator = np.random.default_rng(seed)
    start = origins(found, replicas)
    time = np.arange(600) * STEP
    swing = np.where(start == 0, 1000.0, 2000.0)[:, None] * units.INVERSE_CM * time
    strength = generator.exponential(size=(replicas, 1)) ** 0.5
    dipole = np.zeros((replicas, len(time), 3))
    dipole[..., 0] = 0.6 + 0.05 * (start == 1)[:, None] + 0.01 * strength * np.cos(swing + generator.uniform(0, 6.28, (replicas, 1)))
    flat = torch.full((replicas, len(time)), TEMPERATURE, dtype=torch.float64)
    places = torch.stack([c.molecule.positions for c in found.conformers])[torch.from_numpy(start)][:, None].repeat(1, len(time), 1, 1)
    numbers = found.conformers[0].molecule.numbers
    still = torch.zeros_like(flat)
    about = {"settings": {"temperature": TEMPERATURE}}
    known = {"dipole": torch.from_numpy(dipole), "energy": still}
    return Trajectory(numbers, numbers, places, None, known, still, still, flat, 0.0, STEP, about)


def test_weighted_sum_and_its_error(found):
    whole, (trans, gauche) = weighted_spectrum(trajectory(found, 60), found, TEMPERATURE, SETTINGS)
    np.testing.assert_allclose(whole.intensity, trans.intensity / 3 + 2 * gauche.intensity / 3, rtol=1e-12)
    np.testing.assert_allclose(whole.error**2, (trans.error / 3) ** 2 + (2 * gauche.error / 3) ** 2, rtol=1e-12)
    assert trans.band(800, 1200).integral > 100 * abs(gauche.band(800, 1200).integral)
    assert [s.header["set temperature_K"] for s in (whole, trans, gauche)] == [TEMPERATURE] * 3
    assert whole.header["temperature_K"] == TEMPERATURE and whole.header["temperature error_K"] == 0
    assert whole.header["replicas"] == 60 and whole.header["effective replicas"] == pytest.approx(60)


def test_the_error_bar_is_the_scatter_of_repeated_runs(found):
    bands = [weighted_spectrum(trajectory(found, 30, seed), found, TEMPERATURE, SETTINGS)[0].band(800, 2200) for seed in range(60)]
    told = np.sqrt(np.mean([b.error**2 for b in bands]))
    assert told == pytest.approx(np.std([b.integral for b in bands], ddof=1), rel=0.25)
    told = np.sqrt(np.mean([b.centroid_error**2 for b in bands]))
    assert told == pytest.approx(np.std([b.centroid for b in bands], ddof=1), rel=0.25)


def test_a_conformer_without_two_replicas_is_refused(found):
    with pytest.raises(SpectrumError, match="conformer trans has 1 of the replicas"):
        origins(found, 3)


def test_account_of_dipoles_and_places(found):
    run = trajectory(found, 12)
    run.positions[1, 300:] = found.conformers[0].molecule.positions  # a gauche replica turns trans half-way
    told = account(run, found, TEMPERATURE)
    assert [c["weight"] for c in told["conformers"]] == pytest.approx([1 / 3, 2 / 3])
    low, high = (c["dipole_D"] for c in told["conformers"])
    assert low == pytest.approx(0.6 / units.DEBYE, rel=0.01) and high == pytest.approx(0.65 / units.DEBYE, rel=0.01)
    assert told["dipole_D"] == pytest.approx(low / 3 + 2 * high / 3)
    np.testing.assert_allclose(told["spent"], [[1, 0], [1 / 16, 15 / 16]])
    np.testing.assert_allclose(told["observed"], [1 / 3 + 2 / 3 / 16, 2 / 3 * 15 / 16])
    assert told["observed_error"] == pytest.approx([2 / 3 * np.std([0.5, *[0] * 7], ddof=1) / np.sqrt(8)] * 2)
    assert told["ended_elsewhere"] == pytest.approx(1 / 12)
