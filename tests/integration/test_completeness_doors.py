"""Reports > Completeness, and what the API says of it, over real sockets."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from recpipe.access.principal import operator
from recpipe.model import CallState, DayCompleteness, Role
from tests.contracts.catalogue_completeness import a_finding
from tests.contracts.catalogue_samples import DAY, NOW, a_recording, keep
from tests.integration.api import World, world

PASSWORD = "correct horse battery"
HOSTILE = "<img src=x onerror=alert(1)>=1+1"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("completeness")) as made:
        catalogue = made.context.parts.catalogue
        (recording,) = keep(catalogue, a_recording(made.acme, facts={"call_id": "1790000000.9"}))
        gone = "9" * 32
        findings = [a_finding(made.acme, started_at=NOW + timedelta(seconds=number)) for number in range(60)]
        findings += [
            a_finding(made.acme, kind=CallState.IN_ERROR, rule="route:+4930123456", recording_id=recording.id),
            a_finding(made.acme, kind=CallState.DIFFERS, recording_id=gone, expected_ms=60_000, actual_ms=9_000),
            a_finding(made.acme, kind=CallState.UNCONFIRMED, call_id=HOSTILE, extension=HOSTILE, rule=HOSTILE),
            a_finding(made.acme, kind=CallState.NO_CALL_RECORD, rule="", closed_at=NOW + timedelta(hours=4)),
        ]
        counts = {"arrived": 1200, "missing": 60, "unanswered": 7, "recorded-in-error": 1}
        with catalogue.begin() as work:
            work.of(made.acme.id).completeness.set_findings(findings)
            days = [DayCompleteness(DAY, "service", counts, NOW), DayCompleteness(DAY, "", {"unasked": 2}, NOW)]
            work.of(made.acme.id).completeness.set_days(DAY, DAY, days)
            work.of(made.globex.id).completeness.set_findings([a_finding(made.globex, extension="globex-only")])
        yield made


def test_the_api_gives_counts_and_findings_page_by_page(there: World) -> None:
    client = there.client("client")
    asked = {"tenant": "acme", "from": DAY, "to": DAY}
    answer = client.get("/api/v1/completeness", params=asked | {"limit": "60"}).json()
    (unasked, service) = answer["days"]
    assert (service["expected"], service["arrived"], service["excused"], service["missing"]) == (1267, 1200, 7, 60)
    assert (service["recorded_in_error"], unasked["rule"], unasked["counts"]) == (1, "", {"unasked": 2})
    rest = client.get("/api/v1/completeness", params=asked | {"limit": "60", "cursor": answer["next"]}).json()
    assert len(answer["findings"]) == 60 and len(rest["findings"]) == 4 and rest["next"] is None
    closed = client.get("/api/v1/completeness", params=asked | {"kind": "no-call-record"}).json()["findings"]
    assert [one["open_seconds"] for one in closed] == [3 * 3600]
    assert not client.get("/api/v1/completeness", params=asked | {"kind": "no-call-record", "open": "true"}).json()[
        "findings"
    ]
    ruled = client.get("/api/v1/completeness", params=asked | {"rule": "route:+4930123456"}).json()["findings"]
    assert [one["kind"] for one in ruled] == ["recorded-in-error"]
    for wrong, status in (
        ({"from": "2026-02-02", "to": "2026-01-01"}, 422),
        ({"from": "2020-01-01", "to": "2026-01-01"}, 422),
        ({"to": "0001-01-02", "from": ""}, 422),
        ({"kind": "nothing"}, 422),
        ({"cursor": "damaged"}, 422),
    ):
        assert client.get("/api/v1/completeness", params=asked | wrong).status_code == status, wrong
    assert client.get("/api/v1/completeness", params={"tenant": "acme", "to": "0001-01-02"}).status_code == 422


def test_the_csv_has_every_row_and_nothing_that_a_spreadsheet_calculates(there: World) -> None:
    client = there.client("client")
    asked = {"tenant": "acme", "from": DAY, "to": DAY}
    answer = client.get("/api/v1/completeness/export", params=asked)
    assert f'filename="completeness-acme-{DAY}-{DAY}-findings.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 64 and "globex-only" not in answer.text
    days = client.get("/api/v1/completeness/export", params=asked | {"of": "days"})
    shown = list(csv.DictReader(io.StringIO(days.content.decode("utf-8-sig"))))
    assert [(row["rule"], row["missing"]) for row in shown] == [("", "0"), ("service", "60")]


def test_the_page_tells_each_finding_and_leads_to_its_call(there: World) -> None:
    accounts = there.context.parts.accounts
    accounts.create(operator("t"), "cora", Role.CLIENT, password=PASSWORD, grants={there.acme.id: []})
    accounts.create(operator("t"), "ada-only", Role.SERVICE, password=PASSWORD, grants={there.acme.id: ["audit"]})
    with httpx.Client(base_url=there.url, follow_redirects=False) as browser:
        assert browser.get("/completeness").status_code == 303
        browser.post("/sign-in", data={"username": "cora", "password": PASSWORD}, headers={"origin": there.url})
        first = browser.get("/completeness", params={"from": DAY, "to": DAY}).text
        assert "<b>1,267</b><span>expected" in first and "As the PBX says" not in first
        further = re.search(r'href="([^"]+cursor=[^"]+)"', first)
        assert further is not None
        last = browser.get(html.unescape(further[1])).text
        both = first + last
        assert HOSTILE not in both and html.escape(HOSTILE) in both
        assert re.search(r'href="/recordings\?call=[0-9a-f]{32}">The recording', both)
        assert "9" * 32 not in both, "a recording that is gone leads nowhere"
        assert "0:09 instead of 1:00" in both and "Put right" in both and "after 3 hours" in both
        assert "Route +4930123456" in both and "globex-only" not in both
        none = browser.get("/completeness", params={"from": DAY, "to": DAY, "rule": "-"}).text
        assert "Nothing said" in none and "/recordings?call=" not in none
        assert (
            "Nothing is known" in browser.get("/completeness", params={"from": "2020-01-01", "to": "2020-01-02"}).text
        )
        assert browser.get("/completeness", params={"service": "globex"}).status_code == 404
        assert browser.get("/completeness/export.csv", params={"service": "globex"}).status_code == 404
        assert browser.get("/completeness", params={"from": "x"}).status_code == 422
        exported = browser.get("/completeness/export.csv", params={"from": DAY, "to": DAY, "kind": "missing"})
        assert exported.text.count("missing") == 60
    with httpx.Client(base_url=there.url) as browser:
        browser.post("/sign-in", data={"username": "ada-only", "password": PASSWORD}, headers={"origin": there.url})
        assert browser.get("/completeness").status_code == 403
