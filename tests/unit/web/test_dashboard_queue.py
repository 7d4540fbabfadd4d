"""Quarantine as a queue: what waits for what, where it lies, and many tried again at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from recpipe import samples, wiring
from recpipe.access.principal import Action, operator
from recpipe.errors import Forbidden
from recpipe.model import AuditQuery, Direction, RecordingQuery, Role
from recpipe.pipeline.ingest import Ingest
from recpipe.settings import Settings, Spool
from recpipe.web.deps import WebContext
from tests.integration.api import served
from tests.unit.web.test_dashboard_recordings import PASSWORD, signed_in

NAMES = [f"out-0301234000{n}-201-20250327-09251{n}-174306391{n}.{n}.wav" for n in range(2)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path, wiring.Parts]]:
    """An administrator who is signed in, and a spool with two files that are no audio and one of an unknown name."""
    home = tmp_path_factory.mktemp("queue")
    (monitor := home / "monitor").mkdir()
    spool = Spool(path=monitor, tenant="acme", settle_seconds=0)
    with wiring.open_parts(Settings(data_dir=home / "data", spool=(spool,))) as parts:
        by = operator("test")
        parts.tenants.create(by, "acme", title="Acme")
        parts.accounts.create(by, "root", Role.ADMINISTRATOR, password=PASSWORD)
        parts.accounts.create(by, "cy", Role.CLIENT, password=PASSWORD)
        for name in NAMES:
            (monitor / name).write_bytes(b"this is no audio at all, whatever its name says" * 40)
        (monitor / "who knows.wav").write_bytes(b"nor is this" * 200)
        Ingest(parts.settings, parts.catalogue, parts.store, clock=parts.clock).drain(patience_seconds=10)
        with served(WebContext.of(parts)) as url:
            browser = signed_in(url, "root")
            yield browser, monitor, parts
            browser.close()


def test_what_waits_is_counted_in_the_menu_narrowed_by_reason_and_tried_again_at_once(
    root: tuple[httpx.Client, Path, wiring.Parts],
) -> None:
    browser, monitor, parts = root
    entries = parts.quarantine.list(operator("test")).items
    reasons = {entry.relative: entry.reason for entry in entries}
    assert len(entries) == 3 and reasons[NAMES[0]] == reasons[NAMES[1]] != reasons["who knows.wav"]
    page = browser.get("/system").text
    assert '<span class="badge">3<span class="heard"> waiting</span></span>' in page
    assert all(entry.path in page for entry in entries), "the operator is told where they lie"
    # One reason
    of_these = browser.get("/system", params={"reason": reasons[NAMES[0]]}).text
    assert NAMES[0] in of_these and NAMES[1] in of_these and "who knows" not in of_these
    # When they are tried again, they are back in the spool, and the other one is not
    answer = browser.post("/system/quarantine/retry", data={"reason": reasons[NAMES[0]]})
    assert answer.headers["location"] == "/system?done=retried-all"
    assert [path.name for path in sorted(monitor.glob("*.wav"))] == NAMES
    assert '<span class="badge">1<' in browser.get("/system").text
    # A file whose name is taken in the spool is told, and stays where it is
    (monitor / "who knows.wav").write_bytes(b"another")
    refused = browser.post("/system/quarantine/retry", data={"reason": ""})
    assert refused.status_code == 409 and "1 could not be put back" in refused.text
    assert parts.quarantine.waiting(operator("test")) == 1


def test_who_may_not_decide_is_told_of_none(root: tuple[httpx.Client, Path, wiring.Parts]) -> None:
    browser, _, _ = root
    other = signed_in(str(browser.base_url).rstrip("/"), "cy")
    assert other.post("/system/quarantine/retry", data={"reason": ""}).status_code == 403
    assert "badge" not in other.get("/account").text
    other.close()


def test_a_file_that_says_nothing_is_saved_and_taken_with_what_a_person_says_of_its_call(
    root: tuple[httpx.Client, Path, wiring.Parts],
) -> None:
    browser, monitor, parts = root
    by = operator("test")
    sound = samples.paths()["order-inquiry.wav"].read_bytes()
    (monitor / "Tuesday, the angry one.wav").write_bytes(sound)
    Ingest(parts.settings, parts.catalogue, parts.store, clock=parts.clock).drain(patience_seconds=10)
    [entry] = [one for one in parts.quarantine.list(by).items if one.relative.startswith("Tuesday")]
    address = f"/system/quarantine/{entry.id}"
    assert f'href="{address}"' in browser.get("/system").text
    page = browser.get(address)
    assert page.status_code == 200 and entry.path in page.text and "Acme" in page.text

    # It is saved as it came, by who may download there, and never of a tenant that seals
    saved = browser.get(f"{address}/file")
    assert saved.content == sound and saved.headers["content-disposition"].startswith("attachment;")
    assert saved.headers["content-type"] == "application/octet-stream"
    few = replace(by, scopes=frozenset({Action.QUARANTINE}))
    with pytest.raises(Forbidden):
        parts.quarantine.open(few, entry.id)
    with parts.catalogue.begin() as work:
        acme = work.tenants.named("acme")
        work.tenants.update(replace(acme, encryption=True))
    refused = browser.get(f"{address}/file")
    assert refused.status_code == 409 and "sealed" in refused.text
    with parts.catalogue.begin() as work:
        work.tenants.update(acme)

    # What cannot be is refused with what was typed
    form = {"started_at": "", "caller": "+4930123456", "direction": "inbound", "callee": "201"}
    for wrong in ({}, {"started_at": "2025-03-27T09:25", "direction": "sideways"}):
        answer = browser.post(f"{address}/take", data=form | wrong)
        assert answer.status_code == 422 and 'value="+4930123456"' in answer.text and 'id="problem"' in answer.text
    taken = browser.post(f"{address}/take", data=form | {"started_at": "2025-03-27T09:25"})
    assert taken.headers["location"] == "/system?done=taken"
    assert browser.get(address).status_code == 404
    Ingest(parts.settings, parts.catalogue, parts.store, clock=parts.clock).drain(patience_seconds=10)
    [found] = parts.reader.search(by, None, RecordingQuery(number="+4930123456")).items
    assert (found.facts.direction, found.facts.callee) == (Direction.INBOUND, "201")
    assert f"{found.started_at:%Y-%m-%d %H:%M}" == "2025-03-27 09:25" and found.source_name == entry.relative
    assert not list(monitor.glob("Tuesday*"))
    told = [(e.action, e.outcome.value) for e in parts.trail.list(by, query=AuditQuery(subject=entry.id)).items]
    assert told == [("quarantine.take", "ok"), ("download", "denied"), ("quarantine.download", "ok")]
    other = signed_in(str(browser.base_url).rstrip("/"), "cy")
    assert other.get(address).status_code == 403
    other.close()
