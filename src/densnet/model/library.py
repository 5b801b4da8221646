"""A compiled library called through its C interface: Python's lock is free meanwhile, so that threads run side by side.

PyTorch's own loader keeps the lock during a call. Here tensors change hands as pointers to ``at::Tensor``: each side takes over what it
is given (torch/csrc/inductor/aoti_runtime/interface.h).
"""

from __future__ import annotations

import ctypes
import weakref
from ctypes import byref, c_char_p, c_size_t, c_void_p, py_object
from pathlib import Path

from torch import Tensor
from torch._C import _aoti

from densnet.errors import DensnetError
from densnet.model import products


class LibraryError(DensnetError):
    """A library that cannot be made or loaded on this machine, or that failed in a call."""


class Library:
    """The function ``tensors -> tensors`` in the file ``path``, which AOTInductor has made for the CPU.

    Any number of threads may call it; up to ``runners`` calls are at work at once, others wait. Inputs must have the shapes and types that
    the library was made for: it does not look. Raises `LibraryError`.
    """

    def __init__(self, path: Path, runners: int):
        try:
            products.load(path.parent)
        except (RuntimeError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise LibraryError(f"products.cpp could not be compiled or loaded ({reason}); run without compiling the model.") from None
        try:
            self.code = ctypes.CDLL(str(path))
            create, run = (self.code[f"AOTInductorModelContainer{verb}"] for verb in ("CreateWithDevice", "Run"))
            delete, count = (self.code[f"AOTInductorModelContainer{verb}"] for verb in ("Delete", "GetNumOutputs"))
        except (OSError, AttributeError) as error:
            raise LibraryError(f"{path} is not a compiled model ({error}); delete it, and it will be compiled again.") from None
        create.argtypes = (c_void_p, c_size_t, c_char_p, c_char_p)
        run.argtypes = (c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_void_p, c_void_p)
        delete.argtypes, count.argtypes = (c_void_p,), (c_void_p, c_void_p)
        self.path, self.run, self.container, outputs = path, run, c_void_p(), c_size_t()
        self._check(create(byref(self.container), runners, b"cpu", None), "be set up")
        weakref.finalize(self, delete, self.container)
        self._check(count(self.container, byref(outputs)), "be set up")
        self.outputs = outputs.value

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = _aoti.unsafe_alloc_void_ptrs_from_tensors([x.contiguous() for x in inputs])
        given = (c_void_p * len(inputs))(*map(_pointer, given))
        found = (c_void_p * self.outputs)()
        self._check(self.run(self.container, given, len(inputs), found, self.outputs, None, None), "run")
        return tuple(_aoti.alloc_tensors_by_stealing_from_void_ptrs([_capsule(x) for x in found]))

    def _check(self, status: int, verb: str) -> None:
        if status:
            raise LibraryError(f"the compiled model {self.path} could not {verb} (see the reason above); run without compiling.")


def _pointer(capsule: object) -> int:
    return _of_capsule(capsule, None)


def _capsule(pointer: int) -> object:
    return _as_capsule(pointer, None, None)


_of_capsule = ctypes.PYFUNCTYPE(c_void_p, py_object, c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
_as_capsule = ctypes.PYFUNCTYPE(py_object, c_void_p, c_char_p, c_void_p)(("PyCapsule_New", ctypes.pythonapi))
