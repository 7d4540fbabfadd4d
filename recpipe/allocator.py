"""Memory: how rarely Python looks for garbage while it loads modules, and how little the C library keeps."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_USUAL = gc.get_threshold()
# CPython 3.11 starts at 700: 300 searches for garbage among the modules of a server, an eighth of its start
# (`scripts/bench start`).
_WHILE_LOADING = 50_000
_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h
_ARENAS = 2
_GIVE_BACK_SECONDS = 10.0


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
    mallopt = _of_the_c_library("mallopt")
    if mallopt is not None:
        mallopt(_ARENA_MAX, _ARENAS)


@contextmanager
def giving_back() -> Iterator[None]:
    """Give the system back what the C library holds of freed memory, every ten seconds; where it is glibc.

    Pieces of recordings are large enough to be mapped each by itself at first, but glibc takes the first that is freed
    for a reason to keep all others of that size, and what lies below a small piece in use stays for good: 25 MB after
    sixty readers.

    Source: malloc_trim(3), mallopt(3) "M_MMAP_THRESHOLD".
    """
    trim = _of_the_c_library("malloc_trim")
    if trim is None:
        yield
        return
    ends = threading.Event()

    def give_back() -> None:
        while not ends.wait(_GIVE_BACK_SECONDS):
            trim(0)

    thread = threading.Thread(target=give_back, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _of_the_c_library(name: str) -> Callable[..., int] | None:
    import ctypes  # commands that serve nothing do without it

    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found
