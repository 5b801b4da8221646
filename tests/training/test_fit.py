"""Training: it learns, resumes to the bit, and its short cuts equal the long way."""

import json
from pathlib import Path

import pytest
import torch

from densnet.dataset import store
from densnet.model.density_network import DensityNetworkSettings
from densnet.model.energy_network import EnergyNetworkSettings
from densnet.model.predictor import ModelSettings, load
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.training import fit, objective, stages
from densnet.training.examples import Batch, collate, with_fits, with_frozen, with_points
from densnet.training.settings import StageSettings, TrainSettings
from densnet.training.shelf import Shelf
from densnet.training.statistics import initialise, move_references, reference_energies
from tests.model.random_model import random_predictor
from tests.training.labels import examples

LABELS = Path(__file__).parents[2] / "labels"
MODEL = ModelSettings(
    density=DensityNetworkSettings(channels=8, head_channels=4), energy=EnergyNetworkSettings(channels=8, density_channels=4)
)


def plan(steps, **changes):
    phase = StageSettings(steps=steps, batch=4, warmup=5, validate_every=4, learning_rate=1e-3)
    density = phase.model_copy(update={"steps": 4 * steps, "validate_every": 16})  # else the energy begins on a density that is none
    joint = phase.model_copy(update={"learning_rate": 1e-4})
    return TrainSettings(density=density, points=phase, energy=phase, joint=joint, points_per_frame=100, **changes)


@pytest.fixture(scope="module")
def frames():
    made = examples(16)
    return made[:12], made[12:]


@pytest.fixture(scope="module")
def trained(frames, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return fit.train(new(frames), *frames, plan(12), folder), folder


def new(frames):
    torch.manual_seed(1)
    return initialise(frames[0], MODEL, frames[0][0].basis)


def test_every_phase_lowers_its_score(trained):
    lines = [json.loads(line) for line in (trained[1] / "training.jsonl").read_text().splitlines()]
    for phase in ("density", "points", "energy", "joint"):
        measure = "density_error_percent" if phase == "points" else "score"
        scores = [line["metrics"][measure] for line in lines if line["phase"] == phase]
        assert len(scores) == 3 and min(scores[1:]) < scores[0]


def test_interrupted_training_ends_in_the_same_bits(frames, trained, tmp_path):
    class Interrupted(Exception):
        pass

    def stop_at(phase, step):
        def report(progress):
            if progress.phase == phase and progress.step >= step and progress.metrics:
                raise Interrupted

        return report

    for stop in (("density", 32), ("points", 4), ("energy", 4), ("joint", 8)):
        with pytest.raises(Interrupted):
            fit.train(new(frames), *frames, plan(12), tmp_path, stop_at(*stop))
    resumed = fit.train(new(frames), *frames, plan(12), tmp_path)
    for (name, one), other in zip(resumed.state_dict().items(), trained[0].state_dict().values()):
        assert torch.equal(one, other), name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dipole_weight": 20.0}, "train.dipole_weight was 10.0, is now 20.0"),
        ({"seed": 2}, "train.seed was 1, is now 2"),
        ({"density": StageSettings(steps=50)}, "train.density"),
        ({"energy": StageSettings(steps=50)}, "train.energy"),
    ],
)
def test_a_folder_of_another_training_is_refused(frames, trained, change, words):
    before = (trained[1] / "training.json").read_bytes()
    with pytest.raises(fit.TrainingError, match=words):
        fit.train(new(frames), *frames, plan(12).model_copy(update=change), trained[1])
    with pytest.raises(fit.TrainingError, match="frames was"):
        fit.train(new(frames), frames[0][:8], frames[1], plan(12), trained[1])
    assert (trained[1] / "training.json").read_bytes() == before
    again = fit.train(new(frames), *frames, plan(12).model_copy(update={"threads": 1, "compile": False}), trained[1])
    assert all(torch.equal(one, other) for one, other in zip(again.state_dict().values(), trained[0].state_dict().values()))


def test_a_phase_under_way_may_be_made_shorter(frames, tmp_path):
    class Interrupted(Exception):
        pass

    def stop(progress):
        if progress.metrics:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit.train(new(frames), *frames, plan(12), tmp_path, stop)
    none = StageSettings(steps=0)
    short = TrainSettings(
        density=plan(12).density.model_copy(update={"steps": 1}), points=none, energy=none, joint=none, points_per_frame=100
    )
    fit.train(new(frames), *frames, short, tmp_path)
    assert (tmp_path / "train-density.done").exists() and not (tmp_path / "train-energy.done").exists()


