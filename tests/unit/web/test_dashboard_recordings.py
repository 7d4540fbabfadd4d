"""The page of recordings as HTML: days, times, the search and its refusals, what is taken from it."""

from __future__ import annotations

import gzip
import hashlib
import html
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine
from sqlalchemy import event as database_event

from recpipe import wiring
from recpipe.access import identity
from recpipe.access.principal import Principal, operator
from recpipe.model import AuditEvent, AuditQuery, Direction, Outcome, Recording, RecordingQuery, Role, Tenant
from recpipe.settings import Settings
from recpipe.tenants.changes import Kind
from recpipe.web import export
from recpipe.web.dashboard import deeds
from recpipe.web.deps import WebContext
from tests.contracts.catalogue_samples import a_recording, a_tenant, keep
from tests.integration.api import served
from tests.scanners._tools import SQL

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
    settings = Settings(data_dir=tmp_path_factory.mktemp("recordings"), security_contact="mailto:security@example.com")
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


@pytest.fixture(scope="module")
def spoken(site: Site) -> Site:
    """Three calls of the first of June, whose parts are told apart."""
    at = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
    erin = {"caller_name": "Erin Doyle", "extension": "201", "call_id": "1743067517.4711"}
    keep(
        site.parts.catalogue,
        call(site.berlin, "erin", at, caller="+442079464711", facts=erin, duration_ms=90_000),
        call(site.berlin, "ravi", at.replace(hour=11), caller="02079460777", callee="201", duration_ms=20_000),
        call(site.berlin, "long", at.replace(hour=12), caller="030901820", callee="202", duration_ms=3_700_000),
    )
    return site


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("Erin", ["erin"]),
        ("erin 4711", ["erin"]),
        ("4711", ["erin"]),
        ("201", ["ravi", "erin"]),
        ("0044 20 7946 4711", ["erin"]),
        ("+44 (0)20 7946 4711", ["erin"]),
        ("1743067517.4711", ["erin"]),
        ("1820", ["long"]),
        ("Erin 0777", []),
    ],
)
def test_one_box_finds_names_numbers_extensions_and_call_ids(spoken: Site, typed: str, found: list[str]) -> None:
    day = {"from": "2026-06-01", "to": "2026-06-01"}
    assert spoken.calls(find=typed, **day) == [f"{name}.wav" for name in found]
    exported = spoken.get("/recordings/export.csv", find=typed, **day)
    assert [name for name in ("erin", "ravi", "long") if f'"{name}.wav"' in exported] == sorted(found)


def test_an_address_from_before_there_was_one_box_finds_the_same(spoken: Site) -> None:
    assert spoken.calls(number="4711", **{"from": "2026-06-01", "to": "2026-06-01"}) == ["erin.wav"]


@pytest.mark.parametrize(
    ("shortest", "longest", "found"),
    [
        ("1:00", "", ["long", "erin"]),
        ("90", "90", ["erin"]),
        ("1:30", "1:02:00", ["long", "erin"]),
        ("1 h", "", ["long"]),
        ("1 min", "2m", ["erin"]),
        ("", "1m 30s", ["ravi", "erin"]),
        ("19,5", "0:20", ["ravi"]),
    ],
)
def test_lengths_are_typed_as_people_write_them(spoken: Site, shortest: str, longest: str, found: list[str]) -> None:
    query = {"from": "2026-06-01", "to": "2026-06-01", "shortest": shortest, "longest": longest}
    assert spoken.calls(**{name: value for name, value in query.items() if value}) == [f"{name}.wav" for name in found]


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"from": "2026-06-02", "to": "2026-06-01"}, "to", "The last day is before the first."),
        ({"from": "yesterday"}, "from", "This is no date."),
        ({"shortest": "a while"}, "shortest", "This is no length."),
        ({"shortest": "2:00", "longest": "1:00"}, "longest", "The longest call is shorter than the shortest."),
        ({"find": "+1", "match": "containing"}, "find", "needs at least 3 digits"),
        ({"service": "globex"}, "service", "There is no such service."),
        ({"direction": "sideways"}, "direction", "is no direction"),
    ],
)
def test_a_refused_filter_is_told_in_words_of_the_page_and_marks_its_field(
    spoken: Site, query: dict[str, str], field: str, words: str
) -> None:
    page = spoken.get("/recordings", "ivy", **query)
    assert words in page and "`" not in page
    assert f'role="alert" data-field="{field}"' in page
    assert re.search(rf'<(?:input|select) id="{field}"[^>]*aria-invalid="true" aria-describedby="refusal"', page)
    assert page.count("aria-invalid") == 1


def test_clearing_the_filters_keeps_the_service(spoken: Site) -> None:
    page = spoken.get("/recordings", "ivy", service="kiwi", find="4711")
    assert page.count('href="/recordings?service=kiwi"') == 2, "beside the filters, and where nothing was found"


