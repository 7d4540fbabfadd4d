"""Signing in where one's company does: in Chromium, at a real OpenID provider over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from recpipe.access.principal import operator
from recpipe.model import Role
from tests.acceptance.portal import ADMIN, PASSWORD, Portal, enter, free_port, portal
from tests.services.browser import Complaints, NewPage
from tests.services.certificates import KeyPairs
from tests.services.issuer import Issuer, Person, loopback_pair, serve_issuer

AXE = Path(__file__).parents[1] / "browser" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def issuer(key_pairs: KeyPairs) -> Iterator[Issuer]:
    with serve_issuer(loopback_pair(key_pairs)) as made:
        yield made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, key_pairs: KeyPairs) -> Iterator[Portal]:
    """northwind has a provider, and carl is of it."""
    port = free_port()
    settings = {
        "http_listen": f"127.0.0.1:{port}",
        "http_url": f"http://127.0.0.1:{port}",
        "oidc_networks": ["127.0.0.0/8"],
        "oidc_ca_file": str(loopback_pair(key_pairs).certificate_path),
    }
    with portal(tmp_path_factory.mktemp("elsewhere"), **settings) as made:
        made.user("carl", Role.CLIENT, {made.northwind.id: []})
        set_up = made.parts.identity_providers.set
        provider = set_up(operator("test"), made.northwind.id, issuer.url, "recpipe", client_secret="s3cret")
        issuer.client("recpipe", made.parts.federation.redirect_uri(provider), "s3cret")
        yield made


def is_clean(page: Page) -> None:
    """Nothing that axe finds, and no sideways scroll on a phone."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document).then((r) => r.violations.map((v) => `${v.id}: ${v.nodes[0].html}`))")
    assert found == [], page.url
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    page.set_viewport_size({"width": 1280, "height": 720})


def test_who_links_the_account_with_the_password_signs_in_there(
    running: Portal, issuer: Issuer, new_page: NewPage, complaints: Complaints
) -> None:
    complaints.expect("status of (403|404|503)")
    issuer.person = Person("sub-carl", "carl@northwind.example")
    carl = new_page(ignore_https_errors=True)
    way = f"{running.url}/sign-in?next=%2Fcompleteness"

    # Given somebody of the company whom nobody linked yet
    carl.goto(way)
    is_clean(carl)
    carl.get_by_role("link", name="Sign in with your company").click()
    carl.get_by_label("Short name of your service").fill("nowhere")
    carl.get_by_role("button", name="Go on").click()
    expect(carl.locator("#problem")).to_contain_text("No service of this name")
    is_clean(carl)
    carl.get_by_label("Short name of your service").fill("northwind")
    carl.get_by_role("button", name="Go on").click()
    is_clean(carl)
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.locator("#problem")).to_contain_text("link it under My Account")
    assert carl.url.startswith(running.url)

    # When they sign in with their password and link it
    enter(carl, running, "carl")
    carl.goto(f"{running.url}/account")
    section = carl.get_by_role("region", name="Sign in with your company")
    section.get_by_label("Your own password").fill("not this one at all")
    section.get_by_role("button", name="Link").click()
    expect(carl.locator("#problem")).to_contain_text("Nothing was changed")
    section.get_by_label("Your own password").fill(PASSWORD)
    section.get_by_role("button", name="Link").click()
    is_clean(carl)
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.get_by_text("From now on you can sign in there as well")).to_be_visible()
    expect(section).to_contain_text("carl@northwind.example")
    is_clean(carl)

    # Then they are signed in from there, where they wanted to be
    carl.get_by_role("button", name="Sign out").click()
    carl.goto(way)
    carl.get_by_role("link", name="Sign in with your company").click()
    carl.get_by_label("Short name of your service").fill("northwind")
    carl.get_by_role("button", name="Go on").click()
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.get_by_role("button", name="Sign out")).to_be_visible()
    assert carl.url == f"{running.url}/completeness"
    cookies = {c["name"]: c for c in carl.context.cookies(running.url)}
    assert "recpipe_oidc" not in cookies
    assert (cookies["recpipe_session"]["httpOnly"], cookies["recpipe_session"]["sameSite"]) == (True, "Lax")

    # And while the provider is down, the page says so
    issuer.down = True
    carl.get_by_role("button", name="Sign out").click()
    carl.goto(f"{running.url}/sign-in/oidc?service=northwind")
    carl.get_by_role("link", name="Continue to 127.0.0.1").click()
    carl.get_by_role("button", name="Allow").click()
    expect(carl.locator("#problem")).to_contain_text("127.0.0.1 could not be asked")
    issuer.down = False


def test_an_invitation_that_names_the_provider_needs_no_password(
    running: Portal, issuer: Issuer, new_page: NewPage
) -> None:
    issuer.person = Person("sub-dora")
    ann = new_page()
    enter(ann, running, ADMIN)
    ann.goto(f"{running.url}/users/new")
    ann.get_by_label("E-mail address or user name").fill("dora")
    ann.get_by_label("Signs in with").select_option(label="Northwind Bicycles (127.0.0.1)")
    ann.get_by_role("checkbox", name="Northwind Bicycles", exact=True).check()
    ann.get_by_label("Your own password").fill(PASSWORD)
    is_clean(ann)
    ann.get_by_role("button", name="Create and invite").click()
    link = ann.locator("#link").inner_text()
    assert link.startswith(f"{running.url}/welcome/oidc#")

    dora = new_page(ignore_https_errors=True)
    dora.goto(link)
    is_clean(dora)
    dora.get_by_role("button", name="Go on").click()
    dora.get_by_role("link", name="Continue to 127.0.0.1").click()
    dora.get_by_role("button", name="Allow").click()
    expect(dora.get_by_role("button", name="Sign out")).to_be_visible()
    expect(dora.get_by_text("dora").first).to_be_visible()
