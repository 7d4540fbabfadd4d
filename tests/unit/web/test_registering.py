"""Registering and getting back in: letters prove addresses, and no answer tells who has an account."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine
from sqlalchemy import event as database_event

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.mail import Outbox
from recpipe.model import Role, UserStatus
from recpipe.settings import Settings
from recpipe.web.deps import WebContext
from tests.integration.api import served
from tests.services.logs import captured
from tests.services.mail import Mailbox, mail_server

PASSWORD = "correct horse battery"
BEA = "bea@example.com"


class SlowMailbox(Mailbox):
    """Takes its time with a letter, as real mail servers do."""

    held = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        while self.held:
            await asyncio.sleep(0.01)
        return await super().handle_DATA(server, session, envelope)


@pytest.fixture(scope="module")
def mailbox() -> SlowMailbox:
    return SlowMailbox()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, mailbox: SlowMailbox) -> Iterator[wiring.Parts]:
    with mail_server(mailbox) as mailer:
        settings = Settings(
            data_dir=tmp_path_factory.mktemp("registering"),
            http_url="http://portal.example",
            smtp_url=mailer.url,
            mail_from=mailer.sender,
        )
        with wiring.open_parts(settings) as opened:
            opened.tenants.create(operator("test"), "acme", title="Acme")
            opened.accounts.create(operator("test"), BEA, Role.ADMINISTRATOR, password=PASSWORD)
            yield opened


@pytest.fixture(scope="module")
def url(parts: wiring.Parts) -> Iterator[str]:
    with served(WebContext.of(parts)) as place:
        yield place


@pytest.fixture
def browser(url: str, mailbox: SlowMailbox) -> Iterator[httpx.Client]:
    mailbox.letters.clear()
    host = {"host": "portal.example", "sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=url, trust_env=False, timeout=30, headers=host) as session:
        yield session


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def link_in(mailbox: Mailbox, number: int, to: str, path: str) -> str:
    until(lambda: len(mailbox.letters) > number, f"no letter {number}")
    recipients, letter = mailbox.letters[number]
    assert recipients == [to]
    text = letter.get_payload(decode=True)
    assert isinstance(text, bytes)
    found = re.search(rf"http://portal\.example{path}#(\S+)", text.decode())
    assert found is not None, text
    return found[1]


def test_who_registers_proves_the_address_and_chooses_the_password_after_the_approval(
    browser: httpx.Client, parts: wiring.Parts, mailbox: SlowMailbox
) -> None:
    carl = "carl@example.com"
    assert 'type="password"' not in browser.get("/register").text
    asked = browser.post("/register", data={"username": carl, "display_name": "Carl", "password": "a stranger's one"})
    assert asked.headers["location"] == "/sign-in?done=registered"
    code = link_in(mailbox, 0, carl, "/register/link")
    # Opening the page does nothing: scanners of mail open every link.
    assert browser.get("/register/link").status_code == 200
    assert [a.user.username for a in parts.accounts.list(operator("test"))] == [BEA]

    confirmed = browser.post("/register/link", data={"code": code})
    assert confirmed.headers["location"] == "/sign-in?done=confirmed"
    until(lambda: len(mailbox.letters) > 1, "the administrator got no letter")
    assert mailbox.letters[1][0] == [BEA]
    user = parts.accounts.named(operator("test"), carl).user
    assert (user.status, user.password_hash) == (UserStatus.REGISTERED, None)

    browser.post("/sign-in", data={"username": BEA, "password": PASSWORD})
    page = browser.get(f"/users/{user.id}").text
    assert "proved the address" in page and 'name="approve"' in page
    approval = {"role": "client", "email": carl, "approve": "yes", "current_password": PASSWORD}
    approved = browser.post(f"/users/{user.id}", data=approval)
    assert approved.status_code == 200 and "A letter with this link is on its way" in approved.text
    choice = {"code": link_in(mailbox, 2, carl, "/welcome"), "password": PASSWORD, "again": PASSWORD}
    assert browser.post("/welcome", data=choice).headers["location"] == "/sign-in?done=welcome"
    assert parts.accounts.named(operator("test"), carl).user.status is UserStatus.ACTIVE


def test_who_has_an_account_is_told_by_letter_alone(browser: httpx.Client, mailbox: SlowMailbox) -> None:
    answers = [browser.post("/register", data={"username": name}) for name in (BEA, "new@example.com")]

    assert len({(a.status_code, a.headers["location"], a.text) for a in answers}) == 1
    until(lambda: len(mailbox.letters) == 2, "two letters")
    texts = {to[0]: str(letter.get_payload()) for to, letter in mailbox.letters}
    assert "There is one already" in texts[BEA] and "/register/link" not in texts[BEA]


@pytest.mark.parametrize(("path", "field"), [("/recover", "name"), ("/register", "username")])
def test_the_work_before_an_answer_is_the_same_for_known_and_unknown_names(
    browser: httpx.Client, mailbox: SlowMailbox, path: str, field: str
) -> None:
    # Given: a mail server that does not answer, so that what is done behind the answers waits for its letter
    mailbox.held = True
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    try:
        browser.post("/recover", data={"name": BEA})
        time.sleep(0.3)
        work = []
        database_event.listen(Engine, "before_cursor_execute", note)
        for name in (BEA, "nobody-here@example.com"):
            statements.clear()
            answer = browser.post(path, data={field: name})
            work.append(
                (
                    answer.status_code,
                    answer.headers["location"],
                    answer.text,
                    [re.sub(r"\s+", " ", s) for s in statements],
                )
            )
    finally:
        database_event.remove(Engine, "before_cursor_execute", note)
        mailbox.held = False
    assert work[0] == work[1]
    assert work[0][3]  # it was counted at all
    until(lambda: len(mailbox.letters) == (2 if path == "/recover" else 3), "letters")


def test_without_mail_nobody_registers_and_the_page_says_so(tmp_path: Path) -> None:
    with (
        wiring.open_parts(Settings(data_dir=tmp_path)) as parts,
        served(WebContext.of(parts)) as url,
        httpx.Client(base_url=url, trust_env=False, headers={"sec-fetch-site": "same-origin"}) as session,
    ):
        page = session.get("/register").text
        assert "sends no mail" in page and "<form" not in page
        refused = session.post("/register", data={"username": "ann@example.com"})
        assert (refused.status_code, "Ask for an invitation" in refused.text) == (409, True)


def test_letters_that_wait_are_bounded_and_one_that_fails_stops_no_other() -> None:
    outbox, done, going = Outbox(), [], [True]

    def wait() -> None:
        while going:
            time.sleep(0.005)

    with captured() as log:
        outbox.put(wait)
        outbox.put(lambda: 1 / 0)
        for n in range(600):
            outbox.put(lambda n=n: done.append(n))
        going.clear()
        outbox.close()
    assert 490 < len(done) <= 500 and done == sorted(done)
    assert {"letter dropped", "letter not written"} <= {entry["event"] for entry in log}
