"""The temperature that a run was set to, and the one that it had."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite


@dataclass(frozen=True)
class Realised:
    """A temperature that was ``asked`` for, the ``mean`` over replicas and time, and its standard ``error`` over replicas, all in K.

    The error is None for a single replica. ``of`` says of what it is the temperature.
    """

    asked: float
    mean: float
    error: float | None
    of: str = ""

    @property
    def differs(self) -> bool:
        """Whether the difference is more than chance: three standard errors, 0.3 % of equilibrated runs."""
        return self.error is not None and abs(self.mean - self.asked) > 3 * self.error

    def __str__(self) -> str:
        if not isfinite(self.mean):
            return f"temperature{self.of} not known (set: {self.asked:g} K), as an older densnet measured it on the step"
        error = "" if self.error is None else f" +- {self.error:.1f}"
        text = f"temperature{self.of} {self.mean:.1f}{error} K (set: {self.asked:g} K)"
        return text + (", which is more than chance: thermalise longer, and look at the drift of the energy" if self.differs else "")
