"""The driver with the real i-PI: all beads in one call inside its process, one by one over a socket, the same numbers."""

import json
import re
import shutil
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from ipi.utils.io.inputs.io_xml import read_dict

from densnet import units
from densnet.interfaces import ipi
from densnet.model.predictor import load
from densnet.molecules import Molecules
from densnet.simulation.ensembles import Conditions
from densnet.simulation.integrators import State
from densnet.simulation.ringpolymer import Ring, Trpmd, internal_modes, modes_of, ring_polymer, transformation
from tests.model.random_model import answering

EXAMPLE = Path(__file__).parents[2] / "examples" / "ipi"
BOHR = 0.52917721  # of i-PI, Angstrom
SERVER = [sys.executable, str(Path(sys.executable).with_name("i-pi"))]


def prepared(folder: Path, steps: int, changes: dict[str, str], example: str = "trpmd") -> Path:
    """The example with fewer steps and other ``changes`` (pattern -> text), everything written at each step."""
    text = re.sub(r"> PATH <|> \d+ </total_steps>", lambda m: f"> {ipi.__file__} <" if "PATH" in m[0] else f"> {steps} </total_steps>",
                  (EXAMPLE / f"{example}.xml").read_text(encoding="utf-8"))  # fmt: skip
    text = re.sub(r'stride="\d+" ', 'stride="1" ', re.sub(r'stride="\d+"', 'stride="1"', text)).replace("x_centroid", "positions")
    for pattern, new in changes.items():
        text, count = re.subn(pattern, new, text, flags=re.S)
        assert count, pattern
    for geometry in EXAMPLE.glob("*.xyz"):
        shutil.copy(geometry, folder)
    (folder / "run.xml").write_text(text, encoding="utf-8")
    return folder


def i_pi(folder: Path) -> subprocess.Popen:
    with open(folder / "told", "w", encoding="utf-8") as told:
        return subprocess.Popen([*SERVER, "run.xml"], cwd=folder, stdout=told, stderr=subprocess.STDOUT)


def ends_well(run: subprocess.Popen, folder: Path) -> None:
    assert run.wait(timeout=120) == 0, (folder / "told").read_text()


def positions(path: Path) -> np.ndarray:
    """[frames, atoms, 3] Angstrom."""
    frames = path.read_text().split("\n")
    size = int(frames[0])
    rows = [line.split()[1:4] for line in frames if len(line.split()) == 4 and line.split()[0].isalpha()]
    return np.array(rows, dtype=float).reshape(-1, size, 3)


def extras(path: Path) -> np.ndarray:
    return np.array([line.split() for line in path.read_text().splitlines() if not line.lstrip().startswith("#")], dtype=float)


@pytest.mark.parametrize(("example", "molecule"), [("trpmd", "water"), ("trpmd", "ethanol"), ("pimd", "ethanol")])
def test_ring_polymers_move_by_the_model_and_keep_its_dipole(tmp_path, example, molecule):
    changes = {"<batch_size> 16": "<batch_size> 4", 'nbeads="16"': 'nbeads="4"', "model: [a-z]+": f"model: {molecule}"}
    changes[r"(water|ethanol)\.xyz"] = f"{molecule}.xyz"
    folder = prepared(tmp_path, 4, changes, example)
    ends_well(i_pi(folder), folder)
    model, numbers = load(molecule), ipi.read(folder / f"{molecule}.xyz")[0].molecule.numbers
    for bead in range(4):
        places = positions(folder / f"{example}.centroid_{bead}.xyz")
        dipoles = extras(folder / f"{example}.dipole_{bead}")
        assert places.shape == (5, len(numbers), 3) and dipoles.shape == (5, 3)
        found = model(Molecules.replicas(numbers, torch.from_numpy(places / BOHR)))
        assert np.abs(found.dipole.numpy() - dipoles).max() < 1e-5
        if example == "pimd":
            errors = extras(folder / f"{example}.errors_{bead}")
            assert errors == pytest.approx(torch.stack([found.uncertainty.energy, found.uncertainty.novelty], 1).numpy(), rel=1e-3)
    energies = np.loadtxt(folder / f"{example}.energies")
    assert np.ptp(energies[:, 2]) < 0.03 and np.ptp(energies[:, 5]) > 0  # eV, conserved and potential


