"""Deleting recordings in Chromium: by pointer, by keyboard, and by who may not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from recpipe.model import AuditQuery, Role
from tests.acceptance.portal import Portal, enter, portal
from tests.services.browser import Complaints, NewPage


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with portal(tmp_path_factory.mktemp("deleting")) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        made.user("dora", Role.SERVICE, {made.northwind.id: ["delete"]})
        made.user("sue", Role.SERVICE, {made.northwind.id: ["search", "export"]})
        made.user("gil", Role.CLIENT, {made.globex.id: []})
        yield made


@pytest.fixture
def calls(running: Portal) -> list[str]:
    """The ids of three calls, newest first."""
    for number in range(3):
        running.drop("order-inquiry.wav", by=f"0207946077{number}", ago=5 + number)
    return [found.id for found in running.recordings(3)[:3]]


@pytest.fixture(autouse=True)
def nothing_left(running: Portal) -> Iterator[None]:
    yield
    with running.parts.catalogue.begin() as work:
        recordings = work.of(running.northwind.id).recordings
        for found in recordings.after():
            recordings.delete(found.id, found.ingested_at, "test")


def reasons(running: Portal) -> dict[str, object]:
    with running.parts.catalogue.read() as work:
        return {e.subject: e.detail.get("reason") for e in work.audit.list(AuditQuery(action="delete")).items}


def rows(page: Page) -> object:
    return page.locator("#results tr[data-recording]").evaluate_all("all => all.map(row => row.dataset.recording)")


def test_chosen_calls_are_named_explained_and_deleted(running: Portal, calls: list[str], page: Page) -> None:
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings?find=0207946&match=containing")
    expect(page.get_by_role("button", name="Delete …")).to_be_disabled()
    page.get_by_label("Select the call of").nth(0).check()
    page.get_by_label("Select the call of").nth(1).check()
    page.get_by_role("button", name="Delete 2 …").click()

    expect(page.get_by_role("heading", name="Delete 2 recordings?")).to_be_visible()
    expect(page.get_by_text("Deleting is final")).to_be_visible()
    for number in ("02079460770", "02079460771"):
        expect(page.get_by_role("cell", name=number, exact=True)).to_be_visible()
    expect(page.get_by_text("02079460772")).to_have_count(0)

    # Without a reason nothing happens
    page.get_by_role("button", name="Delete for good").click()
    assert page.locator("#reason").evaluate("e => e.validity.valueMissing")
    assert len(running.recordings(3)) == 3

    page.get_by_label("Why?").fill("erasure request 4711")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_text("Deleted for good.")).to_be_visible()
    # Back in the search it came from
    expect(page.get_by_label("Find", exact=True)).to_have_value("0207946")
    assert rows(page) == [calls[2]]
    assert reasons(running) | dict.fromkeys(calls[:2], "erasure request 4711") == reasons(running)


def test_one_call_is_deleted_with_the_keyboard_alone(running: Portal, calls: list[str], page: Page) -> None:
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings")
    page.get_by_role("link", name="Delete the call of").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Delete 1 recording?")).to_be_visible()
    page.get_by_label("Why?").focus()
    expect(page.get_by_label("Why?")).to_have_accessible_description(
        "Kept on the audit log with your name. Write no names or telephone numbers into it."
    )
    page.keyboard.type("wrong number")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Delete for good")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Deleted for good.")).to_be_visible()
    assert rows(page) == calls[1:]


def test_cancelling_deletes_nothing(running: Portal, calls: list[str], page: Page) -> None:
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings?direction=inbound")
    page.get_by_label("Select all").check()
    page.get_by_role("button", name="Delete 3 …").click()
    page.get_by_role("link", name="Cancel").click()
    expect(page).to_have_url(f"{running.url}/recordings?direction=inbound")
    assert rows(page) == calls


def test_a_reason_that_cannot_be_kept_is_explained_and_stays_to_be_mended(
    running: Portal, calls: list[str], page: Page, complaints: Complaints
) -> None:
    complaints.expect("status of 422")
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings/delete?id={calls[0]}")
    page.get_by_label("Why?").fill("  ")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("alert")).to_contain_text("Say why they may be deleted")
    page.get_by_label("Why?").fill("turned \u202eround")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("alert")).to_contain_text("without control characters")
    expect(page.get_by_label("Why?")).to_have_value("turned \u202eround")
    assert len(running.recordings(3)) == 3


def test_who_may_not_sees_no_way_and_finds_none(
    running: Portal, calls: list[str], new_page: NewPage, complaints: Complaints
) -> None:
    complaints.expect(r"status of 40[34]")
    form = {"id": calls[0], "reason": "x"}
    for who, status in (("sue", 403), ("gil", 404)):
        page = new_page()
        enter(page, running, who)
        page.goto(f"{running.url}/recordings")
        expect(page.locator(".delete, #delete")).to_have_count(0)
        answers = [
            (
                page.request.get(f"{running.url}/recordings/delete?id={one}"),
                page.request.post(f"{running.url}/recordings/delete", form=form | {"id": one}),
            )
            for one in (calls[0], "0" * 32)
        ]
        assert [answer.status for answer in answers[0]] == [status, status]
        assert [answer.status for answer in answers[1]] == [404, 404]
        if who == "gil":
            assert answers[0][1].text() == answers[1][1].text()
    assert len(running.recordings(3)) == 3


def test_who_may_delete_but_not_search_is_shown_no_call(
    running: Portal, calls: list[str], page: Page, complaints: Complaints
) -> None:
    complaints.expect("status of 403")
    enter(page, running, "dora")
    page.goto(f"{running.url}/recordings/delete?id={calls[0]}")
    expect(page.get_by_text("02079460770")).to_have_count(0)
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_make_a_browser_delete(running: Portal, calls: list[str], page: Page, site: str) -> None:
    enter(page, running, "carl")
    headers = {"sec-fetch-site": site}
    form = {"id": calls[0], "reason": "forged"}
    assert page.request.post(f"{running.url}/recordings/delete", form=form, headers=headers).status == 403
    assert page.request.delete(f"{running.url}/api/v1/recordings/{calls[0]}", headers=headers).status == 403
    assert len(running.recordings(3)) == 3


def test_without_scripts_it_works_as_well(running: Portal, calls: list[str], new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    enter(page, running, "carl")
    page.goto(f"{running.url}/recordings")
    page.get_by_label("Select the call of").first.check()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_label("Why?").fill("wrong number")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator("#results tr[data-recording]")).to_have_count(2)
