"""Recordings of a folder found by name, a few ahead: clients fetch a folder in its order, one name after the other."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from recpipe.access.expiring import ExpiringCache
from recpipe.catalogue import Catalogue
from recpipe.errors import NotFound
from recpipe.model import Recording
from recpipe.times import Clock

# What was found is good for this long, so a deletion shows within it.
KNOWN_SECONDS = 0.5
_FEWEST, _MOST = 2, 64  # rows read at once
_MOST_FOLDERS = 1024


@dataclass(slots=True)
class _Folder:
    """How well reading ahead goes in one folder: right for whoever is at it, in whatever order."""

    window: int = _FEWEST
    ahead: int = 0  # rows read ahead last time
    used: int = 0  # of those, how many were asked for

    def next_window(self) -> int:
        if self.ahead:
            grows = self.used * 2 > self.ahead
            self.window = min(self.window * 2, _MOST) if grows else max(self.window // 2, _FEWEST)
        return self.window


class NameLookahead:
    """Finds recordings by name. The caller has checked that the tenant may be read. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._known: ExpiringCache[Recording] = ExpiringCache(clock, KNOWN_SECONDS)
        self._lock = threading.Lock()
        self._folders: OrderedDict[tuple[str, str], _Folder] = OrderedDict()

    def by_name(self, tenant_id: str, day: str, name: str) -> Recording:
        """The recording with this name in this folder, peaks left out, as it was at most `KNOWN_SECONDS` ago.

        Raises:
            NotFound: there is none. That is never remembered.
        """
        known = self.known(tenant_id, day, name)
        if known is not None:
            return known
        with self._lock:
            folder = self._folder(tenant_id, day)
            count = folder.next_window()
        with self._catalogue.read() as work:
            found = work.of(tenant_id).recordings.from_name(day, name, count)
        if not found or found[0].name != name:
            raise NotFound("recording", name)
        with self._lock:
            folder.ahead, folder.used = len(found) - 1, 0
        for each in found:
            self._known.put((tenant_id, day, each.name), each)
        return found[0]

    def known(self, tenant_id: str, day: str, name: str) -> Recording | None:
        """What `by_name` would give without asking the catalogue; None where it would ask."""
        known = self._known.get((tenant_id, day, name))
        if known is not None:
            with self._lock:
                self._folder(tenant_id, day).used += 1
        return known

    def _folder(self, tenant_id: str, day: str) -> _Folder:
        folder = self._folders.get((tenant_id, day))
        if folder is None:
            folder = self._folders[tenant_id, day] = _Folder()
            if len(self._folders) > _MOST_FOLDERS:
                self._folders.popitem(last=False)
        return folder
