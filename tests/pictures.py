"""Takes the pictures of docs/images from a running installation: `python -m tests.pictures`.

Everything in them is made up; the numbers are of the ranges that regulators keep free for fiction.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from recpipe import log
from recpipe.access.principal import Action, operator
from recpipe.model import Role
from recpipe.tenants.changes import Kind
from tests import pictures_of_kinds
from tests.acceptance.judged import a_judged_day
from tests.acceptance.portal import ADMIN, PLAYING, Portal, choose_key, portal, sign_in, until
from tests.contracts.catalogue_samples import keep
from tests.made_month import a_month_of_calls
from tests.services.browser import CHROMIUM, QUIET

IMAGES = Path(__file__).parents[1] / "docs" / "images"
BEA = "bea@northwind.example"
DESK = {"width": 1280, "height": 860}
PHONE = {"width": 360, "height": 740}
NUMBERS = b"""number,name,timezone,recording,locked
02079460900,Orders,Europe/London,record,yes
02079460901,Reception,Europe/London,skip,
02079460902,Workshop,Europe/London,default,
"""
PEOPLE = b"""extension,name,office,outbound,inbound,internal,locked
201,Ann Archer,London,record,record,default,
202,Ben Ashe,London,record,default,skip,
203,Cora Bell,Leeds,skip,default,default,
204,Dan Cole,Leeds,default,default,default,
"""


def main() -> int:
    log.set_up("json", "error")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, portal(Path(folder)) as running, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=[*QUIET])
        _fill(running)
        _door(browser, running)
        _bea(browser, running)
        _judged(browser, running)
        _rules(browser, running)
        _seal(browser, running)
        _phone(browser, running)
        _ann(browser, running)
        _counted(browser, running)
        pictures_of_kinds.take(browser, _shoot)
        browser.close()
    too_large = [path.name for path in IMAGES.glob("*.png") if path.stat().st_size > 150_000]
    print("\n".join(f"{path.name} {path.stat().st_size // 1000} kB" for path in sorted(IMAGES.glob("*.png"))))
    return 1 if too_large else 0


def _fill(running: Portal) -> None:
    running.parts.accounts.create(
        operator("ops"),
        BEA,
        Role.CLIENT,
        password="correct horse battery",
        display_name="Bea Baker",
        grants={running.northwind.id: []},
    )
    running.parts.tenants.set_recording(operator("ops"), running.northwind.id, True, agreed=True)
    running.drop("brake-repair-stereo.wav", kind="out", to="02079460321", by="202", ago=1500)
    running.drop("invoice-request.mp3", to="202", by="02079460777", ago=1380)
    running.recordings(2)


def _shoot(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as taken:
        # Pages have few colours: 256 of them look the same, in half the bytes.
        taken.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


def _door(browser: Browser, running: Portal) -> None:
    page = browser.new_page(viewport={"width": 760, "height": 560})
    page.goto(f"{running.url}/sign-in")
    _shoot(page, "sign-in")
    page.close()


def _bea(browser: Browser, running: Portal) -> None:
    """Configure Add-ons as she finds it: a certificate is pasted, proved, and a change waits."""
    page = browser.new_page(viewport=DESK)
    sign_in(page, running, BEA)
    _, certificate = running.key_pair("shown")
    page.goto(f"{running.url}/addons")
    page.get_by_label("Contents of mypublickey.pem").fill(certificate.read_text())
    expect(page.get_by_text("This can be used.")).to_be_visible()
    page.get_by_text("This can be used.").scroll_into_view_if_needed()
    page.get_by_role("button", name="Add this certificate").scroll_into_view_if_needed()
    _shoot(page, "paste-public-key")
    page.get_by_label("Label").fill("office")
    page.get_by_role("button", name="Add this certificate").click()
    expect(page.get_by_role("heading", name="Prove that you have")).to_be_visible()
    _shoot(page, "prove-key")
    held = running.parts.keyring.list(operator("ops"), running.northwind.id)[0]
    running.parts.keyring.retire(operator("ops"), running.northwind.id, held.id)
    page.goto(f"{running.url}/ftp")
    page.get_by_label("User name").fill("northwind")
    page.get_by_role("button", name="Create").click()
    page.get_by_text("lftp", exact=True).click()
    _shoot(page, "ftp")
    page.close()


def _seal(browser: Browser, running: Portal) -> None:
    """A sealed day, played with the key."""
    key = running.seal_from_now_on(running.northwind)
    running.drop("order-inquiry.wav", by="02079460958", ago=12)
    running.drop("opening-hours-alaw.wav", kind="out", to="02079460842", by="203", ago=47)
    running.drop("invoice-request.mp3", to="202", by="02079460777", ago=95)
    running.drop("brake-repair-stereo.wav", to="204", by="02079460400", ago=140)
    running.recordings(6)
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport=DESK, color_scheme=scheme)
        sign_in(page, running, BEA)
        page.goto(f"{running.url}/recordings")
        choose_key(page, key)
        page.locator("#results").get_by_role("button", name="Play").first.click()
        until(page, PLAYING)
        page.wait_for_timeout(2500)
        page.locator("#toggle").click()
        _shoot(page, f"recordings-{scheme}")
        page.close()


def _judged(browser: Browser, running: Portal) -> None:
    """Whether calls were recorded."""
    a_judged_day(running, running.northwind, running.recordings(2)[0].id)
    page = browser.new_page(viewport={"width": 1280, "height": 740})
    sign_in(page, running, BEA)
    page.goto(f"{running.url}/completeness")
    _shoot(page, "completeness")
    page.close()


def _rules(browser: Browser, running: Portal) -> None:
    """Which calls are recorded, some of it waiting for Apply."""
    by, tenant, parts = operator("ops"), running.northwind, running.parts
    parts.routing.import_csv(by, tenant, Kind.ROUTE, NUMBERS)
    parts.routing.import_csv(by, tenant, Kind.EXTENSION, PEOPLE)
    waiting = parts.changes.pending(by, tenant.id, Action.POLICY)
    parts.changes.apply(by, tenant.id, [change.id for change in waiting], Action.POLICY)
    parts.routing.save(by, tenant, Kind.EXTENSION, {"203": {"outbound": "record", "locked": True}})
    parts.routing.save(by, tenant, Kind.ROUTE, {"02079460911": {"name": "Spring campaign", "recording": "record"}})
    page = browser.new_page(viewport=DESK)
    sign_in(page, running, BEA)
    for path, name in (("/routing", "call-routing"), ("/extensions", "extensions")):
        page.goto(running.url + path)
        _shoot(page, name)
    page.close()
    for change in parts.changes.pending(by, tenant.id, Action.POLICY):
        parts.changes.discard(by, tenant.id, change.id, Action.POLICY)


def _counted(browser: Browser, running: Portal) -> None:
    """What a month of calls comes to."""
    now = running.parts.clock()
    keep(running.parts.catalogue, *a_month_of_calls(running.northwind, now))
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    sign_in(page, running, BEA)
    page.goto(f"{running.url}/statistics")
    _shoot(page, "statistics")
    page.close()


def _phone(browser: Browser, running: Portal) -> None:
    page = browser.new_page(viewport=PHONE)
    sign_in(page, running, BEA)
    page.goto(f"{running.url}/recordings")
    expect(page.locator("#results tr[data-recording]").first).to_be_visible()
    _shoot(page, "phone")
    page.close()


def _ann(browser: Browser, running: Portal) -> None:
    """What administrators see."""
    registration = running.parts.registration
    registration.confirm(registration.ask("hope@northwind.example", "192.0.2.7", display_name="Hope Full"), "192.0.2.7")
    running.parts.settings.spool[0].path.joinpath("holiday-song.wav").write_bytes(b"no call" * 400)
    changes = running.parts.changes
    changes.save(operator("ops"), running.northwind.id, Kind.RECORDING, {"recording": False})
    changes.save(operator("ops"), running.northwind.id, Kind.ENCRYPTION, {"encryption": False})
    page = browser.new_page(viewport=DESK)
    sign_in(page, running, ADMIN)
    for path, name in (
        ("/services", "voice"),
        ("/changes", "changes"),
        ("/users", "users"),
        ("/system", "system"),
        ("/account", "account"),
    ):
        page.goto(running.url + path)
        if path == "/system":
            page.wait_for_timeout(2000)
            page.reload()
        _shoot(page, name)
    page.close()


if __name__ == "__main__":
    sys.exit(main())
