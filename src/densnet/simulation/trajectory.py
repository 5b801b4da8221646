"""A run's folder: numbered blocks of samples and a restart while it runs, one H5MD 1.1 file when it ends.

    blocks/000000.safetensors ...   samples, atomic units; each written, fsynced and renamed
    restart.safetensors             the state to go on from, and how many blocks belong to it; written after its last block
    trajectory.h5                   all blocks as H5MD (https://www.nongnu.org/h5md), units in attributes

A kill between two writes loses at most the steps since the last restart; blocks written after it are written again, identically.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor

import densnet
from densnet import files, units
from densnet.molecules import Molecules
from densnet.simulation.header import ANY_TIME, FORMAT, HALF_STEPS, TrajectoryError, check_format, number
from densnet.simulation.integrators import State
from densnet.simulation.temperature import Realised

_UNITS = {
    "position": ("Angstrom", units.ANGSTROM),
    "velocity": ("Angstrom fs-1", units.ANGSTROM / units.FEMTOSECOND),
    "dipole": ("e Angstrom", units.E_ANGSTROM),
    "potential_energy": ("eV", units.EV),
    "kinetic_energy": ("eV", units.EV),
    "conserved_energy": ("eV", units.EV),
    "temperature": ("K", units.KELVIN),
    "energy_uncertainty": ("eV", units.EV),
    "dipole_uncertainty": ("e Angstrom", units.E_ANGSTROM),
    "novelty": ("1", 1.0),
    "marked": ("1", 1.0),
}
"""Unit of each quantity in the file, and its size in atomic units."""


@dataclass(frozen=True)
class Trajectory:
    """Replicas of one molecule, sampled at equal intervals from step 0 of production; atomic units, temperatures in K.

    numbers      [atoms] int64          masses [atoms] float64, electron masses
    positions    [replicas, samples, atoms, 3] bohr; None if not asked for
    velocities   [replicas, samples, atoms, 3] bohr hartree / hbar; None if not asked for
    dipole       [replicas, samples, 3] e bohr; None if the force function knew none
    potential, kinetic [replicas, samples] hartree, on the step
    conserved    [replicas, samples] hartree, potential + kinetic - heat from the thermostat, zero at step 0
    temperature  [replicas, samples] K, from the degrees of freedom that move, of the mean kinetic energy half a step before and after;
                 NaN in trajectories of an older densnet, which measured it on the step
    energy_uncertainty, dipole_uncertainty [replicas, samples] hartree, e bohr (of a component): errors that the model expects;
    novelty      [replicas, samples] as in `Uncertainty`; marked [replicas, samples] bool, where it exceeds `novelty_limit`;
                 these four are None if the force function knew nothing of its errors
    time_step    of the integrator, hbar / hartree       sample_step between samples, hbar / hartree
    header       settings, provenance and versions; ``complete`` says whether the run reached its end
    """

    numbers: Tensor
    masses: Tensor
    positions: Tensor | None
    velocities: Tensor | None
    dipole: Tensor | None
    potential: Tensor
    kinetic: Tensor
    conserved: Tensor
    temperature: Tensor
    time_step: float
    sample_step: float
    header: dict
    energy_uncertainty: Tensor | None = None
    dipole_uncertainty: Tensor | None = None
    novelty: Tensor | None = None
    marked: Tensor | None = None

    @property
    def total(self) -> Tensor:
        """[replicas, samples] hartree, potential + kinetic."""
        return self.potential + self.kinetic

    @property
    def times(self) -> Tensor:
        """[samples] hbar / hartree, zero at the first sample."""
        return torch.arange(self.potential.shape[1], dtype=torch.float64) * self.sample_step

    @property
    def settings(self) -> dict:
        """The settings of the run."""
        return self.header["settings"]

    @property
    def realised(self) -> Realised:
        """The temperature that was set, and what it came to."""
        means = self.temperature.mean(1)
        error = float(means.std()) / len(means) ** 0.5 if len(means) > 1 else None
        return Realised(self.settings["temperature"], float(means.mean()), error)

    def number(self, replica: int) -> int:
        """What tells this ``replica`` from every other trajectory, see `header.number`."""
        return number(self.header, replica)

    @property
    def drift(self) -> Tensor:
        """[replicas] slope of a straight line through the conserved energy, in meV per atom and ps (zero for a single sample)."""
        return drift(self.conserved, self.sample_step, len(self.numbers))


def drift(conserved: Tensor, sample_step: float, atoms: int) -> Tensor:
    """[replicas] least-squares slope of ``conserved`` [replicas, samples] (hartree) in meV per atom and ps."""
    samples = conserved.shape[1]
    times = (torch.arange(samples, dtype=torch.float64) - (samples - 1) / 2) * sample_step
    slope = (conserved * times).sum(1) / times.square().sum().clamp(min=torch.finfo(times.dtype).tiny)
    return slope * units.PICOSECOND / units.MEV / atoms


class Record:
    """Writes a run's folder; ``header`` must match whatever the folder already holds."""

    def __init__(self, folder: Path, header: dict, freedom: Tensor):
        self.folder, self.header, self.freedom = Path(folder), {"format": FORMAT, "densnet": densnet.__version__, **header}, freedom
        self.blocks, self._samples = 0, []
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def finished(self) -> bool:
        """Whether the folder holds the whole trajectory of this very run; another run's is refused."""
        path = self.folder / "trajectory.h5"
        if not path.exists():
            return False
        with _open_h5(path) as file:
            found = _header(file, path)
        self._same(found)
        return found["complete"]

    def resume(self, start: Molecules, generator: Generator) -> State | None:
        """The state of the last restart, with ``generator`` set to where it was; None if the folder holds no restart."""
        path = self.folder / "restart.safetensors"
        if not path.exists():
            return None
        found, values = _load(path)
        self._same(found)
        self.header = {**self.header, "format": found["format"]}  # what is recorded from here on is no newer than what was before
        self.blocks = found["blocks"]
        device = start.positions.device
        if values["generator"].shape != generator.get_state().shape:
            raise TrajectoryError(f"{path} was written with another `device`: set it back, or delete {self.folder} to start afresh.")
        generator.set_state(values.pop("generator"))
        values = {name: value.to(device) for name, value in values.items()}
        molecules = start.at(values.pop("positions"))
        return State(molecules, start.masses[:, None], dipole=values.pop("dipole", None), step=found["step"], **values)

    def sample(self, state: State) -> None:
        """Keeps ``state`` for the next block."""
        self._samples.append(state)

    def flush(self) -> None:
        """Writes the samples at hand as one more block, which a later `resume` does not count unless a checkpoint follows."""
        if self._samples:
            (self.folder / "blocks").mkdir(exist_ok=True)
            files.write_bytes(self.folder / "blocks" / f"{self.blocks:06d}.safetensors", save(self._block()))
            self.blocks, self._samples = self.blocks + 1, []

    def checkpoint(self, state: State, generator: Generator) -> None:
        """Writes the samples since the last checkpoint as a block, then the restart."""
        self.flush()
        values = {
            "positions": state.molecules.positions,
            "velocities": state.velocities,
            "forces": state.forces,
            "energy": state.energy,
            "bath": state.bath,
            "generator": generator.get_state(),
        } | ({} if state.dipole is None else {"dipole": state.dipole})
        note = json.dumps({**self.header, "blocks": self.blocks, "step": state.step})
        values = {name: value.cpu().contiguous() for name, value in values.items()}
        files.write_bytes(self.folder / "restart.safetensors", save(values, {"header": note}))

    def _block(self) -> dict[str, Tensor]:
        """The samples at hand as [samples, replicas, ...] tensors in atomic units, motion in float32."""
        states, replicas = self._samples, self._samples[0].molecules.count
        kinetic = torch.stack([s.kinetic for s in states])
        timestep = self.header["settings"]["timestep_fs"] * units.FEMTOSECOND
        columns = {
            "position": torch.stack([s.molecules.positions for s in states]).unflatten(1, (replicas, -1)).float(),
            "velocity": torch.stack([s.velocities for s in states]).unflatten(1, (replicas, -1)).float(),
            "potential_energy": torch.stack([s.energy for s in states]),
            "kinetic_energy": kinetic,
            "conserved_energy": torch.stack([s.energy - s.bath for s in states]) + kinetic,
            "temperature": 2 * torch.stack([s.half_step_kinetic(timestep) for s in states]) / self.freedom,
        }
        if states[0].dipole is not None:
            columns["dipole"] = torch.stack([s.dipole for s in states])
        if all(s.uncertainty is not None for s in states):
            columns["energy_uncertainty"] = torch.stack([s.uncertainty.energy for s in states])
            columns["dipole_uncertainty"] = torch.stack([s.uncertainty.dipole for s in states])
            columns["novelty"] = torch.stack([s.uncertainty.novelty for s in states])
            columns["marked"] = (columns["novelty"] > self.header["settings"]["novelty_limit"]).to(torch.uint8)
        return {name: values.cpu().contiguous() for name, values in columns.items()}

    def consolidate(self, masses: Tensor, *, complete: bool) -> Path | None:
        """Writes all blocks as ``trajectory.h5`` (None if there is no sample yet); a ``complete`` run's blocks are then removed."""
        blocks = [self.folder / "blocks" / f"{index:06d}.safetensors" for index in range(self.blocks)]
        if not blocks:
            return None
        target = self.folder / "trajectory.h5"
        with files.draft(target) as part, h5py.File(part, "w") as file:
            _write_h5md(file, blocks, {**self.header, "complete": complete}, masses)
        if complete:
            shutil.rmtree(self.folder / "blocks")
        return target

    def _same(self, found: dict) -> None:
        """`TrajectoryError` unless ``found`` is the header of the same run (the package's version may differ)."""
        check_format(found, self.folder)
        old, new = found["settings"], self.header["settings"]
        compared = [key for key in new if key not in ANY_TIME and old.get(key) != new[key]]
        changed = [f"`{key}` was {old.get(key)!r}, is now {new[key]!r}" for key in compared]
        changed += [f"{key} is another" for key in ("provenance", "numbers", "start") if found[key] != self.header[key]]
        if changed:
            raise TrajectoryError(
                f"{self.folder} holds another simulation: {'; '.join(changed)}. Choose another folder, or delete this one to start afresh."
            )


