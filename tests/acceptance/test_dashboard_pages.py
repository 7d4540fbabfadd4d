"""Every page as every role: what is there, what must not be; for screen readers, on a phone, and for hostile text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from recpipe.access.principal import operator
from recpipe.catalogue.repository import new_id
from recpipe.model import RecordingQuery, Role
from recpipe.tenants.changes import Kind
from tests.acceptance.judged import a_judged_day
from tests.acceptance.portal import ADMIN, PASSWORD, Portal, enter, portal, until
from tests.services import need
from tests.services.browser import Complaints, NewPage

AXE = Path(__file__).parents[1] / "browser" / "node_modules" / "axe-core" / "axe.min.js"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> \u202egnirts \u05e9\u05dc\u05d5\u05dd"
LONG = "Ünendlich " * 1000  # ten thousand characters

EVERYBODY = ("/services", "/account")
SEARCHING = (
    "/recordings",
    "/recordings?find=0958",
    "/recordings?number=9&match=containing",
    "/recordings?number=77",
    "/completeness",
    "/statistics",
    "/statistics?show=minutes&from=2026-01-01",
)
MANAGING = ("/links", "/addons", "/ftp", "/routing", "/extensions", "/changes", "/history", "/users", "/users/new")
AUDITING = ("/audit", "/audit?service=northwind")
RUNNING = ("/system", "/services/new", "/services/northwind/edit", "/identity-providers")
OUTSIDE = (
    "/sign-in",
    "/sign-in/oidc",
    "/register",
    "/register/link",
    "/recover",
    "/recover/link",
    "/welcome",
    "/welcome/oidc",
    "/confirm-email",
    "/shared",
)

# What each role may open; everything else of the list answers 403 or 404.
MAY = {
    ADMIN: EVERYBODY + SEARCHING + MANAGING + AUDITING + RUNNING,
    "carl": EVERYBODY + SEARCHING + MANAGING + AUDITING,
    "sue": EVERYBODY + SEARCHING,
    "ada": EVERYBODY + AUDITING,
    "nobody": EVERYBODY,
}
ALL = EVERYBODY + SEARCHING + MANAGING + AUDITING + RUNNING
WIDTHS = (360, 768, 994, 1024, 1260, 1440)
SCHEMES: tuple[tuple[Literal["light", "dark"], str], ...] = (("light", "undefined"), ("dark", "['color-contrast']"))
# The impact of a rule is that of all it finds, so rules of a small one are not tried: nobody would look at it. What is
# serious is all that is handed over, without the ways to its elements, which take long to find.
SERIOUS = """
async (only) => {
  const small = axe._audit.rules.filter((rule) => ["minor", "moderate"].includes(rule.impact));
  const rules = Object.fromEntries(small.map((rule) => [rule.id, {enabled: false}]));
  const options = only ? {runOnly: only} : {rules};
  const found = await axe.run(document, {resultTypes: ["violations"], selectors: false, ...options});
  return found.violations.filter((one) => ["serious", "critical"].includes(one.impact)).map(({id, impact, nodes}) =>
    `${id} (${impact}): ${nodes.slice(0, 3).map((node) => node.html.slice(0, 120)).join(" ")}`);
}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """Two tenants with calls, one of them hostile; pending changes; a file in quarantine; somebody of every role."""
    with portal(tmp_path_factory.mktemp("pages")) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        made.user("sue", Role.SERVICE, {made.northwind.id: ["search", "play"]})
        made.user("ada", Role.SERVICE, {made.northwind.id: ["audit"]})
        made.user("nobody", Role.CLIENT)
        made.user("gil", Role.CLIENT, {made.globex.id: []})
        registration = made.parts.registration
        registration.confirm(registration.ask("hopeful@example.com", "192.0.2.7", display_name="Hope"), "192.0.2.7")
        made.drop("order-inquiry.wav")
        made.drop("invoice-request.mp3", to="202", by="02079460777", ago=30)
        first = made.recordings(2)[0]
        made.seal_from_now_on(made.northwind)
        made.drop("opening-hours-alaw.wav", kind="out", to="02079460842", by="203", ago=50)
        made.recordings(3)
        with made.parts.catalogue.begin() as work:
            for number, (tenant, name) in enumerate(
                ((made.northwind, HOSTILE), (made.northwind, LONG), (made.globex, "Gus"))
            ):
                facts = replace(
                    first.facts, caller_name=name, callee_name=name, caller=name[:60], route=name, call_id=f"h{number}"
                )
                hostile = replace(first, id=new_id(), tenant_id=tenant.id, facts=facts, name=f"h{number}.wav")
                work.of(tenant.id).recordings.add_many([hostile])
        said = {"note": HOSTILE.partition(" \u202e")[0] + "Ünendlich" * 200, "tags": ["W" * 40, "complaint"]}
        made.parts.marking.mark(operator("test"), first.id, starred=True, reviewed=True, **said)
        a_judged_day(made, made.northwind, first.id, HOSTILE)
        made.parts.settings.spool[0].path.joinpath("<b>not audio.wav").write_bytes(b"no sound" * 40)
        made.parts.tenants.set_recording(operator("test"), made.northwind.id, True, agreed=True)
        rules = {"201": {"name": "Ann", "office": "Bike shop", "outbound": "record"}, "202": {"locked": True}}
        made.parts.routing.save(operator("test"), made.northwind, Kind.EXTENSION, rules)
        made.parts.routing.save(operator("test"), made.northwind, Kind.ROUTE, {"+442079460958": {"name": "Shop"}})
        yield made


