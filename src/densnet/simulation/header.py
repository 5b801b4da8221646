"""What the header of a run says of it: the format of its files, whether they are one run's, and which trajectories they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


BEGINS = ("provenance", "numbers", "start")
"""What makes a run besides its settings: where its forces are from, its elements, a hash of its start geometries."""


def differences(one: dict, other: dict) -> dict[str, tuple[Any, Any]]:
    """What decides the result and is not the same in two headers, settings or one of `BEGINS`: by name both values."""
    settings = [name for name in SimulateSettings.model_fields if name not in SimulateSettings.incidental()]
    pairs = {name: tuple(header["settings"].get(name) for header in (one, other)) for name in settings}
    pairs |= {name: (one[name], other[name]) for name in BEGINS}
    return {name: (before, now) for name, (before, now) in pairs.items() if before != now}


def number(header: dict, replica: int) -> int:
    """What tells a ``replica`` of the run with this ``header`` from every other trajectory, also of other runs and of training data.

    A hash of the run, then the replica's place: below 2^52 and, unlike numbers that people give, above 2^16. It is the same when a run has
    gone on after an interruption, or is joined with others.
    """
    for part in header.get("joined", ()):
        if replica < (count := part["settings"]["replicas"]):
            return number(part, replica)
        replica -= count
    about = {name: header[name] for name in BEGINS}
    left_out = SimulateSettings.incidental()
    about["settings"] = {name: value for name, value in first_layout(header["settings"]).items() if name not in left_out}
    digest = files.sha256(json.dumps(about, sort_keys=True))
    return (int(digest[:9], 16) + 1 << 16) + replica
