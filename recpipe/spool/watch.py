"""Finds finished files: watchdog's events are hints, reading the whole folder again is the truth.

inotify misses events (new folders, overflow, its limits, network file systems), so nothing depends on it: a hint
only makes a file be looked at sooner. Both ends meet in `settle.Settler`; who still has a file open, `writers` says.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from recpipe import log as logs
from recpipe import settings
from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity, Settled
from recpipe.spool import header
from recpipe.spool.files import CONTROL_FOLDER, first_folder, is_foreign_folder, is_wave
from recpipe.spool.hints import EVENTS, Hints, watch_limit
from recpipe.spool.settle import ASK_AGAIN_SECONDS, Settler, State, Taken, Writer
from recpipe.spool.tree import Ignored, Reason, Tree
from recpipe.spool.untaken import Untaken
from recpipe.spool.writers import Writers

_log = logs.get(__name__)

_RAISE = "raise fs.inotify.max_user_watches for quicker pick-up; nothing is missed without it"
_WHO = "see which process has it open (lsof on the spool); it is taken once that closes it, or ends"
_LONG_OPEN_HOURS = 1.0
_MENTIONS = 10_000
_UNFINISHED = (State.GROWING, State.STILL, State.SETTLED, State.IN_WORK, State.DEFERRED)

_PAUSE_TIMES = 10  # the pause between two scans, in times of what one took
_NEWBORN_NS = 10 * 10**9  # a file that was just created was written to since
# Of two formats of one call, the lower rank is handed out first.
_RANKS: dict[str, Callable[[str], int] | None] = {
    "all": None,
    "original": lambda path: not is_wave(path),
    "converted": is_wave,
}


class Watcher:
    """Watches one spool. Every public method may be called from any thread.

    Either `start` it (a thread of its own looks) or do not: then `scan_now` looks, and `take` and `once` wait for
    stillness in the caller's thread.

    Args:
        spool: the folder and how long its files must stand still.
        spool_root_state: our control folder, when it is not `.recpipe` in the spool. The `id` file in it is the proof
            that the spool is mounted: when it is gone, an empty folder is not taken as "all files vanished".
    """

    def __init__(self, spool: settings.Spool, spool_root_state: Path | None = None) -> None:
        self._spool = spool
        self._root = spool.path.absolute()
        control = spool_root_state or spool.state_dir or self._root / CONTROL_FOLDER
        self._tree = Tree(self._root, control / "id", spool)
        self._label = spool.label
        self._settler = Settler(
            spool.settle_seconds, spool.quiet_seconds, spool.moved_in_whole, first_folder, _RANKS[spool.formats]
        )
        self._settler.notes_lost = spool.keeps
        self._untaken = Untaken()
        self._writers = Writers(spool.remote_writers, control)
        self._changed = threading.Condition()  # guards the settler; told when something settled
        self._looking = threading.Lock()  # one scan or look at a time: their order is what `Settler` relies on
        self._hints: dict[tuple[str, str, str], None] = {}  # (what, relative, before), in order, without repeats
        self._hint_lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._observer: BaseObserver | None = None
        self._observed = ""  # what events' paths begin with
        self._warned = False
        self._mentioned: set[str] = set()  # files whose writer seems to have forgotten them
        self._next_scan = 0.0

    # --- life -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch; files already there come first, marked `inherited`."""
        if self._thread is not None:
            return
        self._stopping.clear()
        self._observe()
        thread = threading.Thread(target=self._run, name=f"watch-{self._label}", daemon=True)
        thread.start()
        self._thread = thread  # only now may another thread that stops this one wait for it

    def stop(self) -> None:
        """Stop watching; a waiting `take` returns. What was not taken stays in the spool for the next start."""
        self._stopping.set()
        self._wake.set()
        with self._changed:
            self._changed.notify_all()
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join()
            self._observer = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # --- handing out ----------------------------------------------------------------------------------

    def take(self, timeout_seconds: float, limit: int = 256) -> list[Settled]:
        """Wait until something has settled, or the time is over.

        Each file is handed out once, until `done` or `release` is called for it.

        Args:
            timeout_seconds: how long to wait when nothing is ready.
            limit: at most so many at once.

        Returns:
            Finished files in turn from each top folder; empty when the time is over or the watcher was stopped.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            if self._thread is None:
                self._look_at_due()
            with self._changed:
                taken = self._settler.take(limit)
            ready = [settled for one in taken if (settled := self._confirm(one)) is not None]
            now = time.monotonic()
            if ready or now >= deadline or self._stopping.is_set():
                return ready
            with self._changed:
                if self._settler.count(State.SETTLED):
                    continue
                due = self._settler.next_due() if self._thread is None else None
                wait = deadline - now if due is None else min(deadline - now, max(due - now, 0.001))
                self._changed.wait(wait)

    def done(self, path: Path) -> None:
        """The file is finished: stored and removed, or moved away. Left in place, it is not handed out again."""
        relative = self._relative(path)
        status = self._tree.status(relative)
        left = FileIdentity.of(status) if isinstance(status, os.stat_result) else None
        with self._changed:
            known = self._settler.done(relative, time.monotonic(), left)
        if known is not None:
            self._writers.done(known)

    def release(self, path: Path, retry_after_seconds: float) -> None:
        """The file could not be finished: hand it out again after this time (or once it settled anew)."""
        now = time.monotonic()
        with self._changed:
            self._settler.release(self._relative(path), now + retry_after_seconds, now)
            self._changed.notify_all()
        self._wake.set()

    def hurry(self, path: Path) -> None:
        """Hand a released file out now: what it waited for is there."""
        with self._changed:
            self._settler.hurry(self._relative(path))
            self._changed.notify_all()

    def pending(self) -> int:
        """Recordings in the spool that are not finished: growing, ready, in work or waiting for another try."""
        with self._changed:
            return self._settler.count(*_UNFINISHED)

    @property
    def lost(self) -> bool:
        """Whether the spool was not there at the last look: gone, or not mounted."""
        return self._tree.lost

    def ignored(self) -> list[Ignored]:
        """What is in the spool and is no recording, in the order it was found; see `Ignored`."""
        return self._tree.ignored()

    def pass_over(self, path: Path, reason: Reason = Reason.NOT_A_RECORDING) -> None:
        """The file is not to be stored: it stays, is listed as ignored, and not handed out again."""
        self._tree.ignore(self._relative(path), reason)
        self.done(path)

    def left_there(self) -> tuple[frozenset[FileIdentity] | None, list[FileIdentity]]:
        """Where stored files stay: what is there, and what went away before it was done with; see `Untaken`."""
        with self._changed:
            return self._untaken.present, self._untaken.told()

    def scan_now(self) -> None:
        """Read the whole spool once, in the caller's thread."""
        with self._looking:
            self._scan()

    def once(self, patience_seconds: float | None = None) -> Iterator[list[Settled]]:
        """Scan once, wait for what is there to stand still, hand it out, finish. Needs no `start`.

        Args:
            patience_seconds: how long to wait for files that keep growing (calls in progress); by default four
                times `settle_seconds`, at least two seconds. They stay in the spool and are `pending`.
        """
        patience = max(4 * self._spool.settle_seconds, 2.0) if patience_seconds is None else patience_seconds
        self.scan_now()
        deadline = time.monotonic() + patience
        while True:
            left = max(0.0, deadline - time.monotonic())
            batch = self.take(min(left, 0.5))
            if batch:
                yield batch
                continue
            with self._changed:
                growing = self._settler.count(State.GROWING, State.STILL, State.SETTLED)
            if not growing or not left or self._stopping.is_set():
                return

    # --- the watching thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception:  # a thread that dies in silence would leave recordings lying
                _log.exception("spool scan failed", spool=self._label)
                self._next_scan = time.monotonic() + self._spool.rescan_seconds
            with self._changed:
                due = self._settler.next_due()
            until = self._next_scan if due is None else min(self._next_scan, due)
            self._wake.wait(max(0.0, until - time.monotonic()))
            self._wake.clear()

    def _step(self) -> None:
        with self._hint_lock:
            hints, self._hints = self._hints, {}
        with self._looking:
            if time.monotonic() >= self._next_scan:
                self._scan()
            for hint in hints:
                self._follow_hint(*hint)
        self._look_at_due()

    def _look_at_due(self) -> None:
        with self._looking:
            with self._changed:
                paths = self._settler.due(time.monotonic())
            for relative in paths:
                self._look(relative)
            self._ask()

    def _ask(self) -> None:
        """Find out who has the files open that stand still."""
        with self._changed:
            still = self._settler.still()
        for relative, seen in still:
            try:
                with self._tree.below.parent(relative) as path:
                    writer = self._writers.of(str(path), relative, seen)
                    if writer is Writer.OPEN:
                        self._mention(relative, seen)
                    inside = header.Inside.SOUND if writer is Writer.OPEN else header.look(path)
            except (SourceChanged, OSError):  # its folder is gone, a link by now, or the spool is away: asked again
                writer, inside = Writer.OPEN, header.Inside.SOUND
            with self._changed:
                self._settler.answer(relative, seen, writer, inside, time.monotonic())
                if self._settler.count(State.SETTLED):
                    self._changed.notify_all()

    def _mention(self, relative: str, seen: FileIdentity) -> None:
        hours = (time.time_ns() - seen.mtime_ns) / 3600e9
        if hours > _LONG_OPEN_HOURS and relative not in self._mentioned and len(self._mentioned) < _MENTIONS:
            self._mentioned.add(relative)
            _log.warning("file kept open and not written to", spool=self._label, hours=round(hours, 1), advice=_WHO)

    def _look(self, relative: str) -> FileIdentity | None:
        status = self._tree.status(relative)
        if status is None:  # the spool itself is away: says nothing of the file
            with self._changed:
                self._settler.put_off(relative, time.monotonic() + self._spool.rescan_seconds)
            return None
        if isinstance(status, os.stat_result) and not self._tree.may_be_recording(relative.rpartition("/")[2]):
            return None
        with self._changed:
            if isinstance(status, os.stat_result):
                self._seen(relative, status)
                return FileIdentity.of(status)
            self._settler.gone(relative)
        self._writers.births.gone(relative)
        return None

    def _seen(self, relative: str, found: os.stat_result) -> None:
        self._settler.seen(relative, found.st_size, found.st_mtime_ns, found.st_ino, time.monotonic(), time.time_ns())

    def _confirm(self, one: Taken) -> Settled | None:
        """Look and ask once more just before handing out: it may have been opened again while it waited."""
        status = self._tree.status(one.path)
        same = isinstance(status, os.stat_result) and FileIdentity.of(status) == one.print
        if same and self._held_open(one.path):
            now = time.monotonic()
            with self._changed:
                self._settler.release(one.path, now + ASK_AGAIN_SECONDS, now)
            return None
        if same:
            return Settled(
                path=self._root / one.path,
                relative=one.path,
                size_bytes=one.print.size_bytes,
                mtime_ns=one.print.mtime_ns,
                inode=one.print.inode,
                inherited=one.inherited,
            )
        now = time.monotonic()
        with self._changed:
            if isinstance(status, os.stat_result):
                self._seen(one.path, status)
                self._settler.release(one.path, now, now)
            elif status is None:
                self._settler.release(one.path, now + self._spool.rescan_seconds, now)
            else:
                self._settler.done(one.path, now)
        return None

    def _held_open(self, relative: str) -> bool:
        try:
            with self._tree.below.parent(relative) as path:
                return self._writers.by_lease(str(path))[0] is Writer.OPEN
        except (SourceChanged, OSError):
            return False  # whoever opens it will find out

    # --- the truth: reading the folder ----------------------------------------------------------------

    def _scan(self) -> None:
        began_at = time.monotonic()
        self._next_scan = began_at + self._spool.rescan_seconds
        if not self._tree.is_there():
            return
        with self._changed:
            self._settler.scan_started()
        blind = self._walk("")
        if not self._tree.is_there():
            return  # unmounted meanwhile: what was not seen may well be there
        with self._changed:
            now = time.monotonic()
            vanished = self._settler.scan_finished(now, blind)
            if self._settler.notes_lost and not blind:
                self._untaken.scanned(self._settler.present(), self._settler.take_lost())
        # A backlog that waits must not cost a third of a core for as long as it waits.
        self._next_scan = max(self._next_scan, now + _PAUSE_TIMES * (now - began_at))
        for relative in vanished:
            self._writers.births.gone(relative)
        self._ask()

    def _walk(self, top: str) -> list[str]:
        """Look at every recording below `top`; returns the folders that nothing is known of."""
        blind: list[str] = []
        folders = 0
        for found in self._tree.walk(top, blind):
            folders += 1
            with self._changed:
                now, wall_ns = time.monotonic(), time.time_ns()
                for relative, status in found:
                    self._settler.seen(relative, status.st_size, status.st_mtime_ns, status.st_ino, now, wall_ns)
            self._ask()
            if self._stopping.is_set():
                return [""]
        if self._observer is not None and not self._warned and folders > watch_limit():
            self._warned = True  # watchdog passes over folders that it gets no watch for, and says nothing
            _log.warning("more folders than inotify watches", spool=self._label, folders=folders, advice=_RAISE)
        return blind

    # --- hints ----------------------------------------------------------------------------------------

    def _observe(self) -> None:
        # watchdog warns, with a text as long as the list of all folders, when two of its ways find the same new one.
        warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning)
        observer = Observer()
        self._observed = os.path.realpath(self._root)
        try:
            observer.schedule(
                Hints(self.hint),
                self._observed,
                recursive=True,
                event_filter=EVENTS,
            )
            observer.start()
        except OSError as error:
            _log.warning(
                "watching by rescan only",
                spool=self._label,
                why=error.strerror or str(error),
                advice=_RAISE,
            )
            return
        self._observer = observer

    def hint(self, what: str, path: str | bytes, source: str | bytes = "") -> None:
        """For the event handler alone: something happened to `path`, which was called `source` before."""
        # Births are followed under any name, so that a file that was closed before its renaming is known as such.
        name = (what, self._below_root(path), self._below_root(source))
        if not name[1]:
            if not name[2]:
                return
            name = ("gone", name[2], "")  # moved out of the spool, or to where we do not look
        with self._hint_lock:
            self._hints.pop(name, None)  # to the end: the order of events matters
            self._hints[name] = None
        self._wake.set()

    def _below_root(self, path: str | bytes) -> str:
        """Relative to the root; "" for what does not lie in the spool or in a folder that is not ours to look into."""
        text = os.fsdecode(path)
        if not text.startswith(self._observed.rstrip("/") + "/"):
            return ""
        relative = text[len(self._observed) :].strip("/")
        return "" if any(map(is_foreign_folder, relative.split("/")[:-1])) else relative

    def _follow_hint(self, what: str, relative: str, before: str) -> None:
        parent = os.path.dirname(relative) if what != "folder" else relative  # noqa: PTH120 - "" means the root here
        real_top = os.path.realpath(self._root)
        try:
            if os.path.realpath(self._root / parent) != str(Path(real_top, parent)):
                return  # a link on the way: never followed
        except OSError:  # swapped while it was looked at: the next scan sees what is there then
            return
        if what == "folder":
            if self._tree.is_there() and not is_foreign_folder(relative.rpartition("/")[2]):
                self._walk(relative)
            return
        if what == "gone":
            self._look(relative)
            return
        seen = self._look(relative)
        births = self._writers.births
        if what == "created":
            # A hard link is no birth: what we put into the spool, or back into it, appears so.
            if seen is None or time.time_ns() - seen.mtime_ns < _NEWBORN_NS:
                births.born(relative)
        elif what == "closed":
            births.closed(relative, seen)
            with self._changed:
                self._settler.hint_closed(relative, time.monotonic())
        else:
            births.moved(before, relative, seen)
            with self._changed:
                self._settler.hint_moved_in(relative, time.monotonic())
            if before:
                self._look(before)

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()
