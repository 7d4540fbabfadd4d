"""Reads a spool's folders: which recordings are there, what else is, and whether the spool itself is."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from recpipe import log as logs
from recpipe.errors import Unfit
from recpipe.settings import Spool
from recpipe.spool import layouts
from recpipe.spool.beneath import Beneath, NotBeneath
from recpipe.spool.files import Kind, is_foreign_folder, is_leg, read_small
from recpipe.spool.rtpengine_names import is_single_stream

_log = logs.get(__name__)

_FORGOTTEN_SECONDS = 24 * 3600  # a temporary name this old will not be renamed any more
_MARKER_BYTES = 64  # 8 hex digits and a newline
_IGNORED_LIMIT = 10_000  # remembered ignored files; what comes beyond is neither listed nor logged


class Reason(StrEnum):
    """Why something is ignored."""

    NOT_A_RECORDING = "not-a-recording"
    SYMBOLIC_LINK = "symbolic-link"
    NOT_A_FILE = "not-a-file"
    SINGLE_STREAM = "single-stream"  # of a call that has a recording of all its streams
    OTHER_FORMAT = "other-format"  # of a message that is stored in another one
    FORGOTTEN_TEMPORARY = "forgotten-temporary"
    UNREADABLE_FOLDER = "unreadable-folder"


_EXPECTED = (Reason.NOT_A_RECORDING, Reason.SINGLE_STREAM, Reason.OTHER_FORMAT)


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something in the spool that is no recording and stays where it is."""

    relative: str
    reason: Reason


