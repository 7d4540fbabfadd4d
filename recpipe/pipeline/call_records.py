"""What call detail records say of every call of a spool: kept, so that it can be told whether each was recorded."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from recpipe import log
from recpipe.catalogue import Catalogue
from recpipe.catalogue.work import Work
from recpipe.errors import NotFound
from recpipe.model import KEEP_CALL_RECORDS
from recpipe.pipeline.stages import ServedSpool
from recpipe.spool.told_calls import ToldCall, record_of
from recpipe.times import is_credible

_log = log.get(__name__)

_OVERLAP = timedelta(days=2)  # a record is written when its call ends, and of the latest some may not be kept yet
_BATCH = 2000


class CallRecords:
    """Keeps what the call detail records of one spool say, as they are written."""

    def __init__(self, catalogue: Catalogue, line: ServedSpool) -> None:
        self._catalogue = catalogue
        self._line = line
        self._tellers = line.describer.tellers
        self._marks: list[int] = []
        self._since: datetime | None = None
        self._unknown: set[str] = set()  # told of once

    def note(self, now: datetime) -> int:
        """Keep what was written since the last time.

        Returns:
            How many records were read.

        Raises:
            CatalogueUnavailable: try again later; what was kept before stays, nothing is passed over.
        """
        if self._since is None:
            with self._catalogue.read() as work:
                newest = work.call_records.newest(self._line.spool.label)
            self._since = (
                max(now - KEEP_CALL_RECORDS, newest - _OVERLAP) if newest is not None else now - KEEP_CALL_RECORDS
            )
            self._marks = [teller.beginning(self._since) for teller in self._tellers]
        read = 0
        for place, teller in enumerate(self._tellers):
            while True:
                told, mark = teller.after(self._marks[place], _BATCH)
                if told:
                    with self._catalogue.begin() as work:
                        self._keep(work, told, now)
                done = mark == self._marks[place]
                self._marks[place] = mark
                read += len(told)
                if done:
                    break
        return read

    def _keep(self, work: Work, told: list[ToldCall], now: datetime) -> None:
        assert self._since is not None
        label, describer, records = self._line.spool.label, self._line.describer, []
        tenants: dict[str, str] = {}
        for one in told:
            if one.started_at < self._since or not is_credible(one.started_at, now):
                continue
            word = describer.tenant_word_of(one)
            if word not in tenants:
                tenants[word] = ""
                with suppress(NotFound):
                    tenants[word] = work.tenants.named(word).id if word else ""
            if tenants[word]:
                records.append(record_of(one, tenants[word], label, describer.recorded_as(one)))
        work.call_records.add(records)
        strange = {word for word, tenant_id in tenants.items() if not tenant_id} - self._unknown
        if strange and len(self._unknown) < _BATCH:
            self._unknown |= strange
            _log.warning("call detail records of no known tenant", spool=label, names=len(strange))
