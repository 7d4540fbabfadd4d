"""Messages of Asterisk's voicemail: which files are some, and what path and description say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from recpipe.errors import Held, Unfit
from recpipe.model import CallFacts, Direction, RecordingKind
from recpipe.spool import asterisk_voicemail as voicemail
from recpipe.spool.files import Kind

NOW = datetime(2026, 3, 14, tzinfo=UTC)
TEXT = """;
; Message Information file
;
[message]
origmailbox=201
context=macro-vm
macrocontext=
exten=s-NOANSWER
rdnis=unknown
priority=2
callerchan=PJSIP/trunk-00000001
callerid="Erin Doyle" <02079460958>
origdate=Thu Mar 27 09:25:17 AM UTC 2025
origtime=1743067517
category=
msg_id=1743067517-0000000a
flag=
duration=12
"""


def described(tmp_path: Path, text: str) -> CallFacts:
    (tmp_path / "msg0000.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    return voicemail.description_of(tmp_path / "msg0000.wav", NOW)


def test_a_message_says_who_called_whom_and_when(tmp_path: Path) -> None:
    assert described(tmp_path, TEXT) == CallFacts(
        started_at=datetime(2025, 3, 27, 9, 25, 17, tzinfo=UTC),
        duration_ms=12_000,
        direction=Direction.INBOUND,
        caller="02079460958",
        caller_name="Erin Doyle",
        callee="201",
        call_id="1743067517-0000000a",
    )


@pytest.mark.parametrize(
    ("written", "caller", "name", "direction"),
    [
        ("202", "202", "", Direction.INTERNAL),
        ('"Ann" <202>', "202", "Ann", Direction.INTERNAL),
        ("Unknown", "", "", Direction.INBOUND),
        ("Unknown Caller", "", "", Direction.INBOUND),
        ('"" <+442079460958>', "+442079460958", "", Direction.INBOUND),
        ("Müller \udce4 <030\u202e1>", "030\ufffd1", "Müller \ufffd", Direction.INBOUND),
        ("", "", "", Direction.INBOUND),
        ("<<<<>>>>", "", "", Direction.INBOUND),
    ],
)
def test_callers_are_read_as_asterisk_writes_them(
    tmp_path: Path, written: str, caller: str, name: str, direction: Direction
) -> None:
    facts = described(tmp_path, TEXT.replace('"Erin Doyle" <02079460958>', written))
    assert facts.direction is direction
    if written != "<<<<>>>>":
        assert (facts.caller, facts.caller_name) == (caller, name)


@pytest.mark.parametrize("origtime", ["", "soon", "99999999999999999999", "-5", "4102444800", "\u0662"])
def test_a_time_that_cannot_be_is_none(tmp_path: Path, origtime: str) -> None:
    assert described(tmp_path, TEXT.replace("1743067517\n", f"{origtime}\n")).started_at is None


@pytest.mark.parametrize("text", ["", "nonsense", "[other]\na=b\n", "msg_id=1\n[message]\n"])
def test_what_is_no_description_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Unfit) as refused:
        described(tmp_path, text)
    assert refused.value.reason == "sidecar-invalid"


def test_a_message_waits_for_its_description(tmp_path: Path) -> None:
    with pytest.raises(Held) as held:
        voicemail.description_of(tmp_path / "msg0000.wav", NOW)
    assert held.value.reason == "sidecar-missing" and "msg0000.txt" in str(held.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("msg0000.wav", Kind.RECORDING),
        ("msg12345.WAV", Kind.RECORDING),
        ("msg0003.gsm", Kind.RECORDING),
        ("msg0000.txt", Kind.SIDECAR),
        ("unavail.wav", Kind.OTHER),
        ("greet.wav", Kind.OTHER),
        ("Xk3b2a", Kind.OTHER),
        ("Xk3b2a.wav", Kind.OTHER),
        (".lock", Kind.HIDDEN),
    ],
)
def test_greetings_and_half_written_messages_are_no_recordings(name: str, kind: Kind) -> None:
    assert voicemail.kind(name) is kind


@pytest.mark.parametrize(
    ("relative", "context"), [("default/201/INBOX/msg0000.wav", "default"), ("201/Old/msg0007.WAV", "")]
)
def test_the_path_says_whose_mailbox_it_is(relative: str, context: str) -> None:
    facts = voicemail.parse(relative, "UTC")
    assert (facts.kind, facts.mailbox, facts.extension, facts.tenant_hint) == (
        RecordingKind.VOICEMAIL,
        "201",
        "201",
        context,
    )


@pytest.mark.parametrize(
    "relative", ["msg0000.wav", "INBOX/msg0000.wav", "a/b/c/d/msg0000.wav", "default/201/INBOX/x.wav"]
)
def test_other_paths_are_not_understood(relative: str) -> None:
    with pytest.raises(Unfit) as refused:
        voicemail.parse(relative, "UTC")
    assert refused.value.reason == "name-not-understood"


def test_a_message_keeps_its_name_whatever_number_and_folder_it_has() -> None:
    facts = CallFacts(mailbox="201", call_id="1743067517-0000000a", started_at=NOW)
    names = {voicemail.name_of(f"default/201/{place}.wav", facts) for place in ("INBOX/msg0003", "Old/msg0000")}
    assert names == {"default/201/voicemail-201-1743067517-0000000a.wav"}
    of_old = CallFacts(mailbox="201", started_at=NOW)
    assert voicemail.name_of("201/INBOX/msg0003.gsm", of_old) == "201/voicemail-201-20260314-000000.gsm"
    assert voicemail.name_of("201/INBOX/msg0003.gsm", CallFacts(mailbox="201")) == "201/INBOX/msg0003.gsm"


def test_of_several_formats_of_a_message_one_is_stored(tmp_path: Path) -> None:
    for ending in (".WAV", ".gsm", ".g729"):
        (tmp_path / f"msg0000{ending}").touch()
    stored = [e for e in (".WAV", ".gsm", ".g729") if not voicemail.has_better_format(tmp_path / f"msg0000{e}")]
    assert stored == [".WAV"]
