"""VPT2 against exact diagonalisation, Morse's oscillator in closed form, sum rules of Coriolis constants; constants of a polynomial."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy import sparse

from densnet import units
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.observables import anharmonic, vibrations
from densnet.observables.anharmonic import Anharmonic, ForceConstants
from densnet.observables.vibrations import Modes, VibrationError
from densnet.properties import Properties

QUADRATIC = np.array([0.0075, 0.0102, 0.0290])  # hartree, far from resonances


def symmetric(values: dict[tuple[int, ...], float], rank: int, modes: int) -> np.ndarray:
    """Constants of all orders of their indices from those of one."""
    full = np.zeros((modes,) * rank)
    for index, value in values.items():
        for p in permutations(index):
            full[p] = value
    return full


def couplings(modes: int) -> tuple[np.ndarray, np.ndarray]:
    """Cubic and quartic constants, hartree, of sizes that real molecules have; the quartic ones hold phi_iijk and the like too."""
    generator = np.random.default_rng(5)
    cubic = {tuple(sorted(i)): 6e-4 * generator.uniform(-1, 1) for i in np.ndindex(*(modes,) * 3)}
    quartic = {tuple(sorted(i)): 2e-4 * generator.uniform(-1, 1) for i in np.ndindex(*(modes,) * 4)}
    return symmetric(cubic, 3, modes), symmetric(quartic, 4, modes)


def operators(size: int, modes: int) -> tuple[list, list]:
    """q and i p of each mode in a product of ``size`` harmonic functions a mode."""
    step = sparse.diags(np.sqrt(np.arange(1, size)), 1)
    own = (step + step.T) / math.sqrt(2), (step - step.T) / math.sqrt(2)
    return tuple(
        [sparse.kron(sparse.kron(sparse.eye(size**k), one), sparse.eye(size ** (modes - k - 1))).tocsr() for k in range(modes)]
        for one in own
    )


def hamiltonian(w, cubic, quartic, size: int, spins=()) -> np.ndarray:
    """``sum w (p^2 + q^2) / 2 + V3 + V4 + sum_a B_a pi_a^2``; ``spins``: pairs (B_a, zeta^a)."""
    q, ip = operators(size, len(w))
    h = sum(0.5 * x * (a @ a - b @ b) for x, a, b in zip(w, q, ip))
    h = h + sum(cubic[i, j, k] / 6 * q[i] @ q[j] @ q[k] for i, j, k in np.ndindex(cubic.shape))
    h = h + sum(quartic[i, j, k, l] / 24 * q[i] @ q[j] @ q[k] @ q[l] for i, j, k, l in np.ndindex(quartic.shape))
    for constant, zeta in spins:
        turn = sum(zeta[i, j] * math.sqrt(w[j] / w[i]) * q[i] @ ip[j] for i, j in np.ndindex(zeta.shape))
        h = h - constant * turn @ turn
    return h.toarray()


def exact(h: np.ndarray, size: int, modes: int) -> np.ndarray:
    """Fundamentals: the states with most of one quantum in one mode, less the ground state."""
    values, vectors = np.linalg.eigh(h)
    ones = [size ** (modes - k - 1) for k in range(modes)]
    return np.array([values[np.argmax(vectors[one] ** 2)] for one in ones]) - values[0]


def tensors(w, cubic, quartic) -> ForceConstants:
    diagonal = np.array([[quartic[i, i, j, j] for j in range(len(w))] for i in range(len(w))])
    return ForceConstants(*(torch.from_numpy(x) for x in (np.asarray(w), cubic, diagonal)))


@pytest.mark.parametrize(("modes", "size", "turning"), [(1, 24, False), (2, 14, False), (3, 8, False), (2, 14, True), (3, 8, True)])
def test_second_order_is_right_to_the_fourth(modes, size, turning):
    w, (cubic, quartic) = QUADRATIC[:modes], couplings(modes)
    zeta = np.zeros((modes, modes))
    if turning:
        zeta[0, 1], zeta[1, 0] = 0.8, -0.8
    off, moved = [], []
    for scale in (0.5, 0.25):
        spins = [(scale**2 * 4e-4, zeta)] if turning else []
        found = exact(hamiltonian(w, scale * cubic, scale**2 * quartic, size, spins), size, modes)
        rotation = torch.from_numpy(sum((b * z**2 for b, z in spins), np.zeros((modes, modes))))
        constants = tensors(w, scale * cubic, scale**2 * quartic)
        off.append(anharmonic.levels(constants.quadratic, anharmonic.anharmonicity(constants, rotation)).numpy() - found)
        moved.append(found - w)
    assert np.abs(off[1]).max() < 0.02 * np.abs(moved[1]).max()
    assert np.linalg.norm(off[0]) / np.linalg.norm(off[1]) == pytest.approx(16.0, rel=0.1)


def test_fermi_resonance_keeps_the_centroid_of_the_bright_state():
    w = np.array([0.0066, 0.0133])
    cubic, quartic = symmetric({(0, 0, 1): 6e-4, (1, 1, 1): -8e-4}, 3, 2), symmetric({(0, 0, 1, 1): 1e-4}, 4, 2)
    size = 16
    values, vectors = np.linalg.eigh(hamiltonian(w, cubic, quartic, size))
    q = operators(size, 2)[0][1]
    strengths = (vectors.T @ q @ vectors[:, 0]) ** 2
    pair = [k for k in np.argsort(-strengths)[:2] if k > 0]
    assert strengths[pair].min() > 0.1 * strengths[pair].max()  # both states of the pair are seen
    centroid = strengths[pair] @ (values[pair] - values[0]) / strengths[pair].sum()
    constants = tensors(w, cubic, quartic)
    found = anharmonic.resonances(constants)
    assert [(r.upper, r.lower) for r in found] == [(1, (0, 0))]
    assert found[0].offset == pytest.approx((2 * w[0] - w[1]) / units.INVERSE_CM)
    none = torch.zeros(2, 2, dtype=torch.float64)
    deperturbed = anharmonic.levels(constants.quadratic, anharmonic.anharmonicity(constants, none, found))
    singular = anharmonic.levels(constants.quadratic, anharmonic.anharmonicity(constants, none))
    assert float(deperturbed[1]) == pytest.approx(centroid, abs=3 * units.INVERSE_CM)
    assert abs(float(singular[1]) - centroid) > 20 * units.INVERSE_CM


def test_a_second_kind_of_resonance_needs_three_modes_and_a_coupling():
    w = torch.tensor([0.0060, 0.0080, 0.0142], dtype=torch.float64)
    cubic = torch.from_numpy(symmetric({(0, 1, 2): 4e-4}, 3, 3))
    quartic = torch.zeros(3, 3, dtype=torch.float64)
    assert [(r.upper, r.lower) for r in anharmonic.resonances(ForceConstants(w, cubic, quartic))] == [(2, (0, 1))]
    assert not anharmonic.resonances(ForceConstants(w, 0.1 * cubic, quartic))
    # without the singular fraction, moving w_3 through the resonance changes little
    found = anharmonic.resonances(ForceConstants(w, cubic, quartic))
    chi = []
    for upper in (0.0139, 0.0141):
        moved = torch.cat([w[:2], w.new_tensor([upper])])
        chi.append(float(anharmonic.anharmonicity(ForceConstants(moved, cubic, quartic), quartic, found)[0, 1]))
    assert chi[0] == pytest.approx(chi[1], abs=0.1 * units.INVERSE_CM)


def morse(depth: float, range_: float, rest: float):
    """A force function of diatomic molecules."""

    def force_function(molecules: Molecules) -> Properties:
        x = molecules.positions.double().reshape(molecules.count, 2, 3)
        bond = x[:, 1] - x[:, 0]
        length = bond.norm(dim=1, keepdim=True)
        decay = torch.exp(-range_ * (length - rest))
        pull = 2 * depth * range_ * decay * (1 - decay) * bond / length
        return Properties(molecules, forces=torch.stack([pull, -pull], dim=1).reshape(-1, 3), dipole=torch.zeros(molecules.count, 3))

    return force_function


def test_morse_oscillator_is_exact():
    depth, range_, rest = 0.17, 1.0, 1.4
    molecule = Molecules.single([1, 9], torch.tensor([[0.0, 0, 0], [0.3, -0.4, 1.0]]).double() * rest / math.sqrt(1.25))
    oscillator = morse(depth, range_, rest)
    modes = vibrations.normal_modes(oscillator, molecule, step=1e-3)
    mass = 1 / float((1 / molecule.masses).sum())
    w = range_ * math.sqrt(2 * depth / mass)
    found = anharmonic.vpt2(oscillator, modes, step=0.01)
    alone = anharmonic.diagonal(oscillator, modes, [0], step=0.02)
    assert alone.diagonal[0].item() == pytest.approx(-2 * w**2 / (4 * depth) / units.INVERSE_CM, abs=0.2)
    assert found.harmonic[0].item() == pytest.approx(w / units.INVERSE_CM, rel=1e-5)
    assert found.fundamentals[0].item() == pytest.approx((w - 2 * w**2 / (4 * depth)) / units.INVERSE_CM, abs=0.05)


WATER = Molecules.single([8, 1, 1], torch.tensor([[0.0, 0, 0], [1.43, 1.11, 0], [-1.43, 1.11, 0]]).double())
TURN = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[0]


def bent(turn: torch.Tensor = torch.eye(3, dtype=torch.float64)) -> Modes:
    """Motions of a bent molecule that are symmetric or antisymmetric, with the wavenumbers of `QUADRATIC`."""
    x, hessian = WATER.positions, torch.zeros(9, 9, dtype=torch.float64)
    for i, j, constant in ((0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.05)):
        row = torch.zeros_like(x)
        row[i] = (x[i] - x[j]) / (x[i] - x[j]).norm()
        row[j] = -row[i]
        hessian += constant * torch.outer(row.flatten(), row.flatten())
    vectors = vibrations.modes(WATER, hessian).vectors
    return Modes(WATER.at(x @ turn), torch.from_numpy(QUADRATIC**2), vectors @ turn)


def polynomial(modes: Modes, cubic: np.ndarray, quartic: np.ndarray):
    """The force function of a polynomial in the dimensionless coordinates of ``modes``."""
    w = modes.eigenvalues.sqrt()
    weights = modes.vectors * (modes.molecule.masses.sqrt()[:, None] * w.sqrt()[:, None, None])
    third, fourth = torch.from_numpy(cubic), torch.from_numpy(quartic)

    def force_function(molecules: Molecules) -> Properties:
        moved = molecules.positions.reshape(molecules.count, -1, 3) - modes.molecule.positions
        q = torch.einsum("kax,max->mk", weights, moved)
        slope = w * q + torch.einsum("ijk,mj,mk->mi", third, q, q) / 2 + torch.einsum("ijkl,mj,mk,ml->mi", fourth, q, q, q) / 6
        return Properties(molecules, forces=-torch.einsum("mk,kax->max", slope, weights).reshape(-1, 3))

    return force_function


def test_force_constants_of_a_polynomial_are_found():
    cubic, quartic = couplings(3)
    told = []
    for step in (0.02, 0.2):
        potential = polynomial(bent(), cubic, quartic)
        found = anharmonic.force_constants(potential, bent(), step, 5, lambda done, total: told.append((done, total)))
        assert found.cubic.numpy() == pytest.approx(cubic, abs=1e-9)
        assert found.quartic.numpy() == pytest.approx(np.einsum("iijj->ij", quartic), abs=1e-8)
    assert told[-1] == (28, 28) and told[0] == (5, 28)


def test_five_geometries_a_mode_give_the_diagonal_of_vpt2():
    cubic, quartic = couplings(3)
    potential, modes = polynomial(bent(), cubic, quartic), bent()
    whole, found = anharmonic.vpt2(potential, modes), anharmonic.diagonal(potential, modes, [0, 2])
    assert found.diagonal[[0, 2]].numpy() == pytest.approx(whole.diagonal[[0, 2]].numpy(), abs=1e-3)
    assert found.diagonal[1].isnan() and found.fundamentals.isnan().all()
    again = Anharmonic.from_dict(found.to_dict())
    assert again.diagonal[1].isnan() and again.diagonal[0] == pytest.approx(float(found.diagonal[0]), abs=1e-3)
    # an overtone in resonance is left out by both, a soft mode takes part in neither
    w = QUADRATIC.copy()
    w[1] = 2.003 * w[0]
    near = Modes(modes.molecule, torch.from_numpy(w**2), modes.vectors)
    strong = cubic + symmetric({(0, 0, 1): 3e-4}, 3, 3)
    for softest in (400.0, 1700.0):
        whole, found = (f(polynomial(near, strong, quartic), near, *more, softest=softest)
                        for f, more in ((anharmonic.vpt2, ()), (anharmonic.diagonal, ([1, 2],))))  # fmt: skip
        assert found.diagonal[1:].numpy() == pytest.approx(whole.diagonal[1:].numpy(), abs=1e-3) and found.soft == whole.soft
    found = anharmonic.diagonal(polynomial(near, strong, quartic), near, [0])
    assert [(r.upper, r.lower) for r in found.resonances] == [(1, (0, 0))] and abs(float(found.diagonal[0])) < 100


def test_coriolis_sum_rules_of_a_bent_triatomic():
    constants, zeta = anharmonic.coriolis(bent(TURN))
    assert zeta.numpy() == pytest.approx(-zeta.transpose(1, 2).numpy(), abs=1e-12)
    # only about the normal of the plane, between the antisymmetric stretch and the others; there the squares add up to one
    normal = constants.argmin()  # the largest moment of inertia of a planar molecule
    assert zeta[torch.arange(3) != normal].abs().max() < 1e-10
    odd = int(bent().vectors[:, 0, 0].abs().argmax())  # the oxygen moves along the line of the hydrogens
    first, second = (k for k in range(3) if k != odd)
    assert zeta[normal, first, second].abs() < 1e-10
    assert float(zeta[normal, first, odd] ** 2 + zeta[normal, second, odd] ** 2) == pytest.approx(1, abs=1e-10)
    # of a planar molecule the moments in the plane add up to the third
    assert float(1 / constants[normal]) == pytest.approx(float((1 / constants).sum() / 2))


def test_a_turned_molecule_has_the_same_fundamentals():
    cubic, quartic = couplings(3)
    first, second = (anharmonic.vpt2(polynomial(bent(t), cubic, quartic), bent(t)) for t in (torch.eye(3).double(), TURN))
    assert first.fundamentals.numpy() == pytest.approx(second.fundamentals.numpy(), abs=1e-5)


def test_soft_modes_take_no_part():
    cubic, quartic = couplings(3)
    between = 0.5 * float(QUADRATIC[:2].sum()) / units.INVERSE_CM
    found = anharmonic.vpt2(polynomial(bent(), cubic, quartic), bent(), softest=between)
    assert found.soft == (0,) and found.fundamentals[0] == found.harmonic[0]
    b, zeta = anharmonic.coriolis(bent())
    constants = tensors(QUADRATIC[1:], cubic[1:, 1:, 1:], quartic[1:, 1:, 1:, 1:])
    turning = torch.einsum("a,aij->ij", b, zeta[:, 1:, 1:].square())
    rest = anharmonic.levels(constants.quadratic, anharmonic.anharmonicity(constants, turning))
    assert found.fundamentals[1:].numpy() == pytest.approx(rest.numpy() / units.INVERSE_CM, abs=0.01)
    assert Anharmonic.from_dict(found.to_dict()).soft == (0,)


def test_what_is_no_minimum_or_linear_is_refused():
    cubic, quartic = couplings(3)
    modes = bent()
    saddle = Modes(modes.molecule, torch.tensor([-1e-5, 1e-4, 2e-4]).double(), modes.vectors)
    with pytest.raises(VibrationError, match="no minimum"):
        anharmonic.vpt2(polynomial(modes, cubic, quartic), saddle)
    aside = modes.molecule.positions + 0.2 * modes.displacements[2] / QUADRATIC[2] ** 0.5
    with pytest.raises(VibrationError, match="relax it further"):
        anharmonic.vpt2(polynomial(modes, cubic, quartic), Modes(modes.molecule.at(aside), modes.eigenvalues, modes.vectors))
    line = Molecules.single([8, 6, 8], torch.tensor([[0.0, 0, -2.2], [0, 0, 0], [0, 0, 2.2]]).double())
    with pytest.raises(VibrationError, match="linear"):
        anharmonic.rotation(vibrations.modes(line, torch.eye(9).double()))
    thirds = 2 * math.pi / 3 * torch.arange(3).double()
    hydrogens = torch.stack([1.77 * thirds.cos(), 1.77 * thirds.sin(), torch.full((3,), -0.72).double()], dim=1)
    ammonia = Molecules.single([7, 1, 1, 1], torch.cat([torch.zeros(1, 3).double(), hydrogens]))
    with pytest.raises(VibrationError, match="a symmetric top"):
        anharmonic.rotation(vibrations.modes(ammonia, torch.eye(12).double()))


def test_water_of_the_shipped_model_does_not_depend_on_the_step():
    model = load("water").double()
    modes = vibrations.normal_modes(model, vibrations.relax(model, WATER))
    first, second = (anharmonic.vpt2(model, modes, step=step) for step in (0.01, 0.04))
    assert first.fundamentals.numpy() == pytest.approx(second.fundamentals.numpy(), abs=1.0)
    shift = first.fundamentals - first.harmonic
    assert -60 < shift[0] < -20 and (shift[1:] < -100).all() and (shift[1:] > -250).all()
