"""Group commit: rows of files that finish at about the same time share one transaction and one fsync.

A worker hands its row over and takes the next file; what must wait for the commit (removing the source)
happens in the callback, so the order *object verified, row committed, source removed* holds.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from recpipe import log
from recpipe.errors import CatalogueUnavailable

Row = TypeVar("Row")
Answer = TypeVar("Answer")

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Row, Answer]):
    row: Row
    done: Callable[[Answer], None]
    failed: Callable[[Exception], None]


class Committer(Generic[Row, Answer]):
    """One thread that writes rows in groups of at most `largest`; `submit` blocks when it falls behind.

    Args:
        write: commits a group and answers row by row; may raise, then the whole group failed.
        largest: rows in a group.
        apart_seconds: least time between the starts of two commits, so that a busy pipeline fills its groups.
            A row that comes after a quiet moment is committed at once, and so is a group that is full.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Row]], Sequence[Answer]],
        largest: int = 64,
        apart_seconds: float = 0.2,
    ) -> None:
        self._write = write
        self._largest = largest
        self._apart_seconds = apart_seconds
        self._queue: queue.Queue[_Entry[Row, Answer] | None] = queue.Queue(maxsize=2 * largest)
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def submit(self, row: Row, done: Callable[[Answer], None], failed: Callable[[Exception], None]) -> None:
        self._queue.put(_Entry(row, done, failed))

    def close(self, hangs: Callable[[], bool] = lambda: False) -> bool:
        """Commit what was submitted, then stop.

        Args:
            hangs: whether to wait no longer.

        Returns:
            Whether everything was answered.
        """
        told = False
        while self._thread.is_alive() and not hangs():
            if told:
                self._thread.join(0.1)
                continue
            with contextlib.suppress(queue.Full):
                self._queue.put(None, timeout=0.1)
                told = True
        return not self._thread.is_alive()

    def _run(self) -> None:
        open_for_more = True
        not_before = 0.0
        while open_for_more:
            first = self._queue.get()
            if first is None:
                return
            group = [first]
            while len(group) < self._largest:
                left = not_before - time.monotonic()
                try:
                    entry = self._queue.get(timeout=left) if left > 0 else self._queue.get_nowait()
                except queue.Empty:
                    break
                if entry is None:
                    open_for_more = False
                    break
                group.append(entry)
            not_before = time.monotonic() + self._apart_seconds
            self._commit(group)

    def _commit(self, group: list[_Entry[Row, Answer]]) -> None:
        try:
            answers = self._write([entry.row for entry in group])
        except Exception as error:
            if isinstance(error, CatalogueUnavailable):
                for entry in group:
                    _call(entry.failed, error)
                return
            if len(group) > 1:
                # One bad row must not take its neighbours with it, however often they are tried.
                for entry in group:
                    self._commit([entry])
                return
            _call(group[0].failed, error)
            return
        for entry, answer in zip(group, answers, strict=True):
            _call(entry.done, answer)


def _call(callback: Callable[[Answer], None], value: Answer) -> None:
    try:
        callback(value)
    except Exception:
        _log.exception("commit callback failed")
