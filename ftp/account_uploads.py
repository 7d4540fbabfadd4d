"""The files an upload account has sent lately: shared by its sessions, since clients use several for one file."""

from __future__ import annotations

import posixpath
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ftp.listing import Entry
from recpipe.errors import SpoolRefused
from recpipe.intake import IncomingFile

_REMEMBERED = 1000  # files of each kind


class OverQuota(SpoolRefused):
    """The account has sent as much today as it may."""


@dataclass(slots=True)
class HeldUpload:
    """A file that has no recording's name, or none yet: it lies aside, durable, and is thrown away in time."""

    upload: IncomingFile
    entry: Entry
    is_working: bool  # its name says that it shall get another
    until: float  # monotonic seconds
    stated_at: datetime | None = None  # when it was changed, as the client says


class AccountUploads:
    """The files of one account that its sessions can see. Thread-safe.

    Args:
        account: its name for logs.
        daily_bytes: at most so many a day (UTC); 0: any number.
    """

    def __init__(
        self, account: str, daily_bytes: int, today: Callable[[], date] = lambda: datetime.now(UTC).date()
    ) -> None:
        self.account = account
        self._daily_bytes = daily_bytes
        self._today = today
        self._lock = threading.Lock()
        self._received: OrderedDict[str, Entry] = OrderedDict()
        self._held: OrderedDict[str, HeldUpload] = OrderedDict()
        self._day = today()
        self._sent_bytes = 0

    # --- how much -----------------------------------------------------------------------------------------

    def count(self, size_bytes: int) -> None:
        """Count bytes that came.

        Raises:
            OverQuota: they are more than the day has left; they are not counted.
        """
        with self._lock:
            if self._day != self._today():
                self._day, self._sent_bytes = self._today(), 0
            if self._daily_bytes and self._sent_bytes + size_bytes > self._daily_bytes:
                raise OverQuota("This account has sent as much as it may in a day. Send the rest tomorrow (UTC).")
            self._sent_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Count bytes no more: nothing was kept of them."""
        with self._lock:
            self._sent_bytes = max(0, self._sent_bytes - size_bytes)

    def require_left(self, size_bytes: int) -> None:
        """Raises:
        OverQuota: the day has not so much left.
        """
        self.count(size_bytes)
        self.give_back(size_bytes)

    # --- which --------------------------------------------------------------------------------------------

    def find(self, path: str) -> Entry | None:
        with self._lock:
            held = self._held.get(path)
            return held.entry if held is not None else self._received.get(path)

    def has_received(self, path: str) -> bool:
        with self._lock:
            return path in self._received

    def in_folder(self, folder: str) -> Iterator[Entry]:
        with self._lock:
            known = {path: held.entry for path, held in self._held.items()} | self._received
        return (entry for path, entry in known.items() if posixpath.dirname(path) == folder)

    def has_below(self, folder: str) -> bool:
        below = folder.rstrip("/") + "/"
        with self._lock:
            return any(path.startswith(below) for path in (*self._held, *self._received))

    def note_received(self, path: str, entry: Entry) -> None:
        """A file is in the spool, or was empty and is nowhere."""
        with self._lock:
            self._received[path] = entry
            self._received.move_to_end(path)
            while len(self._received) > _REMEMBERED:
                self._received.popitem(last=False)

    def forget_received(self) -> None:
        """Nobody of the account is there any more."""
        with self._lock:
            self._received.clear()

    # --- held aside -----------------------------------------------------------------------------------------

    def hold(self, path: str, held: HeldUpload) -> None:
        """Keep a file under a name of the client's; what had it before is thrown away."""
        with self._lock:
            dropped = [self._held.pop(path, None)]
            self._held[path] = held
            if len(self._held) > _REMEMBERED:
                dropped.append(self._held.popitem(last=False)[1])
        for each in dropped:
            if each is not None:
                each.upload.abort()

    def take(self, path: str) -> HeldUpload | None:
        """Have a held file, which is nobody else's from now on; None where there is none."""
        with self._lock:
            return self._held.pop(path, None)

    def state_time(self, path: str, at: datetime) -> bool:
        """Note when a held file was changed; whether it is one."""
        with self._lock:
            held = self._held.get(path)
            if held is not None:
                held.stated_at, held.entry = at, held.entry._replace(modified_at=at)
            return held is not None

    def expire(self) -> int:
        """Throw away what is held for too long; how many of it were to get another name."""
        now = time.monotonic()
        with self._lock:
            old = [path for path, held in self._held.items() if held.until <= now]
            dropped = [self._held.pop(path) for path in old]
        for held in dropped:
            held.upload.abort()
        return sum(held.is_working for held in dropped)

    def close(self) -> None:
        """Throw away all that is held: its senders have it still."""
        with self._lock:
            dropped = list(self._held.values())
            self._held.clear()
        for held in dropped:
            held.upload.abort()
