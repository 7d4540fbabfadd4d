"""Sidecars that somebody sent: whose recording does not come is counted, shown and removed, whatever killed whom."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from recpipe.errors import SpoolRefused
from recpipe.model import FileIdentity, Settled
from recpipe.settings import Spool
from recpipe.spool import safe_move
from recpipe.spool.folder import SpoolFolder
from recpipe.spool.sent_sidecars import KEPT_SECONDS, YOUNG_SECONDS

HOUR = YOUNG_SECONDS + 60


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    made = SpoolFolder(Spool(path=tmp_path / "spool"))
    made.lock()
    return made


def send(folder: SpoolFolder, name: str, body: bytes = b'{"caller": "201"}', sender: str = "ftp:pbx") -> None:
    with folder.accept_upload(name, sender=sender) as upload:
        upload.write(body)
        upload.commit()


def restarted(folder: SpoolFolder, after_seconds: float = 0) -> SpoolFolder:
    """The next process, so much later, after a kill."""
    for note in (folder.control / "sidecars").iterdir():
        at = note.stat().st_mtime - after_seconds
        os.utime(note, (at, at))
    folder.unlock(in_order=False)
    following = SpoolFolder(Spool(path=folder.root))
    following.lock()
    return following


def notes(folder: SpoolFolder) -> int:
    return len(list((folder.control / "sidecars").iterdir()))


def files(folder: SpoolFolder) -> set[str]:
    found = (path.relative_to(folder.root) for path in folder.root.rglob("*") if path.is_file())
    return {str(path) for path in found if path.parts[0] != ".recpipe"}


def test_what_lies_alone_is_told_with_its_sender_and_removed_after_a_week(folder: SpoolFolder) -> None:
    # Given: what an account sent (one with its recording, in each way of naming it), and what the PBX wrote itself
    paired = {"d/a.wav.json": "d/a.wav", "d/b_metadata.json": "d/b.MP3", "c.json": "c.gsm"}
    alone = {"d/e.json", "d/f.wav.json", "d/g.xml", "d/h.csv", "a.wav.json", "d/c.JSON"}
    for name in {*paired, *alone}:
        send(folder, name)
    for name in (*paired.values(), "d/c.wav", "d/own.json"):
        (folder.root / name).write_bytes(b"audio" if not name.endswith(".json") else b"{}")
    everything = files(folder)
    send(folder, "other.json", sender="ftp:other")

    # When and then: young ones are nothing to speak of
    folder = restarted(folder)
    assert folder.sent.alone == () and folder.sent.in_words() == ""
    assert {one.relative for one in folder.sent.without_recording("ftp:pbx")} == alone

    # after an hour they are told, those of others besides
    folder = restarted(folder, HOUR)
    assert {one.relative for one in folder.sent.alone} == {*alone, "other.json"}
    words = folder.sent.in_words()
    assert words.startswith("7 descriptions") and "6 of ftp:pbx, 1 of ftp:other" in words

    # and after a week they are gone, and nothing else
    folder = restarted(folder, KEPT_SECONDS)
    assert folder.sent.alone == ()
    assert files(folder) == everything - alone
    assert notes(folder) == len(paired)


def test_the_note_is_there_before_the_sidecar_and_goes_with_it(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        assert notes(folder) == 1
        raise SystemExit

    with monkeypatch.context() as at_once, pytest.raises(SystemExit):
        at_once.setattr(safe_move, "transfer", killed)
        send(folder, "a.json")
    assert (files(folder), notes(folder)) == (set(), 1)
    folder = restarted(folder, HOUR)
    assert notes(folder) == 0

    # one that goes with its recording leaves none
    send(folder, "a.json")
    (folder.root / "a.wav").write_bytes(b"audio")
    folder.finish(_settled(folder, "a.wav"))
    assert (files(folder), notes(folder)) == (set(), 0)


def test_a_file_that_has_taken_the_name_of_one_is_left_alone(folder: SpoolFolder) -> None:
    send(folder, "a.json")
    (folder.root / "a.json").unlink()
    (folder.root / "a.json").write_bytes(b'{"caller": "the PBX\'s own"}')
    folder = restarted(folder, KEPT_SECONDS + HOUR)
    assert files(folder) == {"a.json"}
    assert notes(folder) == 0


def test_the_same_sidecar_sent_again_stays_that_of_who_sent_it_first(folder: SpoolFolder) -> None:
    send(folder, "a.json")
    send(folder, "a.json", sender="ftp:other")
    assert [one.relative for one in folder.sent.without_recording("ftp:pbx")] == ["a.json"]
    with pytest.raises(SpoolRefused):
        send(folder, "a.json", b"{}")
    assert notes(folder) == 1


def test_notes_that_nobody_can_read_stop_nothing(folder: SpoolFolder) -> None:
    for name, body in {"1-2-3": b"no JSON", "2-2-3": b"[]", "junk": b"{}", "3-2-3": b'{"path": "../x.json"}'}.items():
        (folder.control / "sidecars" / name).write_bytes(body)
    (folder.control / "sidecars" / ".4-2-3.0a1b2c3d").write_bytes(b'{"pa')  # half written, then killed
    send(folder, "a.json")
    folder = restarted(folder, HOUR)
    assert [one.relative for one in folder.sent.alone] == ["a.json"]
    assert not list((folder.control / "sidecars").glob(".*"))


def test_a_link_in_the_way_leads_to_no_file_of_others(folder: SpoolFolder, tmp_path: Path) -> None:
    # Given: whoever may write to the spool turns the folder of a sidecar into a link to files of others
    send(folder, "d/a.json")
    other = tmp_path / "other"
    other.mkdir()
    (folder.root / "d/a.json").rename(other / "a.json")
    (folder.root / "d").rmdir()
    (folder.root / "d").symlink_to(other)
    folder = restarted(folder, KEPT_SECONDS + HOUR)
    assert (other / "a.json").exists()


def _settled(folder: SpoolFolder, name: str) -> Settled:
    found = FileIdentity.at(folder.root / name)
    return Settled(folder.root / name, name, found.size_bytes, found.mtime_ns, found.inode)
