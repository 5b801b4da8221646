"""Mode tracking against the full Hessian of the reference: two sets of springs, one stands for the model, one for the reference."""

import itertools

import pytest
import torch

from densnet import units
from densnet.molecules import MoleculeError, Molecules
from densnet.observables.modetracking import Tracked, steps, strongest, track, wavenumbers
from densnet.observables.response import slopes
from densnet.observables.vibrations import Modes, carried, descent, modes, normal_modes, relax
from densnet.properties import Properties

pytestmark = pytest.mark.usefixtures("double_precision")

ATOMS = [8, 6, 1, 1]
START = torch.tensor([[0.1, 0.0, 2.3], [0.0, 0.1, 0.0], [1.7, 0.2, -1.0], [-0.6, 1.6, -1.0]], dtype=torch.float64)
CHARGES = torch.tensor([-0.35, 0.25, 0.06, 0.04], dtype=torch.float64)
PAIRS = list(itertools.combinations(range(4), 2))
STIFFNESS = torch.tensor([0.8, 0.05, 0.06, 0.4, 0.38, 0.07], dtype=torch.float64)
LENGTHS = torch.tensor([float((START[i] - START[j]).norm()) for i, j in PAIRS], dtype=torch.float64)


def surface(stiffness, lengths, charges, bend=0.0):
    """Springs between all pairs of atoms, of which ``bend`` is the relative third-power term, and fixed charges."""

    def force_function(molecules: Molecules) -> Properties:
        x = molecules.positions.reshape(molecules.count, 4, 3)
        i, j = torch.tensor(PAIRS).T
        arms = x[:, i] - x[:, j]
        length = arms.norm(dim=-1)
        stretch = length - lengths
        energy = (stiffness * (stretch**2 / 2 + bend * stretch**4 / 4)).sum(1)
        pull = -(stiffness * (stretch + bend * stretch**3) / length)[..., None] * arms
        forces = torch.zeros_like(x).index_add(1, i, pull).index_add(1, j, -pull)
        return Properties(molecules, energy, forces.reshape(-1, 3), (charges[:, None] * x).sum(1))

    return force_function


GENERATOR = torch.Generator().manual_seed(4)
NEAR = 1 + 0.04 * torch.randn(6, generator=GENERATOR, dtype=torch.float64)
MODEL = surface(STIFFNESS, LENGTHS, CHARGES)
REFERENCE = surface(STIFFNESS * NEAR, LENGTHS * (1 + 0.1 * (NEAR - 1)), CHARGES * 1.05)


def minimum(force_function) -> Molecules:
    return relax(force_function, Molecules.single(ATOMS, START), 1e-11)


@pytest.fixture(scope="module")
def ours(double_precision) -> Modes:
    """Modes of the model, at the minimum of the reference."""
    return carried(normal_modes(MODEL, minimum(MODEL), 1e-4), minimum(REFERENCE))


@pytest.fixture(scope="module")
def exact(double_precision) -> Modes:
    return normal_modes(REFERENCE, minimum(REFERENCE), 1e-4)


def tracked(modes: Modes, count: int = 3, reference=REFERENCE, limit: float = 0.5) -> Tracked:
    chosen = strongest(modes, count)
    return track(MODEL, reference, modes, chosen, steps(MODEL, modes, chosen, limit, 0.005, 0.05))


def test_carried_modes_are_orthonormal_and_carry_no_rigid_motion(ours, exact):
    flat = ours.vectors.flatten(1)
    assert torch.allclose(flat @ flat.T, torch.eye(6), atol=1e-12)
    roots = ours.molecule.masses.sqrt()[:, None]
    assert torch.allclose((ours.vectors * roots).sum(1), torch.zeros(6, 3), atol=1e-9)
    spin = torch.linalg.cross(ours.molecule.positions.expand(6, 4, 3), ours.vectors * roots).sum(1)
    assert torch.allclose(spin, torch.zeros(6, 3), atol=1e-8)
    assert torch.allclose(carried(exact, exact.molecule).vectors, exact.vectors, atol=1e-12)


