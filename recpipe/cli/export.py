"""Writing stored files into a folder, so that it can be interrupted, gone on with and checked with `sha256sum -c`."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from recpipe import durable
from recpipe.access.principal import Action, Principal
from recpipe.errors import InputInvalid, StoreError
from recpipe.model import DayEntry, Recording, RecordingQuery
from recpipe.recordings.reader import Reader, checksum_line, path_of

SUMS = "SHA256SUMS"
MOST_AT_ONCE = 8
_PIECE_BYTES = 1 << 20
# What file systems without hard links answer, such as those of USB sticks.
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that is not there now, and why."""

    recording_id: str
    path: str
    message: str


@dataclass(slots=True)
class Exported:
    """What was written."""

    written: int = 0
    written_bytes: int = 0
    unchanged: int = 0  # there already, whole and the same
    failures: list[Failure] = field(default_factory=list)


def export(
    reader: Reader,
    by: Principal,
    tenant_id: str,
    query: RecordingQuery,
    folder: Path,
    on_file: Callable[[int], None] = lambda _size_bytes: None,
    check: Callable[[], None] = lambda: None,
) -> Exported:
    """Write every recording that a search finds, as it is stored, and SHA256SUMS; each is on the audit log.

    A file that is there with the right bytes is left alone, so an interrupted export is gone on with. One with other
    bytes is never replaced. Every file appears under its name when it is whole and its checksum is right.

    Args:
        on_file: called for each recording that is done with, with its size.
        check: called between files and their pieces, in any thread; what it raises ends the export.

    Raises:
        InputInvalid: the folder cannot be made or written to, or its SHA256SUMS is none.
        NotFound, Forbidden, QueryInvalid: as for `Reader.search`.
    """
    sums = _Sums(folder)
    done = Exported()
    lock = threading.Lock()

    def one(recording: Recording) -> None:
        path = path_of(recording)
        try:
            written = _write(reader, by, recording, folder / path, check)
        except (StoreError, OSError, InputInvalid) as error:
            told = f"{error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
            with lock:
                done.failures.append(Failure(recording.id, path, told))
        else:
            with lock:
                sums.add(path, recording)
                done.written += written
                done.written_bytes += recording.stored_bytes if written else 0
                done.unchanged += not written
        on_file(recording.stored_bytes)

    try:
        with ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="export") as pool:
            running: set[Future[None]] = set()
            try:
                for recording in _found(reader, by, tenant_id, query):
                    check()
                    running.add(pool.submit(one, recording))
                    if len(running) >= 2 * MOST_AT_ONCE:
                        ended, running = wait(running, return_when=FIRST_COMPLETED)
                        for future in ended:
                            future.result()
                for future in running:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    finally:
        sums.write()
    done.failures.sort(key=lambda failure: failure.path)
    return done


def _found(reader: Reader, by: Principal, tenant_id: str, query: RecordingQuery) -> Iterator[Recording]:
    cursor: str | None = None
    while True:
        page = reader.search(by, [tenant_id], query, cursor, _PAGE, action=Action.EXPORT)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def _write(reader: Reader, by: Principal, recording: Recording, target: Path, check: Callable[[], None]) -> bool:
    """Whether it had to be written."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = target.with_name(f".{recording.id}.partial")
    with suppress(FileNotFoundError):
        partial.unlink()
    if target.exists() or target.is_symlink():
        if target.is_symlink() or not target.is_file() or not _same(target, recording):
            raise InputInvalid("out", "There is something else under this name already; it was left as it is.")
        return False
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as out, reader.open(by, recording, action=Action.EXPORT, verify=True) as stream:
            while piece := stream.read(_PIECE_BYTES):
                check()
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        _give_name(partial, target)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()
    return True


def _give_name(partial: Path, target: Path) -> None:
    try:
        os.link(partial, target)  # never replaces what is there, unlike a rename
    except OSError as error:
        if error.errno not in durable.NO_LINKS:
            raise
        try:
            durable.rename_to_free(partial, target)
        except FileExistsError:
            raise InputInvalid(
                "out", "There is something else under this name already; it was left as it is."
            ) from None


def _same(target: Path, recording: Recording) -> bool:
    if target.stat().st_size != recording.stored_bytes:
        return False
    with target.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest() == recording.stored_sha256


class _Sums:
    """SHA256SUMS of the folder: what an earlier export wrote stays in it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / SUMS
        self._lines: dict[str, str] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._file.exists():
                for line in self._file.read_text("utf-8", "surrogateescape").splitlines(keepends=True):
                    self._lines[line.lstrip("\\")[66:].rstrip("\n")] = line
            if not os.access(folder, os.W_OK):
                raise InputInvalid("out", f"{folder} cannot be written to.")
        except OSError as error:
            raise InputInvalid("out", f"{folder} cannot be used: {error.strerror}. Choose another --out.") from None

    def add(self, path: str, recording: Recording) -> None:
        line = checksum_line(
            DayEntry(recording.id, path, recording.stored_bytes, recording.stored_sha256, recording.started_at)
        )
        self._lines[line.lstrip("\\")[66:].rstrip("\n")] = line

    def write(self) -> None:
        if not self._lines:
            return
        lines = "".join(self._lines[path] for path in sorted(self._lines))
        durable.replace(self._file, lines.encode("utf-8", "surrogateescape"))