def test_a_whole_search_comes_as_one_zip_however_it_is_paged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
    body = b"RIFF" + bytes(40)
    sha256 = hashlib.sha256(body).hexdigest()
    site.parts.store.put("kept/first", io.BytesIO(body), len(body))  # type: ignore[arg-type]
    stored = {"object_key": "kept/first", "stored_bytes": len(body), "stored_sha256": sha256}
    keep(site.parts.catalogue, call(site.berlin, "first", at, **stored))
    keep(site.parts.catalogue, *(call(site.berlin, f"r{n}", at.replace(minute=n + 1)) for n in range(30)))
    keep(site.parts.catalogue, call(site.auckland, "foreign", at.replace(hour=5)))
    search = {"from": "2026-04-01", "to": "2026-04-01", "size": "25"}
    monkeypatch.setattr(export, "_PAGE", 7)

    # The page offers it, and says how much it is once it was asked
    page = site.get("/recordings", **search)
    address = html.unescape(re.search(r'id="zip-all" href="([^"]+)"', page)[1])  # type: ignore[index]
    asked = html.unescape(re.search(r'data-total="([^"]+)"', page)[1])  # type: ignore[index]
    total = site.browsers["bea"].get(asked).json()
    assert total == {"count": "31", "size": "14.4 MB"}

    archive = zipfile.ZipFile(io.BytesIO(site.browsers["bea"].get(address).content))
    told = {one["name"]: one["problem"] for one in json.loads(archive.read("manifest.json"))["recordings"]}
    assert told == {"first.wav": None} | {f"r{n}.wav": "missing" for n in range(30)}
    assert archive.read(archive.namelist()[0]) == body and sha256 in archive.read("SHA256SUMS").decode()
    assert (
        len(site.parts.trail.list(operator("test"), site.berlin.id, AuditQuery(action="export"), None, 100).items) > 30
    )

    # Somebody else's search is of their own services, whatever they ask for
    theirs = zipfile.ZipFile(io.BytesIO(site.browsers["kim"].get("/recordings/export.zip", params=search).content))
    names = [one["name"] for one in json.loads(theirs.read("manifest.json"))["recordings"]]
    assert names == ["foreign.wav"]
    refused = site.browsers["kim"].get("/recordings/export.zip", params=search | {"service": "berlin"})
    assert refused.status_code == 422 and "There is no such service" in refused.text

    monkeypatch.setattr(export, "MOST_IN_A_ZIP", 30)
    refused = site.browsers["bea"].get(address)
    assert refused.status_code == 422 and "Narrow the search by date" in refused.text
    # Files are what it holds, not calls
    legs = [call(site.berlin, name, at) for name in ("leg-a", "leg-b")]
    keep(site.parts.catalogue, *(replace(one, facts=replace(one.facts, linked_id="1774000000.7")) for one in legs))
    monkeypatch.setattr(export, "MOST_IN_A_ZIP", 32)
    refused = site.browsers["bea"].get(address)
    assert refused.status_code == 422 and "these 32 calls have 33" in refused.text
    monkeypatch.setattr(export, "MOST_IN_A_ZIP", 33)
    assert site.browsers["bea"].get(address).status_code == 200


def test_what_is_larger_than_a_page_of_one_box_is_still_counted(spoken: Site) -> None:
    page = spoken.get("/recordings", find="4711", **{"from": "2026-06-01", "to": "2026-06-01"})
    assert re.search(r"<b>1</b> call", page) and "All 1 as ZIP, 480 kB" in page


def test_each_call_has_an_address_for_whoever_may_see_it(spoken: Site) -> None:
    page = spoken.get("/recordings", find="erin", **{"from": "2026-06-01", "to": "2026-06-01"})
    address = re.search(r'href="(/recordings\?call=[0-9a-f]{32})"', page)[1]  # type: ignore[index]
    one = spoken.get(address)
    assert re.findall(r'data-name="([^"]+)"', one) == ["erin.wav"] and "zip-all" not in one
    assert re.findall(r'data-name="([^"]+)"', spoken.get(address, "ivy")) == ["erin.wav"]
    for theirs in (spoken.get(address, "kim"), spoken.get("/recordings", "kim", call="0" * 32)):
        assert "data-recording" not in theirs and "is none that this account may see" in theirs
    packed = spoken.browsers["bea"].get(address.replace("?", "/export.zip?"))
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert [one["name"] for one in json.loads(archive.read("manifest.json"))["recordings"]] == ["erin.wav"]
    for who, path in (("kim", address), ("bea", "/recordings?call=x")):
        assert spoken.browsers[who].get(path.replace("?", "/export.zip?")).status_code in (404, 422)


