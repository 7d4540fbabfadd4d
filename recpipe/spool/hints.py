"""What the kernel's file system events say, as hints for the watcher."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

# What happened (folder, created, closed, moved, gone), to which path, and what that was called before.
Hint = Callable[[str, str | bytes, str | bytes], None]

EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]


class Hints(FileSystemEventHandler):
    """Turns events into hints; runs in watchdog's thread and touches no file."""

    def __init__(self, hint: Hint) -> None:
        self._hint = hint

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, (DirCreatedEvent, DirMovedEvent)):
            self._hint("folder", event.dest_path or event.src_path, "")
        elif isinstance(event, FileMovedEvent):
            self._hint("moved", event.dest_path, event.src_path)
        elif isinstance(event, FileClosedEvent):
            self._hint("closed", event.src_path, "")
        elif isinstance(event, FileDeletedEvent):
            self._hint("gone", event.src_path, "")
        else:
            self._hint("created", event.src_path, "")


def watch_limit() -> int:
    """How many folders this user may watch, by the kernel and by the user namespace (a container's own limit)."""
    limits = [1 << 30]
    for name in ("fs/inotify/max_user_watches", "user/max_inotify_watches"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path("/proc/sys", name).read_text()))
    return min(limits)
