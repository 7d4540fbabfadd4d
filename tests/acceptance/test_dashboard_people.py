"""What people may do, service by service, and what a service that agreed to nothing yet is told about its files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from recpipe.access.principal import operator
from recpipe.model import Role
from tests.acceptance.portal import ADMIN, PASSWORD, Portal, enter, portal
from tests.services.browser import Complaints, NewPage

PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """Two tenants made by the operator; northwind has a call, and nobody agreed to anything."""
    with portal(tmp_path_factory.mktemp("people")) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        made.user("sue", Role.SERVICE, {made.northwind.id: ["search", "play"]})
        made.drop("order-inquiry.wav")
        made.recordings(1)
        yield made


def grants(running: Portal, name: str) -> dict[str, set[str]]:
    """Tenant name -> actions, as they are kept."""
    with running.parts.catalogue.read() as work:
        user = work.users.by_username(name)
        return {work.tenants.get(g.tenant_id).name: set(g.actions) for g in work.users.grants(user.id)}


# --- services and actions of a user ---------------------------------------------------------------------------


@pytest.mark.parametrize("script", [True, False])
def test_each_service_of_a_user_has_actions_of_its_own(
    running: Portal, new_page: NewPage, complaints: Complaints, script: bool
) -> None:
    complaints.expect("status of (403|422)")
    # Given the form on a phone, with script and without
    ann = new_page(viewport=PHONE, java_script_enabled=script)
    enter(ann, running, ADMIN)
    name = f"sam-{script}@example.com".lower()
    ann.goto(f"{running.url}/users/new")
    ann.get_by_label("E-mail address or user name").fill(name)
    ann.get_by_label("Role").select_option("Service User")
    north = ann.get_by_role("group", name="Actions in Northwind Bicycles")
    globex = ann.get_by_role("group", name="Actions in Globex")
    # A service that is not granted does not ask what for
    expect(north).to_be_hidden()

    # When services are ticked, one of them without any action
    ann.get_by_label("Your own password").fill(PASSWORD)
    ann.get_by_role("checkbox", name="Northwind Bicycles", exact=True).check()
    north.get_by_label("Search").check()
    north.get_by_label("Play").check()
    ann.get_by_role("checkbox", name="Globex", exact=True).check()
    ann.get_by_role("button", name="Create and invite").click()

    # Then the page says for which, and has kept the rest
    expect(ann.locator("#problem")).to_contain_text("may do in Globex")
    expect(north.get_by_label("Play")).to_be_checked()
    globex.get_by_label("FTP accounts").check()
    expect(ann.get_by_label("Your own password")).to_have_value("")
    ann.get_by_label("Your own password").fill(PASSWORD)
    ann.get_by_role("button", name="Create and invite").click()
    expect(ann.get_by_text(name).first).to_be_visible()
    assert grants(running, name) == {"northwind": {"search", "play"}, "globex": {"ftp"}}

    # And one is changed without the other; what is taken away asks for no actions any more
    ann.goto(f"{running.url}/users")
    row = ann.get_by_role("row").filter(has_text=name)
    expect(row).to_contain_text("Northwind Bicycles: Search, Play")
    expect(row).to_contain_text("Globex: FTP accounts")
    row.get_by_role("link", name="Edit").click()
    north.get_by_label("Play").uncheck()
    ann.get_by_role("checkbox", name="Globex", exact=True).uncheck()
    expect(globex).to_be_hidden()
    ann.get_by_role("button", name="Save", exact=True).click()
    expect(ann.locator("#problem")).to_contain_text("Type your own password")
    ann.get_by_label("Your own password").first.fill(PASSWORD)
    ann.get_by_role("button", name="Save", exact=True).click()
    expect(ann.get_by_text("Saved.")).to_be_visible()
    assert grants(running, name) == {"northwind": {"search"}}


def test_the_usual_user_of_one_service_takes_no_tick_and_no_mouse(running: Portal, new_page: NewPage) -> None:
    # Given Carl, who has one service
    carl = new_page()
    enter(carl, running, "carl")
    carl.goto(f"{running.url}/users/new")

    # When he invites somebody by the keyboard alone
    carl.get_by_label("E-mail address or user name").focus()
    carl.keyboard.type("kim@example.com")
    for _ in range(4):  # name, letters, role, the service
        carl.keyboard.press("Tab")
    expect(carl.get_by_role("checkbox", name="Northwind Bicycles", exact=True)).to_be_focused()
    carl.keyboard.press("Tab")
    expect(carl.get_by_role("group", name="Actions in Northwind Bicycles").get_by_label("Search")).to_be_focused()
    for _ in range(carl.locator("fieldset fieldset input").count()):  # past the other actions
        carl.keyboard.press("Tab")
    expect(carl.get_by_label("Your own password")).to_be_focused()
    carl.keyboard.type(PASSWORD)
    carl.keyboard.press("Enter")

    # Then the only service is granted, with all that the role allows
    expect(carl.get_by_text("kim@example.com").first).to_be_visible()
    assert grants(running, "kim@example.com") == {"northwind": set()}


def test_the_audit_log_tells_old_and_new_actions_by_the_name_of_the_service(running: Portal, new_page: NewPage) -> None:
    accounts, by = running.parts.accounts, operator("test")
    user = running.user("lee", Role.CLIENT, {running.northwind.id: ["search"]})
    accounts.change(by, user, grants={running.northwind.id: ["search", "keys"], running.globex.id: []})
    ann = new_page()
    enter(ann, running, ADMIN)
    ann.goto(f"{running.url}/audit?action=user.change")
    row = ann.get_by_role("row").filter(has_text="new grants").first
    expect(row).to_contain_text("old grants: Northwind Bicycles: Search;")
    expect(row).to_contain_text("Northwind Bicycles: Search, Add-ons and keys")
    expect(row).to_contain_text("Globex: all that the role allows")


# --- files before the add-on was agreed to --------------------------------------------------------------------


def card(page: Page) -> Locator:
    return page.get_by_role("region", name="Northwind Bicycles")


def test_files_of_a_service_that_agreed_to_nothing_are_ingested_and_it_is_told_both(
    running: Portal, new_page: NewPage
) -> None:
    # Given Sue, who may not agree
    sue = new_page()
    enter(sue, running, "sue")
    sue.goto(f"{running.url}/services")
    told = card(sue)
    expect(told).to_contain_text("Files are ingested")
    expect(told).to_contain_text("Call recording: not agreed to yet")
    expect(told).to_contain_text("Somebody with the right Add-ons and keys can do it, or an administrator.")
    expect(told).not_to_contain_text("Recording off")

    # When Carl, who may, follows the link and agrees
    carl = new_page()
    enter(carl, running, "carl")
    carl.goto(f"{running.url}/services")
    card(carl).get_by_role("link", name="Read and agree to its disclaimer").click()
    expect(carl.get_by_text("Files that arrive are ingested and kept.")).to_be_visible()
    carl.get_by_label("I agree").check()
    carl.locator("form[action='/addons/recording']").get_by_role("button", name="Save").click()

    # Then it is off and not on; files arrive all the same, and that is said
    expect(carl.get_by_text("Call recording off")).to_be_visible()
    running.drop("invoice-request.mp3", by="02079460777", ago=20)
    running.recordings(2)
    sue.reload()
    expect(told).to_contain_text("Files are ingested")
    expect(told).to_contain_text("Call recording off")
    expect(told).to_contain_text("Files that arrive are ingested and kept all the same.")

    # And once it is on, nothing is left to explain
    running.parts.tenants.set_recording(operator("test"), running.northwind.id, True)
    sue.reload()
    expect(told).to_contain_text("Call recording on")
    expect(told).not_to_contain_text("all the same")


# --- letters on request ---------------------------------------------------------------------------------------


def test_letters_about_quarantine_are_for_those_who_tick_them(running: Portal, new_page: NewPage) -> None:
    carl = new_page()
    enter(carl, running, "carl")
    carl.goto(f"{running.url}/account")
    tick = carl.get_by_label("Files wait in quarantine")
    expect(tick).not_to_be_checked()
    expect(carl.get_by_label("A certificate of my services expires")).to_be_checked()
    tick.check()
    carl.locator("form[action='/account/notifications']").get_by_role("button", name="Save").click()
    expect(tick).to_be_checked()
    with running.parts.catalogue.read() as work:
        assert work.users.by_username("carl").wants("quarantine")
        assert not work.users.by_username("sue").wants("quarantine")