def test_learned_exponents_and_the_density_phase_do_not_mix(frames, trained, tmp_path):
    assert trained[0].density_network.flexed
    with pytest.raises(fit.TrainingError, match="train.density.steps"):
        fit.train(trained[0], *frames, plan(4), tmp_path)


def test_training_goes_on_from_a_trained_model(frames, trained, tmp_path):
    """Its scales stay, so a few tiny steps leave it nearly as it was; a model that is not trained gets new ones."""
    trained[0].save(tmp_path / "model.safetensors")
    former = load(tmp_path / "model.safetensors")
    before = stages.energy_stage(former.train(), *frames, plan(4)).validate()
    tiny = plan(4).energy.model_copy(update={"learning_rate": 1e-7})
    none = StageSettings(steps=0)
    again = fit.train(former, *frames, TrainSettings(density=none, points=none, energy=tiny, joint=none), tmp_path)
    after = stages.energy_stage(again.train(), *frames, plan(4)).validate()
    assert after["score"] == pytest.approx(before["score"], rel=1e-2)
    assert not new(frames).energy_network.trained and again.energy_network.trained


def test_frozen_density_gives_the_forces_of_the_whole(frames, trained):
    """Energy and forces with the precomputed Jacobian equal those differentiated through both networks."""
    predictor = trained[0].double()
    molecules = [e.properties.molecules for e in frames[1]]
    batch = with_frozen(collate(frames[1]), [Shelf().put(stages.freeze(predictor, m).tensors()) for m in molecules])
    energy, forces = stages.energy_on_frozen(predictor, batch)
    whole = predictor(batch.molecules)
    predictor.float()
    assert torch.allclose(energy, whole.energy, atol=1e-10)
    assert torch.allclose(forces, whole.forces, atol=1e-10)


def test_frozen_density_of_a_molecule_with_a_list_of_neighbours():
    """More atoms than those whose pairs are all kept: the Jacobian against a difference, and no compiled training."""
    generator = torch.Generator().manual_seed(4)
    grid = torch.cartesian_prod(*3 * [torch.arange(3.0, dtype=torch.float64)])
    positions = 3.2 * grid + 0.2 * torch.randn(27, 3, dtype=torch.float64, generator=generator)
    molecule = Molecules.single([8] * 9 + [1] * 18, positions)
    predictor = random_predictor(("H", "O"), basis="small", cutoff=3.0).double()
    frozen = stages.freeze(predictor, molecule)
    step = torch.zeros_like(positions)
    step[13, 1] = 1e-4
    with torch.no_grad():
        ends = [torch.cat(predictor.density_network(predictor.geometry(molecule.at(positions + s * step))), dim=1) for s in (1, -1)]
    assert torch.allclose(frozen.jacobian[3 * 13 + 1], ((ends[0] - ends[1]) / 2e-4).flatten(), atol=1e-7)
    batch = with_frozen(Batch(molecule, {}), [Shelf().put(frozen.tensors())])
    forces = stages.energy_on_frozen(predictor, batch)[1]
    assert torch.allclose(forces, predictor(molecule).forces, atol=1e-10)


def test_statistics_bring_targets_to_order_one(frames):
    labels = Properties.concatenate([e.properties.replace(density=e.density) for e in frames[0]])
    basis = labels.density.basis
    predictor = initialise(frames[0], MODEL, basis)
    element = predictor.element_of[labels.molecules.numbers]
    rows = (
        labels.density.coefficients - torch.nn.functional.pad(predictor.density_network.mean, (0, basis.width - basis.counts[0]))[element]
    )
    for l, (out, linear) in enumerate(zip(predictor.density_network.head.out, predictor.energy_network.read.linear)):
        block = rows[:, basis.block(l)].unflatten(1, (-1, 2 * l + 1)).transpose(1, 2)
        natural = block @ linear.analysis[element]
        assert natural[element == 1][..., 0].square().mean().sqrt() == pytest.approx(1.0, abs=1e-3)
        largest = (natural / 1.0).abs().amax()
        back = natural[..., :1] @ out.synthesis[element][:, :1]
        assert largest < 10 and (back - block).norm() < block.norm()
    counts = torch.nn.functional.one_hot(element, 2).double()
    references = torch.tensor(predictor.energy_network.reference, dtype=torch.float64)
    assert torch.allclose((labels.molecules.total(counts) @ references).mean(), labels.energy.mean())


