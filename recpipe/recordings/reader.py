"""The only way from a principal to a recording: tenant check, subset, range, audit. Every door reads through here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar
from weakref import WeakValueDictionary

from recpipe.access.audit import AuditTrail, event
from recpipe.access.expiring import ExpiringCache, SeenRecently
from recpipe.access.principal import Action, Principal
from recpipe.catalogue.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import Forbidden, InputInvalid, NotFound, StoreError
from recpipe.messages import message
from recpipe.model import (
    ByteStream,
    CallEntry,
    DayEntry,
    DayTotal,
    Outcome,
    Recording,
)
from recpipe.recordings.audited_streams import ReadEvent, recorded, verified
from recpipe.recordings.finding import Finder
from recpipe.recordings.lookahead import KNOWN_SECONDS, NameLookahead
from recpipe.recordings.subset import in_subset, subset_of
from recpipe.store.base import Store
from recpipe.times import Clock

# Ranges of one recording asked for within this time are one playback or download.
SAME_READ_SECONDS = 60
READING_ACTIONS = frozenset({Action.PLAY, Action.DOWNLOAD, Action.EXPORT})
_ENTRIES_A_READ = 1000
_Entry = TypeVar("_Entry", DayEntry, CallEntry)


class Reader(Finder):
    """What a principal may see, and nothing else. Thread-safe."""

    def __init__(self, catalogue: Catalogue, store: Store, clock: Clock, trail: AuditTrail) -> None:
        super().__init__(catalogue, trail)
        self._store = store
        self._clock = clock
        self._reads = SeenRecently(SAME_READ_SECONDS)
        self._ahead = NameLookahead(catalogue, clock)
        # Ranges of a read whose event is still being written wait for it too.
        self._being_noted: WeakValueDictionary[tuple[str, ...], ReadEvent] = WeakValueDictionary()
        # Of a principal each, so that nobody learns from the time of an answer what others read.
        self._sought: ExpiringCache[Recording] = ExpiringCache(clock, KNOWN_SECONDS, most=512)

    @property
    def opens_at_once(self) -> bool:
        """Whether `open` asks no other machine, so that nobody has to wait for it."""
        return self._store.is_local

    # --- one recording ------------------------------------------------------------------------------------

    def findable(self, principal: Principal, ids: Collection[str]) -> Mapping[str, Recording]:
        """Of these recordings those that a search of the principal would find, by id; nothing is said of others."""
        mine = principal.tenants(Action.SEARCH)
        if not ids or (mine is not None and not mine):
            return {}
        with self._catalogue.read() as work:
            return {one.id: one for one in work.recordings(mine, ids) if in_subset(principal, one)}

    def get(self, principal: Principal, recording_id: str, action: Action = Action.SEARCH) -> Recording:
        """One recording of any tenant the principal knows, peaks included.

        To be played, downloaded or exported, as it was at most half a second ago.

        Args:
            action: what it is wanted for.

        Raises:
            NotFound: there is none, or it is another tenant's, or outside an FTP account's subset.
            Forbidden: it is there, and this principal may not do that with it.
        """
        mine = (principal.kind.value, principal.id, principal.credential_id, recording_id)
        # A player asks for range after range. What is shown to people is always read anew.
        found = self._sought.get(mine) if action in READING_ACTIONS else None
        if found is None:
            with self._catalogue.read() as work:
                found = _find(work, principal, recording_id)
            if found is not None and action in READING_ACTIONS:
                self._sought.put(mine, found)
        if found is None or not in_subset(principal, found):
            denial = NotFound("recording", recording_id)
            self._trail.denied(principal, action, denial, subject=recording_id)
            raise denial
        self._trail.require(principal, action, found.tenant_id, "recording", recording_id)
        return found

    def totals(self, principal: Principal, tenant_id: str, first_day: str, last_day: str) -> list[DayTotal]:
        """Counts and sums of a tenant's days, both ends included.

        Raises:
            NotFound, Forbidden: as `search`. An account with a subset is refused: totals would tell it of the rest.
        """
        self._trail.require(principal, Action.SEARCH, tenant_id)
        if principal.extension or principal.direction:
            raise Forbidden("see totals of calls it may not read")
        with self._catalogue.read() as work:
            return work.of(tenant_id).recordings.totals(first_day, last_day)

    # --- bytes --------------------------------------------------------------------------------------------

    def open(
        self,
        principal: Principal,
        recording: Recording,
        start: int = 0,
        length: int | None = None,
        *,
        action: Action,
        address: str = "",
        verify: bool = False,
    ) -> ByteStream:
        """Open (a range of) what is stored, as it is stored. Close the stream.

        One audit event a logical read: further ranges of it within a minute are part of the first. It is written while
        bytes flow and is durable before the last of them is given out.

        Args:
            start: first byte, 0 to `recording.stored_bytes`.
            length: number of bytes; None reads to the end. A range past the end is cut there.
            action: play, download or export.
            address: of the client, where the principal's own says less.
            verify: a whole recording is compared with its checksum at its end; a range cannot be.

        Raises:
            NotFound: the recording is nothing to this principal.
            Forbidden: the action is not allowed there.
            InputInvalid: the range starts outside the recording.
            ObjectMissing, StoreUnavailable, StoreRejected: from the store, also while reading.
            CatalogueUnavailable: while reading: the event is not kept, so the rest is not given out.
            ObjectDamaged: while reading, with `verify`: the bytes are not those that were stored.
        """
        if action not in READING_ACTIONS:
            raise ValueError(f"recordings are opened to play, download or export, not to {action}")
        self._trail.require(principal, action, recording.tenant_id, "recording", recording.id)
        if not in_subset(principal, recording):
            denial = NotFound("recording", recording.id)
            self._trail.denied(principal, action, denial, tenant_id=recording.tenant_id, subject=recording.id)
            raise denial
        if not 0 <= start <= recording.stored_bytes or (length is not None and length < 0):
            raise InputInvalid(
                "range",
                message(
                    "The recording has {stored_bytes:,} bytes; the range is outside it.",
                    stored_bytes=recording.stored_bytes,
                ),
            )
        left = recording.stored_bytes - start
        wanted = left if length is None else min(length, left)
        try:
            stream = self._store.read(recording.object_key, start, wanted)
        except StoreError as error:
            if failed := self._note(principal, recording, action, address, Outcome.FAILED, type(error).__name__):
                failed.settle()
            raise
        if noted := self._note(principal, recording, action, address, Outcome.OK):
            stream = recorded(stream, wanted, noted)
        return verified(stream, recording) if verify and wanted == recording.stored_bytes else stream

    def presign(
        self,
        principal: Principal,
        recording: Recording,
        *,
        action: Action,
        seconds: int,
        media_type: str,
        address: str = "",
    ) -> str | None:
        """A short-lived URL to the stored bytes, for whoever holds it; None where the store has no such thing.

        Raises:
            NotFound, Forbidden: as `open`; and the same audit event.
        """
        self._trail.require(principal, action, recording.tenant_id, "recording", recording.id)
        if not in_subset(principal, recording):
            raise NotFound("recording", recording.id)
        url = self._store.presign(
            recording.object_key, seconds=seconds, download_name=recording.name, media_type=media_type
        )
        if url is not None and (noted := self._note(principal, recording, action, address, Outcome.OK)):
            noted.settle()
        return url

    # --- folders ------------------------------------------------------------------------------------------

    def years(self, principal: Principal, tenant_id: str | None = None) -> list[str]:
        """YYYY of every year with a folder. `tenant_id` may be left out by whoever knows one tenant only.

        An account with a subset sees every year and month of its tenant; days are shown where it has calls.

        Raises:
            NotFound, Forbidden: as `search`.
        """
        chosen = self._one_tenant(principal, tenant_id)
        with self._catalogue.read() as work:
            return work.of(chosen).recordings.years()

    def months(self, principal: Principal, year: str, tenant_id: str | None = None) -> list[str]:
        """YYYY-MM of every month of a year with a folder; otherwise as `years`."""
        chosen = self._one_tenant(principal, tenant_id)
        with self._catalogue.read() as work:
            return work.of(chosen).recordings.months(year)

    def days(self, principal: Principal, month: str, tenant_id: str | None = None) -> list[str]:
        """YYYY-MM-DD of every folder of a month in which the principal has calls; otherwise as `years`."""
        chosen = self._one_tenant(principal, tenant_id)
        with self._catalogue.read() as work:
            recordings = work.of(chosen).recordings
            days = recordings.days(month)
            if not principal.extension and principal.direction is None:
                return days
            subset = subset_of(principal)
            return [day for day in days if next(recordings.in_day(day, limit=1, **subset), None) is not None]

    def in_day(self, principal: Principal, day: str, tenant_id: str | None = None) -> Iterator[DayEntry]:
        """A folder's recordings in name order, however many: read piece by piece, no transaction kept open between.

        Raises:
            NotFound, Forbidden: as `search`, before the first entry is asked for.
        """
        chosen = self._one_tenant(principal, tenant_id)

        def read(work: Work, after_name: str | None) -> Iterator[DayEntry]:
            return work.of(chosen).recordings.in_day(day, after_name, _ENTRIES_A_READ, **subset_of(principal))

        return self._entries(read)

    def calls_in_day(self, principal: Principal, day: str, tenant_id: str | None = None) -> Iterator[CallEntry]:
        """Which calls a folder's recordings are legs of, in name order; otherwise as `in_day`."""
        chosen = self._one_tenant(principal, tenant_id)

        def read(work: Work, after_name: str | None) -> Iterator[CallEntry]:
            return work.of(chosen).recordings.calls_in_day(day, after_name, _ENTRIES_A_READ, **subset_of(principal))

        return self._entries(read)

    def by_name(self, principal: Principal, day: str, name: str, tenant_id: str | None = None) -> Recording:
        """The recording with this name in this folder, peaks left out, as it was at most half a second ago.

        Raises:
            NotFound: there is none, or it is outside the account's subset.
            Forbidden: as `search`.
        """
        found = self._ahead.by_name(self._one_tenant(principal, tenant_id), day, name)
        if not in_subset(principal, found):
            raise NotFound("recording", name)
        return found

    def known_by_name(self, principal: Principal, day: str, name: str) -> Recording | None:
        """What `by_name` would give at once; None where it would ask the catalogue, or raise NotFound."""
        found = self._ahead.known(self._one_tenant(principal, None), day, name)
        return found if found is not None and in_subset(principal, found) else None

    # --- rules --------------------------------------------------------------------------------------------

    def _entries(self, read: Callable[[Work, str | None], Iterator[_Entry]]) -> Iterator[_Entry]:
        last: str | None = None
        while True:
            with self._catalogue.read() as work:
                page = list(read(work, last))
            yield from page
            if len(page) < _ENTRIES_A_READ:
                return
            last = page[-1].name

    def _one_tenant(self, principal: Principal, tenant_id: str | None) -> str:
        if tenant_id is None:
            known = principal.only if principal.everything else frozenset(principal.grants)
            if known is None or len(known) != 1:
                raise NotFound("folder")
            (tenant_id,) = known
        self._trail.require(principal, Action.SEARCH, tenant_id)
        return tenant_id

    def _note(
        self, by: Principal, recording: Recording, action: Action, address: str, outcome: Outcome, why: str = ""
    ) -> ReadEvent | None:
        """Begin to write down a read; None where it is part of one that is written."""
        now = self._clock()
        same = (by.name, by.credential_id, recording.id, action, outcome)
        if not self._reads.first(same, now):
            return self._being_noted.get(same)
        happened = event(
            by, action, now, outcome=outcome, tenant_id=recording.tenant_id, address=address, subject=recording.id
        )
        writing = self._trail.start(replace(happened, detail={"error": why}) if why else happened)
        noted = ReadEvent(writing, lambda: self._reads.forget(same))
        self._being_noted[same] = noted
        return noted


def path_of(recording: Recording) -> str:
    """Where a recording goes below a folder: as over FTP. No part of a hostile name leads out of it."""
    name = recording.name.replace("/", "_").replace("\\", "_").replace("\0", "_")
    return "/".join((*recording.day.split("-"), name if name.strip(". ") else "_"))


def checksum_line(entry: DayEntry) -> str:
    """One line of SHA256SUMS, line break included."""
    escaped = entry.name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != entry.name else ""
    return f"{mark}{entry.stored_sha256}  {escaped}\n"


def _find(work: Work, principal: Principal, recording_id: str) -> Recording | None:
    known = principal.known_tenants
    if known is not None and not known:
        return None
    try:
        return work.recording(known, recording_id)
    except NotFound:
        return None