def test_the_audit_log_tells_in_sentences_who_did_what_to_which_call(spoken: Site) -> None:
    parts, by = spoken.parts, operator("test")
    parts.accounts.create(by, "aud", Role.SERVICE, password=PASSWORD, grants={spoken.berlin.id: ["audit"]})
    at = datetime(2026, 6, 2, 8, 0, tzinfo=UTC)
    erin = parts.reader.search(by, None, RecordingQuery(anything="erin", started_before=at)).items[0]
    tenant_id = spoken.berlin.id
    with parts.catalogue.begin() as work:
        work.audit.add(
            AuditEvent(at, "bea", "play", Outcome.OK, tenant_id, "192.0.2.7", erin.id),
            AuditEvent(at, "bea", "play", Outcome.DENIED, tenant_id, "", "0" * 32, {"reason": "not-allowed"}),
            AuditEvent(at, "bea", "login", Outcome.OK, tenant_id, "", "", {"door": "http", "second_factor": True}),
            AuditEvent(at, "bea", "login", Outcome.DENIED, tenant_id, "", "", {"door": "ftp", "reason": "locked-out"}),
            AuditEvent(at, "<b>eve", "moon.land", Outcome.OK, tenant_id, "", "", {"flag": "<i>"}),
        )
    page = spoken.get("/audit", **{"from": "2026-06-02", "to": "2026-06-02"})
    said = [
        " ".join(re.sub(r"<details>.*?</details>|<[^>]+>", " ", one, flags=re.S).split())
        for one in re.findall(r'<div class="deed">(.*?)</div>', page, re.S)
    ]
    assert sorted(said) == [
        "&lt;b&gt;eve moon.land flag: &lt;i&gt;",
        "bea could not play a call : not allowed",
        "bea could not sign in over FTP: locked out after too many tries",
        "bea played the call of 1 Jun 2026 12:00, …4711 to unknown",
        "bea signed in at the dashboard with a code",
    ]
    assert f'<a href="/recordings?call={erin.id}">' in page
    assert f'call={erin.id}">everything done to this call</a>' in page
    of_call = spoken.get("/audit", **{"from": "2026-06-02", "to": "2026-06-02", "call": erin.id})
    assert of_call.count('<div class="deed">') == 1 and "of 1 Jun 2026 12:00" in of_call
    # Who may read the log and not search is told that there was a call, and nothing of it
    auditor = signed_in(spoken.url, "aud")
    theirs = auditor.get("/audit", params={"from": "2026-06-02", "to": "2026-06-02"}).text
    auditor.close()
    assert theirs.count("a call") >= 2 and "4711" not in theirs and "/recordings?call=" not in theirs


def test_every_action_that_is_written_to_the_log_has_its_words() -> None:
    folder = Path(deeds.__file__).parents[2]
    kinds = "certificate|change|disclaimer|ftp-account|policy|quarantine|session|tenant|token|user|password"
    written = {
        action
        for path in folder.rglob("*.py")
        if path.name != "deeds.py"
        for action in re.findall(rf'"((?:{kinds})\.[a-z-]+)"', path.read_text())
    }
    written = {action for action in written if not action.endswith((".html", ".id", ".group"))}
    assert len(written) > 40 and written <= set(deeds.DEEDS)


def test_the_services_of_a_group_are_searched_and_counted_together_and_nobody_elses(spoken: Site) -> None:
    # Given one service in a group
    by, tenants, on = operator("test"), spoken.parts.tenants, {"from": "2026-06-01", "to": "2026-06-01"}
    keep(spoken.parts.catalogue, call(spoken.auckland, "kiwi", datetime(2026, 6, 1, 1, 0, tzinfo=UTC)))
    everything = spoken.calls("ivy", **on)
    tenants.change(by, spoken.berlin.id, group="Bakers & Co")
    tenants.change(by, spoken.auckland.id, group="Others")
    try:
        # Then whoever sees both finds those of the group, and who does not see it has no such group
        page = spoken.get("/recordings", "ivy", service="@Bakers & Co", **on)
        assert re.search('<option value="@Bakers &amp; Co"\\s+selected>All of Bakers &amp; Co</option>', page)
        found = spoken.calls("ivy", service="@Bakers & Co", **on)
        assert set(found) == set(everything) - {"kiwi.wav"} and len(found) > 0
        assert "There is no such service" in spoken.get("/recordings", "kim", service="@Bakers & Co")
        assert spoken.browsers["kim"].get("/statistics", params={"service": "@Bakers & Co"}).status_code == 404
        assert "no such service" in spoken.get("/recordings", "ivy", service="@")
        # When both are in one group, then each person finds what is theirs, here, in figures and in exports
        tenants.change(by, spoken.auckland.id, group="Bakers & Co")
        assert spoken.calls("ivy", service="@Bakers & Co", **on) == everything
        assert spoken.calls("kim", service="@Bakers & Co", **on) == ["kiwi.wav"]
        assert "<b>1</b><span>calls</span>" in spoken.get("/statistics", "kim", service="@Bakers & Co", **on)
        figures = spoken.get("/statistics", "ivy", service="@Bakers & Co", **on)
        assert re.search(r"Bakers &amp; Co,\s+2 services, 1 Jun 2026", figures)
        assert 'href="/recordings?service=%40Bakers+%26+Co&amp;from=' in figures
        told = spoken.get("/recordings/export.csv", "kim", service="@Bakers & Co", **on)
        assert "kiwi.wav" in told and told.count("\n") == 2
        assert (
            "statistics-Bakers"
            in spoken.browsers["ivy"]
            .get("/statistics/export.csv", params={"service": "@Bakers & Co", **on})
            .headers["content-disposition"]
        )
    finally:
        for tenant in (spoken.berlin, spoken.auckland):
            tenants.change(by, tenant.id, group="")


