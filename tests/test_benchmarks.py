"""What the benchmarks build for themselves (whole densities, chains) and how they count: torsions, drifts, exponents, tables."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torsions
from chains import DEFAULT, alkane, untrained
from conservation import asymmetry, conserved, difference_errors
from electrostatics import terms
from experiment import frames
from general import by_molecule
from growth import crossing, exponent, measure, pairs
from projections import expanded
from pyscf import dft, gto
from speed import report
from torsions import profiles
from variational import lines

from benchmarks.whole_density import WholeDensity, whole
from densnet import units
from densnet.artefacts.content import Analysis
from densnet.dataset import store
from densnet.dataset.dataset import Dataset, formula
from densnet.dataset.points import density_error
from densnet.density.basis import DensityBasis
from densnet.density.expansion import Density
from densnet.density.grids import molecular_grid
from densnet.density.orbitals import Orbitals
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.observables.anharmonic import vpt2
from densnet.properties import Properties
from densnet.reference import shipped
from densnet.reference.electrostatics import potential, quadrupole
from densnet.reference.fitting import fit, metric
from densnet.reference.oligomers import thiophenes
from densnet.simulation.trajectory import Trajectory
from densnet.training.examples import Example
from densnet.training.shelf import Shelf

pytestmark = pytest.mark.usefixtures("double_precision")
WATER = Molecules.single([8, 1, 1], [[0.1, -0.2, 0.22], [0.15, 1.24, -0.88], [0.0, -1.66, -0.8]])


def test_a_whole_density_says_of_the_molecule_what_the_label_says():
    atoms = [("OHH"[k], x) for k, x in enumerate(WATER.positions.tolist())]
    field = dft.RKS(gto.M(atom=atoms, unit="Bohr", basis="aug-cc-pvdz", verbose=0), xc="pbe").density_fit().run()
    orbitals = Orbitals(WATER, torch.as_tensor(field.mo_coeff[:, field.mo_occ > 0]))
    basis = DensityBasis.built_in("default", ["H", "O"])
    prepared = {"coefficients": fit(orbitals, basis).coefficients, "metric": metric(WATER, basis)}
    example = Example(Properties(WATER), basis, Shelf().put(prepared))
    density = WholeDensity(**vars(whole(example).density))
    assert float(density.electrons()) == pytest.approx(10)
    assert torch.allclose(density.dipole()[0], torch.as_tensor(field.dip_moment(unit="AU", verbose=0)), atol=1e-8)
    assert torch.allclose(density.quadrupole(), quadrupole(orbitals), atol=0.03)
    far = WATER.positions + torch.tensor([6.0, 3.0, -5.0])
    assert torch.allclose(density.potential(far), potential(orbitals, far), atol=2e-4)
    assert density_error(density, orbitals).percent == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize(("molecule", "name"), [(thiophenes(12), "H26C48S12"), (alkane(1), "H4C"), (alkane(30), "H62C30")])
def test_chains_are_molecules(molecule, name):
    distance = torch.cdist(molecule.positions, molecule.positions) + 99 * torch.eye(len(molecule.numbers))
    assert formula(molecule.numbers) == name
    assert 1.07 * units.ANGSTROM < distance.min() and distance.amin(1).max() < 1.72 * units.ANGSTROM


def test_a_torsion_is_the_angle_that_was_held():
    labels = store.read(torsions.TORSIONS)
    found = profiles(lambda molecules: labels_of(labels, molecules), labels)
    assert found[300].angles == pytest.approx(np.arange(0, 181, 15), abs=0.01)
    assert found[301].angles == pytest.approx(np.arange(60, 121, 5), abs=0.01)
    for profile, barrier, first in ((found[300], 52, -180), (found[301], 125, -60)):
        assert profile.deviation == pytest.approx(0, abs=1e-6)
        assert profile.reference.min() == 0 and profile.reference.max() == pytest.approx(barrier, abs=1)
        whole = profile.around(first)
        assert whole.angles[[0, -1]] == pytest.approx([first, first + 360], abs=0.01)
        assert whole.reference == pytest.approx(whole.reference[::-1], abs=1e-6)


def labels_of(labels, molecules):
    return next(label.properties for label in labels if torch.equal(label.properties.molecules.positions, molecules.positions))


def test_exponents_and_crossings_of_known_curves():
    sizes = [4, 8, 16, 32, 64]
    assert exponent(sizes, [9.0, 9.0, *(0.5 * n**1.5 for n in sizes[2:])], 16) == pytest.approx(1.5)
    assert crossing(sizes, [1, 2, 4, 8, 16], [4, 4, 4, 4, 4]) == pytest.approx(16)
    assert crossing(sizes, [1, 1, 1, 1, 1], [4, 4, 4, 4, 4]) == float("inf")


def test_drift_and_fluctuation_of_a_made_up_trajectory():
    times = torch.arange(1001, dtype=torch.float64) * 10 * units.FEMTOSECOND
    slope = torch.tensor([[0.0], [0.4]]) * units.MEV / units.PICOSECOND
    shaken = 0.2 * units.MEV * torch.sin(times / units.FEMTOSECOND / 7)
    zeros = torch.zeros(2, 1001, dtype=torch.float64)
    fields = {"known": {"energy": zeros}, "kinetic": zeros, "temperature": zeros}
    still = dict.fromkeys(("positions", "velocities"))
    found = conserved(
        Trajectory(torch.tensor([1, 1]), torch.ones(2), **still, **fields, conserved=slope * times + shaken,
                   time_step=0.0, sample_step=10 * units.FEMTOSECOND, header={})
    )  # fmt: skip
    assert found["drift_of_each"] == pytest.approx([0.0, 0.2], abs=2e-3)
    assert (found["drift_mean"], found["drift_worst"]) == pytest.approx((0.1, 0.2), abs=2e-3)
    assert found["fluctuation"] == pytest.approx(0.1 / 2**0.5, rel=0.02)
    assert found["picoseconds"] == pytest.approx(10)


def test_forces_are_checked_against_the_energy():
    predictor = untrained(WATER)
    errors = difference_errors(predictor.double(), [WATER])
    assert errors["rms"] < 1e-3 * errors["forces_rms"]
    assert asymmetry(predictor, [WATER]) < 1e-5
    predictor.forward = lambda molecules: type(predictor).forward(predictor, molecules).replace(forces=torch.zeros(3, 3))
    assert difference_errors(predictor, [WATER])["rms"] == pytest.approx(errors["forces_rms"], rel=1e-3)


def test_growth_and_crossing_are_measured():
    assert measure(WATER, DEFAULT, 1, 0).ms > 0
    assert len(pairs(WATER, DEFAULT, 1)) == 4


def test_table_of_speeds_says_what_is_missing():
    programs = {
        "ours": {"label": "ours", "version": "densnet 1", "parameters": 12_000, "ms": [1.0, 2.0, 123.4], "replicas_ms": 0.5},
        "other": {"label": "other", "version": "other 2", "ms": [3.0, 4.0, None], "compiled_ms": [1.5, 2.5, 9.0]},
        "third": {"label": "third", "problem": "not installable here"},
    }
    found = {"programs": programs, "machine": {"hardware": "this", "torch": "2"}, "load": [0.1, 1.0], "calls": 50}
    text = report(found)
    assert "| ours | 12 | 1 | 2 | 123 | 0.5 | - |" in text and "| other, compiled | - | 1.5 | 2.5 | 9 | - | - |" in text
    assert text.endswith("- third: not installable here")


def moved(function, molecule, atom, axis, step=1e-3):
    """Central difference of ``function`` (molecule -> tensor) along one coordinate."""
    shift = torch.zeros_like(molecule.positions)
    shift[atom, axis] = step
    ends = [function(molecule.at(molecule.positions + sign * shift)) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * step)


def test_what_an_atom_sees_of_the_density_moves_as_its_jacobian_says():
    model = load("water").double().requires_grad_(False)
    seen = expanded(model, WATER)
    for atom, axis in ((0, 0), (1, 2), (2, 1)):
        difference = moved(lambda m: expanded(model, m).output.coefficients.double(), WATER, atom, axis)
        row = seen.jacobian[3 * atom + axis].unflatten(0, (3, -1))[:, : difference.shape[1]].double()
        assert torch.allclose(row, difference, atol=3e-5) and difference.abs().max() > 0.01


def test_electrostatic_energies_are_those_of_the_whole_charge():
    """The three terms and their forces: against differences, and against the potential integrated over the nuclei and the density."""
    model = load("water").double().requires_grad_(False)
    energies, forces = terms(model, WATER)
    for atom, axis in ((0, 1), (2, 2)):
        assert torch.allclose(-moved(lambda m: terms(model, m)[0], WATER, atom, axis), forces[:, atom, axis], atol=1e-5)
    assert torch.allclose(forces.sum(1), torch.zeros(3, 3, dtype=torch.float64), atol=1e-6)
    density = model(WATER).density
    grid = molecular_grid(WATER)
    points, weights = grid.points, grid.weights
    with torch.no_grad():
        bare = Density(WATER, density.basis, 0 * density.coefficients, density.exponents)
        correction, field = density.values(points), bare.potential(points)
        own = field - density.potential(points)  # positive where electrons are
    assert energies[1] == pytest.approx(-float((weights * correction * field).sum()), abs=2e-3)
    assert energies[2] == pytest.approx(0.5 * float((weights * correction * own).sum()), abs=2e-3)


def test_held_out_labels_are_told_apart_by_their_trajectories():
    labels = frames("water/heldout_300K").select(range(3))
    moved = Dataset(replace(label, trajectory=trajectory) for label, trajectory in zip(labels, (25001, 2003, 25002)))
    assert {name: len(own) for name, own in by_molecule(moved).items()} == {"acetonitrile": 1, "ethanol": 2}


def test_variational_fundamentals_are_those_of_perturbation_theory_where_that_is_exact():
    """Water with small cubic and quartic terms in its normal coordinates, and a dipole that is linear in them."""
    conformer = Analysis.read(shipped.geometries("water").with_suffix(".json")).ensemble.conformers[0]
    modes = conformer.modes
    place, into = conformer.molecule.positions, modes.vectors * conformer.molecule.masses.sqrt()[None, :, None]
    w = modes.eigenvalues.sqrt()

    def surface(molecules: Molecules) -> Properties:
        positions = molecules.positions.view(-1, 3, 3).detach().requires_grad_()
        q = torch.einsum("kax,pax->pk", into, positions - place) * w.sqrt()
        energy = (w * q.square()).sum(1) / 2 + 3e-4 * q.prod(1) + 3e-4 * q[:, 1] ** 3 + 1e-5 * q[:, 0] ** 4
        (slope,) = torch.autograd.grad(energy.sum(), positions)
        dipole = torch.einsum("pk,kx->px", q / w.sqrt(), modes.dipole_slopes)
        return Properties(molecules, energy.detach(), -slope.view(-1, 3), dipole.detach())

    found, expected = lines(surface, modes, functions=6, points=10), vpt2(surface, modes).fundamentals
    assert not torch.allclose(expected, modes.frequencies, atol=5.0, rtol=0), "the terms are seen"
    for k, wavenumber in enumerate(expected.tolist()):
        centroid, integral = found.band(wavenumber - 30, wavenumber + 30)
        assert centroid == pytest.approx(wavenumber, abs=1.0)
        assert integral == pytest.approx(float(modes.intensities[k]), rel=0.03)
