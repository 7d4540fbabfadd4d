"""What an attacker or a careless client meets: lock-out, limits, headers, logs, proxies."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from recpipe import log
from recpipe.access import identity
from recpipe.access.passwords import MOST_OF_ONE_DOOR
from recpipe.access.principal import operator
from recpipe.access.tokens import fingerprint, new_token
from recpipe.catalogue.repository import new_id
from recpipe.errors import LockedOut
from recpipe.model import Role
from recpipe.web.deps import SESSION_COOKIE, WebContext
from recpipe.web.password_queue import MOST_WAITING
from tests.integration.api import SECRET_NUMBER, World, served, world


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("safety")) as made:
        yield made


def test_ten_guesses_lock_the_address_out_at_every_door(tmp_path: Path) -> None:
    with world(tmp_path) as there:
        made = there.parts.ftp_accounts.create(operator("test"), there.acme.id, "acme-office")
        with httpx.Client(base_url=there.url, trust_env=False) as guesser:
            for _ in range(10):
                refused = guesser.get("/api/v1/me", headers={"authorization": f"Bearer {new_token()}"})
                assert refused.status_code == 401
            locked = guesser.get("/api/v1/me", headers={"authorization": f"Bearer {new_token()}"})
        assert locked.status_code == 429 and locked.json()["type"] == "urn:recpipe:problem:locked-out"
        assert 0 < int(locked.headers["retry-after"]) <= 300
        # Then the right FTP password does not help from there, and does from elsewhere.
        with pytest.raises(LockedOut):
            there.parts.access.ftp("acme-office", made.password or "", "127.0.0.1")
        assert there.parts.access.ftp("acme-office", made.password or "", "192.0.2.9").name == "ftp:acme-office"


def test_a_flood_of_sign_ins_stops_nothing_else(tmp_path: Path) -> None:
    too_many = 9
    people_at_once = MOST_OF_ONE_DOOR + MOST_WAITING + too_many
    with world(tmp_path) as there, ExitStack() as stack:
        made = there.parts.ftp_accounts.create(operator("test"), there.acme.id, "acme-office")
        for _ in range(MOST_OF_ONE_DOOR):  # Given: no password is computed for people now
            stack.enter_context(there.parts.access._passwords.turn())
        form = {"username": "nobody", "password": "three quiet lamps"}
        refused = threading.Semaphore(0)

        def sign_in(_: int) -> httpx.Response:
            answer = httpx.post(f"{there.url}/sign-in", data=form, trust_env=False, timeout=60)
            refused.release()
            return answer

        with ThreadPoolExecutor(people_at_once) as people:
            answers = [people.submit(sign_in, n) for n in range(people_at_once)]
            for _ in range(too_many):  # these know at once
                assert refused.acquire(timeout=30)
            assert there.client().get("/api/v1/recordings").status_code == 200
            assert there.parts.access.ftp("acme-office", made.password or "", "192.0.2.9").name == "ftp:acme-office"
            stack.close()
            given = [answer.result() for answer in answers]
    busy = [answer for answer in given if answer.status_code == 503]
    assert len(busy) == too_many
    assert all(answer.headers["retry-after"] == "5" and "try again" in answer.text for answer in busy)
    assert {answer.status_code for answer in given} <= {503, 403, 429}


def test_a_user_who_is_disabled_is_out_within_a_second(tmp_path: Path) -> None:
    with world(tmp_path) as there:
        client = there.client("client")
        assert client.get("/api/v1/me").status_code == 200
        users = {user["username"]: user["id"] for user in there.client().get("/api/v1/users").json()["items"]}
        there.client().patch(f"/api/v1/users/{users['client']}", json={"status": "inactive"}).raise_for_status()
        time.sleep(1)
        assert client.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("DELETE", "/api/v1/recordings", 405, "method-not-allowed"),
        ("GET", "/api/v1/recordings?limit=0", 422, "invalid"),
        ("GET", "/api/v1/recordings?cursor=damaged", 422, "query-invalid"),
        ("GET", "/api/v1/recordings?from=tomorrow", 422, "query-invalid"),
        ("GET", "/api/v1/recordings?from=2025-01-02&to=2025-01-01", 422, "query-invalid"),
        ("GET", "/api/v1/recordings?timezone=Mars", 422, "query-invalid"),
        ("GET", "/api/v1/recordings?number=1&number_match=containing", 422, "query-invalid"),
        ("GET", "/api/v1/recordings?direction=up", 422, "invalid"),
        ("GET", "/api/v1/recordings?text=%00", 422, "invalid"),
        ("GET", "/api/v1/audit?from=0001-01-01T00:00:00%2B23:00", 422, "invalid"),
        ("GET", "/api/v1/audit?to=9999-12-31T23:59:59-23:00", 422, "invalid"),
        ("POST", "/api/v1/tenants", 422, "invalid"),
    ],
)
def test_every_error_is_a_problem_document(there: World, method: str, path: str, status: int, kind: str) -> None:
    answer = there.client().request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:recpipe:problem:{kind}" and body["status"] == status and body["title"]


def test_a_token_cannot_expire_when_no_calendar_has_a_day(there: World) -> None:
    user = there.client().get("/api/v1/users").json()["items"][0]["id"]
    wanted = {"label": "x", "scopes": ["search"], "expires_at": "9999-12-31T23:59:59-23:00"}
    answer = there.client().post(f"/api/v1/users/{user}/tokens", json=wanted)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["where"] == "body.expires_at"


def test_a_refused_input_is_not_repeated_to_anybody(there: World) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"
    answer = there.client().post("/api/v1/certificates/check", json={"pasted": key})
    assert answer.status_code == 422 and answer.json()["reason"] == "private-key"
    wrong = there.client().post("/api/v1/certificates/check", json={"pasted": {"x": key}})
    assert "MIIEvQ" not in answer.text + wrong.text


def test_a_body_that_is_too_large_is_refused_with_and_without_a_length(there: World) -> None:
    large = b'{"pasted": "' + b"x" * 2_000_000 + b'"}'
    client = there.client()
    for content in (large, iter([large])):
        answer = client.post(
            "/api/v1/certificates/check", content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 413 and answer.json()["type"] == "urn:recpipe:problem:too-large"


def test_answers_carry_the_headers_that_keep_browsers_from_mischief(there: World) -> None:
    for path in (
        "/api/v1/recordings",
        f"/api/v1/recordings/{there.recordings['one'].id}/media",
        "/healthz",
        "/api/v1/x",
    ):
        headers = there.client().get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert (
            "default-src 'none'" in headers["content-security-policy"]
            and "sandbox" in headers["content-security-policy"]
        )
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert not any(name.startswith("access-control-") for name in headers)


def session(there: World) -> str:
    by, accounts = operator("test"), there.parts.accounts
    user = accounts.create(by, f"person-{new_id()}", Role.CLIENT, grants={there.acme.id: []}).user
    principal = identity.of_user(user, accounts.get(by, user.id).grants, "")
    return there.parts.access.sessions.start(principal, "127.0.0.1", "test")


@pytest.mark.parametrize(("method", "site"), [("GET", "same-origin"), ("POST", "cross-site")])
def test_a_page_about_an_error_that_waits_for_the_database_holds_up_nobody_else(
    there: World, method: str, site: str
) -> None:
    # Given: a session last seen so long ago that seeing it again is written down, and somebody else who writes
    secret = session(there)
    with there.parts.catalogue.begin() as work:
        seen = work.sessions.by_hash(fingerprint(secret))
        work.sessions.touch(seen.id, seen.last_seen_at - timedelta(minutes=5), seen.address)
    headers = {"cookie": f"{SESSION_COOKIE}={secret}", "sec-fetch-site": site}
    with ThreadPoolExecutor(1) as pool:
        with there.parts.catalogue.begin():
            page = pool.submit(httpx.request, method, f"{there.url}/no-such-page", headers=headers, trust_env=False)
            time.sleep(0.3)
            assert httpx.get(f"{there.url}/healthz", timeout=4, trust_env=False).status_code == 200
            assert not page.done()
        assert page.result(30).status_code in (403, 404)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "SELF"}, 403),
        ({"sec-fetch-site": "same-origin"}, 422),
        ({"sec-fetch-site": "none"}, 422),
        ({"origin": "SELF"}, 422),
        ({}, 422),
    ],
)
def test_a_session_changes_nothing_on_behalf_of_another_site(
    there: World, headers: dict[str, str], status: int
) -> None:
    cookies = {SESSION_COOKIE: session(there)}
    with httpx.Client(base_url=there.url, cookies=cookies, trust_env=False) as browser:
        sent = {name: value.replace("SELF", there.url) for name, value in headers.items()}
        assert browser.get("/api/v1/me", headers=sent).status_code == 200
        answer = browser.post("/api/v1/certificates/check", json={"pasted": "x"}, headers=sent)
    assert answer.status_code == status, answer.text


def test_the_log_names_routes_and_never_numbers_tokens_or_names(
    there: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    log.set_up("json", "debug")
    for noisy in ("httpx", "httpcore"):  # the client of this test, not ours
        monkeypatch.setattr(logging.getLogger(noisy), "disabled", True)
    client = there.client("client")
    client.get("/api/v1/recordings", params={"number": SECRET_NUMBER, "text": "Erin"})
    client.get(f"/api/v1/recordings/{there.recordings['one'].id}/media", params={"download": "1"})
    client.get("/api/v1/tenants/Erin-Doyle")
    time.sleep(0.2)  # the line is written after the answer
    said = capsys.readouterr().err
    for secret in (SECRET_NUMBER, "Erin", there.tokens["client"]):
        assert secret not in said
    routes = [line["route"] for line in map(json.loads, said.splitlines()) if line["event"] == "request"]
    assert routes == ["/api/v1/recordings", "/api/v1/recordings/{recording_id}/media", "/api/v1/tenants/{tenant}"]


def test_the_word_of_a_proxy_counts_only_where_it_is_trusted(there: World) -> None:
    def address(url: str) -> str:
        name = f"u{id(url)}"
        headers = {"authorization": f"Bearer {there.tokens['administrator']}", "x-forwarded-for": "203.0.113.9"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
            client.post("/api/v1/tenants", json={"name": name}).raise_for_status()
            [event] = client.get("/api/v1/audit", params={"tenant": name, "action": "tenant.create"}).json()["items"]
        return str(event["address"])

    def trusting(*proxies: str) -> WebContext:
        return replace(
            there.context,
            parts=replace(there.parts, settings=there.parts.settings.model_copy(update={"trusted_proxies": proxies})),
        )

    with served(trusting()) as plain:
        assert address(plain) == "127.0.0.1"
    with served(trusting("127.0.0.1")) as behind:
        assert address(behind) == "203.0.113.9"
    with served(trusting("192.0.2.1")) as elsewhere:
        assert address(elsewhere) == "127.0.0.1"


def test_health_names_the_parts_and_tells_nothing_else(tmp_path: Path) -> None:
    with world(tmp_path) as there:
        nobody = there.client(None)
        assert nobody.get("/healthz").json() == {"status": "alive"}
        ready = nobody.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["checks"] == [{"name": "database", "ok": True}, {"name": "store", "ok": True}]


def test_a_store_that_is_gone_makes_it_not_ready(tmp_path: Path) -> None:
    with world(tmp_path) as there:
        (tmp_path / "data/objects").rename(tmp_path / "elsewhere")
        try:
            answer = there.client(None).get("/readyz")
        finally:
            (tmp_path / "elsewhere").rename(tmp_path / "data/objects")
        assert answer.status_code == 503
        assert {"name": "store", "ok": False} in answer.json()["checks"]
        assert str(tmp_path) not in answer.text


def test_metrics_are_for_this_machine_or_an_administrator(there: World) -> None:
    assert b"recpipe_http_requests_total" in there.client(None).get("/metrics").content
    passed_on = {"x-forwarded-for": "203.0.113.9"}
    assert there.client(None).get("/metrics", headers=passed_on).status_code == 401
    assert there.client("client").get("/metrics", headers=passed_on).status_code == 403
    assert there.client("administrator").get("/metrics", headers=passed_on).status_code == 200