def test_no_page_asks_the_database_once_for_each_service(spoken: Site) -> None:
    parts, by = spoken.parts, operator("test")
    parts.accounts.create(by, "root", Role.ADMINISTRATOR, password=PASSWORD)
    root = signed_in(spoken.url, "root")
    paths = (
        "/services",
        "/changes",
        "/system",
        "/recordings",
        "/users",
        "/users/new",
        "/audit",
        "/addons",
        "/ftp",
        "/history",
    )
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    def number(path: str) -> int:
        for _ in range(2):  # what is remembered for a while is remembered then
            asked.clear()
            assert root.get(path).status_code == 200, path
        return len(asked)

    database_event.listen(Engine, "before_cursor_execute", note)
    try:
        few = {path: number(path) for path in paths}
        for n in range(12):
            made = parts.tenants.create(by, f"more-{n}", title=f"More {n}")
            parts.changes.agree(by, made.id)
            parts.changes.save(by, made.id, Kind.RECORDING, {"recording": True})
        many = {path: number(path) for path in paths}
    finally:
        database_event.remove(Engine, "before_cursor_execute", note)
        root.close()
    # A heartbeat or a session that is touched may come between
    assert all(many[path] <= few[path] + 2 for path in paths), (few, many)


def test_pages_are_compressed_for_our_own_pages_alone_and_files_for_everybody(spoken: Site) -> None:
    bea = spoken.browsers["bea"]

    def sent(path: str, site: str | None, accepted: str = "gzip, br") -> tuple[str | None, bytes]:
        request = bea.build_request("GET", path, headers={"accept-encoding": accepted})
        del request.headers["sec-fetch-site"]
        if site is not None:
            request.headers["sec-fetch-site"] = site
        answer = bea.send(request, stream=True)
        raw = b"".join(answer.iter_raw())
        assert answer.status_code == 200 and int(answer.headers["content-length"]) == len(raw)
        return answer.headers.get("content-encoding"), raw

    page = "/recordings?from=2026-06-01&to=2026-06-01"
    style = re.search(r'href="(/assets/[0-9a-f]+/dashboard.css)"', spoken.get(page))[1]  # type: ignore[index]
    plain = sent(page, "same-origin", "identity")[1]
    for site in ("same-origin", "none"):
        kind, body = sent(page, site)
        assert kind == "gzip" and gzip.decompress(body) == plain and len(body) < len(plain) / 3
    # Another site must not learn from a length what stands beside its guess
    for other in ("cross-site", "same-site", None):
        assert sent(page, other) == (None, plain)
    kind, body = sent(style, "cross-site")
    assert kind == "gzip" and gzip.decompress(body) == sent(style, None, "identity")[1]
    # What is said to one kind of client is not kept for another
    assert bea.get(page).headers["vary"] == "accept-encoding, accept-language, sec-fetch-site"
    assert bea.head(page, headers={"accept-encoding": "gzip"}).status_code == 200


def test_what_waits_is_told_on_every_page_and_what_it_means_to_switch_encryption_off(site: Site) -> None:
    by, keyring, changes = operator("test"), site.parts.keyring, site.parts.changes
    own = site.parts.tenants.create(by, "oslo", title="Oslo", timezone="Europe/Oslo")
    site.parts.accounts.create(by, "ola", Role.CLIENT, password=PASSWORD, grants={own.id: []})
    with site.parts.catalogue.begin() as work:
        work.tenants.update(replace(work.tenants.to_change(own.id), encryption=True))
    ola = signed_in(site.url, "ola")
    assert keyring.list(by, own.id) == [] and "not in effect yet" not in ola.get("/recordings").text
    changes.save(by, own.id, Kind.ENCRYPTION, {"encryption": False})
    for path in ("/recordings", "/account", "/users", "/addons"):
        assert "<b>1 change waits</b> and is not in effect yet." in ola.get(path).text, path
    for path in ("/addons", "/changes"):
        assert "are stored in the clear" in ola.get(path).text
    invited = site.parts.links.invite(by, "new@oslo.example", Role.CLIENT, grants={own.id: []}).user
    listed = ola.get("/users").text
    assert "Invited, 7 days left" in listed and invited.username in listed
    assert (
        f'href="/users/{invited.id}#invitation"' in listed and 'id="invitation"' in ola.get(f"/users/{invited.id}").text
    )
    assert ola.post(re.findall(r'action="(/users/[^"]+/remove)"', listed)[0]).status_code == 303
    assert invited.username not in ola.get("/users").text
    ola.close()


def test_search_engines_are_turned_away(site: Site) -> None:
    answer = httpx.get(f"{site.url}/robots.txt", trust_env=False)
    assert answer.text == "User-agent: *\nDisallow: /\n" and answer.headers["content-type"].startswith("text/plain")


def test_a_call_is_starred_in_its_row_and_the_search_stays(site: Site) -> None:
    at = datetime(2026, 7, 1, 9, tzinfo=UTC)
    (one,) = keep(site.parts.catalogue, call(site.berlin, "to-be-starred", at))
    search = {"from": "2026-07-01", "to": "2026-07-01"}
    shown = site.get("/recordings", **search)
    assert f'name="star" value="{one.id}:yes"' in shown
    bea, where = site.browsers["bea"], html.unescape(re.findall(r'formaction="([^"]+star[^"]*)"', shown)[0])
    answer = bea.post(where, data={"star": f"{one.id}:yes"})
    assert answer.headers["location"] == "/recordings?from=2026-07-01&to=2026-07-01"
    assert f'value="{one.id}:no"' in site.get("/recordings", **search)
    assert site.calls(mark="starred", **search) == ["to-be-starred.wav"]
    assert site.calls("kim", mark="starred", **search) == []
    assert site.browsers["kim"].post("/recordings/star", data={"star": f"{one.id}:no"}).status_code == 404
    for wrong in ("", "x:yes", f"{'0' * 9999}:yes", "\x00\u202e"):
        assert bea.post("/recordings/star", data={"star": wrong}).status_code == 404
    bea.post(where, data={"star": f"{one.id}:no"})
    assert site.calls(mark="starred", **search) == []


