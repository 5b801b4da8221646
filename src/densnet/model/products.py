"""Matrix products of compiled models: our own kernels in place of PyTorch's, and constant tables as sparse as they are.

The matrices are small (tens of rows and columns) and the tables of couplings nearly empty; products.cpp, next to this file, makes use of
both. It is compiled once for the processor and kept beside the models. The numbers are PyTorch's to rounding.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import warnings
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from densnet import files

SPARSE = 0.3
"""A constant matrix with at most this share of elements that are not zero is multiplied by these alone."""

FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")

SHIMS = {
    "product": "AOTITorchError aoti_torch_cpu_product(AtenTensorHandle, AtenTensorHandle, AtenTensorHandle*)",
    "sparse_product": "AOTITorchError aoti_torch_cpu_sparse_product"
    "(AtenTensorHandle, AtenTensorHandle, AtenTensorHandle, AtenTensorHandle, AtenTensorHandle*)",
}
"""Operations and the declarations of their C functions."""


def available() -> bool:
    """Whether compiled models call the functions here: on Linux, with a PyTorch that lets them."""
    return sys.platform == "linux" and torch.__version__ >= (2, 8)


def options() -> dict:
    """What AOTInductor must be told for a graph with our products."""
    return {"aot_inductor.custom_ops_to_c_shims": {op: [shim] for op, shim in zip(_operations(), SHIMS.values())}} if available() else {}


def identity() -> str:
    """Hash of the source and of what turns it into machine code."""
    return files.sha256(repr((_source(), FLAGS, torch.__version__, torch.backends.cpu.get_cpu_capability())))[:16]


def replace(graph: GraphModule) -> None:
    """Put our products in the place of the float32 ones in a traced graph, where ``meta["val"]`` of each node tells its type."""
    if not available():
        return
    aten, (product, sparse_product) = torch.ops.aten, _operations()
    known = _constants(graph)
    for node in list(graph.graph.nodes):
        if node.target not in (aten.mm.default, aten.bmm.default, aten.addmm.default) or node.kwargs:
            continue
        if node.meta["val"].dtype != torch.float32 or node.meta["val"].device.type != "cpu":
            continue
        *bias, a, b = node.args
        with graph.graph.inserting_before(node):
            if a in known and known[a].ndim == 2 and float((known[a] != 0).double().mean()) <= SPARSE:
                new = graph.graph.call_function(sparse_product, (*_compressed(graph, node.name, known[a]), b))
            else:
                if b in known and not known[b].is_contiguous():
                    b = _constant(graph, f"{node.name}_right", known[b].contiguous())
                new = graph.graph.call_function(product, (a, b))
            if bias:
                new = graph.graph.call_function(aten.add.Tensor, (new, bias[0]))
        node.replace_all_uses_with(new)
        graph.graph.erase_node(node)


def load(folder: Path) -> None:
    """Make our functions known to all libraries that are loaded after this; kept in ``folder``, compiled if they are not there.

    Raises RuntimeError with what the compiler says.
    """
    if not available():
        return
    path = folder / f"products-{identity()}.so"
    if not path.exists():
        _compile(path)
    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _compile(path: Path) -> None:
    from torch.utils.cpp_extension import include_paths, library_paths

    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as place:
        source, made = Path(place) / "products.cpp", Path(place) / "products.so"
        files.write_text(source, _source())
        folders = [*(f"-I{folder}" for folder in include_paths()), *(f"-L{folder}" for folder in library_paths())]
        command = [compiler(), *FLAGS, str(source), *folders, "-ltorch_cpu", "-o", str(made)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except OSError as error:
            raise RuntimeError(f"{compiler()}: {error.strerror}") from error
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{compiler()}: {error.stderr}") from error
        files.publish(made, path)


def compiler() -> str:
    """The C++ compiler: ``CXX``, or else g++."""
    return os.environ.get("CXX", "g++")


@cache
def _source() -> str:
    return resources.files("densnet.model").joinpath("products.cpp").read_text()


@cache
def _operations() -> tuple[torch._ops.OpOverload, torch._ops.OpOverload]:
    """Both products as operations of a graph; run by PyTorch unless they are compiled."""
    define = {"mutates_args": (), "device_types": "cpu", "tags": (torch.Tag.flexible_layout,)}

    @torch.library.custom_op("densnet::product", **define)
    def product(a: Tensor, b: Tensor) -> Tensor:
        return torch.matmul(a, b).contiguous()

    @torch.library.custom_op("densnet::sparse_product", **define)
    def sparse_product(start: Tensor, column: Tensor, value: Tensor, b: Tensor) -> Tensor:
        row = torch.arange(len(start) - 1).repeat_interleave(start.diff())
        return b.new_zeros(len(start) - 1, b.shape[1]).index_add(0, row, value.unsqueeze(1) * b[column])

    product.register_fake(lambda a, b: a.new_empty(*a.shape[:-1], b.shape[-1]))
    sparse_product.register_fake(lambda start, column, value, b: b.new_empty(len(start) - 1, b.shape[1]))
    return torch.ops.densnet.product.default, torch.ops.densnet.sparse_product.default


def _constants(graph: GraphModule) -> dict[Node, Tensor]:
    """Values of the constants in a graph and of views of them."""
    known: dict[Node, Tensor] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            known[node] = getattr(graph, node.target)
        elif _is_view(node) and node.all_input_nodes[0] in known:
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = node.target(*args, **kwargs)
    return known


def _is_view(node: Node) -> bool:
    """Whether a node looks at its only input in another shape, and does not write."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload) or len(node.all_input_nodes) != 1:
        return False
    schema = node.target._schema
    looks = node.target == torch.ops.aten.reshape.default or any(result.alias_info is not None for result in schema.returns)
    return looks and not schema.is_mutable


def _compressed(graph: GraphModule, name: str, matrix: Tensor) -> list[Node]:
    """Constants of a graph that hold a matrix in compressed rows: where each row starts, columns, values."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support")
        rows = matrix.contiguous().to_sparse_csr()
    parts = {"start": rows.crow_indices(), "column": rows.col_indices(), "value": rows.values()}
    return [_constant(graph, f"{name}_{part}", value.clone()) for part, value in parts.items()]


def _constant(graph: GraphModule, name: str, value: Tensor) -> Node:
    graph.register_buffer(name, value)
    return graph.graph.get_attr(name)
