"""Every error has a reply, and every reply is one line that tells no secret."""

from __future__ import annotations

import inspect

import pytest

from ftp.replies import NOT_FOUND, one_line, reply_to
from recpipe import errors
from recpipe.errors import (
    Forbidden,
    LockedOut,
    NotFound,
    ObjectMissing,
    RecpipeError,
    SpoolRefused,
    StoreRejected,
    StoreUnavailable,
)

EVERY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RecpipeError)]


@pytest.mark.parametrize("kind", EVERY)
def test_every_error_has_a_reply_of_the_right_form(kind: type[RecpipeError]) -> None:
    error = kind.__new__(kind)
    Exception.__init__(error, "text\r\n226 forged")
    reply = reply_to(error)
    assert reply[:3].isdigit() and reply[0] in "45" and reply[3] == " "
    assert "\r" not in reply and "\n" not in reply


def test_nothing_of_keys_machines_or_other_tenants_is_told() -> None:
    for error in (ObjectMissing("acme/ab/key"), StoreUnavailable("http://10.0.0.7"), StoreRejected("key AKIA")):
        assert not {"acme/ab/key", "10.0.0.7", "AKIA"} & set(reply_to(error).replace("//", " ").split())
    assert reply_to(NotFound("recording", "globex.wav")) == NOT_FOUND


def test_what_a_person_can_act_on_is_told() -> None:
    assert "Wait 30 seconds" in reply_to(LockedOut(30))
    assert "Send it under a new name" in reply_to(SpoolRefused("There is one. Send it under a new name."))
    assert reply_to(Forbidden("read: it can only upload")).startswith("550 This account is not allowed to read")


@pytest.mark.parametrize("text", ["a\r\nb", "a\x00b", "a\x1b[31m", "a\x85b", "a\u2028b"])
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) == 1
