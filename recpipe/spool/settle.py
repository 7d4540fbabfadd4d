"""When is a file finished? A pure state machine: observations in, settled files out; no I/O, no clock of its own.

    (unseen) --> GROWING <--> STILL --> SETTLED --> IN_WORK --> DONE, or KEPT when it stays where it is
                    ^                      |  ^        |
                    +----------------------+  +--- DEFERRED
                        reopened, replaced

A file is GROWING until its size, modification time and inode have stood still for `settle_seconds`; then it is
STILL, and the owner finds out who has it open (`still`, `answer`). While somebody can write to it, it is GROWING,
however long it stands still. Closed, it is SETTLED and waits to be taken, once; where nobody can say, it has to stand
still for longer. Whatever changes afterwards sends it back. While it is IN_WORK a change is remembered, so that the
file settles anew when its worker lets go of it.

Two clocks are passed in: `now` (monotonic seconds) measures standing still; `wall_ns` (nanoseconds since the epoch)
is compared with modification times, and only a file never seen before is believed to have stood still by them.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

from recpipe.model import FileIdentity
from recpipe.spool.files import format_stem
from recpipe.spool.header import Inside

ASK_AGAIN_SECONDS = 5.0  # after "somebody writes to it", should the event of its closing not come
_LOOK_AGAIN_SECONDS = 1.0  # while a reader, or another format of the same call, is waited for
_UNFINISHED_TIMES = 6  # an unfinished header is worth this many times the usual patience


class Writer(StrEnum):
    """Who has a file open."""

    OPEN = "open"  # somebody can write to it
    READ = "read"  # nobody can write to it, somebody reads it
    CLOSED = "closed"  # nobody has it open
    UNKNOWN = "unknown"


class State(StrEnum):
    GROWING = "growing"
    STILL = "still"  # waits for the answer to who has it open
    SETTLED = "settled"  # waits to be taken
    IN_WORK = "in-work"
    DEFERRED = "deferred"  # given back; waits until its time
    DONE = "done"  # finished and gone, remembered until a later scan shows so: a running one may have seen it
    KEPT = "kept"  # finished and left where it is: not handed out again unless it changes


@dataclass(slots=True)
class _Track:
    state: State
    print: FileIdentity
    still_since: float  # monotonic
    inherited: bool
    ask_at: float  # GROWING: when it is worth asking who has it open
    promised: bool = False  # whole by promise of its writer: no need to stand still
    until: float = 0.0  # DEFERRED
    changed: bool = False  # IN_WORK: no longer what was handed out
    vanished: bool = False  # IN_WORK: it was seen to be gone; what comes after it is another file
    free: bool = False  # GROWING: finished, but for another format of it
    lost: FileIdentity | None = None  # IN_WORK: another file took the name of this one
    scan: int = 0  # last scan that saw it
    marked: int = 0  # DONE: the scan that was running or the last one then


@dataclass(frozen=True, slots=True)
class Taken:
    """A file handed out."""

    path: str
    print: FileIdentity
    inherited: bool


class Settler:
    """Tracks every file of one spool by its relative path. Not thread-safe: its owner holds a lock.

    Args:
        settle_seconds: how long size, modification time and inode must not change.
        quiet_seconds: the same where nobody can say whether the file is closed, and before an empty one is believed
            to stay empty; also how long a reader is waited for.
        moved_in_whole: files appear under their name only when they are finished: no need to stand still, and what
            nobody can say is taken as closed.
        group_of: files are taken in turn from each group, so that one tenant's backlog does not starve another.
        rank_of: files of one name but for the ending are formats of one call: none is taken while another is not
            finished, and of finished ones the lower rank first. None: they have nothing to do with each other.

    Attributes:
        notes_lost: what goes away before it is done with is kept for `take_lost`.
    """

    def __init__(
        self,
        settle_seconds: float,
        quiet_seconds: float,
        moved_in_whole: bool = False,
        group_of: Callable[[str], str] = lambda path: "",
        rank_of: Callable[[str], int] | None = None,
    ) -> None:
        self._settle_seconds = settle_seconds
        self._quiet_seconds = max(quiet_seconds, settle_seconds)
        self._moved_in_whole = moved_in_whole
        self._group_of = group_of
        self._rank_of = rank_of
        self._formats: dict[str, set[str]] = {}  # by path without its ending
        self._tracks: dict[str, _Track] = {}
        self._due: list[tuple[float, str]] = []  # heap of "look again at"; stale entries are skipped
        self._still: list[str] = []  # to be asked about; stale entries are skipped
        self._ready: OrderedDict[str, deque[str]] = OrderedDict()
        self._counts: Counter[State] = Counter()
        self._scan = 0
        self._first_scan_over = False
        self.notes_lost = False
        self._lost: list[FileIdentity] = []

    # --- observations ---------------------------------------------------------------------------------

    def seen(self, path: str, size: int, mtime_ns: int, inode: int, now: float, wall_ns: int) -> None:
        """A look at the file: by a scan, after a hint, or because it was due."""
        fresh = FileIdentity(size, mtime_ns, inode)
        track = self._tracks.get(path)
        if track is None:
            self._first_sight(path, fresh, now, wall_ns, inherited=not self._first_scan_over)
            return
        track.scan = self._scan
        if track.print == fresh and not track.vanished:
            self._unchanged(path, track, now)
        elif track.state in (State.DONE, State.KEPT):
            self._drop(path, track, even_done=True)
            self._first_sight(path, fresh, now, wall_ns, inherited=False)
        else:
            self._changed(path, track, fresh, now)

    def hint_closed(self, path: str, now: float) -> None:
        """Somebody closed it after writing: ask who has it open as soon as it has stood still from now."""
        track = self._tracks.get(path)
        if track is None or track.state not in (State.GROWING, State.STILL):
            return
        if self._moved_in_whole:
            self._hint(path, now)
        else:
            track.still_since = now
            self._wait(path, track, now + self._settle_seconds)

    def hint_moved_in(self, path: str, now: float) -> None:
        """It was renamed to this name. Only where the layout promises so does that finish it."""
        self._hint(path, now)

    def gone(self, path: str) -> None:
        """It is not there (any more): deleted, or renamed away."""
        track = self._tracks.get(path)
        if track is None:
            return
        if track.state is State.IN_WORK:
            track.vanished = True  # its worker did it, or will find out
        else:
            self._note_lost(track)
            self._drop(path, track)

    def present(self) -> frozenset[FileIdentity]:
        """All files that are there, as far as it is known."""
        return frozenset(track.print for track in self._tracks.values() if track.state is not State.DONE)

    def take_lost(self) -> list[FileIdentity]:
        """What went away since the last call before it was done with; it may be there under another name."""
        lost, self._lost = self._lost, []
        return lost

    def scan_started(self) -> None:
        """A scan of the whole spool begins."""
        self._scan += 1

    def scan_finished(self, now: float, blind: Collection[str] = ()) -> list[str]:
        """A scan of the whole spool is over: what it did not see is gone.

        Args:
            blind: folders ("a/b", or "" for all) that could not be read; nothing below them is taken as gone.

        Returns:
            Paths that vanished.
        """
        vanished = []
        for path, track in list(self._tracks.items()):
            if track.state is State.DONE:
                self._review_done(path, track, now)
            elif track.scan != self._scan and not _below(path, blind):
                vanished.append(path)
                self.gone(path)
        if "" not in blind:
            self._first_scan_over = True
        return vanished

    # --- the owner's side -----------------------------------------------------------------------------

    def due(self, now: float) -> list[str]:
        """Files worth a look now: they may have stood still long enough. Each is named once."""
        paths = []
        while self._due and self._due[0][0] <= now:
            _, path = heapq.heappop(self._due)
            track = self._tracks.get(path)
            if track is None:
                continue
            if track.state is State.DEFERRED and track.until <= now:
                self._make_ready(path, track)
            elif track.state is State.GROWING:
                paths.append(path)
        return paths

    def put_off(self, path: str, until: float) -> None:
        """Nothing could be said of a file that was due: it is due again then."""
        track = self._tracks.get(path)
        if track is not None and track.state is State.GROWING:
            self._wait(path, track, until)

    def still(self) -> list[tuple[str, FileIdentity]]:
        """Files that have stood still, each once: find out who has them open, and `answer`."""
        paths, self._still = dict.fromkeys(self._still), []
        tracks = ((path, self._tracks.get(path)) for path in paths)
        return [(path, track.print) for path, track in tracks if track is not None and track.state is State.STILL]

    def answer(self, path: str, seen: FileIdentity, writer: Writer, inside: Inside, now: float) -> None:
        """What was found out about a file of `still`; without meaning when it has changed since.

        Args:
            inside: what its header says.
        """
        track = self._tracks.get(path)
        if track is None or track.state is not State.STILL or track.print != seen:
            return
        if writer is Writer.OPEN:
            track.promised = False
            self._wait(path, track, now + ASK_AGAIN_SECONDS)
            return
        ripe_at = track.still_since + self._patience(track, writer, inside)
        if now >= ripe_at:
            track.free = True
            if self._waits_for_other_format(path, track, now):
                self._wait(path, track, now + max(self._settle_seconds, _LOOK_AGAIN_SECONDS))
            else:
                self._make_ready(path, track)
        else:
            # A reader may be done any moment; what only time can tell is not asked again before its time.
            self._wait(path, track, min(ripe_at, now + _LOOK_AGAIN_SECONDS) if writer is Writer.READ else ripe_at)

    def _patience(self, track: _Track, writer: Writer, inside: Inside) -> float:
        """How long the file must have stood still, in seconds."""
        if inside is Inside.EMPTY or writer is Writer.READ:
            return self._quiet_seconds
        if writer is Writer.UNKNOWN and not track.promised:
            return self._quiet_seconds * (_UNFINISHED_TIMES if inside is Inside.UNFINISHED else 1)
        if track.promised:
            return 0.0
        # Closed with sizes that are not its own: a crash, or a writer that comes back to put them in.
        return self._settle_seconds * (_UNFINISHED_TIMES if inside is Inside.UNFINISHED else 1)

    def _waits_for_other_format(self, path: str, track: _Track, now: float) -> bool:
        if self._rank_of is None:
            return False
        for other in self._formats.get(format_stem(path), ()):
            known = self._tracks[other]
            if other == path or known.state in (State.DONE, State.KEPT):
                continue
            if known.state in (State.GROWING, State.STILL) and not known.free:
                return True  # a converter is at work, or its output is still to be judged
            if self._rank_of(other) < self._rank_of(path):
                return True
            # Both are there and closed: a converter may be about to remove the one it has read.
            still_since = max(track.still_since, known.still_since)
            if (
                known.state in (State.GROWING, State.STILL)
                and now < still_since + _UNFINISHED_TIMES * self._settle_seconds
            ):
                return True
        return False

    def next_due(self) -> float | None:
        """When `due` has something to say; None when it is waiting for nothing."""
        return self._due[0][0] if self._due else None

    def take(self, limit: int) -> list[Taken]:
        """Hand out settled files, each once, in turn from each group; oldest first within a group."""
        taken: list[Taken] = []
        while self._ready and len(taken) < limit:
            group, queue = self._ready.popitem(last=False)
            path = queue.popleft()
            if queue:
                self._ready[group] = queue  # to the end: the next group's turn
            track = self._tracks.get(path)
            if track is None or track.state is not State.SETTLED:
                continue  # it changed while it waited
            self._enter(track, State.IN_WORK)
            track.changed = track.vanished = False
            taken.append(Taken(path, track.print, track.inherited))
        return taken

    def done(self, path: str, now: float, left: FileIdentity | None = None) -> FileIdentity | None:
        """The worker finished it. If something new is under this name by now, that settles on its own.

        Args:
            left: what is there now; None for nothing. The very file that was handed out is kept on purpose.

        Returns:
            What it was, as far as it was known.
        """
        track = self._tracks.get(path)
        if track is None or track.state is not State.IN_WORK:
            return None
        known, track.lost = track.print, None
        if left is None:
            self._enter(track, State.DONE)
            track.marked = self._scan
        elif left == track.print and not (track.changed or track.vanished):
            self._enter(track, State.KEPT)
        else:
            track.print, track.inherited = left, False
            self._grow(path, track, now)
        return known

    def release(self, path: str, retry_at: float, now: float) -> None:
        """The worker gives it back: hand it out again at `retry_at`, or when it has settled anew if it changed."""
        track = self._tracks.get(path)
        if track is None or track.state is not State.IN_WORK:
            return
        if track.lost is not None and self.notes_lost:
            self._lost.append(track.lost)
        track.lost = None
        if track.changed:
            self._grow(path, track, now)
        else:
            self._enter(track, State.DEFERRED)
            track.until = retry_at
            heapq.heappush(self._due, (retry_at, path))

    def hurry(self, path: str) -> None:
        """What was given back is to be handed out now, and not at its time."""
        track = self._tracks.get(path)
        if track is not None and track.state is State.DEFERRED:
            self._make_ready(path, track)

    def state(self, path: str) -> State | None:
        track = self._tracks.get(path)
        return track.state if track else None

    def count(self, *states: State) -> int:
        return sum(self._counts[state] for state in states)

    # --- transitions ----------------------------------------------------------------------------------

    def _first_sight(self, path: str, fresh: FileIdentity, now: float, wall_ns: int, *, inherited: bool) -> None:
        age = (wall_ns - fresh.mtime_ns) / 1e9
        # A time in the future is a skewed clock and says nothing: it has to stand still by ours.
        credit = max(age, 0.0)
        track = _Track(State.GROWING, fresh, now - credit, inherited, now, self._moved_in_whole, scan=self._scan)
        self._tracks[path] = track
        if self._rank_of is not None and format_stem(path):
            self._formats.setdefault(format_stem(path), set()).add(path)
        self._counts[State.GROWING] += 1
        self._ask_or_wait(path, track, now)

    def _unchanged(self, path: str, track: _Track, now: float) -> None:
        if track.state in (State.GROWING, State.STILL):  # STILL: the question may have been lost, so it is put again
            self._ask_or_wait(path, track, now)
        elif track.state is State.DEFERRED and track.until <= now:
            self._make_ready(path, track)

    def _changed(self, path: str, track: _Track, fresh: FileIdentity, now: float) -> None:
        if track.print.inode != fresh.inode:
            track.inherited = False
            if track.state is State.IN_WORK:
                track.lost = track.lost or track.print
            else:
                self._note_lost(track)
        track.print = fresh
        if track.state is State.IN_WORK:
            track.changed, track.still_since = True, now
        else:
            self._grow(path, track, now)

    def _note_lost(self, track: _Track) -> None:
        if self.notes_lost and track.state not in (State.DONE, State.KEPT):
            self._lost.append(track.print)

    def _grow(self, path: str, track: _Track, now: float) -> None:
        # Written to although it was promised to be whole: the promise is void.
        track.still_since, track.promised, track.changed, track.vanished = now, False, False, False
        track.free = False
        self._wait(path, track, now + self._settle_seconds)

    def _hint(self, path: str, now: float) -> None:
        track = self._tracks.get(path)
        if track is not None and track.state is State.GROWING and self._moved_in_whole:
            track.promised, track.ask_at = True, now
            self._ask_or_wait(path, track, now)

    def _ask_or_wait(self, path: str, track: _Track, now: float) -> None:
        ask_at = track.ask_at if track.promised else max(track.ask_at, track.still_since + self._settle_seconds)
        if now >= ask_at:
            self._enter(track, State.STILL)
            self._still.append(path)
        else:
            self._wait(path, track, ask_at)

    def _wait(self, path: str, track: _Track, ask_at: float) -> None:
        if track.state is State.GROWING and track.ask_at == ask_at:
            return  # it stands in the heap already
        self._enter(track, State.GROWING)
        track.ask_at = ask_at
        heapq.heappush(self._due, (ask_at, path))

    def _make_ready(self, path: str, track: _Track) -> None:
        self._enter(track, State.SETTLED)
        self._ready.setdefault(self._group_of(path), deque()).append(path)

    def _review_done(self, path: str, track: _Track, now: float) -> None:
        if track.marked == self._scan:
            return  # finished while the scan ran: what the scan saw proves nothing
        if track.scan == self._scan:
            self._grow(path, track, now)  # still there after all
        else:
            self._drop(path, track, even_done=True)

    def _enter(self, track: _Track, state: State) -> None:
        self._counts[track.state] -= 1
        self._counts[state] += 1
        track.state = state

    def _drop(self, path: str, track: _Track, *, even_done: bool = False) -> None:
        if track.state is not State.DONE or even_done:
            self._counts[track.state] -= 1
            del self._tracks[path]
            formats = self._formats.get(format_stem(path), set())
            formats.discard(path)
            if not formats:
                self._formats.pop(format_stem(path), None)


def _below(path: str, folders: Collection[str]) -> bool:
    return any(not folder or path.startswith(folder + "/") for folder in folders)