def test_polarizabilities_of_all_beads_at_each_step(tmp_path):
    """Row by row, those of the model at the beads that i-PI writes; where i-PI's input says that they are not wanted, none."""
    model = answering(load("water"))
    model.save(tmp_path / "own.safetensors")
    wanted = '<trajectory filename="polarizability" stride="1" extra_type="polarizability"> extras </trajectory><checkpoint'
    changes = {"<batch_size> 16": "<batch_size> 4", 'nbeads="16"': 'nbeads="4"', "model: ethanol": "model: own.safetensors"}
    folder = prepared(tmp_path, 3, {**changes, "ethanol.xyz": "water.xyz", "<checkpoint": wanted}, "pimd")
    ends_well(i_pi(folder), folder)
    for bead in range(4):
        places = torch.from_numpy(positions(folder / f"pimd.centroid_{bead}.xyz") / BOHR)
        found = extras(folder / f"pimd.polarizability_{bead}")
        alpha = model.respond(Molecules.replicas([8, 1, 1], places)).polarizability
        assert found.shape == (4, 9) and found == pytest.approx(alpha.flatten(1).numpy(), abs=1e-4 * float(alpha.abs().max()))
    said = f"{{model: {tmp_path / 'own.safetensors'}, geometry: {folder / 'water.xyz'}, polarizability: False}}"
    _, _, _, text = ipi.Driver(**read_dict(said))(np.eye(3), places[0].numpy())
    assert json.loads(text).keys() == {"dipole", "energy_uncertainty", "dipole_uncertainty", "novelty"}


class TwoMaps(Ring):
    """A free step of two Cayley maps of half the time step, as i-PI has it; densnet's is one map of the whole, in two halves."""

    @cached_property
    def cosine(self):
        return torch.cos(2 * torch.arctan(self.frequencies * self.timestep / 4))

    @cached_property
    def time(self):
        sine = torch.sin(2 * torch.arctan(self.frequencies * self.timestep / 4))
        return torch.where(self.frequencies > 0, sine / self.frequencies, self.timestep / 2)


def test_densnets_own_ring_polymers_move_as_those_of_i_pi(tmp_path):
    """Without thermostat, the same beads at every step but for rounding, and the same quantum kinetic energy."""
    changes = {
        "<thermostat.*</thermostat>": "",
        'mode="nvt"': 'mode="nve"',
        'nbeads="16"': 'nbeads="4"',
        "<batch_size> 16": "<batch_size> 4",
        '<checkpoint stride="1"/>': '<checkpoint stride="1" overwrite="False"/>',
        "<ensemble>": '<normal_modes propagator="cayley"/> <ensemble>',
    }
    folder = prepared(tmp_path, 12, changes)
    ends_well(i_pi(folder), folder)
    first, last = (ElementTree.parse(folder / f"trpmd.restart_{k}").getroot() for k in (0, 11))
    numbers, model = ipi.read(folder / "water.xyz")[0].molecule.numbers, load("water")
    centroid = Molecules.single(numbers, _modes(first, "q")[0], _numbers(first, "m"))
    u, v = _modes(first, "q"), _modes(first, "p") / centroid.masses[:, None]
    about = Conditions(0.25 * units.FEMTOSECOND, 300 * units.KELVIN, torch.tensor([9.0], dtype=torch.float64), torch.Generator())
    ensemble, ring = Trpmd(beads=4), TwoMaps.of(4, centroid, about)
    known, f = ring.look(model, centroid, u)
    state = State(centroid, centroid.masses[:, None], v[0], known, torch.zeros(1), 0, internal_modes(u, v, f))
    step = ring_polymer(model, ring, about.temperature, torch.zeros_like(ring.frequencies), about.generator)
    kinetic = np.loadtxt(folder / "trpmd.energies")[:, 4]
    for _ in range(11):
        told = ensemble.observe(state, about)["quantum_kinetic_energy"]
        assert float(told) / units.EV == pytest.approx(kinetic[state.step], rel=1e-5)
        state = step(state)
    u, v, _ = modes_of(state)
    assert (u - _modes(first, "q")).abs().max() > 0.02
    assert (u - _modes(last, "q")).abs().max() < 2e-6
    assert (v - _modes(last, "p") / centroid.masses[:, None]).abs().max() < 1e-8