def test_a_note_is_written_on_its_page_found_in_the_one_box_and_is_data(site: Site) -> None:
    hostile = '"><img src=x onerror=alert(1)> owed €40'
    (one,) = keep(site.parts.catalogue, call(site.berlin, "to-be-noted", datetime(2026, 7, 2, 9, tzinfo=UTC)))
    bea, where = site.browsers["bea"], f"/recordings/marks?direction=inbound&of={one.id}"
    assert "What is said of this call" in site.get(where)
    sent = {"note": f"{hostile}\r\nsecond line", "tags": "Complaint, , call  back,complaint", "reviewed": "yes"}
    answer = bea.post(where, data=sent)
    assert (answer.status_code, answer.headers["location"]) == (303, "/recordings?direction=inbound&done=marked")
    for found in ({"find": "owed €40"}, {"find": "CALL BACK"}, {"tag": "complaint"}, {"mark": "reviewed"}):
        assert site.calls(**found) == ["to-be-noted.wav"], found
    assert "to-be-noted.wav" not in site.calls(mark="unreviewed") and site.calls(find="no such note") == []
    for page in (site.get("/recordings", tag="complaint"), site.get(where)):
        assert "<img" not in page and "owed €40" in page and "Complaint" in page
    assert 'value="Complaint, call back"' in site.get(where)
    # What is refused is told, and nothing that was typed is lost.
    refused = bea.post(where, data={"note": "kept as typed", "tags": "x" * 41})
    assert refused.status_code == 422 and "at most 40 characters" in refused.text and "kept as typed" in refused.text
    assert site.browsers["kim"].get(where).status_code == site.browsers["kim"].post(where, data=sent).status_code == 404
    # Who may play and no more stars and reviews, and takes no note away by not seeing the field.
    listener, reader = ({site.berlin.id: actions} for actions in (["search", "play"], ["search"]))
    site.parts.accounts.create(operator("test"), "pia", Role.SERVICE, password=PASSWORD, grants=listener)
    pia = signed_in(site.url, "pia")
    shown = pia.get(where).text
    assert 'name="starred"' in shown and 'name="note"' not in shown and "owed €40" in shown
    assert pia.post(where, data={"note": "overwritten", "tags": "", "starred": "yes"}).status_code == 303
    with site.parts.catalogue.read() as work:
        said = work.of(site.berlin.id).marks.get(one.call)
    assert said.starred and said.note.endswith("second line") and said.tags == ("Complaint", "call back")
    # Who may only search reads, and changes nothing.
    site.parts.accounts.create(operator("test"), "sid", Role.SERVICE, password=PASSWORD, grants=reader)
    sid = signed_in(site.url, "sid")
    listed = sid.get("/recordings?tag=complaint").text
    assert "owed €40" in listed and "/recordings/marks" not in listed
    assert sid.get(where).status_code == sid.post(where, data=sent).status_code == 403
    for browser in (pia, sid):
        browser.close()


def test_the_limits_of_an_ftp_account_are_changed_and_taken_away(site: Site) -> None:
    by, bea = operator("test"), site.browsers["bea"]
    made = site.parts.ftp_accounts.create(by, site.berlin.id, "berlin.edited", extension="201").account
    where = f"/ftp/{made.id}"
    assert f'href="{where}?service=berlin"' in site.get("/ftp", service="berlin")
    assert 'value="201"' in site.get(where, service="berlin")
    sent = {"service": "berlin", "extension": "", "direction": "inbound", "networks": "192.0.2.0/24\n2001:db8::/32"}
    refused = bea.post(where, data=sent)  # with a copied session alone
    assert refused.status_code == 403 and "Type your own password" in refused.text and "2001:db8" in refused.text
    assert bea.post(f"{where}/switch", data={"service": "berlin"}).headers["location"].endswith("done=saved")
    assert bea.post(f"{where}/switch", data={"service": "berlin", "on": "yes"}).status_code == 403
    sent["current_password"] = PASSWORD
    assert bea.post(f"{where}/switch", data=sent | {"on": "yes"}).headers["location"].endswith("done=saved")
    assert bea.post(where, data=sent).headers["location"] == "/ftp?service=berlin&done=saved"
    now = site.parts.ftp_accounts.get(by, site.berlin.id, made.id)
    assert (now.extension, now.direction, now.allowed_networks) == (
        "", Direction.INBOUND, ("192.0.2.0/24", "2001:db8::/32"),
    )  # fmt: skip
    refused = bea.post(where, data=sent | {"networks": "192.0.2.0/99"})
    assert refused.status_code == 422 and "192.0.2.0/99</textarea>" in refused.text
    bea.post(where, data={"service": "berlin", "current_password": PASSWORD})
    now = site.parts.ftp_accounts.get(by, site.berlin.id, made.id)
    assert (now.direction, now.allowed_networks, now.enabled) == (None, (), True)
    kim = site.browsers["kim"]
    for service in ("berlin", "kiwi"):
        assert kim.get(where, params={"service": service}).status_code in (403, 404)
        assert kim.post(where, data={"service": service, "extension": "9"}).status_code in (403, 404)
    assert site.parts.ftp_accounts.get(by, site.berlin.id, made.id) == now


