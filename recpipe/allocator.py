"""Memory: how rarely Python looks for garbage while it loads modules, and how little the C library keeps."""

from __future__ import annotations

import gc
import os

_USUAL = gc.get_threshold()
# CPython 3.11 starts at 700: 300 searches for garbage among the modules of a server, an eighth of its start
# (`scripts/bench start`).
_WHILE_LOADING = 50_000
_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2


def collect_rarely() -> None:
    """Hold the search for garbage back while modules are loaded, which leave none. `collect_as_usual` ends it."""
    gc.set_threshold(_WHILE_LOADING)


def collect_as_usual() -> None:
    """Search for garbage as often as the interpreter did at first: of a service at work there is some all the time."""
    gc.set_threshold(*_USUAL)


def use_few_arenas() -> None:
    """Have all threads share two arenas, unless MALLOC_ARENA_MAX is set; where the C library is glibc.

    It gives threads up to eight arenas a processor, each of which keeps its own peak: of 32 threads that read pieces of
    recordings that is a hundred megabytes. Python's own lock lets few of them allocate at the same time anyway.

    Source: mallopt(3), "M_ARENA_MAX".
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    import ctypes  # commands that serve nothing do without it

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)
