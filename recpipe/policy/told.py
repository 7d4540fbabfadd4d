"""What PBXs asked and were told, on its way to the database: gathered, bounded, and never waited for.

Whoever asks without end, with a token of one tenant, pushes out nobody else's notes, and fills no database either.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import TypeVar

from recpipe import log, metrics
from recpipe.access.expiring import SeenRecently
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.policy import MOST_ASKERS, MOST_SEEN
from recpipe.errors import CatalogueError, CatalogueUnavailable
from recpipe.model import Asker, AuditEvent, Decision, Outcome, SeenKind
from recpipe.times import Clock

_log = log.get(__name__)

T = TypeVar("T")

# Two questions a call, 42 calls a second, and a database that is away for five minutes.
MOST_WAITING = 30_000
# Of one tenant, in one process: more than a PBX asks of calls that there are. What is over it is answered and not kept.
KEPT_A_SECOND = 20
KEPT_AT_ONCE = 36_000
_SAY_AGAIN_SECONDS = 3600.0
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
        self._decisions: dict[str, deque[Decision]] = {}  # by tenant, as all below
        self._room: dict[str, tuple[float, datetime]] = {}  # for how many more, and when that was
        self._floods: list[AuditEvent] = []
        self._said_lately = SeenRecently(_SAY_AGAIN_SECONDS)
        self._seen: dict[tuple[str, SeenKind], dict[str, datetime]] = {}
        self._seen_lately = SeenRecently(_SEEN_AGAIN_SECONDS)
        self._askers: dict[str, dict[str, Asker]] = {}
        self._written: dict[tuple[str, str], Asker] = {}

    def decision(self, one: Decision, actor: str = "") -> None:
        """Keep what was told of a call. Where too much waits, the oldest of who has most is lost, and counted.

        So is what a tenant has told beyond `KEPT_A_SECOND`; the operator hears of it once an hour.

        Args:
            actor: whose token it was.
        """
        with self._lock:
            if not self._has_room(one.tenant_id, one.at):
                metrics.DECISIONS_LOST.inc()
                self._tell_of_flood(one, actor)
                return
            if sum(map(len, self._decisions.values())) >= self._most:
                max(self._decisions.values(), key=len).popleft()
                metrics.DECISIONS_LOST.inc()
            self._decisions.setdefault(one.tenant_id, deque()).append(one)

    def _has_room(self, tenant_id: str, now: datetime) -> bool:
        room, since = self._room.get(tenant_id, (float(KEPT_AT_ONCE), now))
        room = min(float(KEPT_AT_ONCE), room + KEPT_A_SECOND * max(0.0, (now - since).total_seconds()))
        self._room[tenant_id] = (room - 1 if room >= 1 else room, now)
        return room >= 1

    def _tell_of_flood(self, one: Decision, actor: str) -> None:
        if self._said_lately.first((one.tenant_id,), one.at):
            _log.warning("decisions not kept: a tenant asks of too many calls", tenant=one.tenant_id, actor=actor)
            denied = AuditEvent(one.at, actor, "decide", Outcome.DENIED, one.tenant_id, detail={"reason": "too-many"})
            self._floods.append(denied)

    def seen(self, tenant_id: str, kind: SeenKind, subject: str, at: datetime) -> None:
        """Remember that somebody asked of what no rule speaks of."""
        if self._seen_lately.first((tenant_id, kind.value, subject), at):
            with self._lock:
                _add(self._seen.setdefault((tenant_id, kind), {}), {subject: at}, MOST_SEEN)

    def asked(self, tenant_id: str, asker: Asker) -> None:
        """Remember that a PBX asked, and what it was answered with."""
        with self._lock:
            _add(self._askers.setdefault(tenant_id, {}), {asker.name: asker}, MOST_ASKERS)

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
        self._write_floods()
        with self._lock:
            seen, self._seen = self._seen, {}
            askers = {key: one for key, one in self._each_asker() if everything or self._is_news(key, one)}
            for tenant_id, name in askers:
                del self._askers[tenant_id][name]
            self._askers = {tenant_id: some for tenant_id, some in self._askers.items() if some}
        try:
            self._write_notes(seen, askers)
        except CatalogueUnavailable:
            with self._lock:  # those that came since are newer, and no reason to keep more
                for of, subjects in seen.items():
                    self._seen[of] = _add(subjects, self._seen.get(of, {}), MOST_SEEN)
                for (tenant_id, name), asker in askers.items():
                    _add(self._askers.setdefault(tenant_id, {}), {name: self._newer(tenant_id, asker)}, MOST_ASKERS)
            raise
        except CatalogueError as error:
            _log.error("questions of PBXs not kept", seen=len(seen), askers=len(askers), error=type(error).__name__)
        if len(self._written) > self._most:  # whoever gives itself ever new names
            self._written.clear()
        self._written |= askers
        while some := self._oldest():
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
                for waiting in self._decisions.values():
                    while waiting and waiting[0].id in written:
                        waiting.popleft()
                self._decisions = {tenant_id: waiting for tenant_id, waiting in self._decisions.items() if waiting}

    def _write_floods(self) -> None:
        with self._lock:
            some, self._floods = self._floods, []
        if not some:
            return
        try:
            with self._catalogue.begin() as work:
                for one in some:
                    work.audit.add(one)
        except CatalogueUnavailable:
            with self._lock:
                self._floods = some + self._floods
            raise
        except CatalogueError as error:  # it is on the log
            _log.error("audit event not kept", error=type(error).__name__)

    def _oldest(self) -> list[Decision]:
        """Some decisions that wait, of each tenant its oldest."""
        with self._lock:
            return list(islice(chain.from_iterable(self._decisions.values()), _AT_ONCE))

    def _each_asker(self) -> list[tuple[tuple[str, str], Asker]]:
        return [((tenant_id, one.name), one) for tenant_id, some in self._askers.items() for one in some.values()]

    def _newer(self, tenant_id: str, asker: Asker) -> Asker:
        return self._askers.get(tenant_id, {}).get(asker.name, asker)

    def _is_news(self, key: tuple[str, str], asker: Asker) -> bool:
        before = self._written.get(key)
        return (
            before is None
            or before.policy_version != asker.policy_version
            or asker.asked_at - before.asked_at >= _ASKED_AGAIN
        )

    def _write_notes(
        self, seen: Mapping[tuple[str, SeenKind], Mapping[str, datetime]], askers: Mapping[tuple[str, str], Asker]
    ) -> None:
        if not seen and not askers:
            return
        by_tenant: dict[str, list[Asker]] = {}
        for (tenant_id, _), asker in askers.items():
            by_tenant.setdefault(tenant_id, []).append(asker)
        with self._catalogue.begin() as work:
            there = {head.tenant_id for head in work.policies.heads()}
            for (tenant_id, kind), subjects in sorted(seen.items()):
                if tenant_id in there:
                    work.of(tenant_id).policy.note_seen(kind, subjects)
            for tenant_id, some in sorted(by_tenant.items()):
                if tenant_id in there:
                    work.of(tenant_id).policy.note_askers(some)


def _add(notes: dict[str, T], more: Mapping[str, T], most: int) -> dict[str, T]:
    """Renew notes, and take further ones while there is room."""
    for name, one in more.items():
        if name in notes or len(notes) < most:
            notes[name] = one
    return notes
