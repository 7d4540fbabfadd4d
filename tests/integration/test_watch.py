"""The watcher on a real disk: writers, renames, new folders, links, lost mounts."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recpipe.model import Settled
from recpipe.settings import Spool
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.settle import Writer
from recpipe.spool.watch import Watcher
from tests.services.logs import captured
from tests.services.need import missing, tool

PATIENCE = 30.0  # never waited for in full: only how long until a test gives up


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def watch(root: Path) -> Iterator[Callable[..., Watcher]]:
    running: list[Watcher] = []

    def start(**changes: Any) -> Watcher:
        watcher = Watcher(Spool(path=root, **{"settle_seconds": 0.2, "rescan_seconds": 0.3, **changes}))
        running.append(watcher)
        watcher.start()
        return watcher

    yield start
    for watcher in running:
        watcher.stop()


def collect(watcher: Watcher, wanted: int, patience: float = PATIENCE) -> list[Settled]:
    got: list[Settled] = []
    deadline = time.monotonic() + patience
    while len(got) < wanted and time.monotonic() < deadline:
        if some := watcher.take(min(0.5, deadline - time.monotonic())):
            got += some
            deadline = time.monotonic() + patience  # a slow machine is no fault while something comes
    return got


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def names(settled: list[Settled]) -> list[str]:
    return sorted(one.relative for one in settled)


@pytest.mark.parametrize("per_writer", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_many_files_in_new_folders_are_each_handed_out_once_and_whole(
    root: Path, watch: Callable[..., Watcher], per_writer: int
) -> None:
    # Given writers that make folders, grow files, publish by rename, and leave rubbish, all at once
    watcher = watch(settle_seconds=0.5)
    writers = 4
    sizes: dict[str, int] = {}

    def write(number: int) -> None:
        chance = random.Random(number)
        for i in range(per_writer):
            folder = root / f"t{chance.randrange(5)}" / f"{number}-{i // 10}" / "deep"
            folder.mkdir(parents=True, exist_ok=True)
            path, pieces = folder / f"{i}.wav", chance.randrange(1, 4)
            if i % 3 == 0:
                temporary = folder / f"{i}.wav.part"
                temporary.write_bytes(b"x" * pieces)
                temporary.rename(path)
            else:
                with path.open("wb") as out:
                    for _ in range(pieces):
                        out.write(b"x")
                        out.flush()
                        time.sleep(chance.random() / 500)
            sizes[path.relative_to(root).as_posix()] = pieces

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    # When files are taken and finished while they still come in
    got: list[Settled] = []
    deadline = time.monotonic() + PATIENCE
    while len(got) < per_writer * writers and time.monotonic() < deadline:
        for one in watcher.take(0.5):
            got.append(one)
            deadline = time.monotonic() + PATIENCE
            if len(got) % 2:
                one.path.unlink()
            watcher.done(one.path)
    for thread in threads:
        thread.join()
    got += collect(watcher, 1, 1.0)
    # Then each came once, and as large as it became
    assert Counter(one.relative for one in got).most_common(1)[0][1] == 1
    assert {one.relative: one.size_bytes for one in got} == sizes
    assert watcher.pending() == 0


def test_a_file_that_keeps_growing_is_not_handed_out_before_it_stops(root: Path, watch: Callable[..., Watcher]) -> None:
    watcher = watch(settle_seconds=1.0)
    last_write = 0.0
    with (root / "call.wav").open("wb") as out:
        for _ in range(15):
            out.write(b"x" * 100)
            out.flush()
            last_write = time.monotonic()
            assert watcher.take(0.1) == []
    [settled] = collect(watcher, 1)
    assert time.monotonic() - last_write >= 0.9
    assert settled.size_bytes == 1500


def on_hold(path: Path) -> subprocess.Popen[str]:
    """A recorder of its own process: writes, then nothing until it is told (a line), then ends by writing more."""
    script = (
        "import sys\n"
        "out = open(sys.argv[1], 'wb', buffering=0)\n"
        "out.write(b'RIFF' + bytes(4) + b'WAVE' + bytes(8000)); print(flush=True)\n"
        "sys.stdin.readline(); out.write(bytes(100)); out.close(); print(flush=True); sys.stdin.readline()\n"
    )
    recorder = subprocess.Popen(
        [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert recorder.stdout is not None
    recorder.stdout.readline()
    return recorder


def hang_up(recorder: subprocess.Popen[str]) -> None:
    assert recorder.stdin is not None and recorder.stdout is not None
    recorder.stdin.write("\n")
    recorder.stdin.flush()
    recorder.stdout.readline()


@pytest.mark.parametrize("quiet_seconds", [0, 300.0])
def test_a_call_on_hold_is_not_handed_out_before_its_recorder_closes_it(
    root: Path, watch: Callable[..., Watcher], quiet_seconds: float
) -> None:
    watcher = watch(settle_seconds=0.1, quiet_seconds=quiet_seconds)
    with on_hold(root / "call.wav") as recorder:
        until(lambda: watcher.pending() == 1)
        assert watcher.take(2.0) == []  # twenty times as long as a file must stand still
        hang_up(recorder)
        [call] = collect(watcher, 1)
        assert call.size_bytes == 8112


def test_a_call_that_was_on_hold_when_recpipe_started_is_asked_about(root: Path, watch: Callable[..., Watcher]) -> None:
    with on_hold(root / "call.wav") as recorder:
        os.utime(root / "call.wav", (0, 0))
        watcher = watch(quiet_seconds=0)
        assert watcher.take(1.0) == []
        assert watcher.pending() == 1
        recorder.kill()
        assert names(collect(watcher, 1)) == ["call.wav"]  # as much as there is of it


@pytest.fixture
def for_all() -> Iterator[Path]:
    """A folder that every user may look into, as pytest's own are closed to others, again and again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_without_the_right_to_lease_events_tell_that_a_recorder_has_closed_its_file(for_all: Path) -> None:
    # Given a watcher that is another user than the PBX
    if os.geteuid():
        pytest.skip("only root can be another user")
    root = for_all
    script = (
        "import os, pwd, sys; from pathlib import Path; from recpipe.settings import Spool\n"
        "from recpipe.spool.watch import Watcher\n"
        "spool = Spool(path=Path(sys.argv[1]), settle_seconds=0.1, quiet_seconds=0.3, rescan_seconds=0.3)\n"
        "watcher = Watcher(spool); os.seteuid(pwd.getpwnam('nobody').pw_uid); watcher.start()\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for one in watcher.take(0.5): print(one.relative, one.size_bytes, flush=True)\n"
        "    print(flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, root], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as watcher:
        assert watcher.stdout is not None
        lines: list[str] = []

        def seen(count: int) -> list[str]:
            """What it says next, so many lines; it says nothing each half second when there is nothing."""
            assert watcher.stdout is not None
            for _ in range(count):
                lines.append(watcher.stdout.readline().strip())
            return [line for line in lines if line not in ("", "ready")]

        seen(2)
        # When one call is on hold, and a finished file comes in by rename
        with on_hold(root / "call.wav") as recorder:
            whole = root / ".other.wav.tmp"
            whole.write_bytes(b"x" * 50)
            whole.rename(root / "other.wav")
            assert seen(4) == ["other.wav 50"]
            hang_up(recorder)
            while "call.wav 8112" not in seen(1):
                assert len(lines) < 60
        watcher.kill()


def test_a_file_that_its_writer_has_forgotten_is_mentioned_once(root: Path, watch: Callable[..., Watcher]) -> None:
    with on_hold(root / "447700900123.wav"), captured() as logs:
        os.utime(root / "447700900123.wav", (1, 1))
        watcher = watch()
        until(lambda: bool(logs))
        watcher.scan_now()
        [entry] = logs
        assert entry["event"] == "file kept open and not written to"
        assert "447700900123" not in str(entry)


def test_an_empty_file_is_not_handed_out_before_it_has_been_empty_for_long(
    root: Path, watch: Callable[..., Watcher]
) -> None:
    (root / "empty.wav").touch()
    (root / "header.wav").write_bytes(b"RIFF" + bytes(4) + b"WAVEfmt " + b"\x10\0\0\0" + bytes(16) + b"data" + bytes(4))
    os.utime(root / "empty.wav", (0, 0))
    watcher = watch(settle_seconds=0.1)
    assert names(collect(watcher, 1)) == ["empty.wav"]  # long empty by its time
    assert watcher.take(1.0) == []
    assert watcher.pending() == 2


def test_without_events_the_rescan_finds_everything(
    root: Path, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watcher, "hint", lambda *_: None)  # as on NFS, or after an overflow
    watcher = watch()
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/1.wav").write_bytes(b"x")
    assert names(collect(watcher, 1)) == ["a/b/1.wav"]


def test_events_beat_a_slow_rescan(root: Path, watch: Callable[..., Watcher]) -> None:
    watcher = watch(rescan_seconds=3600)
    until(lambda: watcher._next_scan > time.monotonic())
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/1.wav").write_bytes(b"x")
    (root / "2.wav").write_bytes(b"x")
    assert names(collect(watcher, 2)) == ["2.wav", "a/b/1.wav"]


def test_a_promised_rename_is_taken_at_once(root: Path, watch: Callable[..., Watcher]) -> None:
    watcher = watch(settle_seconds=3600, rescan_seconds=3600, moved_in_whole=True)
    (root / "a.tmp").write_bytes(b"x")
    (root / "a.tmp").rename(root / "a.wav")
    assert names(collect(watcher, 1)) == ["a.wav"]


def test_a_sidecar_that_takes_the_name_of_one_that_was_renamed_is_no_recording(
    root: Path, watch: Callable[..., Watcher]
) -> None:
    for number in range(4):
        (root / f"{number}.json").write_text("{}")
    watcher = watch(rescan_seconds=3600)
    until(lambda: watcher._observer is not None and watcher._next_scan > 0)
    for number in range(1, 4):
        (root / f"{number}.json").rename(root / f"{number - 1}.json")
        (root / f"{number}.json").write_text("{}")
    (root / "a.wav").write_bytes(b"RIFF")
    assert names(collect(watcher, 2, patience=2.0)) == ["a.wav"]


def test_a_renamed_file_is_handed_out_under_its_last_name(root: Path, watch: Callable[..., Watcher]) -> None:
    watcher = watch(settle_seconds=0.5)
    (root / "old.wav").write_bytes(b"x")
    (root / "old.wav").rename(root / "new.wav")
    assert names(collect(watcher, 2, 1.5)) == ["new.wav"]


def test_a_released_file_comes_again_after_its_time(root: Path, watch: Callable[..., Watcher]) -> None:
    watcher = watch()
    (root / "a.wav").write_bytes(b"x")
    [first] = collect(watcher, 1)
    released_at = time.monotonic()
    watcher.release(first.path, 0.5)
    assert watcher.pending() == 1
    [again] = collect(watcher, 1)
    assert time.monotonic() - released_at >= 0.5
    assert again.path == first.path
    watcher.release(again.path, 0)
    assert len(collect(watcher, 1)) == 1


def test_a_file_that_changed_in_work_settles_anew(root: Path, watch: Callable[..., Watcher]) -> None:
    watcher = watch()
    (root / "a.wav").write_bytes(b"x")
    [first] = collect(watcher, 1)
    (root / "a.wav").write_bytes(b"xx")
    watcher.release(first.path, 0)
    [again] = collect(watcher, 1)
    assert again.size_bytes == 2


def test_files_of_an_earlier_process_are_inherited(root: Path, watch: Callable[..., Watcher]) -> None:
    (root / "old.wav").write_bytes(b"x")
    watcher = watch()
    [old] = collect(watcher, 1)
    (root / "new.wav").write_bytes(b"x")
    [new] = collect(watcher, 1)
    assert (old.inherited, new.inherited) == (True, False)


def test_what_is_no_recording_stays_and_is_reported_once(
    root: Path, tmp_path: Path, watch: Callable[..., Watcher]
) -> None:
    (tmp_path / "outside.wav").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.wav").write_bytes(b"secret")
    (root / "link.wav").symlink_to(tmp_path / "outside.wav")
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.wav")
    for name in ("notes.txt", ".hidden.wav", "a.wav.tmp", "b.wav~", "c.json", "forgotten.part"):
        (root / name).write_bytes(b"x")
    os.utime(root / "forgotten.part", (1, 1))
    (root / ".recpipe/quarantine").mkdir(parents=True)
    (root / ".recpipe/quarantine/q.wav").write_bytes(b"x")
    (root / "real.wav").write_bytes(b"x")
    with captured() as logs:
        watcher = watch()
        assert names(collect(watcher, 2, 1.5)) == ["real.wav"]
    assert sorted((one.relative, one.reason) for one in watcher.ignored()) == [
        ("folder", "symbolic-link"),
        ("forgotten.part", "forgotten-temporary"),
        ("link.wav", "symbolic-link"),
        ("loop", "symbolic-link"),
        ("notes.txt", "not-a-recording"),
        ("pipe.wav", "not-a-file"),
    ]
    assert sum(entry["event"] == "file ignored" for entry in logs) == 6
    assert "link" not in str([{**entry, "reason": ""} for entry in logs])


def test_a_folder_that_is_swapped_for_a_link_while_it_is_looked_at_is_no_fault_of_ours(
    root: Path, watch: Callable[..., Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.realpath

    def raced(path: Any, **options: Any) -> Any:
        if str(path).endswith("spool/swapped"):  # as it was a link, and is none when that is read
            raise OSError(errno.EINVAL, "Invalid argument", str(path))
        return real(path, **options)

    monkeypatch.setattr(os.path, "realpath", raced)
    (root / "swapped").mkdir()
    watcher = watch()
    with captured() as logs:
        (root / "swapped/1.wav").write_bytes(b"one")
        assert names(collect(watcher, 1)) == ["swapped/1.wav"]  # the next scan sees what is there then
    assert "failed" not in str(logs)


def test_recycle_bins_and_snapshots_of_the_storage_are_left_alone(root: Path, watch: Callable[..., Watcher]) -> None:
    bins = (
        "#recycle/2025/03",
        "2025/#snapshot/GMT-2025.03.27/03",
        "@Recycle",
        "$RECYCLE.BIN/S-1-5-21",
        ".zfs/snapshot/a",
    )
    for place in ("2025/03", *bins):
        (root / place).mkdir(parents=True)
        (root / place / "a.wav").write_bytes(b"x")
    (root / "@eaDir/a.wav").mkdir(parents=True)
    with captured() as logs:
        watcher = watch()
        # When one is made while it is watched as well, and written to
        (root / "~snapshot/hourly.0").mkdir(parents=True)
        (root / "~snapshot/hourly.0/b.wav").write_bytes(b"x")
        assert names(collect(watcher, 2, 1.5)) == ["2025/03/a.wav"]
        assert watcher.pending() == 1  # what was handed out
    notes = [entry["folder"] for entry in logs if entry["event"] == "folder of the storage left alone"]
    assert sorted(notes) == ["#recycle", "#snapshot", "$RECYCLE.BIN", "@Recycle", "@eaDir", "~snapshot"]
    assert {entry["log_level"] for entry in logs} == {"info"}
    assert watcher.ignored() == []


@pytest.mark.parametrize(
    ("layout", "leg"), [("mikopbx", "mikopbx-1787389800.19_soCP4X_in.wav"), ("freepbx", "in-201-202-1.5-out.wav")]
)
def test_legs_that_a_pbx_is_going_to_join_are_left_alone(
    root: Path, watch: Callable[..., Watcher], layout: str, leg: str
) -> None:
    (root / leg).write_bytes(b"x")
    watcher = watch(layout=layout)
    (root / f"2-{leg}").write_bytes(b"x")
    (root / "joined.wav").write_bytes(b"x")
    assert names(collect(watcher, 2, 1.5)) == ["joined.wav"]
    assert watcher.pending() == 1
    assert watcher.ignored() == []


def test_names_that_are_not_utf8_are_handed_out(root: Path, watch: Callable[..., Watcher]) -> None:
    raw = os.fsencode(root) + b"/\xff\xfe call\n.wav"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    watcher = watch()
    [settled] = collect(watcher, 1)
    assert os.fsencode(settled.path) == raw
    settled.path.unlink()
    watcher.done(settled.path)
    until(lambda: watcher.pending() == 0)


@pytest.mark.parametrize("with_id", [True, False])
def test_an_unmounted_spool_does_not_look_like_vanished_files(
    root: Path, watch: Callable[..., Watcher], with_id: bool
) -> None:
    # Given a file in work and one that waits
    if with_id:
        assert SpoolFolder(Spool(path=root)).spool_id
    for name in ("a.wav", "b.wav"):
        (root / name).write_bytes(b"x")
    watcher = watch()
    until(lambda: watcher.pending() == 2)
    [first] = watcher.take(PATIENCE, limit=1)
    # When the mount goes, and the bare mount point is there instead
    with captured() as logs:
        root.rename(root.with_name("mounted"))
        root.mkdir()
        until(lambda: any(entry["event"] == "spool is not there" for entry in logs))
        assert watcher.pending() == 2
        assert watcher.take(0.5) == []
        # Then nothing is forgotten, and it goes on once the spool is back
        root.rmdir()
        root.with_name("mounted").rename(root)
        until(lambda: any(entry["event"] == "spool is back" for entry in logs))
    watcher.release(first.path, 0)
    assert names(collect(watcher, 2)) == ["a.wav", "b.wav"]


def test_a_spool_that_goes_while_its_files_are_asked_about_hands_them_out_once_it_is_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given two files that have stood still, and a mount that goes between the questions who has them open
    for name in ("a.wav", "b.wav"):
        (root / name).write_bytes(b"x")
        os.utime(root / name, (0, 0))
    watcher = Watcher(Spool(path=root, settle_seconds=0.1))
    away = root.with_name("away")
    ask = watcher._writers.of

    def of_and_go(*question: Any) -> Writer:
        if not away.exists():
            root.rename(away)
        return ask(*question)

    monkeypatch.setattr(watcher._writers, "of", of_and_go)
    watcher.scan_now()
    assert watcher.pending() == 2
    # When it is back
    monkeypatch.setattr(watcher._writers, "of", ask)
    away.rename(root)
    watcher.scan_now()
    # Then each is handed out
    assert names(collect(watcher, 2)) == ["a.wav", "b.wav"]


def test_a_file_that_could_not_be_looked_at_when_it_was_due_is_looked_at_again_without_a_scan(root: Path) -> None:
    # Given a file that has to stand still by our clock, and one pass, which scans once
    (root / "a.wav").write_bytes(b"x")
    os.utime(root / "a.wav", (time.time() + 3600,) * 2)
    watcher = Watcher(Spool(path=root, settle_seconds=0.2, rescan_seconds=0.1))
    watcher.scan_now()
    # When the spool is away at the moment at which it may be finished
    away = root.with_name("away")
    root.rename(away)
    assert watcher.take(0.5) == []
    away.rename(root)
    # Then
    assert names(collect(watcher, 1)) == ["a.wav"]


def test_files_in_a_folder_that_became_unreadable_are_not_taken_as_vanished(root: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from recpipe.settings import Spool
        from recpipe.spool.watch import Watcher
        root = Path(sys.argv[1])
        watcher = Watcher(Spool(path=root))
        watcher.scan_now()
        (root / "a").chmod(0)
        watcher.scan_now()
        watcher.scan_now()
        print(watcher.pending(), [(one.relative, one.reason.value) for one in watcher.ignored()])
        (root / "a").chmod(0o700)
    """
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "1.wav").write_bytes(b"x")
    # Root reads everything unless it gives that right up.
    mortal = [] if os.getuid() else [tool("setpriv"), "--bounding-set=-dac_override,-dac_read_search"]
    out = subprocess.run(
        [*mortal, sys.executable, "-c", textwrap.dedent(script), str(root)], capture_output=True, text=True, check=False
    )
    assert out.stdout.endswith("2 [('a', 'unreadable-folder')]\n"), out.stderr


@pytest.mark.parametrize(
    ("watches", "warning"), [("3", "more folders than inotify watches"), ("0", "watching by rescan only")]
)
def test_when_inotify_has_no_watches_left_the_rescan_goes_on(root: Path, watches: str, warning: str) -> None:
    script = """
        import sys, time
        from pathlib import Path
        Path("/proc/sys/user/max_inotify_watches").write_text(sys.argv[2])
        import structlog
        from recpipe.settings import Spool
        from recpipe.spool.watch import Watcher
        root = Path(sys.argv[1])
        for n in range(10):
            (root / str(n)).mkdir()
        with structlog.testing.capture_logs() as logs:
            watcher = Watcher(Spool(path=root, settle_seconds=0.1, rescan_seconds=0.2))
            watcher.start()
            (root / "9/late.wav").write_bytes(b"x")
            taken = watcher.take(30)
            watcher.stop()
        print([entry["event"] for entry in logs], [one.relative for one in taken])
    """
    unshare = tool("unshare")
    limited = [unshare, "--user", "--map-root-user"]
    if subprocess.run([*limited, "sh", "-c", "echo 3 > /proc/sys/user/max_inotify_watches"], check=False).returncode:
        missing("user namespaces are switched off here")
    out = subprocess.run(
        [*limited, sys.executable, "-c", textwrap.dedent(script), str(root), watches],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.stdout == f"['{warning}'] ['9/late.wav']\n", out.stderr


def test_one_pass_needs_no_thread_and_ends(root: Path) -> None:
    for number in range(600):
        (root / str(number % 7)).mkdir(exist_ok=True)
        (root / f"{number % 7}/{number}.wav").write_bytes(b"x")
    watcher = Watcher(Spool(path=root, settle_seconds=0.2))
    before = threading.active_count()
    got = []
    for batch in watcher.once():
        for one in batch:
            got.append(one.relative)
            watcher.done(one.path)
    assert threading.active_count() == before
    assert len(got) == len(set(got)) == 600
    assert watcher.pending() == 0
    assert list(watcher.once()) == []  # they are still there, and done


def test_one_pass_leaves_a_call_in_progress_alone(root: Path) -> None:
    (root / "ended.wav").write_bytes(b"x")
    stop = threading.Event()

    def talk() -> None:
        while not stop.wait(0.02):
            with (root / "going-on.wav").open("ab") as out:
                out.write(b"x")

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        until(lambda: (root / "going-on.wav").exists())
        watcher = Watcher(Spool(path=root, settle_seconds=0.5))
        got = [one.relative for batch in watcher.once(patience_seconds=1.5) for one in batch]
    finally:
        stop.set()
        talker.join()
    assert got == ["ended.wav"]
    assert watcher.pending() == 2  # not called done, and still growing


def test_stop_wakes_a_waiting_take(root: Path, watch: Callable[..., Watcher]) -> None:
    watcher = watch()
    got: list[list[Settled]] = []
    waiter = threading.Thread(target=lambda: got.append(watcher.take(60)))
    waiter.start()
    watcher.stop()
    waiter.join(10)
    assert got == [[]]


@pytest.mark.slow
@pytest.mark.parametrize("folders", [2, pytest.param(50, marks=pytest.mark.long)])
def test_thousands_of_files_are_scanned_and_drained(root: Path, folders: int) -> None:
    for folder in range(folders):
        (root / str(folder)).mkdir()
        for number in range(1000):
            os.mknod(root / f"{folder}/{number}.wav")
    watcher = Watcher(Spool(path=root, settle_seconds=0, quiet_seconds=0))
    got = sum(len(batch) for batch in watcher.once())
    assert got == folders * 1000


def test_a_stop_amid_the_start_waits_for_nothing_that_has_not_begun(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(Spool(path=root, settle_seconds=0.1))
    began = threading.Thread.start

    def amid(thread: threading.Thread) -> None:
        if thread.name.startswith("watch-"):
            watcher.stop()  # as SIGTERM right after the start does, in another thread
        began(thread)

    monkeypatch.setattr(threading.Thread, "start", amid)
    watcher.start()
    watcher.stop()
    assert not any(thread.name.startswith("watch-") for thread in threading.enumerate())
