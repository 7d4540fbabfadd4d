"""Call Routing, and Offices & Users: which calls are recorded, over real sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.access.tokens import new_token
from recpipe.model import CallAsked, Direction, Role, SeenKind, Tenant
from recpipe.policy.judge import judge
from recpipe.settings import Settings
from recpipe.web.deps import WebContext
from tests.contracts.catalogue_samples import a_recording, keep
from tests.integration.api import served

PASSWORD = "correct horse battery"
BY = operator("test")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[wiring.Parts]:
    with wiring.open_parts(Settings(data_dir=tmp_path_factory.mktemp("routing"))) as made:
        yield made


@pytest.fixture(scope="module")
def url(parts: wiring.Parts) -> Iterator[str]:
    with served(WebContext.of(parts)) as address:
        yield address


@pytest.fixture(scope="module")
def acme(parts: wiring.Parts) -> Tenant:
    made = parts.tenants.create(BY, "acme", region="AU", timezone="Australia/Sydney")
    parts.tenants.create(BY, "other")
    return parts.tenants.set_recording(BY, made.id, True, agreed=True)


@pytest.fixture(scope="module")
def bea(parts: wiring.Parts, acme: Tenant, url: str) -> Iterator[httpx.Client]:
    """Somebody who may change what is recorded, and nothing else."""
    parts.accounts.create(BY, "bea", Role.SERVICE, grants={acme.id: ["policy"]}, password=PASSWORD)
    headers = {"sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=url, headers=headers, follow_redirects=True, trust_env=False, timeout=60) as browser:
        assert browser.post("/sign-in", data={"username": "bea", "password": PASSWORD}).status_code == 200
        yield browser


def apply(browser: httpx.Client) -> httpx.Response:
    page = browser.get("/changes").text
    found = re.search(r'name="changes" value="([0-9a-f ]+)"', page)
    assert found, page
    return browser.post("/changes/apply", data={"service": "acme", "changes": found[1]})


def told(parts: wiring.Parts, tenant: Tenant, direction: Direction, extension: str = "", route: str = "") -> str:
    with parts.catalogue.read() as work:
        policy = work.of(tenant.id).policy.whole()
    return judge(policy, CallAsked(direction, route, (extension,))).verdict.value


def test_a_number_and_an_extension_are_added_looked_at_applied_and_in_the_history(
    parts: wiring.Parts, acme: Tenant, bea: httpx.Client
) -> None:
    number = {"service": "acme", "number": "02 9999 0000", "name": "Hot <b>line</b>", "recording": "record"}
    assert "Saved as a pending change" in bea.post("/routing/one", data=number).text
    assert told(parts, acme, Direction.INBOUND, route="+61299990000") == "default"
    extension = {"service": "acme", "extension": "201", "name": "Ann", "office": "Sydney", "outbound": "skip"}
    bea.post("/extensions/one", data=extension | {"locked": "yes"})
    page = bea.get("/routing").text
    assert "+61299990000" in page and "Pending" in page and "<b>line</b>" not in page
    waiting = bea.get("/changes").text
    assert "Call route" in waiting and "Extension" in waiting and "<ins>skip</ins>" in waiting
    assert "Applied. The changes are in effect." in apply(bea).text
    assert told(parts, acme, Direction.INBOUND, route="0299990000") == "record"
    assert told(parts, acme, Direction.OUTBOUND, "201") == "skip"
    history = bea.get("/history").text
    assert "+61299990000" in history and "201" in history
    # Changed and removed in the table of the page
    row = {"service": "acme", "subject": "201", "name-0": "Ann", "office-0": "Sydney", "outbound-0": "record"}
    rows = row | {"inbound-0": "default", "internal-0": "default", "locked-0": "yes"}
    assert "Saved as a pending change" in bea.post("/extensions/rules", data=rows).text
    assert "Nothing to change" in bea.post("/extensions/rules", data=rows).text
    gone = {"service": "acme", "subject": "+61299990000", "remove-0": "yes"}
    assert "Removed when applied" in bea.post("/routing/rules", data=gone).text
    apply(bea)
    assert told(parts, acme, Direction.OUTBOUND, "201") == "record"
    assert told(parts, acme, Direction.INBOUND, route="+61299990000") == "default"


def test_a_thousand_extensions_are_imported_found_changed_at_once_and_applied(
    parts: wiring.Parts, acme: Tenant, bea: httpx.Client
) -> None:
    lines = [f"{number};Person {number};Office {number % 7};record;;skip" for number in range(1000, 2000)]
    content = "\ufeffExtension;Name;Office;Outbound;Inbound;Internal\r\n" + "\r\n".join(lines)
    files = {"file": ("people.csv", content.encode())}
    assert "Saved as a pending change" in bea.post("/extensions/table", data={"service": "acme"}, files=files).text
    waiting = bea.get("/changes").text
    assert "900 more changes wait" in waiting and "Apply all 1000 changes" in waiting
    assert waiting.count('class="diff"') == 100
    assert bea.get("/changes", params={"show": "all"}).text.count('class="diff"') == 1000
    apply(bea)
    assert told(parts, acme, Direction.INTERNAL, "1500") == "skip"
    page = bea.get("/extensions", params={"find": "office 3"}).text
    assert page.count('name="subject"') == 50 and "Page 1 of 3" in page
    every = {"service": "acme", "find": "Office 3", "internal": "record", "locked": "yes"}
    bea.post("/extensions/every", data=every)
    assert "Apply all 143 changes" in bea.get("/changes").text
    apply(bea)
    said = {number % 7: told(parts, acme, Direction.INTERNAL, str(number)) for number in range(1000, 1007)}
    assert said == {office: "record" if office == 3 else "skip" for office in range(7)}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"name\nAnn", "extension is missing"),
        (b"extension,salary\n201,1", "&#39;salary&#39; is none of them"),
        (b"extension,outbound\n201,record\n202,never", "Line 3: outbound is record, skip or default"),
        (b"extension,name\n2 01,Ann", "Line 2"),
        (b"extension,name\n301,Ann,more", "Line 2: there are more cells than headings"),
        (b"extension\xff\n1", "not UTF-8"),
        (b"", "extension is missing"),
    ],
)
def test_a_table_that_cannot_be_understood_says_where(bea: httpx.Client, content: bytes, why: str) -> None:
    files = {"file": ("people.csv", content)}
    answer = bea.post("/extensions/table", data={"service": "acme"}, files=files)
    assert answer.status_code == 422 and why in answer.text


def test_what_was_seen_is_decided_with_one_click(parts: wiring.Parts, acme: Tenant, bea: httpx.Client) -> None:
    keep(parts.catalogue, a_recording(acme, facts={"extension": "777", "route": "0288887777"}))
    with parts.catalogue.begin() as work:
        work.of(acme.id).policy.note_seen(SeenKind.EXTENSION, {"778": parts.clock()})
    page = bea.get("/extensions").text
    assert "Seen, undecided" in page and "Skip: 777" in page and "Record: 778" in page
    bea.post("/extensions/one", data={"service": "acme", "extension": "777", "every": "skip"})
    assert "Skip: 777" not in bea.get("/extensions").text
    apply(bea)
    assert {told(parts, acme, direction, "777") for direction in (Direction.INBOUND, Direction.INTERNAL)} == {"skip"}


def test_what_holds_for_all_calls_is_saved_as_well(parts: wiring.Parts, acme: Tenant, bea: httpx.Client) -> None:
    wanted = {"service": "acme", "otherwise": "skip", "unanswered": "record", "beep_seconds": "15"}
    assert "Saved as a pending change" in bea.post("/routing/service", data=wanted | {"announcement": ""}).text
    for wrong in ({"beep_seconds": "1"}, {"beep_seconds": "x"}, {"announcement": "../x"}, {"otherwise": "yes"}):
        assert bea.post("/routing/service", data={"announcement": "", **wanted, **wrong}).status_code == 422
    apply(bea)
    assert told(parts, acme, Direction.OUTBOUND, "999") == "skip"
    bea.post("/routing/service", data=wanted | {"otherwise": "default"})
    apply(bea)


def test_another_tenant_is_not_there_and_rights_are_asked_for(parts: wiring.Parts, acme: Tenant, url: str) -> None:
    parts.accounts.create(BY, "carl", Role.SERVICE, grants={acme.id: ["keys"]}, password=PASSWORD)
    headers = {"sec-fetch-site": "same-origin"}
    with httpx.Client(base_url=url, headers=headers, follow_redirects=True, trust_env=False, timeout=60) as browser:
        browser.post("/sign-in", data={"username": "carl", "password": PASSWORD})
        for path in ("/routing", "/extensions"):
            assert browser.get(path).status_code == 403
            for word in ("rules", "every", "one", "table", "service"):
                data = {"service": "acme", "number": "1", "extension": "1"}
                assert browser.post(f"{path}/{word}", data=data).status_code == 403
                assert browser.post(f"{path}/{word}", data=data | {"service": "other"}).status_code == 404
        assert "Call Routing" not in browser.get("/services").text
        cross = browser.post("/routing/one", data={"service": "acme"}, headers={"sec-fetch-site": "cross-site"})
        assert cross.status_code == 403


def test_the_configuration_of_a_pbx_is_fetched_with_its_token_built_in(acme: Tenant, bea: httpx.Client) -> None:
    token = new_token()
    answer = bea.post("/routing/pbx", data={"service": "acme", "for": "freepbx", "token": token})
    assert answer.headers["content-type"].startswith("text/plain") and token in answer.text
    assert answer.headers["content-disposition"] == 'attachment; filename="recpipe-acme-freepbx.txt"'
    assert bea.post("/routing/pbx", data={"service": "acme", "for": "json"}).json()["tenant"] == "acme"
    refused = bea.post("/routing/pbx", data={"service": "acme", "for": "asterisk", "token": "rp_typed-wrong"})
    assert refused.status_code == 422 and "rp_typed-wrong" not in refused.text
    assert bea.post("/routing/pbx", data={"service": "acme", "for": "a shell"}).status_code == 422
    assert bea.post("/routing/pbx", data={"service": "other", "for": "json"}).status_code == 404
