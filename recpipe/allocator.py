"""The C library's allocator: told to keep little of what threads have given back."""

from __future__ import annotations

import ctypes
import os

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2


def use_few_arenas() -> None:
    """Have all threads share two arenas, unless MALLOC_ARENA_MAX is set; where the C library is glibc.

    It gives threads up to eight arenas a processor, each of which keeps its own peak: of 32 threads that read pieces of
    recordings that is a hundred megabytes. Python's own lock lets few of them allocate at the same time anyway.

    Source: mallopt(3), "M_ARENA_MAX".
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)