def _numbers(checkpoint: ElementTree.Element, name: str) -> torch.Tensor:
    return torch.tensor([float(word) for word in checkpoint.find(f".//beads/{name}").text.strip(" []\n").split(",")], dtype=torch.float64)


def _modes(checkpoint: ElementTree.Element, name: str) -> torch.Tensor:
    """[modes, atoms, 3] of what the four beads have, atomic units."""
    return (transformation(4).T @ _numbers(checkpoint, name).view(4, -1) / 4).view(4, -1, 3)


def test_over_a_socket_the_same_trajectory(tmp_path):
    constant = {"<thermostat.*</thermostat>": "", 'mode="nvt"': 'mode="nve"', 'nbeads="16"': 'nbeads="2"'}
    direct = prepared(_made(tmp_path / "direct"), 5, {**constant, "<batch_size> 16": "<batch_size> 2"})
    ends_well(i_pi(direct), direct)
    name = f"densnet-{tmp_path.name}"
    door = f'<ffsocket mode="unix" name="densnet"> <address> {name} </address> </ffsocket>'
    remote = prepared(_made(tmp_path / "remote"), 5, {**constant, "<ffdirect.*</ffdirect>": door})
    run = i_pi(remote)
    socket = Path(ipi.actualunixsocketname(name))
    while not socket.exists() and run.poll() is None:
        time.sleep(0.05)
    command = [sys.executable, "-m", "densnet.cli", "drive", "water", "water.xyz", "--address", name]
    driver = subprocess.run(command, cwd=remote, capture_output=True, text=True, timeout=120)
    ends_well(run, remote)
    assert driver.returncode == 0 and "12 requests answered" in driver.stderr, driver.stdout + driver.stderr
    for bead in range(2):
        one, other = (positions(folder / f"trpmd.centroid_{bead}.xyz") for folder in (direct, remote))
        assert one.shape == (6, 3, 3) and np.abs(one - other).max() < 2e-5 and np.abs(one[-1] - one[0]).max() > 1e-3


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_an_answer_is_the_model_in_atomic_units():
    driver = ipi.Driver("water", str(EXAMPLE / "water.xyz"))
    places = ipi.read(EXAMPLE / "water.xyz")[0].molecule.positions.numpy()
    energy, forces, virial, text = driver(np.eye(3), places)
    known = load("water")(ipi.read(EXAMPLE / "water.xyz")[0].molecule)
    assert energy == pytest.approx(float(known.energy), abs=1e-9) and np.abs(forces - known.forces.numpy()).max() < 1e-7
    assert np.allclose(virial, places.T @ forces)
    said = json.loads(text)
    assert np.allclose(said["dipole"], known.dipole[0]) and said["energy_uncertainty"] > 0
    assert said.keys() >= {"novelty", "dipole_uncertainty"}
    assert float(np.linalg.norm(said["dipole"])) / units.DEBYE == pytest.approx(1.81, abs=0.05)


def test_what_cannot_be_answered_is_said(tmp_path):
    driver = ipi.Driver("water", str(EXAMPLE / "water.xyz"))
    with pytest.raises(ipi.DriverError, match="moves 9 atoms, but the geometry given to the driver has 3"):
        driver(np.eye(3), np.zeros((9, 3)))
    command = [sys.executable, "-m", "densnet.cli", "drive", "water", str(EXAMPLE / "water.xyz"), "--address", "nobody-there"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "start i-PI first" in done.stderr and "Traceback" not in done.stderr
