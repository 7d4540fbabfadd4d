"""What the pipeline does with files of a spool: own it, finish, quarantine, restore, accept uploads.

Everything of ours lies in the control folder (`.recpipe` in the spool): the lock, the spool's id, quarantined files,
uploads that are not complete, scratch files, files being removed, and stored ones that wait for their last look.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from recpipe import durable, settings
from recpipe import log as logs
from recpipe.errors import SourceChanged, SpoolRefused
from recpipe.model import FileIdentity, Settled
from recpipe.spool import orphans, safe_move, sent_sidecars, whole
from recpipe.spool.beneath import Beneath, NotBeneath
from recpipe.spool.control import FOLDERS, ControlFolder
from recpipe.spool.files import (
    CONTROL_FOLDER,
    checked_relative,
    only_sidecars_of,
    safe_text,
)
from recpipe.spool.layouts import is_taken_in, may_be_recording_in, no_recording
from recpipe.spool.lock import SpoolLock
from recpipe.spool.removal import Aside
from recpipe.spool.sent_sidecars import SentSidecars, forgotten
from recpipe.spool.spool_id import SpoolId
from recpipe.spool.stated import describe
from recpipe.spool.taken_copies import TakenCopies
from recpipe.spool.upload import Upload, refusals, require_room
from recpipe.spool.writers import Writers

_log = logs.get(__name__)

DEEPEST_FOLDERS = 16  # folders below the spool that an upload may name
_SWEEP_SECONDS = 3600  # between two looks for what killed processes left, which may be other ones than the owner


class SpoolFolder:
    """The files of one spool. Methods may be called from several threads.

    Args:
        spool: the folder and what becomes of stored files.
        state_dir: use this control folder instead of `.recpipe` in the spool, for importing a foreign folder that is
            to stay as it is.

    Attributes:
        sent: the sidecars that were sent into it.
        taken: what is stored and stays where it is.
    """

    def __init__(self, spool: settings.Spool, state_dir: Path | None = None) -> None:
        self._spool = spool
        self.root = spool.path.absolute()
        self._below = Beneath(self.root)
        self._control = ControlFolder((state_dir or spool.state_dir or self.root / CONTROL_FOLDER).absolute())
        self._writers = Writers(spool.remote_writers)
        self._aside = Aside(
            partial(self._ours, "aside"), self._below, spool.grace_seconds, self._writers, self._let_go, spool.label
        )
        self._lock = SpoolLock()
        self._locked_at_ns = 0
        self._crashed = False
        self._swept_at = time.monotonic()
        self.sent = SentSidecars(self._control.open, self._below, self.prune, spool.label)
        self.taken = TakenCopies(self._control.open, spool.label)
        self._spool_id = SpoolId(self.root, self._control.path / "id")

    @property
    def control(self) -> Path:
        """The control folder, as people know it; whoever works in it goes by `_ours`."""
        return self._control.path

    def _ours(self, name: str) -> Path:
        """A pinned path of something in the control folder.

        Raises:
            SpoolRefused: the folder is not ours alone, or cannot be made.
        """
        within = name.partition("/")[0]
        return self._control.open(within if within in FOLDERS else "") / name

    @property
    def _claims(self) -> Path:
        return self._ours("removing")

    # --- ownership ------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Become the only owner, until `unlock` or the end of the process (however it ends: the kernel's lock).

        Makes the folders that are missing and tidies what a crash left: files half removed are put back.

        Raises:
            SpoolLocked: another live process owns it; `owner` names it.
            SpoolRefused: the control folder is not ours alone, or cannot be made or written to.
        """
        with refusals(f"The spool {self.root} cannot be locked"):
            self._crashed = not self._lock.acquire(self._ours("lock"), self.root)
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
        self._control.close()

    @property
    def spool_id(self) -> str:
        """8 hex digits, random, made once and kept in the control folder; see `SpoolId`."""
        return self._spool_id.get(self._ours("id"), after_crash=self._crashed)

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
        with refusals(f"{safe_text(settled.relative)} cannot be {self._spool.after}d"):
            try:
                self._below.status(settled.relative)
            except NotBeneath as error:
                raise SourceChanged(settled.path) from error
            except (FileNotFoundError, NotADirectoryError):
                return
            with self._below.parent(settled.relative) as source:
                sidecars = only_sidecars_of(source)
                with forgotten(self._control.open(sent_sidecars.FOLDER), sidecars):
                    self._aside.put(source, Path(settled.relative), settled.identity, sidecars)
            self.prune(settled.relative)

    def look_again(self) -> None:
        """Look at the stored files whose grace time is over; call it every second or so. Cheap when there are none."""
        self._aside.look()
        if time.monotonic() - self._swept_at > _SWEEP_SECONDS:
            self._sweep()

    def _sweep(self) -> None:
        """Remove what killed processes left of uploads, theirs or ours, and sidecars that lay alone for too long."""
        self._swept_at = time.monotonic()
        durable.sweep(self._ours("incoming"))
        whole.sweep(self._control.open())
        self.sent.sweep()

    def _let_go(self, path: Path, relative: Path, ours: bool) -> None:
        """Delete or archive for good; what lies in a folder of ours is no other file by now, and needs no claim."""
        if self._spool.after == "delete" and ours:
            path.unlink()
            return
        expected = FileIdentity.at(path)
        if self._spool.after == "archive":
            assert self._spool.archive is not None  # settings saw to it
            archive = self._spool.archive.absolute()
            durable.make_folders(archive)
            with Beneath(archive).parent(str(relative), make_mode=0o755) as wanted:
                self._move_aside(path, expected, wanted)
        else:
            safe_move.remove(path, expected, self._claims)

    def prune(self, relative: str, now: datetime | None = None) -> None:
        """Remove the folder of a file, and its parents, while they are empty date folders of days long over."""
        safe_move.prune_dated(self._below, relative.rpartition("/")[0], now)

    # --- quarantine -----------------------------------------------------------------------------------

    def quarantined(self) -> Iterator[tuple[Path, str, int]]:
        """What lies in quarantine: where (as `quarantine` returned it), its path below the spool, and its bytes."""
        top = self._ours("quarantine")
        for folder, _, names in os.walk(top):
            for path in (Path(folder, name) for name in names if may_be_recording_in(name, self._spool.layout)):
                with contextlib.suppress(FileNotFoundError):
                    yield self._control.shown(path), str(path.relative_to(top)), path.lstat().st_size

    def quarantine(self, settled: Settled, reason: str) -> Path:
        """Move a file that cannot be ingested aside, unchanged, with its sidecars.

        Returns:
            Where it is now: its path below `.recpipe/quarantine`, with `~2` and so on where that was taken.

        Raises:
            SourceChanged: it is another file by now; it was left alone.
            SpoolRefused: the file system said no.
        """
        with refusals(f"{safe_text(settled.relative)} cannot be put into quarantine for {reason}"):
            with self._below.parent(settled.relative) as source:
                sidecars = only_sidecars_of(source)
                target = self._move_aside(source, settled.identity, self._ours("quarantine") / settled.relative)
                self._move_sidecars(source, sidecars, target)
            self.prune(settled.relative)
        return self._control.shown(target)

    def restore(self, path: Path, relative: str, stated: Mapping[str, str] | None = None) -> Path:
        """Put a quarantined file back where the PBX wrote it, to be tried again; its sidecars first.

        Args:
            stated: what a person says of the call, as for `describe`, which may raise.

        Raises:
            SpoolRefused: it is not in quarantine, `relative` is no path below the spool, or that name is taken.
        """
        within = self._in_quarantine(path)
        relative = checked_relative(relative)
        with refusals(f"{safe_text(relative)} cannot be restored"), self._placed(relative) as target:
            if os.path.lexists(target):
                raise SpoolRefused(
                    f"There already is a {safe_text(relative)} in the spool. Wait until it is ingested, then retry."
                )
            source = self._ours(within)
            expected = FileIdentity.at(source)
            if stated:
                describe(source, stated, self._spool.timezone)
            self._move_sidecars(source, only_sidecars_of(source), target)
            safe_move.transfer(source, expected, target, self._claims)
            self._prune_quarantine(source.parent)
        return self.root / relative

    def read(self, path: Path) -> BinaryIO:
        """Open a quarantined file, which whoever asked closes; raises `SpoolRefused` as `restore`."""
        within = self._in_quarantine(path)
        with refusals(f"{safe_text(path.name)} cannot be read"):
            return os.fdopen(os.open(self._ours(within), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")

    def _in_quarantine(self, path: Path) -> str:
        within = self._control.within(path.absolute())
        if not within.startswith("quarantine/"):
            raise _left_alone(path, self.control / "quarantine")
        return within

    def discard(self, path: Path) -> None:
        """Delete a file for good, quarantined or waiting in the spool, with its sidecars. Gone already is no error.

        Raises:
            SpoolRefused: it is neither in quarantine nor a recording of this spool.
        """
        path = path.absolute()
        within = self._control.within(path)
        with refusals(f"{safe_text(path.name)} cannot be discarded"):
            if within.startswith("quarantine/"):
                source = self._ours(within)
                self._delete(source)
                self._prune_quarantine(source.parent)
            elif not within and path.is_relative_to(self.root):
                try:
                    with self._below.parent(checked_relative(str(path.relative_to(self.root)))) as source:
                        self._delete(source)
                except SourceChanged as changed:
                    if isinstance(changed.__cause__, (NotBeneath, NotADirectoryError)):
                        raise _left_alone(path, self.root) from None
                    return  # its folder went with it
            else:
                raise _left_alone(path, self.root)

    def _delete(self, source: Path) -> None:
        for victim in (*only_sidecars_of(source), source):
            with contextlib.suppress(FileNotFoundError):
                safe_move.remove(victim, FileIdentity.at(victim), self._claims)

    # --- new files ------------------------------------------------------------------------------------

    def accept_upload(self, name: str, reserve_bytes: int = 0, sender: str = "") -> Upload:
        """Begin a file that somebody sends: written aside, put into place whole by `commit`.

        Args:
            name: path below the spool that it shall get.
            reserve_bytes: of the disk, left free for others.
            sender: of a sidecar: who is told of where its recording does not come; "": nobody.

        Raises:
            SpoolRefused: no plain path below the spool, too deep, or neither a recording nor a sidecar by its ending.
            SpoolFull: the disk has no more than the reserve.
        """
        relative = self._upload_name(name)
        upload = self.hold_upload(reserve_bytes)
        upload.name(relative, sender)
        return upload

    def hold_upload(self, reserve_bytes: int = 0) -> Upload:
        """As `accept_upload`, of a file whose name is told later, to `name_upload`.

        Raises:
            SpoolRefused, SpoolFull: as there.
        """
        return Upload(self._control, self._below, reserve_bytes)

    def require_room(self, reserve_bytes: int, wanted_bytes: int) -> None:
        """Raises:
        SpoolFull: the disk has not so much room besides the reserve.
        """
        require_room(self._ours("incoming"), reserve_bytes, wanted_bytes)

    def name_upload(self, upload: Upload, name: str, sender: str = "") -> None:
        """Say where `commit` shall put it, and who is told as `accept_upload`.

        Raises:
            SpoolRefused: as `accept_upload`.
        """
        upload.name(self._upload_name(name), sender)

    def scratch(self) -> Path:
        """A new path for a temporary file of the pipeline, inside the spool; whoever uses it deletes it."""
        return self._ours("scratch") / secrets.token_hex(16)

    # --- inside ---------------------------------------------------------------------------------------

    def _tidy(self) -> None:
        try:
            for leftover in self._ours("scratch").iterdir():
                leftover.unlink(missing_ok=True)
            for claim, original in list(safe_move.claimed_names(self._claims)):
                self._undo(claim, original)
            self._sweep()  # an upload may have been among them
            self._aside.load()
            if self._crashed:
                for source, sidecars, aside in orphans.sidecars(self._ours("quarantine"), self._below):
                    self._move_sidecars(source, sidecars, aside)
        except OSError as error:
            # No reason not to begin: a full disk is emptied by nobody else.
            _log.warning("spool not tidied", spool=self._spool.label, why=error.strerror, effect="the next start does")

    def _undo(self, claim: Path, original: Path) -> None:
        """Put a file back that a crash left half removed; where its name is no path of ours, into the spool's root."""
        control, root = (Path(os.path.realpath(path)) for path in (self.control, self.root))
        with contextlib.ExitStack() as stack:
            if original.is_relative_to(control) and ".." not in original.parts:
                wanted = self._ours(str(original.relative_to(control)))
            else:
                try:
                    relative = checked_relative(str(original.relative_to(root)))
                except (ValueError, SpoolRefused):
                    relative = claim.name
                wanted = stack.enter_context(self._below.parent(relative, make_mode=0o755))
            safe_move.put_back(claim, wanted)
        _log.warning("interrupted removal undone", spool=self._spool.label, where=str(original.parent))

    def _move_aside(self, source: Path, expected: FileIdentity, wanted: Path) -> Path:
        for target in safe_move.variants(wanted):
            try:
                safe_move.transfer(source, expected, target, self._claims)
                return target
            except FileExistsError:
                if self._is_done(source, expected, target):
                    return target
        raise AssertionError("variants never end")

    def _is_done(self, source: Path, expected: FileIdentity, target: Path) -> bool:
        """Whether a crash came after this very file was put there and before it was removed here; it is now."""
        if not safe_move.same_bytes(source, target):
            return False
        safe_move.remove(source, expected, self._claims)
        return True

    def _move_sidecars(self, source: Path, sidecars: list[Path], target: Path) -> None:
        for sidecar in sidecars:
            ending = sidecar.name.removeprefix(source.name if sidecar.name.startswith(source.name) else source.stem)
            base = target.name if sidecar.name.startswith(source.name) else target.stem
            with contextlib.suppress(FileNotFoundError, SourceChanged):
                self._move_aside(sidecar, FileIdentity.at(sidecar), target.with_name(base + ending))

    def _prune_quarantine(self, folder: Path) -> None:
        top = self._ours("quarantine")
        with contextlib.suppress(OSError):
            while folder != top and folder.is_relative_to(top):
                folder.rmdir()
                folder = folder.parent

    def _upload_name(self, name: str) -> str:
        relative = checked_relative(name)
        if not is_taken_in(relative.rpartition("/")[2], self._spool.layout):
            raise no_recording(name, self._spool.layout)
        if relative.count("/") > DEEPEST_FOLDERS:
            raise SpoolRefused(f"Files lie at most {DEEPEST_FOLDERS} folders deep. Send it with a shorter path.")
        try:
            self._below.status(relative)
        except (NotBeneath, NotADirectoryError):
            raise _left_alone(self.root / relative, self.root) from None
        except OSError:  # nothing there yet; whether it can be is for `commit` to find out
            pass
        return relative

    @contextlib.contextmanager
    def _placed(self, relative: str) -> Iterator[Path]:
        """Where a file goes in the spool, its folder pinned and made where it is missing.

        Raises:
            SpoolRefused: a link is in the way.
        """
        with contextlib.ExitStack() as stack:
            try:
                target = stack.enter_context(self._below.parent(relative, make_mode=0o755))
            except (NotBeneath, NotADirectoryError):
                raise _left_alone(self.root / relative, self.root) from None
            yield target


def _left_alone(path: Path, folder: Path) -> SpoolRefused:
    return SpoolRefused(f"{safe_text(str(path))} does not lie in {folder}; it was left alone.")
