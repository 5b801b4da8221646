"""A predictor as machine code: its arithmetic for one shape of batch, traced once, compiled ahead of time, kept on disk.

Energy, backward pass through both networks, dipole and density become one straight list of tensor operations (`make_fx`), which
AOTInductor turns into a library. The numbers are the predictor's own to rounding; nothing needs the library but speed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import densnet
from densnet.density.expansion import Density
from densnet.model.predictor import Predictor
from densnet.molecules import Molecules, Neighbours
from densnet.properties import Properties, Uncertainty

SPARE = 4
"""Places for neighbours beyond the most that an atom has when a library is made."""


class CompilationError(RuntimeError):
    """The library cannot be made here; the message says why and that it can be left out."""


class Compiled:
    """`Predictor` for batches of the composition of ``like``, as machine code; a force function.

    The library is looked for in ``folder`` (`library_folder` unless given), made if it is not there (one to a few minutes, told by
    ``announce``), and found again by its name: a hash of model, composition, number of neighbours, torch and processor.
    """

    def __init__(
        self, predictor: Predictor, like: Molecules, folder: Path | None = None, announce: Callable[[str], None] = lambda text: None
    ):
        self.predictor, self.like = predictor, like
        self.folder = folder or library_folder()
        self.announce = announce
        self.width = 0
        self._prepare(predictor.neighbours_of(like))

    def __call__(self, molecules: Molecules) -> Properties:
        neighbours = self.predictor.neighbours_of(molecules)
        if neighbours.sender.shape[1] > self.width:
            self._prepare(neighbours)
        sender, absent = _widened(neighbours, self.width)
        energy, forces, dipole, coefficients, exponents, *uncertainty = self.library(molecules.positions, sender, absent)
        density = Density(molecules, self.predictor.basis, coefficients, exponents)
        return Properties(molecules, energy, forces, dipole, density, uncertainty=Uncertainty(*uncertainty) if uncertainty else None)

    def _prepare(self, neighbours: Neighbours) -> None:
        """The library for tables as wide as ``neighbours``, from disk or new."""
        molecules, width = self.like, neighbours.sender.shape[1]
        self.width = width if width + 1 >= int(molecules.sizes.max()) else width + SPARE
        path = self.folder / f"{_identity(self.predictor, molecules, self.width)}.pt2"
        if not path.exists():
            self.announce(f"compiling the model for {molecules.count} x {len(molecules.numbers) // molecules.count} atoms, once ...")
            _build(self.predictor, molecules, _widened(neighbours, self.width), path)
        self.library = _load(path)


def library_folder() -> Path:
    """Where libraries are kept: ``DENSNET_CACHE``, or ``densnet`` in the user's cache folder (XDG)."""
    own = os.environ.get("DENSNET_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "densnet"


def arithmetic(predictor: Predictor, like: Molecules) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]:
    """(positions, sender, absent) -> energy, forces, dipole, coefficients, exponents, and their uncertainty if any: what is traced."""

    def run(positions: Tensor, sender: Tensor, absent: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            molecules = like.at(positions.detach().requires_grad_())
            found = predictor.without_forces(molecules, Neighbours(sender, absent))
            (slope,) = torch.autograd.grad(found.energy.sum(), molecules.positions)
        known = found.uncertainty
        uncertainty = () if known is None else (known.energy, known.dipole, known.novelty)
        parts = (found.energy, -slope, found.dipole, found.density.coefficients, found.density.exponents, *uncertainty)
        return tuple(t.detach() for t in parts)

    return run


def traced(function: Callable, arguments: tuple) -> torch.fx.GraphModule:
    """``function`` as a graph of tensor operations, derivatives included.

    Views become reshapes, because the strides that a view was legal for are not those that the compiler chooses.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(function)(*arguments)
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _build(predictor: Predictor, molecules: Molecules, table: tuple[Tensor, Tensor], path: Path) -> None:
    """Compile into ``path``, which appears only when it is whole."""
    import torch._inductor as inductor

    if shutil.which(os.environ.get("CXX", "g++")) is None:
        raise CompilationError("no C++ compiler (g++) is found, which compiling a model needs; install one, or run without compiling.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{os.getpid()}.part.pt2")
    arguments = (molecules.positions.detach(), *table)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(traced(arithmetic(predictor, molecules), arguments), arguments)
            inductor.aoti_compile_and_package(exported, package_path=str(part))
        os.replace(part, path)
    except (RuntimeError, OSError) as error:
        raise CompilationError(f"compiling the model failed ({str(error).splitlines()[0]}); run without compiling.") from error
    finally:
        part.unlink(missing_ok=True)


def _load(path: Path) -> Callable[..., tuple[Tensor, ...]]:
    """The library in ``path``; as many threads as there are cores may be in it at once."""
    from torch._inductor.package import load_package

    return load_package(str(path), num_runners=os.cpu_count() or 1)


def _widened(neighbours: Neighbours, width: int) -> tuple[Tensor, Tensor]:
    """Table and mask with ``width`` columns."""
    sender, absent = neighbours.sender, neighbours.absent
    absent = torch.zeros_like(sender, dtype=torch.bool) if absent is None else absent
    beyond = width - sender.shape[1]
    if not beyond:
        return sender, absent
    own = torch.arange(len(sender), device=sender.device).unsqueeze(1).expand(-1, beyond)
    return torch.cat([sender, own], dim=1), torch.nn.functional.pad(absent, (0, beyond), value=True)


def _identity(predictor: Predictor, molecules: Molecules, width: int) -> str:
    digest = hashlib.sha256()
    energy = predictor.energy_network
    about = {
        "settings": predictor.settings.model_dump(),
        "basis": predictor.basis.fingerprint,
        "reference": [energy.reference, energy.scale],
        "uncertainty": None if predictor.uncertainty is None else predictor.uncertainty.header(),
        "numbers": molecules.numbers.tolist(),
        "count": molecules.count,
        "width": width,
        "versions": [densnet.__version__, torch.__version__],
        "machine": [str(predictor.device), str(predictor.dtype), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()],
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(predictor.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
