"""When a replica leaves what the model knows: a warning, maybe the end of the run; and the frames worth a label."""

from __future__ import annotations

from collections.abc import Callable

import torch

from densnet import units
from densnet.simulation.integrators import State
from densnet.simulation.trajectory import Trajectory
from densnet.simulation.watch import SimulationStopped

Announce = Callable[[str], None]


class Novelty:
    """Looks at samples of a run and tells ``announce``, once, of the first replica whose novelty exceeds ``limit``.

    With ``stop`` it raises `SimulationStopped` instead. Silent where the force function knows nothing of its errors.
    """

    def __init__(self, limit: float, timestep: float, announce: Announce, *, stop: bool):
        self.limit, self.timestep, self.announce, self.stop = limit, timestep, announce, stop
        self.told = False

    def __call__(self, state: State) -> None:
        """Looks at ``state``; one transfer from the device."""
        if state.uncertainty is None or self.told or float(state.uncertainty.novelty.max()) <= self.limit:
            return
        self.told = True
        known = state.uncertainty
        replica = int(known.novelty.argmax())
        novelty, energy, dipole = (float(values[replica]) for values in (known.novelty, known.energy, known.dipole))
        moment = f"at step {state.step} ({state.step * self.timestep / units.FEMTOSECOND:.1f} fs)"
        text = (
            f"replica {replica} left the range of the training data {moment}: expected errors {energy / units.MEV:.2f} meV in energy and "
            f"{1000 * dipole / units.DEBYE:.1f} mD in dipole, {novelty:.1f} times the limit from the validation frames "
            f"(`novelty_limit` is {self.limit:g})."
        )
        if self.stop:
            raise SimulationStopped(f"{text} Try a lower `temperature`, or label such frames and train the model on them.")
        self.announce(f"{text} Such samples are flagged.")


def worth_a_label(trajectory: Trajectory, most: int, spacing: float) -> list[tuple[int, int]]:
    """(replica, sample) of at most so many marked samples, the most novel first, those of a replica at least ``spacing`` (fs) apart."""
    if trajectory.novelty is None or not trajectory.marked.any():
        return []
    gap = spacing * units.FEMTOSECOND / trajectory.sample_step
    kept: list[tuple[int, int]] = []
    rows, columns = trajectory.marked.nonzero(as_tuple=True)
    order = trajectory.novelty[rows, columns].argsort(descending=True, stable=True)
    for replica, sample in zip(rows[order].tolist(), columns[order].tolist()):
        if len(kept) == most:
            break
        if all(r != replica or abs(s - sample) >= gap for r, s in kept):
            kept.append((replica, sample))
    return kept


def marked_share(trajectory: Trajectory) -> tuple[float, int] | None:
    """Share of the samples that are marked, and how many replicas have one; None where nothing is known of errors."""
    if trajectory.novelty is None:
        return None
    marked = trajectory.marked
    return float(marked.double().mean()), int(torch.count_nonzero(marked.any(1)))
