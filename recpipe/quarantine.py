"""What a person decides about files that wait: try again, or throw away. Every decision is on the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from recpipe.access.audit import AuditTrail, event
from recpipe.access.checks import check_text
from recpipe.access.principal import Action, Principal
from recpipe.catalogue import Catalogue
from recpipe.errors import Conflict, InputInvalid, NotFound, SpoolRefused, Unfit
from recpipe.messages import message
from recpipe.model import AuditEvent, Page, Quarantined
from recpipe.settings import Settings, Spool
from recpipe.spool.files import from_safe_text
from recpipe.spool.folder import SpoolFolder
from recpipe.times import Clock

MOST_RETRIED = 1000  # files at once
# What a person may say of the call of a file that says nothing that can be understood; keys of its sidecar.
STATED = ("started_at", "direction", "caller", "callee", "extension", "caller_name", "callee_name")


@dataclass(frozen=True, slots=True)
class Retried:
    """What a retry did."""

    entry: Quarantined
    back_in_spool: bool  # False: it had never left, and is tried again on its own


@dataclass(frozen=True, slots=True)
class RetriedAll:
    """What came of retrying many."""

    back_in_spool: int
    refused: int  # of a spool that is not here, or whose name is taken there: each says why when retried by itself


class QuarantineDecisions:
    """Works on the machine that has the spool; elsewhere it lists only."""

    def __init__(self, settings: Settings, catalogue: Catalogue, clock: Clock, trail: AuditTrail) -> None:
        self._spools = {spool.label: spool for spool in settings.spool}
        self._catalogue = catalogue
        self._clock = clock
        self._trail = trail

    def waiting(self, by: Principal) -> int:
        """How many files wait for a person; 0 where that is nothing to `by`."""
        if not by.may(Action.QUARANTINE):
            return 0
        with self._catalogue.read() as work:
            return work.quarantine.count()

    def reasons(self, by: Principal) -> Mapping[str, int]:
        """How many files wait for what, the most first.

        Raises:
            Forbidden: `by` may not manage quarantined files.
        """
        self._trail.require(by, Action.QUARANTINE)
        with self._catalogue.read() as work:
            return work.quarantine.reasons()

    def list(self, by: Principal, cursor: str | None = None, limit: int = 100, reason: str = "") -> Page[Quarantined]:
        """Files that wait, oldest first.

        Args:
            reason: only those that wait for this.

        Raises:
            Forbidden: `by` may not manage quarantined files.
            QueryInvalid: the cursor is not of this list.
        """
        self._trail.require(by, Action.QUARANTINE)
        with self._catalogue.read() as work:
            return work.quarantine.list(cursor, limit, reason)

    def retry(self, by: Principal, entry_id: str) -> Retried:
        """Put a quarantined file back where the PBX wrote it; one that is held is tried again by itself.

        Raises:
            NotFound, Forbidden: no such entry, or `by` may not.
            Conflict: `other-machine`: its spool is not here.
            SpoolRefused: a file of that name is in the spool, or the file system said no.
        """
        entry = self._entry(by, entry_id)
        folder = None if entry.held else SpoolFolder(self._spool(entry))
        with self._catalogue.begin() as work:
            work.audit.add(self._event(by, "quarantine.retry", entry))
            if folder is not None:
                # Off the list first: the file may be back in quarantine, and on it, in the next moment.
                work.quarantine.put_back(entry.id, self._clock())
                folder.restore(Path(from_safe_text(entry.path)), from_safe_text(entry.relative))
        return Retried(entry, back_in_spool=folder is not None)

    def take(self, by: Principal, entry_id: str, facts: Mapping[str, str]) -> Retried:
        """Say of which call a quarantined file is, and have it tried again.

        What is stated is written into a sidecar beside the file, so that it counts for more than its name, and goes the
        way of every recording.

        Args:
            facts: by the names in `STATED`; what is empty is not stated. `started_at` is needed.

        Raises:
            InputInvalid: a fact cannot be understood, or the start is missing.
            Conflict: `held`: it waits in its spool for something else; `other-machine`: as `retry`.
            NotFound, Forbidden, SpoolRefused: as `retry`.
        """
        entry = self._entry(by, entry_id)
        if entry.held:
            raise Conflict(
                "held", "This file waits in its spool for what its row says. Nothing said of its call helps."
            )
        stated = {name: text for name in STATED if (text := facts.get(name, "").strip())}
        if unknown := facts.keys() - set(STATED):
            raise InputInvalid(
                "facts",
                message(
                    "{unknown!r} is no fact that can be stated. Use {stated}.",
                    unknown=min(unknown)[:40],
                    stated=", ".join(STATED),
                ),
            )
        if "started_at" not in stated:
            raise InputInvalid("started_at", "Say when the call began, such as 2025-03-27T09:25:17.")
        folder = SpoolFolder(self._spool(entry))
        try:
            with self._catalogue.begin() as work:
                done = self._event(by, "quarantine.take", entry)
                work.audit.add(replace(done, detail={**done.detail, "stated": ", ".join(stated)}))
                work.quarantine.put_back(entry.id, self._clock())
                folder.restore(Path(from_safe_text(entry.path)), from_safe_text(entry.relative), stated)
        except Unfit as unfit:
            raise InputInvalid("facts", str(unfit).replace("In the sidecar, ", "")) from None
        return Retried(entry, back_in_spool=True)

    def open(self, by: Principal, entry_id: str) -> tuple[Quarantined, BinaryIO]:
        """Open a quarantined file as it came, for whoever may download recordings of its tenant as well.

        Nothing is given of a tenant that seals its recordings, nor of an unknown one while any tenant does: what is
        sealed is for the holder of the key alone.

        Returns:
            What it is, and its bytes: to be closed.

        Raises:
            Conflict: `held`: it is no file of ours yet; `sealed`; `other-machine`: as `retry`.
            NotFound, Forbidden, SpoolRefused: as `retry`; Forbidden also without the right to download there.
        """
        entry = self._entry(by, entry_id)
        self._trail.require(by, Action.DOWNLOAD, entry.tenant_id, "quarantined file", entry_id)
        if entry.held:
            raise Conflict("held", "This file waits in its spool, where the PBX may still write to it.")
        with self._catalogue.read() as work:
            tenants = work.tenants.list([entry.tenant_id] if entry.tenant_id else None)
        if any(tenant.encryption for tenant in tenants):
            raise Conflict(
                "sealed", "Recordings of this service are sealed, so nobody listens to them before they are."
            )
        stream = SpoolFolder(self._spool(entry)).read(Path(from_safe_text(entry.path)))
        try:
            self._trail.record(self._event(by, "quarantine.download", entry))
        except BaseException:
            stream.close()
            raise
        return entry, stream

    def get(self, by: Principal, entry_id: str) -> Quarantined:
        """One file that waits.

        Raises:
            NotFound, Forbidden: there is none, or `by` may not manage quarantined files.
        """
        return self._entry(by, entry_id)

    def retry_all(self, by: Principal, reason: str = "") -> RetriedAll:
        """Put back all quarantined files of this machine's spools, or those with this reason, up to `MOST_RETRIED`.

        Raises:
            Forbidden: `by` may not manage quarantined files.
        """
        back = refused = 0
        for entry in self.list(by, None, MOST_RETRIED, reason).items:
            if entry.held:
                continue
            try:
                self.retry(by, entry.id)
                back += 1
            except NotFound:
                continue  # somebody else did
            except (Conflict, SpoolRefused):
                refused += 1
        return RetriedAll(back, refused)

    def discard(self, by: Principal, entry_id: str, why: str = "") -> Quarantined:
        """Delete a waiting file for good.

        Args:
            why: what `by` says, for the audit log; "" where nothing was asked.

        Raises:
            NotFound, Forbidden, Conflict, SpoolRefused: as for `retry`.
            InputInvalid: `why` is no short line.
        """
        why = check_text("reason", why)
        entry = self._entry(by, entry_id)
        folder = SpoolFolder(self._spool(entry))
        # On the record before the deed: a deletion that nobody can account for must not be possible.
        with self._catalogue.begin() as work:
            if why:
                work.audit.add(event(by, "quarantine.reason", self._clock(), subject=entry.id, reason=why))
            work.audit.add(self._event(by, "quarantine.discard", entry))
        folder.discard(Path(from_safe_text(entry.path)))
        with self._catalogue.begin() as work:
            work.quarantine.remove(entry.id)
        return entry

    def _entry(self, by: Principal, entry_id: str) -> Quarantined:
        self._trail.require(by, Action.QUARANTINE)
        with self._catalogue.read() as work:
            return work.quarantine.get(entry_id)

    def _spool(self, entry: Quarantined) -> Spool:
        spool = self._spools.get(entry.spool)
        if spool is None or not spool.path.is_dir():
            raise Conflict(
                "other-machine",
                message(
                    "The spool {spool!r} is not configured on this machine. Run this on the node that ingests it.",
                    spool=entry.spool,
                ),
            )
        return spool

    def _event(self, by: Principal, action: str, entry: Quarantined) -> AuditEvent:
        return event(by, action, self._clock(), tenant_id=entry.tenant_id, subject=entry.id, reason=entry.reason)
