"""Reports > Statistics, and what the API says of it, over real sockets: a made fortnight with a day of 25 hours."""

from __future__ import annotations

import csv
import html
import io
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import event

from recpipe.access.principal import Action, Kind, Principal, operator
from recpipe.model import AuditEvent, Dimension, Direction, Outcome, Recording, RecordingKind, Role, Sum
from recpipe.recordings.figures import Range
from tests.contracts.catalogue_calls import grouped
from tests.contracts.catalogue_samples import a_recording, keep
from tests.integration.api import World, world

PASSWORD = "correct horse battery"
ZONE = "Europe/Berlin"
FIRST, LAST = date(2025, 10, 20), date(2025, 11, 2)  # clocks are set back on 26 October
HOSTILE = '"><img src=x onerror=alert(1)>'


def some_calls(random_: random.Random, world: World) -> list[Recording]:
    office = world.parts.tenants
    owner = office.create(operator("t"), "office", title="Office", timezone=ZONE, region="DE")
    begin = datetime(2025, 10, 20, tzinfo=ZoneInfo(ZONE)).astimezone(UTC)
    made = []
    for n in range(150):
        # Not a day more than two weeks; some at night, and a transferred call from before to behind midnight.
        at = begin + timedelta(
            minutes=random_.choice([random_.randrange(14 * 1440), random_.randrange(7 * 60, 7 * 60 + 90)])
        )
        outside = f"030901{random_.randrange(820, 826)}"
        direction = random_.choice([Direction.INBOUND, Direction.OUTBOUND])
        linked = f"uuid-{random_.randrange(150)}"
        one = a_recording(
            owner,
            caller=outside if direction is Direction.INBOUND else "201",
            callee="03023456789" if direction is Direction.INBOUND else outside,
            facts={
                "extension": random_.choice(["201", "202", "203"]),
                "route": random_.choice(["", "sales & support", HOSTILE]),
                "linked_id": linked if n % 5 == 0 else "",
            },
            sealed=random_.random() < 0.5,
            duration_ms=random_.randrange(1, 900) * 1000,
            started_at=at,
        )
        made.append(replace(one, facts=replace(one.facts, direction=direction, started_at=at)))
    midnight = datetime(2025, 10, 22, 22, 0, tzinfo=UTC)
    for minutes, extension in ((-2, "201"), (3, "202")):
        at = midnight + timedelta(minutes=minutes)
        one = a_recording(owner, caller="030901820", facts={"linked_id": "late", "extension": extension}, started_at=at)
        made.append(replace(one, facts=replace(one.facts, started_at=at)))
    twice = datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    for hours in (0, 1):  # 02:30 and 02:30 again
        at = twice + timedelta(hours=hours)
        one = a_recording(owner, caller="030901821", facts={"extension": "204"}, started_at=at)
        made.append(replace(one, facts=replace(one.facts, started_at=at)))
    calls = keep(world.parts.catalogue, *made)
    # What is no call, beside calls of the same people, longer than any and as a leg of one.
    others = [RecordingKind.VOICEMAIL, RecordingKind.CONFERENCE, RecordingKind.FAX]
    for kind, linked in zip(others, ("", "late", ""), strict=True):
        one = a_recording(
            owner,
            caller="030901821",
            facts={"extension": "204", "linked_id": linked},
            duration_ms=1_000_000,
            started_at=midnight + timedelta(minutes=4),
        )
        keep(
            world.parts.catalogue,
            replace(one, facts=replace(one.facts, started_at=one.started_at, kind=kind, direction=Direction.INBOUND)),
        )
    return calls


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("statistics")) as made:
        made.recordings = {one.id: one for one in some_calls(random.Random("fortnight"), made)}
        accounts = made.parts.accounts
        office = made.parts.reader.tenant_named(operator("t"), "office").id
        for name, role, grants in (
            ("cora", Role.CLIENT, {office: []}),
            ("sue", Role.SERVICE, {office: ["search"]}),
            ("gil", Role.CLIENT, {made.globex.id: []}),
            ("ada-only", Role.SERVICE, {office: ["audit"]}),
            ("both", Role.CLIENT, {office: [], made.globex.id: []}),
        ):
            accounts.create(operator("t"), name, role, password=PASSWORD, grants=grants)
        heard = datetime(2025, 10, 21, 9, tzinfo=UTC)
        with made.parts.catalogue.begin() as work:
            for action, outcome in (
                ("play", Outcome.OK),
                ("play", Outcome.OK),
                ("play", Outcome.DENIED),
                ("download", Outcome.OK),
            ):
                work.audit.add(AuditEvent(heard, "bea", action, outcome, tenant_id=office, subject="1" * 32))
        yield made


