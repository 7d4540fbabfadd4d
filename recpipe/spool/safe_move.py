"""Moving spool files so that nothing is overwritten, lost on a power cut, or taken while it changes."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from recpipe.durable import NO_LINKS, make_folders, rename_to_free, sync_folder
from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity
from recpipe.spool.beneath import Beneath

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def check(path: Path, expected: FileIdentity) -> None:
    """Raises:
    SourceChanged: something else is there by now, or nothing.
    """
    try:
        same = FileIdentity.at(path) == expected
    except (FileNotFoundError, NotADirectoryError):
        same = False
    if not same:
        raise SourceChanged(path)


def transfer(source: Path, expected: FileIdentity, target: Path, claims: Path) -> None:
    """Move a file, also to another file system; durable before the source goes.

    Args:
        claims: folder for `remove`.

    Raises:
        FileExistsError: something is called `target`; nothing was changed.
        SourceChanged: the source is not the expected file (any more); nothing was changed.
    """
    check(source, expected)
    make_folders(target.parent)
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except FileNotFoundError:
        raise SourceChanged(source) from None
    except OSError as error:
        if error.errno == errno.EXDEV:
            _copy(source, target)
        elif error.errno in NO_LINKS:
            _rename_without_links(source, expected, target)
            return
        else:
            raise
    try:
        check(source, expected)
        sync_folder(target.parent)
        remove(source, expected, claims)
    except Exception:  # no interruption: the source may be gone by then
        target.unlink(missing_ok=True)
        raise


def remove(path: Path, expected: FileIdentity, claims: Path) -> None:
    """Delete exactly this file.

    It is renamed away first and looked at under its new name, so a file that took its place in the last moment
    is put back instead of deleted.

    Args:
        claims: a folder of ours on the same file system; `claimed_names` reads what a crash left in it.

    Raises:
        SourceChanged: another file is there by now.
    """
    check(path, expected)
    # A pinned folder has a name as well: the one that it goes by now.
    claim = claims / f"{secrets.token_hex(4)}~{claim_name(Path(os.path.realpath(path.parent), path.name))}"
    try:
        path.rename(claim)
    except FileNotFoundError:
        raise SourceChanged(path) from None
    except OSError:  # claims are on another file system, or the name is too long when quoted
        check(path, expected)
        path.unlink()
        return
    try:
        check(claim, expected)
    except SourceChanged:
        put_back(claim, path)
        raise SourceChanged(path) from None
    claim.unlink()


def claim_name(path: Path) -> str:
    """A path in one file name."""
    return os.fsdecode(os.fsencode(path).replace(b"%", b"%25").replace(b"/", b"%2F"))


def claimed_names(claims: Path) -> Iterator[tuple[Path, Path]]:
    """(claimed file, where it was) for everything a crash left half removed."""
    for claim in claims.iterdir():
        yield claim, unquoted(claim.name.partition("~")[2])


def unquoted(name: str) -> Path:
    """The inverse of `claim_name`."""
    return Path(name.replace("%2F", "/").replace("%25", "%"))


def put_back(claim: Path, original: Path) -> Path:
    """Undo a claim without overwriting what may be there by now; one that a crash cut short is brought to its end."""
    make_folders(original.parent)
    for target in variants(original):
        try:
            os.link(claim, target, follow_symlinks=False)
        except FileExistsError:
            if not _are_one(claim, target):  # else linked before, and not yet removed here
                continue
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            rename_to_free(claim, target)
            return target
        claim.unlink()
        return target
    raise AssertionError("variants never end")


def _are_one(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def variants(path: Path) -> Iterator[Path]:
    """`a.wav`, `a~2.wav`, `a~3.wav`, ...; the stem is cut where the name would get too long."""
    yield path
    number = 2
    while True:
        tail = f"~{number}{path.suffix}"
        stem = os.fsencode(path.stem)[: 255 - len(os.fsencode(tail)) - 16]  # 16: a sidecar's longer ending
        yield path.with_name(os.fsdecode(stem) + tail)
        number += 1


def before_variant(path: Path) -> Path:
    """What `variants` made this path of; itself where it is none."""
    return path.with_name(re.sub(r"~[0-9]+(?=\.[^.]*$)", "", path.name))


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two regular files hold the same bytes; False where either is none, or a link to one."""
    with contextlib.ExitStack() as stack:
        try:
            left, right = (stack.enter_context(_regular(path)) for path in (one, other))
        except FileNotFoundError:
            return False
        if os.fstat(left.fileno()).st_size != os.fstat(right.fileno()).st_size:
            return False
        while chunk := left.read(1 << 20):
            if right.read(len(chunk)) != chunk:
                return False
    return True


def _regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a FIFO is not waited for.

    Raises:
        FileNotFoundError: there is none, or a link, or something else that is no regular file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOTDIR):
            raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path)) from None
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
    return os.fdopen(handle, "rb")


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            with _regular(source) as body:
                shutil.copyfileobj(body, out, 1 << 20)
                status = os.fstat(body.fileno())
            out.flush()
            os.utime(handle, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(handle)
        try:
            os.link(temporary, target)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            rename_to_free(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _rename_without_links(source: Path, expected: FileIdentity, target: Path) -> None:
    try:
        rename_to_free(source, target)
    except FileNotFoundError:
        raise SourceChanged(source) from None
    try:
        check(target, expected)
    except SourceChanged:
        put_back(target, source)
        raise SourceChanged(source) from None
    sync_folder(target.parent)


def prune_dated(below: Beneath, relative: str, now: datetime | None = None) -> None:
    """Remove empty date folders (YYYY/MM/DD, YYYY/Mon/DD, with or without an hour) whose day is long over.

    Others stay: a PBX that made a folder and is about to write to it must find it. Only `rmdir` is used, so a
    folder that is not empty survives any race.

    Args:
        relative: a folder of a spool, "/"-separated; its parents are looked at as well.
    """
    today = (now or datetime.now(UTC)).date()
    while relative:
        last_day = _last_day(tuple(relative.split("/")))
        if last_day is None or last_day >= today - timedelta(days=2):
            return
        try:
            with below.parent(relative) as folder:
                folder.rmdir()
        except (OSError, SourceChanged):
            return
        relative = relative.rpartition("/")[0]


def _last_day(parts: tuple[str, ...]) -> date | None:
    """The last day that a dated folder is for, read from the end of its path."""
    years = [i for i, part in enumerate(parts[-4:]) if re.fullmatch(r"(19|20)[0-9]{2}", part)]
    if not years:
        return None
    numbers = [_MONTHS.index(p) + 1 if p in _MONTHS else int(p) if re.fullmatch("[0-9]{1,4}", p) else -1
               for p in parts[-4:][years[0] :]]  # fmt: skip
    try:
        if len(numbers) == 1:
            return date(numbers[0], 12, 31)
        if len(numbers) == 2:
            return date(numbers[0] + numbers[1] // 12, numbers[1] % 12 + 1, 1) - timedelta(days=1)
        if len(numbers) == 3 or 0 <= numbers[3] <= 23:
            return date(numbers[0], numbers[1], numbers[2])
    except ValueError:
        pass
    return None