def as_role(running: Portal, new_page: NewPage, who: str, **options: Any) -> Page:
    """A page of somebody who is signed in."""
    page = new_page(**options)
    enter(page, running, who)
    return page


@pytest.mark.parametrize("who", MAY)
def test_each_role_opens_its_pages_and_no_others(running: Portal, new_page: NewPage, who: str) -> None:
    page = as_role(running, new_page, who)
    for path in ALL:
        answer = page.request.get(running.url + path, headers={"accept": "text/html"}, max_redirects=0)
        assert (answer.status == 200) is (path in MAY[who]), f"{who} got {answer.status} at {path}"
        assert answer.status in (200, 403, 404)
        text = answer.text()
        if who != ADMIN:
            assert "Globex" not in text and running.globex.id not in text, f"{who} sees another tenant at {path}"
        if path in MAY[who] and "?" not in path and who != ADMIN:  # in the browser, whose complaints are errors
            page.goto(running.url + path)
            assert "Globex" not in page.content() and running.globex.id not in page.content()
            links_stay_open(page, who)


def links_stay_open(page: Page, who: str) -> None:
    """The menu shows nobody a way that is closed."""
    links = page.locator("nav#menu a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert set(links) <= {re.sub(r"\?.*", "", path) for path in MAY[who]}, f"{who} at {page.url}: {links}"


def test_buttons_follow_the_rights(running: Portal, new_page: NewPage) -> None:
    sue = as_role(running, new_page, "sue")
    sue.goto(f"{running.url}/recordings")
    expect(sue.get_by_role("button", name="Play").first).to_be_visible()
    expect(sue.locator(".download, #zip, .delete, #delete, input[name=id]")).to_have_count(0)
    gil = as_role(running, new_page, "gil")
    gil.goto(f"{running.url}/recordings")
    expect(gil.locator("#results tr[data-recording]")).to_have_count(1)
    expect(gil.get_by_text("Northwind")).to_have_count(0)


def test_an_auditor_is_made_with_one_tick_and_sees_the_log_of_its_service_alone(
    running: Portal, new_page: NewPage
) -> None:
    carl = as_role(running, new_page, "carl")
    carl.goto(f"{running.url}/users/new")
    carl.get_by_label("E-mail address or user name").fill("auditor@northwind.example")
    carl.get_by_label("Role").select_option(label="Service User")
    carl.get_by_label("Northwind").check()
    carl.get_by_label("Audit log", exact=True).first.check()
    carl.get_by_label("Your own password").fill(PASSWORD)
    carl.get_by_role("button", name="Create and invite").click()
    expect(carl.get_by_text("auditor@northwind.example").first).to_be_visible()
    made = running.parts.accounts.named(operator("test"), "auditor@northwind.example")
    assert [(grant.tenant_id, grant.actions) for grant in made.grants] == [(running.northwind.id, ("audit",))]

    ada = as_role(running, new_page, "ada")
    ada.goto(f"{running.url}/audit")
    expect(ada.get_by_role("row", name="made the user").first).to_be_visible()
    services = ada.locator("td[data-label=Service]").all_inner_texts()
    assert set(services) == {running.northwind.title}
    exported = ada.request.get(f"{running.url}/audit/export.csv").text()
    assert running.northwind.id in exported and running.globex.id not in exported


def test_another_tenants_recording_looks_like_none(running: Portal, new_page: NewPage) -> None:
    gil = as_role(running, new_page, "gil")
    foreign = running.recordings(3)[0].id
    answers = [
        gil.request.get(f"{running.url}/recordings/{one}/{what}", headers={"accept": "text/html"})
        for one in (foreign, "0" * 32)
        for what in ("media", "waveform")
    ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.text() for answer in answers[::2]}) == 1


