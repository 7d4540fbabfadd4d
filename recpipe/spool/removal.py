"""The last look at files that are stored: each is moved aside first, and goes for good only when nobody writes to it.

A writer's descriptor follows the file, so whatever it still writes is there to be seen. At once where the kernel says
that the file is closed, else after a grace time, the file is looked at: if it grew, it goes back into the spool and
is stored whole; while somebody has it open for writing, it stays. What lies here after a crash was stored before.
Sidecars come and go before their recording, so that no crash leaves one whose recording is gone.

    aside/MILLISECONDS-SIZE-MTIME-RANDOM~QUOTED_PATH, and its sidecars beside it under the same number

No folders are made: inotify would be told to watch each of them.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from recpipe import log as logs
from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity
from recpipe.spool import safe_move
from recpipe.spool.beneath import Beneath
from recpipe.spool.files import Kind, kind_of
from recpipe.spool.settle import ASK_AGAIN_SECONDS, Writer
from recpipe.spool.writers import Writers

_log = logs.get(__name__)

_TRY_AGAIN_SECONDS = 60.0
_SCARCE = 0.05  # less of the disk free than this: what nobody can say is not waited for


class Aside:
    """The folder of files that wait for their last look. Methods may be called from several threads.

    Args:
        folder: gives the folder, which is in the control folder; mostly on the file system of the spool.
        below: the way into the spool.
        grace_seconds: how long to wait where nobody can say whether the file is closed.
        let_go: removes or archives a file for good, given where it lies, its path below the spool, and whether it lies
            in the folder above, where nobody else can put another in its place.
        label: the spool's name in logs.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        below: Beneath,
        grace_seconds: float,
        writers: Writers,
        let_go: Callable[[Path, Path, bool], None],
        label: str,
    ) -> None:
        self._folder = folder
        self._below = below
        self._grace_seconds = grace_seconds
        self._writers = writers
        self._let_go = let_go
        self._label = label
        self._due: list[tuple[float, str]] = []  # heap of (when by time.time(), entry)
        self._lock = threading.Lock()

    def put(self, source: Path, relative: Path, expected: FileIdentity, sidecars: Sequence[Path]) -> None:
        """Move a stored file aside and look at it.

        Args:
            source: a path to it, its folder pinned.
            relative: its path below the spool.
            sidecars: those that go with it, in the same folder.

        Raises:
            SourceChanged: it is not the file that was stored; it is where it was.
            OSError: it can be neither removed nor archived; it is where it was.
        """
        safe_move.check(source, expected)
        folder = self._folder()
        entry = f"{time.time_ns() // 1_000_000}-{expected.size_bytes}-{expected.mtime_ns}-{secrets.token_hex(4)}"
        here = {file: relative.with_name(file.name) for file in (*sidecars, source)}
        files: dict[Path, Path] = {}
        try:
            for file, name in here.items():
                with contextlib.suppress(FileNotFoundError) if file != source else contextlib.nullcontext():
                    place = folder / f"{entry}~{safe_move.claim_name(name)}"
                    file.rename(place)
                    files[place] = name
        except FileNotFoundError:
            self._put_back(files)
            raise SourceChanged(source) from None
        except OSError:  # too long a path for one name, or another file system is mounted there: look, and let go
            self._put_back(files)
            if self._writers.of_moved(source) is Writer.OPEN:
                raise SourceChanged(source) from None
            # What is in the spool must not come again without its description.
            self._all_go(reversed(here.items()), ours=False)
            return
        try:
            stayed = self._look(entry, files)
        except OSError as error:  # it can be neither removed nor archived: for whoever looks into the spool to see
            if not all(os.path.lexists(file) for file in files):  # back there it would come without its description
                self._try_again(entry, error)
                return
            self._put_back(files)
            raise
        if not stayed:
            raise SourceChanged(source)

    def load(self) -> None:
        """Take up what an earlier process left here, and put it down for a look now.

        Sidecars whose recording is still in the spool are back there at once, before it is described again.
        """
        entries: dict[str, list[str]] = {}
        for name in sorted(self._names()):
            entries.setdefault(name.partition("~")[0], []).append(name)
        with self._lock:
            self._due = [(0.0, entry) for entry in entries]
        for names in entries.values():
            if _recording(files := self._files(names)) is None:
                self._put_back(files)

    def look(self) -> None:
        """Look at the files whose time has come. Cheap when there are none."""
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > time.time():
                    return
                _, entry = heapq.heappop(self._due)
            try:
                self._look(entry, self._files(name for name in self._names() if name.partition("~")[0] == entry))
            except OSError as error:
                self._try_again(entry, error)

    def _names(self) -> list[str]:
        return os.listdir(self._folder())  # noqa: PTH208

    def _files(self, names: Iterable[str]) -> dict[Path, Path]:
        """Where they lie, and their paths below the spool."""
        folder = self._folder()
        return {folder / name: safe_move.unquoted(name.partition("~")[2]) for name in names}

    def _look(self, entry: str, files: dict[Path, Path]) -> bool:
        """Whether the file stayed as it was stored; gone for good or waiting here. Else it is back in the spool.

        Args:
            files: where the recording and its sidecars lie, and their paths below the spool.
        """
        at, stored = _read(entry)
        path = _recording(files)
        if path is None:  # a crash came before it was moved here
            self._put_back(files)
            return True
        status = path.lstat()
        if (status.st_size, status.st_mtime_ns) != stored:
            _log.warning("stored file was written to again", spool=self._label, effect="it is stored once more, whole")
            self._put_back(files)
            return False
        writer, now = self._writers.of_moved(path), time.time()
        over = now >= at + self._grace_seconds or self._scarce()
        if writer is Writer.OPEN or (writer is not Writer.CLOSED and not over):
            may_end = writer in (Writer.OPEN, Writer.READ)  # at any moment
            self._again(entry, now + ASK_AGAIN_SECONDS if may_end else at + self._grace_seconds)
            return True
        self._all_go(_sidecars_first(files), ours=True)
        return True

    def _all_go(self, files: Iterable[tuple[Path, Path]], *, ours: bool) -> None:
        for path, relative in files:
            gone = (FileNotFoundError, SourceChanged) if kind_of(relative.name) is Kind.SIDECAR else ()
            with contextlib.suppress(*gone):
                self._let_go(path, relative, ours)

    def _again(self, entry: str, at: float) -> None:
        with self._lock:
            heapq.heappush(self._due, (at, entry))

    def _try_again(self, entry: str, error: OSError) -> None:
        self._again(entry, time.time() + _TRY_AGAIN_SECONDS)
        _log.warning("stored file cannot be removed yet", spool=self._label, why=error.strerror or "")

    def _put_back(self, files: dict[Path, Path]) -> None:
        """Back into the spool, under the old name or one beside it; sidecars first."""
        for path, relative in _sidecars_first(files):
            with (
                contextlib.suppress(FileNotFoundError),
                self._below.parent(str(relative), make_mode=0o755) as original,
            ):
                safe_move.put_back(path, original)

    def _scarce(self) -> bool:
        disk = os.statvfs(self._folder())
        return disk.f_bavail < disk.f_blocks * _SCARCE


def _sidecars_first(files: dict[Path, Path]) -> list[tuple[Path, Path]]:
    return sorted(files.items(), key=lambda file: kind_of(file[1].name) is not Kind.SIDECAR)


def _recording(files: dict[Path, Path]) -> Path | None:
    return next((path for path, relative in files.items() if kind_of(relative.name) is not Kind.SIDECAR), None)


def _read(entry: str) -> tuple[float, tuple[int, int]]:
    """When the entry was made, and size and mtime_ns of the file as it was stored; nothing fits a strange name."""
    try:
        at, size, mtime_ns, _ = entry.split("-")
        return int(at) / 1000, (int(size), int(mtime_ns))
    except ValueError:
        return 0.0, (-1, -1)
