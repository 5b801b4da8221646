"""Trajectories as they are read: replicas of one molecule in atomic units, from the H5MD file of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from densnet import units
from densnet.markup import facts, shown
from densnet.molecules import Molecules, formula_of
from densnet.simulation import h5md
from densnet.simulation.header import TrajectoryError, number
from densnet.simulation.temperature import Realised


@dataclass(frozen=True)
class Trajectory:
    """Replicas of one molecule, sampled at equal intervals from step 0 of production; atomic units, temperatures in K.

    numbers      [atoms] int64          masses [atoms] float64, electron masses
    positions    [replicas, samples, atoms, 3] bohr; None if not asked for
    velocities   [replicas, samples, atoms, 3] bohr hartree / hbar; None if not asked for
    known        [replicas, samples, ...] atomic units, what the force function knew of each molecule, by the names of `Properties.table`
    kinetic      [replicas, samples] hartree, on the step
    conserved    [replicas, samples] hartree, potential + kinetic - heat from the thermostat, zero at step 0
    temperature  [replicas, samples] K, from the degrees of freedom that move, of the mean kinetic energy half a step before and after;
                 NaN in trajectories of an older densnet, which measured it on the step
    marked       [replicas, samples] bool, where the novelty exceeds `novelty_limit`; None if the force function knew nothing of its errors
    forces       [replicas, samples, atoms, 3] hartree / bohr; None if not asked for or not recorded
    quantum_kinetic       [replicas, samples] hartree, of quantum nuclei, see `RingPolymer.observe`; None if they are classical
    internal_temperature  [replicas, samples] K, of the internal modes of ring polymers; None if there are none
    time_step    of the integrator, hbar / hartree       sample_step between samples, hbar / hartree
    header       settings, provenance and versions; ``complete`` says whether the run reached its end
    """

    numbers: Tensor
    masses: Tensor
    positions: Tensor | None
    velocities: Tensor | None
    known: Mapping[str, Tensor]
    kinetic: Tensor
    conserved: Tensor
    temperature: Tensor
    time_step: float
    sample_step: float
    header: dict
    marked: Tensor | None = None
    forces: Tensor | None = None
    quantum_kinetic: Tensor | None = None
    internal_temperature: Tensor | None = None

    @property
    def dipole(self) -> Tensor | None:
        """[replicas, samples, 3] e bohr; None if the force function knew none."""
        return self.known.get("dipole")

    @property
    def polarizability(self) -> Tensor | None:
        """[replicas, samples, 3, 3] bohr^3; None if the force function knew none."""
        return self.known.get("polarizability")

    @property
    def potential(self) -> Tensor:
        """[replicas, samples] hartree, on the step."""
        return self.known["energy"]

    @property
    def energy_uncertainty(self) -> Tensor | None:
        """[replicas, samples] hartree, the error that the model expects; None if it knew nothing of its errors."""
        return self.known.get("uncertainty.energy")

    @property
    def dipole_uncertainty(self) -> Tensor | None:
        """[replicas, samples] e bohr, of a component, as `energy_uncertainty`."""
        return self.known.get("uncertainty.dipole")

    @property
    def novelty(self) -> Tensor | None:
        """[replicas, samples] as in `Uncertainty`; None if the force function knew nothing of its errors."""
        return self.known.get("uncertainty.novelty")

    @property
    def total(self) -> Tensor:
        """[replicas, samples] hartree, potential + kinetic."""
        return self.potential + self.kinetic

    @property
    def times(self) -> Tensor:
        """[samples] hbar / hartree, zero at the first sample."""
        return torch.arange(self.kinetic.shape[1], dtype=torch.float64) * self.sample_step

    @property
    def settings(self) -> dict:
        """The settings of the run."""
        return self.header["settings"]

    @property
    def realised(self) -> Realised:
        """The temperature that was set, and what it came to."""
        of = "" if self.internal_temperature is None else " of the centroid"
        return Realised(self.settings["temperature"], *_mean_and_error(self.temperature), of)

    @property
    def nuclei(self) -> str:
        """Classical, or quantum and how, in a few words."""
        return self.header["nuclei"]

    @property
    def method(self) -> str:
        """What the dynamics is to a spectrum: which nuclei, and what the correlation, in braces of what, is taken for."""
        if self.quantum_kinetic is None:
            return "classical dynamics, {} autocorrelation, harmonic (Kubo) quantum correction"
        return f"{self.settings['ensemble']['kind'].upper()}, {self.nuclei}, {{}} autocorrelation taken as Kubo-transformed"

    @property
    def quantum(self) -> str | None:
        """A sentence on quantum nuclei: the temperature of their internal modes, their kinetic energy; None if they are classical."""
        if self.quantum_kinetic is None:
            return None
        inner = Realised(self.settings["temperature"], *_mean_and_error(self.internal_temperature), " of internal modes")
        mean, error = _mean_and_error(self.quantum_kinetic)
        scatter = "" if error is None else f" +- {error / units.MEV:.2f}"
        return f"{self.nuclei}: kinetic energy {mean / units.MEV:.2f}{scatter} meV (centroid virial); {inner}"

    def _repr_html_(self) -> str:
        """In a notebook: what was run, and how it went."""
        replicas, samples = self.kinetic.shape
        molecule = Molecules.single(self.numbers, torch.zeros(len(self.numbers), 3), self.masses)
        drift = self.drift
        debye = None if self.dipole is None else _mean_and_error(self.dipole.norm(dim=2) / units.DEBYE)
        about = [
            ("replicas", replicas),
            ("length", f"{float(self.times[-1]) / units.PICOSECOND:.3g} ps each, {samples} samples"),
            ("time step", f"{self.time_step / units.FEMTOSECOND:.3g} fs, a sample every {self.sample_step / units.FEMTOSECOND:.3g} fs"),
            ("nuclei", self.header.get("nuclei")),
            ("temperature", str(self.realised).removeprefix("temperature ")),
            ("drift", f"{float(drift.mean()):.2g} meV/atom/ps, largest {float(drift.abs().max()):.2g}"),
            ("dipole", None if debye is None else f"{debye[0]:.4f} D{'' if debye[1] is None else f' ± {debye[1]:.4f}'}"),
            ("samples marked", None if self.marked is None else f"{100 * float(self.marked.double().mean()):.3g} %"),
        ]
        return shown(f"Trajectory of {formula_of(molecule)}", facts(about))

    def number(self, replica: int) -> int:
        """What tells this ``replica`` from every other trajectory, see `header.number`."""
        return number(self.header, replica)

    @property
    def drift(self) -> Tensor:
        """[replicas] slope of a straight line through the conserved energy, in meV per atom and ps (zero for a single sample)."""
        return drift(self.conserved, self.sample_step, len(self.numbers))


def _mean_and_error(values: Tensor) -> tuple[float, float | None]:
    """Of ``values`` [replicas, samples]; the standard error is that over replicas, None for a single one."""
    means = values.mean(1)
    return float(means.mean()), float(means.std()) / len(means) ** 0.5 if len(means) > 1 else None


def drift(conserved: Tensor, sample_step: float, atoms: int) -> Tensor:
    """[replicas] least-squares slope of ``conserved`` [replicas, samples] (hartree) in meV per atom and ps."""
    samples = conserved.shape[1]
    times = (torch.arange(samples, dtype=torch.float64) - (samples - 1) / 2) * sample_step
    slope = (conserved * times).sum(1) / times.square().sum().clamp(min=torch.finfo(times.dtype).tiny)
    return slope * units.PICOSECOND / units.MEV / atoms


def read_trajectory(path: Path, *, motion: bool = True, every: int = 1, replicas: Sequence[int] | None = None) -> Trajectory:
    """The trajectory in ``path`` (a ``trajectory.h5``, or the folder that holds one), in atomic units.

    ``motion=False`` leaves out positions and velocities, which need most of the memory; ``every`` takes one sample of so many; ``replicas``
    (numbers from 0) takes only these. Raises `TrajectoryError` for anything else.
    """
    path = Path(path)
    path = path / "trajectory.h5" if path.is_dir() else path
    with h5md.open_file(path) as file:
        try:
            header = h5md.header_of(file, path)
            groups, chosen, which = h5md.replicas_of(file), h5md.chosen(file, replicas), slice(None, None, every)
            found = {name: h5md.read(file["observables"], name, which) for name in file["observables"] if name in h5md.OBSERVABLES}
            found = {name: values.transpose(0, 1)[chosen] for name, values in found.items()}
            there = [name for name in h5md.MOTION if name in groups[0]] if motion else []
            moved = {name: torch.stack([h5md.read(groups[k], name, which) for k in chosen]) for name in there}
            masses = torch.as_tensor(groups[0]["mass"][()]) * units.AMU
        except KeyError as error:
            raise TrajectoryError(f"{path} is not a trajectory of densnet: {error.args[0]}.") from None
    time_step = header["settings"]["timestep_fs"] * units.FEMTOSECOND
    return Trajectory(
        numbers=torch.tensor(header["numbers"]),
        masses=masses,
        positions=moved.get("position"),
        velocities=moved.get("velocity"),
        known={name: found[column] for name, column in h5md.KNOWN.items() if column in found},
        kinetic=found["kinetic_energy"],
        conserved=found["conserved_energy"],
        temperature=found["temperature"] / units.KELVIN * (1 if header["half_steps"] else torch.nan),
        time_step=time_step,
        sample_step=time_step * header["settings"]["sample_every"] * every,
        header=header,
        forces=moved.get("force"),
        marked=found["marked"] > 0 if "marked" in found else None,
        quantum_kinetic=found.get("quantum_kinetic_energy"),
        internal_temperature=found["internal_temperature"] / units.KELVIN if "internal_temperature" in found else None,
    )
