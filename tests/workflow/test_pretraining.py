"""What GFN2-xTB says of a molecule is learned, and nothing else of a model changes."""

import torch

from densnet.dataset.dataset import Dataset
from densnet.model.predictor import load
from densnet.model.shipped import find
from densnet.molecules import Molecules
from densnet.reference.geometries import Frame
from densnet.reference.semiempirical import gfn2_xtb
from densnet.training.settings import StageSettings, TrainSettings
from densnet.units import ANGSTROM, MEV_PER_ANGSTROM
from densnet.workflow.pretraining import pretrained, semiempirical

WATER = torch.tensor([[0.0, 0.0, -0.0637], [0.0, 0.7722, 0.5053], [0.0, -0.7722, 0.5053]], dtype=torch.float64) * ANGSTROM


def frames(count: int, seed: int) -> list[Frame]:
    noise = torch.Generator().manual_seed(seed)
    places = [WATER + 0.06 * torch.randn(3, 3, generator=noise, dtype=torch.float64) for _ in range(count)]
    return [Frame(Molecules.single(torch.tensor([8, 1, 1]), x), k, 300.0, "water") for k, x in enumerate(places)]


def test_frames_torn_apart_are_left_out():
    [whole] = frames(1, 0)
    torn = Frame(Molecules.single(whole.molecule.numbers, 0.35 * WATER), 0, 300.0, "water")
    kept = semiempirical([torn, whole, whole])
    assert isinstance(kept, Dataset) and len(kept) == 2 and len(set(kept.trajectories)) == 2
    assert torch.equal(kept[0].properties.forces, gfn2_xtb(whole.molecule).forces) and kept[0].holds == ("energy", "forces")


def test_it_learns_the_forces_and_keeps_the_density(tmp_path):
    model, unseen = load(find("water")), frames(8, 1)
    molecules = Molecules.concatenate([frame.molecule for frame in unseen])
    exact = gfn2_xtb(molecules)

    def error(now):
        return float((now(molecules).forces - exact.forces).abs().mean()) / MEV_PER_ANGSTROM

    before, told = error(model), dict(model.provenance)
    density = {name: value.clone() for name, value in model.density_network.state_dict().items()}
    plan = TrainSettings(energy=StageSettings(steps=60, warmup=5, batch=8, learning_rate=1e-3), threads=1)
    model = pretrained(model, frames(40, 2), plan, tmp_path, lambda *_: None)
    assert error(model) < 0.5 * before and model.provenance == told
    assert all(torch.equal(value, density[name]) for name, value in model.density_network.state_dict().items())
