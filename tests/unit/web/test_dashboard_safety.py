"""Sessions, forged requests, letters and pending changes, over real sockets and a real mail server."""

from __future__ import annotations

import html
import re
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path

import httpx
import pytest
from aiosmtpd.controller import Controller
from fastapi.routing import APIRoute

from recpipe import wiring
from recpipe.access.identity import of_user
from recpipe.access.login import Door
from recpipe.access.principal import operator
from recpipe.catalogue import engine, search
from recpipe.errors import Conflict, CredentialsRejected
from recpipe.model import AuditEvent, AuditQuery, Outcome, Role, Tenant, TenantCertificate, UserStatus
from recpipe.settings import Settings
from recpipe.tenants.changes import Kind
from recpipe.web.dashboard import (
    account,
    addons,
    audit,
    changes,
    ftp,
    recordings,
    routing,
    services,
    signing_in,
    system,
    users,
)
from recpipe.web.dashboard.pages import Portal
from recpipe.web.deps import SESSION_COOKIE, WebContext
from tests.contracts.catalogue_samples import a_recording, keep
from tests.integration.api import served
from tests.services.certificates import KeyPair, openssl
from tests.services.mail import Mailbox

PASSWORD = "correct horse battery"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    box, port = Mailbox(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    box.port = port  # type: ignore[attr-defined]
    yield box
    controller.stop()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox) -> Iterator[wiring.Parts]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("safety"),
        http_url="https://portal.example",
        smtp_url=f"smtp://127.0.0.1:{mailbox.port}",  # type: ignore[attr-defined]
        mail_from="portal@example.com",
    )
    with wiring.open_parts(settings) as opened:
        opened.tenants.create(operator("test"), "acme", title="Acme")
        yield opened


@pytest.fixture(scope="module")
def url(parts: wiring.Parts) -> Iterator[str]:
    with served(WebContext.of(parts)) as place:
        yield place


@pytest.fixture
def acme(parts: wiring.Parts) -> Tenant:
    with parts.catalogue.read() as work:
        return work.tenants.named("acme")


@pytest.fixture
def bea(parts: wiring.Parts, acme: Tenant, request: pytest.FixtureRequest) -> str:
    """A client user of acme, a new one for each test; the user name."""
    name = f"bea-{abs(hash(request.node.name)) % 10**8}@example.com"
    parts.accounts.create(operator("test"), name, Role.CLIENT, password=PASSWORD, grants={acme.id: []})
    return name


def client(url: str) -> httpx.Client:
    """A browser's manners: cookies kept (over http too), requests from our own pages."""
    return httpx.Client(base_url=url, trust_env=False, timeout=30, headers={"sec-fetch-site": "same-origin"})


