"""Running it: files that wait for a person, and the heartbeats of nodes and spools."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, select

from recpipe.catalogue.operation_tables import node, quarantine, quarantine_retry
from recpipe.catalogue.repository import Repository, new_id, page_by_time, row_of, upsert
from recpipe.errors import NotFound
from recpipe.model import Node, Page, Quarantined, QuarantineTotal


class Quarantine(Repository):
    """Spool files that wait for a person: all of them, or those of one tenant."""

    __slots__ = ("_tenant_id",)

    def __init__(self, connection: Connection, tenant_id: str | None = None) -> None:
        super().__init__(connection)
        self._tenant_id = tenant_id

    def list(self, cursor: str | None = None, limit: int = 100, reason: str = "") -> Page[Quarantined]:
        """Files by the time they were first seen, oldest first.

        Args:
            reason: only those that wait for this.

        Raises:
            QueryInvalid: the cursor is not of this list.
        """
        c = quarantine.c
        wanted = self._wanted().where(c.reason == reason) if reason else self._wanted()
        return page_by_time(self._connection, wanted, c.first_seen_at, c.id, _quarantined_of, cursor, limit)

    def get(self, entry_id: str) -> Quarantined:
        """One file.

        Raises:
            NotFound: there is none, or it is another tenant's.
        """
        row = self._connection.execute(self._wanted().where(quarantine.c.id == entry_id)).first()
        if row is None:
            raise NotFound("quarantined file", entry_id)
        return _quarantined_of(row)

    def count(self) -> int:
        """How many there are."""
        counted = select(func.count()).select_from(quarantine).where(*self._mine())
        return self._connection.execute(counted).scalar_one()

    def _wanted(self) -> Select[*tuple[Any, ...]]:
        return select(*_OF_QUARANTINED).where(*self._mine())

    def _mine(self) -> Sequence[ColumnElement[bool]]:
        return () if self._tenant_id is None else (quarantine.c.tenant_id == self._tenant_id,)


class QuarantineOfAll(Quarantine):
    """What the write path puts in, and an administrator takes out."""

    __slots__ = ()

    def totals(self) -> Sequence[QuarantineTotal]:
        """How many files of each tenant there are, and since when; none of a tenant without any."""
        c = quarantine.c
        totals = select(c.tenant_id, func.count().label("files"), func.min(c.first_seen_at).label("since"))
        return [QuarantineTotal(**row._asdict()) for row in self._connection.execute(totals.group_by(c.tenant_id))]

    def reasons(self) -> dict[str, int]:
        """How many files wait for what, the most first."""
        c, files = quarantine.c, func.count().label("files")
        counted = select(c.reason, files).group_by(c.reason).order_by(files.desc(), c.reason)
        return {row.reason: row.files for row in self._connection.execute(counted)}

    def record(
        self,
        *,
        spool: str,
        path: str,
        relative: str,
        tenant_id: str | None,
        reason: str,
        message: str,
        held: bool,
        size_bytes: int,
        at: datetime,
    ) -> Quarantined:
        """List a file, or say that it was tried once more: known by spool and path.

        A file that was held in place and is now moved aside, or was put back and failed again, keeps since when it
        waits and counts on.

        Args:
            path: where the file is now.
            relative: where it was below the spool, as the PBX wrote it.
            at: now; stays as the first time when the file is listed already.
        """
        c = quarantine.c
        first, attempts = self._retried(spool, relative, size_bytes) or (at, 1)
        if not held:
            before = select(c.first_seen_at, c.attempts).where(_held(spool, relative))
            for row in self._connection.execute(before):
                first, attempts = min(first, row.first_seen_at), row.attempts + 1
            self.forget(spool=spool, relative=relative)
        values = {
            "id": new_id(),
            "spool": spool,
            "path": path,
            "path_sha256": _hash(path),
            "relative": relative,
            "relative_sha256": _hash(relative),
            "tenant_id": tenant_id,
            "reason": reason,
            "message": message,
            "held": held,
            "size_bytes": size_bytes,
            "first_seen_at": first,
            "last_seen_at": at,
            "attempts": attempts,
        }
        renewed = ("tenant_id", "reason", "message", "held", "size_bytes", "last_seen_at")
        key = ("spool", "path_sha256")
        statement = upsert(self._connection.dialect.name, quarantine, key, renewed, add=("attempts",))
        entry_id = self._connection.execute(statement.returning(c.id), values).scalar_one()
        return self.get(entry_id)

    def forget(self, *, spool: str, relative: str) -> None:
        """Take a file that was held in place off the list: it was ingested, or is gone. None there is no error."""
        self._connection.execute(delete(quarantine).where(_held(spool, relative)))

    def put_back(self, entry_id: str, at: datetime) -> Quarantined:
        """Take an entry off the list whose file is tried again, and remember what it said.

        Raises:
            NotFound: there is none.
        """
        entry = self.get(entry_id)
        self.remove(entry_id)
        kept = ("size_bytes", "first_seen_at", "attempts", "retried_at")
        statement = upsert(self._connection.dialect.name, quarantine_retry, ("spool", "relative_sha256"), kept)
        values = {"relative_sha256": _hash(entry.relative), "retried_at": at}
        self._connection.execute(statement, row_of(quarantine_retry, entry) | values)
        return entry

    def prune(self, before: datetime) -> int:
        """Forget what was remembered of files that were put back earlier; how many."""
        return self._connection.execute(delete(quarantine_retry).where(quarantine_retry.c.retried_at < before)).rowcount

    def _retried(self, spool: str, relative: str, size_bytes: int) -> tuple[datetime, int] | None:
        """Since when a file that was put back waits and which attempt this is; told once."""
        c = quarantine_retry.c
        this = (c.spool == spool) & (c.relative_sha256 == _hash(relative)) & (c.size_bytes == size_bytes)
        statement = delete(quarantine_retry).where(this).returning(c.first_seen_at, c.attempts)
        row = self._connection.execute(statement).first()
        return None if row is None else (row.first_seen_at, row.attempts + 1)

    def remove(self, entry_id: str) -> None:
        """Take an entry off the list; the file is the caller's to move or delete.

        Raises:
            NotFound: there is none.
        """
        if self._connection.execute(delete(quarantine).where(quarantine.c.id == entry_id)).rowcount != 1:
            raise NotFound("quarantined file", entry_id)


class Nodes(Repository):
    """Heartbeats of processes and spools."""

    __slots__ = ()

    def beat(self, now: Node) -> None:
        """Say that a node lives, and how it is."""
        renewed = ("started_at", "seen_at", "files_waiting", "last_ingest_at", "detail")
        key = ("name", "role", "spool")
        self._connection.execute(upsert(self._connection.dialect.name, node, key, renewed), row_of(node, now))

    def list(self) -> Sequence[Node]:
        """Every node that was ever heard of and not forgotten."""
        rows = self._connection.execute(select(node).order_by(node.c.name, node.c.role, node.c.spool))
        return [Node(**row._asdict()) for row in rows]

    def succeed(self, now: Node) -> None:
        """Forget who did this before: a spool has one owner at a time, whatever its host and process were called."""
        c = node.c
        self._connection.execute(delete(node).where(c.role == now.role, c.spool == now.spool, c.name != now.name))

    def forget(self, seen_before: datetime) -> int:
        """Forget nodes not heard of since; how many."""
        return self._connection.execute(delete(node).where(node.c.seen_at < seen_before)).rowcount


_OF_QUARANTINED = tuple(column for column in quarantine.columns if not column.name.endswith("_sha256"))


def _held(spool: str, relative: str) -> ColumnElement[bool]:
    c = quarantine.c
    return (c.spool == spool) & (c.relative_sha256 == _hash(relative)) & c.held


def _hash(path: str) -> str:
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()


def _quarantined_of(row: Row[*tuple[Any, ...]]) -> Quarantined:
    return Quarantined(**row._asdict())
