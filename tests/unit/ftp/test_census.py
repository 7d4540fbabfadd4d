from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ftp.census import Census
from ftp.ports import PassivePorts
from ftp.tls import SessionSecrets
from recpipe.access.principal import Kind, Principal
from recpipe.errors import SettingsInvalid
from recpipe.settings import Settings


@dataclass(eq=False)
class Connected:
    counted_as: str
    tls_secrets: SessionSecrets = field(default_factory=SessionSecrets)


ACME = Principal(kind=Kind.FTP, id="acme-id", name="ftp:acme")


def made(tmp_path: Path, left: list[str] | None = None, **settings: Any) -> Census[Connected]:
    return Census(Settings(data_dir=tmp_path, **settings), (left if left is not None else []).append)


def entered(census: Census[Connected], address: str) -> Connected:
    assert census.reserve(address) is None
    session = Connected(address)
    census.enter(session)
    return session


def test_a_limit_that_is_reached_is_named_and_free_again_when_a_session_ends(tmp_path: Path) -> None:
    census = made(tmp_path, ftp_max_connections=2, ftp_max_per_address=1)
    first = entered(census, "192.0.2.1")
    assert census.reserve("192.0.2.1") == "address"
    second = entered(census, "192.0.2.2")
    assert census.reserve("192.0.2.3") == "server"
    census.forget(first)
    census.forget(first)  # closed twice
    assert census.sessions() == [second]
    assert census.reserve("192.0.2.1") is None
    census.release("192.0.2.1")  # it came to no session
    entered(census, "192.0.2.1")


def test_an_account_has_so_many_sessions_and_its_last_is_told(tmp_path: Path) -> None:
    left: list[str] = []
    census = made(tmp_path, left, ftp_max_per_account=2)
    sessions = [entered(census, f"192.0.2.{n}") for n in range(3)]
    assert [census.admit(each, ACME) for each in sessions] == [True, True, False]
    assert census.logged_in == 2
    census.forget(sessions[2])  # it was never counted as a login
    census.dismiss(sessions[0])
    assert left == []
    assert census.admit(sessions[0], ACME)
    for each in sessions[:2]:
        census.forget(each)
    assert left == [ACME.id]
    assert census.logged_in == 0


def test_a_login_counts_for_a_while_after_it_was_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    census = made(tmp_path)
    assert not census.vouches_for(ACME)
    census.admit(entered(census, "192.0.2.1"), ACME)
    assert census.vouches_for(ACME)
    now += 4
    assert not census.vouches_for(ACME)
    census.vouch(ACME)
    assert census.vouches_for(ACME)
    now += 100
    census.expire([ACME])
    assert ACME in census._sure_at
    census.expire([])
    assert ACME not in census._sure_at


@pytest.mark.parametrize("text", ["1-2", "0", "30000-29999", "a", "65535-65536", "80-90"])
def test_a_range_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="30000-30100"):
        PassivePorts.parse(text)
