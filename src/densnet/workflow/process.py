"""What a process does once, for speed, before it runs dynamics or training."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys


def keep_memory() -> None:
    """Let glibc keep freed memory: else each step gives megabytes back to the system and faults them in again (a tenth of its time)."""
    library = ctypes.util.find_library("c")
    if sys.platform == "linux" and library:
        malloc = ctypes.CDLL(library)
        if getattr(malloc, "mallopt", None) is not None:
            no_mmap, no_trim = (-4, 0), (-1, 2**31 - 1)
            malloc.mallopt(*no_mmap)
            malloc.mallopt(*no_trim)


def number() -> int:
    """Which of the processes that `torchrun` started this one is; 0: the only one, or the first, which speaks for all."""
    return int(os.environ["RANK"]) if int(os.environ.get("WORLD_SIZE", 1)) > 1 else 0
