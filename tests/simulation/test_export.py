"""Trajectories in the programs that others use: MDAnalysis reads the H5MD, ASE the extended xyz, and both find what was run."""

import ase.io
import ase.units
import h5py
import MDAnalysis
import pytest
import torch
from springs import WATER, Springs

from densnet import units
from densnet.dataset import store
from densnet.molecules import Molecules
from densnet.properties import Uncertainty
from densnet.simulation.ensembles import Svr
from densnet.simulation.export import ExportError, export
from densnet.simulation.header import TrajectoryError
from densnet.simulation.run import SimulateSettings, simulate
from densnet.simulation.trajectory import read_trajectory

HEAVY = Molecules.single(WATER.numbers, WATER.positions, WATER.masses * torch.tensor([1.0, 1.998468, 1.0], dtype=torch.float64))  # HDO
SETTINGS = SimulateSettings(
    replicas=3, thermalise_ps=0.02, duration_ps=0.06, sample_every=4, seed=3, temperature=200, ensemble=Svr(), record_forces=True
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place, force = tmp_path_factory.mktemp("export") / "run", Springs(WATER)

    def unsure(molecules):
        novelty = 1 + molecules.total(molecules.positions.square().sum(1)) / 100
        return force(molecules).replace(uncertainty=Uncertainty(novelty * units.MEV, 0.001 * novelty, novelty))

    simulate(unsure, WATER, SETTINGS, place)
    return place


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", ["run", "one.h5md", "all.h5md"])
def test_mdanalysis_reads_what_was_run(folder, tmp_path, name):
    """The run's own file, whose first replica it takes; one replica; all replicas side by side."""
    replicas = {"run": [0], "one.h5md": [2], "all.h5md": [0, 1, 2]}[name]
    path = folder / "trajectory.h5" if name == "run" else tmp_path / name
    if name != "run":
        assert export(folder, path, None if name == "all.h5md" else 2) == 31
        universe = MDAnalysis.Universe(str(path))
    else:
        universe = MDAnalysis.Universe.empty(3, trajectory=True).load_new(str(path), format="H5MD")
    found = read_trajectory(folder)
    assert len(universe.trajectory) == 31 and universe.atoms.n_atoms == 3 * len(replicas)
    for k, frame in enumerate(universe.trajectory):
        expected = found.positions[replicas, k].reshape(-1, 3) / units.ANGSTROM
        assert frame.positions == pytest.approx(expected.numpy(), abs=1e-5)
        assert frame.time == pytest.approx(0.002 * k) and frame.data["step"] == 4 * k  # ps
        moving = found.velocities[replicas, k].reshape(-1, 3) / (units.ANGSTROM / units.PICOSECOND)
        assert frame.velocities == pytest.approx(moving.numpy(), rel=1e-5, abs=1e-6)
        pull = found.forces[replicas, k].reshape(-1, 3) / (units.KJ_PER_MOL / units.ANGSTROM)
        assert frame.forces == pytest.approx(pull.numpy(), rel=1e-5, abs=1e-3)
        dipole = (found.dipole[range(3) if name == "run" else replicas, k] / units.E_ANGSTROM).squeeze(0)
        assert frame.data["dipole"] == pytest.approx(dipole.numpy(), rel=1e-12)
    assert universe.trajectory.ts.dimensions is None


def test_every_observable_is_a_legal_time_series(folder, tmp_path):
    export(folder, tmp_path / "one.h5", 1, every=5)
    for path, samples in ((folder / "trajectory.h5", 31), (tmp_path / "one.h5", 7)):
        with h5py.File(path) as file:
            assert set(file) == {"h5md", "observables", "parameters", "particles"}
            moved = [group[name] for group in file["particles"].values() for name in ("position", "velocity", "force")]
            elements = [*file["observables"].values(), *moved]
            assert all(set(element) == {"step", "time", "value"} for element in elements)
            assert {len(data) for element in elements for data in element.values()} == {samples}
    with h5py.File(tmp_path / "one.h5") as file:
        assert list(file["particles"]) == ["trajectory"] and file["observables/temperature/step"][()].tolist() == list(range(0, 140, 20))
        assert file["particles/trajectory/mass"][()] == pytest.approx(WATER.masses.numpy() / units.AMU)


def test_an_exported_file_is_not_taken_for_a_run(folder, tmp_path):
    export(folder, tmp_path / "one.h5", 1)
    with pytest.raises(TrajectoryError, match="is not a trajectory of densnet"):
        read_trajectory(tmp_path / "one.h5")


def test_ase_reads_energies_and_dipoles_of_every_frame(folder, tmp_path):
    assert export(folder, tmp_path / "all.extxyz", every=10) == 4
    frames, found = ase.io.read(tmp_path / "all.extxyz", ":"), read_trajectory(folder, every=10)
    assert len(frames) == 12 and [atoms.info["replica"] for atoms in frames] == [0] * 4 + [1] * 4 + [2] * 4
    for number, atoms in enumerate(frames):
        replica, sample = divmod(number, 4)
        assert atoms.get_chemical_symbols() == ["O", "H", "H"] and not atoms.pbc.any()
        assert atoms.positions == pytest.approx(found.positions[replica, sample].numpy() / units.ANGSTROM, abs=1e-9)
        assert atoms.get_potential_energy() == pytest.approx(float(found.potential[replica, sample]) / units.EV, rel=1e-9)
        assert atoms.get_dipole_moment() == pytest.approx(found.dipole[replica, sample].numpy() / units.E_ANGSTROM, rel=1e-8)
        assert atoms.get_forces() == pytest.approx(found.forces[replica, sample].numpy() / units.EV_PER_ANGSTROM, abs=1e-7)
        assert atoms.info["time_fs"] == pytest.approx(20 * sample) and atoms.info["trajectory"] == found.number(replica)
        assert atoms.info["energy_uncertainty"] == pytest.approx(float(found.energy_uncertainty[replica, sample]) / units.EV, rel=1e-9)
        assert atoms.info["novelty"] == pytest.approx(float(found.novelty[replica, sample]), rel=1e-9)


def test_exported_frames_are_labels_again(folder, tmp_path):
    """Energies and dipoles that a model gave, as labels of another one; frames of a replica belong together."""
    export(folder, tmp_path / "one.xyz", 1)
    labels, found = store.read(tmp_path / "one.xyz"), read_trajectory(folder)
    properties = labels.properties(require=("energy", "forces", "dipole"))
    assert torch.allclose(properties.energy, found.potential[1], rtol=1e-9)
    assert torch.allclose(properties.dipole, found.dipole[1], rtol=1e-8)
    assert torch.allclose(properties.forces, found.forces[1].reshape(-1, 3), atol=1e-8)
    again = Springs(WATER)(properties.molecules)  # positions are recorded in float32
    assert torch.allclose(again.forces, properties.forces, atol=1e-6)
    assert {label.trajectory for label in labels} == {found.number(1)} and {label.temperature for label in labels} == {200.0}


def test_isotopes_are_exported(tmp_path):
    simulate(Springs(HEAVY), HEAVY, SETTINGS.model_copy(update={"replicas": 1, "record_forces": False}), tmp_path / "run")
    export(tmp_path / "run", tmp_path / "one.xyz")
    assert ase.io.read(tmp_path / "one.xyz").get_masses() == pytest.approx(HEAVY.masses.numpy() / units.AMU)
    assert ase.io.read(tmp_path / "one.xyz").calc.results.keys() == {"energy", "dipole"}


def test_what_cannot_be_exported_is_refused(folder, tmp_path):
    before = (folder / "trajectory.h5").read_bytes()
    with pytest.raises(ExportError, match=r"has no suffix that says what to write: \.h5md"):
        export(folder, tmp_path / "one.dcd")
    with pytest.raises(ExportError, match="is the trajectory itself"):
        export(folder, folder / "trajectory.h5")
    for name in ("one.xyz", "one.h5md"):
        with pytest.raises(TrajectoryError, match="has no replica 3; its replicas are 0 to 2"):
            export(folder, tmp_path / name, 3)
    with pytest.raises(TrajectoryError, match="does not exist"):
        export(tmp_path, tmp_path / "one.xyz")
    assert not list(tmp_path.iterdir()) and (folder / "trajectory.h5").read_bytes() == before