def test_no_page_has_a_serious_barrier_in_light_or_dark_and_each_fits_every_screen(
    running: Portal, new_page: NewPage, complaints: Complaints
) -> None:
    if not AXE.is_file():
        need.missing("axe-core is not installed; scripts/setup installs it")
    axe = AXE.read_text()
    barriers: list[str] = []
    too_wide: list[tuple[object, ...]] = []
    inside = as_role(running, new_page, ADMIN)
    outside = new_page()
    certificate = running.parts.keyring.list(operator("test"), running.northwind.id)[0].id
    more = (
        f"/addons/certificates/{certificate}?service=northwind",
        f"/users/{user_id(running, 'carl')}",
        deletion_of(running),
        marks_of(running),
        marks_of(running).replace("/marks", "/share"),
        quarantined_in(running),
        "/nothing-here",
    )
    complaints.expect("status of 404")
    # Of pages that differ by their search alone, one that finds and one that does not
    differ = tuple(path for path in ALL if "?" not in path or path.endswith("=77"))
    for page, paths in ((inside, differ + more), (outside, OUTSIDE)):
        for path in paths:
            page.goto(running.url + path)
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            too_wide += [(path, *found) for found in too_wide_at(page)]
            if path == "/recordings":
                page.get_by_role("button", name="Play").last.click()
            page.evaluate(axe)
            barriers += [f"{path}, {barrier}" for barrier in barriers_of(page)]
            if page is inside and path in ALL:
                links_stay_open(page, ADMIN)
    assert barriers == []
    assert too_wide == []


def test_a_barrier_that_there_is_is_found_in_light_and_in_dark(page: Page) -> None:
    if not AXE.is_file():
        need.missing("axe-core is not installed; scripts/setup installs it")
    dark = "@media (prefers-color-scheme: dark) { p { color: #777; background: #888 } }"
    page.set_content(f"<title>x</title><style>{dark}</style><h1>x</h1><h4>y</h4><p id=p>text</p><button></button>")
    page.evaluate(AXE.read_text())
    assert [found.partition(" (")[0] for found in barriers_of(page)] == [
        "light: button-name",
        "light: html-has-lang",
        "dark: color-contrast",
    ]


