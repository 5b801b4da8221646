"""What is asked of sampled steps alone: called no more often, recorded at every sample, to the bit after an interruption, exported."""

from pathlib import Path

import h5py
import pytest
import torch
from springs import WATER, Springs

from densnet import units
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.simulation import header
from densnet.simulation.ensembles import Langevin, Nve, Svr
from densnet.simulation.export import export
from densnet.simulation.integrators import Forces
from densnet.simulation.ringpolymer import Trpmd
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import read_trajectory

SETTINGS = SimulateSettings(
    replicas=3, thermalise_ps=0.02, duration_ps=0.06, sample_every=4, checkpoint_every=25, seed=11, temperature=200, thermalise_friction=20
)


def alpha_of(molecules: Molecules) -> torch.Tensor:
    """[molecules, 3, 3] bohr^3: a unit tensor times the first bond's length, and the outer product of that bond."""
    x = molecules.positions.view(molecules.count, -1, 3)
    bond = x[:, 1] - x[:, 0]
    return bond.norm(dim=1)[:, None, None] * torch.eye(3, dtype=x.dtype) + bond[:, :, None] * bond[:, None, :]


class Asked:
    """Springs with a polarizability; counts its calls."""

    def __init__(self):
        self.springs, self.calls = Springs(WATER), 0

    def __call__(self, molecules: Molecules) -> Properties:
        self.calls += 1
        return self.springs(molecules).replace(polarizability=alpha_of(molecules))


@pytest.mark.parametrize("ensemble", [Nve(), Svr(), Langevin(), Trpmd(beads=3)], ids=lambda e: e.kind)
def test_samples_have_it_and_other_steps_do_not_pay(tmp_path, ensemble):
    plain, sampled, chosen = Springs(WATER), Asked(), SETTINGS.model_copy(update={"ensemble": ensemble})
    simulate(Forces(plain, sampled), WATER, chosen, tmp_path / "both")
    simulate(Springs(WATER), WATER, chosen, tmp_path / "plain")
    with_it, without = read_trajectory(tmp_path / "both"), read_trajectory(tmp_path / "plain")
    samples = with_it.polarizability.shape[1]
    assert samples == chosen.steps[1] // 4 + 1 and sampled.calls == samples + 1  # the first state of all is one, too
    assert plain.calls == sum(chosen.steps) - samples
    assert torch.equal(with_it.positions, without.positions) and without.polarizability is None
    if ensemble.kind != "trpmd":  # whose beads are not recorded
        places = with_it.positions.double().flatten(0, 1)
        expected = alpha_of(Molecules.replicas(WATER.numbers, places)).view(3, samples, 3, 3)
        assert torch.allclose(with_it.polarizability, expected, rtol=1e-5, atol=1e-5)


def test_the_file_says_its_unit_and_holds_it_once(tmp_path):
    path = simulate(Forces(Springs(WATER), Asked()), WATER, SETTINGS, tmp_path)
    with h5py.File(path) as file:
        value = file["observables/polarizability/value"]
        assert value.dtype == "float32" and value.attrs["unit"] == "Angstrom^3" and value.shape[1:] == (3, 3, 3)
        assert file["observables/dipole/value"].dtype == "float64" and file["particles/replica_0000/position/value"].dtype == "float32"


def test_it_goes_on_to_the_bit(tmp_path):
    simulate(Forces(Springs(WATER), Asked()), WATER, SETTINGS, tmp_path / "whole")

    class Stops(Asked):
        def __call__(self, molecules):
            if self.calls == 9:
                raise RuntimeError("power cut")
            return super().__call__(molecules)

    with pytest.raises(RuntimeError):
        simulate(Forces(Springs(WATER), Stops()), WATER, SETTINGS, tmp_path / "parts")
    simulate(Forces(Springs(WATER), Asked()), WATER, SETTINGS, tmp_path / "parts")
    whole, parts = (read_trajectory(tmp_path / name) for name in ("whole", "parts"))
    assert torch.equal(whole.polarizability, parts.polarizability) and torch.equal(whole.velocities, parts.velocities)


def test_it_is_exported(tmp_path):
    simulate(Forces(Springs(WATER), Asked()), WATER, SETTINGS, tmp_path / "run")
    found = read_trajectory(tmp_path / "run").polarizability[1] / units.ANGSTROM**3
    export(tmp_path / "run", tmp_path / "one.h5md", 1)
    export(tmp_path / "run", tmp_path / "one.extxyz", 1)
    with h5py.File(tmp_path / "one.h5md") as file:
        assert torch.allclose(torch.as_tensor(file["observables/polarizability/value"][()]).double(), found, rtol=1e-6)
    comment = Path(tmp_path / "one.extxyz").read_text().splitlines()[1]
    numbers = [float(x) for x in comment.split('polarizability="')[1].split('"')[0].split()]
    assert numbers == pytest.approx(found[0].flatten().tolist(), rel=1e-6)


def test_runs_of_before_keep_their_names():
    """A setting that is younger than a run does not change what the run is known by."""
    assert "polarizability" not in SETTINGS.deciding()
    assert SETTINGS.model_copy(update={"polarizability": False}).deciding()["polarizability"] is False
    old = {name: value for name, value in SETTINGS.model_dump(mode="json").items() if name != "polarizability"}
    about = {"provenance": {}, "numbers": [8, 1, 1], "start": "x"}
    assert SimulateSettings.upgraded(old)["polarizability"] is True
    assert header.number({**about, "settings": old}, 0) == header.number({**about, "settings": SETTINGS.model_dump(mode="json")}, 0)
