"""The models that come with the package: what they are made for, level of their labels, errors on frames that no training saw."""

from __future__ import annotations

from typing import Any

from densnet import files
from densnet.artefacts.run import level_words
from densnet.model import shipped
from densnet.model.predictor import Predictor, load
from densnet.molecules import SYMBOLS, in_hills_order


def card(name: str) -> dict[str, Any]:
    """As benchmarks/models.py wrote it.

    ``model``: SHA-256 of the file that was judged; ``commit``; ``energy``, hartree, of the first conformer that ships (of ``molecule``,
    where the model is named after none); ``errors`` by frame list.
    """
    return files.read_json(shipped.find(name).with_suffix(".json"))


def catalogue() -> list[dict[str, Any]]:
    """Of each shipped model: name, elements, compositions, level, megabytes, frames of its training, what it gives, errors (see `card`)."""
    return [_entry(name, load(name), card(name)) for name in shipped.names()]


def _entry(name: str, model: Predictor, known: dict[str, Any]) -> dict[str, Any]:
    optional = {"polarizability": model.response_network, "uncertainty": model.uncertainty}
    gives = ["density", "dipole", "energy", "forces", *(name for name, part in optional.items() if part is not None)]
    return {
        "name": name,
        "elements": [SYMBOLS[number] for number in sorted(model.basis.elements)],
        "compositions": sorted(map(in_hills_order, model.provenance["coverage"])),
        "level": level_words(model.provenance["level"]),
        "megabytes": round(shipped.find(name).stat().st_size / 1e6, 2),
        "training_frames": model.provenance["training_frames"],
        "gives": gives,
        "errors": known["errors"],
    }
