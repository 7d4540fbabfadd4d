"""A PBX asks whether to record: one word, from memory, also while the database is away; and a token that only asks."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from recpipe.access.principal import Action, operator
from recpipe.errors import CatalogueUnavailable
from recpipe.model import Role, SeenKind
from recpipe.tenants.changes import Kind
from tests.integration.api import World, world
from tests.integration.api_cases import CASES, NOBODYS
from tests.services.postgres import PostgresServer
from tests.services.proxy import FlakyProxy

PATH = "/api/v1/policy/decision"
NUMBER = "+442079460958"
CALLER = "+447700900123"
INBOUND = {"direction": "inbound", "route": NUMBER}
BY = operator("test")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with made_in(tmp_path_factory.mktemp("decision")) as made:
        yield made


@contextmanager
def made_in(root: Path, database_url: str = "") -> Iterator[World]:
    """The world of the API's tests with a policy, and PBXs that ask."""
    with world(root, **({"database_url": database_url} if database_url else {})) as made:
        made.parts.tenants.set_recording(BY, made.acme.id, True, agreed=True)
        made.token("pbx1", Role.API, ("decide", f"tenant:{made.acme.id}"), {made.acme.id: ["decide"]})
        made.token("pbx2", Role.API, ("decide",), {made.acme.id: ["decide"], made.globex.id: ["decide"]})
        decide(made, Kind.ROUTE, NUMBER, recording="record")
        decide(made, Kind.EXTENSION, "201", outbound="record", internal="skip", locked=True)
        yield made


def decide(there: World, kind: Kind, subject: str, **values: object) -> None:
    """Save a rule and apply it."""
    change = there.parts.changes.save(BY, there.acme.id, kind, values, subject)
    assert change is not None
    there.parts.changes.apply(BY, there.acme.id, [change.id])


def within(seconds: float, holds: Callable[[], object]) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_one_word_and_nothing_else(there: World) -> None:
    pbx = there.client("pbx1")
    answer = pbx.get(PATH, params=INBOUND)
    assert (answer.status_code, answer.content) == (200, b"record")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    asked = [
        ({"direction": "inbound", "route": "020 7946 0958"}, "record"),
        ({"direction": "outbound", "extension": "201"}, "record"),
        ({"direction": "internal", "extension": ["202", "201"]}, "skip"),
        ({"direction": "inbound", "route": "+442079460000"}, "default"),
        ({"direction": "outbound", "extension": "202", "tenant": "ACME", "caller": CALLER}, "default"),
        ({"direction": "outbound", "extension": "\0 <script>", "tenant": there.acme.id}, "default"),
    ]
    for params, word in asked:
        given = pbx.get(PATH, params=params)  # type: ignore[arg-type]
        assert (given.status_code, given.text) == (200, word), params
    assert pbx.get(f"{PATH}?direction=outbound&extension=%ED%A0%80&call_id=%00%ff").text == "default"


def test_more_than_a_word_for_who_wants_json(there: World) -> None:
    decide(there, Kind.SERVICE_POLICY, "", beep_seconds=15, announcement="custom/told")
    pbx, wanted = there.client("pbx1"), {"accept": "application/json"}
    asked = {"direction": "outbound", "extension": "201", "call_id": "1.2"}
    within(3, lambda: pbx.get(PATH, params=asked, headers=wanted).json()["beep_seconds"] == 15)
    told = pbx.get(PATH, params=asked, headers=wanted).json()
    assert told.pop("as_of") and len(told.pop("decision_id")) == 32
    assert told.pop("policy_version") >= 4
    assert told == {
        "decision": "record",
        "rule": "extension:201:outbound",
        "lock": True,
        "beep_seconds": 15,
        "announcement": "custom/told",
        "valid_seconds": 60,
    }