def test_over_services_of_several_zones_dates_mean_the_zone_of_the_person(site: Site) -> None:
    # Given a call after midnight of Lisbon's summer, which in UTC is on the day before
    (late,) = keep(site.parts.catalogue, call(site.berlin, "of-the-night", datetime(2026, 8, 1, 23, 30, tzinfo=UTC)))
    ivy, details = site.browsers["ivy"], {"display_name": "Ivy", "company": "Kiwi"}
    assert "dates mean UTC" in site.get("/recordings", "ivy")
    assert site.calls("ivy", **{"from": "2026-08-02", "to": "2026-08-02"}) == []
    refused = ivy.post("/account/details", data=details | {"timezone": "Europe/Lisbonne"})
    assert refused.status_code == 422 and "Did you mean Europe/Lisbon" in refused.text
    assert ivy.post("/account/details", data=details | {"timezone": "Europe/Lisbon"}).status_code == 303
    try:
        assert "dates mean Europe/Lisbon" in site.get("/recordings", "ivy")
        assert site.calls("ivy", **{"from": "2026-08-02", "to": "2026-08-02"}) == [late.name]
        assert site.calls("ivy", service="kiwi", **{"from": "2026-08-02", "to": "2026-08-02"}) == []
        assert 'value="Kiwi"' in site.get("/account", "ivy")
    finally:
        ivy.post("/account/details", data=details)
    assert "dates mean UTC" in site.get("/recordings", "ivy")


def test_a_search_is_kept_under_a_name_by_one_person_alone(site: Site) -> None:
    bea = site.browsers["bea"]
    assert "Save this search" not in site.get("/recordings")
    search = {"find": 'a&b="1"', "direction": "inbound", "size": "25", "cursor": "x"}
    name = "<b>Angry & loud</b>"
    answer = bea.post("/recordings/searches", params=search, data={"name": f" {name} "})
    assert answer.status_code == 303 and answer.headers["location"].endswith("done=search-saved")
    shown = site.get("/recordings")
    [(query, label)] = re.findall(r'<a class="chip" href="/recordings\?([^"]+)"><bdi>([^<]+)</bdi>', shown)
    assert (html.unescape(label), html.unescape(query)) == (name, "find=a%26b%3D%221%22&direction=inbound")
    assert "Angry" not in site.get("/recordings", "kim")
    # The same name is replaced; a search without anything, or a name, is refused with the list left standing
    bea.post("/recordings/searches", params={"direction": "outbound"}, data={"name": name})
    assert "direction=outbound" in site.get("/recordings")
    for asked, typed, told in (({}, "x", "Search for something"), ({"tag": "x"}, " ", "Give the search a name"),
                               ({"tag": "x"}, "a\x00", "control"), ({"tag": "x"}, "n" * 61, "60")):  # fmt: skip
        refused = bea.post("/recordings/searches", params=asked, data={"name": typed})
        assert refused.status_code == 200 and told in refused.text, typed
    [saved] = site.parts.saved_searches.list(principal_of(site, "bea"))
    assert site.browsers["kim"].post(f"/recordings/searches/{saved.id}/remove").status_code == 404
    assert bea.post(f"/recordings/searches/{saved.id}/remove").status_code == 303
    assert "Angry" not in site.get("/recordings")
    for number in range(51):
        bea.post("/recordings/searches", params={"tag": "x"}, data={"name": f"n{number}"})
    kept = site.parts.saved_searches.list(principal_of(site, "bea"))
    assert len(kept) == 50
    for one in kept:
        site.parts.saved_searches.remove(principal_of(site, "bea"), one.id)


def principal_of(site: Site, name: str) -> Principal:
    with site.parts.catalogue.read() as work:
        user = work.users.by_username(name)
    return identity.of_user(user, [], "")


def test_many_services_are_a_table_in_the_order_of_what_is_wanted(spoken: Site) -> None:
    parts, by = spoken.parts, operator("test")
    with parts.catalogue.begin() as work:
        made = [work.tenants.add(a_tenant(name=f"shop-{n:02}", title=f"Shop {n:02}")) for n in range(14)]
        work.quarantine.record(
            spool="s", path="/x", relative="x", tenant_id=made[7].id, reason="r", message="m", held=True, size_bytes=1,
            at=parts.clock(),
        )  # fmt: skip
    keep(parts.catalogue, call(made[3], "large", datetime(2026, 9, 1, 9, tzinfo=UTC), stored_bytes=9_000_000_000))
    parts.accounts.create(by, "head", Role.ADMINISTRATOR, password=PASSWORD)
    boss = signed_in(spoken.url, "head")

    def shown(**asked: str) -> list[str]:
        return re.findall(r"<b>(Shop \d+)</b>", boss.get("/services", params={"find": "shop-", **asked}).text)

    assert shown()[0] == "Shop 07" and sorted(shown()) == [f"Shop {n:02}" for n in range(14)]
    assert shown(sort="name") == sorted(shown()) and shown(sort="size")[0] == shown(sort="recordings")[0] == "Shop 03"
    assert shown(sort="ingest")[-1] == "Shop 03" and shown(sort="'; DROP") == shown()
    assert 'aria-sort="descending"' in boss.get("/services").text
    # In the head of a page a part of a name is enough, where one service alone has it
    assert 'list="services"' in boss.get("/addons").text
    assert boss.get("/addons", params={"service": "shop 05"}).status_code == 200
    assert "Shop 11" in boss.get("/ftp", params={"service": "p 11"}).text
    for typed in ("shop", "nobody", " "):
        assert boss.get("/addons", params={"service": typed}).status_code == 404, typed
    boss.close()


