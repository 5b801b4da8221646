"""Blocks of replicas on threads: the numbers of one batch, whatever the block and the number of threads."""

import pytest
import torch

from densnet.molecules import Molecules
from densnet.simulation.blocks import Blocks
from densnet.simulation.run import SimulateSettings
from tests.model.random_model import ETHANOL, random_predictor, scattered
from tests.simulation.springs import WATER, Springs


def shaken(molecule: Molecules, count: int) -> Molecules:
    noise = 0.1 * torch.randn(count, *molecule.positions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    return Molecules.replicas(molecule.numbers, molecule.positions + noise)


@pytest.mark.parametrize("block", [1, 3, 7, 8])
@pytest.mark.parametrize("threads", [1, 2])
def test_same_as_one_batch(block, threads):
    replicas, springs = shaken(WATER, 7), Springs(WATER)
    whole, parts = springs(replicas), Blocks(springs, replicas, block, threads)(replicas)
    assert torch.equal(parts.energy, whole.energy) and torch.equal(parts.forces, whole.forces) and torch.equal(parts.dipole, whole.dipole)
    assert parts.molecules is replicas


def test_every_block_has_the_same_size_and_atoms():
    seen = []

    def note(molecules):
        seen.append((molecules.count, molecules.numbers, molecules.owner))
        return Springs(WATER)(molecules)

    blocks = Blocks(note, shaken(WATER, 7), 3, 1)
    blocks(shaken(WATER, 7))
    assert [count for count, _, _ in seen] == [3, 3, 3]
    assert all(numbers is seen[0][1] and owner is seen[0][2] for _, numbers, owner in seen), "models remember batches by identity"


@pytest.mark.parametrize(
    ("replicas", "block", "atoms", "size"),
    [(32, 0, 9, 16), (32, 21, 9, 16), (7, 3, 9, 3), (8, 3, 9, 3), (9, 8, 9, 5), (2, 5, 9, 2), (3, 0, 500, 1)],
)
def test_as_few_equal_blocks_as_the_size_wished_for_allows(replicas, block, atoms, size):
    assert SimulateSettings(replicas=replicas, block=block).block_size(atoms) == size


def test_a_gpu_gets_all_replicas_at_once_from_one_thread_up_to_a_limit():
    settings = SimulateSettings(replicas=4096, threads=8).model_copy(update={"device": "cuda"})
    assert (settings.block_size(9), settings.cores) == (4096, 1)
    assert settings.model_copy(update={"replicas": 16384}).block_size(9) == 4096
    assert settings.model_copy(update={"block": 64}).block_size(9) == 64


def test_the_density_comes_along():
    predictor, replicas = random_predictor(), shaken(scattered(ETHANOL), 5)
    whole, parts = predictor(replicas), Blocks(predictor, replicas, 2, 2)(replicas)
    assert torch.allclose(parts.density.coefficients, whole.density.coefficients, atol=1e-12)
    assert torch.allclose(parts.density.dipole(), parts.dipole, atol=1e-9)
    assert torch.allclose(parts.forces, whole.forces, atol=1e-12)


def test_an_error_in_a_block_is_told():
    def fails(molecules):
        raise ValueError("no such element")

    with pytest.raises(ValueError, match="no such element"):
        Blocks(fails, shaken(WATER, 4), 2, 2)(shaken(WATER, 4))
