"""How many threads an operation of PyTorch uses: a setting of the process, changed for a while and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Operations inside use one thread each: molecules are small, and work is shared out in larger pieces.

    Threads that begin to work inside keep to one for good.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