def test_somebody_outside_opens_a_link_and_hears_the_call(running: Portal, new_page: NewPage) -> None:
    carl = as_role(running, new_page, "carl")
    carl.goto(running.url + marks_of(running).replace("/marks", "/share"))
    carl.get_by_label("For whom").fill("Their lawyer")
    carl.get_by_label("Passphrase").fill("seven green bottles")
    carl.get_by_label("Files may be saved").check()
    carl.get_by_role("button", name="Make the link").click()
    address = carl.locator("#link").inner_text()
    outside = new_page()
    outside.goto(f"{running.url}/shared#{address.partition('#')[2]}")
    assert "#" not in outside.url, "the secret does not stay in the address"
    outside.get_by_label("Passphrase").fill("seven green bottles")
    outside.get_by_role("button", name="Open").click()
    expect(outside.get_by_role("heading", name="A call for you")).to_be_visible()
    expect(outside.get_by_text("The link opens 4 times more")).to_be_visible()
    outside.locator("audio").evaluate("audio => { audio.muted = true; return audio.play(); }")
    until(outside, "document.querySelector('audio').currentTime > 0")
    assert list(too_wide_at(outside)) == []
    if AXE.is_file():
        outside.evaluate(AXE.read_text())
        assert list(barriers_of(outside)) == []
    assert outside.context.cookies() == []
    # Another link in the same tab is followed as well, though only what is behind the # is new
    for secret in ("x" * 43, "y" * 43):
        outside.goto(f"{running.url}/shared#{secret}")
        expect(outside.locator("#code")).to_have_value(secret)
    expect(outside.get_by_role("button", name="Open")).to_be_visible()
    carl.goto(f"{running.url}/links")
    expect(carl.get_by_role("row", name="Their lawyer")).to_contain_text("1 of 5")
    assert list(too_wide_at(carl)) == []
    carl.get_by_role("button", name="Revoke the link").click()
    expect(carl.get_by_text("No link is open")).to_be_visible()


def barriers_of(page: Page) -> Iterator[str]:
    """What axe finds serious. In the dark, colours are all that differs."""
    for scheme, rules in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        until(page, f"matchMedia('(prefers-color-scheme: {scheme})').matches")
        yield from (f"{scheme}: {found}" for found in page.evaluate(f"({SERIOUS})({rules})"))


def too_wide_at(page: Page) -> Iterator[tuple[int, object]]:
    for width in WIDTHS:
        resize(page, width)
        if page.evaluate(
            "[document.documentElement, ...document.querySelectorAll('form, section, main')]"
            ".some(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')"
        ):
            yield width, page.evaluate("document.querySelector('.list')?.scrollWidth")


def deletion_of(running: Portal) -> str:
    """Where all the recordings of northwind could be deleted."""
    return "/recordings/delete?find=9&" + "&".join(f"id={found.id}" for found in running.recordings(5))


def marks_of(running: Portal) -> str:
    """Where what is said of a call is changed."""
    with running.parts.catalogue.read() as work:
        return f"/recordings/marks?of={work.search(None, RecordingQuery(starred=True)).items[0].id}"


def quarantined_in(running: Portal) -> str:
    """Where it is said of which call a file is that says nothing."""
    return f"/system/quarantine/{running.parts.quarantine.list(operator('test')).items[0].id}"


def user_id(running: Portal, name: str) -> str:
    with running.parts.catalogue.read() as work:
        return work.users.by_username(name).id


def test_the_wider_list_of_one_service_fits_and_the_menu_is_there_when_asked_for(
    running: Portal, new_page: NewPage
) -> None:
    # Who sees one service has a wider list of fewer columns than who sees several
    carl = as_role(running, new_page, "carl")
    carl.goto(f"{running.url}/recordings")
    menu, voice = carl.get_by_role("button", name="Menu"), carl.get_by_role("navigation", name="Main")
    for width in WIDTHS:
        resize(carl, width)
        assert not carl.evaluate(
            "document.querySelector('#selection').scrollWidth > document.querySelector('#selection').clientWidth"
        ), width
        if width <= 1240:
            menu.click()
            expect(voice.get_by_role("link", name="Voice")).to_be_visible()
            menu.click()
            expect(voice).to_be_hidden()


def resize(page: Page, width: int) -> None:
    """Pages are laid out by their style sheet alone, so a window that changes shows what a new one would."""
    page.set_viewport_size({"width": width, "height": 740})
    until(page, f"innerWidth === {width}")


