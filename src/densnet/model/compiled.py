"""A predictor as machine code: its arithmetic for one shape of batch, traced once, compiled ahead of time, kept on disk.

Energy, backward pass through both networks, dipole and density become one straight list of tensor operations (`make_fx`), which
AOTInductor turns into a library, matrix products excepted (`products`). The numbers are the predictor's own to rounding; nothing needs
the library but speed.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import densnet
from densnet import files
from densnet.model import products
from densnet.model.forces import Ask, MolecularFunction, with_forces
from densnet.model.library import Library, LibraryError
from densnet.model.predictor import ModelError
from densnet.molecules import Molecules, Neighbours
from densnet.properties import Properties
from densnet.settings import cores
from densnet.threads import one_thread

SPARE = 4
"""Places for neighbours beyond the most that an atom has when a library is made."""

FOREIGN = b"aoti_torch_proxy_executor_call_function"
"""In a library that calls back into PyTorch for operations without a C interface, which `Library` does not serve."""


class CompilationError(LibraryError):
    """The library cannot be made here; the message says why and that it can be left out."""


class Compiled:
    """An energy function (`Predictor`, or any other) for batches of the composition of ``like``, as machine code; a force function.

    With ``ask``, any other function of molecules and how it is asked.

    The library is looked for in ``folder`` (`library_folder` unless given), made if it is not there (one to a few minutes, told by
    ``announce``), and found again by its name: a hash of model, composition, number of neighbours, torch and processor. Several threads
    may call it at once. Raises `CompilationError`, and `ModelError` for other molecules than those it is made for.
    """

    def __init__(
        self,
        energy: MolecularFunction,
        like: Molecules,
        folder: Path | None = None,
        announce: Callable[[str], None] = lambda text: None,
        ask: Ask = with_forces,
    ):
        self.energy, self.like, self.ask = energy, like, ask
        self.folder = folder or library_folder()
        self.announce = announce
        self.lock, self.width = threading.Lock(), 0
        neighbours = energy.neighbours_of(like)
        self.template = ask(energy, like, neighbours)
        self._prepare(neighbours)

    @classmethod
    def made_before(cls, energy: MolecularFunction, like: Molecules, folder: Path | None = None) -> Compiled | None:
        """As the constructor if the library is there already, else None."""
        try:
            folder = folder or library_folder()
        except CompilationError:
            return None
        path, _ = _place(energy, like, energy.neighbours_of(like), folder)
        return cls(energy, like, folder) if os.path.exists(path) else None

    def __call__(self, molecules: Molecules) -> Properties:
        if not torch.equal(molecules.numbers, self.like.numbers) or molecules.count != self.like.count:
            made = f"{self.like.count} molecules of {len(self.like.numbers)} atoms together"
            raise ModelError(f"this model is compiled for {made}, not for {molecules.count} of {len(molecules.numbers)}; compile another.")
        neighbours = self.energy.neighbours_of(molecules)
        with self.lock:
            if neighbours.sender.shape[1] > self.width:
                self._prepare(neighbours)
            width, library = self.width, self.library
        positions = molecules.positions.to(self.like.positions)
        found = library(positions, *_widened(neighbours, width))
        return self.template.with_tensors(molecules, dict(zip(self.template.tensors(), found, strict=True)))

    @one_thread()
    def _prepare(self, neighbours: Neighbours) -> None:
        """The library for tables as wide as ``neighbours``, from disk or new."""
        molecules, (path, width) = self.like, _place(self.energy, self.like, neighbours, self.folder)
        if not os.path.exists(path):  # unlike Path.exists, False in a folder that may not be looked into
            self.announce(f"compiling the model for {molecules.count} x {len(molecules.numbers) // molecules.count} atoms, once ...")
            if molecules.positions.device.type != "cpu":
                raise CompilationError(f"models are compiled for the CPU, not for {molecules.positions.device}; run without compiling.")
            arguments = (molecules.positions.detach(), *_widened(neighbours, width))
            with torch.no_grad():
                graph = traced(arithmetic(self.energy, molecules, self.ask), arguments)
            build(graph, arguments, path)
        self.library, self.width = Library(path, runners=cores()), width


@one_thread()
def _place(energy: MolecularFunction, molecules: Molecules, neighbours: Neighbours, folder: Path) -> tuple[Path, int]:
    """The library for tables as wide as ``neighbours``, and how wide the tables are that it takes."""
    width = neighbours.sender.shape[1]
    width = width if width + 1 >= int(molecules.sizes.max()) else width + SPARE
    return folder / f"{_identity(energy, molecules, width)}.so", width


def compiler_found() -> bool:
    """Whether there is the C++ compiler that compiling a model needs: ``CXX``, or else g++."""
    return shutil.which(products.compiler()) is not None


def library_folder() -> Path:
    """Where libraries are kept: ``DENSNET_CACHE``, or ``densnet`` in the user's cache folder (XDG). Raises `CompilationError`."""
    if own := os.environ.get("DENSNET_CACHE"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "densnet"
    except RuntimeError as error:
        raise CompilationError("HOME, where compiled models are kept, is not set; set DENSNET_CACHE, or run without compiling.") from error


def arithmetic(
    energy: MolecularFunction, like: Molecules, ask: Ask = with_forces
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]:
    """(positions, sender, absent) -> all that is known when asked, in the order of the table of `Properties`: what is traced."""

    def run(positions: Tensor, sender: Tensor, absent: Tensor) -> tuple[Tensor, ...]:
        return tuple(ask(energy, like.at(positions), Neighbours(sender, absent)).tensors().values())

    return run


def traced(function: Callable, arguments: tuple) -> torch.fx.GraphModule:
    """``function`` as a graph of tensor operations, derivatives included, with numbers for what no argument reaches.

    What the function remembers from call to call (tables) is not part of the graph, because it is called once before. Views become
    reshapes: the strides that a view was legal for are not those that the compiler chooses.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    function(*arguments)
    graph = make_fx(function)(*arguments)
    _fold(graph)
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
    graph.graph.eliminate_dead_code()
    return torch.fx.GraphModule(graph, graph.graph)  # takes along only the constants that are still in use


@torch.no_grad()
def _fold(graph: torch.fx.GraphModule) -> None:
    """Work out what depends on constants alone: weights picked by element, tables times their scale.

    Views and fills stay operations, because they cost nothing. A graph that writes into tensors stays as it is.
    """
    nodes = list(graph.graph.nodes)
    if any(isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable for node in nodes):
        return
    known: dict[torch.fx.Node, object] = {}
    for node in nodes:
        if node.op == "get_attr":
            known[node] = getattr(graph, node.target)
        elif node.op == "call_function" and all(given in known for given in node.all_input_nodes):
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*args, **kwargs)
    standing = {node for node in nodes if node not in known}
    for node in reversed(nodes):
        if node.op == "get_attr" or node in standing or not standing.intersection(node.users):
            continue
        if _is_free(known[node], [known[given] for given in node.all_input_nodes]):
            standing.add(node)
            continue
        name = f"folded_{node.name}"
        graph.register_buffer(name, known[node])
        with graph.graph.inserting_before(node):
            node.replace_all_uses_with(graph.graph.get_attr(name))


def _is_free(value: object, sources: list) -> bool:
    """Whether ``value`` is a view of one of ``sources``, several values, or made of nothing."""
    if not (torch.is_tensor(value) and sources):
        return True
    places = [source.untyped_storage().data_ptr() for source in sources if torch.is_tensor(source)]
    return len(places) < len(sources) or value.untyped_storage().data_ptr() in places


def build(graph: torch.fx.GraphModule, arguments: tuple, path: Path) -> None:
    """Compile a graph made by `traced` into the library ``path``, which appears only when it is whole. Raises `CompilationError`."""
    import torch._inductor as inductor

    if not compiler_found():
        raise CompilationError("compiling a model needs a C++ compiler (g++), and none was found; install one, or run without compiling.")
    products.replace(graph)
    for node in graph.graph.nodes:
        node.meta = {}  # each holds a fake tensor of a mode of its own, which the compiler refuses to mix
    graph = torch.fx.GraphModule(graph, graph.graph)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path.parent) as folder, torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"aot_inductor.output_path": f"{folder}/model.so", **products.options()}
            made = Path(inductor.aot_compile(graph, arguments, options=options))
            if FOREIGN in made.read_bytes():
                raise RuntimeError("an operation that has no C interface")
            files.publish(made, path)
    except (RuntimeError, OSError) as error:
        raise CompilationError(f"compiling the model failed ({str(error).splitlines()[0]}); run without compiling.") from error


def surroundings() -> list[str | int]:
    """What a library depends on besides what it computes: versions, processor, threads."""
    return [densnet.__version__, torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), products.identity()]


def _widened(neighbours: Neighbours, width: int) -> tuple[Tensor, Tensor]:
    """Table and mask with ``width`` columns."""
    sender, absent = neighbours.sender, neighbours.absent
    absent = torch.zeros_like(sender, dtype=torch.bool) if absent is None else absent
    beyond = width - sender.shape[1]
    if not beyond:
        return sender, absent
    own = torch.arange(len(sender), device=sender.device).unsqueeze(1).expand(-1, beyond)
    return torch.cat([sender, own], dim=1), torch.nn.functional.pad(absent, (0, beyond), value=True)


def _identity(energy: MolecularFunction, molecules: Molecules, width: int) -> str:
    """Hash of all that a library depends on, the source of the model among it."""
    about = {
        "numbers": molecules.numbers.tolist(),
        "count": molecules.count,
        "charge": molecules.net_charge.tolist(),
        "width": width,
        "machine": [str(molecules.positions.device), str(molecules.positions.dtype), *surroundings()],
    }
    package = Path(densnet.__file__).parent
    own = ("symmetry.py", "molecules.py", "properties.py")
    source = sorted([*(package / name for name in own), *package.glob("model/*.py"), *package.glob("density/*.py")])
    return files.sha256(json.dumps(about, sort_keys=True), energy.fingerprint(), *(path.read_bytes() for path in source))[:24]
