"""One call, two formats: `NAME.wav`, and the `NAME.mp3` that a converter made of it, are one recording."""

from __future__ import annotations

import threading
from collections import OrderedDict

from recpipe import log
from recpipe.model import Recording

_log = log.get(__name__)

_REMEMBERED = 20_000
_SAME_LENGTH_MS = 2_000  # an encoder pads, and cuts a frame
_SAME_LENGTH_SHARE = 0.02


class OtherFormats:
    """The recordings that this process stored of late, by their file's name without its ending.

    The watcher hands the format that is to be kept out first; this tells the other one when it comes. What is
    forgotten (a restart, many calls later) is stored as a recording of its own: two entries, and nothing lost.
    """

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[str, str], Recording] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, spool: str, relative: str, recording: Recording) -> None:
        """It is stored and committed."""
        stem, _, _ = relative.rpartition(".")
        with self._lock:
            self._stored[spool, stem] = recording
            self._stored.move_to_end((spool, stem))
            if len(self._stored) > _REMEMBERED:
                self._stored.popitem(last=False)

    def of(self, spool: str, relative: str, duration_ms: int) -> Recording | None:
        """The recording that this file is another format of: same name, another ending, equally long."""
        stem, _, ending = relative.rpartition(".")
        with self._lock:
            stored = self._stored.get((spool, stem))
        if stored is None or stored.source_name.rpartition(".")[2].lower() == ending.lower():
            return None
        apart = abs(stored.duration_ms - duration_ms)
        if apart > max(_SAME_LENGTH_MS, _SAME_LENGTH_SHARE * stored.duration_ms):
            return None
        _log.info("other format of a stored recording", spool=spool, recording=stored.id, ending=ending[:8])
        return stored
