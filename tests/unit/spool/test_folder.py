"""Owning a spool, and what becomes of its files. All on a real disk."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recpipe.errors import SourceChanged, SpoolLocked, SpoolRefused, Unfit
from recpipe.model import FileIdentity, Settled
from recpipe.settings import Spool
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.safe_move import claim_name, put_back, remove, transfer, variants

NAME = "2020/03/27/call.wav"


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    made = SpoolFolder(Spool(path=tmp_path / "spool"))
    made.lock()
    return made


@pytest.fixture
def archiving(tmp_path: Path) -> SpoolFolder:
    made = SpoolFolder(Spool(path=tmp_path / "spool", after="archive", archive=tmp_path / "archive"))
    made.lock()
    return made


def drop(folder: SpoolFolder, relative: str = NAME, data: bytes = b"audio") -> Settled:
    path = folder.root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    status = path.lstat()
    return Settled(path, relative, status.st_size, status.st_mtime_ns, status.st_ino)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- ownership --------------------------------------------------------------------------------------------


def test_a_spool_has_one_owner_at_a_time(folder: SpoolFolder) -> None:
    other = SpoolFolder(Spool(path=folder.root))
    with pytest.raises(SpoolLocked, match=f"process {os.getpid()} on ") as caught:
        other.lock()
    assert caught.value.owner.startswith(f"process {os.getpid()} on ")
    folder.unlock()
    other.lock()
    other.unlock()


def test_a_lock_that_cannot_be_had_is_not_blamed_on_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    folder = SpoolFolder(Spool(path=tmp_path / "spool"))
    with monkeypatch.context() as nfs:
        nfs.setattr(fcntl, "flock", no_locks)
        with pytest.raises(SpoolRefused, match="cannot be locked: No locks available"):
            folder.lock()
    (folder.control / "lock").unlink()
    (folder.control / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoolRefused, match="cannot be locked"):
        folder.lock()
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_of_a_killed_owner_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from recpipe.settings import Spool\n"
        "from recpipe.spool.folder import SpoolFolder\n"
        "SpoolFolder(Spool(path=Path(sys.argv[1]))).lock(); print('locked', flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == "locked\n"
        mine = SpoolFolder(Spool(path=tmp_path))
        with pytest.raises(SpoolLocked, match=str(owner.pid)):
            mine.lock()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    mine.lock()
    mine.unlock()


def ends_in(folder: SpoolFolder, when: str) -> None:
    """Run an owner of this spool in a process of its own that ends, as a kill does, when it comes to this call."""
    child = os.fork()
    if child == 0:
        end = os._exit
        if when != "locked":
            setattr(os, when, lambda *_: end(0))
        try:
            SpoolFolder(Spool(path=folder.root)).lock()
        except BaseException:
            end(1)
        end(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("second", ["pwrite", "fsync", "ftruncate", "locked"])
def test_a_crash_is_remembered_by_a_start_that_crashes_too(folder: SpoolFolder, second: str) -> None:
    folder.unlock()
    ends_in(folder, "locked")
    ends_in(folder, second)
    folder.lock()
    assert folder.crashed
    folder.unlock()
    folder.lock()
    assert not folder.crashed, "and is over once an owner has left in good order"


def test_a_lock_file_of_the_release_before_is_understood_and_an_empty_one_is_not_trusted(folder: SpoolFolder) -> None:
    for text in ("process 1 on a machine that lost power\n", ""):
        folder.unlock()
        (folder.control / "lock").write_text(text)
        folder.lock()
        assert folder.crashed


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own whose last byte is taken."""
    root = tmp_path / "full"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(root)], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        (root / "call.wav").write_bytes(b"audio")
        with suppress(OSError), (root / "fill").open("wb", buffering=0) as out:
            while out.write(b"x" * 4096):
                pass
        yield root
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def test_a_full_disk_can_be_owned_and_so_emptied(full_disk: Path) -> None:
    folder = SpoolFolder(Spool(path=full_disk))
    folder.lock()
    assert folder.crashed, "as nothing could be written down"
    with pytest.raises(SpoolLocked):
        SpoolFolder(Spool(path=full_disk)).lock()
    spool_id = folder.spool_id
    status = (full_disk / "fill").stat()
    folder.discard(full_disk / "call.wav")
    (full_disk / "fill").unlink()
    assert status.st_size > 0 and not (full_disk / "call.wav").exists()
    assert folder.spool_id == spool_id, "the name of its objects stays"
    folder.unlock()
    again = SpoolFolder(Spool(path=full_disk))
    again.lock()
    assert not again.crashed and again.spool_id == spool_id
    again.unlock()


