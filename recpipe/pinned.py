"""Paths that lead to an open descriptor, for code that wants a path and must not be led elsewhere.

Source: proc(5): opening `/proc/self/fd/N` opens the very file again, whatever its old name leads to by now.
"""

from __future__ import annotations

import re
from pathlib import Path

_PINNED = re.compile(r"/proc/self/fd/[0-9]+")


def path_to(descriptor: int) -> Path:
    """A path to what is open under this descriptor; valid until it is closed."""
    return Path(f"/proc/self/fd/{descriptor}")


def is_pinned(path: Path) -> bool:
    """Whether a path is one that `path_to` made, which is the one link that may be followed."""
    return _PINNED.fullmatch(str(path)) is not None
