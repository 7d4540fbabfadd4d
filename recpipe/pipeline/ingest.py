"""Owns the spools and the threads: one watcher a spool, a fair queue, workers, one committer."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from recpipe import log, metrics, recovery_notes
from recpipe.catalogue import Added, Catalogue
from recpipe.errors import CatalogueError, SpoolLocked
from recpipe.model import Node, Recording
from recpipe.pipeline.call_records import CallRecords
from recpipe.pipeline.commit import Committer
from recpipe.pipeline.fair_queue import FairQueue
from recpipe.pipeline.heartbeat import Heartbeat
from recpipe.pipeline.in_hand import InHand
from recpipe.pipeline.late_cdr import LateRecords
from recpipe.pipeline.masking import note_masking
from recpipe.pipeline.outage import Gate
from recpipe.pipeline.outcomes import Counts, Outcomes
from recpipe.pipeline.quarantine import QuarantineList
from recpipe.pipeline.spool_service import Served
from recpipe.pipeline.stages import AlreadyStored, Job, ServedSpool, Stages
from recpipe.settings import Settings, Spool
from recpipe.spool.files import safe_text
from recpipe.spool.live_calls import LOOK_SECONDS
from recpipe.spool.tree import Ignored, Reason
from recpipe.store.base import Store
from recpipe.times import Clock

_log = log.get(__name__)

ABANDON_SECONDS = 5.0  # a request that was not answered for so long holds up no stop
_LONGEST_STOP_SECONDS = 50.0  # less than systemd's patience in docs/operators.md
_LOOK_SECONDS = 1.0
_NOTE_SECONDS = 60.0  # what PBXs say of calls is compared hours later
_IGNORED_SHOWN = 20  # names that the System page shows of a spool


class Ingest:
    """The write path as a running thing. `start` and `stop` for a service, `drain` for one pass.

    Args:
        spools: which to serve; each is locked, and served by one process at a time.
        keep_source: leave the files where they are (import of a foreign folder).
        state_dir: holds a control folder for each spool, in place of `.recpipe` in the spool.
        on_outcome: called with each outcome, for progress bars: ("stored" | "repeated" | ..., bytes).
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        store: Store,
        *,
        clock: Clock,
        spools: Sequence[Spool] | None = None,
        keep_source: bool = False,
        state_dir: Path | None = None,
        on_outcome: Callable[[str, int], None] = lambda outcome, size_bytes: None,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._order = Stages(catalogue, store, clock, recovery_notes.recovery_key(settings))
        self._queue: FairQueue[Job] = FairQueue()
        self._committer: Committer[Recording, Added] = Committer(self._write)
        self._waiting = QuarantineList(catalogue, self._order, clock)
        self._lock = threading.Lock()
        self._draining = False
        self._in_hand = InHand()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._served: dict[str, Served] = {}
        for spool in settings.spool if spools is None else spools:
            state = state_dir and state_dir / hashlib.sha256(os.fsencode(spool.path.absolute())).hexdigest()[:16]
            self._served[spool.label] = Served.of(spool, settings.data_dir, state, clock, keep_source=keep_source)
        self._gate = Gate(lambda: sum(self.waiting().values()))
        self._outcomes = Outcomes(
            self._order,
            self._waiting,
            self._served,
            self._gate,
            lambda job: self._enqueue(replace(job, look_first=True)),
            clock,
            on_outcome,
        )

    @property
    def counts(self) -> Counts:
        """What happened since the start."""
        return self._outcomes.counts

    # --- life ---------------------------------------------------------------------------------------------

    def start(self, *, patient: bool = False) -> None:
        """Own the spools, finish what a crash left, and begin. A spool that is not there is tried again until it is.

        Args:
            patient: wait for a spool that another process serves, too.

        Raises:
            SpoolLocked: another process serves one of them; none was started.
        """
        self._open_spools(patient=patient)
        for served in self._served.values():
            self._spawn(f"spool-{served.label}", partial(self._serve, served))
            if served.line.spool.cdr_csv or served.line.spool.cdr_dir:
                self._spawn(f"late-{served.label}", partial(self._join_late, served.line))
            if served.line.spool.meta_dir:
                self._spawn(f"calls-{served.label}", partial(self._follow_calls, served))
        for number in range(self._settings.ingest_workers):
            self._spawn(f"ingest-{number}", self._work)
        self._spawn("outages", self._look)
        beat = Heartbeat(self._catalogue, self._clock, partial(self._nodes, self._clock()))
        self._spawn("heartbeat", partial(beat.run, self._stopping))

    def stop(self) -> None:
        """Finish the files in work, commit them, let the spools go. What is queued waits in its spool.

        So does a file whose store or database hangs: the next start takes it up as after a crash.
        """
        self._stopping.set()
        self._queue.close()
        self._gate.close()
        for served in self._served.values():
            served.watcher.stop()
        began_at = time.monotonic()
        for thread, patience in ((thread, self._patience(thread)) for thread in self._threads):
            while thread.is_alive() and not self._hangs() and time.monotonic() - began_at < patience:
                thread.join(0.1)
        for served in self._served.values():
            served.watcher.stop()  # one that its thread has just begun with
        unfinished = not self._committer.close(self._hangs) or any(thread.is_alive() for thread in self._threads)
        if unfinished:
            _log.warning("files in work abandoned", effect="they stay in their spools; the next start takes them up")
        unfinished = unfinished or self._leftovers_stay() or bool(self._outcomes.unremovable())
        for served in self._served.values():
            served.close(in_order=not unfinished and not (served.line.folder.crashed and served.watcher.pending()))

    def _leftovers_stay(self) -> bool:
        """Remove what failed uploads left in the store; whether something may still be there."""
        stay = [True]

        def remove() -> None:
            with self._gate.asking(self._gate.store):
                stay[0] = self._outcomes.give_up()

        removing = threading.Thread(target=remove, name="leftovers", daemon=True)
        removing.start()
        while removing.is_alive() and not self._hangs():
            removing.join(0.1)
        return stay[0]

    def _patience(self, thread: threading.Thread) -> float:
        return _LONGEST_STOP_SECONDS if thread.name.startswith("ingest-") else 2 * ABANDON_SECONDS

    def _hangs(self) -> bool:
        return self._gate.silent_seconds() > ABANDON_SECONDS

    def waiting(self) -> dict[str, int]:
        """Files seen and not yet stored, by spool."""
        return {label: served.watcher.pending() for label, served in self._served.items()}

    def ignored(self) -> dict[str, list[Ignored]]:
        """What lies in each spool and is no recording, by the label of the spool; counted in the metrics too."""
        found = {label: served.watcher.ignored() for label, served in self._served.items()}
        for label, files in found.items():
            reasons = Counter(one.reason for one in files)
            for reason in Reason:
                metrics.IGNORED.labels(label, reason).set(reasons[reason])
            metrics.SIDECARS_ALONE.labels(label).set(len(self._served[label].line.folder.sent.alone))
        return found

    def troubles(self) -> dict[str, str]:
        """What keeps database, store, workers and each "spool LABEL" from work, and what to do; "": nothing does."""
        found, stays = self._gate.troubles(), self._outcomes.unremovable()
        found["workers"] = self._in_hand.trouble()
        for label, served in self._served.items():
            found[f"spool {label}"] = served.trouble() or (_full(served, stays[label]) if label in stays else "")
        return found

    def drain(self, patience_seconds: float = 30.0, check: Callable[[], None] = lambda: None) -> bool:
        """Ingest what is in the spools now, then stop.

        Args:
            patience_seconds: how long nothing may get done (store or database away) before giving up.
            check: called ten times a second; what it raises ends the work as `stop` does.

        Returns:
            Whether every spool was there, with all its folders, and every file reached an end: stored, held or
            quarantined.

        Raises:
            SpoolLocked: another process serves one of them.
        """
        self._draining = True
        self._open_spools()
        there = [served for served in self._served.values() if served.is_open]
        for served in there:
            served.line.describer.follow_calls()
            served.watcher.scan_now()
            self._spawn(f"spool-{served.label}", partial(self._follow, served))
        for number in range(self._settings.ingest_workers):
            self._spawn(f"ingest-{number}", self._work)
        self._spawn("outages", self._look)
        done, moved_at, retried = 0, time.monotonic(), 0
        try:
            while True:
                check()
                open_files = sum(self.waiting().values()) - self._outcomes.parked()
                busy = bool(self._in_hand)
                if open_files <= 0:
                    blind = any(
                        one.reason is Reason.UNREADABLE_FOLDER for files in self.ignored().values() for one in files
                    )
                    for served in there:
                        self._note_calls(CallRecords(self._catalogue, served.line), served.line)
                    return len(there) == len(self._served) and not blind
                now_done = self.counts.stored + self.counts.repeated + self.counts.quarantined + self.counts.held
                if self._gate.away_seconds() > patience_seconds:
                    return False
                if now_done != done or (busy and self.counts.retried == retried):
                    done, moved_at, retried = now_done, time.monotonic(), self.counts.retried
                elif time.monotonic() - moved_at > patience_seconds + self._slowest_settle():
                    return False
                time.sleep(0.1)
        finally:
            self.stop()

    def _slowest_settle(self) -> float:
        return max((s.line.spool.settle_seconds for s in self._served.values()), default=0.0)

    def _open_spools(self, *, patient: bool = False) -> None:
        for served in self._served.values():
            if not served.try_to_open(self._waiting) and served.owner and not patient:
                for other in self._served.values():
                    other.close(in_order=not other.line.folder.crashed)
                raise SpoolLocked(served.line.folder.root, served.owner)

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    # --- threads ------------------------------------------------------------------------------------------

    def _serve(self, served: Served) -> None:
        """Follow one spool, whenever it is there."""
        while not self._stopping.is_set():
            if served.is_open or served.try_to_open(self._waiting):
                served.watcher.start()
                self._follow(served)
                if not self._stopping.is_set():
                    served.watcher.stop()
                    served.renew()
            else:
                self._stopping.wait(served.line.spool.rescan_seconds)

    def _follow(self, served: Served) -> None:
        """Queue what settles, until the process stops or another folder has come over the one that is ours."""
        line = served.line
        while not self._stopping.is_set() and not served.was_mounted_over():
            try:
                self._pass_on(served, timeout_seconds=0.5)
            except Exception:
                _log.exception("spool could not be read", spool=line.spool.label)
                self._stopping.wait(line.spool.rescan_seconds)

    def _pass_on(self, served: Served, timeout_seconds: float) -> None:
        """Queue what has settled, and look at what was stored."""
        line = served.line
        for settled in served.watcher.take(timeout_seconds):
            if line.spool.keeps and line.folder.taken.has(settled.identity):
                served.watcher.done(settled.path)
                continue
            self._enqueue(Job(line, settled, self._outcomes.failed_before(settled.path)))
        metrics.WAITING.labels(line.spool.label).set(served.watcher.pending())
        line.folder.look_again()
        if line.spool.keeps:
            served.look_at_copies()

    def _enqueue(self, job: Job) -> None:
        self._queue.put(job.line.describer.lane(job.settled), job)

    def _look(self) -> None:
        """Say how store, database and spools do; and, in a service, have held files tried whose cause is gone."""
        held_every = self._settings.held_retry_seconds
        held_at = time.monotonic() + held_every
        while not self._stopping.wait(min(_LOOK_SECONDS, held_every)):
            self._gate.look()
            self._in_hand.look()
            for label, served in self._served.items():
                metrics.SPOOL_AWAY.labels(label).set(bool(served.trouble()))
            if self._draining or time.monotonic() < held_at:
                continue
            try:
                self._outcomes.look_at_held()
            except CatalogueError:
                pass  # the gate says so
            except Exception:
                _log.exception("held files could not be looked at")
            held_at = time.monotonic() + held_every

    def _join_late(self, line: ServedSpool) -> None:
        late, records, noted_at = LateRecords(self._catalogue, line), CallRecords(self._catalogue, line), 0.0
        while not self._stopping.wait(line.spool.rescan_seconds):
            try:
                late.join(self._clock())
            except Exception:
                _log.exception("call detail records could not be joined", spool=line.spool.label)
            if time.monotonic() >= noted_at:
                began_at = time.monotonic()
                self._note_calls(records, line)
                # A folder of a million records takes seconds to look through.
                noted_at = time.monotonic() + max(_NOTE_SECONDS, 20 * (time.monotonic() - began_at))

    def _note_calls(self, records: CallRecords, line: ServedSpool) -> None:
        try:
            records.note(self._clock())
        except Exception:
            _log.exception("call detail records could not be kept", spool=line.spool.label)

    def _follow_calls(self, served: Served) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                if served.is_open:
                    served.line.describer.follow_calls()
            except Exception:
                _log.exception("calls could not be followed", spool=served.label)

    def _nodes(self, started_at: datetime, now: datetime) -> list[Node]:
        counts, waiting, ignored = self.counts, self.waiting(), self.ignored()
        return [
            Node(
                name=socket.gethostname(),
                role="ingest",
                spool=label,
                started_at=started_at,
                seen_at=now,
                files_waiting=waiting[label],
                last_ingest_at=self._outcomes.last_ingest_at.get(label),
                detail={
                    "stored": counts.stored,
                    "stored_bytes": counts.stored_bytes,
                    "sidecars_alone": served.line.folder.sent.in_words(),
                    "gone_untaken": served.gone_untaken,
                    "ignored": len(ignored[label]),
                    "ignored_files": "\n".join(
                        f"{safe_text(one.relative)} ({one.reason})" for one in ignored[label][:_IGNORED_SHOWN]
                    ),
                },
            )
            for label, served in self._served.items()
            if served.is_open
        ]

    def _work(self) -> None:
        while (job := self._queue.get()) is not None and self._gate.enter():
            self._work_on(job)

    def _work_on(self, job: Job) -> None:
        try:
            with self._in_hand.taken(job):
                self._take(job)
        except Exception:  # the table of `outcomes` is complete; this keeps the worker should it not be
            _log.exception("worker failed", spool=job.line.spool.label)

    def _take(self, job: Job) -> None:
        outcomes = self._outcomes
        attempt = outcomes.kept(job)
        try:
            if attempt is not None and not self._order.still_right(job, attempt):
                self._order.discard(attempt)
                attempt = None
            if attempt is None:
                prepared = self._order.prepare(job)
                if isinstance(prepared, AlreadyStored):
                    self._gate.leave()
                    outcomes.finish(job, "repeated", 0)
                    return
                attempt = prepared
            with self._gate.asking(self._gate.store) as request:
                recording = self._order.upload(job, attempt, request.goes_on)
            self._gate.passed(self._gate.store)
        except Exception as error:
            outcomes.failed(job, attempt, error)
            return
        self._committer.submit(
            recording, partial(outcomes.committed, job, attempt), partial(outcomes.failed, job, attempt)
        )

    def _write(self, recordings: Sequence[Recording]) -> Sequence[Added]:
        with self._gate.asking(self._gate.database), self._catalogue.begin() as work:
            added = work.add_recordings(recordings)
            note_masking(work, [one.recording for one in added if one.new], self._clock())
            return added


def _full(served: Served, files: int) -> str:
    return (
        f"{files:,} stored files cannot be removed from the spool {served.line.folder.root}. Let the user that runs "
        "recpipe write to its folders; recpipe quarantine list names the files."
    )
