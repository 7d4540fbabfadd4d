"""What a process does that dies amid its work: called by the nursery of `tests/prove` in place of a command."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.access.totp_secrets import TotpSecrets
from recpipe.catalogue.history import AuditOfAll
from recpipe.recordings.recovery_key import RecoveryKey
from recpipe.settings import Settings
from recpipe.store.directory import DirectoryStore

AT: dict[str, tuple[object, str]] = {
    "key": (os, "fsync"),
    "factor": (TotpSecrets, "seal"),
    "note": (DirectoryStore, "rewrite_note"),
    "record": (AuditOfAll, "add"),
    "object": (DirectoryStore, "delete"),
}


def dies(deed: str, folder: Path, *arguments: str) -> None:
    """Have another process do that, and make sure that it died of it.

    Args:
        deed: a function below.
        folder: of its own, for its log.
    """
    from tests.prove._processes import KILLED  # not in each that dies
    from tests.prove.kills import shared_nursery

    with shared_nursery() as forks:
        process = forks.fork([f"!{__name__}:{deed}", *arguments], {}, folder, folder / "dying.log")
        process.go()
        assert process.wait(60) == KILLED, process.said()


def rotate(data_dir: str, point: str, times: str) -> None:
    """Replace the recovery key, and die at the point after it was passed some times."""
    with wiring.open_parts(Settings(data_dir=Path(data_dir))) as parts:
        kept = (parts.totp_secrets, parts.client_secrets)
        key = RecoveryKey(parts.settings, parts.catalogue, parts.store, *kept, parts.clock, parts.trail)
        _die_at(point, int(times))
        key.rotate(operator())


def delete(data_dir: str, point: str, recording_id: str) -> None:
    """Delete a recording, and die at the point."""
    with wiring.open_parts(Settings(data_dir=Path(data_dir))) as parts:
        _die_at(point, 0)
        parts.disposal.delete(operator(), [recording_id], "x")


def _die_at(point: str, left: int) -> None:
    owner, name = AT[point]
    act: Callable[..., Any] = getattr(owner, name)

    def passed(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return act(*arguments, **named)

    setattr(owner, name, passed)