def test_a_full_disk_shortens_the_grace_and_skips_no_look(full_disk: Path) -> None:
    folder = SpoolFolder(Spool(path=full_disk, remote_writers=True))
    folder.lock()
    status = (full_disk / "call.wav").lstat()
    call = Settled(full_disk / "call.wav", "call.wav", status.st_size, status.st_mtime_ns, status.st_ino)
    with (full_disk / "call.wav").open("r+b"):
        with suppress(SourceChanged):
            folder.finish(call)
        assert len(list(full_disk.rglob("*call.wav"))) == 1
    folder.unlock()
    folder = SpoolFolder(Spool(path=full_disk, remote_writers=True))
    folder.lock()
    folder.look_again()
    folder.finish(call)
    assert not list(full_disk.rglob("*call.wav"))
    folder.unlock()


def test_the_spool_id_is_made_once(folder: SpoolFolder) -> None:
    made = folder.spool_id
    assert len(made) == 8
    assert SpoolFolder(Spool(path=folder.root)).spool_id == made


def test_racing_processes_agree_on_the_spool_id(tmp_path: Path) -> None:
    folders = [SpoolFolder(Spool(path=tmp_path / "s")) for _ in range(8)]
    ids: list[str] = []
    threads = [threading.Thread(target=lambda one=one: ids.append(one.spool_id)) for one in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_a_damaged_id_says_what_to_do(folder: SpoolFolder) -> None:
    (folder.control / "id").write_text("nonsense")
    with pytest.raises(SpoolRefused, match="Delete that file"):
        _ = folder.spool_id


def test_a_foreign_folder_stays_as_it_is_when_the_state_is_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    folder = SpoolFolder(Spool(path=tmp_path / "foreign"), tmp_path / "state")
    folder.lock()
    assert folder.spool_id
    assert folder.scratch().resolve().is_relative_to(tmp_path / "state")
    assert list((tmp_path / "foreign").iterdir()) == []


# --- finish -----------------------------------------------------------------------------------------------


def test_finish_deletes_the_file_its_sidecars_and_its_old_date_folders(folder: SpoolFolder) -> None:
    settled = drop(folder)
    settled.path.with_suffix(".json").write_text("{}")
    folder.finish(settled)
    assert files_in(folder.root) == [".recpipe/lock"]
    assert not (folder.root / "2020").exists()
    folder.finish(settled)  # gone already


def test_todays_and_undated_folders_stay(folder: SpoolFolder) -> None:
    today = f"{datetime.now(UTC):%Y/%m/%d}"
    for relative in (f"{today}/a.wav", "100/a.wav", "acme/2020/Mar/27/a.wav"):
        folder.finish(drop(folder, relative))
    assert (folder.root / today).is_dir()
    assert (folder.root / "100").is_dir()
    assert list((folder.root / "acme").iterdir()) == []


@pytest.mark.parametrize("change", ["appended", "replaced", "touched", "link"])
def test_a_file_that_is_not_the_stored_one_is_left_alone(folder: SpoolFolder, change: str) -> None:
    settled = drop(folder)
    match change:
        case "appended":
            settled.path.write_bytes(b"audio and more")
        case "replaced":
            new = settled.path.with_name("new.wav")
            new.write_bytes(b"audio")
            os.utime(new, ns=(settled.mtime_ns, settled.mtime_ns))
            new.rename(settled.path)
        case "touched":
            os.utime(settled.path, ns=(1, 1))
        case "link":
            settled.path.rename(settled.path.with_name("real.wav"))
            settled.path.symlink_to("real.wav")
    for act in (folder.finish, lambda one: folder.quarantine(one, "test")):
        with pytest.raises(SourceChanged):
            act(settled)
        assert os.path.lexists(settled.path)
    assert not any((folder.control / "removing").iterdir())


def test_a_file_replaced_in_the_last_moment_is_put_back(folder: SpoolFolder) -> None:
    # Given what `remove` finds after its rename when another file took the name just before
    settled = drop(folder)
    expected = settled.identity
    claims = folder.control / "removing"
    claim = claims / f"0000~{claim_name(settled.path)}"
    settled.path.rename(claim)
    settled.path.write_bytes(b"newer")
    # When it is put back
    back = put_back(claim, settled.path)
    # Then both are there
    assert back.name == "call~2.wav"
    assert settled.path.read_bytes() == b"newer"
    with pytest.raises(SourceChanged):
        remove(settled.path, expected, claims)
    assert settled.path.read_bytes() == b"newer"


def test_a_file_that_a_crash_left_half_put_back_is_there_once(tmp_path: Path) -> None:
    """Killed between the link under its old name and the removal of the claim, and put back again."""
    claim, original = tmp_path / "claim", tmp_path / "call.wav.json"
    claim.write_bytes(b"{}")
    original.hardlink_to(claim)
    assert put_back(claim, original) == original
    assert [path.name for path in tmp_path.iterdir()] == ["call.wav.json"]


def test_a_file_that_cannot_be_put_back_leaves_no_empty_one_under_its_name(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = drop(folder)
    claim = folder.control / "removing" / f"0000~{claim_name(settled.path)}"
    settled.path.rename(claim)

    def fails(*_names: object, **_options: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    # When the disk takes no more changes, not even those that would clear up
    for call in ("link", "rename", "unlink"):
        monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match="Input/output"):
        put_back(claim, settled.path)
    monkeypatch.undo()
    # Then it is where the next start looks for it, and nothing that looks like a recording is in its place
    assert claim.read_bytes() == b"audio" and not settled.path.exists()


def test_a_removal_that_a_crash_interrupted_is_undone_by_the_next_owner(folder: SpoolFolder) -> None:
    settled = drop(folder, "2020/03/27/50% off \udcff.wav")
    settled.path.rename(folder.control / "removing" / f"0000~{claim_name(settled.path)}")
    folder.unlock()
    folder.lock()
    assert settled.path.read_bytes() == b"audio"
    assert not any((folder.control / "removing").iterdir())


def test_names_too_long_to_be_claimed_are_deleted_all_the_same(folder: SpoolFolder) -> None:
    settled = drop(folder, "x" * 120 + "/" + "y" * 240 + ".wav")
    folder.finish(settled)
    assert not settled.path.exists()


def test_a_shared_sidecar_waits_for_the_last_recording(folder: SpoolFolder) -> None:
    wav, mp3 = drop(folder), drop(folder, "2020/03/27/call.mp3")
    sidecar = wav.path.with_suffix(".json")
    sidecar.write_text("{}")
    folder.finish(wav)
    assert sidecar.exists()
    folder.finish(mp3)
    assert not sidecar.exists()


def test_archiving_keeps_the_path_and_never_overwrites(archiving: SpoolFolder, tmp_path: Path) -> None:
    settled = drop(archiving)
    settled.path.with_suffix(".json").write_text("{}")
    archiving.finish(settled)
    archiving.finish(drop(archiving, data=b"other"))
    archiving.finish(drop(archiving, data=b"audio"))  # the same again: that was this file
    assert files_in(tmp_path / "archive") == ["2020/03/27/call.json", "2020/03/27/call.wav", "2020/03/27/call~2.wav"]
    assert (tmp_path / "archive" / NAME).read_bytes() == b"audio"
    assert (tmp_path / "archive" / NAME).stat().st_mtime_ns == settled.mtime_ns


def test_archiving_to_another_file_system_keeps_bytes_and_time(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    archive = other / f"recpipe-{os.getpid()}-{time.monotonic_ns()}"
    folder = SpoolFolder(Spool(path=tmp_path / "spool", after="archive", archive=archive))
    folder.lock()
    try:
        settled = drop(folder, data=os.urandom(3_000_001))
        body = settled.path.read_bytes()
        folder.finish(settled)
        assert files_in(archive) == [NAME]
        assert (archive / NAME).read_bytes() == body
        assert (archive / NAME).stat().st_mtime_ns == settled.mtime_ns
        assert not settled.path.exists()
    finally:
        subprocess.run(["rm", "-rf", str(archive)], check=True)


def test_an_archive_that_cannot_be_written_to_leaves_the_file(archiving: SpoolFolder, tmp_path: Path) -> None:
    settled = drop(archiving)
    (tmp_path / "archive").write_text("a file where the folder should be")
    with pytest.raises(SpoolRefused, match="cannot be archived"):
        archiving.finish(settled)
    assert settled.path.read_bytes() == b"audio"


# --- quarantine -------------------------------------------------------------------------------------------


def test_quarantine_moves_aside_unchanged_and_restore_brings_back(folder: SpoolFolder) -> None:
    settled = drop(folder)
    settled.path.with_suffix(".json").write_text("{}")
    moved = folder.quarantine(settled, "name-not-understood")
    assert moved == folder.control / "quarantine" / NAME
    assert moved.read_bytes() == b"audio"
    assert moved.with_suffix(".json").exists()
    assert not settled.path.exists()

    assert folder.restore(moved, NAME) == settled.path
    assert settled.path.lstat().st_ino == settled.inode
    assert settled.path.with_suffix(".json").exists()
    assert files_in(folder.control / "quarantine") == []


def test_files_of_one_name_get_names_of_their_own_in_quarantine(folder: SpoolFolder) -> None:
    paths = []
    for number in range(3):
        settled = drop(folder, data=b"%d" % number)
        settled.path.with_suffix(".json").write_text(str(number))
        paths.append(folder.quarantine(settled, "x"))
    assert [path.name for path in paths] == ["call.wav", "call~2.wav", "call~3.wav"]
    assert paths[2].with_suffix(".json").read_text() == "2"


def test_a_crash_while_a_file_is_moved_to_quarantine_does_not_put_it_there_twice(folder: SpoolFolder) -> None:
    # Given what a kill between the link and the removal leaves
    settled = drop(folder)
    target = (folder.control / "quarantine") / NAME
    target.parent.mkdir(parents=True)
    os.link(settled.path, target)
    # When the next owner comes to the same verdict
    assert folder.quarantine(settled, "x") == target
    assert files_in(folder.control / "quarantine") == [NAME] and not settled.path.exists()


def test_a_crash_before_the_sidecars_of_a_quarantined_file_were_moved_has_them_follow_at_the_start(
    folder: SpoolFolder,
) -> None:
    # Given a file whose name was taken in quarantine, a kill right after it was moved there, and sidecars of others
    moved = [folder.quarantine(drop(folder, data=data), "x") for data in (b"one", b"two")]
    beside = (folder.root / NAME).with_suffix(".json")
    beside.parent.mkdir(parents=True)
    beside.write_text("of two")
    os.utime(beside, (1, 1))
    moved[0].with_suffix(".json").write_text("of one")
    # and one whose sidecar was killed on its way there
    half = drop(folder, "half.wav")
    half.path.with_suffix(".json").write_text("of half")
    os.utime(half.path.with_suffix(".json"), (1, 1))
    there = folder.quarantine(half, "x").with_suffix(".json")
    os.link(there, half.path.with_suffix(".json"))
    later = folder.quarantine(drop(folder, "later.wav"), "x").with_suffix(".json")
    time.sleep(0.01)
    (folder.root / "later.json").write_text("of one that is about to come")
    folder.unlock(in_order=False)
    # When
    folder.lock()
    # Then
    assert not beside.exists()
    assert [path.with_suffix(".json").read_text() for path in moved] == ["of one", "of two"]
    assert there.read_text() == "of half" and not half.path.with_suffix(".json").exists()
    assert not later.exists() and (folder.root / "later.json").exists()


def test_restore_never_overwrites(folder: SpoolFolder) -> None:
    moved = folder.quarantine(drop(folder), "x")
    drop(folder, data=b"newer")
    with pytest.raises(SpoolRefused, match="already is"):
        folder.restore(moved, NAME)
    assert moved.read_bytes() == b"audio"


def test_discard_deletes_and_is_content_with_nothing(folder: SpoolFolder) -> None:
    moved = folder.quarantine(drop(folder), "x")
    moved.with_suffix(".json").write_text("{}")
    folder.discard(moved)
    folder.discard(moved)
    assert files_in(folder.control / "quarantine") == []
    waiting = drop(folder)
    folder.discard(waiting.path)
    assert not waiting.path.exists()


@pytest.mark.parametrize("bad", ["../out.wav", "/etc/out.wav", ".recpipe/lock", "a/../../out.wav", "", "a\0.wav"])
def test_nothing_leaves_the_spool_by_its_name(folder: SpoolFolder, tmp_path: Path, bad: str) -> None:
    moved = folder.quarantine(drop(folder), "x")
    with pytest.raises(SpoolRefused):
        folder.restore(moved, bad)
    with pytest.raises(SpoolRefused):
        folder.accept_upload(bad)
    assert moved.exists()
    assert not (tmp_path / "out.wav").exists()


def test_nothing_leaves_the_spool_by_a_link(folder: SpoolFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "call.wav").write_bytes(b"not ours")
    (folder.root / "link").symlink_to(outside)
    moved = folder.quarantine(drop(folder), "x")
    for act in (
        lambda: folder.restore(moved, "link/call2.wav"),
        lambda: folder.accept_upload("link/call2.wav"),
        lambda: folder.discard(folder.root / "link" / "call.wav"),
        lambda: folder.discard(outside / "call.wav"),
        lambda: folder.discard(folder.control / "lock"),
        lambda: folder.restore(outside / "call.wav", "b.wav"),
    ):
        with pytest.raises(SpoolRefused):
            act()
    assert files_in(outside) == ["call.wav"]
    assert (folder.control / "lock").exists()


def test_numbered_names_stay_within_what_a_file_system_takes(tmp_path: Path) -> None:
    names = variants(tmp_path / ("ü" * 120 + ".wav"))
    next(names)
    name = next(names).name
    assert len(os.fsencode(name)) <= 255
    assert name.endswith("~2.wav")


# --- uploads ----------------------------------------------------------------------------------------------


def test_an_upload_appears_whole_on_commit(folder: SpoolFolder) -> None:
    with folder.accept_upload("acme/call.wav") as upload:
        upload.write(b"au")
        upload.write(b"dio")
        assert not (folder.root / "acme").exists()
        assert upload.commit() == folder.root / "acme/call.wav"
    assert (folder.root / "acme/call.wav").read_bytes() == b"audio"
    assert files_in(folder.control / "incoming") == []


def test_an_upload_that_breaks_off_leaves_nothing(folder: SpoolFolder) -> None:
    with pytest.raises(ConnectionError), folder.accept_upload("call.wav") as upload:
        upload.write(b"au")
        raise ConnectionError
    assert files_in(folder.root) == [".recpipe/lock"]


def test_an_upload_overwrites_nothing_but_may_be_repeated(folder: SpoolFolder) -> None:
    for _ in range(2):
        with folder.accept_upload("call.wav") as upload:
            upload.write(b"audio")
            upload.commit()
    with folder.accept_upload("call.wav") as upload:
        upload.write(b"other")
        with pytest.raises(SpoolRefused, match="new name"):
            upload.commit()
    assert (folder.root / "call.wav").read_bytes() == b"audio"


@pytest.mark.parametrize("name", ["call.exe", "call", "call.wav.part"])
def test_an_upload_has_to_be_a_recording_or_sidecar(folder: SpoolFolder, name: str) -> None:
    with pytest.raises(SpoolRefused, match="no recording"):
        folder.accept_upload(name)


def test_the_next_owner_clears_scratch_and_uploads_of_killed_processes(folder: SpoolFolder) -> None:
    folder.scratch().write_bytes(b"plain")
    (folder.control / "incoming" / "of-a-killed-process").touch()
    with folder.accept_upload("still-sent.wav") as upload:
        upload.write(b"some of it")
        folder.unlock()
        folder.lock()
        assert files_in(folder.control / "scratch") == []
        assert len(files_in(folder.control / "incoming")) == 1
        upload.commit()
    assert files_in(folder.control / "incoming") == [] and (folder.root / "still-sent.wav").exists()


def test_an_upload_that_was_being_removed_when_its_process_was_killed_goes_too(folder: SpoolFolder) -> None:
    upload = folder.control / "incoming" / "of-a-killed-process"
    (folder.control / "removing" / f"1~{claim_name(upload)}").touch()
    folder.unlock()
    folder.lock()
    assert files_in(folder.control / "removing") == files_in(folder.control / "incoming") == []


def test_an_owner_clears_what_other_processes_left_when_they_were_killed(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = folder.control / "incoming" / "of-a-killed-process"
    leftover.touch()
    folder.look_again()
    assert leftover.exists(), "a look each second is no time for that"
    monkeypatch.setattr("recpipe.spool.folder._SWEEP_SECONDS", -1)
    folder.look_again()
    assert not leftover.exists()


def test_a_move_without_hard_links_overwrites_nothing_either(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_args: object, **_named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    first = folder.quarantine(drop(folder, data=b"1"), "x")
    second = folder.quarantine(drop(folder, data=b"2"), "x")
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    settled = drop(folder)
    with pytest.raises(SourceChanged):
        transfer(settled.path, FileIdentity(1, 2, 3), folder.root / "z.wav", folder.control / "removing")
    assert not (folder.root / "z.wav").exists()


def test_a_move_without_hard_links_that_fails_leaves_nothing_behind(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = drop(folder)

    def no_links(*_args: object, **_named: object) -> None:
        settled.path.unlink()  # the PBX takes the file back in this moment
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(SourceChanged):
        folder.quarantine(settled, "x")
    assert files_in(folder.control / "quarantine") == []


def test_an_interruption_after_a_move_does_not_undo_it(folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    settled, unlink = drop(folder), Path.unlink

    def interrupted(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        if path.parent.name == "removing":
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.quarantine(settled, "x")
    assert ((folder.control / "quarantine") / NAME).read_bytes() == b"audio"


def test_what_a_person_states_takes_the_place_of_what_could_not_be_read(folder: SpoolFolder) -> None:
    settled = drop(folder)
    settled.path.with_suffix(".json").write_text('{"callee": "201", "caller": "nobody", "call_id": "7"}')
    settled.path.with_name("call_metadata.json").write_text("{half a descri")
    moved = folder.quarantine(settled, "sidecar-invalid")
    with folder.read(moved) as stream:
        assert stream.read() == b"audio"
    with pytest.raises(Unfit):
        folder.restore(moved, NAME, {"started_at": "some day"})
    assert len(files_in(folder.control / "quarantine")) == 3, "nothing was changed"
    folder.restore(moved, NAME, {"started_at": "2025-03-27T09:25:17", "caller": "+4930123"})
    beside = sorted(path.name for path in folder.root.rglob("*.json") if ".recpipe" not in path.parts)
    assert beside == ["call.wav.json"]
    said = json.loads((settled.path.parent / "call.wav.json").read_text())
    assert said == {"callee": "201", "call_id": "7", "caller": "+4930123", "started_at": "2025-03-27T09:25:17"}
    with pytest.raises(SpoolRefused):
        folder.read(moved)
    with pytest.raises(SpoolRefused):
        folder.read(settled.path)
