"""Frames that a simulation left because the model was unsure of them, for `densnet label`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from densnet import units
from densnet.molecules import Molecules, isotopologue
from densnet.reference.geometries import Frame, write
from densnet.simulation.novelty import marked_share, worth_a_label
from densnet.simulation.run import SimulateSettings, SimulationStopped, read_trajectory
from densnet.simulation.trajectory import Trajectory


@contextmanager
def keeping_uncertain(folder: Path, settings: SimulateSettings, tell: Callable[[str], None]) -> Iterator[None]:
    """`keep_uncertain` after a simulation that ended, stopped or was interrupted; not after one that could not be in ``folder``."""
    try:
        yield
    except (SimulationStopped, KeyboardInterrupt):
        keep_uncertain(folder, settings, tell)
        raise
    keep_uncertain(folder, settings, tell)


def keep_uncertain(folder: Path, settings: SimulateSettings, tell: Callable[[str], None]) -> None:
    """``uncertain.extxyz`` in the ``folder`` of a run, finished or stopped: marked frames to be labelled; ``tell`` says how many.

    How many and how far apart is chosen by ``settings``; everything else is what the run says of itself.
    """
    if not (folder / "trajectory.h5").exists() or not (told := expected_errors(found := read_trajectory(folder, motion=False))):
        return
    tell(
        f"expected errors: energy {told['energy_meV']:.2f} meV, dipole {told['dipole_mD']:.1f} mD; "
        f"{told['flagged_percent']:.3g} % of the samples are flagged"
    )
    if found.quantum_kinetic is not None and found.marked.any():
        tell("no frames are kept for labelling: positions of ring polymers are centroids, not the beads of which the model is uncertain")
        return
    chosen, file = worth_a_label(found, settings.novel_frames, settings.novel_spacing_fs), folder / "uncertain.extxyz"
    if not chosen:
        file.unlink(missing_ok=True)
        return
    places, temperature = read_trajectory(folder).positions, found.settings["temperature"]
    start = Molecules.single(found.numbers, places[0, 0].double(), found.masses)
    isotopes = found.masses if isotopologue(start) else None
    frames = [Frame(Molecules.single(found.numbers, places[r, s].double(), isotopes), found.number(r), temperature) for r, s in chosen]
    write(file, frames, found.settings | settings.model_dump(mode="json", include={"novel_frames", "novel_spacing_fs"}))
    tell(f"{len(frames)} frames of {told['flagged_replicas']} replicas to be labelled: {file}")


def expected_errors(run: Trajectory) -> dict:
    """What the model expects of its errors along a trajectory, means; share of the samples beyond ``novelty_limit``; empty if unknown."""
    if (share := marked_share(run)) is None:
        return {}
    return {
        "energy_meV": float(run.energy_uncertainty.mean()) / units.MEV,
        "dipole_mD": 1000 * float(run.dipole_uncertainty.mean()) / units.DEBYE,
        "flagged_percent": 100 * share[0],
        "flagged_replicas": share[1],
    }
