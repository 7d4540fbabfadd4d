"""The last look at stored files: what a writer still adds is never thrown away."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recpipe.errors import SourceChanged
from recpipe.model import FileIdentity, Settled
from recpipe.settings import Spool
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.settle import Writer
from recpipe.spool.writers import Writers

NAME = "2026/11/28/call.wav"


@pytest.fixture
def owned(tmp_path: Path) -> Callable[..., SpoolFolder]:
    """Makes an owner of the spool; by default one whose kernel cannot say who has a file open."""

    def make(**changes: object) -> SpoolFolder:
        made = SpoolFolder(Spool.model_validate({"path": tmp_path / "spool", "remote_writers": True} | changes))
        made.lock()
        return made

    return make


def drop(folder: SpoolFolder, data: bytes = b"audio") -> Settled:
    path = folder.root / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.with_suffix(".json").write_text("{}")
    status = path.lstat()
    return Settled(path, NAME, status.st_size, status.st_mtime_ns, status.st_ino)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def in_spool(folder: SpoolFolder) -> list[str]:
    return [name for name in files(folder.root) if not name.startswith(".recpipe/")]


def aside(folder: SpoolFolder) -> list[str]:
    return files(folder.control / "aside")


def test_a_closed_file_goes_at_once(owned: Callable[..., SpoolFolder]) -> None:
    folder = owned(remote_writers=False)
    folder.finish(drop(folder))
    assert in_spool(folder) == aside(folder) == []
    assert list((folder.control / "aside").iterdir()) == []


def test_where_nobody_can_say_a_file_goes_when_its_grace_is_over(
    owned: Callable[..., SpoolFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = owned(grace_seconds=60)
    folder.finish(drop(folder))
    assert in_spool(folder) == []
    folder.look_again()
    assert len(aside(folder)) == 2
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    folder.look_again()
    assert aside(folder) == []


@pytest.mark.parametrize("remote", [False, True])
def test_a_file_that_somebody_writes_to_stays_aside_and_comes_back_whole(
    owned: Callable[..., SpoolFolder], remote: bool
) -> None:
    # Given a writer that has not closed its file, though it was stored
    folder = owned(grace_seconds=0, remote_writers=remote)
    stored = drop(folder)
    with stored.path.open("ab") as writer:
        folder.finish(stored)
        folder.look_again()
        assert len(aside(folder)) == 2
        # When it goes on, and closes
        writer.write(b" and more")
    folder.unlock()
    folder = owned(remote_writers=remote)  # the next owner looks at once
    folder.look_again()
    # Then the whole file lies in the spool again, with its sidecar
    assert in_spool(folder) == ["2026/11/28/call.json", NAME]
    assert (folder.root / NAME).read_bytes() == b"audio and more"
    assert aside(folder) == []


def test_a_file_written_to_while_it_is_moved_aside_is_back_at_once(owned: Callable[..., SpoolFolder]) -> None:
    folder = owned()
    stored = drop(folder)
    os.utime(stored.path)
    with pytest.raises(SourceChanged):
        folder.finish(stored)
    assert in_spool(folder) == ["2026/11/28/call.json", NAME]


@pytest.mark.parametrize("name", ["1790000000.5", "2026.11/call", "call.in-progress"])
def test_a_recording_whose_name_does_not_say_so_goes_as_others_do(owned: Callable[..., SpoolFolder], name: str) -> None:
    folder = owned(remote_writers=False)
    path = folder.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"audio")
    status = path.lstat()
    folder.finish(Settled(path, name, status.st_size, status.st_mtime_ns, status.st_ino))
    assert in_spool(folder) == aside(folder) == []


def test_what_comes_back_overwrites_nothing(owned: Callable[..., SpoolFolder]) -> None:
    folder = owned()
    stored = drop(folder)
    with stored.path.open("ab") as writer:
        folder.finish(stored)
        writer.write(b" and more")
    (folder.root / NAME).write_bytes(b"the next call")
    folder.unlock()
    folder = owned()
    folder.look_again()
    assert {(folder.root / name).read_bytes() for name in in_spool(folder) if name.endswith(".wav")} == {
        b"the next call",
        b"audio and more",
    }


def test_the_archive_gets_what_was_stored_and_nothing_that_grew(
    owned: Callable[..., SpoolFolder], tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    folder = owned(after="archive", archive=archive, grace_seconds=0)
    stored = drop(folder)
    with stored.path.open("ab") as writer:
        folder.finish(stored)
        assert not archive.exists()
        writer.write(b" and more")
    folder.unlock()
    folder = owned(after="archive", archive=archive, grace_seconds=0)
    folder.look_again()
    assert not archive.exists()
    status = (folder.root / NAME).lstat()
    folder.finish(Settled(folder.root / NAME, NAME, status.st_size, status.st_mtime_ns, status.st_ino))
    assert files(archive) == ["2026/11/28/call.json", NAME]
    assert (archive / NAME).read_bytes() == b"audio and more"


def test_a_crash_at_any_point_of_moving_aside_loses_nothing(owned: Callable[..., SpoolFolder]) -> None:
    # Given a sidecar alone, and an entry of a strange name
    folder = owned()
    entries = folder.control / "aside"
    (entries / "1795-5-1795000000000000000-0123abce~2026%2Fleft.json").write_text("{}")
    (entries / "strange~2026%2Fcall%2525.wav").write_bytes(b"audio")
    folder.unlock()
    folder = owned()
    folder.look_again()
    assert in_spool(folder) == ["2026/call%25.wav", "2026/left.json"]
    assert list(entries.iterdir()) == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("after", ["delete", "archive"])
def test_a_kill_at_any_step_of_finishing_leaves_no_sidecar_without_its_recording(
    owned: Callable[..., SpoolFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    archive = tmp_path / "archive"
    options = {"remote_writers": False, "after": after} | ({"archive": archive} if after == "archive" else {})
    both = ["2026/11/28/call.json", NAME]
    for survived in itertools.count():
        # Given a process that is killed before one of the names that it changes, further on each time
        folder = owned(**options)
        settled = drop(folder)
        steps = itertools.count()

        def kill_or(
            change: Callable[..., None], survived: int = survived, steps: Iterator[int] = steps
        ) -> Callable[..., None]:
            def changed(*args: object, **options: object) -> None:
                if next(steps) == survived:
                    raise Killed
                change(*args, **options)

            return changed

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            for name in ("rename", "unlink", "link"):
                patch.setattr(os, name, kill_or(getattr(os, name)))
            folder.finish(settled)
        killed = next(steps) > survived
        folder.unlock(in_order=False)
        # Then the next one finds both or neither, and finishes
        folder = owned(**options)
        assert in_spool(folder) in ([], both)
        folder.finish(settled)
        folder.look_again()
        folder.unlock()
        assert in_spool(folder) == aside(folder) == files(folder.control / "removing") == []
        if after == "archive":
            assert files(archive) == both
            shutil.rmtree(archive)
        if not killed:
            break
    # Both are moved aside, the sidecar's note goes, and both are deleted; into the archive each is linked and claimed.
    assert survived == (5 if after == "delete" else 9)


def test_an_upload_is_known_to_be_whole_where_no_kernel_can_say(owned: Callable[..., SpoolFolder]) -> None:
    folder = owned()
    with folder.accept_upload("call.wav") as upload:
        upload.write(b"audio")
        upload.commit()
    writers = Writers(remote_writers=True, control=folder.control)
    identity = FileIdentity.of((folder.root / "call.wav").lstat())
    assert writers.of(folder.root / "call.wav", "call.wav", identity) is Writer.CLOSED
    writers.done(identity)
    assert writers.of(folder.root / "call.wav", "call.wav", identity) is Writer.UNKNOWN
    assert list((folder.control / "whole").iterdir()) == []


def test_a_file_that_cannot_go_after_its_sidecar_went_is_not_put_back_without_it(
    owned: Callable[..., SpoolFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = owned(remote_writers=False)
    let_go = folder._aside._let_go

    def fails(path: Path, relative: Path, ours: bool) -> None:
        if relative.suffix == ".wav":
            raise OSError(5, "Input/output error")
        let_go(path, relative, ours)

    monkeypatch.setattr(folder._aside, "_let_go", fails)
    folder.finish(drop(folder))
    assert in_spool(folder) == [] and [name.rpartition(".")[2] for name in aside(folder)] == ["wav"]
    # When the disk works again
    monkeypatch.setattr(folder._aside, "_let_go", let_go)
    folder.unlock(in_order=False)
    folder.lock()
    folder.look_again()
    assert in_spool(folder) == aside(folder) == []
