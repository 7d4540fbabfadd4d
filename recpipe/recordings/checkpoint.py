"""How far `recpipe verify` has come, kept in the data dir, so that a look that was interrupted can go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from recpipe import durable
from recpipe.catalogue.walk import Key
from recpipe.errors import SettingsInvalid
from recpipe.model import StoredObject
from recpipe.recordings.looks import Finding, ProblemKind
from recpipe.recordings.verify import Checkpoint, Report

FILE = "verify.json"
_VERSION = 1


def save(data_dir: Path, made: Checkpoint) -> None:
    """Keep it, in place of what is kept. It names recordings, so nobody else may read it.

    Raises:
        OSError: the disk says no.
    """
    kept = {
        "version": _VERSION,
        "started": made.started.isoformat(),
        "since": made.since and made.since.isoformat(),
        "report": asdict(made.report),
        "tenant": made.tenant,
        "recording": made.recording and [made.recording.started_at.isoformat(), made.recording.id],
        "rows_done": made.rows_done,
        "object_key": made.object_key,
        "orphans": [[one.key, one.size_bytes, one.modified_at and one.modified_at.isoformat()] for one in made.orphans],
    }
    durable.replace(data_dir / FILE, json.dumps(kept).encode())


def load(data_dir: Path) -> Checkpoint | None:
    """What is kept; None where nothing is.

    Raises:
        SettingsInvalid: it was written by another version, or is damaged.
        OSError: it cannot be read.
    """
    path = data_dir / FILE
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        kept = {}
    try:
        if kept["version"] != _VERSION:
            raise ValueError(kept["version"])
        return _checkpoint(kept)
    except (KeyError, TypeError, ValueError):
        raise SettingsInvalid(
            f"{path} does not say how far verify came. Run recpipe verify without --resume, which begins anew."
        ) from None


def clear(data_dir: Path) -> None:
    """The look is over."""
    (data_dir / FILE).unlink(missing_ok=True)


def _checkpoint(kept: dict[str, Any]) -> Checkpoint:
    report = Report(**kept["report"])
    report.problems = [Finding(**found | {"kind": ProblemKind(found["kind"])}) for found in kept["report"]["problems"]]
    at = kept["recording"]
    return Checkpoint(
        started=datetime.fromisoformat(kept["started"]),
        since=_moment(kept["since"]),
        report=report,
        tenant=kept["tenant"],
        recording=Key(datetime.fromisoformat(at[0]), at[1]) if at else None,
        rows_done=kept["rows_done"],
        object_key=kept["object_key"],
        orphans=[StoredObject(key, size, "", _moment(modified)) for key, size, modified in kept["orphans"]],
    )


def _moment(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
