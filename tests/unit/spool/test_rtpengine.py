"""What rtpengine and its recorder write: names of recordings, and .meta files while a call lasts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from recpipe.errors import Unfit
from recpipe.model import CallFacts, Direction, Settled
from recpipe.settings import Spool
from recpipe.spool import rtpengine_meta
from recpipe.spool.describe import Describer
from recpipe.spool.live_calls import FOLDER, KEPT_SECONDS, LiveCalls
from recpipe.spool.naming import parse
from recpipe.spool.rtpengine_names import is_single_stream
from recpipe.spool.tree import Ignored, Reason, Tree
from recpipe.times import utc_now

TAG, OTHER_TAG = "e5b7e6aeaec22d38", "00ff00ff00ff00ff"
NOW = datetime(2026, 11, 28, 6, 20, tzinfo=UTC)
METADATA = (
    f"caller_hex:{b'+4930123456'.hex()}|callee:201|caller_name_hex:{'Jürgen Müßig 株式会社'.encode().hex()}"
    "|direction:inbound|started_at:1795846791"
)
STARTED_AT = datetime.fromtimestamp(1795846791, UTC)


def section(name: str, content: str | bytes) -> bytes:
    data = content if isinstance(content, bytes) else content.encode()
    return b"%s\n%d:\n%s\n\n" % (name.encode(), len(data), data)


def meta(call_id: str = "abc@10.0.0.1", metadata: str = METADATA) -> bytes:
    """In the order in which rtpengine 10.5 writes it."""
    return (
        section("CALL-ID", call_id)
        + section("PARENT", f"{call_id}-{TAG}")
        + section("SDP from 0 before offer", "v=0\r\n\n\nMETADATA\n3:\nx:y\n\n")
        + section("METADATA", metadata)
        + section("TAG 0", "90a7")
    )


class Rtpengine:
    """A spool, and the folder of .meta files."""

    def __init__(self, root: Path, **more: Any) -> None:
        self.spool = Spool(path=root / "spool", tenant="acme", layout="rtpengine", meta_dir=root / "meta", **more)
        self.control = root / "spool" / ".recpipe"
        self.control.mkdir(parents=True)
        (root / "meta").mkdir()
        self.meta_dir = root / "meta"
        self.describer = Describer(self.spool, utc_now)

    def says(self, name: str, data: bytes) -> Path:
        path = self.meta_dir / name
        path.write_bytes(data)
        return path

    def describe(self, name: str, describer: Describer | None = None) -> CallFacts:
        path = self.spool.path / name
        path.write_bytes(b"x")
        status = path.lstat()
        settled = Settled(path, name, status.st_size, status.st_mtime_ns, status.st_ino)
        return (describer or self.describer).describe(settled)

    def notes(self) -> list[str]:
        folder = self.control / FOLDER
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def rtpengine(tmp_path: Path) -> Rtpengine:
    return Rtpengine(tmp_path)


# --- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call_id", "started_at", "channels"),
    [
        (f"207f12e924abe54d-{TAG}-mix.wav", "207f12e924abe54d", None, ""),
        (f"207f12e924abe54d-{TAG}-mix-1.mp3", "207f12e924abe54d", None, ""),
        (f"207f12e924abe54d-{TAG}-aeda220d.wav", "207f12e924abe54d", None, "single stream aeda220d"),
        (f"a%2fb%40host-{OTHER_TAG}-{TAG}-mix.wav", f"a/b@host-{OTHER_TAG}", None, ""),
        (f"20261128-062000-abc-{TAG}-mix.wav", "abc", NOW, ""),
        (f"2026/11/28/20261128062000_abc-{TAG}-aeda220d-12.WAV", "abc", NOW, "single stream aeda220d"),
        (f"20261328-062000-abc-{TAG}-mix.wav", "20261328-062000-abc", None, ""),
    ],
)
def test_a_name_says_whose_call_it_is_and_which_streams(
    name: str, call_id: str, started_at: datetime | None, channels: str
) -> None:
    facts = parse(name, "rtpengine", "", "UTC")
    assert (facts.call_id, facts.linked_id) == (call_id, call_id)
    assert (facts.started_at, facts.channels) == (started_at, channels)
    assert is_single_stream(name) == bool(channels)


@pytest.mark.parametrize("name", [f"{TAG}-mix.wav", f"-{TAG}-mix.wav", f"abc-{TAG.upper()}-mix.wav", "abc-mix.wav"])
def test_other_names_are_not_taken_for_the_recorders(name: str) -> None:
    with pytest.raises(Unfit, match="rtpengine-recording names them"):
        parse(name, "rtpengine", "", "UTC")


def test_single_streams_are_left_where_they_are_unless_they_are_wanted(tmp_path: Path) -> None:
    names = [f"abc-{TAG}-mix.wav", f"abc-{TAG}-aeda220d.wav"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")

    def taken(**more: Any) -> tuple[list[str], list[Ignored]]:
        tree = Tree(tmp_path, tmp_path / "id", Spool(path=tmp_path, **more))
        found = [relative for batch in tree.walk("", []) for relative, _ in batch]
        return sorted(found), tree.ignored()

    assert taken(layout="rtpengine") == (names[:1], [Ignored(names[1], Reason.SINGLE_STREAM)])
    assert taken(layout="rtpengine", single_streams=True) == (sorted(names), [])
    assert taken(layout="sidecar") == (sorted(names), [])


# --- .meta files ------------------------------------------------------------------------------------------


def test_metadata_of_the_proxy_becomes_facts() -> None:
    call_id, metadata = rtpengine_meta.read(meta())
    assert call_id == "abc@10.0.0.1"
    facts = rtpengine_meta.facts_of(metadata, "Europe/Berlin", NOW)
    assert facts == CallFacts(
        started_at=STARTED_AT,
        timezone="Europe/Berlin",
        direction=Direction.INBOUND,
        caller="+4930123456",
        callee="201",
        caller_name="Jürgen Müßig 株式会社",
    )


def test_what_follows_in_the_middle_of_a_call_counts_and_half_a_section_does_not() -> None:
    whole = meta() + section("METADATA", "caller:1")
    assert rtpengine_meta.read(whole) == ("abc@10.0.0.1", "caller:1")
    assert rtpengine_meta.read(whole[:-1]) == ("abc@10.0.0.1", METADATA)
    assert rtpengine_meta.read(meta()[:20]) == ("", "")


@pytest.mark.parametrize(
    ("metadata", "field", "value"),
    [
        ("caller:%2B44%20(0)20", "caller", "+44 (0)20"),
        ("caller:sip:bob@example.com", "caller", "sip:bob@example.com"),
        ("caller_hex:zz|callee:1", "caller", ""),
        ("caller_hex:ff|callee:1", "caller", ""),
        ("caller_name:a\x00b\u202ec", "caller_name", "a\ufffdb\ufffdc"),
        ("tenant:acme", "tenant_hint", "acme"),
        ("tenant:acme|caller_name:x|tenant:evil", "tenant_hint", ""),  # a caller's name with a | in it
        ("tenant:acme|tenant_hex:61636d65", "tenant_hint", "acme"),
        ("direction:sideways", "direction", Direction.UNKNOWN),
        ("started_at:2026-11-28T07:19:51+01:00", "started_at", datetime(2026, 11, 28, 6, 19, 51, tzinfo=UTC)),
        ("started_at:2026-11-28T07:19:51", "started_at", None),
        ("started_at:4102444800", "started_at", None),  # 2100
        ("started_at:1e9", "started_at", None),
        ("", "caller", ""),
        ("|||:::|caller", "caller", ""),
    ],
)
def test_metadata_is_believed_only_where_it_is_plain(metadata: str, field: str, value: object) -> None:
    assert getattr(rtpengine_meta.facts_of(metadata, "UTC", NOW), field) == value


@given(some.binary(max_size=300), some.text(max_size=300))
@example(b"CALL-ID\n9999999:\nx\n\n", "started_at:" + "9" * 300)
@example(b"CALL-ID\n0:\n\n\n" * 50, "caller_hex:" * 50)
def test_no_bytes_and_no_metadata_make_the_reader_fail(data: bytes, metadata: str) -> None:
    for bytes_read in (data, section("CALL-ID", data), section("CALL-ID", "a") + data):
        rtpengine_meta.read(bytes_read)
    rtpengine_meta.facts_of(metadata, "UTC", NOW)


def test_a_large_file_is_read_in_a_time_that_grows_with_it() -> None:
    began = time.process_time()
    for hostile in (b"A" * 200, b"A\n1:\nx\n\n" * 100_000, b"\n" * 1_000_000, b"A\n9999999:\n" * 90_000):
        rtpengine_meta.read((hostile * 10)[: rtpengine_meta.LIMIT_BYTES])
    assert time.process_time() - began < 5


# --- from the call to its recordings ----------------------------------------------------------------------


def test_a_recording_knows_its_parties_after_its_meta_file_is_gone_and_recpipe_was_started_again(
    rtpengine: Rtpengine,
) -> None:
    path = rtpengine.says(f"abc%4010.0.0.1-{TAG}.meta", meta())
    rtpengine.describer.follow_calls()
    path.unlink()
    rtpengine.describer.follow_calls()
    facts = rtpengine.describe(f"abc%4010.0.0.1-{TAG}-mix.wav", Describer(rtpengine.spool, utc_now))
    assert (facts.caller, facts.callee, facts.extension) == ("+4930123456", "201", "201")
    assert (facts.direction, facts.started_at, facts.linked_id) == (Direction.INBOUND, STARTED_AT, "abc@10.0.0.1")


def test_all_recordings_of_a_call_have_its_facts(rtpengine: Rtpengine) -> None:
    rtpengine.says(f"abc%4010.0.0.1-{TAG}.meta", meta())
    rtpengine.describer.follow_calls()
    rtpengine.says(f"abc%4010.0.0.1-{OTHER_TAG}.meta", meta(metadata=""))  # begun again by hand
    rtpengine.describer.follow_calls()
    names = [
        f"abc%4010.0.0.1-{TAG}-mix.wav",
        f"abc%4010.0.0.1-{TAG}-aeda220d.wav",
        f"abc%4010.0.0.1-{OTHER_TAG}-mix.wav",
    ]
    assert {rtpengine.describe(name).caller for name in names} == {"+4930123456"}
    assert {rtpengine.describe(name).linked_id for name in names} == {"abc@10.0.0.1"}


def test_metadata_that_comes_after_the_first_look_is_read(rtpengine: Rtpengine) -> None:
    path = rtpengine.says(f"abc-{TAG}.meta", section("CALL-ID", "abc"))
    rtpengine.describer.follow_calls()
    assert rtpengine.describe(f"abc-{TAG}-mix.wav").caller == ""
    with path.open("ab") as out:
        out.write(section("METADATA", "caller:+44"))
    rtpengine.describer.follow_calls()
    assert rtpengine.describe(f"abc-{TAG}-mix.wav").caller == "+44"


def test_without_a_start_in_metadata_or_name_the_call_began_when_it_was_seen_first(rtpengine: Rtpengine) -> None:
    path = rtpengine.says(f"abc-{TAG}.meta", meta("abc", "caller:+44"))
    os.utime(path, (1795846000, 1795846000))
    rtpengine.describer.follow_calls()
    assert rtpengine.describe(f"abc-{TAG}-mix.wav").started_at == datetime.fromtimestamp(1795846000, UTC)
    assert rtpengine.describe(f"20261128-062000-abc-{TAG}-mix.wav").started_at == NOW


def test_a_call_id_that_begins_as_a_time_does_is_told_by_its_meta_file(rtpengine: Rtpengine) -> None:
    rtpengine.says(f"20261128-062000-abc-{TAG}.meta", meta("20261128-062000-abc"))
    rtpengine.describer.follow_calls()
    facts = rtpengine.describe(f"20261128-062000-abc-{TAG}-mix.wav")
    assert (facts.call_id, facts.caller) == ("20261128-062000-abc", "+4930123456")


@pytest.mark.parametrize("odd", ["link", "folder", "fifo", "no-call-id"])
def test_what_is_no_meta_file_is_passed_over(rtpengine: Rtpengine, tmp_path: Path, odd: str) -> None:
    path = rtpengine.meta_dir / f"odd-{TAG}.meta"
    if odd == "link":
        (tmp_path / "secret").write_bytes(meta("odd"))
        path.symlink_to(tmp_path / "secret")
    elif odd == "folder":
        path.mkdir()
    elif odd == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(section("METADATA", METADATA))
    rtpengine.says(f"abc-{TAG}.meta", meta("abc"))
    rtpengine.describer.follow_calls()
    assert len(rtpengine.notes()) == 1
    assert rtpengine.describe(f"abc-{TAG}-mix.wav").caller == "+4930123456"


def test_a_note_can_not_be_written_and_is_kept_until_it_can(rtpengine: Rtpengine) -> None:
    (rtpengine.control / FOLDER).write_bytes(b"")  # no folder: nothing can be put there
    rtpengine.says(f"abc-{TAG}.meta", meta("abc"))
    rtpengine.describer.follow_calls()
    assert rtpengine.describe(f"abc-{TAG}-mix.wav").caller == "+4930123456"
    (rtpengine.control / FOLDER).unlink()
    rtpengine.describer.follow_calls()
    assert len(rtpengine.notes()) == 1


def test_notes_of_calls_whose_recordings_are_stored_are_forgotten_after_a_day(rtpengine: Rtpengine) -> None:
    live = LiveCalls(rtpengine.spool, rtpengine.control)
    for call_id in ("stored", "waits", "quarantined", "lasts", "fresh"):
        rtpengine.says(f"{call_id}-{TAG}.meta", meta(call_id))
    live.look()
    for call_id in ("stored", "waits", "quarantined", "fresh"):
        (rtpengine.meta_dir / f"{call_id}-{TAG}.meta").unlink()
    live.look()
    (rtpengine.spool.path / f"waits-{TAG}-mix.wav").write_bytes(b"x")
    (rtpengine.control / "quarantine").mkdir()
    (rtpengine.control / "quarantine" / f"quarantined-{TAG}-mix.wav").write_bytes(b"x")
    long_ago = time.time() - KEPT_SECONDS - 60
    for name in rtpengine.notes():
        note = rtpengine.control / FOLDER / name
        if json.loads(note.read_text())["call_id"] != "fresh":
            os.utime(note, (long_ago, long_ago))
    live.forget_old()
    left = {json.loads((rtpengine.control / FOLDER / name).read_text())["call_id"] for name in rtpengine.notes()}
    assert left == {"waits", "quarantined", "lasts", "fresh"}


def test_notes_are_for_our_eyes_only(rtpengine: Rtpengine) -> None:
    rtpengine.says(f"abc-{TAG}.meta", meta("abc"))
    rtpengine.describer.follow_calls()
    assert (rtpengine.control / FOLDER).stat().st_mode & 0o077 == 0


def test_files_that_may_not_be_read_are_complained_of_once(rtpengine: Rtpengine) -> None:
    rtpengine.meta_dir.parent.chmod(0o755)
    rtpengine.says(f"abc-{TAG}.meta", meta("abc")).chmod(0)
    program = (
        "import os; from pathlib import Path; from recpipe.settings import Spool\n"
        "from recpipe.spool.live_calls import LiveCalls\n"
        "live = LiveCalls(Spool(path='spool', layout='rtpengine', meta_dir='meta'), Path('control'))\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "live.look(); live.look()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=rtpengine.meta_dir.parent, capture_output=True, text=True, check=True
    )
    assert (ran.stdout + ran.stderr).count("calls not followed") == 1
    assert "put this user into rtpengine's group" in ran.stdout + ran.stderr


def test_a_spool_that_is_away_gets_no_folders(rtpengine: Rtpengine) -> None:
    rtpengine.control.rmdir()
    rtpengine.says(f"abc-{TAG}.meta", meta("abc"))
    rtpengine.describer.follow_calls()
    assert list(rtpengine.spool.path.iterdir()) == []


# --- records that come later ------------------------------------------------------------------------------


def test_a_json_record_by_call_id_is_joined_when_it_comes(tmp_path: Path) -> None:
    (tmp_path / "cdr").mkdir()
    rtpengine = Rtpengine(tmp_path, cdr_dir=tmp_path / "cdr")
    facts = rtpengine.describe(f"a%2fb%40host-{TAG}-mix.wav")
    assert facts.awaits_cdr
    record = tmp_path / "cdr" / "a%2Fb@host.json"
    record.write_text('{"caller": "+44", "callee": "201", "duration_seconds": 40}')
    late = rtpengine.describer.late_facts(facts.call_id)
    assert late is not None
    assert (late.caller, late.callee, late.duration_ms) == ("+44", "201", 40_000)


@pytest.mark.parametrize("call_id", ["../../etc/passwd", "..", "a" * 5000, "a\ud800", ""])
def test_a_call_id_is_no_path(tmp_path: Path, call_id: str) -> None:
    (tmp_path / "cdr").mkdir()
    (tmp_path / "outside.json").write_text("{}")
    assert Rtpengine(tmp_path, cdr_dir=tmp_path / "cdr").describer.late_facts(call_id) is None


def test_a_record_that_is_none_says_nothing_until_it_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "cdr").mkdir()
    record = tmp_path / "cdr" / "abc.json"
    record.write_text("[1]")
    rtpengine = Rtpengine(tmp_path, cdr_dir=tmp_path / "cdr")
    assert rtpengine.describer.late_facts("abc") is None
    record.write_text('{"caller": "1"}')
    os.utime(record, (1, 1))
    assert rtpengine.describer.late_facts("abc") is not None
