"""The dashboard, its letters and the words of its scripts in the language of a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email.header import decode_header, make_header

import pytest

from recpipe import languages
from recpipe.web import offline
from tests.services.mail import Mailbox, mail_server
from tests.unit.web.test_dashboard_account import NEXT, PASSWORD, Site, site


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A portal that sends letters."""
    mailbox = Mailbox()
    with mail_server(mailbox) as mailer:
        yield from site(tmp_path_factory.mktemp("languages"), mailer, mailbox)


PAGES = ("/statistics", "/recordings", "/services", "/ftp", "/account", "/users", "/users/new")


@pytest.mark.parametrize(
    ("language", "said"), [("de", "Meine Dienste"), ("fr", "Mes services"), ("es", "Mis servicios")]
)
def test_every_page_is_in_the_language_that_the_browser_asks_for(here: Site, language: str, said: str) -> None:
    with here.session(here.person()) as browser:
        for path in PAGES:
            answer = browser.get(path, headers={"accept-language": f"{language}-XX, en;q=0.5"})
            assert answer.status_code == 200
            assert f'<html lang="{language}" data-words="/assets/' in answer.text and said in answer.text
            assert "accept-language" in answer.headers["vary"]


def test_who_chose_a_language_gets_it_whatever_the_browser_says_until_it_is_left_to_it_again(here: Site) -> None:
    bea = here.person()
    with here.session(bea) as browser:
        browser.headers["accept-language"] = "fr"
        browser.post("/account/details", data={"email": bea.email, "language": "de"})
        assert "<h1>Mein Konto</h1>" in browser.get("/account").text
        browser.post("/account/details", data={"email": bea.email, "language": ""})
        assert "<h1>Mon compte</h1>" in browser.get("/account").text


def test_a_language_that_is_none_is_refused(here: Site) -> None:
    bea = here.person()
    with here.session(bea) as browser:
        answer = browser.post("/account/details", data={"email": bea.email, "language": "tlh"})
        assert answer.status_code == 422 and "There is no such language." in answer.text


def test_a_refusal_is_told_in_the_language_of_the_page_and_in_english_to_programs(here: Site) -> None:
    with here.session(here.person()) as browser:
        browser.headers["accept-language"] = "de"
        typed = {"old": PASSWORD, "password": NEXT, "again": "another"}
        page = browser.post("/account/password", data=typed)
        assert page.status_code == 422
        assert "Die beiden neuen Passwörter sind verschieden." in page.text
        problem = browser.get("/api/v1/recordings/none").json()
        assert (problem["title"], problem["detail"]) == ("Not found", "There is no such recording.")


def test_an_english_page_loads_no_words(here: Site) -> None:
    with here.session(here.person()) as browser:
        page = browser.get("/recordings").text
        assert '<html lang="en">' in page and "data-words" not in page


def test_the_words_of_scripts_are_kept_for_ever_under_an_address_of_their_content(here: Site) -> None:
    with here.session(here.person()) as browser:
        page = browser.get("/recordings", headers={"accept-language": "es"}).text
        address = re.search(r'data-words="([^"]+)"', page)
        assert address is not None and f'<link rel="preload" href="{address[1]}" as="fetch" crossorigin>' in page
        answer = browser.get(address[1])
        assert answer.headers["content-type"] == "application/json" and "immutable" in answer.headers["cache-control"]
        assert answer.json()["Play"] == "Reproducir" and answer.json()[""] == {"other": 1, "one": 0}
        assert browser.get(address[1].replace(".es.", ".xx.")).status_code == 404


def test_a_letter_is_in_the_language_of_whoever_gets_it(here: Site) -> None:
    bea = here.person()
    with here.session(bea) as browser:
        browser.post("/account/details", data={"email": bea.email, "language": "fr"})
        browser.post("/account/password", data={"old": PASSWORD, "password": NEXT, "again": NEXT})
        (letter,) = here.letters(bea.username, 1)
        subject, _, text = letter.partition("\n")
        assert str(make_header(decode_header(subject))) == "Votre mot de passe a été changé" and "Quand :" in text


def test_the_offline_page_has_every_language_and_nothing_that_ends_its_block() -> None:
    block = re.search(r'<script type="application/json" id="words">(.*?)</script>', offline.page(), re.DOTALL)
    assert block is not None and "<" not in block[1]
    assert set(json.loads(block[1])) == set(languages.known()[1:])
