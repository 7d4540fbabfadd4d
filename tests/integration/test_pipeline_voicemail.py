"""Voicemail of Asterisk: its messages are copied and remembered, and never taken from under the PBX."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from recpipe import samples
from recpipe.model import Direction, Recording, RecordingKind, RecordingQuery
from recpipe.pipeline.ingest import Ingest
from recpipe.times import utc_now
from tests.integration.pipeline_rig import TENANT_ID, Rig, until

SOUNDS = ("order-inquiry.wav", "opening-hours-alaw.wav", "brake-repair-stereo.wav")


class Mailbox:
    """What app_voicemail does to the files of box 201, step by step as it does it."""

    def __init__(self, rig: Rig) -> None:
        self.root = rig.spool.path / "default/201"
        self._left = 0

    def folder(self, name: str = "INBOX") -> Path:
        made = self.root / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def numbers(self, name: str = "INBOX") -> list[str]:
        return sorted(path.stem for path in self.folder(name).glob("msg*.txt"))

    def leave(self, sound: str = SOUNDS[0], *, msg_id: str = "", described: bool = True, formats: str = ".wav") -> str:
        """leave_voicemail: written in tmp, then the sound is renamed into place, then its description."""
        self._left += 1
        aside, number = self.folder("tmp") / f"Xk{self._left:04}", len(self.numbers())
        msg_id = msg_id or f"174306751{self._left}-0000000{self._left}"
        aside.with_suffix(".txt").write_text(
            "[message]\norigmailbox=201\ncontext=from-trunk\n"
            f'callerid="Erin Doyle" <0207946095{self._left}>\norigtime=174306751{self._left}\n'
            f"msg_id={msg_id}\nduration=4\n"
        )
        for ending in formats.split():
            shutil.copy(samples.paths()[sound], aside.with_suffix(ending))
            aside.with_suffix(ending).rename(self.folder() / f"msg{number:04}{ending}")
        if described:
            aside.with_suffix(".txt").rename(self.folder() / f"msg{number:04}.txt")
        return msg_id

    def delete(self, number: int, name: str = "INBOX") -> None:
        """vm_delete, then resequence_mailbox."""
        self.folder(name).joinpath(f"msg{number:04}.txt").unlink()
        for sound in self.folder(name).glob(f"msg{number:04}.*"):
            sound.unlink()
        self._renumber(name)

    def move(self, number: int, target: str) -> None:
        """save_to_folder: under the next number there, and those behind it move up here."""
        there = len(self.numbers(target))
        for path in sorted(self.folder().glob(f"msg{number:04}.*"), key=lambda path: path.suffix == ".txt"):
            path.rename(self.folder(target) / f"msg{there:04}{path.suffix}")
        self._renumber("INBOX")

    def _renumber(self, name: str) -> None:
        for wanted, stem in enumerate(self.numbers(name)):
            if stem != f"msg{wanted:04}":
                for path in sorted(self.folder(name).glob(f"{stem}.*"), key=lambda path: path.suffix == ".txt"):
                    path.rename(self.folder(name) / f"msg{wanted:04}{path.suffix}")


def make(tmp_path: Path, **spool: object) -> tuple[Rig, Mailbox]:
    rig = Rig.make(tmp_path, layout="asterisk-voicemail", rescan_seconds=0.2, **spool)
    return rig, Mailbox(rig)


def ids(rig: Rig) -> list[str]:
    return sorted(recording.facts.call_id for recording in rig.recordings())


def idle(ingest: Ingest) -> None:
    until(lambda: ingest.waiting()["spool"] == 0)


def stored(rig: Rig, msg_id: str) -> Recording:
    return next(recording for recording in rig.recordings() if recording.facts.call_id == msg_id)


def test_a_message_is_stored_as_what_it_is_and_stays_in_its_mailbox(tmp_path: Path) -> None:
    rig, box = make(tmp_path)
    msg_id = box.leave()
    before = rig.files()
    rig.drain()
    recording = stored(rig, msg_id)
    facts = recording.facts
    assert (facts.kind, facts.mailbox, facts.extension) == (RecordingKind.VOICEMAIL, "201", "201")
    assert (facts.caller, facts.caller_name, facts.callee) == ("02079460951", "Erin Doyle", "201")
    assert facts.direction is Direction.INBOUND
    assert recording.name == f"voicemail-201-{msg_id}.wav"
    assert f"{recording.started_at:%Y-%m-%d %H:%M:%S}" == "2025-03-27 09:25:11"
    assert rig.files() == before and rig.waiting() == []
    with rig.catalogue.read() as work:
        found = [
            [one.id for one in work.search([TENANT_ID], RecordingQuery(kind=kind)).items]
            for kind in (RecordingKind.VOICEMAIL, RecordingKind.CALL)
        ]
    assert found == [[recording.id], []]
    rig.catalogue.close()


def test_messages_that_get_new_numbers_are_stored_once_also_over_restarts(tmp_path: Path) -> None:
    rig, box = make(tmp_path)
    left = [box.leave(sound) for sound in SOUNDS]
    ingest = rig.ingest()
    ingest.start()
    until(lambda: ids(rig) == sorted(left))
    idle(ingest)
    box.delete(0)  # the others move up
    box.move(0, "Old")
    left.append(box.leave())  # under a number that was another's, with the sound of one that was there
    until(lambda: ids(rig) == sorted(left))
    idle(ingest)
    ingest.stop()
    objects = rig.store.received
    assert [one[0] for one in objects] == list(dict.fromkeys(one[0] for one in objects)) and len(objects) == 4
    box.move(0, "Old")
    again = rig.drain()
    assert (again.counts.stored, again.counts.repeated) == (0, 0)  # known without being read
    (rig.spool.path / ".recpipe/taken").unlink()
    again = rig.drain()
    assert (again.counts.stored, again.counts.repeated, len(rig.store.received)) == (0, 3, 4)  # known by the catalogue
    assert ids(rig) == sorted(left) and rig.waiting() == []
    rig.catalogue.close()


def test_a_crash_between_the_row_and_the_note_ends_in_one_recording(tmp_path: Path) -> None:
    rig, box = make(tmp_path)
    left = box.leave()
    rig.drain()
    (rig.spool.path / ".recpipe/taken").unlink()
    rig.crash()
    rig.drain()
    assert ids(rig) == [left] and len(rig.store.keys()) == 1
    rig.catalogue.close()


def test_a_message_waits_for_its_description_and_an_open_one_for_its_writer(tmp_path: Path) -> None:
    rig, box = make(tmp_path)
    ingest = rig.ingest()
    ingest.start()
    box.leave(described=False)
    until(lambda: [entry.reason for entry in rig.waiting()] == ["sidecar-missing"])
    (box.folder("tmp") / "Xk0001.txt").rename(box.folder() / "msg0000.txt")
    until(lambda: len(rig.recordings()) == 1)
    with (box.folder() / "msg0001.wav").open("wb") as writer:
        (box.folder() / "msg0001.txt").write_text("[message]\nmsg_id=7-7\norigmailbox=201\n")
        writer.write(samples.paths()[SOUNDS[1]].read_bytes())
        writer.flush()
        until(lambda: ingest.waiting()["spool"] == 1)
        assert len(rig.recordings()) == 1
    until(lambda: len(rig.recordings()) == 2)
    ingest.stop()
    assert rig.waiting() == [] and stored(rig, "7-7").facts.callee == "201"
    rig.catalogue.close()


def test_of_the_formats_of_a_message_one_is_stored_and_greetings_are_left_alone(tmp_path: Path) -> None:
    rig, box = make(tmp_path)
    box.leave(formats=".WAV .wav")
    shutil.copy(samples.paths()[SOUNDS[0]], box.root / "unavail.wav")
    ingest = rig.drain()
    assert [recording.name[-4:] for recording in rig.recordings()] == [".wav"]
    ignored = {one.relative.rpartition("/")[2]: one.reason.value for one in ingest.ignored()["spool"]}
    assert ignored == {"msg0000.WAV": "other-format", "unavail.wav": "not-a-recording"}
    rig.catalogue.close()


def test_what_the_pbx_deletes_before_it_was_stored_is_said_and_what_it_renames_is_not(
    tmp_path: Path,
) -> None:
    rig, box = make(tmp_path)
    rig.change_tenant(encryption=True)  # without a certificate: messages wait where they are
    box.leave(SOUNDS[0])
    kept = box.leave(SOUNDS[1])
    ingest = rig.ingest()
    ingest.start()
    until(lambda: len(rig.waiting()) == 2)
    box.delete(0)
    until(lambda: ingest._served["spool"].gone_untaken == 1)
    until(lambda: [entry.relative for entry in rig.waiting()] == ["default/201/INBOX/msg0000.wav"])
    rig.change_tenant(encryption=False)
    until(lambda: ids(rig) == [kept])
    box.delete(0)  # it is stored: nothing is lost by that
    watcher = ingest._served["spool"].watcher
    until(lambda: watcher.left_there()[0] == frozenset())
    [node] = ingest._nodes(utc_now(), utc_now())  # what the heartbeat says
    assert node.detail["gone_untaken"] == 1
    ingest.stop()
    assert ingest._served["spool"].gone_untaken == 1
    rig.catalogue.close()


def test_a_bad_message_is_listed_where_it_lies_and_a_deleted_recording_does_not_come_back(tmp_path: Path) -> None:
    rig, box = make(tmp_path)
    box.leave()
    (box.folder() / "msg0000.wav").write_bytes(b"RIFF" + os.urandom(5000))
    good = box.leave()
    rig.drain()
    (entry,) = rig.waiting()
    assert entry.held and entry.relative == "default/201/INBOX/msg0000.wav" and ids(rig) == [good]
    assert len(rig.files()) == 4
    with rig.catalogue.begin() as work:
        work.of(TENANT_ID).recordings.delete(stored(rig, good).id, utc_now(), "ann", "asked for")
    (rig.spool.path / ".recpipe/taken").unlink()
    rig.drain()
    assert rig.recordings() == [] and len(rig.files()) == 4
    assert [one.reason for one in rig.waiting()] == [entry.reason]
    rig.catalogue.close()
