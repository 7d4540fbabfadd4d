"""What the pipeline does with files of a spool: own it, finish, quarantine, restore, accept uploads.

Everything of ours lies in the control folder (`.recpipe` in the spool): the lock, the spool's id, quarantined files,
uploads that are not complete, scratch files, files being removed, and stored ones that wait for their last look.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from recpipe import log as logs
from recpipe import settings
from recpipe.errors import SourceChanged, SpoolRefused
from recpipe.model import FileIdentity, Settled
from recpipe.spool import moving, whole
from recpipe.spool.aside import Aside
from recpipe.spool.beneath import Beneath
from recpipe.spool.files import CONTROL_FOLDER, Kind, check_relative, kind_of, only_sidecars_of, safe_text
from recpipe.spool.lock import SpoolLock
from recpipe.spool.upload import Upload, refusals, require_room
from recpipe.spool.writers import Writers

_log = logs.get(__name__)

DEEPEST_FOLDERS = 16  # folders below the spool that an upload may name
_STALE_SECONDS = 24 * 3600  # an upload that nobody continued for so long is given up


class SpoolFolder:
    """The files of one spool. Methods may be called from several threads.

    Args:
        spool: the folder and what becomes of stored files.
        state_dir: use this control folder instead of `.recpipe` in the spool, for importing a foreign folder that is
            to stay as it is.
    """

    def __init__(self, spool: settings.Spool, state_dir: Path | None = None) -> None:
        self._spool = spool
        self.root = spool.path.absolute()
        self._below = Beneath(self.root)
        self.control = (state_dir or self.root / CONTROL_FOLDER).absolute()
        self._claims = self.control / "removing"
        self._quarantine = self.control / "quarantine"
        self._incoming = self.control / "incoming"
        self._scratch = self.control / "scratch"
        self._writers = Writers(spool.remote_writers)
        aside = self.control / "aside"
        self._aside = Aside(aside, self.root, spool.grace_seconds, self._writers, self._let_go, spool.label)
        self._folders = (
            self._quarantine,
            self._incoming,
            self._scratch,
            self._claims,
            aside,
            self.control / whole.FOLDER,
        )
        self._lock = SpoolLock(self.control / "lock")
        self._locked_at_ns = 0
        self._crashed = False
        self._id = ""
        self._id_is_kept = False
        self._resolved: dict[Path, str] = {}

    # --- ownership ------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Become the only owner, until `unlock` or the end of the process (however it ends: the kernel's lock).

        Makes the folders that are missing and tidies what a crash left: files half removed are put back.

        Raises:
            SpoolLocked: another live process owns it; `owner` names it.
            SpoolRefused: the folder cannot be made or written to.
        """
        self._prepare()
        with refusals(f"The spool {self.root} cannot be locked"):
            self._crashed = not self._lock.acquire(self.root)
            self._locked_at_ns = time.time_ns()
        self._tidy()

    @property
    def crashed(self) -> bool:
        """Whether the owner before us ended without `unlock`: it may have left half-done work behind."""
        return self._crashed

    def crash_may_have_had(self, settled: Settled) -> bool:
        """Whether an owner that crashed may have begun with this file: it was there before us."""
        return self._crashed and (settled.inherited or settled.mtime_ns < self._locked_at_ns)

    def unlock(self, *, in_order: bool = True) -> None:
        """Let another process have it. Not owning it is no error.

        Args:
            in_order: nothing is half done; False makes the next owner look as after a crash.
        """
        self._lock.release(in_order=in_order)

    @property
    def spool_id(self) -> str:
        """8 hex digits, random, made once and kept in the control folder.

        While the disk is full and there is none, it is derived from machine and path; it is kept once there is room.
        """
        if not self._id_is_kept:
            self._prepare()
            path = self.control / "id"
            try:
                if not path.exists():
                    # After a crash the derived one may have been in use.
                    self._write_id(path, self._id or (self._derived_id() if self._crashed else secrets.token_hex(4)))
            except OSError as error:
                if error.errno not in moving.NO_ROOM:
                    raise
                self._id = self._id or self._derived_id()
                return self._id
            text = path.read_text("ascii", errors="replace").strip()
            if not re.fullmatch(r"[0-9a-f]{8}", text):
                raise SpoolRefused(f"{path} does not hold 8 hex digits. Delete that file to have a new id made.")
            self._id, self._id_is_kept = text, True
        return self._id

    def _derived_id(self) -> str:
        return hashlib.sha256(f"{socket.gethostname()}\0{os.path.realpath(self.root)}".encode()).hexdigest()[:8]

    # --- a recording while it is worked on ------------------------------------------------------------

    @contextlib.contextmanager
    def opened(self, settled: Settled) -> Iterator[Path]:
        """A path to the file that settled, open for reading while the context lasts; no link leads there.

        Raises:
            SourceChanged: it is another one by now, or gone.
            OSError: it may not be read, or the disk fails.
        """
        with self._below.file(settled.relative, settled.identity) as source:
            yield source

    def unchanged(self, settled: Settled) -> bool:
        """Whether the file is still the one that settled: same inode, size and time of last write."""
        try:
            return FileIdentity.of(self._below.status(settled.relative)) == settled.identity
        except OSError:  # gone, or out of reach: the watcher looks which
            return False

    # --- the end of a recording -----------------------------------------------------------------------

    def finish(self, settled: Settled) -> None:
        """Delete or archive a recording that is stored, with the sidecars that are its alone.

        It is moved aside first. At once, where the kernel says that nobody has it open, else after `grace_seconds`
        (see `look_again`), it goes for good; should it have been written to again, it is put back. The archive keeps
        the path below the spool and is never overwritten: a different file there makes this one `NAME~2.wav`. Empty
        date folders go when their day is long over. A file that is gone already is no error.

        Raises:
            SourceChanged: it is not the file that was stored; it was left alone.
            SpoolRefused: the file system said no.
        """
        expected = _expected(settled)
        if not os.path.lexists(settled.path):
            return
        source = self._inside(settled.path, self.root)
        with refusals(f"{safe_text(settled.relative)} cannot be {self._spool.after}d"):
            self._aside.put(source, expected, only_sidecars_of(source))
            self.prune(source.parent)

    def look_again(self) -> None:
        """Look at the stored files whose grace time is over; call it every second or so. Cheap when there are none."""
        self._aside.look()

    def _let_go(self, path: Path, relative: Path) -> None:
        """Delete or archive for good."""
        expected = moving.Expected.of(path)
        if self._spool.after == "archive":
            assert self._spool.archive is not None  # settings saw to it
            self._archive(path, expected, self._spool.archive.absolute() / relative)
        else:
            moving.remove(path, expected, self._claims)

    def prune(self, folder: Path, now: datetime | None = None) -> None:
        """Remove `folder` and its parents while they are empty date folders of days long over."""
        moving.prune_dated(self.root, folder, now)

    # --- quarantine -----------------------------------------------------------------------------------

    @property
    def quarantine_root(self) -> Path:
        """Where quarantined files lie, each under its path below the spool."""
        return self._quarantine

    def quarantine(self, settled: Settled, reason: str) -> Path:
        """Move a file that cannot be ingested aside, unchanged, with its sidecars.

        Returns:
            Where it is now: its path below `.recpipe/quarantine`, with `~2` and so on where that was taken.

        Raises:
            SourceChanged: it is another file by now; it was left alone.
            SpoolRefused: the file system said no.
        """
        source = self._inside(settled.path, self.root)
        sidecars = only_sidecars_of(source)
        with refusals(f"{safe_text(settled.relative)} cannot be put into quarantine for {reason}"):
            target = self._move_aside(source, _expected(settled), self._quarantine / settled.relative)
            self._move_sidecars(source, sidecars, target)
            self.prune(source.parent)
        return target

    def restore(self, path: Path, relative: str) -> Path:
        """Put a quarantined file back where the PBX wrote it, to be tried again; its sidecars first.

        Raises:
            SpoolRefused: it is not in quarantine, `relative` is no path below the spool, or that name is taken.
        """
        source = self._inside(path, self._quarantine)
        target = self._target(relative)
        with refusals(f"{safe_text(relative)} cannot be restored"):
            if os.path.lexists(target):
                raise SpoolRefused(
                    f"There already is a {safe_text(relative)} in the spool. Wait until it is ingested, then retry."
                )
            expected = moving.Expected.of(source)
            self._move_sidecars(source, only_sidecars_of(source), target)
            moving.transfer(source, expected, target, self._claims)
            self._prune_quarantine(source.parent)
        return target

    def discard(self, path: Path) -> None:
        """Delete a file for good, quarantined or waiting in the spool, with its sidecars. Gone already is no error.

        Raises:
            SpoolRefused: it is neither in quarantine nor a recording of this spool.
        """
        inside = self._quarantine if path.absolute().is_relative_to(self._quarantine) else self.root
        source = self._inside(path, inside)
        with refusals(f"{safe_text(path.name)} cannot be discarded"):
            for victim in (*only_sidecars_of(source), source):
                with contextlib.suppress(FileNotFoundError):
                    moving.remove(victim, moving.Expected.of(victim), self._claims)
            if inside == self._quarantine:
                self._prune_quarantine(source.parent)

    # --- new files ------------------------------------------------------------------------------------

    def accept_upload(self, name: str, reserve_bytes: int = 0) -> Upload:
        """Begin a file that somebody sends: written aside, put into place whole by `commit`.

        Args:
            name: path below the spool that it shall get.
            reserve_bytes: of the disk, left free for others.

        Raises:
            SpoolRefused: no plain path below the spool, too deep, or neither a recording nor a sidecar by its ending.
            SpoolFull: the disk has no more than the reserve.
        """
        target = self._upload_target(name)
        upload = self.hold_upload(reserve_bytes)
        upload.name(target)
        return upload

    def hold_upload(self, reserve_bytes: int = 0) -> Upload:
        """As `accept_upload`, of a file whose name is told later, to `name_upload`.

        Raises:
            SpoolRefused, SpoolFull: as there.
        """
        self._prepare()
        return Upload(self._incoming / secrets.token_hex(16), self._claims, reserve_bytes)

    def require_room(self, reserve_bytes: int, wanted_bytes: int) -> None:
        """Raises:
        SpoolFull: the disk has not so much room besides the reserve.
        """
        self._prepare()
        require_room(self._incoming, reserve_bytes, wanted_bytes)

    def name_upload(self, upload: Upload, name: str) -> None:
        """Say where `commit` shall put it.

        Raises:
            SpoolRefused: as `accept_upload`.
        """
        upload.name(self._upload_target(name))

    def scratch(self) -> Path:
        """A new path for a temporary file of the pipeline, inside the spool; whoever uses it deletes it."""
        self._prepare()
        return self._scratch / secrets.token_hex(16)

    # --- inside ---------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        if all(folder.is_dir() for folder in self._folders[1:]):
            return
        try:
            moving.make_folders(self.root)
            moving.make_folders(self.control, 0o700)
            for folder in self._folders:
                moving.make_folders(folder, 0o700)
        except OSError as error:
            raise SpoolRefused(
                f"The spool {self.root} cannot be used: {error.strerror}. Let this user write to it, or mount it."
            ) from error

    def _write_id(self, path: Path, spool_id: str) -> None:
        temporary = path.with_name(f"id-{secrets.token_hex(4)}")
        try:
            with temporary.open("x") as out:
                out.write(spool_id + "\n")
                out.flush()
                os.fsync(out.fileno())
            try:
                os.link(temporary, path)  # whoever comes first wins
            except FileExistsError:
                return
            except OSError:
                temporary.rename(path)
            moving.sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def _tidy(self) -> None:
        try:
            for leftover in self._scratch.iterdir():
                leftover.unlink(missing_ok=True)
            for leftover in (*self._incoming.iterdir(), *(self.control / whole.FOLDER).iterdir()):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                        leftover.unlink()
            for claim, original in list(moving.claimed_names(self._claims)):
                known = original.is_absolute() and original.is_relative_to(self.root) and ".." not in original.parts
                target = moving.put_back(claim, original if known else self.root / claim.name)
                _log.warning("interrupted removal undone", spool=self._spool.label, where=str(target.parent))
            self._aside.load()
        except OSError as error:
            # No reason not to begin: a full disk is emptied by nobody else.
            _log.warning("spool not tidied", spool=self._spool.label, why=error.strerror, effect="the next start does")

    def _archive(self, source: Path, expected: moving.Expected, wanted: Path) -> None:
        for target in moving.variants(wanted):
            try:
                moving.transfer(source, expected, target, self._claims)
                return
            except FileExistsError:
                if self._is_done(source, expected, target):
                    return

    def _move_aside(self, source: Path, expected: moving.Expected, wanted: Path) -> Path:
        for target in moving.variants(wanted):
            try:
                moving.transfer(source, expected, target, self._claims)
                return target
            except FileExistsError:
                if self._is_done(source, expected, target):
                    return target
        raise AssertionError("variants never end")

    def _is_done(self, source: Path, expected: moving.Expected, target: Path) -> bool:
        """Whether a crash came after this very file was put there and before it was removed here; it is now."""
        if not target.is_file() or target.is_symlink() or not moving.same_bytes(source, target):
            return False
        moving.remove(source, expected, self._claims)
        return True

    def _move_sidecars(self, source: Path, sidecars: list[Path], target: Path) -> None:
        for sidecar in sidecars:
            ending = sidecar.name.removeprefix(source.name if sidecar.name.startswith(source.name) else source.stem)
            base = target.name if sidecar.name.startswith(source.name) else target.stem
            with contextlib.suppress(FileNotFoundError, SourceChanged):
                self._move_aside(sidecar, moving.Expected.of(sidecar), target.with_name(base + ending))

    def _prune_quarantine(self, folder: Path) -> None:
        with contextlib.suppress(OSError):
            while folder != self._quarantine and folder.is_relative_to(self._quarantine):
                folder.rmdir()
                folder = folder.parent

    def _upload_target(self, name: str) -> Path:
        target = self._target(name)
        if kind_of(target.name) not in (Kind.RECORDING, Kind.SIDECAR):
            raise SpoolRefused(
                f"{safe_text(name)} is no recording: its name must end in .wav, .mp3, .gsm or as other audio does."
            )
        if len(target.relative_to(self.root).parts) > DEEPEST_FOLDERS + 1:
            raise SpoolRefused(f"Files lie at most {DEEPEST_FOLDERS} folders deep. Send it with a shorter path.")
        return target

    def _target(self, relative: str) -> Path:
        try:
            path = self.root / check_relative(relative)
        except ValueError as error:
            raise SpoolRefused(f"{safe_text(relative)[:200]} is no name for a spool file: {error}.") from None
        return self._inside(path, self.root)

    def _inside(self, path: Path, folder: Path) -> Path:
        """Refuse what lies outside `folder`, also by way of a link, and our own control folder."""
        absolute = path.absolute()
        real, real_folder, ours = os.path.realpath(absolute.parent), self._real(folder), self._real(self.control)
        outside = ".." in absolute.parts or not _within(real, real_folder) or absolute == folder
        if outside or (folder == self.root and _within(real, ours)):
            raise SpoolRefused(f"{safe_text(str(path))} does not lie in {folder}; it was left alone.")
        return absolute

    def _real(self, folder: Path) -> str:
        """Resolved once: should a link in it be turned elsewhere later, files are refused and not followed."""
        if folder not in self._resolved:
            self._resolved[folder] = os.path.realpath(folder)
        return self._resolved[folder]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _expected(settled: Settled) -> moving.Expected:
    return moving.Expected(settled.size_bytes, settled.mtime_ns, settled.inode)
