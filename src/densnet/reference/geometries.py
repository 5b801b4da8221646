"""Which geometries are worth a calculation: GFN2-xTB trajectories from given conformers, or the user's own frames."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from math import gcd, lcm
from pathlib import Path
from typing import Literal

import ase
import numpy as np
import torch
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from pydantic import Field, field_validator, model_validator
from torch import Tensor

import densnet
from densnet.files import write_text
from densnet.frames import xyz
from densnet.frames.write import frame as lines_of
from densnet.frames.xyz import GeometryError
from densnet.molecules import Molecules
from densnet.progress import Progress, silent
from densnet.reference import workers
from densnet.settings import Incidental, Section, SettingsError
from densnet.units import AMU, ANGSTROM

FORMAT = "densnet-frames"
FORMAT_VERSION = 1


class SampleSettings(Section):
    """Where the geometries to be labelled come from."""

    geometries: Path | None = Field(None, description="xyz file, Angstrom: starting conformers, or the frames themselves")
    method: Literal["gfn2-xtb", "as given"] = Field("gfn2-xtb", description="trajectories from the conformers, or the frames as given")
    temperature: tuple[float, ...] = Field((500.0,), description="K; one value, or several that are assigned to the trajectories in turn")
    frames: int = Field(250, gt=0, description="total number of frames (with `as given`: at most)")
    trajectories: int = Field(10, gt=0, description="number of independent trajectories; they start from the conformers in turn")
    interval_fs: float = Field(50.0, gt=0, description="time between two frames of a trajectory, fs")
    timestep_fs: float = Field(0.5, gt=0, le=2.0, description="time step, fs")
    friction_per_ps: float = Field(10.0, gt=0, description="Langevin friction, 1/ps")
    equilibration_fs: float = Field(500.0, ge=0, description="initial part of each trajectory that is discarded, fs")
    minimum_distance: float = Field(0.001, ge=0, description="Angstrom; of frames closer than this (rms of all distances) only one is kept")
    first_trajectory: int = Field(0, ge=0, description="number of the first trajectory, to continue an older list")
    seed: int = Field(0, ge=0, description="the same seed gives the same frames")
    workers: Incidental[int] = Field(0, ge=0, description="parallel processes; 0 = all cores")

    @field_validator("temperature", mode="before")
    @classmethod
    def _one_or_several(cls, value):
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not values or any(not isinstance(t, (int, float)) or t <= 0 for t in values):
            raise ValueError("must be a positive temperature in K, or a list of them")
        return values

    @model_validator(mode="after")
    def _whole_steps(self):
        steps = self.interval_fs / self.timestep_fs
        if steps < 0.999 or abs(steps - round(steps)) > 1e-6 * steps:
            raise ValueError(f"`interval_fs` = {self.interval_fs:g} must be a multiple of `timestep_fs` = {self.timestep_fs:g}")
        return self


@dataclass(frozen=True)
class Frame:
    """One geometry: a single `molecule`, the `trajectory` it is of, the `temperature` (K, NaN if unknown) of that, its `name` or ""."""

    molecule: Molecules
    trajectory: int
    temperature: float
    name: str = ""


def sample(settings: SampleSettings, out: Path, *, root: Path = Path("."), progress: Progress = silent) -> list[Frame]:
    """Frames by ``settings`` in random order, written to ``out`` (extxyz, Angstrom) and given back.

    The order is a seeded permutation over all trajectories, so any prefix of the list is a fair sample.
    ``root`` is the folder that a relative ``settings.geometries`` starts from.
    Raises `SettingsError` without geometries, `GeometryError` for files that cannot be used,
    and `molecules.MoleculeError` for molecules that cannot.
    """
    if settings.geometries is None:
        raise SettingsError("setting `sample.geometries` is missing: name an xyz file of conformers.")
    given = read(root / settings.geometries)
    frames = given if settings.method == "as given" else _trajectories(given, settings, progress)
    shuffled = [frames[i] for i in np.random.default_rng([settings.seed, 2]).permutation(len(frames))]
    kept = drop_duplicates(shuffled, settings.minimum_distance * ANGSTROM)[: settings.frames]
    write(out, kept, settings.deciding())
    return kept


def _trajectories(conformers: list[Frame], settings: SampleSettings, progress: Progress) -> list[Frame]:
    share, rest = divmod(settings.frames, settings.trajectories)
    jobs = []
    for k in range(settings.trajectories):
        conformer, turn = _turns(k, settings.trajectories, len(conformers), len(settings.temperature))
        start, temperature = conformers[conformer].molecule, settings.temperature[turn]
        frames = share + (k < rest)
        number, isotopes = settings.first_trajectory + k, None if start.isotopes is None else start.isotopes.numpy()
        jobs.append(Run(start.numbers.numpy(), start.positions.numpy() / ANGSTROM, isotopes, temperature, number, frames))
    collected: dict[int, list[Frame]] = {}
    with workers.Processes(settings.workers) as local:
        for job, found in workers.results(jobs, partial(langevin, settings=settings), local):
            if isinstance(found, Exception):
                raise GeometryError(f"trajectory {job.number} could not be run: {found}") from found
            isotopes = None if job.isotopes is None else torch.from_numpy(job.isotopes)
            molecules = [Molecules.single(job.numbers, positions * ANGSTROM, isotopes) for positions in found]
            collected[job.number] = [Frame(molecule, job.number, job.temperature) for molecule in molecules]
            progress(sum(map(len, collected.values())), settings.frames)
    return [frame for number in sorted(collected) for frame in collected[number]]


def _turns(k: int, trajectories: int, conformers: int, temperatures: int) -> tuple[int, int]:
    """Conformer and temperature of trajectory ``k``: all conformers at the first temperature, then at the next.

    Where there are too few trajectories for every pair, both change from one to the next, so that none is left out for long.
    """
    if trajectories >= conformers * temperatures:
        return k % conformers, k // conformers % temperatures
    round_of = k // lcm(conformers, temperatures) % gcd(conformers, temperatures)
    return k % conformers, (k + round_of) % temperatures


@dataclass(frozen=True)
class Run:
    """One trajectory to be run.

    numbers      [atoms] atomic numbers
    start        [atoms, 3] Angstrom
    isotopes     [atoms] masses in electron masses, or None for the most abundant isotopes
    temperature  K
    number       of the trajectory: with the seed of the settings it decides its random numbers
    frames       how many it gives
    heat         velocities at the start are drawn at so many times the temperature: 1 where the start is a geometry of that temperature,
                 2 where it is a minimum, whose harmonic share of the potential energy the velocities then bring with them
    """

    numbers: np.ndarray
    start: np.ndarray
    isotopes: np.ndarray | None
    temperature: float
    number: int
    frames: int
    heat: float = 1.0


def langevin(run: Run, settings: SampleSettings) -> np.ndarray:
    """[frames, atoms, 3] Angstrom: Langevin dynamics on the GFN2-xTB surface, centre of mass at the origin, orientation kept.

    Of ``settings`` the steps, the friction and the seed count. Raises `GeometryError` where a bond breaks.
    """
    from tblite.ase import TBLite

    rng = np.random.default_rng([settings.seed, 1, run.number])
    atoms = ase.Atoms(run.numbers, run.start, masses=None if run.isotopes is None else run.isotopes / AMU)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=run.heat * run.temperature, rng=rng)
    friction = settings.friction_per_ps / (1000 * ase.units.fs)
    dynamics = Langevin(atoms, settings.timestep_fs * ase.units.fs, temperature_K=run.temperature, friction=friction, fixcm=False, rng=rng)
    bonds = _bonds(atoms.get_all_distances(), run.numbers)
    dynamics.run(round(settings.equilibration_fs / settings.timestep_fs))
    frames = []
    for _ in range(run.frames):
        dynamics.run(round(settings.interval_fs / settings.timestep_fs))
        if (atoms.get_all_distances() > 1.7 * bonds)[bonds > 0].any():
            raise GeometryError(f"a bond broke at {run.temperature:g} K; choose a lower `temperature`.")
        frames.append(np.round(atoms.positions - atoms.get_center_of_mass(), 10))
    return np.array(frames)


def _bonds(distances: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """[atoms, atoms] sum of the covalent radii (Angstrom) where two atoms are bonded, else zero."""
    radii = ase.data.covalent_radii[numbers]
    sums = radii[:, None] + radii
    return np.where((distances < 1.3 * sums) & ~np.eye(len(numbers), dtype=bool), sums, 0.0)


def distance_vector(molecule: Molecules) -> Tensor:
    """[atoms (atoms - 1) / 2] interatomic distances in bohr, the same for every orientation and position."""
    return torch.pdist(molecule.positions.double())


def drop_duplicates(frames: list[Frame], threshold: float) -> list[Frame]:
    """Of frames whose interatomic distances differ by less than ``threshold`` (bohr, rms) only the first is kept."""
    kept: list[Frame] = []
    seen: dict[tuple, list[Tensor]] = {}
    for frame in frames:
        vectors = seen.setdefault(tuple(frame.molecule.numbers.tolist()), [])
        new = distance_vector(frame.molecule)
        if not vectors or (torch.stack(vectors) - new).square().mean(1).min() >= threshold**2:
            vectors.append(new)
            kept.append(frame)
    return kept


def read(path: Path) -> list[Frame]:
    """The frames of an xyz or extxyz file (Angstrom), each checked; `trajectory`, `temperature` and `name`
    (conformer=...) from the comment line if there.

    Raises `GeometryError` and `molecules.MoleculeError`, see `frames.xyz.read`.
    """
    return [Frame(found.molecule, found.trajectory, found.temperature, found.about.get("conformer", "")) for found in xyz.read(path)]


def _quoted(text: str) -> str:
    """As it stands between single quotes in a comment line of extxyz."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


def header(path: Path) -> dict | None:
    """What `write` said of the file (format version, units, settings); None if it is not one of ours."""
    text = xyz.read(path)[0].about.get("header", "")
    return json.loads(text.removeprefix("_JSON ")) if text.startswith("_JSON ") else None


def write(path: Path, frames: Iterable[Frame], settings: dict) -> None:
    """Extended xyz, Angstrom, 10 decimals, with names, and masses (u) where a frame has isotopes; the first comment line has the header.

    All or nothing: a temporary file is renamed.
    """
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "densnet": densnet.__version__,
             "units": {"positions": "Angstrom", "temperature": "K"}, "settings": settings}  # fmt: skip
    lines = []
    for i, frame in enumerate(frames):
        first = " header='_JSON " + _quoted(json.dumps(about)) + "'" if i == 0 else ""
        name = f" conformer={json.dumps(frame.name, ensure_ascii=False)}" if frame.name else ""
        lines += lines_of(frame.molecule, f"trajectory={frame.trajectory} temperature={frame.temperature:g}{name}{first}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, "\n".join(lines) + "\n")
