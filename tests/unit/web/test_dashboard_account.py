"""What somebody with a copied session cannot do over the dashboard and the API, and what its owner sees of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.mail import Mailer
from recpipe.model import Role, User, UserStatus
from recpipe.settings import Settings
from recpipe.web.deps import WebContext
from tests.integration.api import served
from tests.services.mail import Mailbox, mail_server

PASSWORD, NEXT = "correct horse battery", "another good horse"


@dataclass
class Site:
    """What runs, what was mailed, and people to steal sessions of."""

    parts: wiring.Parts
    url: str
    mailbox: Mailbox
    people: int = 0

    def person(self, role: Role = Role.CLIENT) -> User:
        """Somebody of acme who can sign in."""
        self.people += 1
        with self.parts.catalogue.read() as work:
            grants = {} if role is Role.ADMINISTRATOR else {work.tenants.named("acme").id: ["search", "users", "ftp"]}
        name = f"bea{self.people}@example.com"
        return self.parts.accounts.create(operator("test"), name, role, password=PASSWORD, grants=grants).user

    @contextmanager
    def session(self, user: User, agent: str = "Firefox", password: str = PASSWORD) -> Iterator[httpx.Client]:
        """A browser of this person that is signed in."""
        headers = {"sec-fetch-site": "same-origin", "user-agent": agent, "origin": self.url}
        with httpx.Client(base_url=self.url, trust_env=False, timeout=30, headers=headers) as browser:
            answer = browser.post("/sign-in", data={"username": user.username, "password": password})
            assert answer.status_code == 303, answer.text
            yield browser

    def now(self, user: User) -> User:
        with self.parts.catalogue.read() as work:
            return work.users.get(user.id)

    def tokens(self, user: User) -> list[str]:
        """Labels of those that open something."""
        found = self.parts.tokens.list(operator("test"), user.id)
        return [token.label for token in found if token.revoked_at is None]

    def letters(self, to: str, count: int) -> list[str]:
        """What this address was sent, once it is so much."""
        deadline = time.monotonic() + 10
        while True:
            found = [letter for address, letter in list(self.mailbox.letters) if address == [to]]
            if len(found) >= count or time.monotonic() > deadline:
                assert len(found) == count, [letter["Subject"] for letter in found]
                return [str(letter["Subject"]) + "\n" + letter.get_payload(decode=True).decode() for letter in found]
            threading.Event().wait(0.02)


def site(root: object, mailer: Mailer | None, mailbox: Mailbox) -> Iterator[Site]:
    mail = {} if mailer is None else {"smtp_url": mailer.url, "mail_from": mailer.sender}
    with wiring.open_parts(Settings(data_dir=root, **mail)) as parts:  # type: ignore[arg-type]
        parts.tenants.create(operator("test"), "acme", title="Acme")
        with served(WebContext.of(parts)) as url:
            yield Site(parts, url, mailbox)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A portal that sends letters."""
    mailbox = Mailbox()
    with mail_server(mailbox) as mailer:
        yield from site(tmp_path_factory.mktemp("account"), mailer, mailbox)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A portal without mail."""
    yield from site(tmp_path_factory.mktemp("silent"), None, Mailbox())


# --- a copied session -------------------------------------------------------------------------------------

_API = "/api/v1/users/{id}"
ATTACKS: dict[str, tuple[str, str, dict[str, object]]] = {
    "address, page": ("POST", "/account/details", {"email": "thief@elsewhere.example", "display_name": "Bea"}),
    "token, page": ("POST", "/account/tokens", {"label": "kept", "scope": "search"}),
    "token, users page": ("POST", "/users/{id}/tokens", {"label": "kept", "scope": "search"}),
    "password, page": ("POST", "/account/password", {"old": "", "password": NEXT, "again": NEXT}),
    "other's address, page": ("POST", "/users/{other}", {"role": "service", "email": "thief@elsewhere.example"}),
    "other's password, page": ("POST", "/users/{other}/password", {}),
    "other's second factor, page": ("POST", "/users/{other}/second-factor/off", {}),
    "other's token, page": ("POST", "/users/{other}/tokens", {"label": "kept", "scope": "search"}),
    "invitation, page": ("POST", "/users/new", {"username": "spy@example.com", "role": "service", "tenant": "{acme}"}),
    "FTP account, page": ("POST", "/ftp", {"service": "acme", "username": "spy"}),
    "address": ("PATCH", _API, {"email": "thief@elsewhere.example"}),
    "token": ("POST", _API + "/tokens", {"label": "kept", "scopes": ["search"]}),
    "password": ("POST", _API + "/password", {"password": NEXT}),
    "other's address": ("PATCH", "/api/v1/users/{other}", {"email": "thief@elsewhere.example"}),
    "other's password": ("POST", "/api/v1/users/{other}/password", {}),
    "other's token": ("POST", "/api/v1/users/{other}/tokens", {"label": "kept", "scopes": ["search"]}),
    "new user": (
        "POST",
        "/api/v1/users",
        {"username": "spy", "role": "service", "password": NEXT, "grants": [{"tenant": "acme", "actions": ["search"]}]},
    ),
    "FTP account": ("POST", "/api/v1/tenants/acme/ftp-accounts", {"username": "spy", "password": NEXT}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_copied_session_opens_no_way_in(here: Site, attack: str) -> None:
    method, path, fields = ATTACKS[attack]
    bea, other = here.person(), here.person()
    with here.parts.catalogue.read() as work:
        acme = work.tenants.named("acme").id
    path = path.format(id=bea.id, other=other.id)
    if "tenant" in fields:
        fields = fields | {"tenant": acme, f"action-{acme}": "search"}
    if path == f"/users/{other.id}":
        fields = fields | {"tenant": acme, f"action-{acme}": ["search", "users", "ftp"]}
    with here.session(bea) as stolen:
        for sent in ({}, {"current_password": "a guess of a thief"}, {"current_password": "123456"}):
            if path.startswith("/api/"):
                answer = stolen.request(method, path, json=fields | sent)
                problem = answer.json()
                assert problem["type"] == "urn:recpipe:problem:reauthentication-required"
                assert problem["reason"] == ("wrong" if sent else "missing")
                assert problem["send"] == ["current_password", "code"]
                assert "www-authenticate" not in answer.headers
            else:
                answer = stolen.request(method, path, data=fields | sent)
                assert "Nothing was changed" in answer.text and 'id="problem"' in answer.text
            assert answer.status_code == 403, answer.text

    for user in (bea, other):
        assert here.now(user).email == user.email and here.now(user).email_pending == ""
        assert here.now(user).password_hash == user.password_hash
        assert here.tokens(user) == []
    with here.parts.catalogue.read() as work:
        assert not [user for user in work.users.every() if user.username.startswith("spy")]
        assert not work.of(acme).ftp_accounts.list()
    assert not here.letters(bea.email, 0) and not here.letters(other.email, 0)


def test_guessing_in_a_copied_session_ends_after_ten(here: Site) -> None:
    bea = here.person()
    wanted = {"label": "kept", "scopes": ["search"]}
    with here.session(bea) as stolen, here.session(bea) as own:
        path = f"/api/v1/users/{bea.id}/tokens"
        codes = [stolen.post(path, json=wanted | {"current_password": f"guess {n}"}).status_code for n in range(10)]
        assert codes == [403] * 10
        locked = stolen.post(path, json=wanted | {"current_password": PASSWORD})
        assert locked.status_code == 429 and int(locked.headers["retry-after"]) > 0
        assert own.post(path, json=wanted | {"current_password": PASSWORD}).status_code == 201


def test_a_token_does_none_of_it_to_its_own_person_whatever_password_it_sends(here: Site) -> None:
    bea = here.person()
    wanted = {"label": "kept", "scopes": ["search", "users"], "current_password": PASSWORD}
    with here.session(bea) as session:
        secret = session.post(f"/api/v1/users/{bea.id}/tokens", json=wanted).json()["secret"]
    headers = {"authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=here.url, trust_env=False, headers=headers) as program:
        assert program.get("/api/v1/me").json()["user_id"] == bea.id
        for method, path, fields in (
            ("POST", "/tokens", {"label": "next", "scopes": ["search"]}),
            ("POST", "/password", {"password": NEXT}),
            ("PATCH", "", {"email": "thief@elsewhere.example"}),
        ):
            sent = fields | {"current_password": PASSWORD}
            answer = program.request(method, f"/api/v1/users/{bea.id}{path}", json=sent)
            assert answer.status_code in (403, 404, 409), answer.text
    assert here.tokens(bea) == ["kept"] and here.now(bea).password_hash == bea.password_hash


# --- what its owner sees and ends -------------------------------------------------------------------------


def test_people_see_and_end_their_own_tokens_and_sessions(here: Site) -> None:
    bea, other = here.person(), here.person()
    with here.session(bea) as own, here.session(bea, "Netscape 4") as elsewhere:
        form = {"label": "nightly export", "scope": ["search", "play"], "current_password": PASSWORD}
        secret = re.search(r'id="secret">(rp_\w+)<', own.post("/account/tokens", data=form).text)
        assert secret is not None
        with httpx.Client(base_url=here.url, trust_env=False) as program:
            program.headers["authorization"] = f"Bearer {secret[1]}"
            assert program.get("/api/v1/me").status_code == 200
            page = own.get("/account").text
            row = re.search(r"<tr>(?:(?!<tr>).)*nightly export.*?</tr>", page, re.DOTALL)
            assert row is not None
            assert "play, search" in row[0] and row[0].count("127.0.0.1") == 2 and "just now" in row[0]
            assert secret[1] not in page and secret[1][:8] in page and "Netscape 4" in page

            # Nobody else's token is ended over this page
            foreign = here.parts.tokens.create(operator("test"), other.id, "foreign", ["search"]).token
            assert own.post(f"/account/tokens/{foreign.id}/end").status_code == 404
            (action,) = re.findall(r'action="(/account/tokens/\w+/end)"', page)
            assert own.post(action).headers["location"] == "/account?done=token-ended"
            threading.Event().wait(0.6)  # within a second, everywhere
            assert program.get("/api/v1/me").status_code == 401
        assert "nightly export" not in own.get("/account").text
        (ends,) = re.findall(r'action="(/account/sessions/\w+/end)"', own.get("/account").text)
        own.post(ends)
        assert elsewhere.get("/account").status_code == 303
    assert here.tokens(other) == ["foreign"]
    assert [letter.splitlines()[0] for letter in here.letters(bea.email, 1)] == ["An API token was made"]


def test_who_manages_people_sees_their_tokens(here: Site) -> None:
    bea, other = here.person(), here.person()
    with here.session(other) as session:
        form = {"label": "of the other", "scope": "search", "current_password": PASSWORD}
        session.post("/account/tokens", data=form)
    with here.session(bea) as session:
        page = session.get(f"/users/{other.id}").text
        assert "of the other" in page and "from" in page and "127.0.0.1" in page
        given = session.get(f"/api/v1/users/{other.id}/tokens").json()["items"]
        assert [(one["label"], one["created_from"], one["last_used_from"]) for one in given] == [
            ("of the other", "127.0.0.1", "")
        ]


# --- a new password ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [None, ["asked"], ["asked", "sessions"], ["asked", "tokens"]])
def test_a_new_password_asks_what_to_end(here: Site, ended: list[str] | None) -> None:
    bea = here.person()
    here.parts.tokens.create(operator("test"), bea.id, "nightly export", ["search"])
    with here.session(bea) as own, here.session(bea) as other:
        page = own.get("/account").text
        assert page.count('name="end"') == 3 and "All my API tokens: nightly export" in page and "not touched" in page
        form: dict[str, object] = {"old": PASSWORD, "password": NEXT, "again": NEXT}
        if ended is not None:
            form["end"] = ended
        assert own.post("/account/password", data=form).status_code == 303
        assert own.get("/account").status_code == 200
        assert other.get("/account").status_code == (303 if ended is None or "sessions" in ended else 200)
    assert here.tokens(bea) == ([] if ended is None or "tokens" in ended else ["nightly export"])


def test_every_page_asks_for_a_password_of_ones_own_until_there_is_one(here: Site) -> None:
    bea, admin = here.person(), here.person(Role.ADMINISTRATOR)
    told = "Somebody else knows your password."
    with here.session(admin) as theirs:
        page = theirs.post(f"/users/{bea.id}/password", data={"current_password": PASSWORD}).text
        given = page.split('id="secret">')[1].split("<")[0]
        assert "another one has to be chosen by then" in page
        assert "initial password" in theirs.get("/users").text and told not in theirs.get("/account").text
    with here.session(bea, password=given) as own:
        for path in ("/recordings", "/account", "/nothing-here"):
            page = own.get(path).text
            assert told in page and ("Choose your own" in page) is (path != "/account"), path
        same = own.post("/account/password", data={"old": given, "password": given, "again": given})
        assert same.status_code == 422 and "Choose another one than you were given" in same.text
        assert own.post("/account/password", data={"old": given, "password": NEXT, "again": NEXT}).status_code == 303
        assert told not in own.get("/recordings").text


def test_a_new_address_is_confirmed_by_its_link_and_the_old_one_is_told(here: Site) -> None:
    bea = here.person()
    new = f"new-{bea.email}"
    with here.session(bea) as own:
        form = {"email": new, "display_name": "Bea", "current_password": PASSWORD}
        assert own.post("/account/details", data=form).headers["location"] == "/account?done=email-asked"
        page = own.get("/account").text
        assert "A new e-mail address waits" in page and new in page
        given = own.get(f"/api/v1/users/{bea.id}").json()
        assert (given["email"], given["email_pending"]) == (bea.email, new)
        # Saving other details leaves it waiting
        own.post("/account/details", data={"email": bea.email, "display_name": "Bea Baker"})
        assert here.now(bea).email_pending == new
    (told,) = here.letters(bea.email, 1)
    assert "127.0.0.1" in told and "/confirm-email#" not in told
    (link,) = here.letters(new, 1)
    secret = re.search(r"/confirm-email#(\S+)", link)
    assert secret is not None

    # The link needs no session, and its page does nothing by itself
    with httpx.Client(base_url=here.url, trust_env=False, headers={"sec-fetch-site": "same-origin"}) as mail_reader:
        assert "Confirm the address" in mail_reader.get("/confirm-email").text
        assert mail_reader.post("/confirm-email", data={"code": "x" * 32}).status_code == 403
        assert here.now(bea).email == bea.email
        answer = mail_reader.post("/confirm-email", data={"code": secret[1]})
        assert answer.headers["location"] == "/sign-in?done=email-confirmed"
        assert mail_reader.post("/confirm-email", data={"code": secret[1]}).status_code == 403
    assert here.now(bea).email == new and here.now(bea).email_pending == ""
    assert here.letters(bea.email, 2)[1].startswith("Your e-mail address was changed")


def test_a_waiting_address_is_forgotten_with_a_click(here: Site) -> None:
    bea = here.person()
    with here.session(bea) as own:
        own.post("/account/details", data={"email": "new@elsewhere.example", "current_password": PASSWORD})
        assert own.post("/account/email/keep").headers["location"] == "/account?done=email-kept"
        assert "A new e-mail address waits" not in own.get("/account").text
    assert (here.now(bea).email, here.now(bea).email_pending) == (bea.email, "")


def test_without_mail_a_new_address_counts_at_once_and_the_page_says_so(silent: Site) -> None:
    bea = silent.person()
    with silent.session(bea) as own:
        assert "It counts at once, because this portal sends no mail." in own.get("/account").text
        refused = own.post("/account/details", data={"email": "new@elsewhere.example"})
        assert refused.status_code == 403 and silent.now(bea).email == bea.email
        own.post("/account/details", data={"email": "new@elsewhere.example", "current_password": PASSWORD})
    assert silent.now(bea).email == "new@elsewhere.example"


def test_somebody_with_more_rights_is_reset_by_nobody_below(here: Site) -> None:
    bea, boss = here.person(), here.person(Role.ADMINISTRATOR)
    with here.session(bea) as own:
        for sent in ({}, {"current_password": PASSWORD}):
            for method, path, fields in (
                ("PATCH", "", {"email": "thief@elsewhere.example"}),
                ("POST", "/password", {}),
                ("POST", "/tokens", {"label": "x", "scopes": ["search"]}),
            ):
                answer = own.request(method, f"/api/v1/users/{boss.id}{path}", json=fields | sent)
                assert answer.status_code == 404
            for path in ("/password", "/second-factor/off", "/tokens", ""):
                assert own.post(f"/users/{boss.id}{path}", data={"email": "a@b.example"} | sent).status_code == 404
    assert here.now(boss).email == boss.email and here.now(boss).status is UserStatus.ACTIVE


def test_who_may_not_sign_in_yet_is_not_told_that_a_password_is_wrong(here: Site) -> None:
    user = here.person()
    here.parts.accounts.change(operator("test"), user.id, status=UserStatus.INACTIVE)
    headers = {"sec-fetch-site": "same-origin", "origin": here.url}
    with httpx.Client(base_url=here.url, trust_env=False, timeout=30, headers=headers) as browser:
        right, wrong = (
            browser.post("/sign-in", data={"username": user.username, "password": password}).text
            for password in (PASSWORD, NEXT)
        )
    assert right == wrong, "what is wrong is nobody's to know"
    assert "waits for approval has no password yet" in right and "switched off" in right and "not right" not in right


def test_without_a_contact_there_is_no_file_that_names_one(silent: Site) -> None:
    assert httpx.get(f"{silent.url}/.well-known/security.txt", trust_env=False).status_code == 404


# --- somebody new --------------------------------------------------------------------------------------------


def test_somebody_new_has_a_name_and_may_have_the_rights_of_somebody_who_is_there(here: Site) -> None:
    carla, sam = here.person(), here.person()
    with here.parts.catalogue.read() as work:
        acme = work.tenants.named("acme").id
    rights = {"role": Role.SERVICE, "grants": {acme: ["search", "ftp"]}}
    here.parts.accounts.change(operator("test"), sam.id, **rights)  # type: ignore[arg-type]
    with here.session(carla) as browser:
        form = browser.get(f"/users/new?like={sam.username}").text
        assert '<option value="service" selected>' in form
        assert re.findall(rf'name="action-{acme}"\s+value="([a-z-]+)"\s+checked', form) == ["search", "ftp"]
        nobody = browser.get("/users/new?like=nobody")
        assert nobody.status_code == 404
        made = {"username": "new@example.com", "display_name": "New Neumann", "current_password": PASSWORD}
        ticked = {"role": "service", "tenant": acme, f"action-{acme}": "search"}
        assert browser.post("/users/new", data={**made, **ticked}).status_code == 200
    assert here.parts.accounts.named(operator("test"), "new@example.com").user.display_name == "New Neumann"
