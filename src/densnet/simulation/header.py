"""What the header of a run says of it: the format of its files, whether they are one run's, and which trajectories they hold."""

from __future__ import annotations

import json
from pathlib import Path

from densnet import files
from densnet.errors import DensnetError
from densnet.simulation.ensembles import CLASSICAL
from densnet.simulation.settings import SimulateSettings, first_layout

FORMAT = 3
"""Of restarts and trajectories, see `upgraded`."""


class TrajectoryError(DensnetError):
    """A folder or file that cannot be read or continued; the message names it and the remedy."""


def upgraded(header: dict, path: Path) -> dict:
    """The ``header`` of the files in ``path``, of any format, as one of the newest; `TrajectoryError` if a newer densnet wrote it.

    1  temperatures of velocities on the step, which read as unknown (NaN)
    2  temperatures of half steps
    3  says which with ``half_steps``, because a run begun by an older densnet goes on as it began; settings of the ensemble in a section
    """
    if header["format"] > FORMAT:
        raise TrajectoryError(f"{path} was written by a newer densnet ({header['densnet']}); please upgrade densnet.")
    if header["format"] < 3:
        header = {**header, "half_steps": header["format"] == 2}
    return {"nuclei": CLASSICAL, **header, "settings": SimulateSettings.upgraded(header["settings"])}


def number(header: dict, replica: int) -> int:
    """What tells a ``replica`` of the run with this ``header`` from every other trajectory, also of other runs and of training data.

    A hash of the run, then the replica's place: below 2^52 and, unlike numbers that people give, above 2^16. It is the same when a run has
    gone on after an interruption.
    """
    about = {name: header[name] for name in ("provenance", "numbers", "start")}
    left_out = SimulateSettings.incidental()
    about["settings"] = {name: value for name, value in first_layout(header["settings"]).items() if name not in left_out}
    digest = files.sha256(json.dumps(about, sort_keys=True))
    return (int(digest[:9], 16) + 1 << 16) + replica
