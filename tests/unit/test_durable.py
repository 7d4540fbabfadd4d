from __future__ import annotations

import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recpipe import durable


def refusing(number: int) -> object:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_what_is_there_is_replaced_whole_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    for content in (b"one", b"another"):
        durable.replace(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("write", [durable.replace, durable.create])
def test_a_disk_that_does_not_take_it_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    assert callable(write)
    (tmp_path / "file").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "file", b"after")
    assert (tmp_path / "file").read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_of_several_writers_the_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: durable.create(path, b"%d" % number), range(8)))
    assert won.count(True) == 1
    assert path.read_bytes() == b"%d" % won.index(True)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_file_is_created_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    assert durable.create(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("at_once", [True, False])
def test_without_hard_links_the_first_wins_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EPERM))
    if not at_once:
        monkeypatch.setattr(durable, "_renameat2", None)
    assert [durable.create(tmp_path / "file", content) for content in (b"one", b"another")] == [True, False]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"one"]


def test_no_empty_file_stands_for_one_that_is_about_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(b"content")
    opened: list[object] = []

    def noticed(path: object, *_arguments: object) -> int:
        opened.append(path)
        raise OSError(errno.EIO, "whoever takes the name first would be killed here")

    monkeypatch.setattr(os, "open", noticed)
    durable.rename_to_free(tmp_path / "source", tmp_path / "target")
    assert opened == [] and [path.name for path in tmp_path.iterdir()] == ["target"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_rename_to_a_free_name_overwrites_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr(durable, "_renameat2", None)
    for name in ("source", "taken"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        durable.rename_to_free(tmp_path / "source", tmp_path / "taken")
    with pytest.raises(FileNotFoundError):
        durable.rename_to_free(tmp_path / "gone", tmp_path / "free")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"source": "source", "taken": "taken"}


def test_a_folder_that_cannot_be_forced_to_disk_is_told_to_those_who_must_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    durable.make_folders(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(OSError, match="Invalid"):
        durable.sync_folder(tmp_path, required=True)


def test_a_sweep_removes_what_a_killed_writer_left_and_leaves_a_living_one_alone(tmp_path: Path) -> None:
    (tmp_path / "of-a-killed-writer").write_bytes(b"half")
    os.mkfifo(tmp_path / "a-pipe")  # which nobody writes to: opening it may not wait
    held, handle = durable.open_held(tmp_path)
    durable.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [held]
    assert held.stat().st_mode & 0o777 == 0o600
    os.close(handle)
    durable.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_swept_before_it_could_be_held_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, swept = fcntl.flock, []

    def sweep_first(fd: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        durable.sweep(tmp_path)
        swept.append(os.fstat(fd).st_nlink)
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    held, handle = durable.open_held(tmp_path)
    os.close(handle)
    assert swept == [0] and list(tmp_path.iterdir()) == [held]
