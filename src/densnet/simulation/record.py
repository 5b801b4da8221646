"""A run's folder while it runs and when it ends: numbered blocks of samples, a restart, one H5MD file.

    blocks/000000.safetensors ...   samples, atomic units; each written, fsynced and renamed
    restart.safetensors             the state to go on from, and how many blocks belong to it; written after its last block
    trajectory.h5                   all blocks as H5MD, see `h5md`

A kill between two writes loses at most the steps since the last restart; blocks written after it are written again, identically.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor

import densnet
from densnet import files, units
from densnet.molecules import Molecules
from densnet.properties import Properties
from densnet.simulation import h5md
from densnet.simulation.header import BEGINS, FORMAT, TrajectoryError, differences, upgraded
from densnet.simulation.integrators import State
from densnet.simulation.trajectory import drift

Observe = Callable[[State], Mapping[str, Tensor]]
"""What an ensemble measures of a state besides what every one has: [molecules] each, by columns of `h5md.OBSERVABLES`."""


class Record:
    """Writes a run's folder; ``header`` must match whatever the folder already holds, ``observe`` gives further columns."""

    def __init__(self, folder: Path, header: dict, freedom: Tensor, observe: Observe = lambda state: {}):
        self.folder, self.freedom, self.observe = Path(folder), freedom, observe
        self.header = {"format": FORMAT, "densnet": densnet.__version__, "half_steps": True, **header}
        self.blocks, self._samples = 0, []
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def finished(self) -> bool:
        """Whether the folder holds the whole trajectory of this very run; another run's is refused."""
        path = self.folder / "trajectory.h5"
        if not path.exists():
            return False
        with h5md.open_file(path) as file:
            found = h5md.header_of(file, path)
        self._same(found)
        return found["complete"]

    def resume(self, start: Molecules, generator: Generator) -> State | None:
        """The state of the last restart, with ``generator`` set to where it was; None if the folder holds no restart."""
        path = self.folder / "restart.safetensors"
        if not path.exists():
            return None
        found, values = _load(path)
        found = upgraded(found, path)
        self._same(found)
        self.header = {**self.header, "half_steps": found["half_steps"]}  # what is recorded from here on is no better than what was before
        self.blocks = found["blocks"]
        device = start.positions.device
        if values["generator"].shape != generator.get_state().shape:
            raise TrajectoryError(f"{path} was written with another `device`: set it back, or delete {self.folder} to start again.")
        generator.set_state(values.pop("generator"))
        values = {name: value.to(device) for name, value in values.items()}
        molecules = start.at(values.pop("positions"))
        known = Properties(molecules).with_tensors(molecules, {name: values.pop(name) for name in _SINGLE if name in values})
        inner = {name.removeprefix(_INNER): values.pop(name) for name in list(values) if name.startswith(_INNER)}
        return State(molecules, start.masses[:, None], known=known, step=found["step"], inner=inner, **values)

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
            "bath": state.bath,
            "generator": generator.get_state(),
            **{name: value for name, value in state.known.tensors().items() if name in _SINGLE},
            **{f"{_INNER}{name}": value for name, value in state.inner.items()},
        }
        note = json.dumps({**self.header, "blocks": self.blocks, "step": state.step})
        values = {name: value.cpu().contiguous() for name, value in values.items()}
        files.write_bytes(self.folder / "restart.safetensors", save(values, {"header": note}))

    def _block(self) -> dict[str, Tensor]:
        """The samples at hand as [samples, replicas, ...] tensors in atomic units."""
        states, replicas = self._samples, self._samples[0].molecules.count
        kinetic = torch.stack([s.kinetic for s in states])
        timestep = self.header["settings"]["timestep_fs"] * units.FEMTOSECOND
        columns = {
            "position": torch.stack([s.molecules.positions for s in states]).unflatten(1, (replicas, -1)),
            "velocity": torch.stack([s.velocities for s in states]).unflatten(1, (replicas, -1)),
            "kinetic_energy": kinetic,
            "conserved_energy": torch.stack([s.energy - s.bath for s in states]) + kinetic,
            "temperature": 2 * torch.stack([s.half_step_kinetic(timestep) for s in states]) / self.freedom,
        }
        observed = [self.observe(s) for s in states]
        columns |= {name: torch.stack([own[name] for own in observed]) for name in observed[0]}
        if self.header["settings"]["record_forces"]:
            columns["force"] = torch.stack([s.forces for s in states]).unflatten(1, (replicas, -1))
        known = [s.known.tensors() for s in states]
        columns |= {column: torch.stack([k[name] for k in known]) for name, column in h5md.KNOWN.items() if all(name in k for k in known)}
        if (novelty := columns.get("novelty")) is not None:
            columns["marked"] = (novelty > self.header["settings"]["novelty_limit"]).to(torch.uint8)
        single = {name: values.float() for name, values in columns.items() if name in h5md.SINGLE}
        return {name: values.cpu().contiguous() for name, values in (columns | single).items()}

    def consolidate(self, masses: Tensor, *, complete: bool) -> Path | None:
        """Writes all blocks as ``trajectory.h5`` (None if there is no sample yet); a ``complete`` run's blocks are then removed."""
        blocks = [self.folder / "blocks" / f"{index:06d}.safetensors" for index in range(self.blocks)]
        if not blocks:
            return None
        target, numbers, settings = self.folder / "trajectory.h5", torch.tensor(self.header["numbers"]), self.header["settings"]
        conserved = torch.cat([_load(path)[1]["conserved_energy"] for path in blocks])
        clock = h5md.Clock(len(conserved), settings["sample_every"], settings["timestep_fs"])
        groups = {h5md.replica(k): h5md.Group(numbers, masses[: len(numbers)]) for k in range(conserved.shape[1])}
        slopes = drift(conserved.T, clock.every * clock.timestep_fs * units.FEMTOSECOND, len(numbers))
        parts = (h5md.apart(_load(path)[1]) for path in blocks)
        h5md.write(target, groups, clock, parts, {"header": {**self.header, "complete": complete}}, slopes)
        if complete:
            shutil.rmtree(self.folder / "blocks")
        return target

    def _same(self, found: dict) -> None:
        """`TrajectoryError` unless ``found`` is the header of the same run (the package's version may differ)."""
        apart = differences(found, self.header)
        changed = [f"{key} is another" if key in BEGINS else f"`{key}` was {old!r}, is now {new!r}" for key, (old, new) in apart.items()]
        if changed:
            raise TrajectoryError(
                f"{self.folder} contains another simulation: {'; '.join(changed)}. Choose another folder, or delete this one."
            )


_SINGLE = tuple(name for name in Properties.table() if "." not in name)
"""Properties that a restart holds where they are known; the next step finds the others anew."""

_INNER = "inner."
"""Before the names of what a step keeps for itself."""


def _load(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Header and tensors of a safetensors file of ours."""
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("header", "{}"))
            return header, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise TrajectoryError(f"{path} cannot be read ({error}); delete the folder to start again.") from None
