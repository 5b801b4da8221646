"""Labels with the dispersion that is wanted: as they are, without any, or with D4, which their geometries alone decide."""

from __future__ import annotations

from dataclasses import replace

from densnet.dataset.dataset import Dataset, DatasetError, Label
from densnet.reference.dispersion import d4, has_parameters

CHOICES = ("as labelled", "none", "d4")


def with_dispersion(labels: Dataset, wanted: str) -> Dataset:
    """``labels`` whose energies and forces hold D4 ("d4"), no dispersion ("none"), or what they were made with ("as labelled").

    Nothing is computed anew but D4 itself. Raises `DatasetError` for labels that do not state their functional or lack energy or forces.
    """
    if wanted not in CHOICES:
        raise DatasetError(f"dispersion = {wanted!r} is unknown; it must be one of {', '.join(map(repr, CHOICES))}.")
    if wanted == "as labelled":
        return labels
    return Dataset(_changed(label, wanted) for label in labels)


def _changed(label: Label, wanted: str) -> Label:
    has = label.level.get("dispersion", "none")
    if has == wanted:
        return label
    known = label.properties
    if known.energy is None or known.forces is None:
        raise DatasetError(f"{label.source} has frames without energy or forces, which dispersion = {wanted!r} changes; omit them.")
    rest = {key: value for key, value in label.level.items() if key != "dispersion"}
    if wanted == "none":
        return replace(label, properties=known.with_dispersion(None), level=rest)
    functional = rest.get("xc")
    if functional is None or not has_parameters(functional):
        raise DatasetError(f"{label.source}: D4 has no parameters for the functional {functional!r}; set dispersion to 'as labelled'.")
    return replace(label, properties=known.with_dispersion(d4(known.molecules, functional)), level={**rest, "dispersion": "d4"})
