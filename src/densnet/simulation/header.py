"""What the header of a run says of it: the format of its files, whether they are one run's, and which trajectories they hold."""

from __future__ import annotations

import json
from pathlib import Path

from densnet import files
from densnet.errors import DensnetError

FORMAT = 2
"""Of restarts and trajectories; before `HALF_STEPS` they had temperatures of velocities on the step, which read as unknown (NaN)."""

HALF_STEPS = 2
"""The first format with temperatures of half steps."""

ANY_TIME = ("checkpoint_every", "device", "threads", "block", "compile", "when_novel", "novel_frames", "novel_spacing_fs")
"""Settings that may differ when a run is continued: they do not touch what is recorded, but by rounding."""


class TrajectoryError(DensnetError):
    """A folder or file that cannot be read or continued; the message names it and the remedy."""


def check_format(header: dict, path: Path) -> None:
    """Raises `TrajectoryError`, naming ``path``, if its ``header`` is of a format that cannot be read."""
    if header["format"] > FORMAT:
        raise TrajectoryError(f"{path} was written by a newer densnet ({header['densnet']}); please upgrade densnet.")


def number(header: dict, replica: int) -> int:
    """What tells a ``replica`` of the run with this ``header`` from every other trajectory, also of other runs and of training data.

    A hash of the run, then the replica's place: below 2^52 and, unlike numbers that people give, above 2^16. It is the same when a run has
    gone on after an interruption.
    """
    about = {name: header[name] for name in ("provenance", "numbers", "start")}
    about["settings"] = {name: value for name, value in header["settings"].items() if name not in ANY_TIME}
    digest = files.sha256(json.dumps(about, sort_keys=True))
    return (int(digest[:9], 16) + 1 << 16) + replica