def test_perfect_predictions_have_no_loss(frames):
    batch = with_points(with_fits(collate(frames[0]), frames[0]), frames[0])
    own = Properties.concatenate([e.properties.replace(density=e.density) for e in frames[0]])
    assert objective.coulomb_error(own.density, batch["coefficients"], batch["metrics"]).max() == 0
    assert objective.point_error(own.density, batch).max() < 1e-4
    assert objective.force_error(own.forces, own.forces, 1e-9) == pytest.approx(1e-9)
    assert objective.energy_error(own.energy, own.energy, own.molecules.sizes, 1e-9) == pytest.approx(1e-9)


def test_metrics_of_a_known_error(frames):
    """A predictor that is wrong by known amounts gets exactly these as its mean absolute errors."""
    from densnet import units

    def wrong(molecules):
        frame = next(e.properties for e in frames[1] if torch.equal(e.properties.molecules.positions, molecules.positions))
        shift = torch.tensor([0.0, 0.03, 0.04], dtype=torch.float64) * units.DEBYE
        return frame.replace(
            energy=frame.energy + 2 * units.MEV, forces=frame.forces - 3 * units.MEV_PER_ANGSTROM, dipole=frame.dipole + shift
        )

    found = objective.evaluate(wrong, [e.properties for e in frames[1]]).summary()
    assert found["frames"] == 4 and found["density_error_percent"] is None
    assert found["energy_mae_meV"] == pytest.approx(2.0) and found["force_mae_meV_per_A"] == pytest.approx(3.0)
    assert found["dipole_mae_D"] == pytest.approx(0.05)


def test_molecules_of_different_sizes_share_a_batch():
    """The chain rule over the frozen density of two, three and two atoms."""
    generator = torch.Generator().manual_seed(3)
    sizes, width = [2, 3, 2], 5
    jacobians = [torch.randn(3 * n, n * width, generator=generator) for n in sizes]
    slopes = torch.randn(sum(sizes), width, generator=generator)
    whole = torch.block_diag(*jacobians) @ slopes.flatten()
    found = stages.along_atoms(torch.cat([j.flatten() for j in jacobians]), slopes, sizes)
    assert torch.allclose(found, whole.view(-1, 3), atol=1e-5)
    pair = stages.along_atoms(torch.cat([jacobians[0].flatten(), jacobians[2].flatten()]), slopes[[0, 1, 5, 6]], [2, 2])
    assert torch.allclose(pair, found[[0, 1, 5, 6]], atol=1e-5)


def labelled(*names: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts of H, C and O and energies of the first labels of committed lists."""
    some = [label.properties for name in names for label in list(store.read(LABELS / name))[:20]]
    numbers = [frame.molecules.numbers[:, None] == torch.tensor([1, 6, 8]) for frame in some]
    return torch.stack([n.sum(0) for n in numbers]).double(), torch.cat([frame.energy for frame in some])


def test_reference_energies_of_one_molecule_mean_something_for_another():
    """From ethanol alone the energy of methanol comes out to a tenth of what binds it."""
    ethanol, methanol = labelled("ethanol/heldout_300K.001.h5"), labelled("transfer/methanol_300K.001.h5")
    found = reference_energies(*ethanol, (1, 6, 8))
    assert float(ethanol[0][0] @ found) == pytest.approx(float(ethanol[1].mean()), abs=1e-9)
    assert float(methanol[0][0] @ found) == pytest.approx(float(methanol[1].mean()), abs=0.1)


def test_reference_energies_follow_the_labels_where_these_determine_them():
    counts, _ = labelled("ethanol/heldout_300K.001.h5", "transfer/methanol_300K.001.h5", "resorcinol/heldout_300K.001.h5")
    wanted = torch.tensor([-2.0, -30.0, -80.0], dtype=torch.float64)
    assert torch.allclose(reference_energies(counts, counts @ wanted, (1, 6, 8)), wanted)


def test_a_model_moves_to_another_level_by_its_reference_energies_alone():
    """One constant per element is taken over from the labels; the surface stays."""
    labels, gap = [label.properties for label in list(store.read(LABELS / "ethanol/heldout_300K.001.h5"))[:6]], 0.37
    before, model = load("ethanol"), load("ethanol")
    above = [one.replace(energy=before(one.molecules).energy + gap) for one in labels]
    assert move_references(model, above) == pytest.approx(gap, abs=1e-9)
    assert move_references(model, above) == pytest.approx(0, abs=1e-9)
    now, then = model(labels[0].molecules), before(labels[0].molecules)
    assert float(now.energy - then.energy) == pytest.approx(gap, abs=1e-9) and torch.equal(now.forces, then.forces)
