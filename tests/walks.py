"""Five people at the dashboard, and what each of them has to do: `python -m tests.walks` prints docs/walks.md.

A walk begins at the sign-in page. Its clicks, fields and files are those of the person; seconds depend on the machine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from recpipe import log
from recpipe.access.principal import operator
from recpipe.model import Role
from tests.acceptance.portal import ADMIN, PASSWORD, PLAYING, Portal, portal, until
from tests.services.browser import CHROMIUM, QUIET

SERVICES = 12  # more than fit on cards


@dataclass
class Walk:
    """Somebody's way; what it took so far."""

    page: Page
    portal: Portal
    clicks: int = 0
    fields: int = 0
    files: int = 0
    began: float = field(default_factory=time.perf_counter)

    def click(self, what: Locator) -> None:
        what.click()
        self.clicks += 1

    def type(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)
        self.fields += 1

    def choose(self, label: str, path: Path) -> None:
        self.page.get_by_label(label).set_input_files(path)
        self.files += 1

    def sign_in(self, name: str) -> None:
        self.page.goto(f"{self.portal.url}/sign-in")
        self.began = time.perf_counter()
        self.type("User name", name)
        self.type("Password", PASSWORD)
        self.click(self.page.get_by_role("button", name="Sign in", exact=True))
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def go(self, entry: str) -> None:
        """An entry of the menu."""
        self.click(self.page.get_by_role("navigation", name="Main").get_by_role("link", name=entry, exact=True).first)

    def calls(self) -> Locator:
        return self.page.locator("#results tr[data-recording]")

    def hear(self, call: Locator) -> None:
        self.click(call.get_by_role("button", name="Play"))
        until(self.page, PLAYING)


def newcomer(walk: Walk) -> None:
    """Hears the newest call."""
    walk.sign_in("carl")
    walk.go("Call Recordings")
    walk.hear(walk.calls().first)


def office_manager(walk: Walk) -> None:
    """Hears what a customer whose number ends in 4711 said last Tuesday at noon: one of three calls."""
    walk.sign_in("carl")
    walk.go("Call Recordings")
    walk.type("Find", "4711")
    expect(walk.calls()).to_have_count(3)
    tuesday = walk.page.locator("#results tbody").filter(has=walk.page.locator("tr.day", has_text="Tue "))
    walk.hear(tuesday.locator("tr[data-recording]", has_text="12:0"))


def compliance_officer(walk: Walk) -> None:
    """Takes every sealed call of extension 201, and opens and proves them without the portal."""
    walk.sign_in("carl")
    walk.go("Call Recordings")
    walk.type("Find", "201")
    expect(walk.calls()).to_have_count(4)
    with walk.page.expect_download() as taken:
        walk.click(walk.page.locator("#zip-all"))
    walk.page.goto(walk.portal.url + "/account")  # the page itself is taken once, and kept
    with walk.page.expect_download() as kept:
        walk.page.evaluate("(() => { const a = document.createElement('a'); a.href = '/open-recordings.html';"
                           "a.download = ''; document.body.append(a); a.click(); })()")  # fmt: skip
    page, calls = walk.portal.home / "open-recordings.html", walk.portal.home / "calls.zip"
    kept.value.save_as(page)
    taken.value.save_as(calls)
    walk.page.goto(page.as_uri())
    walk.choose("Choose private key", walk.portal.home / "myprivatekey.pem")
    walk.choose("Choose recordings", calls)
    expect(walk.page.locator("#verdict")).to_contain_text("4 of 4")


def wholesaler(walk: Walk) -> None:
    """Sees which of many services is in trouble, and why."""
    walk.sign_in(ADMIN)
    walk.go("Voice")
    first = walk.page.locator("table.services tbody tr").first
    expect(first).to_contain_text("Northwind Bicycles")
    expect(first).to_contain_text("1 in quarantine")


def operator_at_night(walk: Walk) -> None:
    """Finds the file that is stuck, why and where, and has it tried again."""
    walk.sign_in(ADMIN)
    walk.click(walk.page.get_by_role("navigation", name="Main").get_by_role("link", name="System"))
    stuck = walk.page.get_by_role("row", name="stuck.wav")
    walk.click(stuck.get_by_text("Where it is"))
    expect(stuck).to_contain_text("quarantine")
    walk.click(stuck.get_by_role("button", name="Retry"))
    tried = walk.page.get_by_role("row", name="stuck.wav").get_by_text("2 tries")
    for _ in range(30):  # the page is as it was when it came: the file may be tried again only now
        if tried.is_visible():
            break
        walk.page.wait_for_timeout(1000)
        walk.page.reload()
    expect(tried).to_be_visible()


# With the most clicks it may take, and what the same took at 855c339.
WALKS: tuple[tuple[str, Callable[[Walk], None], int, str], ...] = (
    ("newcomer", newcomer, 3, "2 clicks, 1.7 to 3 s from click to sound"),
    ("office manager", office_manager, 3, "no weekday anywhere: 3 plays to find it"),
    (
        "compliance officer",
        compliance_officer,
        3,
        "a ZIP for each page, at most 100 calls, which the offline page refused",
    ),
    ("wholesaler", wholesaler, 2, "no order by trouble: as many pages as hold all services"),
    ("operator at night", operator_at_night, 4, "no place on disk; tries forgotten at each retry"),
)


def furnish(made: Portal) -> None:
    """A day at northwind, and many more services."""
    by = operator("test")
    made.user("carl", Role.CLIENT, {made.northwind.id: []})
    made.parts.tenants.set_recording(by, made.northwind.id, True, agreed=True)
    made.drop("opening-hours-alaw.wav", to="202", by="02079460842", ago=1)
    now = datetime.now(UTC)
    noon = now.replace(hour=12, minute=5, second=30, microsecond=0)
    tuesday = noon - timedelta(days=(noon.weekday() - 1) % 7 or 7)
    for at in (tuesday, tuesday - timedelta(hours=3), tuesday - timedelta(days=1)):
        made.drop("order-inquiry.wav", to="203", by="02079464711", ago=int((now - at) / timedelta(minutes=1)))
    made.recordings(4)
    made.seal_from_now_on(made.northwind)
    for ago in (600, 700, 800, 900):
        made.drop("order-inquiry.wav", by="02079460958", ago=ago)
    made.recordings(8)
    made.parts.settings.spool[0].path.joinpath("stuck.wav").write_bytes(b"no sound" * 40)
    for number in range(SERVICES - 2):
        made.parts.tenants.create(by, f"shop{number}", title=f"Shop {number}")


def walked(page: Page, made: Portal, walk: Callable[[Walk], None]) -> tuple[Walk, float]:
    """The walk, and its seconds."""
    walking = Walk(page, made)
    walk(walking)
    return walking, time.perf_counter() - walking.began


def main() -> int:
    log.set_up("json", "error")
    with tempfile.TemporaryDirectory() as folder, portal(Path(folder)) as made, sync_playwright() as playwright:
        furnish(made)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=[*QUIET])
        print(
            "| who | what | clicks | fields | files | seconds | before |\n| --- | --- | --- | --- | --- | --- | --- |"
        )
        for who, walk, _, before in WALKS:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            took, seconds = walked(page, made, walk)
            what = (walk.__doc__ or "").strip()
            print(f"| {who} | {what} | {took.clicks} | {took.fields} | {took.files} | {seconds:.1f} | {before} |")
            page.context.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