def test_who_found_a_weakness_is_told_whom_to_write_to(site: Site) -> None:
    answer = httpx.get(f"{site.url}/.well-known/security.txt", trust_env=False)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert lines["Contact"] == "mailto:security@example.com"
    # RFC 9116 section 2.5.5: a date in the future, and less than a year ahead
    ahead = datetime.fromisoformat(lines["Expires"]) - datetime.now(UTC)
    assert 0 < ahead.days < 365


def test_of_many_services_the_form_of_a_user_lists_those_granted_and_one_set_of_actions_for_more(site: Site) -> None:
    parts, by = site.parts, operator("test")
    with parts.catalogue.begin() as work:
        services = [work.tenants.add(a_tenant(name=f"many-{n}", title=f"Many {n}")) for n in range(120)]
    parts.accounts.create(by, "boss", Role.ADMINISTRATOR, password=PASSWORD)
    granted = {services[0].id: ["search"], services[1].id: []}
    user = parts.accounts.create(by, "lee", Role.CLIENT, password=PASSWORD, grants=granted).user
    boss = signed_in(site.url, "boss")
    page = boss.get(f"/users/{user.id}").text
    assert len(page) < 60_000 and page.count('name="own"') == 2 and page.count('name="tenant"') >= 120

    sent = {
        "role": "client",
        "status": "active",
        "current_password": PASSWORD,
        "own": [services[0].id, services[1].id],
        "tenant": [services[0].id, services[1].id, services[7].id],
        f"action-{services[0].id}": ["search", "play"],
        "action-added": ["audit"],
    }
    assert boss.post(f"/users/{user.id}", data=sent).status_code == 303
    kept = {grant.tenant_id: set(grant.actions) for grant in parts.accounts.get(by, user.id).grants}
    assert kept == {services[0].id: {"search", "play"}, services[1].id: set(), services[7].id: {"audit"}}
    # What is refused is shown as it was typed, those added among the listed
    again = boss.post(f"/users/{user.id}", data=sent | {"role": "service"}).text
    assert "Tick what this Service User may do in Many 1" in again and again.count('name="own"') == 3
    boss.close()


# --- links for people outside -------------------------------------------------------------------------------------


def outsider(url: str) -> httpx.Client:
    """A browser of somebody without an account, which came by a letter."""
    return httpx.Client(base_url=url, trust_env=False, timeout=30, headers={"sec-fetch-site": "same-origin"})


def a_link(site: Site, of: Recording, **more: str) -> tuple[str, str]:
    """Make one on its page; its secret, and the page that shows it."""
    form = {"leg": of.id, "days": "7", "openings": "3", "passphrase": "", **more}
    answer = site.browsers["bea"].post("/recordings/share", params={"of": of.id}, data=form)
    assert answer.status_code == 200, answer.text
    shown = re.search(r'id="link">[^<]*/shared#([^<]+)</code>', answer.text)
    assert shown is not None, answer.text
    return html.unescape(shown[1]), answer.text


def heard_outside(site: Site, name: str, **changes: Any) -> Recording:
    body = b"RIFF" + bytes(9996)
    made = call(site.berlin, name, datetime(2026, 7, 1, 10, 4, 5, tzinfo=UTC), **changes)
    made = replace(made, stored_bytes=len(body), stored_sha256=hashlib.sha256(body).hexdigest())
    site.parts.store.put(made.object_key, io.BytesIO(body), len(body))
    [kept] = keep(site.parts.catalogue, made)
    return kept


