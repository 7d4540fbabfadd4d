"""What PBXs asked and were told, on its way to the database: gathered, bounded, and never waited for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta

from recpipe import log, metrics
from recpipe.access.expiring import SeenRecently
from recpipe.catalogue.catalogue import Catalogue
from recpipe.errors import CatalogueError, CatalogueUnavailable
from recpipe.model import Asker, Decision, SeenKind
from recpipe.times import Clock

_log = log.get(__name__)

# Two questions a call, 42 calls a second, and a database that is away for five minutes.
MOST_WAITING = 30_000
_AT_ONCE = 2000  # rows in a transaction
_SEEN_AGAIN_SECONDS = 600.0
_ASKED_AGAIN = timedelta(seconds=5)


class Told:
    """Notes that wait to be written, by `flush`. Thread-safe."""

    def __init__(self, catalogue: Catalogue, clock: Clock, most: int = MOST_WAITING) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._flushing = threading.Lock()  # a thread that ends and the next one may both write
        self._decisions: deque[Decision] = deque()
        self._seen: dict[tuple[str, SeenKind, str], datetime] = {}
        self._seen_lately = SeenRecently(_SEEN_AGAIN_SECONDS)
        self._askers: dict[tuple[str, str], Asker] = {}
        self._written: dict[tuple[str, str], Asker] = {}

    def decision(self, one: Decision) -> None:
        """Keep what was told of a call. Where too much waits already the oldest is lost, and counted."""
        with self._lock:
            if len(self._decisions) >= self._most:
                self._decisions.popleft()
                metrics.DECISIONS_LOST.inc()
            self._decisions.append(one)

    def seen(self, tenant_id: str, kind: SeenKind, subject: str, at: datetime) -> None:
        """Remember that somebody asked of what no rule speaks of."""
        if self._seen_lately.first((tenant_id, kind.value, subject), at):
            with self._lock:
                if len(self._seen) < self._most:
                    self._seen[tenant_id, kind, subject] = at

    def asked(self, tenant_id: str, asker: Asker) -> None:
        """Remember that a PBX asked, and what it was answered with."""
        with self._lock:
            if len(self._askers) < self._most or (tenant_id, asker.name) in self._askers:
                self._askers[tenant_id, asker.name] = asker

    def flush(self, *, everything: bool = False) -> None:
        """Write what waits; what cannot be written now waits on.

        Args:
            everything: also the time of a question of a PBX of which an earlier one was just written.

        Raises:
            CatalogueUnavailable: the database is away; all that was not written is kept.
        """
        with self._flushing:
            self._flush(everything)

    def _flush(self, everything: bool) -> None:
        with self._lock:
            seen, self._seen = self._seen, {}
            askers = {key: one for key, one in self._askers.items() if everything or self._is_news(key, one)}
            for key in askers:
                del self._askers[key]
        try:
            self._write_notes(seen, askers)
        except CatalogueUnavailable:
            with self._lock:
                self._seen = seen | self._seen
                self._askers = askers | self._askers
            raise
        except CatalogueError as error:
            _log.error("questions of PBXs not kept", seen=len(seen), askers=len(askers), error=type(error).__name__)
        if len(self._written) > self._most:  # whoever gives itself ever new names
            self._written.clear()
        self._written |= askers
        while self._decisions:
            with self._lock:
                some = [self._decisions[at] for at in range(min(_AT_ONCE, len(self._decisions)))]
            try:
                with self._catalogue.begin() as work:
                    work.decisions.add(some)
            except CatalogueUnavailable:
                raise
            except CatalogueError as error:
                _log.error("decisions not kept", decisions=len(some), error=type(error).__name__)
                metrics.DECISIONS_LOST.inc(len(some))
            written = {one.id for one in some}
            with self._lock:
                while self._decisions and self._decisions[0].id in written:
                    self._decisions.popleft()

    def _is_news(self, key: tuple[str, str], asker: Asker) -> bool:
        before = self._written.get(key)
        return (
            before is None
            or before.policy_version != asker.policy_version
            or asker.asked_at - before.asked_at >= _ASKED_AGAIN
        )

    def _write_notes(
        self, seen: Mapping[tuple[str, SeenKind, str], datetime], askers: Mapping[tuple[str, str], Asker]
    ) -> None:
        if not seen and not askers:
            return
        by_kind: dict[tuple[str, SeenKind], dict[str, datetime]] = {}
        for (tenant_id, kind, subject), at in seen.items():
            by_kind.setdefault((tenant_id, kind), {})[subject] = at
        by_tenant: dict[str, list[Asker]] = {}
        for (tenant_id, _), asker in askers.items():
            by_tenant.setdefault(tenant_id, []).append(asker)
        with self._catalogue.begin() as work:
            there = {head.tenant_id for head in work.policies.heads()}
            for (tenant_id, kind), subjects in sorted(by_kind.items()):
                if tenant_id in there:
                    work.of(tenant_id).policy.note_seen(kind, subjects)
            for tenant_id, some in sorted(by_tenant.items()):
                if tenant_id in there:
                    work.of(tenant_id).policy.note_askers(some)