def read_trajectory(path: Path, *, motion: bool = True, every: int = 1) -> Trajectory:
    """The trajectory in ``path`` (a ``trajectory.h5``, or the folder that holds one), in atomic units.

    ``motion=False`` leaves out positions and velocities, which need most of the memory; ``every`` takes one sample of so many.
    Raises `TrajectoryError` for anything else.
    """
    path = Path(path)
    path = path / "trajectory.h5" if path.is_dir() else path
    with _open_h5(path) as file:
        try:
            header = _header(file, path)
            found = {name: _column(file[place], name, every) for name, place in _places(file).items()}
            replicas = [file["particles"][name] for name in sorted(file["particles"], key=_number)] if motion else []
            moved = {
                name: torch.stack([_column(r[name], name, every) for r in replicas]) if motion else None
                for name in ("position", "velocity")
            }
            masses = torch.as_tensor(file["particles/replica_0000/mass"][()]) * units.AMU
        except KeyError as error:
            raise TrajectoryError(f"{path} is not a trajectory of densnet: {error.args[0]}.") from None
    time_step = header["settings"]["timestep_fs"] * units.FEMTOSECOND
    return Trajectory(
        numbers=torch.tensor(header["numbers"]),
        masses=masses,
        positions=moved["position"],
        velocities=moved["velocity"],
        dipole=found["dipole"].transpose(0, 1) if "dipole" in found else None,
        potential=found["potential_energy"].T,
        kinetic=found["kinetic_energy"].T,
        conserved=found["conserved_energy"].T,
        temperature=found["temperature"].T / units.KELVIN * (1 if header["format"] >= HALF_STEPS else torch.nan),
        time_step=time_step,
        sample_step=time_step * header["settings"]["sample_every"] * every,
        header=header,
        **{name: found[name].T for name in ("energy_uncertainty", "dipole_uncertainty", "novelty") if name in found},
        marked=found["marked"].T > 0 if "marked" in found else None,
    )