@contextmanager
def signed_in(there: World, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=there.url, follow_redirects=False, timeout=60, trust_env=False) as browser:
        browser.post("/sign-in", data={"username": name, "password": PASSWORD}, headers={"origin": there.url})
        yield browser


def office(there: World) -> str:
    return there.parts.reader.tenant_named(operator("t"), "office").id


ASKED = {"from": FIRST.isoformat(), "to": LAST.isoformat(), "service": "office"}


def test_every_figure_of_the_page_leads_to_exactly_its_calls(there: World) -> None:
    calls = grouped(list(there.recordings.values()))
    days = Counter(call.started_at.astimezone(ZoneInfo(ZONE)).date() for call in calls)
    with signed_in(there, "both") as browser:
        page = browser.get("/statistics", params=ASKED).text
        assert f"<b>{len(calls)}</b><span>calls</span>" in page and HOSTILE not in page
        links = {
            html.unescape(link): int(count.replace(",", ""))
            for link, count in re.findall(r'<a href="(/recordings\?[^"]+)"[^>]*><title>[^<]*: ([0-9,]+) calls', page)
        }
        assert list(links.values()) == [days[FIRST + timedelta(days=n)] for n in range(14)]
        cells = re.findall(r'<td class="heat-[1-5]"><a href="([^"]+)">([0-9,]+)', page)
        assert sum(int(count) for _, count in cells) == len(calls)
        rows = re.findall(
            r'<th scope="row"><a href="(/recordings[^"]+)"><bdi>(?s:.*?)<td class="num">([0-9,]+)</td>', page
        )
        assert len(rows) > 12
        links |= {html.unescape(link): int(count) for link, count in (*cells, *rows)}
        for link, count in links.items():
            total = browser.get(link.replace("/recordings?", "/recordings/total?", 1)).json()
            assert total["count"] == str(count), link
        night = next(link for link, count in links.items() if "weekday=sun" in link and link.find("hour=2&") > 0)
        assert browser.get(night).text.count("02:30:00") >= 2  # both times that the clock showed it
        longest = re.search(r'href="(/recordings\?[^"]*shortest=[^"]+)"', page)
        assert longest and browser.get(html.unescape(longest[1]).replace("?", "/total?", 1)).json()["count"] != "0"


def test_the_first_page_is_that_of_figures_and_tells_who_listened_to_whom_may_know(there: World) -> None:
    with signed_in(there, "cora") as browser:
        assert browser.get("/").headers["location"] == "/statistics"
        page = browser.get("/statistics", params=ASKED).text
        assert re.search(r"<bdi>bea</bdi></a></th><td class=\"num\">2</td><td class=\"num\">1</td>", page)
        weekly = browser.get("/statistics", params=ASKED | {"from": "2025-05-01"}).text
        assert (
            "By week" in weekly and "By month" in browser.get("/statistics", params=ASKED | {"from": "2020-05-01"}).text
        )
        assert "minutes</title>" in browser.get("/statistics", params=ASKED | {"show": "minutes"}).text
    with signed_in(there, "sue") as browser:
        page = browser.get("/statistics", params=ASKED).text
        assert "Who listened" not in page and "<bdi>bea</bdi>" not in page
        rows = browser.get("/statistics/export.csv", params=ASKED | {"of": "listeners"}).text
        assert "bea" not in rows


def test_a_page_reads_the_recordings_of_half_a_day_at_either_end_and_those_once(there: World) -> None:
    read: list[timedelta] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "FROM recording" in statement and "call_at <" in statement:
            since, before = [one for one in parameters if isinstance(one, int)]
            read.append(timedelta(microseconds=before - since))

    engine = there.parts.catalogue._engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        with signed_in(there, "cora") as browser:
            browser.get("/statistics", params=ASKED).raise_for_status()
    finally:
        event.remove(engine, "before_cursor_execute", note)

    assert 0 < len(read) <= 2
    assert max(read) <= timedelta(hours=12)


def test_nobody_sees_figures_of_calls_that_are_not_theirs(there: World) -> None:
    with signed_in(there, "gil") as browser:
        assert browser.get("/statistics", params=ASKED).status_code == 404
        assert browser.get("/statistics/export.csv", params=ASKED).status_code == 404
        own = browser.get("/statistics", params={"from": "2025-10-20", "to": "2025-11-02"}).text
        assert "No calls of these days" in own
    with signed_in(there, "ada-only") as browser:
        assert browser.get("/statistics").status_code == 403
    with httpx.Client(base_url=there.url, follow_redirects=False) as browser:
        assert browser.get("/statistics").status_code == 303