def test_pages_bend_to_what_people_ask_of_their_browser(running: Portal, new_page: NewPage) -> None:
    carl = as_role(running, new_page, "carl", viewport={"width": 360, "height": 740})
    first = "document.querySelector('#results tr[data-recording]').getBoundingClientRect()"
    # On a phone, a call is on the first screen wherever calls are, also below the tools of sealed ones
    for path in ("/recordings", "/recordings?find=0958"):
        carl.goto(running.url + path)
        assert carl.evaluate(f"{first}.bottom <= innerHeight"), path
    carl.goto(f"{running.url}/completeness")
    assert carl.evaluate("document.querySelector('.list tbody tr').getBoundingClientRect().bottom <= innerHeight")
    carl.get_by_role("button", name="Filters").click()
    expect(carl.get_by_label("Finding", exact=True)).to_be_visible()
    carl.goto(f"{running.url}/recordings")
    # At 200 % and 400 % of 1280 by 960 nothing runs out at the side, and the player leaves the calls their room
    carl.get_by_role("button", name="Play").last.click()
    expect(carl.locator("#player")).to_be_visible()
    for width, height in ((640, 480), (320, 240)):
        carl.set_viewport_size({"width": width, "height": height})
        until(carl, f"innerWidth === {width}")
        assert carl.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert carl.evaluate("document.querySelector('#player').offsetHeight <= 0.41 * innerHeight"), width
    # Where movement is unwelcome nothing moves
    carl.emulate_media(reduced_motion="reduce")
    moving = (
        "[...document.querySelectorAll('*')].map(e => getComputedStyle(e)).filter(s => s.animationName !== 'none' ||"
    )
    assert carl.evaluate(f"{moving} parseFloat(s.transitionDuration) > 0 || s.scrollBehavior !== 'auto').length") == 0
    # Where colours are forced, what is chosen has a line around it
    carl.emulate_media(forced_colors="active")
    lines = "[...document.querySelectorAll('.button, .card, .chip, .tag')].filter(e => e.checkVisibility())"
    assert carl.evaluate(f"{lines}.filter(e => getComputedStyle(e).borderTopStyle === 'none').length") == 0
    # On paper it is dark on light, whatever the screen is, and holds nothing to press
    carl.emulate_media(forced_colors="none", color_scheme="dark", media="print")
    for chosen in ("", "dark"):
        carl.evaluate(f"document.documentElement.dataset.theme = '{chosen}'")
        assert carl.evaluate("getComputedStyle(document.querySelector('#results .party')).color") == "rgb(24, 34, 46)"
    pressed = "[...document.querySelectorAll('button, input, #player, nav')].filter(e => e.checkVisibility()).length"
    assert carl.evaluate(pressed) == 0


def test_a_page_does_not_outlive_its_session_in_a_tab(running: Portal, new_page: NewPage) -> None:
    page = as_role(running, new_page, "sue")
    page.clock.install()
    page.goto(f"{running.url}/recordings")
    call = page.locator("#results tr[data-recording]").first
    expect(call).to_be_visible()
    # Who does something, or listens, is left alone
    for _ in range(3):
        page.clock.run_for("20:00")
        page.keyboard.press("Shift")
    expect(call).to_be_visible()
    page.evaluate("window.kept = true")
    # A session that goes on shows the page again, one that has ended does not
    page.clock.run_for("31:00")
    page.wait_for_function("window.kept === undefined")
    expect(call).to_be_visible()
    running.parts.accounts.end_sessions(operator("test"), user_id(running, "sue"))
    page.clock.run_for("31:00")
    page.wait_for_url("**/sign-in**")
    expect(call).to_have_count(0)


def test_what_callers_wrote_is_text_everywhere(running: Portal, new_page: NewPage) -> None:
    page = as_role(running, new_page, ADMIN)
    for path in ("/recordings", "/system", "/audit"):
        page.goto(running.url + path)
        assert page.locator("main img, main b:text-is('not audio.wav')").count() == 0
        assert "owned" not in page.title()
    page.goto(f"{running.url}/recordings")
    expect(page.get_by_text("<img src=x onerror").first).to_be_visible()
    # Turned-round text stays inside its own cell
    assert page.locator(".party bdi").filter(has_text="gnirts").first.evaluate(
        "e => getComputedStyle(e).unicodeBidi"
    ) in ("isolate", "plaintext")
    assert len(page.content()) < 100_000