def _header(file: h5py.File, path: Path) -> dict:
    if "densnet" not in file:
        raise TrajectoryError(f"{path} is not a trajectory of densnet; name the folder or the trajectory.h5 of `densnet simulate`.")
    header = json.loads(file["densnet"].attrs["header"])
    check_format(header, path)
    return header


def _places(file: h5py.File) -> dict[str, str]:
    return {name: f"observables/{name}" for name in file["observables"] if name in _UNITS}


def _number(replica: str) -> int:
    return int(replica.rpartition("_")[2])


def _column(group: h5py.Group, name: str, every: int) -> Tensor:
    return torch.as_tensor(group["value"][::every]).double() * _UNITS[name][1]


def _write_h5md(file: h5py.File, blocks: list[Path], header: dict, masses: Tensor) -> None:
    """Fills ``file`` block by block: particles/replica_NNNN/{position, velocity}, observables/NAME [samples, replicas, ...]."""
    _write_frame(file, header)
    lengths = [len(_load(path)[1]["potential_energy"]) for path in blocks]
    every, femtoseconds = header["settings"]["sample_every"], header["settings"]["timestep_fs"]
    steps = np.arange(sum(lengths)) * every
    file["densnet/step"], file["densnet/time"] = steps, steps * femtoseconds
    file["densnet/time"].attrs["unit"] = "fs"
    clock = {"step": file["densnet/step"], "time": file["densnet/time"]}
    numbers, amu = np.array(header["numbers"]), (masses[: len(header["numbers"])] / units.AMU).cpu().numpy()
    conserved, begin = [], 0
    for path, length in zip(blocks, lengths):
        columns = _load(path)[1]
        for name, values in columns.items():
            if name in ("position", "velocity"):
                for index in range(values.shape[1]):
                    home = f"particles/replica_{index:04d}"
                    _append(file, f"{home}/{name}", name, values[:, index], begin, clock)
            else:
                _append(file, f"observables/{name}", name, values, begin, clock)
        conserved.append(columns["conserved_energy"])
        begin += length
    for group in file["particles"].values():
        group["species"], group["mass"] = numbers, amu
        group["mass"].attrs["unit"] = "u"
        group.create_group("box").attrs.update({"dimension": 3, "boundary": ["none"] * 3})
    slopes = drift(torch.cat(conserved).T, every * femtoseconds * units.FEMTOSECOND, len(numbers))
    file["observables/energy_drift"] = slopes.numpy()
    file["observables/energy_drift"].attrs["unit"] = "meV ps-1 per atom"


