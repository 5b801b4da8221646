"""The kernels of compiled models against PyTorch's products: every remainder of a tile, any strides; what becomes of a traced graph."""

import ctypes
import itertools
import shutil

import pytest
import torch
from torch._C import _aoti

from densnet.model import compiled, products
from densnet.model.library import _capsule, _pointer

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None or not products.available(), reason="needs Linux and a C++ compiler")


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """(name, *tensors) -> the tensor that the C function makes of them."""
    folder = tmp_path_factory.mktemp("products")
    products.load(folder)
    (path,) = folder.iterdir()
    library = ctypes.CDLL(str(path))

    def run(name, *tensors):
        handles = [ctypes.c_void_p(_pointer(x)) for x in _aoti.unsafe_alloc_void_ptrs_from_tensors(list(tensors))]
        result = ctypes.c_void_p()
        assert library[f"aoti_torch_cpu_{name}"](*handles, ctypes.byref(result)) == 0
        return _aoti.alloc_tensors_by_stealing_from_void_ptrs([_capsule(result.value)])[0]

    return run


def laid_out(x, order):
    """The same tensor with its dimensions in another order of memory."""
    back = [order.index(i) for i in range(x.ndim)]
    return x.permute(order).contiguous().permute(back)


@needs_compiler
@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 23])
@pytest.mark.parametrize("columns", [1, 9, 16, 31, 48, 64, 65, 115])
def test_products_of_all_sizes(call, rows, columns):
    for depth in (1, 5, 34):
        a, b = torch.randn(rows, depth), torch.randn(depth, columns)
        assert torch.allclose(call("product", a, b), a @ b, atol=1e-5)
        a, b = torch.randn(3, rows, depth), torch.randn(3, depth, columns)
        assert torch.allclose(call("product", a, b), a @ b, atol=1e-5)


@needs_compiler
def test_any_strides(call):
    a, b = torch.randn(4, 11, 6), torch.randn(4, 6, 37)
    exact = a @ b
    for first, second in itertools.product(itertools.permutations(range(3)), repeat=2):
        assert torch.allclose(call("product", laid_out(a, first), laid_out(b, second)), exact, atol=1e-5)
    assert torch.allclose(call("product", a[:1].expand(4, -1, -1), b), a[:1] @ b, atol=1e-5)
    assert torch.allclose(call("product", a[:, ::2, 1:], b[:, 1:, ::3]), a[:, ::2, 1:] @ b[:, 1:, ::3], atol=1e-5)


@needs_compiler
@pytest.mark.parametrize("columns", [1, 64, 70, 200])
def test_sparse_products(call, columns):
    a, b = torch.randn(13, 29) * (torch.rand(13, 29) < 0.2), torch.randn(29, columns)
    a[4] = 0.0
    graph = torch.fx.GraphModule({}, torch.fx.Graph())
    parts = [getattr(graph, node.target) for node in products._compressed(graph, "table", a)]
    by_pytorch = products._operations()[1]
    for x in (b, laid_out(b, [1, 0])):
        assert torch.allclose(call("sparse_product", *parts, x), a @ b, atol=1e-5)
        assert torch.allclose(by_pytorch(*parts, x), a @ b, atol=1e-5)


def test_a_graph_keeps_its_values_and_loses_its_zeros():
    table = torch.zeros(7, 20)
    table[torch.arange(7), torch.arange(7) * 2] = torch.arange(7.0)
    weight, bias = torch.randn(6, 5), torch.randn(6)

    def function(x):
        mixed = torch.nn.functional.linear(x, weight, bias)
        return torch.bmm((table @ mixed).expand(2, -1, -1), mixed.T.expand(2, -1, -1)), x.double() @ weight.T.double()

    x, other = torch.randn(2, 20, 5)
    graph = compiled.traced(function, (x,))
    products.replace(graph)
    graph = torch.fx.GraphModule(graph, graph.graph)
    for found, exact in zip(graph(other), function(other)):
        assert found.dtype == exact.dtype and torch.allclose(found, exact, atol=1e-5)
    if products.available():
        names = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
        found = sorted(name for name in names if "product" in name or "mm" in name)
        assert found == ["aten.mm.default", *["densnet.product.default"] * 2, "densnet.sparse_product.default"]
        assert sorted(len(b) for name, b in graph.named_buffers() if name.endswith("_value")) == [6]


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    if not products.available():
        pytest.skip("products are compiled on Linux alone")
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(RuntimeError, match="^false: "):
        products.load(tmp_path)
    monkeypatch.setenv("CXX", "/no/compiler")
    with pytest.raises(RuntimeError, match="/no/compiler: No such file"):
        products.load(tmp_path)
    assert not list(tmp_path.iterdir())
