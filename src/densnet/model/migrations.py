"""From the headers of older model files to that of today, one format at a time. A step that is here stays for ever."""

from __future__ import annotations

from typing import Any

OLDEST, NEWEST = 2, 3
"""Formats that are read, and the one that is written. Format 1 was of networks that exist no more."""


def upgraded(header: dict[str, Any]) -> dict[str, Any]:
    """A ``header`` of format `OLDEST` or later as it would be in format `NEWEST`."""
    for version in range(header["format"], NEWEST):
        header = STEPS[version](header)
    return header


def _architecture_by_parts(header: dict[str, Any]) -> dict[str, Any]:
    """2 -> 3: each network with its kind, settings and plain constants."""
    header = dict(header)
    settings = header.pop("settings")
    constants = {"reference": header.pop("reference_energies"), "scale": header.pop("energy_scale")}
    kind = "equivariant message passing"
    density = {"kind": kind, "settings": settings["density"]}
    energy = {"kind": kind, "settings": settings["energy"], "constants": constants}
    return {**header, "format": 3, "architecture": {"density": density, "energy": energy, "response": None}}


STEPS = {2: _architecture_by_parts}
