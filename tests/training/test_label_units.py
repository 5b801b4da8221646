"""Labels of another unit, sign or level are recognised by how they stand to the predictions, and good labels are not."""

import numpy as np
import pytest

from densnet import units
from densnet.training.label_units import OTHERS, READ, doubts_of, factor
from densnet.training.objective import Evaluation

RNG = np.random.default_rng(3)
ENERGY = -154.85 + 0.02 * RNG.normal(size=8)
FORCES = 0.05 * RNG.normal(size=216)
DIPOLE = 0.6 + 0.1 * RNG.normal(size=(8, 3))


def evaluation(energy=ENERGY, forces=FORCES, dipole=DIPOLE) -> Evaluation:
    """A model that errs by 0.3 meV, 3 meV/A and 3 mD, against these labels."""
    noise = np.random.default_rng(4)
    predicted = (
        ENERGY + 0.3 * units.MEV * noise.normal(size=8),
        FORCES + 3 * units.MEV_PER_ANGSTROM * noise.normal(size=216),
        DIPOLE + 0.003 * units.DEBYE * noise.normal(size=(8, 3)),
    )
    pairs = [np.stack([label, own], axis=-1) for label, own in zip((energy, forces, dipole), predicted)]
    none = (np.zeros((0, 2)), np.zeros((0, 3, 3, 2)), np.zeros((0, 2)), np.zeros((0, 3, 3, 2)), np.zeros((0,)))
    return Evaluation(8, *pairs, *none, uncertainty={}, labelled=dict.fromkeys(("energy", "forces", "dipole"), 8))


def test_good_labels_raise_no_doubt():
    assert doubts_of(evaluation()) == []


@pytest.mark.parametrize("read", ["eV", "hartree"])
@pytest.mark.parametrize("unit", OTHERS["energy"])
def test_units_of_energies(read, unit):
    told = doubts_of(evaluation(energy=ENERGY / OTHERS["energy"][unit] * READ["energy"][read]))
    assert told == [] if unit == read else (len(told) == 1 and f"look like energies in {unit}, but are read in {read};" in told[0]), told


@pytest.mark.parametrize("read", ["eV/A", "hartree/bohr"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("unit", OTHERS["forces"])
def test_units_and_signs_of_forces(read, sign, unit):
    told = doubts_of(evaluation(forces=sign * FORCES / OTHERS["forces"][unit] * READ["forces"][read]))
    if (unit, sign) == (read, 1):
        assert told == []
        return
    assert len(told) == 1 and ("gradients?" in told[0]) == (sign < 0)
    ratio = READ["forces"][read] / OTHERS["forces"][unit]
    others = [READ["forces"][r] / OTHERS["forces"][u] for r in READ["forces"] for u in OTHERS["forces"]]
    if sum(abs(np.log(ratio / other)) < 1e-6 for other in others) == 1:  # kcal/mol/bohr in hartree/bohr is like no other; 1 is like many
        assert unit in told[0] and read in told[0]


def test_dipoles_in_debye():
    (told,) = doubts_of(evaluation(dipole=DIPOLE / units.DEBYE * units.E_ANGSTROM))
    assert "dipoles in D, but are read in e A" in told


def test_another_level_of_theory_is_one_constant():
    (told,) = doubts_of(evaluation(energy=ENERGY - 3.881 * units.EV))
    assert "by a constant of -3881" in told and float(told.split("energy MAE is ")[1].split()[0]) < 0.5


def test_energies_of_atomisation_in_another_unit():
    (told,) = doubts_of(evaluation(energy=(ENERGY + 150.0) / OTHERS["energy"]["kcal/mol"] * units.EV))
    assert "energies in kcal/mol" in told


def test_what_does_not_run_together_has_no_factor():
    assert factor(np.stack([FORCES, np.roll(FORCES, 7)], axis=-1)) is None
    assert factor(np.stack([-2 * FORCES, FORCES], axis=-1)) == pytest.approx(-2)
