from __future__ import annotations

import errno
import fcntl
import io
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recpipe.errors import ObjectExists, ObjectMissing, StoreRejected, StoreUnavailable
from recpipe.model import Sendable
from recpipe.store.directory import DirectoryStore
from tests.contracts.store import StoreContract, get, put
from tests.services.need import missing


class TestDirectoryStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DirectoryStore:
        return DirectoryStore(tmp_path / "objects")

    def test_it_has_no_urls_to_give(self, store: DirectoryStore) -> None:
        assert store.presign("t/r-1", seconds=60, download_name="a.wav", media_type="audio/wav") is None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if not path.is_dir()]


def test_files_and_folders_are_for_their_owner_alone(root: Path) -> None:
    old = os.umask(0)
    try:
        put(DirectoryStore(root), "t/ab/r-1", b"x")
    finally:
        os.umask(old)
    modes = {path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
    assert modes == {"t": 0o700, "t/ab": 0o700, "t/ab/r-1": 0o600, ".partial": 0o700}
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_nothing_temporary_stays_behind(root: Path) -> None:
    store = DirectoryStore(root)
    put(store, "t/r-1", b"x")
    put(store, "t/r-1", b"x")
    with pytest.raises(StoreRejected):
        store.put("t/r-2", io.BytesIO(b"short"), 10)
    assert everything(root) == [root / "t/r-1"]
    assert (root / "t/r-1").stat().st_nlink == 1


def test_what_a_killed_writer_left_is_cleared_away_and_a_living_one_is_left_alone(root: Path) -> None:
    # Given: two temporary files, however new, one of which a writer still holds
    DirectoryStore(root)
    dead, alive = (root / ".partial" / name for name in ("dead", "alive"))
    for path in (dead, alive):
        path.write_bytes(b"half")
    with alive.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        # When another process opens the store
        DirectoryStore(root)
    # Then
    assert not dead.exists()
    assert alive.exists()


def test_a_note_for_which_the_disk_had_no_room_is_written_when_the_object_comes_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(root)
    with monkeypatch.context() as full:
        full.setattr("recpipe.store.directory.os.write", no_room)
        with pytest.raises(StoreUnavailable):
            store.put("t/r-1", io.BytesIO(b"x"), 1, lambda _: b"note")
    store.put("t/r-1", io.BytesIO(b"x"), 1, lambda _: b"note")
    assert store.head("t/r-1").note == b"note"


def no_room(fd: int, data: bytes) -> int:
    if data == b"note":
        raise OSError(errno.ENOSPC, "No space left on device")
    return os.writev(fd, [data])


def test_a_writer_killed_half_way_leaves_nothing_under_the_key(root: Path) -> None:
    script = (
        "import os, signal, sys, pathlib\n"
        "from recpipe.store.directory import DirectoryStore\n"
        "class Body:\n"
        "    n = 0\n"
        "    def readinto(self, b):\n"
        "        self.n += 1\n"
        "        if self.n == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return len(b)\n"
        f"DirectoryStore(pathlib.Path({str(root)!r})).put('t/r-1', Body(), 10_000_000)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], check=False, timeout=30)
    assert killed.returncode == -9
    (leftover,) = everything(root)
    assert leftover.parent == root / ".partial"
    store = DirectoryStore(root)
    assert everything(root) == []
    put(store, "t/r-1", b"now")


def test_a_damaged_file_shows_when_the_same_bytes_are_put_again(root: Path) -> None:
    store = DirectoryStore(root)
    put(store, "t/r-1", b"right")
    (root / "t/r-1").write_bytes(b"wrong")
    with pytest.raises(ObjectExists):
        put(store, "t/r-1", b"right")


def test_a_link_in_the_folder_leads_nowhere(root: Path, tmp_path: Path) -> None:
    store = DirectoryStore(root)
    (tmp_path / "secret").write_text("not an object")
    (root / "t").mkdir()
    (root / "t" / "r-1").symlink_to(tmp_path / "secret")
    with pytest.raises((ObjectMissing, StoreRejected)):
        store.read("t/r-1")
    assert list(store.list()) == []


def test_a_pipe_in_the_folder_blocks_nobody(root: Path) -> None:
    store = DirectoryStore(root)
    (root / "t").mkdir()
    os.mkfifo(root / "t" / "r-1")
    with pytest.raises(ObjectMissing):
        store.read("t/r-1")
    assert list(store.list()) == []


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d")])
def test_a_key_below_another_is_rejected_and_overwrites_nothing(root: Path, first: str, second: str) -> None:
    store = DirectoryStore(root)
    put(store, first, b"first")
    with pytest.raises(StoreRejected, match="Nothing was overwritten"):
        put(store, second, b"second")
    assert get(store, first) == b"first"
    assert [o.key for o in store.list()] == [first]


def test_a_folder_that_went_away_is_not_taken_for_missing_objects(root: Path) -> None:
    store = DirectoryStore(root)
    put(store, "t/r-1", b"x")
    root.rename(root.with_name("unmounted"))
    root.mkdir()  # what is seen of an unmounted disk
    for ask in (
        lambda: store.read("t/r-1"),
        lambda: store.head("t/r-1"),
        lambda: store.delete("t/r-1"),
        lambda: list(store.list()),
        lambda: put(store, "t/r-2", b"x"),
    ):
        with pytest.raises(StoreUnavailable, match="ount its disk"):
            ask()
    assert everything(root) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_fails_at_fsync_leaves_nothing_and_says_what_to_do(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = DirectoryStore(root)

    def failing(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(StoreUnavailable, match=r"disk|space"):
            put(store, "t/r-1", b"x")
    assert everything(root) == []


def _on_a_small_disk(tmp_path: Path, script: str) -> str:
    """Run a script with its own 1 MiB file system at tmp_path/disk; its output."""
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}/disk"
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{mount} && exec "$0" -c "$1"']
    done = subprocess.run(
        [*command, sys.executable, script], capture_output=True, text=True, check=False, timeout=60, cwd=Path.cwd()
    )
    if "unshare" in done.stderr or "mount" in done.stderr.split("Traceback")[0]:
        missing(f"no file system of one's own here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_leaves_nothing_and_a_retry_works_once_there_is_room(tmp_path: Path) -> None:
    script = f"""
import io, os, pathlib
from recpipe.errors import StoreUnavailable
from recpipe.store.directory import DirectoryStore
root = pathlib.Path({str(tmp_path)!r}) / "disk"
(root / "ballast").write_bytes(bytes(700_000))
store = DirectoryStore(root / "objects")
try:
    store.put("t/r-1", io.BytesIO(bytes(600_000)), 600_000)
except StoreUnavailable as error:
    print(error)
print([o.key for o in store.list()], os.listdir(root / "objects" / ".partial"))
(root / "ballast").unlink()
print(store.put("t/r-1", io.BytesIO(bytes(600_000)), 600_000).size_bytes)
"""
    said, left, retried = _on_a_small_disk(tmp_path, script).splitlines()
    assert "full: free space" in said
    assert left == "[] []"
    assert retried == "600000"


def test_a_read_only_disk_is_a_matter_for_a_person(tmp_path: Path) -> None:
    script = f"""
import io, pathlib, subprocess
from recpipe.errors import StoreRejected
from recpipe.store.directory import DirectoryStore
root = pathlib.Path({str(tmp_path)!r}) / "disk"
store = DirectoryStore(root)
subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
try:
    store.put("t/r-1", io.BytesIO(b"x"), 1)
except StoreRejected as error:
    print(error)
"""
    assert "remount it for writing" in _on_a_small_disk(tmp_path, script)


def test_content_is_streamed_not_held(root: Path) -> None:
    """A 300 MB object costs no more memory than a buffer."""
    script = (
        "import pathlib, resource\n"
        "from recpipe.store.directory import DirectoryStore\n"
        "class Body:\n"
        "    left = 300_000_000\n"
        "    def readinto(self, b):\n"
        "        n = min(len(b), self.left); self.left -= n; return n\n"
        f"store = DirectoryStore(pathlib.Path({str(root)!r}))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "store.put('t/r-1', Body(), 300_000_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    assert int(done.stdout) < 16_000  # KiB


@pytest.mark.parametrize(("start", "length"), [(0, None), (1000, None), (7, 100_000), (299_999, 5), (300_000, None)])
def test_the_kernel_sends_the_same_range_as_is_read(root: Path, start: int, length: int | None) -> None:
    body = bytes(range(251)) * 1196 + b"tail"
    store = DirectoryStore(root)
    store.put("t/r-1", io.BytesIO(body), len(body))
    here, there = socket.socketpair()
    with here, there, store.read("t/r-1", start, length) as stream:
        assert isinstance(stream, Sendable)
        got = b""
        while sent := stream.send_to(here.fileno(), 50_000):
            piece = there.recv(sent, socket.MSG_WAITALL)
            assert len(piece) == sent <= 50_000
            got += piece
    assert got == body[start:][:length]


def test_another_note_takes_the_place_of_the_one_an_object_has(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", io.BytesIO(b"audio"), 5, lambda _: b"one")
    store.rewrite_note("a/b", b"another")
    assert store.head("a/b").note == b"another" and get(store, "a/b") == b"audio"
    # One that is not there gets none, so that nothing is known of it when its key is used
    store.rewrite_note("a/c", b"another")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".b.note", "b"]
    assert list((tmp_path / ".partial").iterdir()) == []
