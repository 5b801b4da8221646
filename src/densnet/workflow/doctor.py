"""What this machine has, what densnet will use of it, and what is missing: the findings of `densnet doctor`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

import densnet
from densnet import settings, units
from densnet.errors import DensnetError
from densnet.model import compiled, products, shipped
from densnet.model.predictor import load
from densnet.reference import geometries
from densnet.reference import shipped as molecules
from densnet.workflow.catalogue import card
from densnet.workflow.timing import hardware


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, what it means for the user; ``fine`` is False where densnet cannot work as it is."""

    subject: str
    found: str
    meaning: str = ""
    fine: bool = True


def examine() -> list[Finding]:
    """All findings, most important first."""
    return [*_versions(), *_machine(), *_folders(), *_models()]


def _versions() -> Iterator[Finding]:
    yield Finding("densnet", densnet.__version__, str(Path(densnet.__file__).parent))
    yield Finding("Python", sys.version.split()[0], sys.executable)
    for name, extra in sorted(_requirements(), key=lambda item: (item[1], item[0])):
        version = _version(name)
        if extra in ("test", "docs"):
            continue
        meaning = f"optional: pip install 'densnet[{extra}]'" if extra and version is None else ""
        yield Finding(name, version or "not installed", meaning, fine=bool(version or extra))


def _requirements() -> set[tuple[str, str]]:
    """(package, extra that asks for it, "" if none) of densnet."""
    found = set()
    for line in metadata.requires("densnet") or []:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        if name is not None:
            found.add((name[0], extra[1] if extra else ""))
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> Iterator[Finding]:
    usable, all_cores = settings.cores(), os.cpu_count()
    yield Finding("processor", hardware("cpu"))
    yield Finding("cores", f"{usable} of {all_cores}", "labels: one process each; dynamics: one thread each")
    if (threads := os.environ.get("OMP_NUM_THREADS")) not in (None, "1"):
        yield Finding("OMP_NUM_THREADS", threads, "may slow down the labels, which start a process a core; unset it, or set it to 1")
    yield Finding("memory", f"{_gigabytes('SC_PHYS_PAGES'):.1f} GB", "a label of ten atoms needs about 1 GB")
    if torch.cuda.is_available():
        yield Finding("GPU", hardware("cuda"), "used where `device = \"cuda\"` is set; see docs/speed.md")
    else:
        yield Finding("GPU", "none that PyTorch can use", "everything runs on the processor")
    yield _compiler()


def _gigabytes(pages: str) -> float:
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") / 1e9


def _compiler() -> Finding:
    if not compiled.compiler_found():
        return Finding("C++ compiler", "none", "dynamics runs uncompiled, several times slower; install g++, or set CXX")
    told = subprocess.run([products.compiler(), "--version"], capture_output=True, text=True).stdout
    return Finding("C++ compiler", (told.splitlines() or [products.compiler()])[0], "long dynamics is compiled for this processor")


def _folders() -> Iterator[Finding]:
    try:
        cache = compiled.library_folder()
    except compiled.CompilationError as error:
        yield Finding("compiled models", "no folder", str(error), fine=False)
    else:
        yield _writable("compiled models", cache, "set DENSNET_CACHE to a folder that can be written")
    yield _writable("temporary files", Path(tempfile.gettempdir()), "set TMPDIR to a folder that can be written")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Finding("disk", f"{free:.1f} GB free here", "" if free > 2 else "a run needs about 1 GB", fine=free > 0.1)


def _writable(subject: str, folder: Path, remedy: str) -> Finding:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return Finding(subject, str(folder))
    except OSError as error:
        return Finding(subject, str(folder), f"cannot be written ({error.strerror}); {remedy}", fine=False)


TOLERANCE = 0.01
"""meV: float32 arithmetic of another processor moves a molecule's energy by less."""


def _models() -> Iterator[Finding]:
    """Each shipped model gives, on this machine, the energy that it gave where it was judged."""
    for name in shipped.names():
        try:
            known = card(name)
            molecule = geometries.read(molecules.geometries(known.get("molecule", name)))[0].molecule
            away = (float(load(name).without_forces(molecule).energy[0]) - known["energy"]) / units.MEV
        except DensnetError as error:
            yield Finding(f"model {name}", "cannot be used", str(error), fine=False)
        else:
            right = abs(away) <= TOLERANCE
            meaning = "" if right else f"its energy is {away:+.3f} meV from the recorded one: PyTorch computes wrongly here; reinstall it"
            yield Finding(f"model {name}", "gives its recorded energy" if right else "WRONG", meaning, fine=right)
