"""One call, two formats: `NAME.wav`, and the `NAME.mp3` that a converter made of it, are one recording."""

from __future__ import annotations

import threading
from collections import OrderedDict

from recpipe import log
from recpipe.model import Recording, Settled
from recpipe.spool.files import format_stem

_log = log.get(__name__)

_REMEMBERED = 20_000
_SAME_TIME_NS = 3600 * 10**9
_SAME_LENGTH_MS = 2_000  # an encoder pads, and cuts a frame
_SAME_LENGTH_SHARE = 0.02


class OtherFormats:
    """The recordings that this process stored of late, by their file's name without its ending.

    The watcher hands the format that is to be kept out first; this tells the other one when it comes. What is
    forgotten (a restart, many calls later) is stored as a recording of its own: two entries, and nothing lost.
    """

    def __init__(self) -> None:
        self._stored: OrderedDict[tuple[str, str], tuple[Recording, Settled]] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, spool: str, settled: Settled, recording: Recording) -> None:
        """It is stored and committed."""
        stem = format_stem(settled.relative)
        with self._lock:
            self._stored[spool, stem] = (recording, settled)
            self._stored.move_to_end((spool, stem))
            if len(self._stored) > _REMEMBERED:
                self._stored.popitem(last=False)

    def of(self, spool: str, settled: Settled, duration_ms: int) -> Recording | None:
        """The recording that this file is another format of: same name, another ending, equally long, of the hour."""
        stem, ending = format_stem(settled.relative), settled.path.suffix.lower()
        with self._lock:
            stored, source = self._stored.get((spool, stem), (None, None))
        if not stem or stored is None or source is None or source.path.suffix.lower() == ending:
            return None
        if abs(source.mtime_ns - settled.mtime_ns) > _SAME_TIME_NS:
            return None  # a name that is used again
        apart = abs(stored.duration_ms - duration_ms)
        if apart > max(_SAME_LENGTH_MS, _SAME_LENGTH_SHARE * stored.duration_ms):
            return None
        _log.info("other format of a stored recording", spool=spool, recording=stored.id, ending=ending)
        return stored