def _write_frame(file: h5py.File, header: dict) -> None:
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = [1, 1]
    h5md.create_group("author").attrs["name"] = "unknown"
    h5md.create_group("creator").attrs.update({"name": "densnet", "version": header["densnet"]})
    h5md.create_group("modules/units").attrs["version"] = [1, 0]
    file.create_group("densnet").attrs["header"] = json.dumps(header)


def _append(file: h5py.File, home: str, name: str, values: Tensor, begin: int, clock: dict) -> None:
    unit, size = _UNITS[name]
    if home not in file:
        total = len(clock["step"])
        value = file.create_dataset(f"{home}/value", shape=(total, *values.shape[1:]), dtype=values.numpy().dtype)
        value.attrs["unit"] = unit
        file[home].update(clock)
    file[f"{home}/value"][begin : begin + len(values)] = (values / size).numpy()


def _load(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Header and tensors of a safetensors file of ours."""
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("header", "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise TrajectoryError(f"{path} cannot be read ({error}); delete the folder to start afresh.") from None


def _open_h5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise TrajectoryError(f"{path} does not exist; an interrupted simulation is finished by the command that started it.") from None
    except OSError as error:
        raise TrajectoryError(f"{path} is not a readable HDF5 file ({error}); delete it and run `densnet simulate` again.") from None