def test_somebody_outside_hears_the_call_of_a_link_and_learns_nothing_else(site: Site) -> None:
    one = heard_outside(site, "in-+493012345678-201", facts={"caller_name": "Erin Doyle", "extension": "201"})
    secret, _ = a_link(site, one, label="Their lawyer", download="yes")
    with outsider(site.url) as browser:
        first = browser.get("/shared")
        assert "set-cookie" not in first.headers and secret not in first.text
        opened = browser.post("/shared", data={"code": secret})
        assert opened.status_code == 200 and "set-cookie" not in opened.headers
        for told in ("+49", "201", "Erin", "lawyer", "bea", "Berlin", "berlin", secret):
            assert told not in re.sub(r'/shared/[^"]+', "", opened.text).replace("Europe/Berlin", ""), told
        for answer in (first, opened):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "connect-src" not in policy and "blob:" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert "noindex" in answer.headers["x-robots-tag"] and 'name="robots" content="noindex' in answer.text
        assert opened.headers["referrer-policy"] == "no-referrer"

        source = re.search(r'<audio [^>]*src="([^"]+)"', opened.text)
        assert source is not None and one.id in source[1]
        part = browser.get(source[1], headers={"range": "bytes=4-103"})
        assert (part.status_code, len(part.content)) == (206, 100)
        assert part.headers["content-range"] == "bytes 4-103/10000" and "noindex" in part.headers["x-robots-tag"]
        assert browser.head(source[1]).headers["content-length"] == "10000"
        saved = browser.get(source[1] + "?download=true")
        assert saved.headers["content-disposition"] == 'attachment; filename="call-20260701-120405.wav"'
        assert hashlib.sha256(saved.content).hexdigest() == one.stored_sha256
        ticket = source[1].split("/")[2]
        assert browser.get(f"/recordings/{one.id}/media", follow_redirects=False).status_code == 303
        assert browser.get(f"/api/v1/recordings/{one.id}/media").status_code == 401
        other = heard_outside(site, "another")
        answers = [
            browser.get(path) for path in (f"/shared/{ticket}/{other.id}/media", f"/shared/{'x' * 32}/{one.id}/media")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]


def test_no_link_that_is_not_good_differs_from_one_that_never_was(site: Site) -> None:
    one = heard_outside(site, "alike")
    used, _ = a_link(site, one, openings="1")
    revoked, _ = a_link(site, one)
    locked, page = a_link(site, one, passphrase="seven green bottles")
    assert "Tell the passphrase by another way" in page and "seven green" not in page
    listed = site.get("/links", service="berlin")
    found = re.findall(r'action="/links/(\w{32})/revoke"', listed)
    assert site.browsers["bea"].post(f"/links/{found[1]}/revoke").status_code == 303
    with outsider(site.url) as browser:
        assert browser.post("/shared", data={"code": used}).status_code == 200
        answers = [
            browser.post("/shared", data={"code": code, "passphrase": typed})
            for code, typed in ((used, ""), (revoked, ""), (locked, ""), (locked, "not the one"), ("never", ""))
        ]
        assert {answer.status_code for answer in answers} == {403}
        assert len({re.sub(r'name="code" value="[^"]*"', "", answer.text) for answer in answers}) == 1
        assert browser.post("/shared", data={"code": locked, "passphrase": "seven green bottles"}).status_code == 200
        cross = browser.post("/shared", data={"code": locked}, headers={"sec-fetch-site": "cross-site"})
        assert cross.status_code == 403 and "Not opened" not in cross.text
    with site.parts.catalogue.begin() as work:
        work.failures.prune(datetime(2100, 1, 1, tzinfo=UTC))  # this address is that of all tests
    log = site.browsers["bea"].get("/audit", params={"service": "berlin"})
    assert "opened a link to " in log.text and "could not open a link to" in log.text
    assert "it was opened as often as it may be" in log.text and used not in log.text


def test_a_link_to_what_is_sealed_gives_the_sealed_file_and_the_page_that_opens_it(site: Site) -> None:
    one = heard_outside(site, "sealed", sealed=True)
    one_page = site.get("/recordings/share", of=one.id)
    assert "It is sealed and stays so" in one_page
    refused = site.browsers["bea"].post(
        "/recordings/share", params={"of": one.id}, data={"leg": one.id, "days": "7", "openings": "3", "label": "Kim"}
    )
    assert refused.status_code == 422 and "can only be saved" in refused.text and 'value="Kim"' in refused.text
    secret, _ = a_link(site, one, download="yes")
    with outsider(site.url) as browser:
        page = browser.post("/shared", data={"code": secret}).text
        assert "<audio" not in page and "/open-recordings.html" in page and "key-file" not in page
        save = re.search(r'href="(/shared/[^"]+download=true)"', page)
        assert save is not None
        answer = browser.get(html.unescape(save[1]))
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == 'attachment; filename="call-20260701-120405.wav.enc"'
        assert browser.get("/open-recordings.html").status_code == 200


def test_links_are_seen_and_ended_by_who_may_share_there_alone(site: Site) -> None:
    one = heard_outside(site, "mine")
    a_link(site, one, label="For the file")
    link_id = re.findall(r'action="/links/(\w{32})/revoke"', site.get("/links"))[0]
    assert "For the file" in site.get("/links") and "For the file" not in site.get("/links", "kim")
    kim = site.browsers["kim"]
    assert kim.get("/links", params={"service": "berlin"}).status_code == 404
    assert kim.get("/recordings/share", params={"of": one.id}).status_code == 404
    assert kim.post(f"/links/{link_id}/revoke").status_code == 404
    assert link_id in site.get("/links")
    for typed, field in (("x", "days"), ("0", "openings")):
        form = {"leg": one.id, "days": "7", "openings": "3"} | {field: typed}
        answer = site.browsers["bea"].post("/recordings/share", params={"of": one.id}, data=form)
        assert answer.status_code == 422 and 'id="problem"' in answer.text


def test_the_search_that_scanners_attack_is_understood_before_it_is_attacked(site: Site) -> None:
    assert 'id="refusal"' not in site.get(SQL["search, dashboard"].path.replace("acme", site.berlin.name))
