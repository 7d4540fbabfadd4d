"""Files that went away before they were done with, in a spool where stored ones stay: told once, and only if gone."""

from __future__ import annotations

from collections.abc import Iterable

from recpipe.model import FileIdentity


class Untaken:
    """Not thread-safe: its owner holds a lock.

    Attributes:
        present: what the last whole scan found; None before the first one.
    """

    def __init__(self) -> None:
        self.present: frozenset[FileIdentity] | None = None
        self._lost: dict[FileIdentity, int] = {}  # and in which scan that was found out
        self._scans = 0

    def scanned(self, present: frozenset[FileIdentity], lost: Iterable[FileIdentity]) -> None:
        """A whole scan is over.

        Args:
            lost: what went away since the one before; it may be there under another name.
        """
        self._scans += 1
        self.present = present
        for one in lost:
            self._lost.setdefault(one, self._scans)

    def told(self) -> list[FileIdentity]:
        """Each once, after a whole scan more in which none of them was there under any name."""
        over = [one for one, scan in self._lost.items() if scan < self._scans]
        for one in over:
            del self._lost[one]
        return [one for one in over if one not in (self.present or ())]