def test_what_is_applied_decides_the_next_call(there: World) -> None:
    pbx, asked = there.client("pbx1"), {"direction": "inbound", "extension": "300"}
    assert pbx.get(PATH, params=asked).text == "default"
    for word in ("record", "skip", "default"):
        decide(there, Kind.EXTENSION, "300", inbound=word, name=f"says {word}")
        within(3, lambda word=word: pbx.get(PATH, params=asked).text == word)  # type: ignore[misc]


def test_no_error_can_be_taken_for_an_answer(there: World) -> None:
    url = there.url + PATH
    wrong = [
        (httpx.get(url, params=INBOUND), 401),
        (httpx.get(url, params=INBOUND, headers={"cookie": "recpipe_session=x"}), 401),
        (httpx.get(url, params=INBOUND, headers={"authorization": "Digest x"}), 401),
        (there.client("pbx1").get(PATH), 422),
        (there.client("pbx1").get(PATH, params={"direction": "unknown"}), 422),
        (there.client("pbx1").get(PATH, params=INBOUND | {"tenant": "globex"}), 404),
        (there.client("pbx1").get(PATH, params=INBOUND | {"tenant": "nobody"}), 404),
        (there.client("pbx2").get(PATH, params=INBOUND), 422),
        (there.client("service").get(PATH, params=INBOUND | {"tenant": "acme"}), 403),
        (there.client("service").get(PATH, params=INBOUND), 403),
        (there.client("pbx1").post(PATH, params=INBOUND), 405),
    ]
    for answer, status in wrong:
        assert answer.status_code == status, answer.text
        assert answer.text.strip() not in ("record", "skip", "default")
    anothers, nobodys = (
        there.client("pbx1").get(PATH, params=INBOUND | {"tenant": name}) for name in ("globex", "nobody")
    )
    assert anothers.content == nobodys.content
    assert there.client("pbx2").get(PATH, params=INBOUND | {"tenant": "globex"}).text == "default"


def test_a_token_as_a_password_will_do(there: World) -> None:
    answer = httpx.get(there.url + PATH, params=INBOUND, auth=("pbx", there.tokens["pbx1"]))
    assert answer.text == "record"


def test_a_token_that_asks_does_nothing_else(there: World) -> None:
    """Neither for its own tenant nor anywhere: what it may do is to ask, and to say who it is."""
    own = NOBODYS | {"tenant": there.acme.id, "recording": there.recordings["one"].id, "tenant_name": "acme"}
    pbx = there.client("pbx1")
    done = {name for name, case in CASES.items() if case.call(pbx, own).status_code < 300}
    assert done <= {"who_am_i", "decide", "list_tenants", "get_tenant", "check_certificate"}
    assert there.parts.access.token(there.tokens["pbx1"], "").scopes == {Action.DECIDE}


