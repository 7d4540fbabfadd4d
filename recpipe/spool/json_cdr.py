"""Call detail records as a folder of JSON files, one a call: CALLID.json, with the keys of a sidecar."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import quote

from recpipe import log as logs
from recpipe.errors import Held, Unfit
from recpipe.model import CallFacts
from recpipe.spool import sidecar

_log = logs.get(__name__)

_BROKEN_KEPT = 10_000


class JsonCdr:
    """Finds the record of a call by its Call-ID, which is percent-escaped in the file's name. Thread-safe."""

    def __init__(self, folder: Path, timezone: str) -> None:
        self._folder = folder
        self._timezone = timezone
        self._lock = threading.Lock()
        self._broken: dict[Path, float] = {}  # by when it was written: not to be read again

    def facts(self, call_id: str) -> CallFacts | None:
        """Facts of the call with this Call-ID; None when its record is not there yet, or cannot be read."""
        path = self._folder / f"{quote(call_id, safe='@', errors='replace')}.json"
        try:
            written_at = path.lstat().st_mtime
            with self._lock:
                if self._broken.get(path) == written_at:
                    return None
            return sidecar.read(path, self._timezone)
        except (OSError, Held):  # not there, or half written
            return None
        except Unfit:
            with self._lock:
                self._broken[path] = written_at
                if len(self._broken) > _BROKEN_KEPT:
                    del self._broken[next(iter(self._broken))]
            _log.warning("call detail record unreadable", why="no JSON with the keys of a sidecar")
            return None