class Tree:
    """The folders below a spool's root; symbolic links are never followed.

    Args:
        root: absolute.
        marker: a file whose content says that it is this spool, wherever it may be mounted.
        spool: its name in logs, and its layout.

    Attributes:
        below: the way in.
    """

    def __init__(self, root: Path, marker: Path, spool: Spool) -> None:
        self._root = root
        self.below = Beneath(root)
        self._marker = marker
        self._label = spool.label
        self._layout = spool.layout
        self._leaves_streams = spool.layout == "rtpengine" and not spool.single_streams
        self._identity: tuple[int, int] | bytes | None = None
        self._lost = False
        self._ignored: dict[str, Ignored] = {}
        self._foreign: set[str] = set()  # names of folders that were mentioned
        self._lock = threading.Lock()

    def is_there(self) -> bool:
        """Whether the spool is the folder it was at first, and not the empty mount point below it."""
        with self._lock:
            there = self._recognised()
            if there == self._lost:
                self._lost = not there
                if there:
                    _log.info("spool is back", spool=self._label)
                else:
                    _log.error(
                        "spool is not there",
                        spool=self._label,
                        path=str(self._root),
                        advice="mount it; if the folder was made anew on purpose, restart recpipe",
                    )
        return there

    @property
    def lost(self) -> bool:
        """Whether it was not there when it was looked for last."""
        return self._lost

    def _recognised(self) -> bool:
        try:
            status = self._root.stat()
        except OSError:
            return False
        if not stat.S_ISDIR(status.st_mode):
            return False
        identity: tuple[int, int] | bytes = (status.st_dev, status.st_ino)
        try:
            identity = read_small(self._marker, _MARKER_BYTES)
        except (OSError, Unfit):
            if isinstance(self._identity, bytes):
                return False
        if type(identity) is type(self._identity):
            return identity == self._identity
        self._identity = identity  # the first look, or the marker was made since
        return True

    def status(self, relative: str) -> os.stat_result | bool | None:
        """The regular file's status; False when there is none; None when nobody can say."""
        try:
            status = self.below.status(relative)
        except (FileNotFoundError, NotADirectoryError, NotBeneath):
            return False if self.is_there() else None
        except OSError:
            return None
        return status if stat.S_ISREG(status.st_mode) else False

    def kind(self, name: str) -> Kind:
        """What a file of this name is in this spool."""
        kind = layouts.kind_in(name, self._layout)
        if kind not in (Kind.RECORDING, Kind.UNKNOWN):
            return kind
        if self._leaves_streams and is_single_stream(name):
            return Kind.OTHER
        return Kind.TEMPORARY if is_leg(name, self._layout) else kind

    def may_be_recording(self, name: str) -> bool:
        """Whether a file of this name is looked at: it is a recording, or its name does not say."""
        return self.kind(name) in (Kind.RECORDING, Kind.UNKNOWN)

    def walk(self, top: str, blind: list[str]) -> Iterator[list[tuple[str, os.stat_result]]]:
        """Recordings below `top`, one folder at a time.

        Args:
            top: relative; "" for all.
            blind: gets the folders that could not be read.
        """
        folders = [top]
        while folders:
            folder = folders.pop()
            found: list[tuple[str, os.stat_result]] = []
            try:
                with self.below.folder(folder) as path, os.scandir(path) as entries:
                    for entry in entries:
                        relative = f"{folder}/{entry.name}" if folder else entry.name
                        if entry.is_dir(follow_symlinks=False):
                            if not self._pass_over(entry.name):
                                folders.append(relative)
                        elif (status := self._sort_out(entry, relative)) is not None:
                            found.append((relative, status))
            except (FileNotFoundError, NotADirectoryError, NotBeneath):
                pass  # removed meanwhile, or a link by now
            except OSError as error:
                blind.append(folder)
                self._ignore(folder, Reason.UNREADABLE_FOLDER, error.strerror or "")
            yield found

    def ignored(self) -> list[Ignored]:
        """What was passed over and is still there, in the order it was found."""
        with self._lock:
            known = list(self._ignored.values())
        gone = [one.relative for one in known if not os.path.lexists(f"{self._root}/{one.relative}")]
        with self._lock:
            for relative in gone:
                self._ignored.pop(relative, None)
            return list(self._ignored.values())

    def ignore(self, relative: str, reason: Reason = Reason.NOT_A_RECORDING) -> None:
        """List a file that is no recording, as its content says, or none that is to be stored."""
        self._ignore(relative, reason)

    def _pass_over(self, folder: str) -> bool:
        if not is_foreign_folder(folder):
            return False
        if not folder.startswith(".") and folder not in self._foreign and len(self._foreign) < _IGNORED_LIMIT:
            self._foreign.add(folder)
            _log.info("folder of the storage left alone", spool=self._label, folder=folder)
        return True

    def _sort_out(self, entry: os.DirEntry[str], relative: str) -> os.stat_result | None:
        kind = self.kind(entry.name)
        if kind in (Kind.HIDDEN, Kind.SIDECAR):
            return None
        if entry.is_symlink():
            self._ignore(relative, Reason.SYMBOLIC_LINK)
            return None
        if kind is Kind.OTHER:
            single = self._leaves_streams and is_single_stream(entry.name)
            self._ignore(relative, Reason.SINGLE_STREAM if single else Reason.NOT_A_RECORDING)
            return None
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            self._ignore(relative, Reason.NOT_A_FILE)
            return None
        if kind is Kind.TEMPORARY:
            if time.time() - status.st_mtime > _FORGOTTEN_SECONDS:
                self._ignore(relative, Reason.FORGOTTEN_TEMPORARY)
            return None
        return status

    def _ignore(self, relative: str, reason: Reason, why: str = "") -> None:
        with self._lock:
            if relative in self._ignored or len(self._ignored) >= _IGNORED_LIMIT:
                return
            self._ignored[relative] = Ignored(relative, reason)
        # The name may hold a phone number, so it goes to `ignored()` and not to the log.
        suffix = Path(relative).suffix.lower()[:12]
        say = _log.debug if reason in _EXPECTED else _log.warning
        say("file ignored", spool=self._label, reason=reason, suffix=suffix, why=why)