def test_a_token_that_may_not_ask_has_nothing_read_of_all_tenants(
    there: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = there.token("reads", Role.API, ("search",), {there.acme.id: ["search"]})
    desk = there.parts.policy
    refresh, by_requests = desk.refresh, []

    def read() -> None:
        if threading.current_thread().name != "policy":  # which reads once a second whatever is asked
            by_requests.append(threading.current_thread())
        refresh()

    monkeypatch.setattr(desk, "refresh", read)
    with httpx.Client(base_url=there.url, headers={"authorization": f"Bearer {secret}"}) as client:
        assert {client.get(PATH, params=INBOUND).status_code for _ in range(3)} == {403}
    assert by_requests == []


def test_a_revoked_token_is_refused_within_a_second_or_two(there: World) -> None:
    secret = there.token("pbx9", Role.API, ("decide",), {there.acme.id: ["decide"]})
    headers = {"authorization": f"Bearer {secret}"}
    assert httpx.get(there.url + PATH, params=INBOUND, headers=headers).text == "record"  # a new one, at once
    principal = there.parts.access.token(secret, "")
    there.parts.tokens.revoke(BY, principal.credential_id)
    within(4, lambda: httpx.get(there.url + PATH, params=INBOUND, headers=headers).status_code == 401)


def test_what_was_told_is_kept_and_never_who_called(there: World) -> None:
    asked = {"direction": "outbound", "extension": ["201", "777"], "call_id": "leg-7", "linked_id": "call-7"}
    pbx = there.client("pbx1")
    pbx.get(PATH, params=asked | {"caller": CALLER, "pbx": "berlin-3"}).raise_for_status()
    pbx.get(PATH, params={"direction": "inbound", "route": "020 7946 1111"}).raise_for_status()
    pbx.get(PATH, params={"direction": "inbound", "route": '"; DROP'}).raise_for_status()

    def kept() -> bool:
        """The last of them; notes are written in the order of the questions."""
        with there.parts.catalogue.read() as work:
            return any(one.subject == "+442079461111" for one in work.of(there.acme.id).policy.seen(SeenKind.ROUTE))

    within(5, kept)
    with there.parts.catalogue.read() as work:
        [told] = work.of(there.acme.id).decisions.of_calls(["call-7"])
        policy = work.of(there.acme.id).policy
        seen = {one.subject for kind in SeenKind for one in policy.seen(kind)}
        askers = {one.name: one.policy_version for one in policy.askers()}
    assert (told.asker, told.extension, told.verdict.value, told.rule) == (
        "berlin-3",
        "201",
        "record",
        "extension:201:outbound",
    )
    assert {"777", "+442079461111"} <= seen and NUMBER not in seen and "201" not in seen
    assert not any('"' in one for one in seen)
    assert askers["berlin-3"] == told.policy_version >= 2
    with sqlite3.connect(there.parts.settings.data_dir / "recpipe.sqlite3") as database:
        assert CALLER not in "\n".join(database.iterdump())


def test_an_answer_is_one_segment_on_a_kept_connection(there: World) -> None:
    parts = urlsplit(there.url)
    request = (
        f"GET {PATH}?direction=inbound&route=%2B442079460958 HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {there.tokens['pbx1']}\r\n\r\n"
    ).encode()
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        for _ in range(20):
            connection.sendall(request)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\nrecord")


def test_it_is_answered_while_the_database_is_away(
    tmp_path: Path, postgres_url: str, postgres_server: PostgresServer
) -> None:
    database = urlsplit(postgres_url).path.lstrip("/")
    proxy = FlakyProxy(postgres_url)
    through = postgres_url.replace(str(urlsplit(postgres_url).port), proxy.endpoint.rpartition(":")[2])
    ids = [f"away-{number}" for number in range(40)]

    def kept() -> int:
        try:
            with there.parts.catalogue.read() as work:
                return len(work.of(there.acme.id).decisions.of_calls(ids))
        except CatalogueUnavailable:
            return 0

    with made_in(tmp_path, through) as there:
        pbx = there.client("pbx1")

        def slowest(some: Sequence[str]) -> float:
            took = []
            for call_id in some:
                began = time.monotonic()
                answer = pbx.get(PATH, params=INBOUND | {"call_id": call_id})
                took.append(time.monotonic() - began)
                assert (answer.status_code, answer.text) == (200, "record")
                time.sleep(0.05)
            return max(took)

        slowest(["before"])
        within(5, lambda: there.parts.policy.awake)
        # When the database takes nobody in any more
        with postgres_server.away(database):
            # then answers go on, each within the time that the snippets wait,
            assert slowest(ids) < 1.0
            unknown = httpx.get(there.url + PATH, headers={"authorization": "Bearer rp_unknown"}, timeout=30)
            assert unknown.status_code == 503
        # and once it is back, all that was told meanwhile is kept.
        within(30, lambda: kept() == len(ids))
        # When it is silent, it is the same, and nothing waits for it at the end.
        proxy.stall = True
        assert slowest(["silent"] * 30) < 1.0
        began = time.monotonic()
        there.parts.policy.close()
        assert time.monotonic() - began < 10
    proxy.close()
