"""Faxes in the dashboard: listed with their pages, shown as pictures of them, and given to nobody else."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from recpipe import wiring
from recpipe.access.principal import operator
from recpipe.audio import fax
from recpipe.model import AuditQuery, RecordingQuery, Role
from recpipe.pipeline.ingest import Ingest
from recpipe.settings import Settings, Spool
from recpipe.web.deps import WebContext
from tests.acceptance.portal import choose_key, until
from tests.acceptance.test_dashboard_pages import AXE, barriers_of, too_wide_at
from tests.integration.api import served
from tests.services import faxes, need
from tests.services.browser import NewPage
from tests.services.certificates import KeyPair
from tests.unit.web.test_dashboard_safety import PASSWORD, client, sign_in

MISSING = "0" * 32
Faxes = tuple[dict[str, httpx.Client], dict[str, str], wiring.Parts]


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, key_pair: KeyPair) -> Iterator[Faxes]:
    """Signed-in browsers, and the ids of three faxes by their ending: `tif`, `pdf` and, sealed, `enc`."""
    root = tmp_path_factory.mktemp("faxes")
    for name in ("acme", "sealed", "globex"):
        (root / name).mkdir()
    faxes.tiff(root / "acme/pbx/201/inbox/02079460958-2026-03-14-15-09-26.tif", 3)
    faxes.pdf(root / "acme/1743067517.13.pdf", 2)
    faxes.tiff(root / "sealed/1743067517.12.tif", 2)
    settings = Settings(
        data_dir=root / "data",
        spool=tuple(
            Spool(path=root / name, tenant=name, layout="fax", settle_seconds=0)
            for name in ("acme", "sealed", "globex")
        ),
    )
    with wiring.open_parts(settings) as parts:
        tenants = {
            name: parts.tenants.create(operator("test"), name, title=name) for name in ("acme", "sealed", "globex")
        }
        parts.keyring.add(operator("test"), tenants["sealed"].id, key_pair.pem, vouch=True)
        with parts.catalogue.begin() as work:
            work.tenants.update(replace(work.tenants.get(tenants["sealed"].id), encryption=True))
        assert Ingest(settings, parts.catalogue, parts.store, clock=parts.clock).drain(patience_seconds=20)
        every: dict[str, list[str]] = {tenants["acme"].id: [], tenants["sealed"].id: []}
        make = parts.accounts.create
        make(operator("test"), "bea@example.com", Role.CLIENT, password=PASSWORD, grants=every)
        make(operator("test"), "gil@example.com", Role.CLIENT, password=PASSWORD, grants={tenants["globex"].id: []})
        make(
            operator("test"),
            "sam@example.com",
            Role.SERVICE,
            password=PASSWORD,
            grants={tenants["acme"].id: ["search"]},
        )
        with parts.catalogue.read() as work:
            found = [one for tenant in tenants.values() for one in work.search([tenant.id], RecordingQuery()).items]
        with served(WebContext.of(parts)) as url, client(url) as bea, client(url) as gil, client(url) as sam:
            browsers = {"bea": bea, "gil": gil, "sam": sam}
            for name, browser in browsers.items():
                sign_in(browser, f"{name}@example.com")
            yield browsers, {one.name.rpartition(".")[2]: one.id for one in found}, parts


def test_the_list_says_what_a_fax_is_and_shows_it_where_that_can_be(
    portal: Faxes,
) -> None:
    browsers, ids, _ = portal
    bea = browsers["bea"]
    page = bea.get("/recordings/results?kind=fax").text
    assert page.count("data-recording=") == 3 and page.count("</svg> Fax") == 3
    assert ">3 pages" in page and "02079460958" in page
    assert f'href="/recordings/{ids["tif"]}/pages"' in page and f'href="/recordings/{ids["pdf"]}/pages"' in page
    assert f'href="/recordings/{ids["enc"]}/pages"' in page and 'class="button play"' not in page
    assert "data-recording=" not in bea.get("/recordings/results?kind=call").text


@pytest.mark.parametrize(("ending", "pages"), [("tif", 3), ("pdf", 2)])
def test_a_fax_is_shown_page_by_page(portal: Faxes, ending: str, pages: int) -> None:
    browsers, ids, parts = portal
    bea = browsers["bea"]
    shown = bea.get(f"/recordings/{ids[ending]}/pages")
    assert shown.status_code == 200 and shown.text.count("<img ") == pages
    page = bea.get(f"/recordings/{ids[ending]}/pages/{pages}")
    assert page.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(page.content)) as picture:
        assert picture.format == "PNG" and picture.width == 1240
    again = bea.get(f"/recordings/{ids[ending]}/pages/{pages}", headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304
    for number in (0, pages + 1):
        assert bea.get(f"/recordings/{ids[ending]}/pages/{number}").status_code == 404
    with parts.catalogue.read() as work:
        played = {(one.actor, one.subject) for one in work.audit.list(AuditQuery(action="play")).items}
    assert ("bea@example.com", ids[ending]) in played


def test_the_file_itself_is_saved_and_never_opened_by_a_browser(
    portal: Faxes,
) -> None:
    browsers, ids, _ = portal
    bea = browsers["bea"]
    for ending, kind in (("tif", "image/tiff"), ("pdf", "application/pdf"), ("enc", "application/octet-stream")):
        for more in ("", "?download=true"):
            given = bea.get(f"/recordings/{ids[ending]}/media{more}")
            assert given.headers["content-type"] == kind
            assert given.headers["content-disposition"].startswith("attachment;")
            assert "sandbox" in given.headers["content-security-policy"]
            assert given.headers["x-content-type-options"] == "nosniff"


def test_a_sealed_fax_is_opened_by_who_has_the_key_and_not_here(portal: Faxes) -> None:
    browsers, ids, _ = portal
    bea = browsers["bea"]
    page = bea.get(f"/recordings/{ids['enc']}/pages")
    assert page.status_code == 200 and "<img " not in page.text and 'id="keybox"' in page.text
    answer = bea.get(f"/recordings/{ids['enc']}/pages/1")
    assert answer.status_code == 422 and "only your private key opens it" in answer.text


@pytest.mark.parametrize("path", ["pages", "pages/1"])
def test_a_fax_is_shown_to_those_alone_who_may_play_it(portal: Faxes, path: str) -> None:
    browsers, ids, _ = portal
    gil = browsers["gil"]
    foreign, missing = (gil.get(f"/recordings/{one}/{path}") for one in (ids["tif"], MISSING))
    assert foreign.status_code == missing.status_code == 404
    assert foreign.text.replace(ids["tif"], MISSING) == missing.text
    sam = browsers["sam"]
    assert sam.get(f"/recordings/{ids['tif']}/{path}").status_code in (403, 404)
    with client(str(sam.base_url)) as nobody:
        assert nobody.get(f"/recordings/{ids['tif']}/{path}").status_code in (303, 401)


def test_a_fax_is_without_barriers_and_fits_every_screen(portal: Faxes, new_page: NewPage) -> None:
    if not AXE.is_file():
        need.missing("axe-core is not installed; scripts/setup installs it")
    browsers, ids, _ = portal
    bea, page = browsers["bea"], new_page()
    url = str(bea.base_url)
    page.context.add_cookies([{"name": one.name, "value": one.value or "", "url": url} for one in bea.cookies.jar])
    for path in ("/recordings?kind=fax", f"/recordings/{ids['tif']}/pages"):
        page.goto(url + path)
        page.wait_for_load_state("networkidle")
        assert list(too_wide_at(page)) == []
        page.evaluate(AXE.read_text())
        assert list(barriers_of(page)) == []
    first = page.locator(".fax-pages img").first
    assert first.evaluate("image => image.complete && image.naturalWidth") == 1240


def test_a_sealed_fax_is_drawn_in_the_browser_and_nothing_of_it_leaves(
    portal: Faxes, new_page: NewPage, key_pair: KeyPair, tmp_path: Path
) -> None:
    if not AXE.is_file():
        need.missing("axe-core is not installed; scripts/setup installs it")
    browsers, ids, parts = portal
    bea, page = browsers["bea"], new_page()
    url = str(bea.base_url)
    page.context.add_cookies([{"name": one.name, "value": one.value or "", "url": url} for one in bea.cookies.jar])
    asked: list[tuple[str, str]] = []
    page.goto(f"{url}/recordings/{ids['enc']}/pages")
    page.on("request", lambda one: asked.append((one.method, one.url.removeprefix(url))))
    expect(page.get_by_text("This fax is sealed. Choose your private key")).to_be_visible()
    choose_key(page, key_pair.key_path)
    expect(page.get_by_text("every byte is the same")).to_be_visible()
    pages = page.locator("#fax-pages canvas")
    expect(pages).to_have_count(2)
    with parts.catalogue.read() as work:
        stored = work.recording(None, ids["enc"])
    made = faxes.tiff(tmp_path / "same.tif", 2)  # as the one in the spool was made
    for number in range(2):
        page.get_by_role("img", name=f"Page {number + 1} of 2").scroll_into_view_if_needed()
        until(page, f"document.querySelectorAll('#fax-pages canvas')[{number}].width > 0")
        png = base64.b64decode(pages.nth(number).evaluate("canvas => canvas.toDataURL()").partition(",")[2])
        with Image.open(io.BytesIO(png)) as drawn, Image.open(io.BytesIO(fax.page(made.read_bytes(), number))) as judge:
            assert drawn.size == judge.size
            difference = np.abs(np.array(drawn.convert("L"), int) - np.array(judge.convert("L"), int))
            assert difference.mean() < 3, "but for the edges, which are scaled in another way"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save decrypted").click()
    assert saved.value.suggested_filename == stored.name.removesuffix(".enc")
    assert hashlib.sha256(Path(saved.value.path()).read_bytes()).hexdigest() == stored.content_sha256
    media = f"/recordings/{ids['enc']}/media"
    assert {one for one in asked if not one[1].startswith("blob:")} == {("GET", media)}
    page.evaluate(AXE.read_text())
    assert list(barriers_of(page)) == [] and list(too_wide_at(page)) == []
    page.get_by_role("button", name="Forget this key").click()
    expect(pages).to_have_count(0)
    expect(page.get_by_role("button", name="Save decrypted")).to_be_hidden()