def test_quotients_residuals_and_dipole_slopes_are_those_of_the_full_hessian(ours):
    found = tracked(ours, limit=0.1)
    at = slopes(REFERENCE, ours.molecule, 1e-4)
    roots = ours.molecule.masses.sqrt().repeat_interleave(3)
    weighted = (at.hessian + at.hessian.T) / 2 / torch.outer(roots, roots)
    vectors = ours.vectors[found.chosen].flatten(1)
    quotients = torch.einsum("ia,ab,ib->i", vectors, weighted, vectors)
    residuals = (vectors @ weighted - quotients[:, None] * vectors).norm(dim=1)
    assert torch.allclose(found.frequencies, wavenumbers(quotients), atol=0.02)
    assert torch.allclose(found.residuals, residuals, rtol=2e-3, atol=1e-10)
    assert torch.allclose(found.dipole_slopes, vectors / roots @ at.dipole.reshape(-1, 3), atol=1e-9)
    assert (found.finite.abs() > 0).all() and (residuals > 0.01 * quotients).any()


def test_the_reference_has_a_mode_within_the_residual_and_nearer_to_the_corrected_one(ours, exact):
    found = tracked(ours)
    corrected, places, overlaps = found.corrected()
    for k in range(3):
        nearest = (exact.frequencies - found.frequencies[k]).abs().min()
        assert nearest <= found.bounds[k] + 0.02
        assert (exact.frequencies - corrected.frequencies[places[k]]).abs().min() < 0.3 * nearest + 0.5
        shape = corrected.vectors[places[k]].flatten()
        assert (exact.vectors.flatten(1) @ shape).square().max() > 0.999
        assert overlaps[k] == pytest.approx(float((shape @ ours.vectors[found.chosen[k]].flatten()) ** 2), abs=1e-9)


def test_all_modes_tracked_are_the_whole_hessian(ours, exact):
    corrected, places, _ = tracked(ours, 99, limit=0.1).corrected()
    assert sorted(places.tolist()) == list(range(6))
    assert torch.allclose(corrected.frequencies, exact.frequencies, atol=0.03)
    assert torch.allclose(corrected.intensities, exact.intensities, rtol=1e-3, atol=1e-3)


def test_a_model_that_is_the_reference_has_no_residual(exact):
    chosen = strongest(exact, 4)
    found = track(REFERENCE, REFERENCE, exact, chosen, steps(REFERENCE, exact, chosen, 0.5, 0.005, 0.05))
    assert torch.allclose(found.frequencies, exact.frequencies[chosen], atol=1e-3) and (found.bounds < 1e-2).all()
    assert torch.equal(exact.intensities[chosen], exact.intensities.sort(descending=True)[0][:4])
    assert found.noise < 1e-2


def test_steps_keep_anharmonicity_below_the_limit_and_what_is_left_is_taken_off(ours):
    bent = surface(STIFFNESS, LENGTHS, CHARGES, bend=1.0)
    chosen = strongest(ours, 6)
    sizes = steps(bent, ours, chosen, 0.5, 0.001, 0.3)
    found = track(bent, bent, ours, chosen, sizes)
    shift = found.finite / (2 * found.eigenvalues.abs().sqrt()) / units.INVERSE_CM
    reach = sizes * ours.displacements[chosen].norm(dim=2).amax(1)
    assert (shift.abs() < 0.75).all() and ((shift.abs() > 0.3) | (reach > 0.299)).all()
    still = modes(ours.molecule, slopes(bent, ours.molecule, 1e-4).hessian)
    flat = ours.vectors[chosen].flatten(1) @ still.vectors.flatten(1).T
    assert torch.allclose(found.frequencies, wavenumbers((flat**2) @ still.eigenvalues), atol=0.02)


def test_the_models_hessian_leads_to_the_minimum_of_the_reference():
    at = minimum(MODEL)
    way = descent(REFERENCE, at, slopes(MODEL, at, 1e-4).hessian)
    largest = [float(gradient.abs().max()) for _, gradient in itertools.islice(way, 4)]
    assert largest[0] > 1e-3 and largest[3] < 2e-3 * largest[0]
    plain = [float(gradient.abs().max()) for _, gradient in itertools.islice(descent(REFERENCE, at), 4)]
    assert plain[3] > 10 * largest[3]


def test_noise_of_the_reference_is_told(ours):
    generator = torch.Generator().manual_seed(1)

    def noisy(molecules: Molecules) -> Properties:
        found = REFERENCE(molecules)
        return found.replace(forces=found.forces + 2e-6 * torch.randn(found.forces.shape, generator=generator))

    clean, shaken = tracked(ours, 6), tracked(ours, 6, noisy)
    errors = (shaken.frequencies - clean.frequencies).square().mean().sqrt()
    assert clean.noise < 0.02 and 0.3 * errors < shaken.noise < 3 * errors


def test_a_reference_without_dipole_is_refused(ours):
    with pytest.raises(MoleculeError, match="tells no dipole"):
        tracked(ours, 2, lambda molecules: REFERENCE(molecules).replace(dipole=None))
