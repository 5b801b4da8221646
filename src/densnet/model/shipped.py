"""The models that come with the package: name -> file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

_FOLDER = files("densnet") / "data" / "models"


def names() -> list[str]:
    """Names of the shipped models, in alphabetical order."""
    return sorted(p.name.removesuffix(".safetensors") for p in _FOLDER.iterdir() if p.name.endswith(".safetensors"))


def find(model: str | Path) -> Path:
    """The file that ``model`` means: an existing file, or else a shipped model of that name. Raises FileNotFoundError naming both."""
    path = Path(model)
    if path.is_file():
        return path
    if str(model) in names():
        return Path(str(_FOLDER / f"{model}.safetensors"))
    known = ", ".join(names()) or "none"
    raise FileNotFoundError(f"model {model} is neither a file nor the name of a shipped model ({known}).")


GENERAL = "organic"
"""Name of the model of small organic molecules that runs of other molecules start from."""


def of_molecules() -> list[str]:
    """Names of the shipped models that are each of one molecule, and named after it."""
    return [name for name in names() if name != GENERAL]