def test_search_works_as_one_types_and_its_address_can_be_shared(running: Portal, new_page: NewPage) -> None:
    page = as_role(running, new_page, "carl")
    page.goto(f"{running.url}/recordings")
    page.get_by_label("Direction").select_option("Outbound")
    expect(page.locator("#results tr[data-recording]")).to_have_count(1)
    expect(page.locator("#announcement")).not_to_be_empty()
    page.get_by_label("Find", exact=True).fill("0842")
    expect(page).to_have_url(f"{running.url}/recordings?find=0842&direction=outbound")
    # The address shows the same to whoever opens it
    other = as_role(running, new_page, "carl")
    other.goto(page.url)
    expect(other.locator("#results tr[data-recording]")).to_have_count(1)
    expect(other.get_by_label("Find", exact=True)).to_have_value("0842")
    # Whoever types before the script is there is understood as well
    other.add_init_script("""document.addEventListener("readystatechange", () => {
      const find = document.getElementById("find");
      if (find && document.readyState === "interactive") find.value = "0777";
    })""")
    other.goto(f"{running.url}/recordings")
    expect(other).to_have_url(f"{running.url}/recordings?find=0777")
    expect(other.locator("#results tr[data-recording]")).to_have_count(1)
    # A filter that makes no sense is told at its field, and takes no list away
    page.get_by_text("More filters").click()
    page.get_by_label("At least").fill("a while")
    expect(page.get_by_role("alert")).to_contain_text("This is no length")
    expect(page.get_by_label("At least")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#results tr[data-recording]")).to_have_count(1)
    page.get_by_label("At least").fill("0:01")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("[aria-invalid]")).to_have_count(0)
    # Names and numbers are typed into one box
    page.get_by_label("Find", exact=True).fill("nobody of this name")
    expect(page.get_by_role("heading", name="No call matches")).to_be_visible()
    page.locator("#clear").click()
    expect(page.locator("#results tr[data-recording]")).to_have_count(5)
    expect(page).to_have_url(f"{running.url}/recordings")


def test_pages_keep_their_place(running: Portal, new_page: NewPage) -> None:
    first = running.recordings(3)[0]
    with running.parts.catalogue.begin() as work:
        gil = work.of(running.globex.id).recordings
        apart = replace(
            first, tenant_id=running.globex.id, facts=replace(first.facts, call_id="")
        )  # not legs of one call
        gil.add_many([replace(apart, id=new_id(), name=f"p{n}.wav") for n in range(30)])
    page = as_role(running, new_page, "gil")
    page.goto(f"{running.url}/recordings?size=25")
    expect(page.locator("#results tr[data-recording]")).to_have_count(25)
    told = re.compile(r"25 calls of \w{3} \d+ \w{3} \d{4}")
    expect(page.get_by_role("navigation", name="Pages")).to_contain_text(told)
    page.get_by_role("link", name="Earlier calls").click()
    expect(page.locator("#results tr[data-recording]")).to_have_count(6)
    assert "cursor=" in page.url
    page.reload()
    expect(page.locator("#results tr[data-recording]")).to_have_count(6)
    page.go_back()
    expect(page.locator("#results tr[data-recording]")).to_have_count(25)
    with running.parts.catalogue.begin() as work:
        for found in work.of(running.globex.id).recordings.search(_every(), None, 100).items:
            if found.name.startswith("p"):
                work.of(running.globex.id).recordings.delete(found.id, first.ingested_at, "test")


def _every() -> Any:
    from recpipe.model import RecordingQuery

    return RecordingQuery()


def test_chosen_calls_come_as_one_zip_and_the_search_as_csv(running: Portal, new_page: NewPage) -> None:
    import zipfile

    page = as_role(running, new_page, "carl", accept_downloads=True)
    page.goto(f"{running.url}/recordings?find=0958")
    page.get_by_label("Select the call of").first.check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download 1 as ZIP").click()
    names = zipfile.ZipFile(download.value.path()).namelist()
    assert {"manifest.json", "SHA256SUMS"} < set(names) and len(names) == 3
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of this search").click()
    assert "02079460958" in Path(download.value.path()).read_text(encoding="utf-8-sig")
