"""Sidecars that somebody sent into a spool, and who: one whose recording does not come is counted, shown and removed.

    sidecars/SIZE-MTIME-INODE   JSON: who sent it, and its path below the spool

A note is on disk before its sidecar appears, made by whatever process takes the upload, so that no kill leaves a
sidecar of nobody's. The sidecar itself lies in the spool as one of the PBX's own does, whether it came before its
recording or after. What the PBX writes itself has no note, and is never touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recpipe import durable
from recpipe import log as logs
from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity
from recpipe.spool import safe_move
from recpipe.spool.beneath import Beneath
from recpipe.spool.files import may_be_recording

_log = logs.get(__name__)

FOLDER = "sidecars"
KEPT_SECONDS = 7 * 24 * 3600  # how long a sidecar may lie alone
YOUNG_SECONDS = 3600  # alone for less is nothing to speak of: the recording is on its way
ADVICE = (
    "The recording never came, or was stored before its description came. Let the sender send the description first. "
    "What lies alone for 7 days is removed."
)
_SENDERS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Sent:
    """A sidecar that was sent.

    Attributes:
        sent_at: seconds since the epoch.
        note: its note, in the control folder.
    """

    sender: str
    relative: str
    size_bytes: int
    mtime_ns: int
    sent_at: float
    note: Path


def note(control: Path, file: FileIdentity, relative: str, sender: str) -> None:
    """Say who sends a sidecar, before it appears in the spool.

    Raises:
        OSError: the disk does not take it.
    """
    durable.replace(_note_of(control, file), json.dumps({"sender": sender, "path": relative}).encode())


def forget(control: Path, file: FileIdentity) -> None:
    """It is nobody's any more."""
    with contextlib.suppress(OSError):
        _note_of(control, file).unlink()


@contextlib.contextmanager
def forgotten(control: Path, sidecars: Iterable[Path]) -> Iterator[None]:
    """Forget sidecars once they have gone with their recording, which is done within."""
    gone: list[FileIdentity] = []
    for path in sidecars:
        with contextlib.suppress(FileNotFoundError):
            gone.append(FileIdentity.at(path))
    yield
    for file in gone:
        forget(control, file)


class SentSidecars:
    """Those of one spool. Methods may be called from several threads.

    Args:
        control: gives the control folder.
        below: the way into the spool.
        gone: called with the path of each that was removed.
        label: the spool's name in logs.

    Attributes:
        alone: those that lay for an hour without a recording, as of the last sweep.
    """

    def __init__(self, control: Callable[[], Path], below: Beneath, gone: Callable[[str], None], label: str) -> None:
        self._control = control
        self._below = below
        self._gone = gone
        self._label = label
        self.alone: tuple[Sent, ...] = ()

    def without_recording(self, sender: str) -> list[Sent]:
        """Those of one sender that lie without a recording now. Reads the note of each sidecar in the spool."""
        recordings = _Recordings(self._below)
        ours = (one for one in _noted(self._control()) if one.sender == sender)
        return [one for one in ours if _is_there(self._below, one) and not recordings.has_that_of(one)]

    def sweep(self) -> None:
        """Forget those that are gone, remove those that lay alone for too long, and log of each sender once."""
        control, recordings = self._control(), _Recordings(self._below)
        told = {one.sender for one in self.alone}
        alone: list[Sent] = []
        removed: list[Sent] = []
        for one in _noted(control):
            age_seconds = time.time() - one.sent_at
            if age_seconds < YOUNG_SECONDS:
                continue
            if not _is_there(self._below, one):
                with contextlib.suppress(FileNotFoundError):
                    one.note.unlink()
            elif recordings.has_that_of(one):
                continue
            elif age_seconds < KEPT_SECONDS:
                alone.append(one)
            else:
                with contextlib.suppress(FileNotFoundError, SourceChanged), self._below.parent(one.relative) as path:
                    safe_move.remove(path, FileIdentity.at(path), control / "removing")
                    one.note.unlink()
                    removed.append(one)
        for unfinished in (control / FOLDER).glob(
            ".*"
        ):  # notes whose process was killed; `durable.replace` names them so
            with contextlib.suppress(FileNotFoundError):
                if time.time() - unfinished.lstat().st_mtime > YOUNG_SECONDS:
                    unfinished.unlink()
        self.alone = tuple(alone)
        for one in removed:
            self._gone(one.relative)
        for sender, count in Counter(one.sender for one in alone).items():
            if sender not in told:
                _log.warning(
                    "sidecars without a recording", spool=self._label, sender=sender, files=count, advice=ADVICE
                )
        for sender, count in Counter(one.sender for one in removed).items():
            _log.warning("sidecars without a recording removed", spool=self._label, sender=sender, files=count)

    def in_words(self) -> str:
        """What lies alone, for an operator; "" where nothing does."""
        if not self.alone:
            return ""
        senders = Counter(one.sender for one in self.alone).most_common()
        shown = ", ".join(f"{count:,} of {sender}" for sender, count in senders[:_SENDERS_SHOWN])
        more = f" and {len(senders) - _SENDERS_SHOWN:,} more senders" if len(senders) > _SENDERS_SHOWN else ""
        return f"{len(self.alone):,} descriptions that were sent lie without a recording ({shown}{more}). {ADVICE}"


def _noted(control: Path) -> Iterator[Sent]:
    with os.scandir(control / FOLDER) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
                size_bytes, mtime_ns, _ = entry.name.split("-")
                path = Path(entry.path)
                said = json.loads(path.read_bytes())
                sent_at = entry.stat(follow_symlinks=False).st_mtime
                yield Sent(str(said["sender"]), str(said["path"]), int(size_bytes), int(mtime_ns), sent_at, path)


def _note_of(control: Path, file: FileIdentity) -> Path:
    # The inode only keeps names apart: where the control folder is on another file system the sidecar has another one.
    return control / FOLDER / f"{file.size_bytes}-{file.mtime_ns}-{file.inode}"


def _is_there(below: Beneath, one: Sent) -> bool:
    """Whether it still lies where it was put, and no other file of the name does."""
    try:
        status = below.status(one.relative)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (one.size_bytes, one.mtime_ns)


class _Recordings:
    """The names of the recordings in the folders of a spool, as they were when first asked for."""

    def __init__(self, below: Beneath) -> None:
        self._below = below
        self._names: dict[str, frozenset[str]] = {}

    def has_that_of(self, one: Sent) -> bool:
        """Whether a recording lies there that this sidecar describes (`files.sidecars_of`)."""
        folder, _, name = one.relative.rpartition("/")
        stem = name.removesuffix(".json")
        if stem == name:
            return False  # nothing but JSON describes a single recording
        if folder not in self._names:
            self._names[folder] = self._read(folder)
        return not self._names[folder].isdisjoint((stem, stem.removesuffix("_metadata")))

    def _read(self, folder: str) -> frozenset[str]:
        try:
            with self._below.folder(folder) as path:
                names = [name for name in os.listdir(path) if may_be_recording(name)]  # noqa: PTH208
        except OSError:
            return frozenset()
        return frozenset(names) | {Path(name).stem for name in names}
