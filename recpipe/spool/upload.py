"""A file that somebody sends into a spool: written aside, put into place whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import TracebackType

from recpipe import durable
from recpipe.errors import SourceChanged, SpoolFull, SpoolRefused
from recpipe.model import FileIdentity
from recpipe.spool import safe_move, sent_sidecars, whole
from recpipe.spool.beneath import Beneath
from recpipe.spool.control import ControlFolder
from recpipe.spool.files import safe_text

_LOOK_EVERY_BYTES = 8 * 1024 * 1024  # written before the disk is asked again


class Upload:
    """A file on its way in. Use it as a context manager: leaving without `commit` throws it away.

    Args:
        control: the file is written in its folder `incoming`.
        below: the way into the spool.
        reserve_bytes: of the disk, left free for others.

    Raises:
        SpoolFull: the disk has no more than the reserve.
    """

    def __init__(self, control: ControlFolder, below: Beneath, reserve_bytes: int) -> None:
        self._control = control  # kept: its descriptor is in the path below
        self._relative = ""
        self._sender = ""
        self._below = below
        self._in_place: FileIdentity | None = None  # what `commit` made
        self._reserve_bytes = reserve_bytes
        self._unlooked_bytes = 0
        incoming = control.open() / "incoming"
        require_room(incoming, reserve_bytes)
        self._temporary, handle = durable.open_held(incoming)
        self._stream = os.fdopen(handle, "wb")
        self._lock = os.dup(handle)  # tells `durable.sweep` that somebody still sends, or will `commit`

    def name(self, relative: str, sender: str = "") -> None:
        """Say where it goes, below the spool; `SpoolFolder` has vetted that.

        Args:
            sender: whose sidecar it is; "": of nobody who is to be counted.
        """
        self._relative = relative
        self._sender = sender

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; returns how many.

        Raises:
            SpoolFull: the disk has come down to the reserve.
            OSError: the disk does not take them.
        """
        self._unlooked_bytes += len(data)
        if self._unlooked_bytes >= _LOOK_EVERY_BYTES:
            self._unlooked_bytes = 0
            require_room(self._temporary.parent, self._reserve_bytes)
        return self._stream.write(data)

    def keep(self, modified_at: datetime | None = None) -> None:
        """Make it durable, where it lies.

        Raises:
            OSError: the disk does not take it.
        """
        if not self._stream.closed:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        if modified_at is not None:
            os.utime(self._temporary, (modified_at.timestamp(),) * 2)

    def commit(self, modified_at: datetime | None = None) -> Path:
        """Make it durable and put it into place; it appears whole or not at all.

        Sending the same bytes again under the same name counts as success.

        Args:
            modified_at: the time that the file shall show; None: now.

        Raises:
            SpoolRefused: another file has this name, or the file system said no; the upload was thrown away.
        """
        with self._placed() as target:
            try:
                self.keep(modified_at)
                control = self._control.open()
                made = FileIdentity.of(self._temporary.lstat())
                whole.vouch(control, made)
                if self._sender:
                    sent_sidecars.note(control, made, self._relative, self._sender)
                try:
                    safe_move.transfer(self._temporary, FileIdentity.at(self._temporary), target, control / "removing")
                    self._in_place = FileIdentity.at(target)
                except FileExistsError:
                    sent_sidecars.forget(control, made)  # that of the file which is there stays
                    self._compare(target)
            finally:
                self.abort()
        return self._below.root / self._relative

    def take_back(self) -> None:
        """Remove what `commit` put into place; what was there before it, or is there by now, stays.

        Raises:
            SpoolRefused: the file system said no.
        """
        if self._in_place is not None:
            with self._placed() as target, contextlib.suppress(SourceChanged):
                safe_move.remove(target, self._in_place, self._control.open() / "removing")

    def check(self) -> None:
        """Before what is to lie beside it is written: return where the name is free or has the same bytes.

        Raises:
            SpoolRefused: another file has this name.
        """
        with self._placed() as target:
            if os.path.lexists(target):
                if not self._stream.closed:
                    self._stream.flush()
                self._compare(target)

    @contextlib.contextmanager
    def _placed(self) -> Iterator[Path]:
        """Where it goes, its folder pinned."""
        assert self._relative, "name() comes first"
        name = safe_text(self._relative.rpartition("/")[2])
        with (
            refusals(f"{name} cannot be put into the spool"),
            self._below.parent(self._relative, make_mode=0o755) as target,
        ):
            yield target

    def _compare(self, target: Path) -> None:
        if not safe_move.same_bytes(self._temporary, target):
            raise SpoolRefused(f"There already is another file {safe_text(target.name)}. Send it under a new name.")

    def abort(self) -> None:
        """Throw away what was not committed."""
        with contextlib.suppress(OSError):
            self._stream.close()
        self._temporary.unlink(missing_ok=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


def require_room(folder: Path, reserve_bytes: int, wanted_bytes: int = 0) -> None:
    """Go on only where the disk of `folder` has room for so much, and the reserve besides.

    Raises:
        SpoolFull: it has not.
    """
    if not reserve_bytes and not wanted_bytes:
        return
    found = os.statvfs(folder)
    if found.f_bavail * found.f_frsize < reserve_bytes + wanted_bytes:
        raise SpoolFull("There is not enough room on the spool's disk now: nothing was kept. Send it again later.")


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what the file system says into a `SpoolRefused` that begins with `what`."""
    try:
        yield
    except OSError as error:
        raise SpoolRefused(f"{what}: {error.strerror or error}. Check the permissions and free space.") from error