def test_an_account_with_a_subset_is_told_of_its_own_part(there: World) -> None:

    grants = {office(there): frozenset({Action.SEARCH})}
    part = Principal(Kind.FTP, "x", "ftp:part", grants=grants, extension="201", direction=Direction.INBOUND)
    mine = [
        one
        for one in there.recordings.values()
        if one.facts.extension == "201" and one.facts.direction is Direction.INBOUND
    ]
    asked = Range(FIRST, LAST, ZONE)
    found = there.parts.figures.of(part, None, asked)
    assert found.total.recordings == len(mine) and found.stored_bytes is None
    assert sum(each.calls for each in found.hours) == found.total.calls == len({one.call for one in mine})
    values = there.parts.figures.top(part, None, asked, Dimension.EXTENSION)
    assert [(one.value, one.calls) for one in values] == [("201", found.total.calls)]
    whole = there.parts.figures.of(operator("t"), [office(there)], asked)
    assert whole.total.recordings == len(there.recordings) and whole.before == Sum()
    assert whole.stored_bytes is not None and whole.stored_bytes > whole.total.stored_bytes  # of faxes as well
    assert whole.in_a_year == whole.stored_bytes + whole.total.stored_bytes * 365 // 14


def test_the_api_gives_the_same_figures_to_whom_may_search(there: World) -> None:
    there.token("reader", Role.CLIENT, ("search",), {office(there): []})
    client = there.client("reader")
    asked = {"tenant": "office", "from": FIRST.isoformat(), "to": LAST.isoformat()}
    answer = client.get("/api/v1/statistics", params=asked).json()
    calls = grouped(list(there.recordings.values()))
    assert (answer["timezone"], answer["total"]["calls"], len(answer["days"])) == (ZONE, len(calls), 14)
    assert sum(one["calls"] for one in answer["hours"]) == len(calls) and answer["listeners"] == []
    extensions = {one["value"]: one["calls"] for one in answer["top"]["extension"]}
    assert extensions["204"] == 2 and {one["tenant"] for one in answer["top"]["extension"]} == {"office"}
    found = client.get("/api/v1/calls", params=asked | {"weekday": "sun", "hour": "2"}).json()
    sundays = [call for call in calls if call.started_at.astimezone(ZoneInfo(ZONE)).strftime("%w%H") == "002"]
    assert found["count"] == len(sundays) >= 2
    route = client.get("/api/v1/calls", params=asked | {"route": "sales & support", "limit": 200}).json()
    top = {one["value"]: one["calls"] for one in answer["top"]["route"]}
    assert len(route["items"]) == top["sales & support"]
    for wrong in ({"timezone": "x"}, {"from": "2026-01-01"}, {"to": "0001-01-02", "from": ""}):
        assert client.get("/api/v1/statistics", params=asked | wrong).status_code == 422, wrong
    for wrong in ({"weekday": "x"}, {"hour": "24"}):
        assert client.get("/api/v1/calls", params=asked | wrong).status_code == 422, wrong
    assert client.get("/api/v1/statistics", params={"tenant": "acme"}).status_code == 404


def test_the_csv_has_every_row_and_nothing_that_a_spreadsheet_calculates(there: World) -> None:
    with signed_in(there, "cora") as browser:

        def rows(of: str) -> list[dict[str, str]]:
            answer = browser.get("/statistics/export.csv", params=ASKED | {"of": of})
            assert f"statistics-office-{FIRST}-{LAST}-{of}.csv" in answer.headers["content-disposition"]
            return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))

        days = rows("days")
        assert len(days) == 14 and sum(int(row["recordings"]) for row in days) == len(there.recordings)
        assert sum(int(row["calls"]) for row in rows("hours")) == sum(int(row["calls"]) for row in days)
        assert rows("listeners") == [{"who": "bea", "plays": "2", "downloads": "1"}]
        numbers = rows("number")
        assert numbers[0]["service"] == "office" and all(row["number"].startswith("'+49") for row in numbers)
        for wrong in ({"of": "x"}, {"from": "x"}, {"from": "2025-11-03"}, {"from": "1950-01-01"}):
            assert browser.get("/statistics/export.csv", params=ASKED | {"of": "days"} | wrong).status_code == 422
        for wrong in ({"weekday": "x"}, {"hour": "25"}, {"hour": "3-3"}):
            page = browser.get("/recordings", params={"from": FIRST.isoformat(), **wrong}).text
            assert 'aria-invalid="true"' in page and "written as" in page
