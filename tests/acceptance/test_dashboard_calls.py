"""A call that was transferred out of a queue, in Chromium and over FTP: one line, played through, taken as a whole."""

from __future__ import annotations

import csv
import ftplib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from recpipe.access.principal import operator
from recpipe.model import Recording, Role
from tests.acceptance.portal import PASSWORD, Portal, choose_key, enter, portal, until
from tests.acceptance.test_dashboard_pages import AXE, barriers_of, too_wide_at
from tests.services import need
from tests.services.browser import NewPage

LINKED = "1743067517.31"
LEGS = ("order-inquiry.wav", "brake-repair-stereo.wav", "invoice-request.mp3")  # the queue, the agent, the colleague


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal(tmp_path_factory.mktemp("calls")) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        made.drop("opening-hours-alaw.wav", by="02079460001", ago=60)
        # The last leg comes first; the agent's is sealed.
        made.drop(LEGS[2], kind="internal", to="203", by="202", ago=10)
        made.drop(LEGS[0], kind="q", to="600", by="02079460958", ago=20)
        made.recordings(3)
        made.seal_from_now_on(made.northwind)
        made.drop(LEGS[1], to="202", by="02079460958", ago=19)
        made.recordings(4)
        yield made


@pytest.fixture(scope="module")
def legs(running: Portal) -> list[Recording]:
    """The legs in their order; their records come in the wrong one."""
    colleague, agent, queue, _ = running.recordings(4)
    for leg in (colleague, queue, agent):
        with running.parts.catalogue.begin() as work:
            recordings = work.of(running.northwind.id).recordings
            recordings.set_facts(leg.id, replace(leg.facts, linked_id=LINKED))
    with running.parts.catalogue.read() as work:
        return list(work.call([running.northwind.id], agent.id).legs)


@pytest.fixture
def carl(running: Portal, legs: list[Recording], new_page: NewPage) -> Page:
    page = new_page(accept_downloads=True)
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings")
    return page


def shown(page: Page) -> list[str]:
    return list(
        page.locator("#results tr[data-recording]:visible").evaluate_all("all => all.map(row => row.dataset.recording)")
    )


def test_a_transferred_call_is_one_line_with_its_legs(carl: Page, legs: list[Recording]) -> None:
    expect(carl.locator("#summary")).to_contain_text("2 calls")
    assert len(shown(carl)) == 1, "the other call; legs are folded away"
    whole = carl.locator("#results tr.whole")
    expect(whole).to_have_count(1)
    expect(whole).to_contain_text("02079460958")
    expect(whole.locator(".lock")).to_contain_text("Sealed in part")
    whole.get_by_role("button", name="Show the 3 legs").press("Enter")
    assert shown(carl)[:3] == [leg.id for leg in legs]
    # Found by the number of any leg, also of the colleague whom the caller never dialled.
    carl.get_by_label("Find", exact=True).fill("203")
    expect(carl.locator("#summary")).to_contain_text("1 call")
    expect(carl.locator("#results tr.whole")).to_have_count(1)
    # Chosen as a whole, or leg by leg.
    carl.get_by_label("Select the call of").check()
    expect(carl.get_by_role("button", name="Download 3 as ZIP")).to_be_visible()
    carl.get_by_role("button", name="Show the 3 legs").click()
    carl.get_by_label("Select the leg of").nth(1).uncheck()
    expect(carl.get_by_role("button", name="Download 2 as ZIP")).to_be_visible()
    assert carl.get_by_label("Select the call of").evaluate("box => box.indeterminate && !box.checked")


def test_it_plays_through_on_one_line(carl: Page, running: Portal, legs: list[Recording]) -> None:
    choose_key(carl, running.home / "myprivatekey.pem")
    seconds = sum(leg.duration_ms for leg in legs) / 1000
    carl.get_by_role("button", name="Play all legs").click()
    title, audio = carl.locator("#player-title"), "document.getElementById('audio')"
    expect(title).to_contain_text("leg 1 of 3")
    until(carl, f"!{audio}.paused")
    # Each leg goes on into the next; the sealed one is opened for it.
    for leg in (2, 3):
        until(carl, f"{audio}.duration > 0")
        carl.evaluate(f"{audio}.currentTime = {audio}.duration - 0.2")
        expect(title).to_contain_text(f"leg {leg} of 3")
        until(carl, f"!{audio}.paused && {audio}.currentTime > 0.05")
    minutes, rest = divmod(int(seconds), 60)
    expect(carl.locator("#total")).to_have_text(f"{minutes}:{rest:02}")
    assert (
        carl.locator("#seek").evaluate("seek => Number(seek.value)")
        > 1000 * (1 - legs[2].duration_ms / 1000 / seconds) - 5
    )
    # And back to the first one by the line of all.
    carl.locator("#seek").evaluate("seek => { seek.value = 10; seek.dispatchEvent(new Event('change')); }")
    expect(title).to_contain_text("leg 1 of 3")
    until(carl, f"!{audio}.paused && {audio}.currentTime > 0.01 * {seconds}")
    # Or one leg alone.
    carl.get_by_role("button", name="Show the 3 legs").click()
    carl.get_by_role("button", name="Play the leg of").last.click()
    expect(title).not_to_contain_text("of 3")


def test_it_is_downloaded_as_one_zip_and_its_files_are_named_over_ftp(
    carl: Page, running: Portal, legs: list[Recording]
) -> None:
    with carl.expect_download() as download:
        carl.get_by_role("link", name="Download the call of").click()
    with zipfile.ZipFile(Path(download.value.path())) as archive:
        manifest = json.loads(archive.read("manifest.json"))["recordings"]
        assert [one["id"] for one in manifest] == [leg.id for leg in legs]
        assert {one["path"] for one in manifest} < set(archive.namelist())
    with carl.expect_download() as download:
        carl.get_by_role("link", name="CSV of this search").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8-sig"), newline="")))
    assert [row["id"] for row in rows if row["call"] == legs[0].call] == [leg.id for leg in legs]
    running.parts.ftp_accounts.create(operator("test"), running.northwind.id, "northwind", password=PASSWORD)
    named = {}
    with ftplib.FTP(timeout=20) as client:
        client.connect("127.0.0.1", int(running.parts.settings.ftp_listen.rpartition(":")[2]))
        client.login("northwind", PASSWORD)
        for day in {leg.day for leg in legs}:
            content = io.BytesIO()
            client.retrbinary(f"RETR /{day.replace('-', '/')}/CALLS.csv", content.write)
            for row in csv.DictReader(io.StringIO(content.getvalue().decode("utf-8-sig"), newline="")):
                named[row["name"]] = row["call"]
    assert {named[leg.name] for leg in legs} == {legs[0].call} and len(set(named.values())) > 1


def test_it_is_readable_on_a_phone_and_by_everybody(running: Portal, legs: list[Recording], new_page: NewPage) -> None:
    if not AXE.is_file():
        need.missing("axe-core is not installed; scripts/setup installs it")
    page = new_page()
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings?call={legs[1].id}")  # the address of any leg is that of the call
    assert shown(page) == [leg.id for leg in legs]
    page.get_by_role("button", name="Play all legs").click()
    page.evaluate(AXE.read_text())
    assert list(barriers_of(page)) == [] and list(too_wide_at(page)) == []
