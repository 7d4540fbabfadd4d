"""No page asks the database once a service: as many questions for a wholesaler as for a company of its own."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import event
from sqlalchemy.engine import Engine

from recpipe import wiring
from recpipe.access.passwords import Cost, Passwords
from recpipe.access.principal import operator
from recpipe.model import Role
from recpipe.settings import Settings
from recpipe.store.memory import MemoryStore
from recpipe.web.deps import WebContext
from tests.integration.api import served
from tests.services.sqlite import new_catalogue

PASSWORD = "correct horse battery"
PAGES = (
    "/recordings",
    "/recordings?service=tenant0",
    "/recordings?service=@North",
    "/statistics?service=@North",
    "/services?group=North",
    "/services",
    "/services/tenant0/edit",
    "/account",
    "/completeness",
    "/statistics",
    "/addons",
    "/addons?service=tenant0",
    "/ftp?service=tenant0",
    "/routing?service=tenant0",
    "/extensions?service=tenant0",
    "/changes",
    "/history",
    "/users",
    "/users/new",
    "/audit",
    "/system",
    "/identity-providers",
)


def test_a_page_asks_as_much_for_twenty_services_as_for_one(tmp_path: Path) -> None:
    asked: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    def questions(client: httpx.Client, page: str) -> list[str]:
        client.get(page).raise_for_status()  # what is kept for a moment is kept now
        asked.clear()
        client.get(page).raise_for_status()
        return list(asked)

    settings = Settings(data_dir=tmp_path / "data", database_url=new_catalogue(tmp_path / "scale.sqlite3"))
    cheap, store = Passwords(Cost(passes=1, memory_kib=8, lanes=1)), MemoryStore()
    by = operator("test")
    event.listen(Engine, "before_cursor_execute", hear)
    try:
        with wiring.open_parts(settings, passwords=cheap, store=store) as parts, served(WebContext.of(parts)) as url:
            parts.tenants.create(by, "tenant0", group="North")
            parts.accounts.create(by, "ann", Role.ADMINISTRATOR, password=PASSWORD)
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                client.post("/sign-in", data={"username": "ann", "password": PASSWORD})
                one = {page: questions(client, page) for page in PAGES}
                for number in range(1, 20):
                    parts.tenants.create(by, f"tenant{number}", group="North")
                for page in PAGES:
                    many = questions(client, page)
                    # One more or less is what is done once a minute; one a service would be nineteen.
                    more = sorted(set(many) - set(one[page]))
                    assert abs(len(many) - len(one[page])) <= 3, (page, len(one[page]), len(many), more)
                    assert one[page], page
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def test_hundreds_of_services_are_turned_like_pages(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=new_catalogue(tmp_path / "pages.sqlite3"))
    cheap = Passwords(Cost(passes=1, memory_kib=8, lanes=1))
    names = [f"tenant{number:03}" for number in range(120)]
    with wiring.open_parts(settings, passwords=cheap, store=MemoryStore()) as parts:
        for number, name in enumerate(names):
            parts.tenants.create(operator("test"), name, group="Even & odd" if number % 2 else "")
        parts.accounts.create(operator("test"), "ann", Role.ADMINISTRATOR, password=PASSWORD)
        with served(WebContext.of(parts)) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            client.post("/sign-in", data={"username": "ann", "password": PASSWORD})
            seen: list[str] = []
            address, turned = "/services?sort=name", 0
            while address:
                page = client.get(address).raise_for_status().text
                seen += re.findall(r'class="soft">(tenant\d+)</span>', page)
                further = re.search(r'rel="next" href="([^"]+)"', page)
                address, turned = html.unescape(further[1]) if further else "", turned + 1
            assert (seen, turned) == (names, 3)
            assert "101 to 120 of 120" in page and "page=2" in page
            # And an address that is past the end, or none, is that of a page that there is
            for odd in ("9999", "0", "-1", "x", "9" * 400, "\u0662"):
                assert client.get("/services", params={"page": odd}).status_code == 200
            of_group = client.get("/services", params={"group": "Even & odd", "sort": "name"}).text
            assert "1 to 50 of 60" in of_group and "group=Even+%26+odd&amp;sort=name&amp;page=2" in of_group
