"""The absorption of a free rotor: closed form against the spectrum of rigid rotors at equilibrium."""

import numpy as np
import pytest
import torch

from densnet import units
from densnet.molecules import Molecules
from densnet.observables.vibrations import principal_axes
from densnet.spectra.infrared import from_series
from densnet.spectra.rotation import rotational_intensity
from densnet.spectra.timeseries import Sampling, SeriesSettings

KT = 300 * units.KELVIN


def test_a_diatomic_absorbs_what_its_rotors_do():
    bond, moment = 1.1 * units.ANGSTROM, 0.5
    molecule = Molecules.single([1, 17], torch.tensor([[0.0, 0, 0], [0, 0, bond]]).double())
    inertia = float(principal_axes(molecule)[0].max())
    generator = np.random.default_rng(0)
    speed = np.sqrt(KT / inertia) * np.linalg.norm(generator.normal(size=(600, 2)), axis=1)
    t = np.arange(2400) * 2 * units.FEMTOSECOND
    angle = speed[:, None] * t
    dipole = moment * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=2)
    found = from_series(dipole, Sampling(2 * units.FEMTOSECOND, 0.0, 300.0), settings=SeriesSettings(maximum=1500.0))
    exact = rotational_intensity(molecule, torch.tensor([0.0, 0, moment]))
    assert exact == pytest.approx(2 * moment**2 / inertia / units.KM_PER_MOL)
    assert found.integral(0, 1500) == pytest.approx(exact, rel=0.05)


def test_the_component_along_an_axis_does_not_turn_with_it():
    water = Molecules.single([8, 1, 1], torch.tensor([[0.0, 0, 0], [1.43, 1.11, 0], [-1.43, 1.11, 0]]).double())
    moments, axes = principal_axes(water)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]
    dipole = 0.73 * axes[:, 1]
    expected = 0.73**2 * float(1 / moments[0] + 1 / moments[2]) / units.KM_PER_MOL
    assert rotational_intensity(water, dipole) == pytest.approx(expected)
    assert rotational_intensity(water.at(water.positions @ turn), dipole @ turn) == pytest.approx(expected)
    measured = 974.880 * (0.73 * 0.529177) ** 2 * (27.88 + 9.28) / 16.8576  # A and C in cm^-1, 16.8576 amu A^2 over each is a moment
    assert expected == pytest.approx(measured, rel=0.05)
