"""Who has a file open, asked of the real kernel about real processes."""

from __future__ import annotations

import contextlib
import mmap
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recpipe.spool.settle import FileIdentity, Writer
from recpipe.spool.writers import LOCAL_FILE_SYSTEMS, Births, Writers, file_system


@pytest.fixture
def call(tmp_path: Path) -> Path:
    path = tmp_path / "call.wav"
    path.write_bytes(b"x" * 100)
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        if file_system(handle) not in LOCAL_FILE_SYSTEMS:
            pytest.skip("the temporary folder is on no local file system")
    finally:
        os.close(handle)
    return path


def seen(path: Path) -> FileIdentity:
    status = path.stat()
    return FileIdentity(status.st_size, status.st_mtime_ns, status.st_ino)


def ask(path: Path, writers: Writers | None = None) -> Writer:
    return (writers or Writers()).of(path, path.name, seen(path))


@contextlib.contextmanager
def elsewhere(path: Path, mode: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the file open."""
    script = f"import sys; f = open(sys.argv[1], {mode!r}); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without CAP_LEASE and without owning what the test made."""
    if os.geteuid():
        pytest.skip("only root can put its rights away")
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("mode", "answer"), [("ab", Writer.OPEN), ("r+b", Writer.OPEN), ("wb", Writer.OPEN), ("rb", Writer.READ)]
)
def test_the_kernel_tells_who_has_a_file_open(call: Path, mode: str, answer: Writer) -> None:
    assert ask(call) is Writer.CLOSED
    with elsewhere(call, mode):
        assert ask(call) is answer
        # Asking leaves nothing behind, and goes by the file, not by its name.
        moved = call.rename(call.with_name("moved.wav"))
        assert ask(moved) is answer
    assert ask(moved) is Writer.CLOSED


def test_a_writer_that_was_killed_has_closed_its_file(call: Path) -> None:
    with elsewhere(call, "ab") as writer:
        writer.kill()
        writer.wait()
        assert ask(call) is Writer.CLOSED


def test_a_memory_map_writes_though_its_descriptor_is_closed(call: Path) -> None:
    with call.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 100)
    assert ask(call) is Writer.OPEN
    mapped.close()
    assert ask(call) is Writer.CLOSED


def test_asking_while_others_open_the_file_kills_nobody_and_hinders_nobody(call: Path) -> None:
    """A lease that is broken sends a signal, SIGIO by default, which ends the process."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from recpipe.spool.writers import Writers\n"
        "w = Writers(); print(flush=True)\n"
        "answers = {w.by_lease(Path(sys.argv[1]))[0] for _ in range(4000)}\n"
        "print(*sorted(answers))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, call, Path(__file__).parents[3]], stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdout is not None
        asker.stdout.readline()
        while asker.poll() is None:
            with call.open("ab") as out:
                out.write(b"x")
        assert asker.returncode == 0
        assert "open" in asker.stdout.read().split()


def test_another_users_file_is_not_told_without_the_right_to_lease() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        Path(name).chmod(0o755)
        call = Path(name, "call.wav")
        call.write_bytes(b"x")
        call.chmod(0o644)
        with as_nobody():
            assert Writers().by_lease(call) == (Writer.UNKNOWN, True)


def test_files_that_other_machines_write_are_not_asked_about(call: Path) -> None:
    assert Writers(remote_writers=True).by_lease(call) == (Writer.UNKNOWN, False)
    with elsewhere(call, "ab"):  # ... but a process of ours that writes shows all the same
        assert ask(call, Writers(remote_writers=True)) is Writer.OPEN
    assert ask(call, Writers(remote_writers=True)) is Writer.UNKNOWN


def test_a_link_is_not_followed_and_a_missing_file_is_asked_about_again(call: Path) -> None:
    link = call.with_name("link.wav")
    link.symlink_to(call)
    assert Writers().by_lease(link) == (Writer.UNKNOWN, False)
    assert Writers().by_lease(call.with_name("gone.wav")) == (Writer.OPEN, False)


@pytest.mark.parametrize(("folder", "type_"), [("/proc", "proc"), ("/dev/shm", "tmpfs")])
def test_the_file_system_is_known_by_its_mount(folder: str, type_: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        assert file_system(handle) == type_
    finally:
        os.close(handle)


ONE, LONGER, LATER = FileIdentity(100, 5, 1), FileIdentity(200, 6, 1), FileIdentity(100, 7, 1)


def test_a_file_whose_birth_was_seen_is_open_until_it_was_closed() -> None:
    births = Births()
    assert births.of("a.wav", ONE) is Writer.UNKNOWN
    births.born("a.wav")
    assert births.of("a.wav", ONE) is Writer.OPEN
    births.closed("a.wav", ONE)
    assert births.of("a.wav", ONE) is Writer.CLOSED


def test_a_file_that_grew_after_it_was_closed_is_open_again() -> None:
    births = Births()
    births.born("a.wav")
    births.closed("a.wav", ONE)
    assert births.of("a.wav", LONGER) is Writer.OPEN
    births.closed("a.wav", LONGER)
    assert births.of("a.wav", LONGER) is Writer.CLOSED
    assert births.of("a.wav", LATER) is Writer.OPEN


def test_another_time_alone_leaves_the_question_open() -> None:
    births = Births()
    births.born("a.wav")
    births.closed("a.wav", ONE)
    assert births.of("a.wav", LATER) is Writer.UNKNOWN


def test_a_birth_is_followed_through_renames() -> None:
    births = Births()
    births.born("a.wav.part")
    births.moved("a.wav.part", "a.wav", ONE)
    assert births.of("a.wav", ONE) is Writer.OPEN
    births.born(".b")
    births.closed(".b", None)
    births.moved(".b", "b.wav", ONE)
    assert births.of("b.wav", ONE) is Writer.CLOSED
    births.moved("", "a.wav", ONE)  # from outside: nothing is known of it
    assert births.of("a.wav", ONE) is Writer.UNKNOWN