def sign_in(session: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    answer = session.post("/sign-in", data={"username": name, "password": password})
    for cookie in answer.headers.get_list("set-cookie"):
        # The cookie is for https alone; over this test's http it is handed on by hand.
        named, _, value = cookie.partition(";")[0].partition("=")
        session.headers["cookie"] = f"{named}={value}"
    return answer


def test_the_cookie_of_a_session_is_for_the_server_and_https_alone(url: str, bea: str) -> None:
    with client(url) as session:
        answer = sign_in(session, bea)
    cookie = next(c for c in answer.headers.get_list("set-cookie") if SESSION_COOKIE in c).lower()
    assert answer.status_code == 303 and cookie.startswith(f"__host-{SESSION_COOKIE}=")
    assert "httponly" in cookie and "secure" in cookie and "samesite=lax" in cookie
    assert "path=/;" in f"{cookie};" and "domain" not in cookie


def test_a_browser_that_signed_in_before_is_not_kept_out_by_what_others_try(
    url: str, parts: wiring.Parts, bea: str
) -> None:
    with client(url) as session:
        answer = sign_in(session, bea)
    given = next(c for c in answer.headers.get_list("set-cookie") if "recpipe_device=" in c)
    assert given.startswith("__Host-recpipe_device=")
    attributes = given.lower()
    assert all(word in attributes for word in ("httponly", "secure", "samesite=strict", "max-age=7776000", "path=/"))
    # Given: somebody behind the same address who guesses
    for _ in range(6):
        with pytest.raises(CredentialsRejected):
            parts.access.password(bea, "wrong wrong wrong", "127.0.0.1", Door.HTTP)

    form = {"username": bea, "password": PASSWORD}
    with client(url) as stranger:
        refused = stranger.post("/sign-in", data=form)
    with client(url) as known:
        taken = known.post("/sign-in", data=form, headers={"cookie": given.partition(";")[0]})
    assert (refused.status_code, int(refused.headers["retry-after"])) == (429, 1)
    assert taken.status_code == 303
    again = [c for c in taken.headers.get_list("set-cookie") if "recpipe_device=" in c]
    assert [c.partition(";")[0] for c in again] == [given.partition(";")[0]]


def test_each_sign_in_has_a_session_of_its_own_and_ends_the_one_before(url: str, bea: str) -> None:
    with client(url) as session:
        sign_in(session, bea)
        planted = session.headers["cookie"]
        sign_in(session, bea)
        assert session.headers["cookie"] != planted
        assert session.get("/account").status_code == 200
        session.headers["cookie"] = planted
        assert session.get("/account").status_code == 303


def test_the_answer_to_a_form_can_be_reloaded_after_signing_in_again(url: str, bea: str) -> None:
    # Given: every address that a form is sent to, and that is no page; as the browser of somebody idle asks for it
    paths = {
        re.sub(r"{[^}]*}", "x", route.path)
        for part in (account, addons, changes, ftp, recordings, routing, services, signing_in, system, users)
        for route in part.router.routes
        if isinstance(route, APIRoute) and "POST" in route.methods
    }
    with client(url) as idle, client(url) as again:
        sign_in(again, bea)
        for path in sorted(paths):
            answer = idle.get(path)
            hops = 0
            while answer.is_redirect and hops < 3:
                hops, answer = hops + 1, idle.get(answer.headers["location"])
            assert answer.status_code in (200, 404), f"{path} leads to {answer.url}: {answer.status_code}"
        assert {path: again.get(path).headers.get("location") for path in ("/account/password", "/changes/apply")} == {
            "/account/password": "/account",
            "/changes/apply": "/changes",
        }
        # And: programs that put or delete what is a page hear that it is none of its methods
        assert again.delete("/account/password").status_code == 405
    assert len(paths) > 40


def test_a_new_password_rotates_the_session(url: str, bea: str) -> None:
    with client(url) as session, client(url) as other:
        sign_in(session, bea)
        sign_in(other, bea)
        before = session.headers["cookie"]
        form = {"old": PASSWORD, "password": "another good horse", "again": "another good horse"}
        answer = session.post("/account/password", data=form)
        assert answer.status_code == 303 and SESSION_COOKIE in answer.headers["set-cookie"]
        assert answer.headers["set-cookie"].partition(";")[0] != before
        assert session.get("/account").status_code == 303, "the old secret is worth nothing"
        assert other.get("/account").status_code == 303, "and the other session has ended"


def test_a_certificate_comes_as_a_file_as_well(url: str, bea: str, key_pair: KeyPair, tmp_path: Path) -> None:
    bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", key_pair.certificate_path, "-outform", "DER")
    with client(url) as session:
        sign_in(session, bea)

        def told(content: bytes, pasted: str = "", path: str = "/addons/check") -> httpx.Response:
            form = {"service": "acme", "pasted": pasted}
            return session.post(path, data=form, files={"file": ("my.cer", content)})

        for content in (key_pair.der, key_pair.pem, bundle):
            assert "This can be used." in told(content).text
        assert "This can be used." in told(b"", key_pair.pem.decode()).text, "a file field that was left empty"
        assert "larger than the 131,072 bytes" in told(key_pair.pem + b"\n" * 131_072).text
        assert "Give one of the two." in told(key_pair.der, key_pair.pem.decode()).text
        refused = told(key_pair.key_pem, path="/addons/certificates")
        assert refused.status_code == 422 and "exposed" in refused.text and "BEGIN PRIVATE" not in refused.text
        kept = told(key_pair.der, path="/addons/certificates")
        assert kept.status_code == 303 and "/addons/certificates/" in kept.headers["location"]


@pytest.mark.parametrize("headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}])
def test_another_site_cannot_make_a_browser_change_anything(url: str, bea: str, headers: dict[str, str]) -> None:
    with client(url) as session:
        sign_in(session, bea)
        answer = session.post("/account/details", data={"display_name": "Forged"}, headers=headers)
        assert answer.status_code == 403
        assert "Forged" not in session.get("/account").text


def test_every_page_has_the_policy_and_is_kept_by_nobody(url: str, bea: str) -> None:
    with client(url) as session:
        sign_in(session, bea)
        for path in ("/sign-in", "/recordings", "/services", "/account", "/nothing"):
            answer = session.get(path)
            assert "script-src 'self'" in answer.headers["content-security-policy"] or answer.status_code == 303
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_wrong_password_unknown_name_and_a_pending_user_look_the_same(url: str, parts: wiring.Parts, bea: str) -> None:
    parts.accounts.create(operator("test"), f"pending-{bea}", Role.CLIENT, password=PASSWORD, status=UserStatus.PENDING)
    with client(url) as session:
        texts = {
            re.sub(r'value="[^"]*"', "", sign_in(session, name, password).text)
            for name, password in ((bea, "wrong wrong wrong"), ("nobody-here", PASSWORD), (f"pending-{bea}", PASSWORD))
        }
    assert len(texts) == 1


def letters_to(mailbox: Mailbox, *names: str) -> list[tuple[list[str], Message]]:
    """Those of other tests still come in meanwhile."""
    return [(to, letter) for to, letter in mailbox.letters if set(to) & set(names)]


def test_recovery_answers_all_alike_and_its_link_works_once(
    url: str, parts: wiring.Parts, mailbox: Mailbox, bea: str
) -> None:
    with client(url) as session:
        answers = [session.post("/recover", data={"name": name}) for name in (bea, "nobody-here")]
        assert {(a.status_code, a.headers["location"]) for a in answers} == {(303, "/sign-in?done=recovery-sent")}
        deadline = time.monotonic() + 10  # letters go out after the answer, which is the same for all
        while not letters_to(mailbox, bea) and time.monotonic() < deadline:
            time.sleep(0.02)
        ((to, letter),) = letters_to(mailbox, bea, "nobody-here")
        assert to == [bea]
        text = letter.get_payload(decode=True)
        assert isinstance(text, bytes)
        # The link leads to the configured place, whatever Host the request had, and its secret is behind the #
        found = re.search(r"https://portal\.example/recover/link#(\S+)", text.decode())
        assert found is not None
        form = {"code": found[1], "password": "entirely new words", "again": "entirely new words"}
        assert session.post("/recover/link", data=form).headers["location"] == "/sign-in?done=password-reset"
        assert session.post("/recover/link", data=form).status_code == 403
        assert sign_in(session, bea, "entirely new words").status_code == 303


def test_an_invited_person_chooses_a_password(url: str, parts: wiring.Parts, mailbox: Mailbox, bea: str) -> None:
    with client(url) as session:
        sign_in(session, bea)
        with parts.catalogue.read() as work:
            acme = work.tenants.named("acme").id
        form = {"username": f"new-{bea}", "role": "service", "tenant": acme, f"action-{acme}": "search"}
        form["current_password"] = PASSWORD
        shown = session.post("/users/new", data=form)
        found = re.search(r"https://portal\.example/welcome#(\S+?)<", shown.text)
        assert found is not None and len(letters_to(mailbox, f"new-{bea}")) == 1
        form = {"code": found[1], "password": PASSWORD, "again": PASSWORD}
        assert session.post("/welcome", data=form).headers["location"] == "/sign-in?done=welcome"
    with parts.catalogue.read() as work:
        made = work.users.by_username(f"new-{bea}")
        assert made.status is UserStatus.ACTIVE and made.role is Role.SERVICE


def test_a_client_cannot_make_somebody_mightier(url: str, bea: str) -> None:
    with client(url) as session:
        sign_in(session, bea)
        answer = session.post("/users/new", data={"username": f"boss-{bea}", "role": "administrator"})
        assert answer.status_code in (403, 404)


def test_a_pasted_private_key_is_refused_and_comes_back_in_no_answer(
    url: str, parts: wiring.Parts, bea: str, tmp_path: Path
) -> None:
    from tests.acceptance.portal import openssl

    openssl("genrsa", "-out", tmp_path / "key.pem", "2048")
    key = (tmp_path / "key.pem").read_text()

    def held() -> list[TenantCertificate]:
        with parts.catalogue.read() as work:
            return work.of(work.tenants.named("acme").id).certificates.list()

    before = held()
    with client(url) as session:
        sign_in(session, bea)
        for path in ("/addons/check", "/addons/certificates"):
            answer = session.post(path, data={"service": "acme", "pasted": key})
            assert "private key" in answer.text and key.splitlines()[1] not in answer.text
        assert "Treat this private key as exposed" in session.post("/addons/check", data={"pasted": key}).text
    assert held() == before


def test_pending_changes_are_applied_together_or_not_at_all(parts: wiring.Parts) -> None:
    by = operator("test")
    tenant = parts.tenants.create(by, "together")
    pending = parts.changes
    with pytest.raises(Conflict, match="disclaimer"):
        pending.save(by, tenant.id, Kind.RECORDING, {"recording": True})
    with pytest.raises(Conflict, match="cannot be switched on"):
        pending.save(by, tenant.id, Kind.ENCRYPTION, {"encryption": True})
    pending.agree(by, tenant.id)
    change = pending.save(by, tenant.id, Kind.RECORDING, {"recording": True})
    assert change is not None
    # One that is not pending takes the other down with it
    with pytest.raises(Conflict):
        pending.apply(by, tenant.id, [change.id, "0" * 32])
    with parts.catalogue.read() as work:
        assert work.tenants.get(tenant.id).recording_enabled is False
    assert pending.apply(by, tenant.id, [change.id]) == 1
    with parts.catalogue.read() as work:
        assert work.tenants.get(tenant.id).recording_enabled is True
    assert [c.applied_by for c in pending.history(by, tenant.id).items] == ["cli:test"]


def test_a_setting_that_was_changed_elsewhere_is_not_overrun(parts: wiring.Parts) -> None:
    by = operator("test")
    tenant = parts.tenants.create(by, "elsewhere")
    pending = parts.changes
    pending.agree(by, tenant.id)
    change = pending.save(by, tenant.id, Kind.RECORDING, {"recording": True})
    assert change is not None
    parts.tenants.set_recording(by, tenant.id, True)
    assert pending.apply(by, tenant.id, [change.id]) == 1, "it is what was wished already"
    off = pending.save(by, tenant.id, Kind.RECORDING, {"recording": False})
    assert off is not None
    # What leads back to the old is no change at all
    assert pending.save(by, tenant.id, Kind.RECORDING, {"recording": True}) is None
    assert pending.pending(by, tenant.id) == []


def test_the_audit_log_shows_times_of_the_zone_in_which_its_dates_are_meant(
    url: str, parts: wiring.Parts, acme: Tenant, bea: str
) -> None:
    auckland = parts.tenants.create(operator("test"), "kiwi", timezone="Pacific/Auckland")
    carl = f"carl-{bea}"
    parts.accounts.create(operator("test"), carl, Role.CLIENT, password=PASSWORD, grants={auckland.id: [], acme.id: []})
    at = datetime(2025, 3, 26, 20, 30, tzinfo=UTC)  # in Auckland half past nine of the next morning
    with parts.catalogue.begin() as work:
        work.audit.add(AuditEvent(at, "eve", "play", Outcome.OK, auckland.id, "192.0.2.7"))
    with client(url) as browser:
        sign_in(browser, carl)
        theirs = browser.get("/audit", params={"service": "kiwi", "from": "2025-03-27", "to": "2025-03-27"}).text
        every = browser.get("/audit", params={"from": "2025-03-26", "to": "2025-03-26"}).text
    assert "When (Pacific/Auckland)" in theirs and "27 Mar 2025, 09:30:00" in theirs
    assert "When (UTC)" in every and "26 Mar 2025, 20:30:00" in every


def test_an_export_of_the_audit_log_ends_with_the_session_that_asked_for_it(
    parts: wiring.Parts, acme: Tenant, bea: str
) -> None:
    user = parts.accounts.named(operator("test"), bea).user
    principal = parts.access.sessions.open(parts.access.sessions.start(of_user(user, [], ""), "", ""), "")
    with parts.catalogue.begin() as work:
        work.audit.add(*(AuditEvent(user.created_at, "eve", "play", Outcome.OK, acme.id, "") for _ in range(1001)))
    pieces = audit._csv(Portal.of(WebContext.of(parts)), principal, None, AuditQuery(actor="eve"))
    assert next(pieces)

    parts.access.sessions.end(principal)

    with pytest.raises(CredentialsRejected):
        next(pieces)


def test_a_search_that_was_not_ended_says_how_far_it_looked_and_goes_on(
    url: str, parts: wiring.Parts, acme: Tenant, bea: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FIRST_STEP", 1)
    monkeypatch.setattr(search, "LOOK_SECONDS", -1)
    keep(parts.catalogue, *(a_recording(acme, minutes=minute, sealed=minute == 0) for minute in range(3)))
    with client(url) as session:
        sign_in(session, bea)
        found = session.get("/recordings", params={"sealed": "yes"}).text
        assert "No call matches so far" in found and "Looked back to <time" in found
        further = re.search(r'rel="next" href="([^"]+)"', found)
        assert further is not None
        pages = 1
        while "<tr data-recording" not in found:
            found = session.get(html.unescape(further[1])).text
            further = re.search(r'rel="next" href="([^"]+)"', found) or further
            pages += 1
        assert pages == 3
        monkeypatch.setattr(parts.catalogue, "_search_seconds", 0)
        monkeypatch.setattr(engine, "_STEPS", 1)
        assert "Narrow it by date" in session.get("/recordings").text
