"""The page of recordings as HTML: days, times, the search and its refusals, what is taken from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.model import Recording, Role, Tenant
from recpipe.settings import Settings
from recpipe.web.deps import WebContext
from tests.contracts.catalogue_samples import a_recording, keep
from tests.integration.api import served

PASSWORD = "correct horse battery"


@dataclass
class Site:
    """Two services, one person for each and one for both, and browsers of theirs that are signed in."""

    parts: wiring.Parts
    url: str
    berlin: Tenant
    auckland: Tenant
    browsers: dict[str, httpx.Client]

    def get(self, address: str, who: str = "bea", **query: str) -> str:
        answer = self.browsers[who].get(address, params=query or None)
        assert answer.status_code == 200, answer.text
        return answer.text

    def calls(self, who: str = "bea", **query: str) -> list[str]:
        """The names of the recordings that a search shows, in its order."""
        return re.findall(r'data-name="([^"]+)"', self.get("/recordings", who, **query))


def call(tenant: Tenant, name: str, at: datetime, **changes: object) -> Recording:
    return a_recording(tenant, name=f"{name}.wav", started_at=at, day=f"{at:%Y-%m-%d}", **changes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("recordings"))
    with wiring.open_parts(settings) as parts:
        by = operator("test")
        berlin = parts.tenants.create(by, "berlin", title="Berlin Bakery", timezone="Europe/Berlin", region="DE")
        auckland = parts.tenants.create(by, "kiwi", title="Kiwi", timezone="Pacific/Auckland", region="NZ")
        people = {"bea": [berlin], "kim": [auckland], "ivy": [berlin, auckland]}
        for name, tenants in people.items():
            parts.accounts.create(by, name, Role.CLIENT, password=PASSWORD, grants={t.id: [] for t in tenants})
        with served(WebContext.of(parts)) as url:
            browsers = {name: signed_in(url, name) for name in people}
            yield Site(parts, url, berlin, auckland, browsers)
            for browser in browsers.values():
                browser.close()


def signed_in(url: str, name: str) -> httpx.Client:
    headers = {"sec-fetch-site": "same-origin", "origin": url}
    browser = httpx.Client(base_url=url, trust_env=False, timeout=30, headers=headers)
    assert browser.post("/sign-in", data={"username": name, "password": PASSWORD}).status_code == 303
    return browser


def test_calls_stand_under_their_day_which_says_how_many_where_it_is_whole(site: Site) -> None:
    # Given 27 calls on three days of Berlin, the middle one of which a page of 25 cuts
    days = ((24, 2), (23, 24), (22, 1))
    keep(
        site.parts.catalogue,
        *(
            call(site.berlin, f"day{day}-{n}", datetime(2026, 11, day, 12, n, tzinfo=UTC))
            for day, count in days
            for n in range(count)
        ),
    )
    first = site.get("/recordings", **{"from": "2026-11-22", "to": "2026-11-24", "size": "25"})
    heads = re.findall(r'<tr class="day">.*?<span>(.+?)</span>(?: <span class="soft">(.+?)</span>)?</th>', first)
    assert heads == [("Tue 24 Nov 2026", "2 calls"), ("Mon 23 Nov 2026", "")]
    assert ">13:01:00</time>" in first, "the head has the date, so the row has the time alone"
    further = re.search(r'rel="next" href="([^"]+)"', first)
    assert further is not None
    second = site.get(further[1].replace("&amp;", "&"))
    heads = re.findall(r'<tr class="day">.*?<span>(.+?)</span>(?: <span class="soft">(.+?)</span>)?</th>', second)
    assert heads == [("Mon 23 Nov 2026", ""), ("Sun 22 Nov 2026", "1 call")]


def test_the_hour_that_a_clock_shows_twice_is_told_apart(site: Site) -> None:
    hours = (datetime(2026, 10, 24, 23, 30, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    keep(site.parts.catalogue, *(call(site.berlin, f"night{at.hour}", at) for at in (*hours, hours[1].replace(hour=1))))
    page = site.get("/recordings", **{"from": "2026-10-25", "to": "2026-10-25"})
    shown = re.findall(r'>(\d\d:30:00)</time>(?: <abbr class="soft" title="(.+?)">(\w+)</abbr>)?', page)
    assert shown == [
        ("02:30:00", "Europe/Berlin, +01:00", "CET"),
        ("02:30:00", "Europe/Berlin, +02:00", "CEST"),
        ("01:30:00", "", ""),
    ]


def test_every_time_outside_a_list_of_one_zone_names_its_zone(site: Site) -> None:
    assert re.search(
        r'data-label="Since"><time [^>]+>[^<]+:\d\d</time> <abbr class="soft" title="UTC, \+00:00">UTC<',
        site.get("/account"),
    )
    keep(site.parts.catalogue, call(site.auckland, "morning", datetime(2026, 9, 1, 20, 0, tzinfo=UTC)))
    page = site.get("/recordings", "ivy", **{"from": "2026-09-01", "to": "2026-09-01"})
    # Dates mean UTC here: the head says so, and a call of another day on its own clock says which
    assert "<span>Tue 1 Sep 2026</span>" in page and ">2 Sep, 08:00:00</time>" in page and ">NZST</abbr>" in page


def test_what_is_said_at_the_door_is_said_inside_its_card(site: Site) -> None:
    page = httpx.get(f"{site.url}/sign-in?done=registered", trust_env=False).text
    assert 0 < page.index('class="door card"') < page.index("A letter is on its way") < page.index("<form")
