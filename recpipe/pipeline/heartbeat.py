"""The heartbeat of what this process serves, so that the dashboard of another node can show it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from recpipe import log
from recpipe.catalogue import Catalogue
from recpipe.errors import CatalogueError
from recpipe.model import Node
from recpipe.times import Clock

_log = log.get(__name__)

BEAT_SECONDS = 10.0
_FORGET_AFTER = timedelta(days=1)


class Heartbeat:
    """Writes to the catalogue every BEAT_SECONDS that nodes live, and forgets those not heard of for a day.

    Args:
        nodes: what to write now.
    """

    def __init__(self, catalogue: Catalogue, clock: Clock, nodes: Callable[[datetime], Sequence[Node]]) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._nodes = nodes

    def run(self, stopping: threading.Event) -> None:
        """Beat until `stopping` is set. A database that is away costs a beat, no more."""
        known: set[str] = set()
        while True:
            now = self._clock()
            try:
                with self._catalogue.begin() as work:
                    nodes = self._nodes(now)
                    for node in nodes:
                        if node.spool not in known:
                            work.nodes.succeed(node)
                        work.nodes.beat(node)
                    work.nodes.forget(now - _FORGET_AFTER)
                known = {node.spool for node in nodes}
            except CatalogueError as error:
                _log.warning("heartbeat not written", why=str(error))
            if stopping.wait(BEAT_SECONDS):
                return
